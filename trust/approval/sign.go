package approval

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"

	"cloister/trust/sshsig"
)

// Purpose is what a signature is for. It is the namespace of SSH signatures and
// begins what Ed25519 signs, so that a signature for one purpose is none for
// another.
type Purpose string

// The purposes.
const (
	ForPolicy   Purpose = "policy-v1@cloister"   // a change of a policy
	ForFreeze   Purpose = "freeze-v1@cloister"   // an owner stops all releases of its keys
	ForUnfreeze Purpose = "unfreeze-v1@cloister" // an owner allows them again
	ForJob      Purpose = "job-v1@cloister"      // an owner approves a job
	ForRestore  Purpose = "restore-v1@cloister"  // an owner confirms the last checkpoint it saw
)

// ErrRefused is in the chain of errors which say that a signature is none, or is
// not one that is wanted.
var ErrRefused = errors.New("signature refused")

// Signature is one signature of one key, in one of two forms: an SSH signature
// in its armor, as ssh-keygen -Y sign writes it, or Ed25519's 64 bytes.
type Signature struct {
	key PublicKey
	ssh *sshsig.Signature
	raw []byte
}

// Key is the key that signed, if the signature is valid.
func (s *Signature) Key() PublicKey { return s.key }

// rawSignature is the JSON form of a signature that is not an SSH signature.
type rawSignature struct {
	Format    string    `json:"format"`
	Key       PublicKey `json:"key"`
	Signature []byte    `json:"signature"`
}

const rawFormat = "cloister-ed25519-signature/1"

// ParseSignature reads the text of a signature.
func ParseSignature(text []byte) (*Signature, error) {
	const maxBytes = 1 << 15
	text = bytes.TrimSpace(text)
	switch {
	case len(text) > maxBytes:
		return nil, fmt.Errorf("a signature of %d bytes is too long", len(text))
	case bytes.HasPrefix(text, []byte("-----BEGIN")):
		sig, err := sshsig.Parse(text)
		if err != nil {
			return nil, err
		}
		key, err := newPublicKey(sig.Key)
		if err != nil {
			return nil, err
		}
		return &Signature{key: key, ssh: sig}, nil
	case !bytes.HasPrefix(text, []byte("{")):
		return nil, errors.New("not a signature: wanted is an SSH signature or a document of \"cloister broker policy sign\"")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var raw rawSignature
	if err := d.Decode(&raw); err != nil {
		return nil, fmt.Errorf("a damaged signature: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("a damaged signature: something stands behind it")
	}
	switch {
	case raw.Format != rawFormat:
		return nil, fmt.Errorf("a signature of the format %.60q, not %q", raw.Format, rawFormat)
	case raw.Key.Type() != ssh.KeyAlgoED25519:
		return nil, fmt.Errorf("a signature of an Ed25519 key that names a key of type %.60q", raw.Key.Type())
	case len(raw.Signature) != ed25519.SignatureSize:
		return nil, fmt.Errorf("an Ed25519 signature of %d bytes, not %d", len(raw.Signature), ed25519.SignatureSize)
	}
	return &Signature{key: raw.Key, raw: raw.Signature}, nil
}

// MarshalText implements encoding.TextMarshaler: the text that ParseSignature
// reads.
func (s *Signature) MarshalText() ([]byte, error) {
	if s.ssh != nil {
		return s.ssh.Armor(), nil
	}
	text, err := json.Marshal(rawSignature{Format: rawFormat, Key: s.key, Signature: s.raw})
	return append(text, '\n'), err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Signature) UnmarshalText(text []byte) error {
	parsed, err := ParseSignature(text)
	if err != nil {
		return err
	}
	*s = *parsed
	return nil
}

// Verify proves that the key signed the message for the purpose.
func (s *Signature) Verify(purpose Purpose, message []byte) error {
	if s.ssh != nil {
		if err := s.ssh.Verify(string(purpose), message); err != nil {
			return fmt.Errorf("%w: key %s: %w", ErrRefused, s.key.Fingerprint(), err)
		}
		return nil
	}
	key, err := s.key.ssh()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	crypto, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return fmt.Errorf("%w: not an Ed25519 key", ErrRefused)
	}
	public, ok := crypto.CryptoPublicKey().(ed25519.PublicKey)
	if !ok || len(s.raw) != ed25519.SignatureSize || !ed25519.Verify(public, rawMessage(purpose, message), s.raw) {
		return fmt.Errorf("%w: key %s did not sign this for %s", ErrRefused, s.key.Fingerprint(), purpose)
	}
	return nil
}

// rawMessage is what Ed25519 signs: the purpose, a zero byte, the message. No
// purpose has a zero byte or begins as an SSH signature does.
func rawMessage(purpose Purpose, message []byte) []byte {
	return append(append([]byte(purpose), 0), message...)
}

// PrivateKey signs. It cannot be printed.
type PrivateKey struct {
	raw ed25519.PrivateKey // of PEM, else nil
	ssh ssh.Signer
	key PublicKey
}

// ErrPassphrase is returned by ParsePrivateKey for a key that needs one.
var ErrPassphrase = errors.New("the key is encrypted and needs its passphrase")

// ParsePrivateKey reads an Ed25519 key in PEM (PKCS #8) or a private key of
// OpenSSH. passphrase is nil where there is none. A key in a security token
// cannot be read: ssh-keygen -Y sign uses it.
func ParsePrivateKey(text, passphrase []byte) (*PrivateKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not one private key in PEM")
	}
	if block.Type == "PRIVATE KEY" {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("a damaged private key in PEM")
		}
		raw, ok := parsed.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("a private key in PEM of the type %T; only Ed25519 is accepted there", parsed)
		}
		signer, err := ssh.NewSignerFromKey(raw)
		if err != nil {
			return nil, err
		}
		return newPrivateKey(raw, signer)
	}
	var signer ssh.Signer
	var err error
	if passphrase == nil {
		signer, err = ssh.ParsePrivateKey(text)
	} else {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(text, passphrase)
	}
	missing := (*ssh.PassphraseMissingError)(nil)
	switch {
	case errors.As(err, &missing):
		return nil, ErrPassphrase
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, errors.New("the passphrase is not that of the private key")
	case err != nil && strings.Contains(err.Error(), "sk-"):
		return nil, errors.New("the key is in a security token; sign with ssh-keygen -Y sign")
	case err != nil:
		return nil, errors.New("a damaged private key of OpenSSH, or of a type that is not known")
	}
	return newPrivateKey(nil, signer)
}

func newPrivateKey(raw ed25519.PrivateKey, signer ssh.Signer) (*PrivateKey, error) {
	key, err := newPublicKey(signer.PublicKey())
	if err != nil {
		return nil, err
	}
	return &PrivateKey{raw: raw, ssh: signer, key: key}, nil
}

// NewPrivateKey is a key that another program holds, such as an agent.
func NewPrivateKey(signer ssh.Signer) (*PrivateKey, error) { return newPrivateKey(nil, signer) }

// Public is the key's other half.
func (k *PrivateKey) Public() PublicKey { return k.key }

// String implements fmt.Stringer and keeps the key to itself.
func (k *PrivateKey) String() string { return "private key of " + k.key.Fingerprint() }

// GoString implements fmt.GoStringer.
func (k *PrivateKey) GoString() string { return k.String() }

// Format implements fmt.Formatter.
func (k *PrivateKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) } //nolint:errcheck // a Formatter has nowhere to tell it

// Sign signs a message for a purpose: with a key of OpenSSH as SSH signature,
// with one in PEM as Ed25519.
func (k *PrivateKey) Sign(rand io.Reader, purpose Purpose, message []byte) (*Signature, error) {
	if k.raw != nil {
		return &Signature{key: k.key, raw: ed25519.Sign(k.raw, rawMessage(purpose, message))}, nil
	}
	sig, err := sshsig.Sign(rand, k.ssh, string(purpose), message)
	if err != nil {
		return nil, err
	}
	return &Signature{key: k.key, ssh: sig}, nil
}
