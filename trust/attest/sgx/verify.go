package sgx

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"cloister/trust/attest"
)

// Options say what a Verifier trusts.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Roots are the public keys of the root CAs that are trusted; empty means
	// Intel's alone.
	Roots []*ecdsa.PublicKey
	// Collateral is where collateral comes from; nil means from the evidence alone.
	Collateral Source
	// Grace is how long after its nextUpdate collateral is still accepted.
	// Certificates have no grace.
	Grace time.Duration
	// MinEvaluation is the least tcbEvaluationDataNumber that is accepted.
	MinEvaluation uint32
	// InsecureNoCRLs accepts collateral that has no revocation lists, so that keys
	// known to be stolen stay good. Lists that are there are used.
	InsecureNoCRLs bool
}

// How much is kept of what was verified: chains of machines, and collateral.
const (
	cachedChains     = 1024
	cachedCollateral = 64
)

// Verifier verifies the quotes of one platform. It keeps the certificate chains
// and the collateral whose signatures it verified; their dates and revocation
// are checked for every quote.
type Verifier struct {
	tee        attest.Platform
	options    Options
	chains     *cache[string, *pckChain]
	signers    *cache[string, *chain]
	collateral *cache[*Collateral, *trusted]
}

var _ attest.Verifier = (*Verifier)(nil)

// NewVerifier returns a verifier of quotes of SGX enclaves.
func NewVerifier(o Options) *Verifier { return newVerifier(attest.SGX, o) }

// NewTDXVerifier returns a verifier of quotes of TDX guests.
func NewTDXVerifier(o Options) *Verifier { return newVerifier(attest.TDX, o) }

func newVerifier(tee attest.Platform, o Options) *Verifier {
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Roots) == 0 {
		o.Roots = IntelRoots()
	}
	if o.Collateral == nil {
		o.Collateral = NewCarried()
	}
	return &Verifier{
		tee: tee, options: o,
		chains:     newCache[string, *pckChain](cachedChains),
		signers:    newCache[string, *chain](cachedCollateral),
		collateral: newCache[*Collateral, *trusted](cachedCollateral),
	}
}

// Platform implements attest.Verifier.
func (v *Verifier) Platform() attest.Platform { return v.tee }

// The names of the checks, in the order in which they are made.
const (
	checkFormat     = "quote format"
	checkPlatform   = "platform"
	checkPCK        = "pck chain"
	checkQEReport   = "qe report signature"
	checkBinding    = "attestation key"
	checkSignature  = "quote signature"
	checkTCBInfo    = "tcb info"
	checkQEIdentity = "qe identity"
	checkRevocation = "revocation"
	checkFreshness  = "freshness"
	checkEvaluation = "evaluation number"
	checkQE         = "quoting enclave"
	checkModule     = "tdx module"
	checkTCB        = "tcb level"
)

// verification is one run of Verify.
type verification struct {
	*Verifier
	attest.Checklist

	now time.Time
}

// Verify implements attest.Verifier. Signatures come first: collateral is looked
// up only for a quote that a machine with a trusted certificate made.
func (v *Verifier) Verify(ctx context.Context, e *attest.Evidence) (*attest.Verification, error) {
	run := &verification{Verifier: v, now: v.options.Now()}
	run.Claims.Platform = v.tee
	if e == nil {
		run.Check(checkFormat, errors.New("there is no evidence"), "")
		return run.End()
	}
	if e.Platform != v.tee {
		run.Check(checkPlatform, fmt.Errorf("the evidence is of platform %q, not %s", e.Platform, v.tee), "")
		return run.End()
	}
	q, err := ParseQuote(e.Quote)
	if !run.Check(checkFormat, err, "version %d, %d bytes", quoteVersion(q), len(e.Quote)) {
		return run.End()
	}
	if q.TEE != v.tee {
		run.Check(checkPlatform, fmt.Errorf("the quote is of %s, not of %s", q.TEE, v.tee), "")
		return run.End()
	}
	run.Check(checkPlatform, nil, "%s", v.tee)
	run.claim(q)
	pck := run.signatures(q)
	if run.Refused() {
		return run.End()
	}
	request := &Request{TEE: v.tee, FMSPC: pck.pck.FMSPC, CA: pck.ca, Endorsements: e.Endorsements}
	c, err := v.options.Collateral.Collateral(ctx, request)
	switch {
	case errors.Is(err, attest.ErrRefused):
		run.Check(checkTCBInfo, err, "")
		return run.End()
	case err != nil:
		return &run.Verification, fmt.Errorf("%s: %w", request, err)
	}
	run.appraise(q, pck, v.trusted(c))
	return run.End()
}

func quoteVersion(q *Quote) uint16 {
	if q == nil {
		return 0
	}
	return q.Version
}

// trusted returns the parsed and verified form of collateral.
func (v *Verifier) trusted(c *Collateral) *trusted {
	t, ok := v.collateral.get(c)
	if !ok {
		t = v.trust(c)
		v.collateral.put(c, t)
	}
	return t
}

// pckChain returns the verified chain of a quote. Those that fail are not kept.
func (v *Verifier) pckChain(text []byte) (*pckChain, error) {
	key := string(text)
	if c, ok := v.chains.get(key); ok {
		return c, nil
	}
	c, err := verifyPCKChain(text, v.options.Roots)
	if err != nil {
		return nil, err
	}
	v.chains.put(key, c)
	return c, nil
}

// signatures checks the chain from the root key to the body of the quote. It
// returns nil if the chain of the PCK certificate does not hold.
func (v *verification) signatures(q *Quote) *pckChain {
	pck, err := v.pckChain(q.Chain)
	if err == nil {
		err = pck.at(v.now)
	}
	if v.Check(checkPCK, err, "%s CA, valid until %s", caOf(pck), untilOf(pck)) {
		v.claimPCK(pck.pck)
		err = nil
		if !verifyRaw(pck.key, q.QESigned, q.QESignature) {
			err = errors.New("the PCK did not sign the QE report")
		}
		v.Check(checkQEReport, err, "by the PCK")
	} else {
		pck = nil
	}
	v.Check(checkBinding, q.bound(), "bound by the QE report")
	key, err := parsePoint(q.AttestationKey)
	if err == nil && !verifyRaw(key, q.Signed, q.Signature) {
		err = errors.New("the attestation key did not sign the quote")
	}
	v.Check(checkSignature, err, "by the attestation key")
	return pck
}

func caOf(c *pckChain) CA {
	if c == nil {
		return ""
	}
	return c.ca
}

func untilOf(c *pckChain) string {
	if c == nil {
		return ""
	}
	return date(c.until)
}

// bound checks that the report data of the QE report are the hash of attestation
// key and authentication data, and zeros ([QVL] 4.1.2.4.13).
func (q *Quote) bound() error {
	h := sha256.New()
	h.Write(q.AttestationKey)
	h.Write(q.QEAuthData)
	var want attest.ReportData
	h.Sum(want[:0])
	if subtle.ConstantTimeCompare(want[:], q.QE.ReportData[:]) != 1 {
		return errors.New("the QE report does not vouch for the attestation key: its report data are not the hash of key and authentication data")
	}
	return nil
}

// appraise checks the quote against collateral.
func (v *verification) appraise(q *Quote, pck *pckChain, t *trusted) {
	tcb := v.Check(checkTCBInfo, v.tcbInfo(t, pck), "number %d, until %s", t.tcbNumber(), t.tcbUntil())
	qe := v.Check(checkQEIdentity, v.qeIdentity(t, pck), "number %d, until %s", t.qeNumber(), t.qeUntil())
	if !tcb || !qe {
		return
	}
	if v.Check(checkRevocation, t.revocation(pck, v.options.InsecureNoCRLs), "%s", t.lists(pck)) {
		dates := t.dates(pck)
		v.Check(checkFreshness, fresh(dates, v.now, v.options.Grace), "%d documents", len(dates))
		v.claimDates(dates, t, pck)
	}
	number := min(t.tcb.EvaluationNumber, t.qe.EvaluationNumber)
	var err error
	if number < v.options.MinEvaluation {
		err = fmt.Errorf("the collateral has number %d, at least %d is required", number, v.options.MinEvaluation)
	}
	v.Check(checkEvaluation, err, "%d", number)
	level, err := t.qe.appraise(&q.QE)
	if v.Check(checkQE, err, "%s", levelStatus(level)) {
		v.levels(q, pck, t, level, number)
	}
}

func levelStatus(l *ISVLevel) string {
	if l == nil {
		return ""
	}
	return fmt.Sprintf("%s of %s", l.Status, l.Date.Format(time.DateOnly))
}

// levels finds the TCB level. Whether its status is good enough is not said here.
func (v *verification) levels(q *Quote, pck *pckChain, t *trusted, qe *ISVLevel, number uint32) {
	if q.TDX != nil && !v.Check(checkModule, t.tcb.checkModule(q.TDX), "as the TCB info has it") {
		return
	}
	s, err := t.tcb.evaluate(pck.pck, q.TDX, qe)
	if err != nil {
		v.Check(checkTCB, err, "")
		return
	}
	v.Check(checkTCB, nil, "%s: %s", s.status, s.detail)
	claim := &v.Claims.TCB
	claim.Status, claim.Advisories, claim.Date, claim.EvaluationNumber = s.status, s.sorted(), s.date, number
}

// tcbInfo checks that the TCB info is Intel's and of this machine.
func (v *verification) tcbInfo(t *trusted, pck *pckChain) error {
	if t.tcbErr != nil {
		return t.tcbErr
	}
	if err := v.signer(t.tcbChain, pck); err != nil {
		return err
	}
	switch {
	case t.tcb.TEE != v.tee:
		return fmt.Errorf("the TCB info is of %s, not of %s", t.tcb.TEE, v.tee)
	case t.tcb.FMSPC != pck.pck.FMSPC:
		return fmt.Errorf("the TCB info is of FMSPC %x, the machine has %x", t.tcb.FMSPC, pck.pck.FMSPC)
	case t.tcb.PCEID != pck.pck.PCEID:
		return fmt.Errorf("the TCB info is of PCEID %x, the machine has %x", t.tcb.PCEID, pck.pck.PCEID)
	}
	return nil
}

func (v *verification) qeIdentity(t *trusted, pck *pckChain) error {
	if t.qeErr != nil {
		return t.qeErr
	}
	if t.qe.TEE != v.tee {
		return fmt.Errorf("the QE identity is of %s, not of %s", t.qe.TEE, v.tee)
	}
	return v.signer(t.qeChain, pck)
}

func (v *verification) signer(c *chain, pck *pckChain) error {
	if err := c.at(v.now); err != nil {
		return err
	}
	if !sameRoot(c, pck.chain) {
		return errors.New("it was signed below another root than the PCK certificate")
	}
	return nil
}
