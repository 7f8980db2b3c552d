package broker

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// The greatest nesting of a request and the most keys of an object in one; none
// that is valid comes near.
const (
	maxDepth = 16
	maxKeys  = 64
)

// errSyntax says that a text is not JSON; encoding/json says better why.
var errSyntax = errors.New("it does not decode: it is not JSON")

// strict reads JSON (RFC 8259) once, from front to back, into structs. It refuses
// what encoding/json would let pass: a key that is there twice, of which it takes
// the last, keys that differ from a field's name in case, of which it takes
// either, and whatever follows the value. Bytes in base64, which are most of a
// request with evidence, go straight to their place; other values are for
// encoding/json.
type strict struct {
	data []byte
	at   int
}

// into reads the whole text.
func (s *strict) into(v reflect.Value) error {
	s.space()
	if s.at == len(s.data) {
		return errors.New("it is empty")
	}
	if err := s.value(0, v, ""); err != nil {
		return err
	}
	s.space()
	if s.at < len(s.data) {
		return fmt.Errorf("byte %d: something follows the value", s.at)
	}
	return nil
}

func (s *strict) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// take goes over a byte, if it is the next but for space.
func (s *strict) take(c byte) bool {
	s.space()
	if s.at < len(s.data) && s.data[s.at] == c {
		s.at++
		return true
	}
	return false
}

// value reads a value into v, or nowhere if v is none. Field is where, for
// messages.
func (s *strict) value(depth int, v reflect.Value, field string) error {
	s.space()
	if s.at == len(s.data) {
		return errSyntax
	}
	c, from := s.data[s.at], s.at
	if (c == '{' || c == '[') && depth == maxDepth {
		return fmt.Errorf("byte %d: nested more than %d deep", s.at+1, maxDepth)
	}
	switch {
	case c == '{' && plainStruct(v):
		return s.object(depth, v, field)
	case c == '[' && plainSlice(v):
		return s.array(depth, v, field)
	}
	var err error
	var text []byte
	switch c {
	case '{':
		err = s.object(depth, reflect.Value{}, field)
	case '[':
		err = s.array(depth, reflect.Value{}, field)
	case '"':
		text, err = s.text()
	default:
		err = s.word()
	}
	if err != nil || !v.IsValid() {
		return err
	}
	if c == '"' && asWritten(text) {
		if done, err := s.plainText(text, v, field); done {
			return err
		}
	}
	return s.leave(s.data[from:s.at], v, field)
}

// asWritten says that a string's text is what is between the quotes.
func asWritten(text []byte) bool {
	for _, c := range text {
		if c < 0x20 || c == '\\' {
			return false
		}
	}
	return true
}

// plainText puts a text to its place, if it is one that takes a text.
func (s *strict) plainText(text []byte, v reflect.Value, field string) (done bool, err error) {
	switch t := v.Type(); {
	case t == typeBytes:
		b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(b, text)
		if err != nil {
			return true, fmt.Errorf("byte %d: field %.80q is no base64", s.at, field)
		}
		v.SetBytes(b[:n])
	case reflect.PointerTo(t).Implements(typeUnmarshaler):
		return false, nil
	case reflect.PointerTo(t).Implements(typeText):
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(text); err != nil {
			return true, plainError(err)
		}
	case t.Kind() == reflect.String:
		v.SetString(string(text))
	default:
		return false, nil
	}
	return true, nil
}

// leave leaves a value to encoding/json.
func (s *strict) leave(text []byte, v reflect.Value, field string) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v.Addr().Interface()); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			if kind.Field != "" {
				field += "." + kind.Field
			}
			return fmt.Errorf("byte %d: field %.80q does not take a %s", s.at, strings.TrimPrefix(field, "."), kind.Value)
		}
		return plainError(err)
	}
	if int(d.InputOffset()) != len(text) {
		return errSyntax // such as 00, of which the decoder takes a part
	}
	return nil
}

var (
	typeBytes       = reflect.TypeFor[[]byte]()
	typeUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	typeText        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// own says that a type reads itself.
func own(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(typeUnmarshaler) || p.Implements(typeText)
}

func plainStruct(v reflect.Value) bool {
	return v.IsValid() && v.Kind() == reflect.Struct && !own(v.Type())
}

func plainSlice(v reflect.Value) bool {
	return v.IsValid() && v.Kind() == reflect.Slice && v.Type() != typeBytes && !own(v.Type())
}

// word goes over true, false, null, or what may be a number.
func (s *strict) word() error {
	for _, w := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(s.data[s.at:], []byte(w)) {
			s.at += len(w)
			return nil
		}
	}
	from := s.at
	for s.at < len(s.data) && bytes.IndexByte([]byte("+-.0123456789Ee"), s.data[s.at]) >= 0 {
		s.at++
	}
	if s.at == from {
		return errSyntax
	}
	return nil
}

// array reads an array into a slice, or nowhere.
func (s *strict) array(depth int, v reflect.Value, field string) error {
	s.at++
	if v.IsValid() {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	if s.take(']') {
		return nil
	}
	for {
		var element reflect.Value
		if v.IsValid() {
			element = reflect.New(v.Type().Elem()).Elem()
		}
		if err := s.value(depth+1, element, field); err != nil {
			return err
		}
		if v.IsValid() {
			v.Set(reflect.Append(v, element))
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// object reads an object into a struct, or nowhere.
func (s *strict) object(depth int, v reflect.Value, field string) error {
	s.at++
	if s.take('}') {
		return nil
	}
	var fields map[string][]int
	if v.IsValid() {
		fields = fieldsOf(v.Type())
	}
	var seen [][]byte
	for {
		s.space()
		key, err := s.text()
		switch {
		case err != nil:
			return err
		case !lowerKey(key):
			return fmt.Errorf("byte %d: key %.80q is not lower-case letters, digits and underscores", s.at, key)
		case slices.ContainsFunc(seen, func(k []byte) bool { return bytes.Equal(k, key) }):
			return fmt.Errorf("byte %d: key %.80q is there twice", s.at, key)
		case len(seen) == maxKeys:
			return fmt.Errorf("byte %d: an object of more than %d keys", s.at, maxKeys)
		}
		seen = append(seen, key)
		var to reflect.Value
		if v.IsValid() {
			place, known := fields[string(key)]
			if !known {
				return fmt.Errorf("byte %d: unknown field %.80q", s.at, key)
			}
			to = v.FieldByIndex(place)
		}
		if !s.take(':') {
			return errSyntax
		}
		if err := s.value(depth+1, to, strings.TrimPrefix(field+"."+string(key), ".")); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// text returns what is between the quotes of a string, as it is written.
func (s *strict) text() ([]byte, error) {
	if s.at == len(s.data) || s.data[s.at] != '"' {
		return nil, errSyntax
	}
	from := s.at + 1
	for at := from; ; {
		n := bytes.IndexByte(s.data[at:], '"')
		if n < 0 {
			return nil, errSyntax
		}
		// It ends the string unless an odd number of backslashes is before it.
		at += n + 1
		before := s.data[from : at-1]
		if (len(before)-len(bytes.TrimRight(before, "\\")))%2 == 0 {
			s.at = at
			return before, nil
		}
	}
}

// lowerKey says whether a key is written as all names of fields are. An escape is
// none of these letters.
func lowerKey(key []byte) bool {
	for _, c := range key {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return len(key) > 0
}

// knownFields has fieldsOf of each type that was read.
var knownFields sync.Map

// fieldsOf returns where the fields of a struct are, by the names of their tags,
// those of structs that are embedded without a name among them.
func fieldsOf(t reflect.Type) map[string][]int {
	if known, ok := knownFields.Load(t); ok {
		return known.(map[string][]int)
	}
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "" && name != "-" {
			fields[name] = f.Index
		}
	}
	knownFields.Store(t, fields)
	return fields
}
