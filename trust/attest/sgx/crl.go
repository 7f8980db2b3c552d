package sgx

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

// crl is a revocation list whose signature holds.
type crl struct {
	name    string // of its issuer
	from    time.Time
	next    time.Time
	revoked map[string]time.Time // serial numbers, as big-endian bytes
}

// maxCRL bounds what is parsed; Intel's largest have some hundred kilobytes.
const maxCRL = 16 << 20

// The extensions of Intel's revocation lists ([PCKProfile]).
var (
	oidAuthorityKeyID = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber      = asn1.ObjectIdentifier{2, 5, 29, 20}
)

// parseCRL reads a revocation list in DER.
func parseCRL(der []byte) (*x509.RevocationList, error) {
	if len(der) > maxCRL {
		return nil, fmt.Errorf("revocation list of %d bytes: at most %d are read", len(der), maxCRL)
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

// verifyCRL verifies that the issuer signed a list, and that the list is of all
// its certificates: one for some of them, or of changes alone, says so in an
// extension that is not known here.
func verifyCRL(list *x509.RevocationList, issuer *x509.Certificate) (*crl, error) {
	if !bytes.Equal(list.RawIssuer, issuer.RawSubject) {
		return nil, fmt.Errorf("the revocation list is of %q, not of %q", list.Issuer.CommonName, issuer.Subject.CommonName)
	}
	if list.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return nil, fmt.Errorf("signature algorithm %s of the revocation list, ECDSA-SHA256 is wanted", list.SignatureAlgorithm)
	}
	for _, ext := range list.Extensions {
		if !ext.Id.Equal(oidAuthorityKeyID) && !ext.Id.Equal(oidCRLNumber) {
			return nil, fmt.Errorf("extension %s of the revocation list of %q is not known", ext.Id, issuer.Subject.CommonName)
		}
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("signature of the revocation list of %q: %w", issuer.Subject.CommonName, err)
	}
	c := &crl{
		name: issuer.Subject.CommonName, from: list.ThisUpdate, next: list.NextUpdate,
		revoked: make(map[string]time.Time, len(list.RevokedCertificateEntries)),
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, ext := range entry.Extensions {
			if ext.Critical {
				return nil, fmt.Errorf("critical extension %s in the revocation list of %q is not known", ext.Id, c.name)
			}
		}
		c.revoked[string(entry.SerialNumber.Bytes())] = entry.RevocationTime
	}
	return c, nil
}

// check says whether the list revokes a certificate. A certificate that will be
// revoked is refused as well.
func (c *crl) check(cert *x509.Certificate) error {
	if at, ok := c.revoked[string(cert.SerialNumber.Bytes())]; ok {
		return fmt.Errorf("certificate %q, serial number %x, was revoked on %s", cert.Subject.CommonName, cert.SerialNumber, date(at))
	}
	return nil
}
