package sgx

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// intelRootKey is the public key of the Intel SGX Root CA, as an uncompressed
// point. It signs everything that is believed here. The certificate is at
// https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.pem
const intelRootKey = "04" +
	"0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5" +
	"67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"

// IntelRoots returns the public key of Intel's SGX root CA, alone in a list.
func IntelRoots() []*ecdsa.PublicKey {
	point, err := hex.DecodeString(intelRootKey)
	if err != nil {
		panic("sgx: Intel's root key: " + err.Error()) // a constant
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		panic("sgx: Intel's root key: " + err.Error()) // a constant
	}
	return []*ecdsa.PublicKey{key}
}

// The common names of Intel's certificates ([PCKProfile]).
const (
	nameRoot      = "Intel SGX Root CA"
	namePlatform  = "Intel SGX PCK Platform CA"
	nameProcessor = "Intel SGX PCK Processor CA"
	namePCK       = "Intel SGX PCK Certificate"
	nameSigning   = "Intel SGX TCB Signing"
)

// maxChain bounds a chain in PEM; Intel's have about 3,700 bytes.
const maxChain = 32 << 10

// chain is a certificate chain, leaf first, whose signatures hold up to a root
// that is trusted. What depends on the time is not in it.
type chain struct {
	certs []*x509.Certificate
	from  time.Time // when the last of them becomes valid
	until time.Time // when the first of them expires
}

func (c *chain) leaf() *x509.Certificate { return c.certs[0] }

// at checks the validity of every certificate.
func (c *chain) at(now time.Time) error {
	for _, cert := range c.certs {
		switch name := cert.Subject.CommonName; {
		case now.Before(cert.NotBefore):
			return fmt.Errorf("certificate %q is not valid before %s", name, date(cert.NotBefore))
		case now.After(cert.NotAfter):
			return fmt.Errorf("certificate %q expired on %s", name, date(cert.NotAfter))
		}
	}
	return nil
}

// date is how dates are shown.
func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// parsePEM decodes a chain. The text must be exactly what encoding the
// certificates gives, lines of 64 characters with a line feed, because all else
// would be bytes that nobody signed. The last line feed may be missing.
func parsePEM(text []byte) ([]*x509.Certificate, error) {
	if len(text) > maxChain {
		return nil, fmt.Errorf("chain of %d bytes: at most %d are read", len(text), maxChain)
	}
	var certs []*x509.Certificate
	var canonical bytes.Buffer
	for rest := text; len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			return nil, fmt.Errorf("certificate %d of the chain is not in PEM", len(certs)+1)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
		if err := pem.Encode(&canonical, &pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}); err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", len(certs), err)
		}
	}
	if c := canonical.Bytes(); !bytes.Equal(text, c) && !bytes.Equal(text, bytes.TrimSuffix(c, []byte("\n"))) {
		return nil, errors.New("the chain has bytes beside its certificates, or its PEM is not in the usual form")
	}
	return certs, nil
}

// verifyChain verifies the signatures from the leaf up to a root whose key is
// one of roots, and that each certificate is made for its place: names[i] are the
// common names that certificate i may have.
func verifyChain(certs []*x509.Certificate, roots []*ecdsa.PublicKey, names ...[]string) (*chain, error) {
	if len(certs) != len(names) {
		return nil, fmt.Errorf("chain of %d certificates: %d are wanted", len(certs), len(names))
	}
	c := &chain{certs: certs}
	for i, cert := range certs {
		if err := verifyLink(cert, certs[min(i+1, len(certs)-1)], i > 0, names[i]); err != nil {
			return nil, fmt.Errorf("certificate %q: %w", cert.Subject.CommonName, err)
		}
		if c.from.IsZero() || cert.NotBefore.After(c.from) {
			c.from = cert.NotBefore
		}
		if c.until.IsZero() || cert.NotAfter.Before(c.until) {
			c.until = cert.NotAfter
		}
	}
	root := certs[len(certs)-1]
	if !trustedRoot(root, roots) {
		return nil, fmt.Errorf("root certificate %q has a public key that is not trusted", root.Subject.CommonName)
	}
	if c.from.After(c.until) {
		return nil, errors.New("the certificates of the chain are never valid together")
	}
	return c, c.validate()
}

func trustedRoot(root *x509.Certificate, roots []*ecdsa.PublicKey) bool {
	key, ok := root.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	for _, r := range roots {
		if r != nil && key.Equal(r) {
			return true
		}
	}
	return false
}

// verifyLink checks one certificate: its name, keys and extensions, and that its
// issuer signed it.
func verifyLink(cert, issuer *x509.Certificate, isCA bool, names []string) error {
	switch {
	case !oneOf(cert.Subject.CommonName, names):
		return fmt.Errorf("the name should be %s", strings.Join(names, " or "))
	case cert.Version != 3:
		return fmt.Errorf("version %d, 3 is wanted", cert.Version)
	case cert.SignatureAlgorithm != x509.ECDSAWithSHA256:
		return fmt.Errorf("signature algorithm %s, ECDSA-SHA256 is wanted", cert.SignatureAlgorithm)
	case p256(cert) == nil:
		return errors.New("the public key is not on P-256")
	case len(cert.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("critical extension %s is not known", cert.UnhandledCriticalExtensions[0])
	case !cert.BasicConstraintsValid || cert.IsCA != isCA:
		return fmt.Errorf("basic constraints: CA should be %t", isCA)
	case isCA && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("key usage lacks the signing of certificates")
	case !isCA && (cert.KeyUsage&x509.KeyUsageDigitalSignature == 0 || cert.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0):
		return errors.New("key usage should have digital signatures and not the signing of certificates")
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("issuer is %q, but next in the chain is %q", cert.Issuer.CommonName, issuer.Subject.CommonName)
	case len(cert.AuthorityKeyId) > 0 && len(issuer.SubjectKeyId) > 0 && !bytes.Equal(cert.AuthorityKeyId, issuer.SubjectKeyId):
		return fmt.Errorf("the issuer's key id is not that of %q", issuer.Subject.CommonName)
	}
	if err := cert.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("signature of %q: %w", issuer.Subject.CommonName, err)
	}
	return nil
}

// validate leaves what is left of a path's validation (RFC 5280, 6.1) to the
// standard library, at a time at which all certificates are valid; the actual
// time is checked whenever the chain is used.
func (c *chain) validate() error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	last := len(c.certs) - 1
	roots.AddCert(c.certs[last])
	for _, cert := range c.certs[1:last] {
		between.AddCert(cert)
	}
	_, err := c.leaf().Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: c.from, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

func oneOf(s string, list []string) bool {
	for _, l := range list {
		if s == l {
			return true
		}
	}
	return false
}

// p256 returns the public key of a certificate, or nil if it is of another kind.
func p256(cert *x509.Certificate) *ecdsa.PublicKey {
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); ok && key.Curve == elliptic.P256() {
		return key
	}
	return nil
}
