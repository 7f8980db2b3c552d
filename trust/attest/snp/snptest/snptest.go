// Package snptest is a test authority for SEV-SNP: it plays AMD and a machine, so
// that tests of every acceptance and refusal run without hardware.
//
//	a := snptest.New(snptest.Config{Product: snp.Milan})
//	e := a.Evidence(reportData)   // carries certificates and revocation list
//	v := snp.NewVerifier(snp.Options{Now: a.Clock, Roots: a.Roots()})
//
// Everything is correct unless a test changes it. The keys are those of
// go-sev-guest's tests: they are public and protect nothing. Functions panic if a
// specification cannot be made.
package snptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/testing/data"
	"github.com/google/uuid"

	"cloister/trust/attest"
	"cloister/trust/attest/snp"
)

// Config says how an Authority differs from others.
type Config struct {
	// Product is the line of the machine's processor; empty means Milan.
	Product snp.Product
	// Now is the time around which all is valid; zero means 2026-01-15 12:00 UTC.
	Now time.Time
	// Other gives the root another key, which nobody trusts.
	Other bool
}

// Authority plays AMD and one machine.
type Authority struct {
	Config
	ARK, ASK, ASVK *x509.Certificate
	VCEK, VLEK     *x509.Certificate
	// HardwareID is that of the machine.
	HardwareID []byte
	// TCB is that of the machine, reported, committed and current.
	TCB uint64
}

// New makes an authority and a machine with its certificates.
func New(c Config) *Authority {
	if c.Now.IsZero() {
		c.Now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	}
	if c.Product == "" {
		c.Product = snp.Milan
	}
	a := &Authority{Config: c, HardwareID: make([]byte, 64), TCB: 0x4805000000000002}
	if c.Product == snp.Turin {
		a.HardwareID = make([]byte, 8)
		a.TCB = 0x5200000004010101
	}
	for i := range a.HardwareID {
		a.HardwareID[i] = byte(i + 1)
	}
	a.ARK = a.Issue(nil, "ARK-"+string(c.Product), CA)
	a.ASK = a.Issue(a.ARK, "SEV-"+string(c.Product), CA)
	a.ASVK = a.Issue(a.ARK, "SEV-VLEK-"+string(c.Product), CA)
	a.VCEK = a.Issue(a.ASK, "SEV-VCEK", a.Endorses(a.TCB))
	a.VLEK = a.Issue(a.ASVK, "SEV-VLEK", a.EndorsesCSP(a.TCB, "a cloud"))
	return a
}

// Clock returns Now: the clock of a verifier.
func (a *Authority) Clock() time.Time { return a.Now }

// Roots returns the key of the root, alone in a list.
func (a *Authority) Roots() []snp.Root {
	return []snp.Root{{Product: a.Product, Key: sha256.Sum256(a.ARK.RawSubjectPublicKeyInfo)}}
}

// key is the private key of a name. Config.Other exchanges those of ARK and ASK.
func (a *Authority) key(name string) crypto.Signer {
	switch name {
	case "SEV-VCEK":
		return data.VCEKPrivateKey
	case "SEV-VLEK":
		return data.VLEKPrivateKey
	case "SEV-VLEK-" + string(a.Product):
		return data.ASVKPrivateKey
	case "ARK-" + string(a.Product):
		if a.Other {
			return data.ASKPrivateKey
		}
		return data.ARKPrivateKey
	default:
		if a.Other {
			return data.ARKPrivateKey
		}
		return data.ASKPrivateKey
	}
}

// CA is the edit of a certificate that may issue others.
func CA(t *x509.Certificate) {
	t.IsCA = true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	t.SerialNumber = big.NewInt(int64(0x10000 + len(t.Subject.CommonName)))
}

// Issue makes a certificate that is signed by issuer, or by itself if issuer is
// nil, with the key of its name.
func (a *Authority) Issue(issuer *x509.Certificate, name string, edits ...func(*x509.Certificate)) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber:          new(big.Int),
		Subject:               subject(name),
		NotBefore:             a.Now.AddDate(-1, 0, 0),
		NotAfter:              a.Now.AddDate(6, 0, 0),
		SignatureAlgorithm:    x509.SHA384WithRSAPSS,
		BasicConstraintsValid: true,
	}
	for _, edit := range edits {
		edit(t)
	}
	if !t.IsCA {
		t.BasicConstraintsValid = false // AMD's have none
	}
	parent := issuer
	if parent == nil {
		parent = t
	}
	der := must(x509.CreateCertificate(rand.Reader, t, parent, a.key(name).Public(), a.key(parent.Subject.CommonName)))
	return must(x509.ParseCertificate(der))
}

func subject(name string) pkix.Name {
	return pkix.Name{
		CommonName: name, Organization: []string{"Advanced Micro Devices"}, OrganizationalUnit: []string{"Engineering"},
		Locality: []string{"Santa Clara"}, Province: []string{"CA"}, Country: []string{"US"},
	}
}

var kds = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}

func extension(value any, params string, id ...int) pkix.Extension {
	return pkix.Extension{Id: append(append(asn1.ObjectIdentifier{}, kds...), id...), Value: must(asn1.MarshalWithParams(value, params))}
}

// levels are the extensions of a TCB version.
func (a *Authority) levels(tcb uint64) []pkix.Extension {
	at := func(i int) int { return int(byte(tcb >> (8 * i))) }
	if a.Product == snp.Turin {
		return []pkix.Extension{
			extension(1, "", 1), extension(at(0), "", 3, 9), extension(at(1), "", 3, 1), extension(at(2), "", 3, 2),
			extension(at(3), "", 3, 3), extension(at(7), "", 3, 8),
		}
	}
	return []pkix.Extension{
		extension(0, "", 1), extension(at(0), "", 3, 1), extension(at(1), "", 3, 2), extension(at(2), "", 3, 4),
		extension(at(3), "", 3, 5), extension(at(4), "", 3, 6), extension(at(5), "", 3, 7), extension(at(6), "", 3, 3),
		extension(at(7), "", 3, 8),
	}
}

// Endorses is the edit of a VCEK certificate of the machine at a TCB version.
func (a *Authority) Endorses(tcb uint64) func(*x509.Certificate) {
	return func(t *x509.Certificate) {
		t.ExtraExtensions = append(a.levels(tcb),
			extension(string(a.Product)+"-B0", "ia5", 2),
			pkix.Extension{Id: append(append(asn1.ObjectIdentifier{}, kds...), 4), Value: a.HardwareID})
	}
}

// EndorsesCSP is the edit of the VLEK certificate of a cloud provider.
func (a *Authority) EndorsesCSP(tcb uint64, csp string) func(*x509.Certificate) {
	return func(t *x509.Certificate) {
		t.SerialNumber = big.NewInt(77)
		t.ExtraExtensions = append(a.levels(tcb), extension(string(a.Product), "ia5", 2), extension(csp, "ia5", 5))
	}
}

// CRL makes the revocation list of the product in DER, valid for 30 days.
func (a *Authority) CRL(edit func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t := &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: a.Now.AddDate(0, 0, -1), NextUpdate: a.Now.AddDate(0, 0, 29),
		SignatureAlgorithm: x509.SHA384WithRSAPSS,
	}
	for _, cert := range revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: cert.SerialNumber, RevocationTime: t.ThisUpdate,
		})
	}
	if edit != nil {
		edit(t)
	}
	return must(x509.CreateRevocationList(rand.Reader, t, a.ARK, a.key(a.ARK.Subject.CommonName)))
}

// Offsets of a report's fields ([snp.Report]).
const (
	OffsetVersion      = 0x00
	OffsetPolicy       = 0x08
	OffsetVMPL         = 0x30
	OffsetCurrentTCB   = 0x38
	OffsetFlags        = 0x48
	OffsetReportData   = 0x50
	OffsetReportIDMA   = 0x160
	OffsetReportedTCB  = 0x180
	OffsetChipID       = 0x1A0
	OffsetCommittedTCB = 0x1E0
	OffsetLaunchTCB    = 0x1F0
	offsetSignature    = 0x2A0
)

// Report makes a signed report of version 3. Edits change its bytes before it is
// signed; bits 2 to 4 of the flags choose the key.
func (a *Authority) Report(reportData attest.ReportData, edits ...func([]byte)) []byte {
	r := make([]byte, snp.ReportSize)
	le := binary.LittleEndian
	le.PutUint32(r[OffsetVersion:], 3)
	le.PutUint64(r[OffsetPolicy:], 0x30000)
	le.PutUint32(r[0x34:], 1) // ECDSA P-384 with SHA-384
	copy(r[OffsetReportData:], reportData[:])
	for i := range 48 {
		r[0x90+i] = byte(i) // the measurement
	}
	for i := range 32 {
		r[OffsetReportIDMA+i] = 0xff
	}
	copy(r[0x188:], map[snp.Product]string{snp.Milan: "\x19\x01\x01", snp.Genoa: "\x19\x11\x01", snp.Turin: "\x1a\x02\x01"}[a.Product])
	copy(r[OffsetChipID:], a.HardwareID)
	for _, at := range []int{OffsetCurrentTCB, OffsetReportedTCB, OffsetCommittedTCB, OffsetLaunchTCB} {
		le.PutUint64(r[at:], a.TCB)
	}
	for _, edit := range edits {
		edit(r)
	}
	a.Sign(r)
	return r
}

// Sign signs a report anew.
func (a *Authority) Sign(report []byte) {
	key := data.VCEKPrivateKey
	if abi.ReportSigner(report[OffsetFlags]>>2&7) == abi.VlekReportSigner {
		key = data.VLEKPrivateKey
	}
	digest := sha512.Sum384(report[:offsetSignature])
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		panic(err)
	}
	if err := abi.SetSignature(r, s, report); err != nil {
		panic(err)
	}
}

// Table writes the certificate table of an extended report; nil certificates are
// left out.
func (a *Authority) Table(leaf, intermediate, root *x509.Certificate) []byte {
	t := new(abi.CertTable)
	add := func(guid string, x *x509.Certificate) {
		if x != nil {
			t.Entries = append(t.Entries, abi.CertTableEntry{GUID: uuid.MustParse(guid), RawCert: x.Raw})
		}
	}
	guid := abi.VcekGUID
	if leaf != nil && leaf.Subject.CommonName == "SEV-VLEK" {
		guid = abi.VlekGUID
	}
	add(guid, leaf)
	add(abi.AskGUID, intermediate)
	add(abi.ArkGUID, root)
	return t.Marshal()
}

// VLEKSigned is the edit of a report that the VLEK signs.
func VLEKSigned(report []byte) { report[OffsetFlags] = 1 << 2 }

// Evidence makes evidence that carries its certificates and revocation list.
func (a *Authority) Evidence(reportData attest.ReportData, edits ...func([]byte)) *attest.Evidence {
	return &attest.Evidence{
		Platform:     attest.SNP,
		Quote:        append(a.Report(reportData, edits...), a.Table(a.VCEK, a.ASK, a.ARK)...),
		Endorsements: a.CRL(nil),
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("snptest: " + err.Error())
	}
	return v
}

// WriteDirectory writes what snp.Directory reads of an authority's machine.
func WriteDirectory(dir string, a *Authority) {
	files := map[string][]byte{
		string(a.Product) + ".crl":                            a.CRL(nil),
		string(a.Product) + "-vlek.crl":                       a.CRL(nil),
		fmt.Sprintf("vcek-%x-%016x.crt", a.HardwareID, a.TCB): pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.VCEK.Raw}),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			panic("snptest: " + err.Error())
		}
	}
}
