package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"cloister/trust/secret"
)

// label says what a wrapped key is. All of it is bound to the wrapped bytes, so
// that none can stand in for another.
type label struct {
	broker  string
	purpose string
	owner   string
	dataSet string
	version uint64
	id      string
}

// Purposes of wrapped keys. Each also has its own wrapping key.
const (
	purposeSubRoot  = "sub-root"
	purposeDataKey  = "data key"
	purposeOwn      = "broker's own"
	purposeRecovery = "recovery"
	purposeRegister = "register" // a MAC, nothing is wrapped
)

const wrapDomain = "cloister.vault.wrapped.v1"

// canonical joins parts so that no two lists of parts give the same bytes: each
// is preceded by its length as a 64-bit big-endian number.
func canonical(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.BigEndian.AppendUint64(out, uint64(len(p)))
		out = append(out, p...)
	}
	return out
}

func (l label) associated() []byte {
	version := string(binary.BigEndian.AppendUint64(nil, l.version))
	return canonical(wrapDomain, l.broker, l.purpose, l.owner, l.dataSet, version, l.id)
}

// wrappedV1 is the first byte of a wrapped key: AES-256-GCM (NIST SP 800-38D)
// with a random 96-bit nonce, which precedes the ciphertext.
const wrappedV1 = 1

// overhead of a wrapped key: version, nonce, tag.
const overhead = 1 + 12 + 16

// mostWrapped bounds what a store or a backup can make us copy.
const mostWrapped = 128 << 10

func (l label) aead(kek secret.Bytes) (cipher.AEAD, error) {
	if kek.Len() != rootSize {
		return nil, fmt.Errorf("a wrapping key has %d bytes, not %d", rootSize, kek.Len())
	}
	// A key for each purpose, by HKDF-Expand (RFC 5869): no pair of purposes
	// shares the bound on messages of one key.
	key, err := derived(kek, l.purpose)
	if err != nil {
		return nil, err
	}
	defer key.Zero()
	block, err := aes.NewCipher(key.Expose())
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// wrap encrypts a key under another.
func wrap(kek secret.Bytes, l label, key secret.Bytes) ([]byte, error) {
	if key.Empty() || key.Len() > mostWrapped-overhead {
		return nil, fmt.Errorf("wrap %s: a key of %d bytes", l.purpose, key.Len())
	}
	aead, err := l.aead(kek)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 1, overhead+key.Len())
	out[0] = wrappedV1
	return aead.Seal(out, nil, key.Expose(), l.associated()), nil
}

// unwrap is the reverse of wrap. It fails where a byte of the wrapped key or of
// its label is not what it was.
func unwrap(kek secret.Bytes, l label, wrapped []byte) (secret.Bytes, error) {
	if len(wrapped) <= overhead || len(wrapped) > mostWrapped || wrapped[0] != wrappedV1 {
		return secret.Bytes{}, fmt.Errorf("%s of owner %q: %w: %d bytes are no wrapped key", l.purpose, l.owner, ErrTampered, len(wrapped))
	}
	aead, err := l.aead(kek)
	if err != nil {
		return secret.Bytes{}, err
	}
	out := secret.New(len(wrapped) - overhead)
	plain, err := aead.Open(out.Expose()[:0], nil, wrapped[1:], l.associated())
	if err != nil {
		out.Zero()
		return secret.Bytes{}, fmt.Errorf("%s of owner %q: %w: it does not open", l.purpose, l.owner, ErrTampered)
	}
	if &plain[0] != &out.Expose()[0] {
		copy(out.Expose(), plain)
		clear(plain)
	}
	return out, nil
}
