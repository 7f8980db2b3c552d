package witness

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Certificate returns a self-signed certificate of the witness's own key, by
// which a broker knows its server (ClientTLS): nothing but the verifier key in
// the policy has to be trusted. What the key signs in a handshake (RFC 8446
// section 4.4.3) and in a certificate cannot be taken for a co-signature, which
// begins otherwise.
func (s *Signer) Certificate() (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "witness"},
		// The key counts, not the dates: a witness must be reachable when clocks
		// are wrong.
		NotBefore: time.Unix(0, 0),
		NotAfter:  time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5: no date
		KeyUsage:  x509.KeyUsageDigitalSignature,
		DNSNames:  []string{"witness.invalid"},
	}
	der, err := x509.CreateCertificate(nil, template, template, s.key, s.private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the witness's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s.private}, nil
}

// ServerTLS is what a witness serves with.
func (s *Signer) ServerTLS() (*tls.Config, error) {
	cert, err := s.Certificate()
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// ClientTLS accepts only the server that holds the witness's key. Names, dates
// and authorities do not count.
func ClientTLS(v *Verifier) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The connection is verified below, by the key.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("the witness shows no certificate")
			}
			if !v.key.Equal(state.PeerCertificates[0].PublicKey) {
				return fmt.Errorf("the server does not hold the key of witness %s", v.name)
			}
			return nil
		},
	}
}
