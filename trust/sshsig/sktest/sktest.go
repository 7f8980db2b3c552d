// Package sktest is a security key in software, for tests: it signs as a FIDO
// authenticator does for OpenSSH (PROTOCOL.u2f), touched or not.
package sktest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"math/big"

	"golang.org/x/crypto/ssh"
)

// Kind is a type of key.
type Kind string

// The kinds.
const (
	Ed25519 Kind = ssh.KeyAlgoSKED25519
	ECDSA   Kind = ssh.KeyAlgoSKECDSA256
)

const application = "ssh:"

// Token is a security key. Flags are those that it reports: 1 says that somebody
// touched it.
type Token struct {
	Flags   byte
	counter uint32
	kind    Kind
	key     crypto.Signer
	public  ssh.PublicKey
}

// New makes a security key that is touched whenever it signs.
func New(kind Kind) (*Token, error) {
	t := &Token{Flags: 1, kind: kind}
	var wire []byte
	if kind == Ed25519 {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		t.key = private
		wire = ssh.Marshal(struct {
			Name        string
			Key         []byte
			Application string
		}{string(kind), public, application})
	} else {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			return nil, err
		}
		t.key = private
		wire = ssh.Marshal(struct {
			Name        string
			Curve       string
			Point       []byte
			Application string
		}{string(kind), "nistp256", point, application})
	}
	var err error
	t.public, err = ssh.ParsePublicKey(wire)
	return t, err
}

// PublicKey implements ssh.Signer.
func (t *Token) PublicKey() ssh.PublicKey { return t.public }

// Sign implements ssh.Signer: what is signed is the application's hash, flags,
// counter and the message's hash.
func (t *Token) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	t.counter++
	app, message := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	rest := ssh.Marshal(struct {
		Flags   byte
		Counter uint32
	}{t.Flags, t.counter})
	text := append(append(append([]byte(nil), app[:]...), rest...), message[:]...)
	sig := &ssh.Signature{Format: string(t.kind), Rest: rest}
	switch key := t.key.(type) {
	case ed25519.PrivateKey:
		sig.Blob = ed25519.Sign(key, text)
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(text)
		r, s, err := ecdsa.Sign(random, key, digest[:])
		if err != nil {
			return nil, err
		}
		sig.Blob = ssh.Marshal(struct{ R, S *big.Int }{r, s})
	}
	return sig, nil
}
