package broker

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// The greatest nesting of a request and the most keys of an object in one; none
// that is valid comes near.
const (
	maxDepth = 16
	maxKeys  = 64
)

// errSyntax says that a text is not JSON; encoding/json says better why.
var errSyntax = errors.New("it does not decode: it is not JSON")

// checkKeys refuses what encoding/json would let pass: a key that is there
// twice, of which it takes the last, keys that differ from a field's name in
// case, of which it takes either, and whatever follows the value. It reads a text
// once and keeps nothing, since requests with evidence are long.
func checkKeys(data []byte) error {
	s := &strict{data: data}
	s.space()
	if s.at == len(data) {
		return errors.New("it is empty")
	}
	if err := s.value(0); err != nil {
		return err
	}
	s.space()
	if s.at < len(data) {
		return fmt.Errorf("byte %d: something follows the value", s.at)
	}
	return nil
}

// strict reads JSON (RFC 8259), as far as keys and borders of values go. What is
// in numbers and strings is for encoding/json to judge.
type strict struct {
	data []byte
	at   int
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

func (s *strict) value(depth int) error {
	s.space()
	if s.at == len(s.data) {
		return errSyntax
	}
	switch c := s.data[s.at]; {
	case (c == '{' || c == '[') && depth == maxDepth:
		return fmt.Errorf("byte %d: nested more than %d deep", s.at+1, maxDepth)
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, err := s.text()
		return err
	}
	return s.word()
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

func (s *strict) array(depth int) error {
	s.at++
	if s.take(']') {
		return nil
	}
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

func (s *strict) object(depth int) error {
	s.at++
	if s.take('}') {
		return nil
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
		if !s.take(':') {
			return errSyntax
		}
		if err := s.value(depth + 1); err != nil {
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
