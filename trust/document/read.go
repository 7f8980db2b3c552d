package document

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// Limits of a document. They are far above what people write, and keep what is
// read from a stranger small.
const (
	MaxBytes  = 1 << 20
	maxDepth  = 12
	maxScalar = 1 << 14
	// maxErrors is how many errors of one document are told.
	maxErrors = 8
)

// Error says what is wrong where in a document.
type Error struct {
	File         string
	Line, Column int // 0 if not known
	Path         Path
	Err          error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(string(e.Path) + ": ")
	}
	return b.String() + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Read reads the document in data into the struct that into points to. File is
// its name in errors. What the declaration does not know, whatever stands twice,
// and all of YAML that makes a text mean something other than it seems (anchors,
// aliases, merge keys, tags, directives, further documents, control and
// bidirectional characters) is refused. Sets are sorted, defaults filled in, and
// each Checker in the document is asked.
func Read(file string, data []byte, into any) error {
	r := &reader{file: file, at: make(map[Path]position)}
	root := r.parse(data)
	if root != nil {
		v := reflect.ValueOf(into).Elem()
		r.structure(root, "", v, 0)
		if len(r.errs) == 0 {
			r.check(into)
		}
	}
	return r.err()
}

// Validate asks each Checker in a document that was not read. name is what it is
// called in errors.
func Validate(name string, doc any) error {
	r := &reader{file: name}
	r.check(doc)
	return r.err()
}

func (r *reader) err() error {
	slices.SortStableFunc(r.errs, func(a, b *Error) int { return a.Line - b.Line })
	all := make([]error, len(r.errs))
	for i, err := range r.errs {
		all[i] = err
	}
	return errors.Join(all...)
}

type position struct{ line, column int }

type reader struct {
	file string
	at   map[Path]position
	errs []*Error
}

// refuse notes an error at a node, or at a path where the node is not known.
func (r *reader) refuse(n *yaml.Node, path Path, format string, args ...any) {
	if len(r.errs) >= maxErrors {
		return
	}
	e := &Error{File: r.file, Path: path, Err: fmt.Errorf(format, args...)}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	} else {
		e.Line, e.Column = r.nearest(path)
	}
	r.errs = append(r.errs, e)
}

// nearest is where a path stands in the text, or the closest path around it that
// was written.
func (r *reader) nearest(path Path) (line, column int) {
	for {
		if p, ok := r.at[path]; ok {
			return p.line, p.column
		}
		i := strings.LastIndexAny(string(path), ".[")
		if i < 0 {
			return 0, 0
		}
		path = path[:i]
	}
}

// parse returns the root of the one document in the text.
func (r *reader) parse(data []byte) *yaml.Node {
	if !r.checkText(data) {
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithUniqueKeys(false))
	if err != nil {
		r.refuse(nil, "", "%w", err)
		return nil
	}
	var doc, further yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		r.refuse(nil, "", "has no document")
		return nil
	case err != nil:
		r.syntax(err)
		return nil
	}
	switch err := loader.Load(&further); {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.syntax(err)
		return nil
	default:
		r.refuse(&further, "", "has more than one document; one file is one document")
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		r.refuse(&doc, "", "has no document")
		return nil
	}
	return doc.Content[0]
}

// syntax notes an error of the YAML parser.
func (r *reader) syntax(err error) {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		r.refuse(nil, "", "%w", err)
		return
	}
	at := &yaml.Node{Line: load.Mark.Line, Column: load.Mark.Column}
	r.refuse(at, "", "is not YAML: %s", load.Message)
}

// checkText refuses what a reader of the text could not see, or would see in
// another place than it has.
func (r *reader) checkText(data []byte) bool {
	if len(data) > MaxBytes {
		r.refuse(nil, "", "has %d bytes, more than the %d that are read", len(data), MaxBytes)
		return false
	}
	line, start := 1, 0
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		at := &yaml.Node{Line: line, Column: i - start + 1}
		switch {
		case c == utf8.RuneError && size <= 1:
			r.refuse(at, "", "is not UTF-8")
			return false
		case c == '\n':
			line, start = line+1, i+1
		case c == '\r' && i+1 < len(data) && data[i+1] == '\n':
		case c == '%' && i == start:
			r.refuse(at, "", "has a YAML directive, which is not allowed")
			return false
		case hidden(c):
			r.refuse(at, "", "has the character U+%04X, which cannot be seen or moves others; write it as an escape in double quotes", c)
			return false
		}
		i += size
	}
	return true
}

// unseen are the characters that are not seen, or that change how others are
// seen: controls, line separators, those of Unicode's annex 9, and what the
// property Default_Ignorable_Code_Point has, some of which pass for letters. The
// list is written out, so that what is refused does not depend on a version of
// Unicode.
var unseen = [][2]rune{
	{0x00, 0x1f},
	{0x7f, 0x9f},
	{0xad, 0xad},
	{0x34f, 0x34f},
	{0x61c, 0x61c},
	{0x115f, 0x1160},
	{0x17b4, 0x17b5},
	{0x180b, 0x180f},
	{0x200b, 0x200f},
	{0x2028, 0x202e},
	{0x2060, 0x206f},
	{0x3164, 0x3164},
	{0xfe00, 0xfe0f},
	{0xfeff, 0xfeff},
	{0xffa0, 0xffa0},
	{0xfff0, 0xfffb},
	{0x1bca0, 0x1bca3},
	{0x1d173, 0x1d17a},
	{0xe0000, 0xe0fff},
}

// hidden reports whether a character is one of them.
func hidden(c rune) bool {
	return c < ' ' || c > '~' && slices.ContainsFunc(unseen, func(r [2]rune) bool { return r[0] <= c && c <= r[1] })
}

// ordinary refuses the parts of YAML that let a text mean what it does not seem
// to.
func (r *reader) ordinary(n *yaml.Node, path Path) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		r.refuse(n, path, "is an alias (*%s); write the value itself", n.Value)
	case n.Anchor != "":
		r.refuse(n, path, "has an anchor (&%s), which is not allowed", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0, strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"):
		r.refuse(n, path, "has a tag, which is not allowed")
	default:
		return true
	}
	return false
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

// pairs calls visit for each key of a mapping; keys that stand twice or are no
// plain texts are refused.
func (r *reader) pairs(n *yaml.Node, path Path, depth int, visit func(key string, k, v *yaml.Node)) {
	if !r.ordinary(n, path) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.refuse(n, path, "is %s, not a mapping (name: value)", kindName(n))
		return
	}
	if depth > maxDepth {
		r.refuse(n, path, "is nested too deeply")
		return
	}
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !r.ordinary(k, path) {
			continue
		}
		switch {
		case k.Kind != yaml.ScalarNode:
			r.refuse(k, path, "has %s as a key; keys are texts", kindName(k))
		case k.Tag == "!!merge":
			r.refuse(k, path, "has a merge key (<<), which is not allowed")
		case k.Tag == "!!null", k.Tag == "!!bool":
			r.refuse(k, path, "has the key %s, which is no text; put it into quotes", Quote(k.Value))
		case len(k.Value) > maxScalar:
			r.refuse(k, path, "has a key of %d bytes", len(k.Value))
		case seen[k.Value] != 0:
			r.refuse(k, path, "has %s twice, first in line %d", Quote(k.Value), seen[k.Value])
		default:
			seen[k.Value] = k.Line
			visit(k.Value, k, v)
		}
	}
}

// structure reads a mapping into a struct.
func (r *reader) structure(n *yaml.Node, path Path, v reflect.Value, depth int) {
	r.at[path] = position{n.Line, n.Column}
	fields := fieldsOf(v.Type())
	written := make(map[string]bool, len(fields))
	r.pairs(n, path, depth, func(key string, k, node *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key })
		if i < 0 {
			r.refuse(k, path, "has the unknown field %s; known are %s", Quote(key), names(fields))
			return
		}
		written[key] = true
		r.value(node, path.Field(key), v.FieldByIndex(fields[i].Index), depth+1)
	})
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := range fields {
		f := &fields[i]
		if written[f.name] {
			continue
		}
		if f.required() {
			r.refuse(n, path.Field(f.name), "is missing%s", hint(f.doc))
			continue
		}
		setDefault(v.FieldByIndex(f.Index), f)
	}
}

func hint(doc string) string {
	if doc == "" {
		return ""
	}
	return ": " + strings.ToLower(doc[:1]) + strings.TrimSuffix(doc[1:], ".")
}

func names(fields []field) string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.name
	}
	return strings.Join(all, ", ")
}

// setDefault fills a field that was not written. The default of a set is its
// elements, with blanks between them.
func setDefault(v reflect.Value, f *field) {
	switch {
	case f.preset() != "" && isSet(f.Type):
		for _, text := range strings.Fields(f.preset()) {
			elem := reflect.New(f.Type.Elem())
			mustSet(elem.Elem(), text)
			v.Set(reflect.Append(v, elem.Elem()))
		}
	case f.preset() != "":
		mustSet(v, f.preset())
	case f.isStruct():
		for _, inner := range fieldsOf(f.Type) {
			setDefault(v.FieldByIndex(inner.Index), &inner)
		}
	}
}

func mustSet(v reflect.Value, text string) {
	if err := setLeaf(v, text); err != nil {
		panic(fmt.Sprintf("default %q: %v", text, err))
	}
}

// value reads a node into a field, an entry or an element.
func (r *reader) value(n *yaml.Node, path Path, v reflect.Value, depth int) {
	r.at[path] = position{n.Line, n.Column}
	t := v.Type()
	switch {
	case isLeaf(t):
		r.leaf(n, path, v)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		r.structure(n, path, v.Elem(), depth)
	case t.Kind() == reflect.Struct:
		r.structure(n, path, v, depth)
	case isSet(t):
		r.set(n, path, v)
	case t.Kind() == reflect.Map:
		r.entries(n, path, v, depth)
	default:
		panic(fmt.Sprintf("%s: a document cannot have a %v", path, t))
	}
}

// entries reads a mapping into a map.
func (r *reader) entries(n *yaml.Node, path Path, v reflect.Value, depth int) {
	t := v.Type()
	v.Set(reflect.MakeMap(t))
	r.pairs(n, path, depth, func(key string, k, node *yaml.Node) {
		at := path.Key(key)
		name := reflect.New(t.Key()).Elem()
		if err := setLeaf(name, key); err != nil {
			r.refuse(k, path, "%w", err)
			return
		}
		if text := leafText(name); text != key {
			r.refuse(k, path, "has the key %s, which is written %s", Quote(key), Quote(text))
			return
		}
		entry := reflect.New(t.Elem()).Elem()
		r.value(node, at, entry, depth+1)
		v.SetMapIndex(name, entry)
	})
}

// set reads a list into a sorted slice without duplicates.
func (r *reader) set(n *yaml.Node, path Path, v reflect.Value) {
	if !r.ordinary(n, path) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.refuse(n, path, "is %s, not a list", kindName(n))
		return
	}
	type element struct {
		text  string
		value reflect.Value
		line  int
	}
	var all []element
	for _, c := range n.Content {
		elem := reflect.New(v.Type().Elem()).Elem()
		before := len(r.errs)
		r.leaf(c, path, elem)
		if len(r.errs) == before && len(r.errs) < maxErrors {
			all = append(all, element{leafText(elem), elem, c.Line})
			r.at[path.Key(leafText(elem))] = position{c.Line, c.Column}
		}
	}
	slices.SortStableFunc(all, func(a, b element) int { return strings.Compare(a.text, b.text) })
	out := reflect.MakeSlice(v.Type(), 0, len(all))
	for i, e := range all {
		if i > 0 && all[i-1].text == e.text {
			r.refuse(&yaml.Node{Line: e.line, Column: 1}, path, "has %s twice, first in line %d", Quote(e.text), all[i-1].line)
			continue
		}
		out = reflect.Append(out, e.value)
	}
	v.Set(out)
}

// leaf reads a scalar.
func (r *reader) leaf(n *yaml.Node, path Path, v reflect.Value) {
	if !r.ordinary(n, path) {
		return
	}
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	switch {
	case n.Kind != yaml.ScalarNode:
		r.refuse(n, path, "is %s, not a single value", kindName(n))
	case n.Tag == "!!null":
		r.refuse(n, path, "has no value")
	case len(n.Value) > maxScalar:
		r.refuse(n, path, "has %d bytes, more than the %d that a value may have", len(n.Value), maxScalar)
	case !isText(v.Type()) && quoted:
		r.refuse(n, path, "is a text in quotes, not a %s", formOf(v.Type()).Name)
	case isText(v.Type()) && n.Tag == "!!bool":
		r.refuse(n, path, "is %s, not a %s", n.Value, formOf(v.Type()).Name)
	default:
		if err := setLeaf(v, n.Value); err != nil {
			r.refuse(n, path, "%w", err)
		}
	}
}

// setLeaf sets a leaf from its text.
func setLeaf(v reflect.Value, text string) error {
	if v.Addr().Type().Implements(unmarshalerType) {
		u, _ := v.Addr().Interface().(encoding.TextUnmarshaler)
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.Bool:
		switch text {
		case "true", "false":
			v.SetBool(text == "true")
			return nil
		}
		return fmt.Errorf("is %s, neither true nor false", Quote(text))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil || strconv.FormatUint(n, 10) != text {
			return fmt.Errorf("is %s, not a number from 0 to %d in decimal digits", Quote(text), ^uint64(0)>>(64-v.Type().Bits()))
		}
		v.SetUint(n)
		return nil
	default:
		panic(fmt.Sprintf("a document cannot have a %v", v.Type()))
	}
}

// check asks the Checkers, the outermost last, since it may count on the others.
func (r *reader) check(doc any) {
	Walk(doc, func(at Path, value any) {
		if c, ok := value.(Checker); ok {
			c.Check(at, func(at Path, format string, args ...any) { r.refuse(nil, at, format, args...) })
		}
	})
}
