// Package secret holds key material in the one type that may hold it: Bytes,
// which cannot be printed, marshalled or logged, is compared in constant time,
// is kept out of swap and core dumps where the system allows it, and is zeroed
// by whoever is done with it. The garbage collector zeroes nothing: it could not
// know of the slices that Expose gave out.
//
// What it cannot reach: copies that the standard library, Tink, age and TLS make
// of a key that they are given, and copies that a caller makes of what Expose
// returns.
package secret

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// redacted stands for every secret wherever it would be shown.
const redacted = "[secret]"

// ErrNotMarshalled is returned where a binary form of a secret is asked for.
var ErrNotMarshalled = errors.New("a secret is not marshalled: wrap it under a key first")

// Bytes is a secret. The zero value is empty. Copies of a Bytes share what they
// hold: zeroing one zeroes all. Its methods may be called concurrently, except
// that nothing may use it while it is being zeroed.
type Bytes struct {
	// A function, since reflection cannot look into one: fmt follows pointers
	// of unexported fields where a verb does not fit. It also makes == not
	// compile.
	hold func() *buffer
}

type buffer struct {
	b    []byte
	slot *slot // nil where b is of the ordinary heap
}

// New returns a secret of n zero bytes, to be filled through Expose.
func New(n int) Bytes {
	b, s := allocate(n)
	p := &buffer{b: b, slot: s}
	return Bytes{func() *buffer { return p }}
}

// Take moves b into a secret and zeroes b.
func Take(b []byte) Bytes {
	s := New(len(b))
	copy(s.Expose(), b)
	clear(b)
	return s
}

// Copy returns a secret that holds what b does; b stays as it is, for a caller
// who does not own it.
func Copy(b []byte) Bytes {
	s := New(len(b))
	copy(s.Expose(), b)
	return s
}

// Random returns n random bytes, of crypto/rand where random is nil.
func Random(random io.Reader, n int) (Bytes, error) {
	if random == nil {
		random = rand.Reader
	}
	s := New(n)
	if _, err := io.ReadFull(random, s.Expose()); err != nil {
		s.Zero()
		return Bytes{}, fmt.Errorf("read %d random bytes: %w", n, err)
	}
	return s, nil
}

// Read returns what r holds, of at most limit bytes, and leaves no other copy.
func Read(r io.Reader, limit int) (Bytes, error) {
	s := New(limit + 1)
	defer s.Zero()
	n, err := io.ReadFull(r, s.Expose())
	switch {
	case err == nil:
		return Bytes{}, fmt.Errorf("longer than %d bytes", limit)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return Copy(s.Expose()[:n]), nil
	}
	return Bytes{}, err
}

// Expose returns the bytes themselves, for the function that needs them. They
// may not be kept: after Zero they are zeroes, or another secret's.
func (s Bytes) Expose() []byte {
	if s.hold == nil {
		return nil
	}
	return s.hold().b
}

// Len returns the number of bytes.
func (s Bytes) Len() int { return len(s.Expose()) }

// Empty says whether there is no secret, or no longer.
func (s Bytes) Empty() bool { return s.Len() == 0 }

// Clone returns an independent copy.
func (s Bytes) Clone() Bytes { return Copy(s.Expose()) }

// Equal compares in constant time. Only the lengths may show.
func (s Bytes) Equal(other Bytes) bool {
	return subtle.ConstantTimeCompare(s.Expose(), other.Expose()) == 1
}

// Zero overwrites the secret and empties it. It may be called more than once.
func (s Bytes) Zero() {
	if s.hold == nil || s.hold().b == nil {
		return
	}
	p := s.hold()
	release(p.b, p.slot)
	p.b, p.slot = nil, nil
}

// String implements fmt.Stringer.
func (s Bytes) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (s Bytes) GoString() string { return redacted }

// Format implements fmt.Formatter: every verb shows the same word.
func (s Bytes) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) } //nolint:errcheck // a Formatter has no way to say so

// LogValue implements slog.LogValuer.
func (s Bytes) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler.
func (s Bytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler.
func (s Bytes) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML is what YAML packages look for.
func (s Bytes) MarshalYAML() (any, error) { return redacted, nil }

// MarshalBinary implements encoding.BinaryMarshaler, and refuses.
func (s Bytes) MarshalBinary() ([]byte, error) { return nil, ErrNotMarshalled }

// GobEncode implements gob.GobEncoder, and refuses.
func (s Bytes) GobEncode() ([]byte, error) { return nil, ErrNotMarshalled }
