package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// Sealer protects the files of a store.
type Sealer interface {
	// AEAD returns what seals the records of one file. The salt is random, drawn
	// by the store for this file alone and kept in its header, so that every
	// file has a key of its own. Nonces are the AEAD's own affair: NonceSize is
	// zero and Overhead includes them, as with cipher.NewGCMWithRandomNonce.
	AEAD(salt [32]byte) (cipher.AEAD, error)
}

// KeySize is the size of the key that NewSealer takes.
const KeySize = 32

// NewSealer returns a Sealer that seals with AES-256-GCM under keys that
// HKDF-SHA-256 (RFC 5869) derives from the key and each file's salt, with
// random nonces. A file holds far fewer than the 2³² records that NIST
// SP 800-38D section 8.3 allows for a key.
func NewSealer(key []byte) (Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the store's key has %d bytes, not %d", len(key), KeySize)
	}
	return keySealer{append([]byte{}, key...)}, nil
}

// keySealer's key cannot be printed with %v of a struct that holds it.
type keySealer struct{ key []byte }

// String keeps the key out of logs.
func (keySealer) String() string { return "store key" }

// GoString keeps the key out of logs.
func (keySealer) GoString() string { return "store key" }

// AEAD implements Sealer.
func (s keySealer) AEAD(salt [32]byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, s.key, salt[:], "cloister.store.v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
