package protector

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cloister/trust/secret"
)

// GramineKeys is where Gramine shows the keys of the running enclave.
const GramineKeys = "/dev/attestation/keys"

// The file names of Gramine's special keys ("Attestation and Secret
// Provisioning", keys/<key_name>): EGETKEY's sealing keys under the policies
// MRENCLAVE and MRSIGNER. Only the first is ever read: whoever holds the
// signer's key could sign a program that reads the second.
const gramineMREnclave = "_sgx_mrenclave"

// gramineKeySize is that of SGX's sealing key.
const gramineKeySize = 16

// Gramine seals to the measurement of the running program, by a key that the
// processor gives to it alone on this machine. A new microcode may change that
// key (CPUSVN is part of its derivation): owners' recovery, or a hand-over before
// the update, is the way out.
type Gramine struct {
	keys fs.FS
}

// NewGramine uses the sealing key that Gramine shows in a directory, GramineKeys.
func NewGramine(keys string) (*Gramine, error) {
	p := &Gramine{os.DirFS(filepath.Clean(keys))}
	key, err := p.key()
	if err != nil {
		return nil, err
	}
	key.Zero()
	return p, nil
}

// Name implements Protector.
func (*Gramine) Name() string { return "gramine-mrenclave" }

// Origin implements Protector.
func (*Gramine) Origin() Origin { return Platform }

// key reads the sealing key and derives what wraps.
func (p *Gramine) key() (secret.Bytes, error) {
	f, err := p.keys.Open(gramineMREnclave)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("sealing key of the platform: %w: only an SGX enclave under Gramine has one", err)
	}
	defer f.Close() //nolint:errcheck // only read
	raw, err := secret.Read(f, gramineKeySize)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("sealing key of the platform: %w", err)
	}
	defer raw.Zero()
	if raw.Len() != gramineKeySize || raw.Equal(secret.New(gramineKeySize)) {
		return secret.Bytes{}, fmt.Errorf("sealing key of the platform: %d bytes, or zeros: it has %d bytes", raw.Len(), gramineKeySize)
	}
	return derive(raw.Expose(), "gramine-mrenclave")
}

// Seal implements Protector.
func (p *Gramine) Seal(_ context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	kek, err := p.key()
	if err != nil {
		return nil, err
	}
	defer kek.Zero()
	return seal(kek, key, associated)
}

// Unseal implements Protector.
func (p *Gramine) Unseal(_ context.Context, sealed, associated []byte) (secret.Bytes, error) {
	kek, err := p.key()
	if err != nil {
		return secret.Bytes{}, err
	}
	defer kek.Zero()
	key, err := unseal(kek, sealed, associated)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: it was sealed to another measurement, machine or firmware, or changed", err)
	}
	return key, nil
}

// seal is AES-256-GCM with a random nonce before the ciphertext.
func seal(kek, key secret.Bytes, associated []byte) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	aead, err := gcm(kek)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, key.Expose(), associated), nil
}

func unseal(kek secret.Bytes, sealed, associated []byte) (secret.Bytes, error) {
	aead, err := gcm(kek)
	if err != nil {
		return secret.Bytes{}, err
	}
	if len(sealed) != KeySize+aead.Overhead() {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes", ErrSealed, len(sealed))
	}
	plain, err := aead.Open(nil, nil, sealed, associated)
	if err != nil {
		return secret.Bytes{}, ErrSealed
	}
	return secret.Take(plain), nil
}

func gcm(kek secret.Bytes) (cipher.AEAD, error) {
	block, err := aes.NewCipher(kek.Expose())
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
