// Package shares splits a key among recipients whom an owner named, so that m of
// them together have it and fewer know nothing of it.
//
// The key is HKDF-SHA256 of a random scalar, which is split by Shamir's scheme
// ("How to share a secret", CACM 22, 1979) over the scalars of Ristretto255, as
// implemented by github.com/cloudflare/circl/secretsharing. Each share is
// encrypted with age to one recipient and never lies anywhere in the clear.
package shares

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"

	"cloister/trust/secret"
)

// KeySize is the length of a split key in bytes.
const KeySize = 32

// MaxRecipients bounds the shares of one key.
const MaxRecipients = 32

// Purposes of split keys.
const (
	Recovery = "recovery" // opens the copy of an owner's sub-root
	Unlock   = "unlock"   // is an owner's part of what opens the root
)

// ErrShares is in the chain of errors that say that shares do not give the key:
// too few, of different sets, or changed.
var ErrShares = errors.New("the shares do not give the key")

// Set names what was split. All of it is bound to the key.
type Set struct {
	Purpose string `json:"purpose"`
	Broker  string `json:"broker"`
	Owner   string `json:"owner"`
	ID      string `json:"id"` // random, 32 hexadecimal digits
	// Threshold shares of Shares are needed.
	Threshold int `json:"threshold"`
	Shares    int `json:"shares"`
}

// Share is one share. It holds a secret.
type Share struct {
	Set   Set
	Index int // from 1
	Value secret.Bytes
}

const (
	heading  = "cloister-share/v1"
	maxShare = 1024
)

func (s Set) check() error {
	switch {
	case s.Purpose != Recovery && s.Purpose != Unlock:
		return fmt.Errorf("shares of purpose %.40q are not known", s.Purpose)
	case s.Shares < 1 || s.Shares > MaxRecipients:
		return fmt.Errorf("%d shares: there are from 1 to %d", s.Shares, MaxRecipients)
	case s.Threshold < 1 || s.Threshold > s.Shares:
		return fmt.Errorf("%d of %d shares: the threshold is from 1 to the number of shares", s.Threshold, s.Shares)
	case len(s.ID) != 32 || strings.Trim(s.ID, "0123456789abcdef") != "":
		return errors.New("the id of a set of shares has 32 hexadecimal digits")
	}
	for what, name := range map[string]string{"broker": s.Broker, "owner": s.Owner} {
		if name == "" || len(name) > 255 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("shares: %s %.80q is not a word of printable ASCII", what, name)
		}
	}
	return nil
}

// Recipients reads age public keys, each of which appears once.
func Recipients(keys []string) ([]age.Recipient, error) {
	if len(keys) == 0 {
		return nil, errors.New("no recipients")
	}
	if len(keys) > MaxRecipients {
		return nil, fmt.Errorf("%d recipients: there are at most %d", len(keys), MaxRecipients)
	}
	seen := map[string]bool{}
	var all []age.Recipient
	for i, key := range keys {
		if seen[key] {
			return nil, fmt.Errorf("recipient %d appears twice", i+1)
		}
		seen[key] = true
		one, err := age.ParseRecipients(strings.NewReader(key))
		if err != nil || len(one) != 1 || strings.TrimSpace(key) != key {
			return nil, fmt.Errorf("recipient %d: %.80q is no age public key: it begins with age1", i+1, key)
		}
		all = append(all, one...)
	}
	return all, nil
}

// Split makes a key and its shares, encrypted to one recipient each in their
// order.
func Split(set Set, recipients []string) (secret.Bytes, [][]byte, error) {
	set.Shares = len(recipients)
	if err := set.check(); err != nil {
		return secret.Bytes{}, nil, err
	}
	to, err := Recipients(recipients)
	if err != nil {
		return secret.Bytes{}, nil, err
	}
	// Ristretto255 draws from crypto/rand, whatever reader it is given.
	scalar := group.Ristretto255.RandomNonZeroScalar(nil)
	split := secretsharing.New(nil, uint(set.Threshold-1), scalar)
	var sealed [][]byte
	for i, share := range split.Share(uint(set.Shares)) {
		value, err := share.Value.MarshalBinary()
		if err != nil {
			return secret.Bytes{}, nil, err
		}
		s := Share{Set: set, Index: i + 1, Value: secret.Take(value)}
		file, err := s.seal(to[i])
		s.Value.Zero()
		if err != nil {
			return secret.Bytes{}, nil, fmt.Errorf("recipient %d: %w", i+1, err)
		}
		sealed = append(sealed, file)
	}
	key, err := set.key(scalar)
	scalar.SetUint64(0)
	return key, sealed, err
}

// key derives the key from the scalar that was split.
func (s Set) key(scalar group.Scalar) (secret.Bytes, error) {
	input, err := scalar.MarshalBinary()
	if err != nil {
		return secret.Bytes{}, err
	}
	defer clear(input)
	var info []byte
	for _, part := range []string{"cloister.shares.v1", s.Purpose, s.Broker, s.Owner, s.ID} {
		info = binary.BigEndian.AppendUint64(info, uint64(len(part)))
		info = append(info, part...)
	}
	key, err := hkdf.Key(sha256.New, input, nil, string(info), KeySize)
	if err != nil {
		return secret.Bytes{}, err
	}
	return secret.Take(key), nil
}

func (s Share) seal(to age.Recipient) ([]byte, error) {
	text := s.Encode()
	defer text.Zero()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text.Expose()); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Open decrypts a share with its recipient's identity.
func Open(sealed []byte, identities ...age.Identity) (*Share, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	if err != nil {
		return nil, fmt.Errorf("open share: %w", err)
	}
	text, err := secret.Read(r, maxShare)
	if err != nil {
		return nil, fmt.Errorf("open share: %w", err)
	}
	defer text.Zero()
	return Parse(text)
}

// Combine returns the key of a set, given at least the threshold of its
// shares. More are checked against each other: whoever gives a wrong one is
// found out where there are more than enough.
func Combine(given []*Share) (secret.Bytes, error) {
	if len(given) == 0 {
		return secret.Bytes{}, fmt.Errorf("%w: there are none", ErrShares)
	}
	set := given[0].Set
	if err := set.check(); err != nil {
		return secret.Bytes{}, err
	}
	byIndex := map[int]*Share{}
	var all []secretsharing.Share
	for _, s := range given {
		if s.Set != set {
			return secret.Bytes{}, fmt.Errorf("%w: they are of different sets: %s and %s", ErrShares, set.ID, s.Set.ID)
		}
		if s.Index < 1 || s.Index > set.Shares {
			return secret.Bytes{}, fmt.Errorf("%w: share %d of %d", ErrShares, s.Index, set.Shares)
		}
		if other := byIndex[s.Index]; other != nil {
			if !other.Value.Equal(s.Value) {
				return secret.Bytes{}, fmt.Errorf("%w: two different shares %d", ErrShares, s.Index)
			}
			continue
		}
		byIndex[s.Index] = s
		value := group.Ristretto255.NewScalar()
		if err := value.UnmarshalBinary(s.Value.Expose()); err != nil {
			return secret.Bytes{}, fmt.Errorf("%w: share %d is damaged", ErrShares, s.Index)
		}
		id := group.Ristretto255.NewScalar().SetUint64(uint64(s.Index))
		all = append(all, secretsharing.Share{ID: id, Value: value})
	}
	if len(all) < set.Threshold {
		return secret.Bytes{}, fmt.Errorf("%w: %d different ones of %d were given, %d are needed", ErrShares, len(all), set.Shares, set.Threshold)
	}
	scalar, err := recoverScalar(set.Threshold, all)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer scalar.SetUint64(0)
	return set.key(scalar)
}

// recoverScalar interpolates the first shares, and checks that each further one
// in the place of the last gives the same.
func recoverScalar(threshold int, all []secretsharing.Share) (group.Scalar, error) {
	scalar, err := secretsharing.Recover(uint(threshold-1), all[:threshold])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShares, err)
	}
	for _, extra := range all[threshold:] {
		again, err := secretsharing.Recover(uint(threshold-1), append(append([]secretsharing.Share{}, all[:threshold-1]...), extra))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrShares, err)
		}
		if !again.IsEqual(scalar) {
			return nil, fmt.Errorf("%w: one of the %d is wrong", ErrShares, len(all))
		}
	}
	return scalar, nil
}

// Encode returns the share's text, eight lines:
//
//	cloister-share/v1
//	purpose recovery
//	broker BROKER
//	owner OWNER
//	set ID
//	threshold 2 of 3
//	index 1
//	value BASE64URL
func (s Share) Encode() secret.Bytes {
	text := fmt.Appendf(make([]byte, 0, maxShare), "%s\npurpose %s\nbroker %s\nowner %s\nset %s\nthreshold %d of %d\nindex %d\nvalue ",
		heading, s.Set.Purpose, s.Set.Broker, s.Set.Owner, s.Set.ID, s.Set.Threshold, s.Set.Shares, s.Index)
	text = base64.RawURLEncoding.AppendEncode(text, s.Value.Expose())
	return secret.Take(append(text, '\n'))
}

// Parse reads what Encode wrote, in this one form.
func Parse(text secret.Bytes) (*Share, error) {
	if text.Len() > maxShare {
		return nil, fmt.Errorf("a share has at most %d bytes", maxShare)
	}
	lines := bytes.Split(text.Expose(), []byte("\n"))
	if len(lines) != 9 || string(lines[0]) != heading || len(lines[8]) != 0 {
		return nil, fmt.Errorf("this is no share: it has eight lines and begins with %q", heading)
	}
	field := func(line int, name string) []byte {
		value, ok := bytes.CutPrefix(lines[line], []byte(name+" "))
		if !ok {
			return nil
		}
		return value
	}
	var s Share
	s.Set.Purpose, s.Set.Broker = string(field(1, "purpose")), string(field(2, "broker"))
	s.Set.Owner, s.Set.ID = string(field(3, "owner")), string(field(4, "set"))
	of, total, _ := strings.Cut(string(field(5, "threshold")), " of ")
	s.Set.Threshold, s.Set.Shares = number(of), number(total)
	s.Index = number(string(field(6, "index")))
	if err := s.Set.check(); err != nil {
		return nil, err
	}
	if s.Index < 1 || s.Index > s.Set.Shares {
		return nil, fmt.Errorf("a share of %d has no index %d", s.Set.Shares, s.Index)
	}
	value, err := io.ReadAll(base64.NewDecoder(base64.RawURLEncoding.Strict(), bytes.NewReader(field(7, "value"))))
	s.Value = secret.Take(value)
	// What is not canonical, such as a leading zero, does not come back the same.
	if err != nil || s.Value.Len() != KeySize || !s.Encode().Equal(text) {
		s.Value.Zero()
		return nil, errors.New("this is no share: it is not in the form in which shares are written")
	}
	return &s, nil
}

// number returns 0 for what is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n > MaxRecipients {
		return 0
	}
	return n
}
