package ratls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"cloister/trust/attest"
)

// Verifier verifies RA-TLS certificates.
type Verifier struct {
	quotes []attest.Verifier
	now    func() time.Time
}

// NewVerifier returns a verifier that leaves quotes to those for their platforms,
// without any of which every certificate is refused. Now is the clock; nil means
// time.Now.
func NewVerifier(now func() time.Time, quotes ...attest.Verifier) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{quotes, now}
}

// The names of the checks that are made besides those of the quote.
const (
	checkCertificate = "certificate"
	checkBinding     = "key binding"
)

// Verify verifies a certificate in DER: its signature, its quote, and that the
// quote vouches for its key. It returns errors as attest.Verifier does.
func (v *Verifier) Verify(ctx context.Context, der []byte) (*attest.Verification, error) {
	c, err := Parse(der)
	if err != nil {
		var l attest.Checklist
		l.Check(checkCertificate, err, "")
		return l.End()
	}
	return v.VerifyParsed(ctx, c)
}

// VerifyParsed is Verify for a certificate that was parsed already.
func (v *Verifier) VerifyParsed(ctx context.Context, c *Certificate) (*attest.Verification, error) {
	var l attest.Checklist
	quotes, err := v.of(c.Evidence.Platform)
	if err == nil {
		err = v.certificate(c)
	}
	if !l.Check(checkCertificate, err, "self-signed, %s form, valid until %s", c.Form, c.X509.NotAfter.UTC().Format(time.DateOnly)) {
		return l.End()
	}
	found, err := quotes.Verify(ctx, &c.Evidence)
	if found != nil {
		l.Claims, l.Checks = found.Claims, append(l.Checks, found.Checks...)
	}
	if err != nil {
		return &l.Verification, err
	}
	if !l.Claims.ReportData.Equal(c.Want) {
		err = fmt.Errorf("the quote vouches for another key: its report data are %x, not %x", l.Claims.ReportData, c.Want)
	}
	l.Check(checkBinding, err, "the quote vouches for the certificate's key")
	return l.End()
}

func (v *Verifier) of(p attest.Platform) (attest.Verifier, error) {
	for _, q := range v.quotes {
		if q.Platform() == p {
			return q, nil
		}
	}
	return nil, fmt.Errorf("quotes of %s are not accepted", p)
}

// certificate checks what a certificate says of itself. That it is self-signed
// binds its names and dates to its key.
func (v *Verifier) certificate(c *Certificate) error {
	if err := c.checkKey(); err != nil {
		return err
	}
	x, now := c.X509, v.now()
	switch x.SignatureAlgorithm {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
	default:
		return fmt.Errorf("its signature algorithm is %s, not ECDSA with SHA-256 or longer", x.SignatureAlgorithm)
	}
	if err := x.CheckSignature(x.SignatureAlgorithm, x.RawTBSCertificate, x.Signature); err != nil {
		return fmt.Errorf("it was not signed by its own key: %w", err)
	}
	switch {
	case len(x.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("critical extension %s is not known", x.UnhandledCriticalExtensions[0])
	case now.Before(x.NotBefore):
		return fmt.Errorf("it is not valid before %s", x.NotBefore.UTC().Format(time.RFC3339))
	case now.After(x.NotAfter):
		return fmt.Errorf("it expired on %s", x.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// Accept appraises a verified certificate, and returns an error to end the
// connection.
type Accept func(ctx context.Context, v *attest.Verification) error

// errNoAccept keeps a forgotten policy from meaning that any program will do.
var errNoAccept = errors.New("no rule says which programs are accepted")

// Require returns a copy of a server's or client's configuration that demands an
// RA-TLS certificate of the peer, in place of one of an authority, and that accept
// approves of it. Sessions are never resumed: each connection shows evidence. The
// context bounds verification.
func (v *Verifier) Require(ctx context.Context, config *tls.Config, accept Accept) (*tls.Config, error) {
	if accept == nil {
		return nil, errNoAccept
	}
	c := new(tls.Config)
	if config != nil {
		c = config.Clone()
	}
	c.MinVersion = tls.VersionTLS13
	c.SessionTicketsDisabled = true
	c.ClientSessionCache = nil
	c.ClientAuth = tls.RequireAnyClientCert
	c.InsecureSkipVerify = true // no authority: VerifyConnection does what is skipped
	before := c.VerifyConnection
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if before != nil {
			if err := before(state); err != nil {
				return err
			}
		}
		if len(state.PeerCertificates) == 0 {
			return fmt.Errorf("%w: %w", attest.ErrRefused, errNoQuote)
		}
		found, err := v.Verify(ctx, state.PeerCertificates[0].Raw)
		if err != nil {
			return err
		}
		return accept(ctx, found)
	}
	// Called per connection, it would replace all of the above.
	c.GetConfigForClient = nil
	return c, nil
}
