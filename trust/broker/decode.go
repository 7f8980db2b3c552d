package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"unicode/utf8"
)

// decode reads one JSON value strictly: UTF-8, no unknown field, no key twice,
// nothing after it. Names are matched as they are written.
func decode(data []byte, into any) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8")
	}
	s := &strict{data: data}
	err := s.into(reflect.ValueOf(into).Elem())
	if errors.Is(err, errSyntax) {
		// For the better message, into nothing that counts.
		var nothing any
		if err := json.Unmarshal(data, &nothing); err != nil {
			return plainError(err)
		}
	}
	return err
}

// plainError drops Go's names of types from what a peer is told.
func plainError(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("byte %d: field %.80q does not take a %s", kind.Offset, kind.Field, kind.Value)
	}
	return fmt.Errorf("it does not decode: %.200s", err.Error())
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
	var body bytes.Buffer
	// As much at once as a request with evidence has; more has to arrive first.
	body.Grow(int(min(max(r.ContentLength, 0), 16<<10)) + bytes.MinRead)
	_, err = body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return refuse(CodeTooLarge, "the body is larger than %d bytes", limit)
	case err != nil:
		return refuse(CodeMalformed, "the body did not arrive: %v", err)
	}
	if err := decode(body.Bytes(), into); err != nil {
		return refuse(CodeMalformed, "the body: %v", err)
	}
	return nil
}
