package sgx_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

// scene is what a case of TestRefused changes.
type scene struct {
	a          *attesttest.Authority
	tee        attest.Platform
	machine    []func(*attesttest.MachineSpec)
	quote      []func(*attesttest.QuoteSpec)
	version    uint16
	collateral []func(*attesttest.CollateralSpec)
	// change changes what was made.
	change  func(*attest.Evidence, *sgx.Collateral)
	options sgx.Options
}

func (s *scene) verify() (*attest.Verification, error) {
	m := s.a.Machine(s.machine...)
	e := &attest.Evidence{Platform: s.tee}
	if s.tee == attest.TDX {
		e.Quote = m.TDXQuote(s.version, attest.ReportData{1}, s.quote...)
	} else {
		e.Quote = m.SGXQuote(s.version, attest.ReportData{1}, s.quote...)
	}
	c := m.Collateral(s.tee, s.collateral...)
	if s.change != nil {
		s.change(e, c)
	}
	s.options.Collateral = fixed{c}
	return (&subject{tee: s.tee, options: s.options}).verifier(c).Verify(context.Background(), e)
}

func newScene(a *attesttest.Authority) *scene {
	return &scene{a: a, tee: attest.SGX, version: 3, options: sgx.Options{Now: a.Clock, Roots: a.Roots()}}
}

func (s *scene) tdx() { s.tee, s.version = attest.TDX, 4 }

// certificate edits the PCK certificate.
func (s *scene) certificate(edit func(*x509.Certificate)) {
	s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Certificate = edit })
}

// issuer replaces the platform CA by one of the same name and key.
func (s *scene) issuer(edit func(*x509.Certificate)) {
	i := s.a.Issue(s.a.Root, attesttest.NamePlatform, attesttest.CA, edit)
	s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Issuer = i })
}

// signing replaces the TCB signing certificate.
func (s *scene) signing(edit func(*x509.Certificate)) {
	i := s.a.Issue(s.a.Root, attesttest.NameSigning, edit)
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.Signing = i })
}

func (s *scene) tcb(edit func(*attesttest.TCBInfo)) {
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { edit(&c.TCBInfo) })
}

func (s *scene) identity(edit func(*attesttest.QEIdentity)) {
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { edit(&c.QEIdentity) })
}

func (s *scene) spec(edit func(*attesttest.QuoteSpec)) { s.quote = append(s.quote, edit) }

// rootCRL and pckCRL replace the revocation lists.
func (s *scene) rootCRL(edit func(*x509.RevocationList), revoked ...*x509.Certificate) {
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.RootCRL = s.a.CRL(s.a.Root, edit, revoked...) })
}

func (s *scene) pckCRL(edit func(*x509.RevocationList), revoked ...*x509.Certificate) {
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.PCKCRL = s.a.CRL(s.a.Platform, edit, revoked...) })
}

var a = attesttest.New(attesttest.Config{})

// critical is an extension that nobody knows.
func critical(t *x509.Certificate) {
	t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
}

func late(t *x509.Certificate)      { t.NotAfter = a.Now.Add(-time.Second) }
func early(t *x509.Certificate)     { t.NotBefore = a.Now.Add(time.Second) }
func noUsage(t *x509.Certificate)   { t.KeyUsage = 0 }
func agreement(t *x509.Certificate) { t.KeyUsage = x509.KeyUsageKeyAgreement }

// refusedChains are chains of certificates that are refused, by the check that
// does it and for the reason that it gives.
var refusedChains = map[string]struct {
	check, reason string
	edit          func(*scene)
}{
	"self-made root":        {"pck chain", `root certificate "Intel SGX Root CA" has a public key that is not trusted`, func(s *scene) { s.options.Roots = nil }},
	"root of another":       {"pck chain", `root certificate "Intel SGX Root CA" has a public key that is not trusted`, func(s *scene) { s.options.Roots = attesttest.New(attesttest.Config{Seed: "x"}).Roots() }},
	"no root is nobody":     {"pck chain", `root certificate "Intel SGX Root CA" has a public key that is not trusted`, func(s *scene) { s.options.Roots = []*ecdsa.PublicKey{nil} }},
	"PCK expired":           {"pck chain", `certificate "Intel SGX PCK Certificate" expired on`, func(s *scene) { s.certificate(late) }},
	"PCK not yet valid":     {"pck chain", `certificate "Intel SGX PCK Certificate" is not valid before`, func(s *scene) { s.certificate(early) }},
	"PCK without key usage": {"pck chain", `certificate "Intel SGX PCK Certificate": key usage should have digital signatures and not the signing of certi`, func(s *scene) { s.certificate(noUsage) }},
	"PCK of other usage":    {"pck chain", `certificate "Intel SGX PCK Certificate": key usage should have digital signatures and not the signing of certi`, func(s *scene) { s.certificate(agreement) }},
	"PCK is a CA":           {"pck chain", `certificate "Intel SGX PCK Certificate": basic constraints: CA should be false`, func(s *scene) { s.certificate(attesttest.CA) }},
	"PCK without constraints": {"pck chain", `certificate "Intel SGX PCK Certificate": basic constraints: CA should be false`, func(s *scene) {
		s.certificate(func(t *x509.Certificate) { t.BasicConstraintsValid = false })
	}},
	"PCK of unknown extension": {"pck chain", `certificate "Intel SGX PCK Certificate": critical extension 1.2.3.4 is not known`, func(s *scene) { s.certificate(critical) }},
	"PCK of other name": {"pck chain", `certificate "Intel SGX TCB Signing": the name should be Intel SGX PCK Certificate`, func(s *scene) {
		s.certificate(func(t *x509.Certificate) { t.Subject.CommonName = attesttest.NameSigning })
	}},
	"PCK of other issuer": {"pck chain", `certificate "Intel SGX PCK Certificate": signature of "Intel SGX TCB Signing": x509: invalid signature: parent`, func(s *scene) {
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Issuer = s.a.Signing })
	}},
	"PCK issued by the root": {"pck chain", `certificate "Intel SGX Root CA": the name should be Intel SGX PCK Platform CA or Intel SGX PCK Processor CA`, func(s *scene) {
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Issuer = s.a.Root })
	}},
	"PCK of the wrong CA": {"pck chain", `the SGX extension of the PCK certificate is not that of a certificate of the processor CA`, func(s *scene) {
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Issuer = s.a.Processor })
	}},
	"PCK of a CA of another": {"pck chain", `certificate "Intel SGX PCK Platform CA": the issuer's key id is not that of "Intel SGX Root CA"`, func(s *scene) {
		other := attesttest.New(attesttest.Config{Seed: "other"})
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Issuer = other.Platform })
	}},
	"all of another, but the root's certificate": {"pck chain", `certificate "Intel SGX PCK Platform CA": the issuer's key id is not that of "Intel SGX Root CA"`, func(s *scene) {
		s.a = attesttest.New(attesttest.Config{Seed: "other"})
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Root = a.Root })
	}},
	"CA expired":           {"pck chain", `certificate "Intel SGX PCK Platform CA" expired on`, func(s *scene) { s.issuer(late) }},
	"CA not yet valid":     {"pck chain", `certificate "Intel SGX PCK Platform CA" is not valid before`, func(s *scene) { s.issuer(early) }},
	"CA without key usage": {"pck chain", `certificate "Intel SGX PCK Platform CA": key usage lacks the signing of certificates`, func(s *scene) { s.issuer(noUsage) }},
	"CA of other usage":    {"pck chain", `certificate "Intel SGX PCK Certificate": signature of "Intel SGX PCK Platform CA": x509: invalid signature: pa`, func(s *scene) { s.issuer(agreement) }},
	"CA is none": {"pck chain", `certificate "Intel SGX PCK Certificate": signature of "Intel SGX PCK Platform CA": x509: invalid signature: pa`, func(s *scene) {
		s.issuer(func(t *x509.Certificate) { t.IsCA, t.MaxPathLenZero, t.MaxPathLen = false, false, -1 })
	}},
	"root that issues no authorities": {"pck chain", `too many intermediates for path length constraint`, func(s *scene) {
		root := s.a.Issue(nil, attesttest.NameRoot, attesttest.CA)
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Root = root })
	}},
	"CA of unknown extension": {"pck chain", `certificate "Intel SGX PCK Platform CA": critical extension 1.2.3.4 is not known`, func(s *scene) { s.issuer(critical) }},
	"no certificates": {"quote format", `signature data: the PCK certificate chain is empty`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.Chain = nil })
	}},
	"PCK alone": {"pck chain", `chain of 2 certificates: 3 are wanted`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.Chain = q.Chain[:len(q.Chain)-len(a.Root.PEM())] })
	}},
	"a certificate more": {"pck chain", `chain of 4 certificates: 3 are wanted`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.Chain = append(slices.Clone(q.Chain), a.Root.PEM()...) })
	}},
	"text after the chain": {"pck chain", `the chain has bytes beside its certificates, or its PEM is not in the usual form`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.Chain = append(slices.Clone(q.Chain), "\n"...) })
	}},
	"two NULs": {"pck chain", `certificate 4 of the chain is not in PEM`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.Chain = append(slices.Clone(q.Chain), 0, 0) })
	}},
	"SGX extension missing": {"pck chain", `SGX extension of the PCK certificate: it is missing`, func(s *scene) {
		s.certificate(func(t *x509.Certificate) { t.ExtraExtensions = nil })
	}},
	"SGX extension broken": {"pck chain", `SGX extension of the PCK certificate: 1.2.840.113741.1.13.1: asn1: syntax error: data truncated`, func(s *scene) {
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Extension = func(b []byte) []byte { return b[:len(b)-1] } })
	}},
	"revoked PCK": {"revocation", `certificate "Intel SGX PCK Certificate", serial number`, func(s *scene) { s.pckCRL(nil, s.a.Machine().PCK.Cert) }},
	"revoked intermediate": {"revocation", `certificate "Intel SGX PCK Platform CA", serial number`, func(s *scene) {
		s.rootCRL(nil, s.a.Platform.Cert)
	}},
	"revoked signing certificate": {"revocation", `certificate "Intel SGX TCB Signing", serial number`, func(s *scene) {
		s.rootCRL(nil, s.a.Signing.Cert)
	}},
	"revocation list expired": {"freshness", `revocation list of the PCK CA expired on`, func(s *scene) {
		s.pckCRL(func(l *x509.RevocationList) { l.NextUpdate = a.Now.Add(-time.Second) })
	}},
	"revocation list of the root expired": {"freshness", `revocation list of the root CA expired on`, func(s *scene) {
		s.rootCRL(func(l *x509.RevocationList) { l.NextUpdate = a.Now.Add(-time.Second) })
	}},
	"revocation list from the future": {"freshness", `revocation list of the PCK CA is from the future: issued on`, func(s *scene) {
		s.pckCRL(func(l *x509.RevocationList) { l.ThisUpdate = a.Now.Add(time.Second) })
	}},
	"revocation list of some certificates": {"revocation", `extension 2.5.29.28 of the revocation list of "Intel SGX PCK Platform CA": it is not a whole list`, func(s *scene) {
		s.pckCRL(func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}}
		})
	}},
	"revocation list of another CA": {"revocation", `the revocation list is of "Intel SGX PCK Processor CA", not of "Intel SGX PCK Platform CA"`, func(s *scene) {
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.PCKCRL = s.a.CRL(s.a.Processor, nil) })
	}},
	"revocation list of another root": {"revocation", `the revocation list is of another key than that of "Intel SGX Root CA"`, func(s *scene) {
		other := attesttest.New(attesttest.Config{Seed: "other"})
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.RootCRL = other.CRL(other.Root, nil) })
	}},
	"revocation list forged": {"revocation", `the revocation list is of another key than that of "Intel SGX PCK Platform CA"`, func(s *scene) {
		other := attesttest.New(attesttest.Config{Seed: "other"})
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.PCKCRL = other.CRL(other.Platform, nil) })
	}},
	"no revocation list of the PCK CA": {"revocation", `the collateral lacks a revocation list, of the root CA or of the PCK CA; only an option that is called insecur`, func(s *scene) {
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.PCKCRL = nil })
	}},
	"no revocation list of the root": {"revocation", `the collateral lacks a revocation list, of the root CA or of the PCK CA; only an option that is called insecur`, func(s *scene) {
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.RootCRL = nil })
	}},
	"revoked PCK, insecure without lists": {"revocation", `certificate "Intel SGX PCK Certificate", serial number`, func(s *scene) {
		s.options.InsecureNoCRLs = true
		s.pckCRL(nil, s.a.Machine().PCK.Cert)
	}},
}

// refusedQuotes are quotes and collateral that are refused.
var refusedQuotes = map[string]struct {
	check, reason string
	edit          func(*scene)
}{
	"attestation key of another": {"quote signature", `the attestation key did not sign the quote`, func(s *scene) {
		s.change = func(e *attest.Evidence, _ *sgx.Collateral) {
			other := s.a.Machine().SGXQuote(3, attest.ReportData{2})
			copy(e.Quote[48+320:48+384], other[48+320:48+384]) // other report data, old signature
		}
	}},
	"key that the QE does not vouch for": {"attestation key", `the QE report does not vouch for the attestation key: its report data are not the hash of key and authenticati`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.Bind = false })
	}},
	"QE data after the hash": {"attestation key", `the QE report does not vouch for the attestation key: its report data are not the hash of key and authenticati`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.QE.ReportData[40] = 1 })
	}},
	"PCK of another machine": {"qe report signature", `the PCK did not sign the QE report`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.PCK = s.a.Key("pck other") })
	}},
	"key not on the curve": {"attestation key", `the QE report does not vouch`, func(s *scene) {
		s.change = func(e *attest.Evidence, _ *sgx.Collateral) { clear(e.Quote[436+64 : 436+128]) }
	}},
	"quote of TDX for SGX": {"platform", `the quote is of tdx, not of sgx`, func(s *scene) {
		s.change = func(e *attest.Evidence, _ *sgx.Collateral) { e.Quote = s.a.Machine().TDXQuote(4, attest.ReportData{}) }
	}},
	"platform of the evidence": {"platform", `the evidence is of platform "tdx", not sgx`, func(s *scene) {
		s.change = func(e *attest.Evidence, _ *sgx.Collateral) { e.Platform = attest.TDX }
	}},
	"version 2":            {"quote format", `quote version 2: versions 3, 4 and 5 are known`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.Version = 2 }) }},
	"version 6":            {"quote format", `quote version 6: versions 3, 4 and 5 are known`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.Version = 6 }) }},
	"key type":             {"quote format", `attestation key type 3: only 2, ECDSA on P-256, is known`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.KeyType = 3 }) }},
	"TEE type":             {"quote format", `TEE type 0x1 in a quote of version 3`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.TEE = 1 }) }},
	"TDX in version 3":     {"quote format", `TEE type 0x81 in a quote of version 3`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.TEE = 0x81 }) }},
	"vendor":               {"quote format", `QE vendor id`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.VendorID[0] ^= 1 }) }},
	"certification data":   {"quote format", `signature data: certification data of type 4: type 5 is wanted`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.Certification = 4 }) }},
	"undefined attributes": {"quote format", `enclave report: attributes 0xd have undefined bits`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.SGX.Attributes |= 8 }) }},
	"not initialised":      {"quote format", `enclave report: attributes 0x4 lack INIT, which every running enclave has`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.SGX.Attributes &^= 1 }) }},
	"CET":                  {"quote format", `reserved bytes of the enclave report, or its CET attributes, at offset 68 are not zero`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.SGX.CET = 1 }) }},
	"MISCSELECT":           {"quote format", `enclave report: MISCSELECT 0x4 has undefined bits`, func(s *scene) { s.spec(func(q *attesttest.QuoteSpec) { q.SGX.MiscSelect = 4 }) }},
	"reserved in a header of version 4": {"quote format", `reserved bytes of the header at offset 8 are not zero`, func(s *scene) {
		s.version = 4
		s.spec(func(q *attesttest.QuoteSpec) { q.PCESVN = 1 })
	}},
	"TD attributes": {"quote format", `TD report: TD attributes 0x10100000 have undefined bits`, func(s *scene) {
		s.tdx()
		s.spec(func(q *attesttest.QuoteSpec) { q.TDX.TDAttributes |= 1 << 20 })
	}},
	"SEAM attributes": {"quote format", `TD report: SEAM attributes 0x1 have undefined bits`, func(s *scene) {
		s.tdx()
		s.spec(func(q *attesttest.QuoteSpec) { q.TDX.SEAMAttributes = 1 })
	}},
	"TD report of 1.5 in version 4": {"quote format", `signature data: 196870 bytes wanted at offset 636, 4281 are left`, func(s *scene) {
		s.tdx()
		s.spec(attesttest.V15)
	}},
	"debug quoting enclave": {"quoting enclave", `the quoting enclave is a debug enclave`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.QE.Attributes |= attesttest.Debug })
	}},
	"quoting enclave of another signer": {"quoting enclave", `MRSIGNER is`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.QE.MRSigner = attesttest.MRSigner })
	}},
	"quoting enclave of another product": {"quoting enclave", `ISVPRODID is 2, not 1`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.QE.ISVProdID = 2 })
	}},
	"quoting enclave's MISCSELECT": {"quoting enclave", `MISCSELECT 0x1 under mask 0xffffffff is not 0x0`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.QE.MiscSelect = 1 })
	}},
	"quoting enclave without provisioning key": {"quoting enclave", `attributes under their mask are`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.QE.Attributes = 5 })
	}},
	"quoting enclave below every level": {"quoting enclave", `SVN 4 is below every level`, func(s *scene) {
		s.spec(func(q *attesttest.QuoteSpec) { q.QE.ISVSVN = 4 })
	}},
	"machine below every level": {"tcb level", `no level of the TCB info is reached by components [7 9 3 3 255 255 1 0 0 0 0 0 0 0 0 0] and PCESVN 12`, func(s *scene) {
		s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels = t.TCBLevels[:1] })
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.PCESVN = 12 })
		s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCB.PCESVN = 13 })
	}},
	"a component below every level": {"tcb level", `no level of the TCB info is reached by components [7 9 3 3 255 255 1 0 0 0 0 0 0 0 0 0] and PCESVN 13`, func(s *scene) {
		s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[1].TCB.SGX[15].SVN = 1; t.TCBLevels = t.TCBLevels[1:] })
	}},
	"TDX module unknown": {"tdx module", `the TCB info has no identity TDX_02, which the module of the guest has`, func(s *scene) {
		s.tdx()
		s.spec(func(q *attesttest.QuoteSpec) { q.TDX.TEETCBSVN = [16]byte{9, 2, 9} })
	}},
	"TDX module of another signer": {"tdx module", `MRSIGNERSEAM is`, func(s *scene) {
		s.tdx()
		s.spec(func(q *attesttest.QuoteSpec) { q.TDX.MRSignerSEAM[0] = 1 })
	}},
	"TDX module of another signer than its identity": {"tdx module", `MRSIGNERSEAM is`, func(s *scene) {
		s.tdx()
		s.spec(func(q *attesttest.QuoteSpec) { q.TDX.TEETCBSVN = [16]byte{6, 1, 3} })
		s.tcb(func(t *attesttest.TCBInfo) {
			t.TDXModuleIdentities[1].MRSigner = "01" + t.TDXModuleIdentities[1].MRSigner[2:]
		})
	}},
	"TDX module below its levels": {"tcb level", `TDX module: SVN 3 is below every level`, func(s *scene) {
		s.tdx()
		s.spec(func(q *attesttest.QuoteSpec) { q.TDX.TEETCBSVN = [16]byte{3, 1, 3} })
	}},
	"TEE TCB SVN below every level": {"tcb level", `no level of the TCB info is reached by components [7 9 3 3 255 255 1 0 0 0 0 0 0 0 0 0], PCESVN 13 and TEE TCB`, func(s *scene) {
		s.tdx()
		s.spec(func(q *attesttest.QuoteSpec) { q.TDX.TEETCBSVN = [16]byte{5, 0, 2} })
	}},
	"collateral for another FMSPC": {"tcb info", `the TCB info is of FMSPC 00606a000001, the machine has 00606a000000`, func(s *scene) { s.tcb(func(t *attesttest.TCBInfo) { t.FMSPC = "00606A000001" }) }},
	"collateral for another PCEID": {"tcb info", `the TCB info is of PCEID 0001, the machine has 0000`, func(s *scene) { s.tcb(func(t *attesttest.TCBInfo) { t.PCEID = "0001" }) }},
	"TCB info of TDX": {"tcb info", `the TCB info is of tdx, not of sgx`, func(s *scene) {
		s.change = func(_ *attest.Evidence, c *sgx.Collateral) { c.TCBInfo = s.a.Machine().Collateral(attest.TDX).TCBInfo }
	}},
	"QE identity of TDX": {"qe identity", `the QE identity is of tdx, not of sgx`, func(s *scene) {
		s.change = func(_ *attest.Evidence, c *sgx.Collateral) {
			c.QEIdentity = s.a.Machine().Collateral(attest.TDX).QEIdentity
		}
	}},
	"TCB info expired": {"freshness", `TCB info expired on`, func(s *scene) {
		s.tcb(func(t *attesttest.TCBInfo) { t.NextUpdate = attesttest.Date(a.Now.Add(-time.Second)) })
	}},
	"QE identity expired": {"freshness", `QE identity expired on`, func(s *scene) {
		s.identity(func(q *attesttest.QEIdentity) { q.NextUpdate = attesttest.Date(a.Now.Add(-time.Second)) })
	}},
	"TCB info from the future": {"freshness", `TCB info is from the future: issued on`, func(s *scene) {
		s.tcb(func(t *attesttest.TCBInfo) { t.IssueDate = attesttest.Date(a.Now.Add(time.Second)) })
	}},
	"longer than the grace": {"freshness", `TCB info expired on`, func(s *scene) {
		s.options.Grace = time.Hour
		s.tcb(func(t *attesttest.TCBInfo) { t.NextUpdate = attesttest.Date(a.Now.Add(-time.Hour - time.Second)) })
	}},
	"older TCB info than required": {"evaluation number", `the collateral has number 16, at least 17 is required`, func(s *scene) {
		s.options.MinEvaluation = attesttest.Evaluation
		s.tcb(func(t *attesttest.TCBInfo) { t.TCBEvaluationDataNumber-- })
	}},
	"older QE identity than required": {"evaluation number", `the collateral has number 16, at least 17 is required`, func(s *scene) {
		s.options.MinEvaluation = attesttest.Evaluation
		s.identity(func(q *attesttest.QEIdentity) { q.TCBEvaluationDataNumber-- })
	}},
	"unknown TCB info version": {"tcb info", `tcbInfo: version 2, 3 is known`, func(s *scene) { s.tcb(func(t *attesttest.TCBInfo) { t.Version = 2 }) }},
	"unknown TCB type":         {"tcb info", `tcbInfo: tcbType 1, 0 is known`, func(s *scene) { s.tcb(func(t *attesttest.TCBInfo) { t.TCBType = 1 }) }},
	"unknown status": {"tcb info", `tcbInfo.tcbLevels[0]: tcbStatus "Fine" is not known`, func(s *scene) {
		s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCBStatus = "Fine" })
	}},
	"no levels": {"tcb info", `tcbInfo: tcbLevels is not a list of at least one value`, func(s *scene) { s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels = nil }) }},
	"level twice": {"tcb info", `tcbInfo: tcbLevels[1] is there twice`, func(s *scene) {
		s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[1] = t.TCBLevels[0] })
	}},
	"15 components": {"tcb info", `tcbInfo.tcbLevels[0].tcb: sgxtcbcomponents has 15 components, not 16`, func(s *scene) {
		s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCB.SGX = t.TCBLevels[0].TCB.SGX[:15] })
	}},
	"SVN of 256": {"tcb info", `tcbInfo.tcbLevels[0].tcb.sgxtcbcomponents[3]: svn is not a number of 8 bits`, func(s *scene) {
		s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCB.SGX[3].SVN = 256 })
	}},
	"QE levels out of order": {"qe identity", `enclaveIdentity.tcbLevels[1]: the SVN is not below that of the level before it`, func(s *scene) {
		s.identity(func(q *attesttest.QEIdentity) { slices.Reverse(q.TCBLevels) })
	}},
	"unknown QE identity version": {"qe identity", `enclaveIdentity: version 1, 2 is known`, func(s *scene) { s.identity(func(q *attesttest.QEIdentity) { q.Version = 1 }) }},
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, cases := range []map[string]struct {
		check, reason string
		edit          func(*scene)
	}{refusedChains, refusedQuotes} {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newScene(a)
				c.edit(s)
				v, err := s.verify()
				if got := v.Failed(); len(got) > 0 && !strings.Contains(got[0].Detail, c.reason) {
					t.Errorf("refused because %s, want %s", got[0].Detail, c.reason)
				}
				if name == "key not on the curve" { // which its hash shows as well
					wantRefused(t, v, err, c.check, "quote signature")
					return
				}
				wantRefused(t, v, err, c.check)
			})
		}
	}
}

// Certificates of signers of collateral make both documents untrusted.
func TestSignersRefused(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*scene){
		"expired":            func(s *scene) { s.signing(late) },
		"not yet valid":      func(s *scene) { s.signing(early) },
		"without key usage":  func(s *scene) { s.signing(noUsage) },
		"of other usage":     func(s *scene) { s.signing(agreement) },
		"is a CA":            func(s *scene) { s.signing(attesttest.CA) },
		"unknown extension":  func(s *scene) { s.signing(critical) },
		"the platform CA":    func(s *scene) { s.signer(s.a.Platform) },
		"a PCK":              func(s *scene) { s.signer(s.a.Machine().PCK) },
		"the root":           func(s *scene) { s.signer(s.a.Root) },
		"of another":         func(s *scene) { s.signer(attesttest.New(attesttest.Config{Seed: "other"}).Signing) },
		"not of Intel's key": func(s *scene) { s.signer(&attesttest.Issuer{Cert: s.a.Signing.Cert, Key: s.a.Key("stranger")}) },
		"below another root, trusted as well": func(s *scene) {
			other := attesttest.New(attesttest.Config{Seed: "other"})
			s.options.Roots = append(s.options.Roots, other.Roots()...)
			s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.Signing, c.Root = other.Signing, other.Root })
		},
		"no chain": func(s *scene) {
			s.change = func(_ *attest.Evidence, c *sgx.Collateral) { c.TCBInfoChain, c.QEIdentityChain = nil, nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(a)
			edit(s)
			v, err := s.verify()
			wantRefused(t, v, err, "tcb info", "qe identity")
		})
	}
}

func (s *scene) signer(i *attesttest.Issuer) {
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.Signing = i })
}

// Certificates with keys or signatures of other kinds are refused wherever they
// stand.
func TestOtherCurveRefused(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := *a.Signing.Cert
	template.PublicKey, template.RawSubject = nil, nil
	der, err := x509.CreateCertificate(rand.Reader, &template, a.Root.Cert, &key.PublicKey, a.Root.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(a)
	s.signer(&attesttest.Issuer{Cert: cert, Key: a.Signing.Key})
	v, err := s.verify()
	wantRefused(t, v, err, "tcb info", "qe identity")
}

func TestNoEvidence(t *testing.T) {
	t.Parallel()
	v, err := sgx.NewVerifier(sgx.Options{}).Verify(context.Background(), nil)
	wantRefused(t, v, err, "quote format")
	v, err = sgx.NewTDXVerifier(sgx.Options{}).Verify(context.Background(), &attest.Evidence{Platform: attest.TDX})
	wantRefused(t, v, err, "quote format")
}
