package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Schema is the JSON schema (draft 2020-12) of a document's type. It says what a
// file may look like; what its Checkers ask besides, it cannot say.
func Schema(doc any, id, title string) ([]byte, error) {
	s := &schemas{defs: make(map[string]any)}
	root := s.structure(reflect.TypeOf(doc).Elem())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = id
	root["title"] = title
	root["$defs"] = s.defs
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(root) // maps come sorted
	return b.Bytes(), err
}

type schemas struct{ defs map[string]any }

type schema = map[string]any

func (s *schemas) structure(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, f := range fieldsOf(t) {
		one := s.value(f.Type)
		if f.doc != "" {
			one["description"] = f.doc
		}
		if f.preset() != "" {
			one["default"] = jsonDefault(&f)
		}
		properties[f.name] = one
		if f.required() {
			required = append(required, f.name)
		}
	}
	out := schema{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// jsonDefault is a default as JSON has it.
func jsonDefault(f *field) any {
	switch {
	case isSet(f.Type):
		return strings.Fields(f.preset())
	case isText(f.Type):
		return f.preset()
	}
	return json.RawMessage(f.preset())
}

func (s *schemas) value(t reflect.Type) schema {
	switch {
	case isText(t):
		name := t.Name()
		if s.defs[name] == nil {
			s.defs[name] = textSchema(formOf(t))
		}
		return schema{"$ref": "#/$defs/" + name}
	case t.Kind() == reflect.Bool:
		return schema{"type": "boolean"}
	case isLeaf(t):
		return schema{"type": "integer", "minimum": 0, "maximum": json.Number(fmt.Sprint(^uint64(0) >> (64 - t.Bits())))}
	case isSet(t):
		return schema{"type": "array", "uniqueItems": true, "items": s.value(t.Elem())}
	case t.Kind() == reflect.Map:
		return schema{"type": "object", "propertyNames": s.value(t.Key()), "additionalProperties": s.value(t.Elem())}
	case t.Kind() == reflect.Pointer:
		t = t.Elem()
	}
	if s.defs[t.Name()] == nil {
		s.defs[t.Name()] = true // while it is made
		s.defs[t.Name()] = s.structure(t)
	}
	return schema{"$ref": "#/$defs/" + t.Name()}
}

func textSchema(f Form) schema {
	out := schema{"type": "string", "title": f.Name}
	switch {
	case f.Number: // YAML takes it for a number where it looks like one
		out["type"] = []string{"string", "integer"}
	case f.Values != nil:
		out["enum"] = f.Values
	}
	if f.Pattern != "" {
		out["pattern"] = f.Pattern
	}
	if f.Example != "" && !strings.Contains(f.Example, "…") {
		out["examples"] = []string{f.Example}
	}
	return out
}
