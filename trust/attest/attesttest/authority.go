package attesttest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"time"
)

// Config says how an Authority differs from others.
type Config struct {
	// Seed is what all keys follow from: authorities of different seeds do not
	// trust each other.
	Seed string
	// Now is the time around which all is valid; zero means 2026-01-15 12:00 UTC.
	Now time.Time
}

// Authority plays Intel.
type Authority struct {
	Now                                time.Time
	Root, Platform, Processor, Signing *Issuer
	seed                               string
}

// Issuer is a certificate with its key.
type Issuer struct {
	Cert *x509.Certificate
	Key  *ecdsa.PrivateKey
}

// PEM returns the certificate.
func (i *Issuer) PEM() []byte { return pemOf(i.Cert) }

// The common names that Intel uses.
const (
	NameRoot      = "Intel SGX Root CA"
	NamePlatform  = "Intel SGX PCK Platform CA"
	NameProcessor = "Intel SGX PCK Processor CA"
	NamePCK       = "Intel SGX PCK Certificate"
	NameSigning   = "Intel SGX TCB Signing"
)

// New returns an authority. Its certificates are valid from a year before
// Config.Now to five years after it.
func New(c Config) *Authority {
	if c.Now.IsZero() {
		c.Now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	}
	a := &Authority{Now: c.Now.UTC().Truncate(time.Second), seed: c.Seed}
	a.Root = a.Issue(nil, NameRoot, func(t *x509.Certificate) { t.MaxPathLen = 1 }, CA)
	a.Platform = a.Issue(a.Root, NamePlatform, CA)
	a.Processor = a.Issue(a.Root, NameProcessor, CA)
	a.Signing = a.Issue(a.Root, NameSigning)
	return a
}

// Clock returns Now: the clock of a verifier.
func (a *Authority) Clock() time.Time { return a.Now }

// Roots returns the key of the root CA, alone in a list.
func (a *Authority) Roots() []*ecdsa.PublicKey { return []*ecdsa.PublicKey{&a.Root.Key.PublicKey} }

// Key returns the private key of a name. It is always the same.
func (a *Authority) Key(name string) *ecdsa.PrivateKey {
	d := sha256.Sum256([]byte("cloister.attesttest " + a.seed + "\x00" + name))
	d[0] &= 0x7f // below the order of the group
	return must(ecdsa.ParseRawPrivateKey(elliptic.P256(), d[:]))
}

// CA is the edit of a certificate that may issue others.
func CA(t *x509.Certificate) {
	t.IsCA = true
	t.MaxPathLenZero = t.MaxPathLen == 0
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
}

// Issue makes a certificate that is signed by issuer, or by itself if issuer is
// nil. Before edits it is one of a signer, neither a CA nor a PCK. Two
// certificates of one name have one key.
func (a *Authority) Issue(issuer *Issuer, name string, edits ...func(*x509.Certificate)) *Issuer {
	key := a.Key(name)
	id := sha256.Sum256(must(key.PublicKey.Bytes()))
	t := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(id[:19]),
		SubjectKeyId:          id[:20],
		Subject:               subject(name),
		NotBefore:             a.Now.AddDate(-1, 0, 0),
		NotAfter:              a.Now.AddDate(5, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
		BasicConstraintsValid: true,
		SignatureAlgorithm:    x509.ECDSAWithSHA256,
		CRLDistributionPoints: []string{"https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"},
	}
	for _, edit := range edits {
		edit(t)
	}
	parent := &Issuer{Cert: t, Key: key}
	if issuer != nil {
		parent = issuer
	}
	der := must(x509.CreateCertificate(nil, t, parent.Cert, &key.PublicKey, signer{parent.Key}))
	return &Issuer{Cert: must(x509.ParseCertificate(der)), Key: key}
}

func subject(name string) pkix.Name {
	return pkix.Name{
		CommonName: name, Organization: []string{"Intel Corporation"},
		Locality: []string{"Santa Clara"}, Province: []string{"CA"}, Country: []string{"US"},
	}
}

// CRL makes the revocation list of an issuer in DER, valid for 30 days around now.
func (a *Authority) CRL(issuer *Issuer, edit func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: a.Now.AddDate(0, 0, -1), NextUpdate: a.Now.AddDate(0, 0, 29),
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	for _, cert := range revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: cert.SerialNumber, RevocationTime: t.ThisUpdate, ReasonCode: 1,
		})
	}
	if edit != nil {
		edit(t)
	}
	return must(x509.CreateRevocationList(nil, t, issuer.Cert, signer{issuer.Key}))
}

// signer signs as RFC 6979 has it, whatever source of randomness it is given.
type signer struct{ *ecdsa.PrivateKey }

// Sign implements crypto.Signer.
func (s signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.PrivateKey.Sign(nil, digest, opts)
}

// signRaw signs the SHA-256 of message, and returns r and s.
func signRaw(key *ecdsa.PrivateKey, message []byte) []byte {
	digest := sha256.Sum256(message)
	der := must(signer{key}.Sign(nil, digest[:], crypto.SHA256))
	var rs struct{ R, S *big.Int }
	must(asn1.Unmarshal(der, &rs))
	raw := make([]byte, 64)
	rs.R.FillBytes(raw[:32])
	rs.S.FillBytes(raw[32:])
	return raw
}

func pemOf(certs ...*x509.Certificate) []byte {
	var text []byte
	for _, cert := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return text
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("attesttest: " + err.Error())
	}
	return v
}
