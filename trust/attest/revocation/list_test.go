package revocation_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/revocation"
)

var (
	a     = attesttest.New(attesttest.Config{})
	other = attesttest.New(attesttest.Config{Seed: "other"})
)

// withExtension has a list carry an extension.
func withExtension(critical bool, id ...int) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: append(asn1.ObjectIdentifier{2, 5, 29}, id...), Critical: critical, Value: []byte{5, 0}})
	}
}

func verify(der []byte, issuer *x509.Certificate) (*revocation.List, error) {
	list, err := revocation.Parse(der)
	if err != nil {
		return nil, err
	}
	return revocation.Verify(list, issuer, x509.ECDSAWithSHA256)
}

func TestVerify(t *testing.T) {
	t.Parallel()
	l, err := verify(a.CRL(a.Root, withExtension(false, 99), a.Platform.Cert), a.Root.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if !l.From.Equal(a.Now.AddDate(0, 0, -1)) || !l.Next.Equal(a.Now.AddDate(0, 0, 29)) || l.Issuer != attesttest.NameRoot {
		t.Errorf("list of %q from %s to %s", l.Issuer, l.From, l.Next)
	}
	if err := l.Check(a.Platform.Cert); err == nil || !strings.Contains(err.Error(), "was revoked on 2026-01-14T12:00:00Z") {
		t.Errorf("a revoked certificate: %v", err)
	}
	if err := l.Check(a.Processor.Cert); err != nil {
		t.Errorf("another certificate: %v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	noLists := a.Issue(nil, attesttest.NameRoot, attesttest.CA, func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageCertSign })
	entry := func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = []x509.RevocationListEntry{{
			SerialNumber: a.Signing.Cert.SerialNumber, RevocationTime: a.Now,
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}},
		}}
	}
	for name, c := range map[string]struct {
		der    []byte
		issuer *x509.Certificate
		want   string
	}{
		"nothing":                 {nil, a.Root.Cert, "malformed crl"},
		"a byte more":             {append(a.CRL(a.Root, nil), 0), a.Root.Cert, "followed by 1 bytes"},
		"a large one":             {make([]byte, revocation.MaxSize+1), a.Root.Cert, "at most"},
		"another authority's":     {a.CRL(a.Platform, nil), a.Root.Cert, "is of \"Intel SGX PCK Platform CA\""},
		"another key's":           {other.CRL(other.Root, nil), a.Root.Cert, "another key"},
		"forged":                  {a.CRL(&attesttest.Issuer{Cert: a.Root.Cert, Key: other.Root.Key}, nil), a.Root.Cert, "verification failure"},
		"issuer signs no lists":   {a.CRL(a.Root, nil), noLists.Cert, "signature of the revocation list"},
		"of changes":              {a.CRL(a.Root, withExtension(true, 27)), a.Root.Cert, "not a whole list"},
		"of changes, quietly":     {a.CRL(a.Root, withExtension(false, 27)), a.Root.Cert, "not a whole list"},
		"of some certificates":    {a.CRL(a.Root, withExtension(true, 28)), a.Root.Cert, "not a whole list"},
		"completed by another":    {a.CRL(a.Root, withExtension(false, 46)), a.Root.Cert, "not a whole list"},
		"of unknown meaning":      {a.CRL(a.Root, withExtension(true, 99)), a.Root.Cert, "2.5.29.99"},
		"an extension twice":      {a.CRL(a.Root, func(l *x509.RevocationList) { withExtension(false, 99)(l); withExtension(false, 99)(l) }), a.Root.Cert, "twice"},
		"entry of another issuer": {a.CRL(a.Root, entry), a.Root.Cert, "2.5.29.29"},
	} {
		l, err := verify(c.der, c.issuer)
		if l != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want %q", name, l, err, c.want)
		}
	}
	list, err := revocation.Parse(a.CRL(a.Root, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := revocation.Verify(list, a.Root.Cert, x509.ECDSAWithSHA384); err == nil || !strings.Contains(err.Error(), "ECDSA-SHA384 is wanted") {
		t.Errorf("another algorithm: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	m := a.Machine()
	f.Add(a.CRL(a.Root, nil))
	f.Add(a.CRL(a.Platform, withExtension(true, 28), m.PCK.Cert, a.Signing.Cert))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := revocation.Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(list.Raw, b) || list.NextUpdate.IsZero() {
			t.Errorf("%x has bytes that are not of the list", b)
		}
		if l, err := revocation.Verify(list, a.Root.Cert, x509.ECDSAWithSHA256); err == nil && !bytes.Equal(list.RawIssuer, a.Root.Cert.RawSubject) {
			t.Errorf("a list of %q is verified", l.Issuer)
		}
	})
}
