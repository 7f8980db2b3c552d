// Package protector keeps the broker's root key where the store's reader cannot
// get it: sealed by the platform to the running program's measurement, in a file
// under a passphrase, in HashiCorp Vault's transit engine, in a cloud's key
// management service, or split so that every owner must come to unlock it.
package protector

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"cloister/trust/secret"
)

// KeySize is the length of a root key in bytes.
const KeySize = 32

// Origin is where that comes from which opens a root key.
type Origin int

// The origins. In a trusted execution environment the host is the attacker, so
// that what it supplies opens nothing there.
const (
	// Host: whoever starts the program supplies it, such as a passphrase or the
	// credentials of a key management service.
	Host Origin = iota
	// Platform: the processor gives it to the measured program alone.
	Platform
	// Owners: the data owners give it, over a channel that they attested.
	Owners
)

// Protector seals root keys.
type Protector interface {
	// Name is written beside what was sealed, and stays the same for ever.
	Name() string
	Origin() Origin
	// Seal protects the key, which stays the caller's, so that it only opens
	// again with the same associated data.
	Seal(ctx context.Context, key secret.Bytes, associated []byte) ([]byte, error)
	// Unseal opens what Seal returned, which may have been changed since. It
	// returns an error with ErrSealed in its chain where this place, passphrase
	// or credential cannot open it, and one with ErrWaiting where owners have to
	// come first.
	Unseal(ctx context.Context, sealed, associated []byte) (secret.Bytes, error)
}

var (
	// ErrSealed is in the chain of errors that say that what was sealed does not
	// open: another measurement, passphrase or key, or changed bytes.
	ErrSealed = errors.New("the root key does not open")
	// ErrWaiting is in the chain of errors that say who still has to unlock.
	ErrWaiting = errors.New("the root key is locked")
	// ErrHostSupplied is in the chain of the refusal to open a root key in a
	// trusted execution environment by what its host supplies.
	ErrHostSupplied = errors.New("refused in a trusted execution environment")
)

// Refuse returns an error if the protector must not be used where the program
// runs: in a trusted execution environment its host knows what it supplied.
func Refuse(p Protector, inTEE bool) error {
	if inTEE && p.Origin() != Platform && p.Origin() != Owners {
		return fmt.Errorf("root key protector %q: its host supplies what opens it: %w: use platform sealing or owners", p.Name(), ErrHostSupplied)
	}
	return nil
}

// checkKey keeps anything but a root key from being sealed as one.
func checkKey(key secret.Bytes) error {
	if key.Len() != KeySize {
		return fmt.Errorf("a root key has %d bytes, not %d", KeySize, key.Len())
	}
	return nil
}

// derive gives the key that wraps, by HKDF-SHA256 (RFC 5869) of what opens the
// seal; info tells the protectors apart.
func derive(input []byte, info string) (secret.Bytes, error) {
	key, err := hkdf.Key(sha256.New, input, nil, "cloister.root-protector.v1 "+info, KeySize)
	if err != nil {
		return secret.Bytes{}, err
	}
	return secret.Take(key), nil
}

// binding is the hash of associated data for services that do not take any:
// it is sealed together with the key.
func binding(associated []byte) [sha256.Size]byte {
	h := sha256.New()
	const domain = "cloister.root-protector.v1 binding"
	for _, part := range [][]byte{[]byte(domain), associated} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// bind returns key and the hash of the associated data as one plain text.
func bind(key secret.Bytes, associated []byte) (secret.Bytes, error) {
	if err := checkKey(key); err != nil {
		return secret.Bytes{}, err
	}
	hash := binding(associated)
	both := secret.New(KeySize + len(hash))
	copy(both.Expose(), key.Expose())
	copy(both.Expose()[KeySize:], hash[:])
	return both, nil
}

// unbind is the reverse of bind, and refuses other associated data.
func unbind(both secret.Bytes, associated []byte) (secret.Bytes, error) {
	if both.Len() != KeySize+sha256.Size {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes were sealed, not a root key", ErrSealed, both.Len())
	}
	want := binding(associated)
	if got := secret.Copy(both.Expose()[KeySize:]); !got.Equal(secret.Copy(want[:])) {
		return secret.Bytes{}, fmt.Errorf("%w: it was sealed for another broker or root", ErrSealed)
	}
	return secret.Copy(both.Expose()[:KeySize]), nil
}
