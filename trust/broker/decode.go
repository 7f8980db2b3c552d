package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"unicode/utf8"
)

// maxDepth is the greatest nesting of a request; none that is valid comes near.
const maxDepth = 16

// decode reads one JSON value strictly: UTF-8, no unknown field, no key twice,
// nothing after it. Names are matched as they are written.
func decode(data []byte, into any) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8")
	}
	if err := checkKeys(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return plainError(err)
	}
	return nil
}

// plainError drops Go's names of types from what a peer is told.
func plainError(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("byte %d: field %.80q does not take a %s", kind.Offset, kind.Field, kind.Value)
	}
	return fmt.Errorf("it does not decode: %.200s", err.Error())
}

// checkKeys refuses what encoding/json would let pass: a key that is there
// twice, of which it takes the last, and keys that differ from a field's name in
// case, of which it takes either.
func checkKeys(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	type level struct {
		object, isKey bool
		seen          map[string]bool
	}
	var stack []level
	// next says that a value ended.
	next := func() {
		if n := len(stack); n > 0 && stack[n-1].object {
			stack[n-1].isKey = true
		}
	}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && len(stack) == 0 {
			return errors.New("it is empty")
		}
		if err != nil {
			return plainError(err)
		}
		switch t := token.(type) {
		case json.Delim:
			switch t {
			case '{', '[':
				if len(stack) == maxDepth {
					return fmt.Errorf("byte %d: nested more than %d deep", d.InputOffset(), maxDepth)
				}
				stack = append(stack, level{object: t == '{', isKey: t == '{', seen: map[string]bool{}})
			default:
				stack = stack[:len(stack)-1]
				next()
			}
		case string:
			if n := len(stack); n > 0 && stack[n-1].isKey {
				top := &stack[n-1]
				if top.seen[t] {
					return fmt.Errorf("byte %d: key %.80q is there twice", d.InputOffset(), t)
				}
				if !lowerKey(t) {
					return fmt.Errorf("byte %d: key %.80q is not lower-case letters, digits and underscores", d.InputOffset(), t)
				}
				top.seen[t], top.isKey = true, false
				continue
			}
			next()
		default:
			next()
		}
		if len(stack) == 0 {
			break
		}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("byte %d: something follows the value", d.InputOffset())
	}
	return nil
}

func lowerKey(key string) bool {
	for i := range len(key) {
		if c := key[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return key != ""
}

// readBody reads and decodes the body of a request.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return refuse(CodeMediaType, "the body's Content-Type is %.80q; wanted is application/json", r.Header.Get("Content-Type"))
	}
	if r.Header.Get("Content-Encoding") != "" {
		return refuse(CodeMediaType, "the body has a Content-Encoding; none is accepted")
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(CodeTooLarge, "the body is larger than %d bytes", limit)
	case err != nil:
		return refuse(CodeMalformed, "the body did not arrive: %v", err)
	}
	if err := decode(data, into); err != nil {
		return refuse(CodeMalformed, "the body: %v", err)
	}
	return nil
}
