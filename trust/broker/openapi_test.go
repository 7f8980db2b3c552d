package broker

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"mime"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"cloister/trust/attest"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/broker/vault/shares"
)

// documentedTypes are the Go types of the objects in openapi.yaml.
var documentedTypes = map[string]any{
	"Info": Info{}, "Evidence": attest.Evidence{}, "AttestRequest": AttestRequest{}, "AttestAnswer": AttestAnswer{},
	"NonceRequest": NonceRequest{}, "NonceAnswer": NonceAnswer{}, "Want": Want{},
	"ReleaseRequest": ReleaseRequest{}, "ReleaseAnswer": ReleaseAnswer{}, "SealedItem": SealedItem{}, "Receipt": Receipt{},
	"CertificateRequest": CertificateRequest{}, "CertificateAnswer": CertificateAnswer{}, "AuthorityAnswer": AuthorityAnswer{},
	"PolicyRequest": PolicyRequest{}, "PolicyAnswer": PolicyAnswer{}, "PolicyText": PolicyText{},
	"Order": Order{}, "OrderRequest": OrderRequest{}, "OrderAnswer": OrderAnswer{}, "FreezeRequest": FreezeRequest{},
	"KeyInfo": vault.KeyInfo{}, "Registered": vault.Entry{}, "OwnersAnswer": OwnersAnswer{}, "OwnerState": OwnerState{}, "DataSetState": DataSetState{},
	"UnlockRequest": UnlockRequest{}, "UnlockAnswer": UnlockAnswer{}, "Delivery": protector.Delivery{}, "ShareSet": shares.Set{},
	"UnsealRequest": UnsealRequest{}, "UnsealAnswer": UnsealAnswer{}, "HandOverRequest": HandOverRequest{}, "HandOverAnswer": HandOverAnswer{},
	"BackupRequest": BackupRequest{}, "BackupMade": BackupMade{}, "Checkpoint": vault.Checkpoint{},
	"RestoreState": RestoreState{}, "ConfirmRequest": ConfirmRequest{}, "ConfirmAnswer": ConfirmAnswer{},
	"PendingAnswer": PendingAnswer{}, "PendingPolicy": PendingPolicy{}, "TimeRequest": TimeRequest{}, "TimeAnswer": TimeAnswer{},
	"CheckpointAnswer": CheckpointAnswer{}, "ProofAnswer": ProofAnswer{}, "EntriesAnswer": EntriesAnswer{},
	"Health": Health{}, "Problem": Problem{}, "ProblemError": ProblemError{}, "Check": attest.Check{},
}

// documentedWords are the Go types, with their folders, whose constants are the
// words of a schema.
var documentedWords = map[string][2]string{
	"Code": {".", "Code"}, "Kind": {".", "Kind"}, "Operation": {".", "Operation"},
	"Use": {"vault", "Use"}, "Platform": {"../attest", "Platform"},
}

// apiDocument is openapi.yaml.
type apiDocument struct {
	root     map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
}

var theDocument = sync.OnceValues(readDocument)

func readDocument() (*apiDocument, error) {
	var parsed any
	if err := yaml.Unmarshal(openAPI, &parsed); err != nil {
		return nil, err
	}
	text, err := json.Marshal(parsed)
	if err != nil {
		return nil, err
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	d := &apiDocument{root: root.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.AssertFormat()
	d.compiler.AssertContent()
	return d, d.compiler.AddResource("openapi.yaml", root)
}

func openDocument(tb testing.TB) *apiDocument {
	tb.Helper()
	d, err := theDocument()
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// at returns the value at a place, following references, or nil.
func (d *apiDocument) at(place ...string) map[string]any {
	now := d.root
	for _, name := range place {
		next, ok := now[name].(map[string]any)
		if !ok {
			return nil
		}
		now = next
		if ref, ok := now["$ref"].(string); ok && strings.HasPrefix(ref, "#/components/responses/") {
			now = d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return now
}

// resolve follows the references of a schema.
func (d *apiDocument) resolve(schema map[string]any) (name string, target map[string]any) {
	for {
		ref, ok := schema["$ref"].(string)
		if !ok {
			return name, schema
		}
		name = strings.TrimPrefix(ref, "#/components/schemas/")
		schema = d.at("components", "schemas", name)
	}
}

// validate validates a JSON text against the schema at a place.
func (d *apiDocument) validate(text []byte, place ...string) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	pointer := "openapi.yaml#"
	for _, name := range place {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	schema := d.schemas[pointer]
	if schema == nil {
		if schema, err = d.compiler.Compile(pointer); err != nil {
			return err
		}
		d.schemas[pointer] = schema
	}
	return schema.Validate(value)
}

// TestOpenAPIRoutes compares the paths with the routes of the server, and of one
// that is locked.
func TestOpenAPIRoutes(t *testing.T) {
	t.Parallel()
	d := openDocument(t)
	there := map[string]bool{}
	for path, methods := range d.at("paths") {
		for method := range methods.(map[string]any) {
			there[strings.ToUpper(method)+" "+path] = true
		}
	}
	want := map[string]bool{"GET /healthz": true, "GET /readyz": true}
	for pattern := range (&lockServer{Server: &Server{}}).allRoutes() {
		want[pattern] = true
	}
	for pattern := range want {
		if !there[pattern] {
			method, path, _ := strings.Cut(pattern, " ")
			t.Errorf("openapi.yaml lacks %s: write it under paths, %s, %s, with the schemas of its request and answer", pattern, path, strings.ToLower(method))
		}
	}
	for pattern := range there {
		if !want[pattern] {
			t.Errorf("openapi.yaml has %s, which the server does not serve: take it out", pattern)
		}
	}
}

// TestOpenAPICodes compares codes and statuses.
func TestOpenAPICodes(t *testing.T) {
	t.Parallel()
	d := openDocument(t)
	want := map[string][]string{}
	for code, status := range statuses {
		want[strconv.Itoa(status)] = append(want[strconv.Itoa(status)], string(code))
	}
	got := map[string][]string{}
	for status := range d.at("components", "responses") {
		code := d.at("components", "responses", status, "content", "application/json", "schema", "properties", "error", "properties", "code")
		got[status] = words(code["enum"])
	}
	for status := range want {
		slices.Sort(want[status])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the codes of each status under components.responses in openapi.yaml are not those of problem.go (-Go +openapi.yaml):\n%s", diff)
	}
}

func words(list any) []string {
	var out []string
	all, _ := list.([]any)
	for _, w := range all {
		out = append(out, fmt.Sprint(w))
	}
	slices.Sort(out)
	return out
}

// TestOpenAPIWords compares enumerations with the constants of Go.
func TestOpenAPIWords(t *testing.T) {
	t.Parallel()
	d := openDocument(t)
	for schema, where := range documentedWords {
		if diff := cmp.Diff(constants(t, where[0], where[1]), words(d.at("components", "schemas", schema)["enum"])); diff != "" {
			t.Errorf("components.schemas.%s.enum in openapi.yaml is not what %s has (-Go +openapi.yaml):\n%s", schema, where[1], diff)
		}
	}
}

// constants are the values of the constants of a string type.
func constants(t *testing.T, dir, of string) (values []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != of {
				return true
			}
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						values = append(values, text)
					}
				}
			}
			return true
		})
	}
	slices.Sort(values)
	return values
}

// TestOpenAPITypes compares the objects with the fields of Go's types.
func TestOpenAPITypes(t *testing.T) {
	t.Parallel()
	d := openDocument(t)
	for name, value := range documentedTypes {
		d.compareType(t, name, reflect.TypeOf(value))
	}
	for name, schema := range d.at("components", "schemas") {
		if schema.(map[string]any)["type"] == "object" && documentedTypes[name] == nil {
			t.Errorf("components.schemas.%s in openapi.yaml is of no Go type: write it in documentedTypes of openapi_test.go", name)
		}
	}
}

// jsonField is a field as encoding/json has it.
type jsonField struct {
	kind     reflect.Type
	required bool
}

func jsonFields(of reflect.Type) map[string]jsonField {
	fields := map[string]jsonField{}
	for f := range of.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			maps.Copy(fields, jsonFields(f.Type))
			continue
		}
		fields[name] = jsonField{f.Type, !strings.Contains(options, "omit")}
	}
	return fields
}

func (d *apiDocument) compareType(t *testing.T, name string, of reflect.Type) {
	t.Helper()
	schema := d.at("components", "schemas", name)
	if schema == nil {
		t.Errorf("openapi.yaml lacks the schema of %s: write it as components.schemas.%s", of, name)
		return
	}
	if schema["additionalProperties"] != false {
		t.Errorf("components.schemas.%s in openapi.yaml needs additionalProperties: false", name)
	}
	properties := d.at("components", "schemas", name, "properties")
	fields := jsonFields(of)
	var required []string
	for field, f := range fields {
		if f.required {
			required = append(required, field)
		}
		property, ok := properties[field].(map[string]any)
		if !ok {
			t.Errorf("components.schemas.%s in openapi.yaml lacks the property %q of %s", name, field, of)
			continue
		}
		if err := d.compareKind(property, f.kind); err != nil {
			t.Errorf("components.schemas.%s.properties.%s in openapi.yaml: %v", name, field, err)
		}
	}
	for property := range properties {
		if _, ok := fields[property]; !ok {
			t.Errorf("components.schemas.%s in openapi.yaml has the property %q, which %s does not have", name, property, of)
		}
	}
	slices.Sort(required)
	if diff := cmp.Diff(required, words(schema["required"])); diff != "" {
		t.Errorf("components.schemas.%s.required in openapi.yaml is not what %s always has (-Go +openapi.yaml):\n%s", name, of, diff)
	}
}

// compareKind compares a property with the type of a field.
func (d *apiDocument) compareKind(property map[string]any, of reflect.Type) error {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	name, schema := d.resolve(property)
	want := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Slice: "array", reflect.Struct: "object",
		reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint64: "integer",
	}[of.Kind()]
	switch {
	case of == reflect.TypeFor[[]byte]():
		if schema["contentEncoding"] != "base64" {
			return fmt.Errorf("bytes are a string with contentEncoding: base64 (#/components/schemas/Bytes)")
		}
		return nil
	case of == reflect.TypeFor[time.Time]():
		if schema["format"] != "date-time" {
			return fmt.Errorf("a time is a string of format: date-time (#/components/schemas/Time)")
		}
		return nil
	case of.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		want = "string"
	}
	if schema["type"] != want {
		return fmt.Errorf("it is of type %v; %s is %s", schema["type"], of, want)
	}
	if want == "array" {
		items, _ := schema["items"].(map[string]any)
		return d.compareKind(items, of.Elem())
	}
	if want == "object" && reflect.TypeOf(documentedTypes[name]) != of {
		return fmt.Errorf("it refers to %q; %s is documented by another schema, or by none: see documentedTypes of openapi_test.go", name, of)
	}
	return nil
}

// TestOpenAPIExamples validates the examples against the schemas beside them.
func TestOpenAPIExamples(t *testing.T) {
	t.Parallel()
	d := openDocument(t)
	n := 0
	var walk func(now any, place []string)
	walk = func(now any, place []string) {
		switch now := now.(type) {
		case map[string]any:
			examples, _ := now["examples"].(map[string]any)
			for name, e := range examples {
				text, err := json.Marshal(e.(map[string]any)["value"])
				if err == nil {
					err = d.validate(text, append(slices.Clone(place), "schema")...)
				}
				if n++; err != nil {
					t.Errorf("%s, example %s: %v", strings.Join(place, "."), name, err)
				}
			}
			for name, next := range now {
				walk(next, append(slices.Clone(place), name))
			}
		}
	}
	walk(d.root["paths"], []string{"paths"})
	if n == 0 {
		t.Error("there are no examples")
	}
}

// documented checks every exchange of a client against openapi.yaml.
type documented struct {
	tb   testing.TB
	next http.RoundTripper
	seen func(pattern string, status int)
}

// watched has a client's exchanges checked.
func (f *fixture) watched(c *Client) *Client {
	f.t.Helper()
	d := &documented{tb: f.t, next: c.http.Transport, seen: f.seen}
	if d.seen == nil {
		d.seen = func(string, int) {}
	}
	c.http.Transport = d
	return c
}

// CloseIdleConnections is for http.Client.
func (d *documented) CloseIdleConnections() {
	if c, ok := d.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (d *documented) RoundTrip(r *http.Request) (*http.Response, error) {
	var asked []byte
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		if asked, err = io.ReadAll(body); err != nil {
			return nil, err
		}
	}
	resp, err := d.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		d.tb.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	var text []byte
	if media == "application/json" { // others may be streams
		if text, err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(text))
	}
	if err := d.check(r, asked, resp.StatusCode, media, text); err != nil {
		d.tb.Errorf("%s %s answers with status %d what openapi.yaml does not say: %v\n%.500s", r.Method, r.URL.Path, resp.StatusCode, err, text)
	}
	return resp, nil
}

func (d *documented) check(r *http.Request, asked []byte, status int, media string, text []byte) error {
	doc, err := theDocument()
	if err != nil {
		return err
	}
	place := []string{"components", "responses", strconv.Itoa(status), "content", media}
	path, method := r.URL.Path, strings.ToLower(r.Method)
	operation := doc.at("paths", path, method)
	switch {
	case operation != nil:
		d.seen(r.Method+" "+path, status)
		place = []string{"paths", path, method, "responses", strconv.Itoa(status)}
		if doc.at(place...) == nil {
			return fmt.Errorf("the status is not there: write it under paths, %s, %s, responses", path, method)
		}
		if response, ok := doc.at("paths", path, method, "responses")[strconv.Itoa(status)].(map[string]any); ok && response["$ref"] != nil {
			place = strings.Split(strings.TrimPrefix(response["$ref"].(string), "#/"), "/")
		}
		place = append(place, "content", media)
	case doc.at("paths", path) != nil && status != http.StatusMethodNotAllowed, doc.at("paths", path) == nil && status != http.StatusNotFound:
		return fmt.Errorf("there is no such operation")
	}
	if doc.at(place...) == nil {
		return fmt.Errorf("the media type %q is not there", media)
	}
	if media != "application/json" {
		return nil
	}
	if err := doc.validate(text, append(place, "schema")...); err != nil {
		return err
	}
	if status == http.StatusOK && len(asked) > 0 {
		if err := doc.validate(asked, "paths", path, method, "requestBody", "content", "application/json", "schema"); err != nil {
			return fmt.Errorf("the request, which was accepted: %w", err)
		}
	}
	return nil
}
