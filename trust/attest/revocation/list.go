// Package revocation verifies the certificate revocation lists of the makers of
// platforms (RFC 5280, sections 5 and 6.3). They are simple ones: each authority
// has one list of all that it issued.
package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

// MaxSize bounds what is parsed; Intel's largest lists have some hundred kilobytes.
const MaxSize = 16 << 20

// Parse reads a list in DER, of which nothing is proven.
func Parse(der []byte) (*x509.RevocationList, error) {
	if len(der) > MaxSize {
		return nil, fmt.Errorf("revocation list of %d bytes: at most %d are read", len(der), MaxSize)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if len(list.Raw) != len(der) {
		return nil, fmt.Errorf("the revocation list is followed by %d bytes", len(der)-len(list.Raw))
	}
	if list.NextUpdate.IsZero() {
		return nil, errors.New("the revocation list does not say when the next one comes")
	}
	return list, nil
}

// List is a list whose signature holds.
type List struct {
	Issuer string    // its common name
	From   time.Time // thisUpdate
	Next   time.Time // nextUpdate

	revoked map[string]time.Time // by serial number, as big-endian bytes
}

// The extensions of lists that have a meaning here (RFC 5280, section 5.2).
var (
	authorityKeyID = asn1.ObjectIdentifier{2, 5, 29, 35}
	number         = asn1.ObjectIdentifier{2, 5, 29, 20}

	// A list that has one of these is of some certificates or of changes alone, or
	// others complete it: what is not in it may be revoked all the same.
	incomplete = []asn1.ObjectIdentifier{
		{2, 5, 29, 27}, // deltaCRLIndicator
		{2, 5, 29, 28}, // issuingDistributionPoint
		{2, 5, 29, 46}, // freshestCRL
	}
)

// Verify verifies that the issuer signed a list with the algorithm that it signs
// all with, and that the list is of all its certificates.
func Verify(list *x509.RevocationList, issuer *x509.Certificate, algorithm x509.SignatureAlgorithm) (*List, error) {
	name := issuer.Subject.CommonName
	switch {
	case !bytes.Equal(list.RawIssuer, issuer.RawSubject):
		return nil, fmt.Errorf("the revocation list is of %q, not of %q", list.Issuer.CommonName, name)
	case len(list.AuthorityKeyId) > 0 && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(list.AuthorityKeyId, issuer.SubjectKeyId):
		return nil, fmt.Errorf("the revocation list is of another key than that of %q", name)
	case list.SignatureAlgorithm != algorithm:
		return nil, fmt.Errorf("signature algorithm %s of the revocation list, %s is wanted", list.SignatureAlgorithm, algorithm)
	}
	if err := checkExtensions(list, name); err != nil {
		return nil, err
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("signature of the revocation list of %q: %w", name, err)
	}
	l := &List{
		Issuer: name, From: list.ThisUpdate, Next: list.NextUpdate,
		revoked: make(map[string]time.Time, len(list.RevokedCertificateEntries)),
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, ext := range entry.Extensions {
			if ext.Critical {
				return nil, fmt.Errorf("critical extension %s in the revocation list of %q is not known", ext.Id, name)
			}
		}
		l.revoked[string(entry.SerialNumber.Bytes())] = entry.RevocationTime
	}
	return l, nil
}

func checkExtensions(list *x509.RevocationList, name string) error {
	seen := map[string]bool{}
	for _, ext := range list.Extensions {
		id := ext.Id.String()
		if seen[id] {
			return fmt.Errorf("extension %s of the revocation list of %q is there twice", id, name)
		}
		seen[id] = true
		for _, other := range incomplete {
			if ext.Id.Equal(other) {
				return fmt.Errorf("extension %s of the revocation list of %q: it is not a whole list", id, name)
			}
		}
		if ext.Critical && !ext.Id.Equal(authorityKeyID) && !ext.Id.Equal(number) {
			return fmt.Errorf("critical extension %s of the revocation list of %q is not known", id, name)
		}
	}
	return nil
}

// Check says whether the list revokes a certificate of its issuer. One that will
// be revoked is refused as well.
func (l *List) Check(cert *x509.Certificate) error {
	if at, ok := l.revoked[string(cert.SerialNumber.Bytes())]; ok {
		return fmt.Errorf("certificate %q, serial number %x, was revoked on %s", cert.Subject.CommonName, cert.SerialNumber, at.UTC().Format(time.RFC3339))
	}
	return nil
}
