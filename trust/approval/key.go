// Package approval has the signatures of people: their public keys, the purposes
// for which they sign, and m of n of them.
//
// A key is Ed25519, or one of OpenSSH's: Ed25519, ECDSA, RSA, or one in a FIDO
// security key (sk-…), whose touch is then checked. What is signed says in its
// text what it is; the purpose separates it from all else a second time, as the
// namespace of an SSH signature or the beginning of what Ed25519 signs.
package approval

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"cloister/trust/document"
)

// minRSA is the least size of an RSA key in bits (NIST SP 800-57 part 1, 128 bits
// of security).
const minRSA = 3072

// PublicKey is a public key of a person. Its text is that of OpenSSH without a
// comment, for Ed25519 too, so that one key has one text. The zero value is no
// key.
type PublicKey struct {
	text string // the type, a blank, and the wire form in base64
}

// ParsePublicKey reads a line of OpenSSH, with or without a comment, or an
// Ed25519 key as SubjectPublicKeyInfo in PEM.
func ParsePublicKey(text []byte) (PublicKey, error) {
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("-----BEGIN")) {
		return parsePEM(text)
	}
	if bytes.ContainsAny(text, "\r\n") {
		return PublicKey{}, errors.New("a public key is one line: type, base64, and perhaps a comment")
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return PublicKey{}, errors.New("not a public key: wanted is a line of OpenSSH, such as \"ssh-ed25519 AAAA… name\", or PEM")
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return PublicKey{}, fmt.Errorf("a public key of type %.40q whose second word is not base64: %w", fields[0], err)
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return PublicKey{}, fmt.Errorf("a damaged public key of type %.40q: %w", fields[0], err)
	}
	if key.Type() != fields[0] || !bytes.Equal(key.Marshal(), blob) {
		return PublicKey{}, fmt.Errorf("a damaged public key: it says %.40q and is %s", fields[0], key.Type())
	}
	return newPublicKey(key)
}

func parsePEM(text []byte) (PublicKey, error) {
	block, rest := pem.Decode(text)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 || block.Type != "PUBLIC KEY" {
		return PublicKey{}, errors.New("not one PEM block of type PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("a damaged public key in PEM: %w", err)
	}
	key, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return PublicKey{}, fmt.Errorf("a public key in PEM of the type %T; only Ed25519 is accepted there", parsed)
	}
	wire, err := ssh.NewPublicKey(key)
	if err != nil {
		return PublicKey{}, err
	}
	return newPublicKey(wire)
}

func newPublicKey(key ssh.PublicKey) (PublicKey, error) {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
	case ssh.KeyAlgoRSA:
		var bits int
		if c, ok := key.(ssh.CryptoPublicKey); ok {
			if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok {
				bits = k.N.BitLen()
			}
		}
		if bits < minRSA {
			return PublicKey{}, fmt.Errorf("an RSA key of %d bits; at least %d are wanted", bits, minRSA)
		}
	default:
		return PublicKey{}, fmt.Errorf("keys of type %.60q are not accepted; use ssh-ed25519 or a security key (sk-ssh-ed25519@openssh.com)", key.Type())
	}
	return PublicKey{text: key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal())}, nil
}

// ssh is the key as its package has it.
func (k PublicKey) ssh() (ssh.PublicKey, error) {
	_, encoded, _ := strings.Cut(k.text, " ")
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || k.text == "" {
		return nil, errors.New("no public key")
	}
	return ssh.ParsePublicKey(blob)
}

// String is the text of the key, without a comment.
func (k PublicKey) String() string { return k.text }

// IsZero reports whether it is no key.
func (k PublicKey) IsZero() bool { return k.text == "" }

// Type is the key's type in OpenSSH's words.
func (k PublicKey) Type() string {
	name, _, _ := strings.Cut(k.text, " ")
	return name
}

// Fingerprint is what ssh-keygen -l shows.
func (k PublicKey) Fingerprint() string {
	key, err := k.ssh()
	if err != nil {
		return "no key"
	}
	return ssh.FingerprintSHA256(key)
}

// MarshalText implements encoding.TextMarshaler.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.text), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *PublicKey) UnmarshalText(text []byte) error {
	parsed, err := ParsePublicKey(text)
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// Form implements document.Text.
func (PublicKey) Form() document.Form {
	return document.Form{
		Name:    "public key",
		Pattern: `^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+=*( .*)?$|^-----BEGIN PUBLIC KEY-----\n`,
		Example: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4X… alice@hospital-a",
	}
}
