package broker

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"cloister/trust/attest"
	"cloister/trust/broker/issuer"
)

// Certified is a certificate that a program got.
type Certified struct {
	Request  string
	Workload string
	// Certificate is of the program's key, Authority of who issued it.
	Certificate, Authority *x509.Certificate
	Receipt                Receipt
}

// Certificate shows evidence of the program and gets a certificate of its key for
// names, which is good for life or, if that is 0, for as long as the authority
// chooses. Ask for another before it ends.
func (c *Client) Certificate(ctx context.Context, p attest.Producer, job Digest, key *ecdsa.PrivateKey, names []string, life time.Duration) (*Certified, error) {
	q := CertificateRequest{Job: job, Seconds: int64(life / time.Second)}
	var err error
	if q.Key, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return nil, fmt.Errorf("the key to certify: %w", err)
	}
	if q.CSR, err = issuer.CertificateRequest(key, names); err != nil {
		return nil, err
	}
	if _, err := c.Info(ctx); err != nil {
		return nil, err
	}
	var got *Certified
	err = c.retried(ctx, func() (err error) {
		got, err = c.certificate(ctx, p, q)
		return err
	})
	return got, err
}

func (c *Client) certificate(ctx context.Context, p attest.Producer, q CertificateRequest) (*Certified, error) {
	var err error
	if q.Nonce, q.Evidence, err = c.evidence(ctx, p, q.Key, q.Job); err != nil {
		return nil, err
	}
	receipts, err := c.receipts(ctx)
	if err != nil {
		return nil, err
	}
	var a CertificateAnswer
	if err := c.Do(ctx, http.MethodPost, PathCertificate, &q, &a); err != nil {
		return nil, err
	}
	got := &Certified{Request: a.Request, Workload: a.Workload, Receipt: a.Receipt}
	if err := got.read(&q, &a); err != nil {
		return nil, fmt.Errorf("the certificate: %w: %w", ErrRefused, err)
	}
	want, err := q.expected(&a, got.Certificate.SerialNumber.Text(16))
	if err != nil {
		return nil, err
	}
	return got, receipts.check(ctx, &a.Receipt, want)
}

// read makes sure that the certificate is what was asked for.
func (g *Certified) read(q *CertificateRequest, a *CertificateAnswer) (err error) {
	if g.Certificate, err = x509.ParseCertificate(a.Certificate); err != nil {
		return err
	}
	if g.Authority, err = x509.ParseCertificate(a.Authority); err != nil {
		return fmt.Errorf("its authority: %w", err)
	}
	names, err := q.names()
	switch {
	case err != nil:
		return err
	case !bytes.Equal(g.Certificate.RawSubjectPublicKeyInfo, q.Key):
		return errors.New("it is of another key")
	case !slices.Equal(g.Certificate.DNSNames, texts(names)):
		return fmt.Errorf("it is for %.200q, not for %q", g.Certificate.DNSNames, names)
	}
	return g.Certificate.CheckSignatureFrom(g.Authority)
}
