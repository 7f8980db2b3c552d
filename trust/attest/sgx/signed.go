package sgx

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"time"
)

// Signed is a document of Intel's collateral: exactly these bytes are signed.
type Signed struct {
	Body      []byte
	Signature []byte // r and s
}

// maxDocument bounds what is parsed; Intel's documents have up to about 20,000
// bytes.
const maxDocument = 1 << 20

// splitSigned takes a document apart, {"NAME":BODY,"signature":"HEX"}, in the only
// form in which [PCS] writes it: nobody signs what is around the body, so
// nothing there may vary.
func splitSigned(document []byte, name string) (Signed, error) {
	if len(document) > maxDocument {
		return Signed{}, fmt.Errorf("document of %d bytes: at most %d are read", len(document), maxDocument)
	}
	start := `{"` + name + `":`
	rest, ok := bytes.CutPrefix(document, []byte(start))
	if !ok {
		return Signed{}, fmt.Errorf("the document does not start with %s", start)
	}
	rest, ok = bytes.CutSuffix(rest, []byte(`"}`))
	const digits = 128
	at := len(rest) - digits
	if !ok || at < 0 {
		return Signed{}, errors.New("the document does not end with a signature")
	}
	body, ok := bytes.CutSuffix(rest[:at], []byte(`,"signature":"`))
	if !ok {
		return Signed{}, errors.New("the document does not end with a signature of 128 digits")
	}
	signature := make([]byte, digits/2)
	if _, err := hex.Decode(signature, rest[at:]); err != nil {
		return Signed{}, fmt.Errorf("the signature is not in hexadecimal: %w", err)
	}
	if !bytes.Equal(hex.AppendEncode(nil, signature), rest[at:]) {
		return Signed{}, errors.New("the signature is not in small hexadecimal digits")
	}
	return Signed{Body: body, Signature: signature}, nil
}

// verify checks the signature of a document.
func (s *Signed) verify(key *ecdsa.PublicKey) error {
	if !verifyRaw(key, s.Body, s.Signature) {
		return errors.New("the signature does not hold")
	}
	return nil
}

// verifyRaw verifies a signature of 64 bytes, r and s, over the SHA-256 of
// message.
func verifyRaw(key *ecdsa.PublicKey, message, signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	digest := sha256.Sum256(message)
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(key, digest[:], r, s)
}

// parsePoint makes a public key of x and y.
func parsePoint(xy []byte) (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, xy...))
}

// fields are the members of a JSON object, not yet decoded. encoding/json takes
// the last of several members of a name and does not mind the case of names;
// here each name is exact and there once. What reads a member takes it away;
// none may be left.
type fields struct {
	members map[string]json.RawMessage
	where   string
	err     error
}

func parseObject(raw []byte, where string) *fields {
	f := &fields{members: map[string]json.RawMessage{}, where: where}
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		f.fail("is not an object")
		return f
	}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			f.fail("is not an object")
			return f
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			f.fail("%s is not JSON", name)
			return f
		}
		if _, twice := f.members[name]; twice {
			f.fail("%s is there twice", name)
		}
		f.members[name] = value
	}
	if _, err := d.Token(); err != nil {
		f.fail("does not end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		f.fail("is followed by more")
	}
	return f
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%s: %s", f.where, fmt.Sprintf(format, args...))
	}
}

func (f *fields) take(name string) (json.RawMessage, bool) {
	raw, ok := f.members[name]
	delete(f.members, name)
	return raw, ok
}

func (f *fields) need(name string) json.RawMessage {
	raw, ok := f.take(name)
	if !ok {
		f.fail("%s is missing", name)
	}
	return raw
}

// done returns the first error; a member that nothing asked for is one.
func (f *fields) done() error {
	for name := range f.members {
		f.fail("%q is not known", name)
	}
	return f.err
}

func (f *fields) string(name string) string {
	var s *string
	if raw := f.need(name); raw != nil {
		if err := json.Unmarshal(raw, &s); err != nil || s == nil {
			f.fail("%s is not a string", name)
			return ""
		}
		return *s
	}
	return ""
}

func (f *fields) optionalStrings(name string) []string {
	raw, ok := f.take(name)
	if !ok {
		return nil
	}
	var list []string
	if err := json.Unmarshal(raw, &list); err != nil || list == nil {
		f.fail("%s is not a list of strings", name)
	}
	return list
}

// uint reads digits alone: no sign, fraction or exponent.
func (f *fields) uint(name string, bits int) uint64 {
	raw := f.need(name)
	if raw == nil {
		return 0
	}
	n, err := strconv.ParseUint(string(raw), 10, bits)
	if err != nil {
		f.fail("%s is not a number of %d bits", name, bits)
	}
	return n
}

func (f *fields) hex(name string, into []byte) {
	s := f.string(name)
	if f.err != nil {
		return
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(into) {
		f.fail("%s is not %d bytes in hexadecimal", name, len(into))
		return
	}
	copy(into, b)
}

func (f *fields) time(name string) time.Time {
	s := f.string(name)
	if f.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("2006-01-02T15:04:05Z", s)
	if err != nil {
		f.fail("%s %.40q is not a date such as 2026-01-31T12:00:00Z", name, s)
	}
	return t
}

// list reads a list of at least one value.
func (f *fields) list(name string) []json.RawMessage {
	raw := f.need(name)
	if raw == nil {
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		f.fail("%s is not a list of at least one value", name)
	}
	return list
}
