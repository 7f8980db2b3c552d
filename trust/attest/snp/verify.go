package snp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/go-sev-guest/verify"

	"cloister/trust/attest"
	"cloister/trust/attest/revocation"
)

// Options say what a Verifier trusts.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Roots are the root keys that are trusted; empty means AMD's alone.
	Roots []Root
	// Source is where certificates and revocation lists come from that the evidence
	// does not carry; nil means from the evidence alone.
	Source Source
	// Grace is how long after its nextUpdate a revocation list is still accepted.
	// Certificates have no grace.
	Grace time.Duration
	// InsecureNoCRLs accepts reports without a revocation list, so that keys known
	// to be stolen stay good. A list that is there is used.
	InsecureNoCRLs bool
}

// Verifier verifies attestation reports. It keeps the certificate chains and the
// revocation lists whose signatures it verified; dates and revocation are checked
// for every report.
type Verifier struct {
	options   Options
	published []*x509.Certificate

	mu     sync.Mutex
	chains map[[sha256.Size]byte]*chain
	lists  map[[sha256.Size]byte]*revocation.List
}

// How many chains and revocation lists are kept.
const (
	keptChains = 1024
	keptLists  = 16
)

var _ attest.Verifier = (*Verifier)(nil)

// NewVerifier returns a verifier of attestation reports.
func NewVerifier(o Options) *Verifier {
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Roots) == 0 {
		o.Roots = AMDRoots()
	}
	if o.Source == nil {
		o.Source = Sources{}
	}
	return &Verifier{
		options: o, published: publishedCertificates(),
		chains: map[[sha256.Size]byte]*chain{}, lists: map[[sha256.Size]byte]*revocation.List{},
	}
}

// Platform implements attest.Verifier.
func (*Verifier) Platform() attest.Platform { return attest.SNP }

// The names of the checks, in the order in which they are made.
const (
	checkPlatform   = "platform"
	checkFormat     = "report format"
	checkVMPL       = "vmpl"
	checkMigration  = "migration agent"
	checkChain      = "endorsement key chain"
	checkSignature  = "report signature"
	checkKey        = "chip and tcb of the key"
	checkTCB        = "tcb order"
	checkRevocation = "revocation"
)

// verification is one run of Verify.
type verification struct {
	*Verifier
	attest.Checklist

	now time.Time
}

// Verify implements attest.Verifier.
func (v *Verifier) Verify(ctx context.Context, e *attest.Evidence) (*attest.Verification, error) {
	run := &verification{Verifier: v, now: v.options.Now()}
	run.Claims.Platform = attest.SNP
	if e == nil || e.Platform != attest.SNP {
		run.Check(checkPlatform, errors.New("the evidence is not of snp"), "")
		return run.End()
	}
	r, err := Parse(e.Quote)
	if !run.Check(checkFormat, err, "version %d", versionOf(r)) {
		return run.End()
	}
	run.Claims = r.Claims()
	run.report(r)
	if run.Refused() { // so that nobody has the source asked for nothing
		return run.End()
	}
	c, refused, err := run.chain(ctx, r)
	if err != nil {
		return &run.Verification, err
	}
	if refused == nil {
		refused = c.at(run.now)
	}
	if !run.Check(checkChain, refused, "%s", c.describe()) {
		return run.End()
	}
	run.Claims.SNP.Product, run.Claims.SNP.CloudProvider = string(c.product), c.key.csp
	run.Check(checkSignature, verify.SnpReportSignature(r.raw, c.leaf), "by the %s", c.keyKind)
	run.Check(checkKey, c.matches(r), "%s", c.product.describe(r.fields.ReportedTcb))
	run.Check(checkTCB, c.product.ordered(r), "reported at most committed, committed at most current")
	if run.Refused() {
		return run.End()
	}
	if err := run.revocation(ctx, c, e.Endorsements); err != nil {
		return &run.Verification, err
	}
	return run.End()
}

func versionOf(r *Report) uint32 {
	if r == nil {
		return 0
	}
	return r.Version()
}

func (c *chain) describe() string {
	if c == nil {
		return ""
	}
	_, until := c.dates()
	text := fmt.Sprintf("%s of %s, valid until %s", c.keyKind, c.product, until.UTC().Format(time.DateOnly))
	if c.key.csp != "" {
		text += fmt.Sprintf(", of cloud provider %q", c.key.csp)
	}
	return text
}

// report checks what a report says of itself.
func (v *verification) report(r *Report) {
	f := r.fields
	var err error
	switch {
	case f.Vmpl == hypervisorVMPL:
		err = errors.New("the hypervisor asked for the report, not the guest")
	case f.Vmpl > 3:
		err = fmt.Errorf("there is no VMPL %d", f.Vmpl)
	}
	v.Check(checkVMPL, err, "%d", f.Vmpl)

	agent := v.Claims.SNP.MigrationAgent
	err = nil
	if agent && f.Policy&migrationBit == 0 {
		err = errors.New("the report names a migration agent, which the guest policy does not allow")
	}
	v.Check(checkMigration, err, "%s", map[bool]string{true: "there is one", false: "there is none"}[agent])
}

// ordered checks that the machine's owner reports no newer TCB version than the
// committed one, below which the firmware never goes again, and that this is not
// newer than the current one ([ABI], SNP_CONFIG, SNP_COMMIT). The version at
// launch may be newer: what is not committed can be taken back.
func (p Product) ordered(r *Report) error {
	f := r.fields
	return errors.Join(
		p.atMost(f.ReportedTcb, f.CommittedTcb, "reported", "committed"),
		p.atMost(f.CommittedTcb, f.CurrentTcb, "committed", "current"),
	)
}

// chain returns the verified chain of a report's key, whose certificate comes
// with the report or from the source, or why there is none, or why that could not
// be found out.
func (v *verification) chain(ctx context.Context, r *Report) (_ *chain, refused, err error) {
	leaf := r.vcek
	switch r.signingKey() {
	case VCEK:
		if r.signer.MaskChipKey { // [ABI], section 3.6: there are zeros for a signature then
			return nil, errors.New("the report was not signed: the machine's owner has the VCEK sign none (MASK_CHIP_KEY)"), nil
		}
	case VLEK:
		if leaf = r.vlek; leaf == nil {
			return nil, errors.New("the report was signed with a VLEK and does not carry its certificate, which AMD gives to the cloud provider alone"), nil
		}
	default:
		return nil, errors.New("the report was not signed"), nil
	}
	if leaf == nil {
		if leaf, refused, err = v.fetchVCEK(ctx, r); refused != nil || err != nil {
			return nil, refused, err
		}
	}
	key := chainKey(r, leaf)
	v.mu.Lock()
	c := v.chains[key]
	v.mu.Unlock()
	if c != nil {
		return c, nil, nil
	}
	if c, refused = v.verifyChain(r, leaf); refused != nil {
		return nil, refused, nil
	}
	v.mu.Lock()
	if len(v.chains) >= keptChains {
		clear(v.chains)
	}
	v.chains[key] = c
	v.mu.Unlock()
	return c, nil, nil
}

// chainKey names all that verifyChain looks at.
func chainKey(r *Report, leaf []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(r.fms[:])
	fmt.Fprintf(h, "%t %s ", r.saysProcessor(), r.signingKey())
	for _, der := range [][]byte{leaf, r.ask, r.ark} {
		fmt.Fprintf(h, "%d:", len(der))
		h.Write(der)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// fetchVCEK asks the source for the certificate of a report's key. A report of
// version 2 does not say what the processor is; those were made by Milan and
// Genoa alone.
func (v *verification) fetchVCEK(ctx context.Context, r *Report) (_ []byte, refused, err error) {
	if r.chipHidden() {
		return nil, errors.New("the report carries no VCEK certificate and hides the chip id by which to find it"), nil
	}
	products := []Product{Milan, Genoa}
	if r.saysProcessor() {
		p, ok := productOf(r.fms)
		if !ok {
			return nil, unknownProcessor(r), nil
		}
		products = []Product{p}
	}
	for _, p := range products {
		var der []byte
		if der, err = v.options.Source.VCEK(ctx, p, p.hardwareID(r.fields.ChipId), r.fields.ReportedTcb); err == nil {
			return der, nil, nil
		}
		if !errors.Is(err, ErrNoCollateral) {
			break
		}
	}
	return nil, nil, fmt.Errorf("the certificate of the VCEK: %w", err)
}

func unknownProcessor(r *Report) error {
	return fmt.Errorf("processors of family %#x and model %#x are not known", r.fms[0], r.fms[1])
}

// revocation checks the chain against AMD's revocation list: that of the source,
// else that of the evidence.
func (v *verification) revocation(ctx context.Context, c *chain, endorsements []byte) error {
	der, err := v.options.Source.CRL(ctx, c.product, c.keyKind)
	if err != nil && len(endorsements) > 0 {
		der, err = endorsements, nil
	}
	switch {
	case errors.Is(err, ErrNoCollateral) && v.options.InsecureNoCRLs:
		v.Check(checkRevocation, nil, "not checked: there is no revocation list, and insecure-no-crls allows that")
		v.claimDates(c, nil)
		return nil
	case err != nil:
		return fmt.Errorf("the revocation list of %s, %s: %w", c.product, c.keyKind, err)
	}
	list, err := v.list(c, der)
	if err == nil {
		err = v.revoked(c, list)
	}
	if v.Check(checkRevocation, err, "not revoked, by the list until %s", nextUpdate(list)) {
		v.claimDates(c, list)
	}
	return nil
}

func nextUpdate(list *revocation.List) string {
	if list == nil {
		return ""
	}
	return list.Next.UTC().Format(time.DateOnly)
}

// list reads a revocation list that the root of a chain signed, as it does the
// lists of its product ([VCEK], section 4).
func (v *verification) list(c *chain, der []byte) (*revocation.List, error) {
	h := sha256.New()
	h.Write(c.ark.Raw)
	h.Write(der)
	key := [sha256.Size]byte(h.Sum(nil))
	v.mu.Lock()
	list := v.lists[key]
	v.mu.Unlock()
	if list != nil {
		return list, nil
	}
	parsed, err := revocation.Parse(der)
	if err != nil {
		return nil, err
	}
	if list, err = revocation.Verify(parsed, c.ark, x509.SHA384WithRSAPSS); err != nil {
		return nil, err
	}
	v.mu.Lock()
	if len(v.lists) >= keptLists {
		clear(v.lists)
	}
	v.lists[key] = list
	v.mu.Unlock()
	return list, nil
}

// revoked says why a list does not let a chain pass.
func (v *verification) revoked(c *chain, list *revocation.List) error {
	switch {
	case v.now.Before(list.From):
		return fmt.Errorf("the revocation list is not valid before %s", list.From.UTC().Format(time.RFC3339))
	case v.now.After(list.Next.Add(v.options.Grace)):
		return fmt.Errorf("the revocation list expired on %s", list.Next.UTC().Format(time.RFC3339))
	}
	if err := list.Check(c.issuer); err != nil {
		return err
	}
	if c.leaf.SerialNumber.Sign() == 0 { // as all VCEK certificates have it
		return nil
	}
	return list.Check(c.leaf)
}

// claimDates fills in when what was relied on was made and when it ends. AMD says
// of no TCB version whether it is up to date: a policy gives the least.
func (v *verification) claimDates(c *chain, list *revocation.List) {
	from, until := c.dates()
	t := &v.Claims.TCB
	t.Issued, t.Latest, t.Expires = from, from, until
	if list == nil {
		return
	}
	t.Issued = list.From
	if list.From.After(t.Latest) {
		t.Latest = list.From
	}
	if list.Next.Before(t.Expires) {
		t.Expires = list.Next
	}
}
