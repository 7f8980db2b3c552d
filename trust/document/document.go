// Package document has what people write, read and sign: typed documents in
// strict YAML. One declaration, a Go struct with tags, gives all of it: the
// reader, which refuses whatever it does not know; the canonical form, which is
// both what is hashed and what is shown; the difference between two documents;
// the JSON schema and the reference page.
//
// The tags of a field are
//
//	json:"name"          its name, in YAML and JSON alike
//	rule:"required"      it must be written
//	default:"TEXT"       what it is where it is not written
//	doc:"…"              what it means, for schema and reference
//
// Others are for the owner of the struct, who finds them in Step.Field. A field
// is a bool, an unsigned integer, a type with a text form (Text), a slice of
// such, which is a set whose order means nothing, a map from names to structs or
// slices, a struct, or a pointer to a struct that may be absent. Embedded structs
// are part of the struct around them.
package document

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// Text is a type with a text form of its own. Its zero value means that it is
// not written.
type Text interface {
	encoding.TextMarshaler
	// Form says what the text looks like.
	Form() Form
}

// Form is what the text of a type looks like, for people and for a schema.
type Form struct {
	Name    string // such as "SHA-256"
	Pattern string // a regular expression of ECMA 262, anchored; "" if Values has all
	Values  []string
	Example string
	// Number says that the text may be written as a plain number.
	Number bool
}

// Checker is a document, or a part of one, with rules that its types cannot
// say. Check calls refuse for each rule that is broken; path is that of the
// receiver.
type Checker interface {
	Check(path Path, refuse func(at Path, format string, args ...any))
}

// field is one field of a struct, embedded structs unfolded.
type field struct {
	reflect.StructField
	name string
	doc  string
}

func (f *field) required() bool  { return f.Tag.Get("rule") == "required" }
func (f *field) preset() string  { return f.Tag.Get("default") }
func (f *field) optional() bool  { return !f.required() && f.preset() == "" }
func (f *field) isStruct() bool  { return f.Type.Kind() == reflect.Struct && !isText(f.Type) }
func (f *field) isPointer() bool { return f.Type.Kind() == reflect.Pointer }

// fieldsOf lists the fields of a struct in the order of their declaration, which
// is that of the canonical form.
func fieldsOf(t reflect.Type) []field {
	if known, ok := fieldCache.Load(t); ok {
		return known.([]field) //nolint:errcheck // nothing else is in it
	}
	var all []field
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			panic(fmt.Sprintf("field %s of %v has no name in a json tag", f.Name, t))
		}
		all = append(all, field{StructField: f, name: name, doc: f.Tag.Get("doc")})
	}
	fieldCache.Store(t, all)
	return all
}

// fieldCache keeps what fieldsOf found, by type: a struct has its fields for
// good.
var fieldCache sync.Map

var (
	textType        = reflect.TypeFor[Text]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func isText(t reflect.Type) bool { return t.Implements(textType) }

// isLeaf reports whether a value of the type is one scalar.
func isLeaf(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return isText(t)
}

// isSet reports whether a value of the type is a list of scalars.
func isSet(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && !isText(t) && isLeaf(t.Elem())
}

// formOf is the form of a leaf's text.
func formOf(t reflect.Type) Form {
	if isText(t) {
		return reflect.Zero(t).Interface().(Text).Form() //nolint:errcheck // isText says that it is one
	}
	switch t.Kind() {
	case reflect.Bool:
		return Form{Name: "boolean", Values: []string{"true", "false"}}
	default:
		return Form{Name: fmt.Sprintf("number below 2^%d", t.Bits()), Pattern: `^(0|[1-9][0-9]*)$`, Number: true}
	}
}

// leafText is the canonical text of a leaf.
func leafText(v reflect.Value) string {
	if t, ok := v.Interface().(Text); ok {
		text, err := t.MarshalText()
		if err != nil {
			panic(fmt.Sprintf("%v has no text: %v", v.Type(), err)) // a Text in a document was parsed
		}
		return string(text)
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return "true"
		}
		return "false"
	default:
		return fmt.Sprint(v.Uint())
	}
}
