// Package sshsig makes and verifies signatures of OpenSSH in the form that
// "ssh-keygen -Y sign" writes: OpenSSH's PROTOCOL.sshsig, version 1.
package sshsig

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	magic   = "SSHSIG"
	version = 1

	begin = "-----BEGIN SSH SIGNATURE-----"
	end   = "-----END SSH SIGNATURE-----"

	// maxBytes is far above the size of a signature of the longest RSA key.
	maxBytes = 1 << 14
)

// ErrInvalid is in the chain of every error of Verify: the signature does not
// prove what it should.
var ErrInvalid = errors.New("the signature is not valid")

// Signature is a parsed signature. Nothing in it is trusted before Verify.
type Signature struct {
	Key       ssh.PublicKey
	Namespace string
	Hash      string // sha256 or sha512
	Signature *ssh.Signature
}

// wire is the blob of PROTOCOL.sshsig without its magic.
type wire struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// signed is what is signed, without its magic.
type signed struct {
	Namespace string
	Reserved  string
	Hash      string
	Digest    []byte
}

// Parse reads a signature in its armor, alone in the text but for blank space
// around it.
func Parse(armored []byte) (*Signature, error) {
	if len(armored) > 2*maxBytes {
		return nil, fmt.Errorf("an SSH signature of %d bytes is too long", len(armored))
	}
	text := strings.TrimSpace(strings.ReplaceAll(string(armored), "\r\n", "\n"))
	body, ok := strings.CutPrefix(text, begin+"\n")
	if !ok {
		return nil, fmt.Errorf("not an SSH signature: its first line is not %q", begin)
	}
	body, ok = strings.CutSuffix(body, "\n"+end)
	if !ok {
		return nil, fmt.Errorf("an SSH signature whose last line is not %q", end)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil {
		return nil, fmt.Errorf("an SSH signature whose body is not base64: %w", err)
	}
	return parseBlob(blob)
}

// parseBlob reads a signature without armor.
func parseBlob(blob []byte) (*Signature, error) {
	rest, ok := bytes.CutPrefix(blob, []byte(magic))
	switch {
	case !ok:
		return nil, fmt.Errorf("not an SSH signature: it does not begin with %s", magic)
	case len(blob) > maxBytes:
		return nil, fmt.Errorf("an SSH signature of %d bytes is too long", len(blob))
	}
	var w wire
	if err := ssh.Unmarshal(rest, &w); err != nil {
		return nil, fmt.Errorf("a damaged SSH signature: %w", err)
	}
	if w.Version != version {
		return nil, fmt.Errorf("an SSH signature of version %d, not %d", w.Version, version)
	}
	key, err := ssh.ParsePublicKey(w.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("an SSH signature with a damaged public key: %w", err)
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return nil, errors.New("an SSH signature with a certificate; sign with the key itself")
	}
	if _, err := digest(w.Hash, nil); err != nil {
		return nil, err
	}
	if w.Namespace == "" {
		return nil, errors.New("an SSH signature without a namespace")
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal(w.Signature, &sig); err != nil {
		return nil, fmt.Errorf("a damaged SSH signature: %w", err)
	}
	s := &Signature{Key: key, Namespace: w.Namespace, Hash: w.Hash, Signature: &sig}
	// One signature has one form: what the format ignores (the reserved field)
	// and what its reader lets pass is refused.
	if !bytes.Equal(s.blob(), blob) {
		return nil, errors.New("an SSH signature that is not in the canonical form")
	}
	return s, nil
}

// blob is the signature without armor.
func (s *Signature) blob() []byte {
	return append([]byte(magic), ssh.Marshal(wire{
		Version: version, PublicKey: s.Key.Marshal(), Namespace: s.Namespace, Hash: s.Hash, Signature: ssh.Marshal(*s.Signature),
	})...)
}

// Armor is the signature as ssh-keygen writes it.
func (s *Signature) Armor() []byte {
	const width = 70
	var b bytes.Buffer
	b.WriteString(begin + "\n")
	for text := base64.StdEncoding.EncodeToString(s.blob()); text != ""; {
		n := min(width, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	b.WriteString(end + "\n")
	return b.Bytes()
}

// Verify proves that the signature's key signed the message for this namespace,
// and that a key in a security token was touched for it. Whose key it is, is the
// caller's question.
func (s *Signature) Verify(namespace string, message []byte) error {
	if namespace == "" || s.Namespace != namespace {
		return fmt.Errorf("%w: it is for the namespace %q, not %q", ErrInvalid, s.Namespace, namespace)
	}
	if err := checkAlgorithm(s.Key.Type(), s.Signature); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	text, err := preimage(namespace, s.Hash, message)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := s.Key.Verify(text, s.Signature); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// userPresent is the flag of FIDO 2 authenticators (CTAP 2.1, 6.1 "up") that
// somebody touched the token.
const userPresent = 1

// checkAlgorithm refuses algorithms that PROTOCOL.sshsig forbids (RSA with
// SHA-1), those that do not belong to the key, and security tokens that nobody
// touched.
func checkAlgorithm(keyType string, sig *ssh.Signature) error {
	want := []string{keyType}
	rest := 0
	switch keyType {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
	case ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		rest = 5 // flags and counter
	case ssh.KeyAlgoRSA:
		want = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	default:
		return fmt.Errorf("keys of type %s are not accepted", keyType)
	}
	switch {
	case sig.Format != want[0] && sig.Format != want[len(want)-1]:
		return fmt.Errorf("the algorithm %s is not accepted for a key of type %s", sig.Format, keyType)
	case len(sig.Rest) != rest:
		return fmt.Errorf("the signature has %d bytes behind it, not %d", len(sig.Rest), rest)
	case rest > 0 && sig.Rest[0]&userPresent == 0:
		return errors.New("nobody touched the security key; sign without no-touch-required")
	}
	return nil
}

// Sign signs a message for a namespace, with SHA-512 as ssh-keygen does.
func Sign(rand io.Reader, signer ssh.Signer, namespace string, message []byte) (*Signature, error) {
	const hash = "sha512"
	if namespace == "" {
		return nil, errors.New("an SSH signature needs a namespace")
	}
	text, err := preimage(namespace, hash, message)
	if err != nil {
		return nil, err
	}
	var sig *ssh.Signature
	key := signer.PublicKey()
	if key.Type() == ssh.KeyAlgoRSA {
		s, ok := signer.(ssh.AlgorithmSigner)
		if !ok {
			return nil, errors.New("this RSA key cannot sign with SHA-512")
		}
		sig, err = s.SignWithAlgorithm(rand, text, ssh.KeyAlgoRSASHA512)
	} else {
		sig, err = signer.Sign(rand, text)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign with the SSH key %s: %w", ssh.FingerprintSHA256(key), err)
	}
	return &Signature{Key: key, Namespace: namespace, Hash: hash, Signature: sig}, nil
}

// preimage is what the key signs.
func preimage(namespace, hash string, message []byte) ([]byte, error) {
	d, err := digest(hash, message)
	if err != nil {
		return nil, err
	}
	return append([]byte(magic), ssh.Marshal(signed{Namespace: namespace, Hash: hash, Digest: d})...), nil
}

func digest(hash string, message []byte) ([]byte, error) {
	switch hash {
	case "sha256":
		d := sha256.Sum256(message)
		return d[:], nil
	case "sha512":
		d := sha512.Sum512(message)
		return d[:], nil
	}
	return nil, fmt.Errorf("an SSH signature with the hash %q, which is neither sha256 nor sha512", hash)
}
