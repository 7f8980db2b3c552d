package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/secret"
)

// ownTLS names the private key of the broker's certificate in the vault.
const ownTLS = "tls"

// ownCertificate returns a self-signed certificate of the broker's TLS key, which
// it makes at first. Clients know the key by its hash, so names, dates and
// authorities say nothing.
func (s *Server) ownCertificate(tx *store.Tx) (tls.Certificate, Digest, error) {
	key, err := s.ownTLSKey(tx)
	if err != nil {
		return tls.Certificate{}, Digest{}, err
	}
	return selfSignedCertificate(s.vault.Broker(), key)
}

func selfSignedCertificate(broker string, key *ecdsa.PrivateKey) (tls.Certificate, Digest, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "cloister broker " + broker},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5: no date
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"broker.invalid"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, Digest{}, fmt.Errorf("the broker's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, Digest{}, fmt.Errorf("the broker's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, sha256.Sum256(leaf.RawSubjectPublicKeyInfo), nil
}

func (s *Server) ownTLSKey(tx *store.Tx) (*ecdsa.PrivateKey, error) {
	text, err := s.vault.Own(tx, ownTLS)
	switch {
	case err == nil:
		defer text.Zero()
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), text.Expose())
	case !errors.Is(err, vault.ErrNotFound):
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	raw, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	text = secret.Take(raw)
	defer text.Zero()
	return key, s.vault.SetOwn(tx, ownTLS, text)
}

// TLS is what the API is served with. Sessions are not resumed. A client may
// show a certificate, by whose key the policy knows administrators. HTTP/1.1 is
// spoken alone: a program asks twice and goes, for which HTTP/2 costs a third of
// a release more, and a limit on connections is one on requests.
func (s *Server) TLS() *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{s.tlsCert},
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequestClientCert,
		NextProtos:             []string{"http/1.1"},
	}
}

// Pin is what a client knows a broker by.
type Pin struct {
	// TLSKey is the SHA-256 of the SubjectPublicKeyInfo in its certificate.
	TLSKey Digest
	// FirstPolicy is the hash of the policy that it began with.
	FirstPolicy Digest
	// Broker is its id, as the policy has it.
	Broker string
}

func (p *Pin) check() error {
	if p.TLSKey.IsZero() || p.FirstPolicy.IsZero() || p.Broker == "" {
		return errors.New("a broker is known by its id, the hash of its TLS key and that of its first policy: all three are needed")
	}
	return nil
}

// clientTLS accepts only the server that holds the pinned key.
func (p *Pin) clientTLS(certificates []tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: certificates,
		// The key counts, which is compared below; names, dates and authorities do
		// not.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return fmt.Errorf("%w: it shows no certificate", ErrWrongBroker)
			}
			if got := Digest(sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)); got != p.TLSKey {
				return fmt.Errorf("%w: its TLS key is %s, and %s is pinned", ErrWrongBroker, got, p.TLSKey)
			}
			return nil
		},
	}
}
