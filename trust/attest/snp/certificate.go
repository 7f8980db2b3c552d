package snp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/verify/trust"
)

// Root is a root key that is trusted for a product.
type Root struct {
	Product Product
	// Key is the SHA-256 of the key's SubjectPublicKeyInfo.
	Key [sha256.Size]byte
}

// RootOf returns the root that trusting a certificate's key means. Its product is
// that of the common name, ARK-Milan.
func RootOf(x *x509.Certificate) Root {
	product, _ := strings.CutPrefix(x.Subject.CommonName, "ARK-")
	return Root{Product(product), sha256.Sum256(x.RawSubjectPublicKeyInfo)}
}

// bundles are the certificates that AMD publishes, of Milan, Genoa and Turin.
func bundles() map[Product][][]byte {
	return map[Product][][]byte{
		Milan: {trust.AskArkMilanVcekBytes, trust.AskArkMilanVlekBytes},
		Genoa: {trust.AskArkGenoaVcekBytes, trust.AskArkGenoaVlekBytes},
		Turin: {trust.AskArkTurinVcekBytes, trust.AskArkTurinVlekBytes},
	}
}

// amdRoots are the SHA-256 of the SubjectPublicKeyInfo of AMD's root keys, the
// ARK of each product, pinned here so that no change of a module changes them.
var amdRoots = []Root{
	{Milan, pin("9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9")},
	{Genoa, pin("429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831")},
	{Turin, pin("4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08")},
}

func pin(digits string) (key [sha256.Size]byte) {
	if n, err := hex.Decode(key[:], []byte(digits)); err != nil || n != len(key) {
		panic("a pinned key is no SHA-256") // it is part of the program, and tested
	}
	return key
}

// AMDRoots are AMD's root keys.
func AMDRoots() []Root { return slices.Clone(amdRoots) }

// publishedCertificates are those of bundles, parsed. None is trusted for being
// there: a chain has to lead to a root key.
func publishedCertificates() []*x509.Certificate {
	var all []*x509.Certificate
	for _, p := range []Product{Milan, Genoa, Turin} {
		for _, bundle := range bundles()[p] {
			for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
				c, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					panic(fmt.Sprintf("certificate of %s: %v", p, err)) // it is part of the program, and tested
				}
				all = append(all, c)
			}
		}
	}
	return all
}

// chain is a verified chain from a report's key to a root.
type chain struct {
	product           Product
	leaf, issuer, ark *x509.Certificate
	key               *endorsement
	keyKind           SigningKey
}

// dates are when the certificates begin to be valid and when the first ends.
func (c *chain) dates() (from, until time.Time) {
	from, until = c.leaf.NotBefore, c.leaf.NotAfter
	for _, x := range []*x509.Certificate{c.issuer, c.ark} {
		if x.NotBefore.After(from) {
			from = x.NotBefore
		}
		if x.NotAfter.Before(until) {
			until = x.NotAfter
		}
	}
	return from, until
}

// at says whether the certificates are valid at a time.
func (c *chain) at(now time.Time) error {
	from, until := c.dates()
	switch {
	case now.Before(from):
		return fmt.Errorf("the certificates are not valid before %s", from.UTC().Format(time.RFC3339))
	case now.After(until):
		return fmt.Errorf("the certificates expired on %s", until.UTC().Format(time.RFC3339))
	}
	return nil
}

// verifyChain builds the chain of the certificate leaf, from the certificates
// that the report carries, which all must hold, and those that AMD publishes.
func (v *Verifier) verifyChain(r *Report, leaf []byte) (*chain, error) {
	c := &chain{keyKind: r.signingKey()}
	if err := c.readLeaf(r, leaf); err != nil {
		return nil, err
	}
	carried, err := r.authorities()
	if err != nil {
		return nil, err
	}
	if c.ark, err = v.findRoot(c.product, carried); err != nil {
		return nil, err
	}
	for _, x := range carried {
		if err := issued(c.ark, x); err != nil {
			return nil, fmt.Errorf("the certificate of %q that the report carries: %w", x.Subject.CommonName, err)
		}
	}
	if c.issuer = issuerOf(c.leaf, slices.Concat(carried, v.published)); c.issuer == nil {
		return nil, fmt.Errorf("no certificate of %q, which issued the %s, is known", c.leaf.Issuer.CommonName, c.keyKind)
	}
	if name := issuerName(c.product, c.keyKind); c.issuer.Subject.CommonName != name {
		return nil, fmt.Errorf("the %s was issued by %q, not by %q", c.keyKind, c.issuer.Subject.CommonName, name)
	}
	if err := issued(c.ark, c.issuer); err != nil {
		return nil, err
	}
	return c, issued(c.issuer, c.leaf)
}

// readLeaf reads the certificate of the report's key, and finds the product.
func (c *chain) readLeaf(r *Report, der []byte) error {
	var err error
	if c.leaf, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("the %s certificate: %w", c.keyKind, err)
	}
	if c.key, err = parseEndorsement(c.leaf, c.keyKind); err != nil {
		return fmt.Errorf("the %s certificate: %w", c.keyKind, err)
	}
	// AMD issued certificates with another product's name; from version 3 on the
	// report itself says what the processor is.
	if c.product = c.key.product; r.saysProcessor() {
		var ok bool
		if c.product, ok = productOf(r.fms); !ok {
			return unknownProcessor(r)
		}
	}
	return nil
}

// authorities reads the certificates of authorities that a report carries.
func (r *Report) authorities() ([]*x509.Certificate, error) {
	var carried []*x509.Certificate
	for _, der := range [][]byte{r.ask, r.ark} {
		if der == nil {
			continue
		}
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of an authority that the report carries: %w", len(carried)+1, err)
		}
		carried = append(carried, x)
	}
	return carried, nil
}

// findRoot returns the certificate of a trusted root key of a product.
func (v *Verifier) findRoot(p Product, carried []*x509.Certificate) (*x509.Certificate, error) {
	for _, x := range slices.Concat(carried, v.published) {
		if RootOf(x).Product == p && slices.Contains(v.options.Roots, RootOf(x)) {
			return x, nil
		}
	}
	return nil, fmt.Errorf("no root key of %s is trusted", p)
}

// issuerName is the name of what issues the certificates of a kind of key.
func issuerName(p Product, kind SigningKey) string {
	if kind == VLEK {
		return "SEV-VLEK-" + string(p)
	}
	return "SEV-" + string(p)
}

func issuerOf(leaf *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	for _, x := range among {
		if bytes.Equal(x.RawSubject, leaf.RawIssuer) {
			return x
		}
	}
	return nil
}

// issued checks that a certificate authority of AMD's issued a certificate: all
// signatures are RSASSA-PSS with SHA-384 ([VCEK], section 3).
func issued(ca, x *x509.Certificate) error {
	switch {
	case !ca.IsCA || !ca.BasicConstraintsValid || ca.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%q may not issue certificates", ca.Subject.CommonName)
	case x.IsCA && ca.MaxPathLenZero && !bytes.Equal(x.RawSubject, x.RawIssuer):
		return fmt.Errorf("%q may issue certificates of keys alone, of no other authority", ca.Subject.CommonName)
	case !bytes.Equal(x.RawIssuer, ca.RawSubject):
		return fmt.Errorf("%q was issued by %q, not by %q", x.Subject.CommonName, x.Issuer.CommonName, ca.Subject.CommonName)
	case x.SignatureAlgorithm != x509.SHA384WithRSAPSS:
		return fmt.Errorf("%q was signed with %s, not with SHA384-RSAPSS", x.Subject.CommonName, x.SignatureAlgorithm)
	case len(x.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("%q has a critical extension %s that is not known", x.Subject.CommonName, x.UnhandledCriticalExtensions[0])
	}
	if err := ca.CheckSignature(x.SignatureAlgorithm, x.RawTBSCertificate, x.Signature); err != nil {
		return fmt.Errorf("%q was not signed by %q: %w", x.Subject.CommonName, ca.Subject.CommonName, err)
	}
	return nil
}

// endorsement is what the certificate of a report's key says in AMD's extensions.
type endorsement struct {
	product    Product
	hardwareID []byte // of a VCEK
	csp        string // of a VLEK: the cloud provider that it was given to
	extensions map[string][]byte
}

// kdsPrefix is the start of the identifiers of AMD's extensions.
const kdsPrefix = "1.3.6.1.4.1.3704.1."

// parseEndorsement reads the certificate of a report's key ([VCEK], section 3).
func parseEndorsement(x *x509.Certificate, kind SigningKey) (*endorsement, error) {
	if key, ok := x.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P384() {
		return nil, errors.New("its key is not of the curve P-384")
	}
	if want := "SEV-" + string(kind); x.Subject.CommonName != want || x.IsCA {
		return nil, fmt.Errorf("its subject is %.40q, wanted is %s", x.Subject.CommonName, want)
	}
	if x.KeyUsage != 0 && x.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, errors.New("its key usage lacks digital signatures")
	}
	e := &endorsement{extensions: map[string][]byte{}}
	for _, ext := range x.Extensions {
		name, ok := strings.CutPrefix(ext.Id.String(), kdsPrefix)
		if !ok {
			continue
		}
		if _, twice := e.extensions[name]; twice {
			return nil, fmt.Errorf("the extension %s is there twice", ext.Id)
		}
		e.extensions[name] = ext.Value
	}
	name, err := e.text("2")
	if err != nil {
		return nil, fmt.Errorf("product name: %w", err)
	}
	if e.product, err = parseProduct(name); err != nil {
		return nil, err
	}
	if kind == VLEK {
		if e.csp, err = e.text("5"); err != nil {
			return nil, fmt.Errorf("cloud provider: %w", err)
		}
		return e, nil
	}
	e.hardwareID, err = e.octets("4")
	return e, err
}

func (e *endorsement) text(name string) (string, error) {
	var s string
	value, ok := e.extensions[name]
	if !ok || len(value) == 0 || value[0] != asn1.TagIA5String {
		return "", fmt.Errorf("the extension %s%s is missing or no IA5String", kdsPrefix, name)
	}
	if rest, err := asn1.UnmarshalWithParams(value, &s, "ia5"); err != nil || len(rest) > 0 {
		return "", fmt.Errorf("the extension %s%s is no IA5String", kdsPrefix, name)
	}
	return s, nil
}

// octets reads the hardware id, which AMD writes with and without a tag.
func (e *endorsement) octets(name string) ([]byte, error) {
	value, ok := e.extensions[name]
	if !ok {
		return nil, fmt.Errorf("the extension %s%s is missing", kdsPrefix, name)
	}
	if n := len(value); n == 8 || n == abi.ChipIDSize {
		return value, nil
	}
	var b []byte
	if rest, err := asn1.Unmarshal(value, &b); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("the extension %s%s is no octet string", kdsPrefix, name)
	}
	return b, nil
}

// tcb returns the levels that a product's certificate has, as a TCB version.
func (e *endorsement) tcb(p Product) (uint64, error) {
	var version uint64
	for _, l := range p.levels() {
		var n int
		value, ok := e.extensions[fmt.Sprintf("3.%d", l.oid)]
		if !ok {
			return 0, fmt.Errorf("the level of %s is missing", l.name)
		}
		if rest, err := asn1.Unmarshal(value, &n); err != nil || len(rest) > 0 || n < 0 || n > 255 {
			return 0, fmt.Errorf("the level of %s is no number of one byte", l.name)
		}
		version |= uint64(n) << (8 * l.at)
	}
	return version, nil
}

// matches says whether a report is of the chip and TCB that the certificate is of.
func (c *chain) matches(r *Report) error {
	tcb, err := c.key.tcb(c.product)
	if err != nil {
		return fmt.Errorf("the %s certificate: %w", c.keyKind, err)
	}
	if tcb != r.fields.ReportedTcb {
		return fmt.Errorf("the %s certificate is of %s (%016x), the report of %s (%016x)", c.keyKind,
			c.product.describe(tcb), tcb, c.product.describe(r.fields.ReportedTcb), r.fields.ReportedTcb)
	}
	if c.keyKind != VCEK {
		return nil
	}
	if r.chipHidden() { // the signature alone says which chip it is
		return nil
	}
	if want := c.product.hardwareID(r.fields.ChipId); !bytes.Equal(want, c.key.hardwareID) {
		return fmt.Errorf("the VCEK certificate is of chip %x, the report of %x", c.key.hardwareID, want)
	}
	if rest := r.fields.ChipId[len(c.key.hardwareID):]; len(bytes.Trim(rest, "\x00")) > 0 {
		return fmt.Errorf("the chip id has %x after the hardware id, not zeros", rest)
	}
	return nil
}
