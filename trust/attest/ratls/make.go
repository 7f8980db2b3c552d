package ratls

import (
	"context"
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
	"slices"
	"time"

	"cloister/trust/attest"
)

// MakeOptions say what certificate is made.
type MakeOptions struct {
	// Forms are those that the certificate carries; empty means DICE alone.
	Forms []Form
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Lifetime is how long the certificate is valid; 0 means a day. Its quote does
	// not get older than it.
	Lifetime time.Duration
	// Names are DNS names that the certificate has for programs that check them;
	// nothing vouches for them.
	Names []string
}

// backdated allows for clocks that are a little slow.
const backdated = 5 * time.Minute

// Make makes a key and a certificate whose key the producer's quote vouches for.
func Make(ctx context.Context, p attest.Producer, o MakeOptions) (*tls.Certificate, error) {
	if platform := p.Platform(); platform != attest.SGX && platform != attest.TDX {
		return nil, fmt.Errorf("an RA-TLS certificate carries a quote of sgx or tdx: %s has none", platform)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Lifetime == 0 {
		o.Lifetime = 24 * time.Hour
	}
	if len(o.Forms) == 0 {
		o.Forms = []Form{DICE}
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	extensions, err := quoteExtensions(ctx, p, o.Forms, spki)
	if err != nil {
		return nil, err
	}
	der, err := selfSigned(key, &o, extensions)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// selfSigned makes a certificate of a key, signed with it.
func selfSigned(key *ecdsa.PrivateKey, o *MakeOptions, extensions []pkix.Extension) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := o.Now()
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)), // not 0
		Subject:               pkix.Name{CommonName: "RATLS"},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(o.Lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              o.Names,
		ExtraExtensions:       extensions,
	}
	return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
}

// quoteExtensions makes an extension, and its quote, for each form.
func quoteExtensions(ctx context.Context, p attest.Producer, forms []Form, spki []byte) ([]pkix.Extension, error) {
	var extensions []pkix.Extension
	for i, form := range forms {
		if slices.Contains(forms[:i], form) {
			return nil, fmt.Errorf("the form %s is there twice", form)
		}
		e := pkix.Extension{Id: diceOID}
		vouched := spki
		switch form {
		case DICE:
			var err error
			if vouched, err = encodeClaims(spki); err != nil {
				return nil, err
			}
		case Legacy:
			e.Id = legacyOID
		default:
			return nil, fmt.Errorf("the form %q is not known: it is %s or %s", form, DICE, Legacy)
		}
		hash := sha256.Sum256(vouched)
		var reportData attest.ReportData
		copy(reportData[:], hash[:])
		evidence, err := p.Produce(ctx, reportData)
		if err != nil {
			return nil, err
		}
		if evidence.Platform != p.Platform() {
			return nil, errors.New("the producer made evidence of another platform than its own")
		}
		e.Value = evidence.Quote
		if form == DICE {
			if e.Value, err = encodeDICE(evidence.Quote, vouched); err != nil {
				return nil, err
			}
		}
		extensions = append(extensions, e)
	}
	return extensions, nil
}
