package issuer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"cloister/trust/broker/store"
)

// Request is what an appraised program asks for.
type Request struct {
	// CSR is a certificate signing request (RFC 2986) in DER, signed by the key
	// that is to be certified. It asks for DNS names and nothing else.
	CSR []byte
	// Key is the SubjectPublicKeyInfo in DER that the program's evidence binds.
	Key []byte
	// Allowed are the names that the policy allows this workload, whole and in
	// lower case. A request for another is refused.
	Allowed []string
	// Life is how long the certificate is wanted for; zero is the authority's
	// choice, and more than that is refused.
	Life time.Duration
	// Workload and Policy are recorded, for revoking by policy.
	Workload string
	Policy   [32]byte // hash of the policy that allowed it
}

// Issued is the record of a certificate.
type Issued struct {
	Format   int       `json:"format"`
	Serial   string    `json:"serial"` // 40 hexadecimal digits
	Names    []string  `json:"names"`
	Workload string    `json:"workload"`
	Policy   []byte    `json:"policy"`
	Key      []byte    `json:"key"` // SHA-256 of the SubjectPublicKeyInfo
	Issued   time.Time `json:"issued"`
	Expires  time.Time `json:"expires"`
}

const (
	maxCSR   = 16 << 10
	maxNames = 32
)

// CertificateRequest makes the request of a program for its key, which is of
// P-256 or P-384.
func CertificateRequest(key *ecdsa.PrivateKey, names []string) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
}

// Issue issues a certificate and records it.
func (i *Issuer) Issue(tx *store.Tx, r Request) (*x509.Certificate, error) {
	cert, err := i.issue(tx, &r)
	if err != nil {
		return nil, fmt.Errorf("workload %.80q: %w", r.Workload, err)
	}
	return cert, nil
}

func (i *Issuer) issue(tx *store.Tx, r *Request) (*x509.Certificate, error) {
	if r.Workload == "" || r.Policy == [32]byte{} {
		return nil, fmt.Errorf("%w: no workload or policy is named", ErrRefused)
	}
	csr, err := parseCSR(r.CSR)
	if err != nil {
		return nil, err
	}
	if len(r.Key) == 0 || !bytes.Equal(csr.RawSubjectPublicKeyInfo, r.Key) {
		return nil, fmt.Errorf("%w: the request is for another key than the evidence binds", ErrRefused)
	}
	names, err := i.names(csr, r.Allowed)
	if err != nil {
		return nil, err
	}
	now := i.options.Now().UTC().Truncate(time.Second)
	until, err := i.until(now, r.Life)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial(i.options.Random)
	if err != nil {
		return nil, err
	}
	if _, taken := tx.Get(bucketIssued, serialKey(serial)); taken {
		return nil, errors.New("issuer: the random source gave a serial number twice")
	}
	if err := i.forget(tx, serialKey(serial), now); err != nil {
		return nil, err
	}
	cert, err := i.sign(serial, now, until, names, csr)
	if err != nil {
		return nil, err
	}
	record := &Issued{
		Format: format, Serial: serialKey(serial), Names: names, Workload: r.Workload, Policy: r.Policy[:],
		Key: hash(r.Key), Issued: now, Expires: until,
	}
	return cert, put(tx, bucketIssued, record.Serial, record)
}

// parseCSR accepts a request for DNS names with a key of P-256 or P-384, signed
// by it.
func parseCSR(der []byte) (*x509.CertificateRequest, error) {
	if len(der) > maxCSR {
		return nil, fmt.Errorf("%w: a request of %d bytes, of at most %d", ErrRefused, len(der), maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
		return nil, fmt.Errorf("%w: the key is of type %s: it is ECDSA on P-256 or P-384", ErrRefused, csr.PublicKeyAlgorithm)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: the request is not signed by its key: %w", ErrRefused, err)
	}
	if len(csr.IPAddresses) > 0 || len(csr.URIs) > 0 || len(csr.EmailAddresses) > 0 {
		return nil, fmt.Errorf("%w: the request is for addresses, URIs or mail addresses: only DNS names are certified", ErrRefused)
	}
	if len(csr.Subject.Names) > 0 {
		return nil, fmt.Errorf("%w: the request has a subject: names go into the subject alternative names", ErrRefused)
	}
	for _, e := range csr.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			return nil, fmt.Errorf("%w: the request is for extension %s", ErrRefused, e.Id)
		}
	}
	return csr, nil
}

// names returns those of the request, each of which is allowed and within the
// authority's constraints.
func (i *Issuer) names(csr *x509.CertificateRequest, allowed []string) ([]string, error) {
	if len(csr.DNSNames) == 0 || len(csr.DNSNames) > maxNames {
		return nil, fmt.Errorf("%w: %d names: there are from 1 to %d", ErrRefused, len(csr.DNSNames), maxNames)
	}
	for n, name := range csr.DNSNames {
		if err := checkDNS(name); err != nil {
			return nil, fmt.Errorf("%w: name %w", ErrRefused, err)
		}
		if slices.Contains(csr.DNSNames[:n], name) {
			return nil, fmt.Errorf("%w: name %s appears twice", ErrRefused, name)
		}
		if !slices.Contains(allowed, name) {
			return nil, fmt.Errorf("%w: the policy does not allow the name %s", ErrRefused, name)
		}
		if !slices.ContainsFunc(i.cert.PermittedDNSDomains, func(d string) bool { return name == d || strings.HasSuffix(name, "."+d) }) {
			return nil, fmt.Errorf("%w: name %s is outside of what the authority may certify: %s",
				ErrRefused, name, strings.Join(i.cert.PermittedDNSDomains, ", "))
		}
	}
	return csr.DNSNames, nil
}

// until is when a certificate ends: never after the authority.
func (i *Issuer) until(now time.Time, life time.Duration) (time.Time, error) {
	if life == 0 {
		life = i.options.Life
	}
	if life < time.Minute || life > i.options.Life {
		return time.Time{}, fmt.Errorf("%w: a life of %s: it is from a minute to %s", ErrRefused, life, i.options.Life)
	}
	if now.Before(i.cert.NotBefore) || !now.Before(i.cert.NotAfter) {
		return time.Time{}, fmt.Errorf("issuer: the authority is valid from %s to %s, and now is %s", i.cert.NotBefore, i.cert.NotAfter, now)
	}
	until := now.Add(life)
	if until.After(i.cert.NotAfter) {
		until = i.cert.NotAfter
	}
	return until, nil
}

func issued(tx *store.Tx, serial string) (*Issued, error) {
	value, ok := tx.Get(bucketIssued, serial)
	if !ok {
		return nil, nil //nolint:nilnil // none is an answer
	}
	var r Issued
	if err := decode(value, &r); err != nil || r.Format != format || r.Serial != serial {
		return nil, fmt.Errorf("issuer: record of certificate %s: %w", serial, ErrTampered)
	}
	return &r, nil
}

func (i *Issuer) sign(serial *big.Int, now, until time.Time, names []string, csr *x509.CertificateRequest) (*x509.Certificate, error) {
	begin := now.Add(-Backdate)
	if begin.Before(i.cert.NotBefore) {
		begin = i.cert.NotBefore
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{}, // so that the names are critical
		NotBefore:             begin,
		NotAfter:              until,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		// A worker serves its peers and asks them.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    names,
	}
	if i.options.CRLURL != "" {
		template.CRLDistributionPoints = []string{i.options.CRLURL}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, csr.PublicKey, i.key)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return x509.ParseCertificate(der)
}

// checkDNS accepts a whole name in lower case, no wildcard (RFC 1123, section
// 2.1), of at most 253 characters.
func checkDNS(name string) error {
	ok := len(name) > 0 && len(name) <= 253
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		ok = ok && label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-' &&
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
		last = label
	}
	// A last label of digits is that of an address.
	if !ok || strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("%.300q is no DNS name in lower case", name)
	}
	return nil
}
