package broker

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
	"cloister/trust/broker/audit"
)

// enclavePolicy has an enclave by its measurement and one by its signer.
const enclavePolicy = `format: cloister-policy/1
broker: test
version: 1
approvals: 2
insecure-no-witness: true
owners:
  a:
    keys: [%q]
  b:
    keys: [%q]
platforms:
  sgx:
    roots: ["sha256:%s"]
    min-evaluation-number: %d
workloads:
  measured:
    platform: sgx
    sgx:
      mrenclaves: [%x]
      xfrm: 0xe7
    machines: [%x]
    jobs: ["sha256:%s"]
    keys:
      a/wards: [1]
  signed:
    platform: sgx
    sgx:
      signer: {mrsigner: %x, isv-prod-id: 7, min-isv-svn: 3}
      xfrm: 0xe7
    any-machine: true
    jobs: ["sha256:%s"]
    keys:
      a/wards: [1]
`

// scene is evidence of an enclave, and what a case changes of it.
type scene struct {
	authority  *attesttest.Authority
	machine    []func(*attesttest.MachineSpec)
	quote      []func(*attesttest.QuoteSpec)
	version    uint16
	collateral []func(*attesttest.CollateralSpec)
	// bind changes what the report data bind, bytes what was made.
	bind  func(*attest.ReportData)
	bytes func(*attest.Evidence)
}

// Platform implements attest.Producer.
func (*scene) Platform() attest.Platform { return attest.SGX }

// Produce implements attest.Producer.
func (s *scene) Produce(_ context.Context, d attest.ReportData) (*attest.Evidence, error) {
	if s.bind != nil {
		s.bind(&d)
	}
	m := s.authority.Machine(s.machine...)
	endorsements, err := m.Collateral(attest.SGX, s.collateral...).Endorsements()
	if err != nil {
		return nil, err
	}
	e := &attest.Evidence{Platform: attest.SGX, Quote: m.SGXQuote(s.version, d, s.quote...), Endorsements: endorsements}
	if s.bytes != nil {
		s.bytes(e)
	}
	return e, nil
}

func (s *scene) certificate(edit func(*x509.Certificate)) {
	s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Certificate = edit })
}

// issuer replaces the platform CA by one of the same name and key.
func (s *scene) issuer(edit func(*x509.Certificate)) {
	i := s.authority.Issue(s.authority.Root, attesttest.NamePlatform, attesttest.CA, edit)
	s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Issuer = i })
}

func (s *scene) signing(edit func(*x509.Certificate)) {
	i := s.authority.Issue(s.authority.Root, attesttest.NameSigning, edit)
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.Signing = i })
}

func (s *scene) tcb(edit func(*attesttest.TCBInfo)) {
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { edit(&c.TCBInfo) })
}

func (s *scene) identity(edit func(*attesttest.QEIdentity)) {
	s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { edit(&c.QEIdentity) })
}

func (s *scene) enclave(edit func(*attesttest.Enclave)) {
	s.quote = append(s.quote, func(q *attesttest.QuoteSpec) { edit(q.SGX) })
}

// bySigner makes it an enclave that the policy knows by its signer alone.
func (s *scene) bySigner(svn uint16) {
	s.enclave(func(e *attesttest.Enclave) { e.MREnclave, e.ISVProdID, e.ISVSVN = [32]byte{1}, 7, svn })
}

// newEnclaves starts a broker that releases a/wards to enclaves of an authority.
func newEnclaves(t *testing.T, set setting, now time.Time) (*fixture, *attesttest.Authority) {
	t.Helper()
	a := attesttest.New(attesttest.Config{Seed: "enclaves", Now: now})
	root := hashOf(a.Root.Cert.RawSubjectPublicKeyInfo)
	set.prepare = func(f *fixture) {
		f.sources.Roots = []*x509.Certificate{a.Root.Cert}
		f.sources.Intel = sgx.NewCarried()
		instance := a.Machine().Spec.InstanceID
		f.change = func(string) string {
			return fmt.Sprintf(enclavePolicy, f.a.key.Public(), f.b.key.Public(), root, attesttest.Evaluation,
				attesttest.MREnclave, instance, jobOf("one"), attesttest.MRSigner, jobOf("one"))
		}
	}
	f := newFixture(t, set)
	f.dataSet(f.a, "wards")
	return f, a
}

// why checks that a request was refused for a reason, which stands in the answer
// and in the line of the audit log about this very request.
func (f *fixture) why(t *testing.T, err error, kind string, code Code, reason string) {
	t.Helper()
	refusedFor(t, err, code, reason)
	var answer *AnswerError
	if !errors.As(err, &answer) || answer.Request == "" {
		t.Errorf("the answer names no request: %v", err)
		return
	}
	for _, e := range f.entries() {
		if e.Request == answer.Request && e.Decision == audit.Refused {
			if e.Type != kind || e.Details["code"] != string(code) || !strings.Contains(e.Reason, reason) {
				t.Errorf("the log says %s %s: %s; want %s because of %q", e.Type, e.Details["code"], e.Reason, kind, reason)
			}
			return
		}
	}
	t.Errorf("request %s is not in the log:\n%s", answer.Request, f.reasons())
}

// refusedEnclaves are evidence that gets nothing, section by section of what can
// be wrong with it.
var refusedEnclaves = map[string]struct {
	code   Code
	reason string
	edit   func(*scene)
}{
	"self-made root": {CodeEvidence, "that is not trusted", func(s *scene) {
		s.authority = attesttest.New(attesttest.Config{Seed: "stranger", Now: s.authority.Now})
	}},
	"self-made below the real root's certificate": {CodeEvidence, "the issuer's key id is not that of", func(s *scene) {
		real := s.authority.Root
		s.authority = attesttest.New(attesttest.Config{Seed: "stranger", Now: s.authority.Now})
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Root = real })
	}},
	"wrong issuer": {CodeEvidence, "pck chain", func(s *scene) {
		i := s.authority.Processor
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.Issuer = i })
	}},
	"PCK expired": {CodeEvidence, "expired on", func(s *scene) {
		s.certificate(func(c *x509.Certificate) { c.NotAfter = s.authority.Now.Add(-time.Hour) })
	}},
	"PCK not yet valid": {CodeEvidence, "is not valid before", func(s *scene) {
		s.certificate(func(c *x509.Certificate) { c.NotBefore = s.authority.Now.Add(time.Hour) })
	}},
	"PCK's key usage":  {CodeEvidence, "key usage", func(s *scene) { s.certificate(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }) }},
	"CA expired":       {CodeEvidence, "expired on", func(s *scene) { s.issuer(func(c *x509.Certificate) { c.NotAfter = s.authority.Now.Add(-time.Hour) }) }},
	"CA not yet valid": {CodeEvidence, "is not valid before", func(s *scene) { s.issuer(func(c *x509.Certificate) { c.NotBefore = s.authority.Now.Add(time.Hour) }) }},
	"CA's key usage":   {CodeEvidence, "key usage", func(s *scene) { s.issuer(func(c *x509.Certificate) { c.KeyUsage = 0 }) }},
	"signer of collateral expired": {CodeEvidence, "expired on", func(s *scene) {
		s.signing(func(c *x509.Certificate) { c.NotAfter = s.authority.Now.Add(-time.Hour) })
	}},
	"signer of collateral is another": {CodeEvidence, "tcb info", func(s *scene) {
		i := s.authority.Platform
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.Signing = i })
	}},
	"revoked PCK": {CodeEvidence, "revoked", func(s *scene) {
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) {
			c.PCKCRL = s.authority.CRL(s.authority.Platform, nil, s.authority.Machine().PCK.Cert)
		})
	}},
	"revoked intermediate": {CodeEvidence, "revoked", func(s *scene) {
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) {
			c.RootCRL = s.authority.CRL(s.authority.Root, nil, s.authority.Platform.Cert)
		})
	}},
	"no revocation list": {CodeEvidence, "lacks a revocation list", func(s *scene) {
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) { c.PCKCRL = nil })
	}},
	"revocation list expired": {CodeEvidence, "revocation list of the PCK CA expired on", func(s *scene) {
		s.collateral = append(s.collateral, func(c *attesttest.CollateralSpec) {
			c.PCKCRL = s.authority.CRL(s.authority.Platform, func(l *x509.RevocationList) { l.NextUpdate = s.authority.Now.Add(-time.Hour) })
		})
	}},
	"collateral of another FMSPC": {CodeEvidence, "the TCB info is of FMSPC 00606a000001", func(s *scene) { s.tcb(func(c *attesttest.TCBInfo) { c.FMSPC = "00606A000001" }) }},
	"TCB info expired": {CodeEvidence, "TCB info expired on", func(s *scene) {
		s.tcb(func(c *attesttest.TCBInfo) { c.NextUpdate = attesttest.Date(s.authority.Now.Add(-time.Hour)) })
	}},
	"QE identity expired": {CodeEvidence, "QE identity expired on", func(s *scene) {
		s.identity(func(c *attesttest.QEIdentity) { c.NextUpdate = attesttest.Date(s.authority.Now.Add(-time.Hour)) })
	}},
	"TCB info older than required": {CodeEvidence, "the collateral has number 16, at least 17 is required", func(s *scene) {
		s.tcb(func(c *attesttest.TCBInfo) { c.TCBEvaluationDataNumber-- })
	}},
	"TCB info issued too long ago": {CodePolicy, "collateral age", func(s *scene) {
		s.tcb(func(c *attesttest.TCBInfo) { c.IssueDate = attesttest.Date(s.authority.Now.AddDate(0, -2, 0)) })
	}},
	"TCB status": {CodePolicy, `tcb status: the status is "OutOfDate"`, func(s *scene) {
		s.tcb(func(c *attesttest.TCBInfo) { c.TCBLevels[0].TCBStatus = string(attest.OutOfDate) })
	}},
	"an advisory": {CodePolicy, `advisories: "INTEL-SA-00099"`, func(s *scene) {
		s.tcb(func(c *attesttest.TCBInfo) { c.TCBLevels[0].AdvisoryIDs = []string{"INTEL-SA-00099"} })
	}},
	"debug": {CodePolicy, "debug: debug is true and insecure-debug is not set", func(s *scene) {
		s.enclave(func(e *attesttest.Enclave) { e.Attributes |= attesttest.Debug })
	}},
	"an attribute more": {CodePolicy, "attributes", func(s *scene) { s.enclave(func(e *attesttest.Enclave) { e.Attributes |= 0x10 }) }},
	"XFRM":              {CodePolicy, "xfrm", func(s *scene) { s.enclave(func(e *attesttest.Enclave) { e.XFRM = 3 }) }},
	"MISCSELECT":        {CodePolicy, "misc select", func(s *scene) { s.enclave(func(e *attesttest.Enclave) { e.MiscSelect = 1 }) }},
	"CONFIGID":          {CodePolicy, "config id", func(s *scene) { s.enclave(func(e *attesttest.Enclave) { e.ConfigID[0] = 1 }) }},
	"unknown measurement": {CodePolicy, "mrenclave", func(s *scene) {
		s.enclave(func(e *attesttest.Enclave) { e.MREnclave[31] ^= 1; e.MRSigner[0] ^= 1 })
	}},
	"SVN below the minimum": {CodePolicy, "isv svn: is 2, wanted at least 3", func(s *scene) { s.bySigner(2) }},
	"another product":       {CodePolicy, "mrenclave", func(s *scene) { s.bySigner(3); s.enclave(func(e *attesttest.Enclave) { e.ISVProdID = 8 }) }},
	"another machine": {CodePolicy, "machine", func(s *scene) {
		s.machine = append(s.machine, func(m *attesttest.MachineSpec) { m.InstanceID[15] = 9 })
	}},
	"report data":         {CodePolicy, "report data", func(s *scene) { s.bind = func(d *attest.ReportData) { d[0] ^= 1 } }},
	"the rest of them":    {CodePolicy, "report data", func(s *scene) { s.bind = func(d *attest.ReportData) { d[63] ^= 1 } }},
	"a changed quote":     {CodeEvidence, "did not sign the quote", func(s *scene) { s.bytes = func(e *attest.Evidence) { e.Quote[48+64] ^= 1 } }},
	"a truncated quote":   {CodeEvidence, "quote format", func(s *scene) { s.bytes = func(e *attest.Evidence) { e.Quote = e.Quote[:len(e.Quote)-1] } }},
	"half of a quote":     {CodeEvidence, "quote format", func(s *scene) { s.bytes = func(e *attest.Evidence) { e.Quote = e.Quote[:200] } }},
	"no quote":            {CodeEvidence, "it has no quote", func(s *scene) { s.bytes = func(e *attest.Evidence) { e.Quote = nil } }},
	"a padded quote":      {CodeEvidence, "quote: 1 bytes too many", func(s *scene) { s.bytes = func(e *attest.Evidence) { e.Quote = append(e.Quote, 0) } }},
	"changed endorsement": {CodeEvidence, "evidence refused", func(s *scene) { s.bytes = func(e *attest.Evidence) { e.Endorsements[len(e.Endorsements)/2] ^= 1 } }},
	"cut endorsements": {CodeEvidence, "endorsements: unexpected end", func(s *scene) {
		s.bytes = func(e *attest.Evidence) { e.Endorsements = e.Endorsements[:len(e.Endorsements)-1] }
	}},
	"padded endorsements": {CodeEvidence, "endorsements are not in the form in which they are written", func(s *scene) {
		s.bytes = func(e *attest.Evidence) { e.Endorsements = append(e.Endorsements, ' ') }
	}},
	"quote of a guest": {CodeEvidence, "the quote is of tdx", func(s *scene) {
		s.bytes = func(e *attest.Evidence) { e.Quote = s.authority.Machine().TDXQuote(4, attest.ReportData{}) }
	}},
	"platform that is not accepted": {CodeEvidence, "not accepted", func(s *scene) { s.bytes = func(e *attest.Evidence) { e.Platform = attest.TDX } }},
	"no such platform":              {CodeEvidence, `platform "sgx2\n" is not known`, func(s *scene) { s.bytes = func(e *attest.Evidence) { e.Platform = "sgx2\n" } }},
}

// TestEnclaveRefused shows a broker evidence of enclaves in which one thing is
// wrong. Each is refused, with the reason in the answer and in the log.
func TestEnclaveRefused(t *testing.T) {
	f, a := newEnclaves(t, setting{limits: Limits{Rate: 1000, Burst: 1000}}, time.Now())
	release := func(edit func(*scene)) error {
		s := &scene{authority: a, version: 3}
		edit(s)
		r, err := f.client().Release(t.Context(), s, jobOf("one"), []Want{wards("a", 1)})
		if err == nil {
			r.Zero()
		}
		return err
	}
	good := map[string]func(*scene){
		"measured":  func(*scene) {},
		"by signer": func(s *scene) { s.bySigner(3) },
		"newer":     func(s *scene) { s.bySigner(4) },
		"version 4": func(s *scene) { s.version = 4 },
		"version 5": func(s *scene) { s.version = 5 },
	}
	for name, edit := range good {
		if err := release(edit); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for name, c := range refusedEnclaves {
		t.Run(name, func(t *testing.T) {
			f.why(t, release(c.edit), "release", c.code, c.reason)
		})
	}
	if err := release(func(*scene) {}); err != nil {
		t.Errorf("after all of them: %v", err)
	}
	if n := linesOf(f.entries(), "release", audit.Granted); n != len(good)+1 {
		t.Errorf("%d releases are logged, of %d", n, len(good)+1)
	}
}

func linesOf(entries []*audit.Entry, kind string, decision audit.Decision) (n int) {
	for _, e := range entries {
		if e.Type == kind && e.Decision == decision {
			n++
		}
	}
	return n
}

// TestOlderCollateral: once a broker has seen newer collateral, older is refused,
// though the policy would still accept it.
func TestOlderCollateral(t *testing.T) {
	t.Parallel()
	f, a := newEnclaves(t, setting{}, time.Now())
	number := func(n int) error {
		s := &scene{authority: a, version: 3}
		s.tcb(func(c *attesttest.TCBInfo) { c.TCBEvaluationDataNumber = n })
		s.identity(func(c *attesttest.QEIdentity) { c.TCBEvaluationDataNumber = n })
		_, err := f.client().Release(t.Context(), s, jobOf("one"), []Want{wards("a", 1)})
		return err
	}
	for _, n := range []int{17, 17, 19} {
		if err := number(n); err != nil {
			t.Fatalf("number %d: %v", n, err)
		}
	}
	f.why(t, number(18), "release", CodeEvidence, "its evaluation number for sgx is 18, after 19")
	// Not even after a start.
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f.start(setting{}, false)
	f.why(t, number(18), "release", CodeEvidence, "its evaluation number for sgx is 18, after 19")
	if err := number(19); err != nil {
		t.Error(err)
	}
}

// TestEvidenceOfAnother takes evidence that is good, but was made for another
// nonce, key or job.
func TestEvidenceOfAnother(t *testing.T) {
	t.Parallel()
	f, a := newEnclaves(t, setting{}, time.Now())
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	thief, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c := f.client()
	nonce := func(key []byte) Digest {
		var n NonceAnswer
		if err := c.Do(t.Context(), "POST", PathNonce, &NonceRequest{sha256.Sum256(key)}, &n); err != nil {
			t.Fatal(err)
		}
		return n.Nonce
	}
	public, stolen := key.PublicKey().Bytes(), thief.PublicKey().Bytes()
	evidence := func(b attest.Binding) attest.Evidence {
		e, err := (&scene{authority: a, version: 3}).Produce(t.Context(), b.ReportData())
		if err != nil {
			t.Fatal(err)
		}
		return *e
	}
	want := []Want{wards("a", 1)}
	ask := func(q *ReleaseRequest) error { return c.Do(t.Context(), "POST", PathRelease, q, &ReleaseAnswer{}) }
	fresh := nonce(public)
	good := &ReleaseRequest{Nonce: fresh, Key: public, Job: jobOf("one"), Evidence: evidence(attest.Binding{Nonce: fresh, Key: public, Job: jobOf("one")}), Want: want}
	if err := ask(good); err != nil {
		t.Fatal(err)
	}
	f.why(t, ask(good), "release", CodeNonce, "used before")
	again := *good
	again.Nonce = nonce(public)
	f.why(t, ask(&again), "release", CodePolicy, "report data")
	theirs := *good
	theirs.Key, theirs.Nonce = stolen, nonce(stolen)
	f.why(t, ask(&theirs), "release", CodePolicy, "report data")
	theirs.Nonce = nonce(public)
	f.why(t, ask(&theirs), "release", CodeNonce, "another key")
	foreign := *good
	foreign.Nonce = Digest{1}
	f.why(t, ask(&foreign), "release", CodeNonce, "not one of this broker's")
	job := *good
	job.Nonce, job.Job = nonce(public), jobOf("two")
	job.Evidence = evidence(attest.Binding{Nonce: job.Nonce, Key: public, Job: jobOf("one")})
	f.why(t, ask(&job), "release", CodePolicy, "report data")
	job.Nonce = nonce(public)
	job.Evidence = evidence(attest.Binding{Nonce: job.Nonce, Key: public, Job: jobOf("two")})
	f.why(t, ask(&job), "release", CodePolicy, "job sha256:"+jobOf("two").String())
	// Of another broker with the same state of mind: the nonces are its own.
	other, _ := newEnclaves(t, setting{}, time.Now())
	foreign = *good
	foreign.Nonce = nonce(public)
	foreign.Evidence = evidence(attest.Binding{Nonce: foreign.Nonce, Key: public, Job: jobOf("one")})
	other.why(t, other.client().Do(t.Context(), "POST", PathRelease, &foreign, nil), "release", CodeNonce, "not one of this broker's")
}

// TestEveryByteAtTheBroker changes bytes of a quote on its way in turn, all in the
// long variant, else one in 97: none of them gets anything. Every byte of all
// that evidence consists of is the matter of the tests of package sgx.
func TestEveryByteAtTheBroker(t *testing.T) {
	t.Parallel()
	f, a := newEnclaves(t, setting{limits: Limits{Rate: 1e6, Burst: 1e6}}, time.Now())
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c := f.client()
	public := key.PublicKey().Bytes()
	step := 97
	if os.Getenv("CLOISTER_SOAK") != "" {
		step = 1
	}
	granted := 0
	for place := int(time.Now().UnixNano() % int64(step)); ; place += step {
		var n NonceAnswer
		if err := c.Do(t.Context(), "POST", PathNonce, &NonceRequest{sha256.Sum256(public)}, &n); err != nil {
			t.Fatal(err)
		}
		b := attest.Binding{Nonce: n.Nonce, Key: public, Job: jobOf("one")}
		e, err := (&scene{authority: a, version: 3}).Produce(t.Context(), b.ReportData())
		if err != nil {
			t.Fatal(err)
		}
		if place >= len(e.Quote) {
			break
		}
		e.Quote = slices.Clone(e.Quote)
		e.Quote[place] ^= 1
		q := &ReleaseRequest{Nonce: n.Nonce, Key: public, Job: jobOf("one"), Evidence: *e, Want: []Want{wards("a", 1)}}
		if err := c.Do(t.Context(), "POST", PathRelease, q, nil); err == nil {
			t.Errorf("byte %d of the quote was changed, and the key was released", place)
			granted++
		} else {
			refusedFor(t, err, CodeEvidence, "")
		}
	}
	if n := linesOf(f.entries(), "release", audit.Granted); n != granted {
		t.Errorf("%d releases are logged, of %d", n, granted)
	}
}

// TestClockSetBack: the time of the host does not make collateral fresh that has
// expired by the time that the broker knows of.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	host := &hostClock{now: now}
	f, a := newEnclaves(t, setting{host: host.Now}, now)
	release := func() error {
		_, err := f.client().Release(t.Context(), &scene{authority: a, version: 3}, jobOf("one"), []Want{wards("a", 1)})
		return err
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	host.set(now.AddDate(0, 0, 40))
	f.why(t, release(), "release", CodeEvidence, "expired on")
	// The line of that refusal was co-signed, so that the broker knows the time.
	f.waitWitnessed(t)
	host.set(now)
	f.why(t, release(), "release", CodeEvidence, "expired on")
	// Nothing takes effect either, as long as the host's clock is behind.
	_, err := f.tryOrder(f.a, f.a, Order{Operation: ApproveJob, Job: jobOf("one"), Runs: 1, Expires: now.AddDate(1, 0, 0)})
	refusedFor(t, err, CodeClock, "set the host's clock")
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f.start(setting{host: host.Now}, false)
	f.why(t, release(), "release", CodeEvidence, "expired on")
}

// TestClockBehind sets the clock back a little, within the time of all
// collateral: what is granted does not leave, and the log says why.
func TestClockBehind(t *testing.T) {
	t.Parallel()
	now := time.Now()
	host := &hostClock{now: now}
	f := newFixture(t, setting{host: host.Now})
	f.dataSet(f.a, "wards", "no-export")
	f.waitWitnessed(t)
	host.set(now.Add(-10 * time.Minute))
	_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	f.why(t, err, "release.withheld", CodeClock, "set the host's clock")
	host.set(now)
	if _, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)}); err != nil {
		t.Error(err)
	}
}
