// Package witness keeps the broker's history single. Witnesses, run by the
// owners, co-sign the checkpoints of the audit log after they proved that each
// goes on from the last, as C2SP tlog-witness and tlog-cosignature say
// (cosignature/v1, Ed25519). More than half of them must agree before anything
// in the log takes effect; since two such majorities share a witness, of two
// brokers that run from copies of one store at most one goes on.
//
// Others' witnesses of the same protocol can be used, and this one by other
// logs.
package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// algorithm is the signature type of cosignature/v1 with Ed25519 in verifier
// keys (C2SP signed-note, "Signature types").
const algorithm = 0x04

// signatureSize is that of a timestamped_signature.
const signatureSize = 8 + ed25519.SignatureSize

// lastSecond is that of the year 9999, after which times cannot be written as
// RFC 3339 has them.
const lastSecond = 253402300799

// keyHash is the key's id (C2SP tlog-cosignature, "Format").
func keyHash(name string, key ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{algorithm})
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// message is what is signed.
func message(seconds uint64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", seconds), text...)
}

// Verifier verifies the co-signatures of one witness. It is a note.Verifier.
type Verifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewVerifier reads a verifier key as owners hand it out:
// name+hash+base64(0x04 || Ed25519 public key).
func NewVerifier(vkey string) (*Verifier, error) {
	name, rest, _ := strings.Cut(vkey, "+")
	v, err := parseKey(name, rest)
	if err != nil {
		return nil, fmt.Errorf("witness key %.120q: %w", vkey, err)
	}
	out := &Verifier{name: name, hash: v.hash, key: v.material}
	if keyHash(name, out.key) != out.hash {
		return nil, fmt.Errorf("witness key %.120q: the hash is not that of name and key: a typing error?", vkey)
	}
	return out, nil
}

type encodedKey struct {
	hash     uint32
	material []byte
}

// parseKey reads what follows the name.
func parseKey(name, rest string) (*encodedKey, error) {
	hash16, key64, _ := strings.Cut(rest, "+")
	hash, err := strconv.ParseUint(hash16, 16, 32)
	if err != nil || len(hash16) != 8 || !validName(name) {
		return nil, errors.New("it does not have the form name+hash+key")
	}
	key, err := base64.StdEncoding.Strict().DecodeString(key64)
	switch {
	case err != nil || len(key64) != base64.StdEncoding.EncodedLen(len(key)): // no line ends in it
		return nil, errors.New("its last part is not base64")
	case len(key) != 1+ed25519.PublicKeySize:
		return nil, fmt.Errorf("its last part has %d bytes, not %d", len(key), 1+ed25519.PublicKeySize)
	case key[0] != algorithm:
		return nil, fmt.Errorf("its type is %d; a witness of cosignature/v1 has %d", key[0], algorithm)
	}
	return &encodedKey{uint32(hash), key[1:]}, nil
}

// validName is the rule of C2SP signed-note.
func validName(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsSpace) < 0 && !strings.Contains(name, "+")
}

// Name implements note.Verifier.
func (v *Verifier) Name() string { return v.name }

// KeyHash implements note.Verifier.
func (v *Verifier) KeyHash() uint32 { return v.hash }

// PublicKey is the witness's key.
func (v *Verifier) PublicKey() ed25519.PublicKey { return v.key }

// String is the verifier key.
func (v *Verifier) String() string {
	return fmt.Sprintf("%s+%08x+%s", v.name, v.hash, base64.StdEncoding.EncodeToString(append([]byte{algorithm}, v.key...)))
}

// Verify implements note.Verifier: sig is a timestamped_signature of msg.
func (v *Verifier) Verify(msg, sig []byte) bool {
	if len(sig) != signatureSize {
		return false
	}
	seconds := binary.BigEndian.Uint64(sig)
	if seconds == 0 || seconds > lastSecond {
		return false
	}
	return ed25519.Verify(v.key, message(seconds, msg), sig[8:])
}

// signedAt returns when a signature, as a note has it in base64, was made. It
// must have been verified.
func signedAt(encoded string) (time.Time, error) {
	sig, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(sig) != 4+signatureSize {
		return time.Time{}, errors.New("a co-signature does not decode")
	}
	return time.Unix(int64(binary.BigEndian.Uint64(sig[4:])), 0).UTC(), nil
}

// Signer co-signs. It is a note.Signer.
type Signer struct {
	Verifier
	private ed25519.PrivateKey
	now     func() time.Time
}

// GenerateKey makes a witness's key: what NewSigner and what NewVerifier reads.
func GenerateKey(rand io.Reader, name string) (skey, vkey string, err error) {
	if !validName(name) {
		return "", "", fmt.Errorf("witness name %.80q: it may hold no spaces and no plus", name)
	}
	public, private, err := ed25519.GenerateKey(rand)
	if err != nil {
		return "", "", err
	}
	v := &Verifier{name: name, hash: keyHash(name, public), key: public}
	skey = fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, v.hash, base64.StdEncoding.EncodeToString(append([]byte{algorithm}, private.Seed()...)))
	return skey, v.String(), nil
}

// NewSigner reads a private key as GenerateKey makes it. The clock is what
// co-signatures tell. No error holds the key.
func NewSigner(skey string, now func() time.Time) (*Signer, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(skey), "PRIVATE+KEY+")
	name, rest, _ := strings.Cut(rest, "+")
	if !ok {
		return nil, errors.New("witness's private key: it does not have the form PRIVATE+KEY+name+hash+key")
	}
	k, err := parseKey(name, rest)
	if err != nil {
		return nil, fmt.Errorf("witness's private key: %w", err)
	}
	private := ed25519.NewKeyFromSeed(k.material)
	public, _ := private.Public().(ed25519.PublicKey)
	if keyHash(name, public) != k.hash {
		return nil, errors.New("witness's private key: the hash is not that of name and key: a typing error?")
	}
	return &Signer{Verifier: Verifier{name: name, hash: k.hash, key: public}, private: private, now: now}, nil
}

// Sign implements note.Signer.
func (s *Signer) Sign(msg []byte) ([]byte, error) {
	seconds := s.now().Unix()
	if seconds <= 0 {
		return nil, errors.New("the witness's clock is before 1970")
	}
	sig := binary.BigEndian.AppendUint64(nil, uint64(seconds))
	return append(sig, ed25519.Sign(s.private, message(uint64(seconds), msg))...), nil
}

// line is the signature line of a note's text.
func (s *Signer) line(text string) ([]byte, error) {
	sig, err := s.Sign([]byte(text))
	if err != nil {
		return nil, err
	}
	sig = append(binary.BigEndian.AppendUint32(nil, s.hash), sig...)
	return fmt.Appendf(nil, "— %s %s\n", s.name, base64.StdEncoding.EncodeToString(sig)), nil
}
