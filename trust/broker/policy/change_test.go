package policy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/approval"
)

// signed is what the named people sign of a change.
func signed(tb testing.TB, c *Change, people ...string) []*approval.Signature {
	tb.Helper()
	all := make([]*approval.Signature, 0, len(people))
	for _, p := range people {
		s, err := key(tb, p).Sign(rand.Reader, approval.ForPolicy, c.Statement())
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func compare(tb testing.TB, old, next *Policy) *Change {
	tb.Helper()
	c, err := Compare(old, next)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// kinds are changes of every kind, and sets of people of whom all must sign. The
// owners are hospital-a (a1 and a2 together, or ar to recover), hospital-b (b, or
// br) and lab (c), two of whom must sign any change.
var kinds = map[string]struct {
	edit    func(*Policy)
	signers []string
	// waits says that the change has to wait.
	waits bool
}{
	"nothing but the number": {func(*Policy) {}, []string{"b", "c"}, false},
	"an administrator":       {func(p *Policy) { p.Administrators["second"] = &Administrator{Client: Hash{1}} }, []string{"b", "c"}, false},
	"a measurement goes":     {func(p *Policy) { p.Workloads["train"].SGX.MREnclaves = p.Workloads["train"].SGX.MREnclaves[:1] }, []string{"b", "c"}, false},
	"a workload goes":        {func(p *Policy) { delete(p.Workloads, "train") }, []string{"b", "c"}, false},
	"a job goes":             {func(p *Policy) { p.Workloads["train"].Jobs = p.Workloads["train"].Jobs[:1] }, []string{"a1", "a2", "b"}, false},
	"a platform's least number rises": {
		func(p *Policy) { p.Platforms.SGX.MinEvaluationNumber++ }, []string{"b", "c"}, false,
	},
	"an owner is frozen": {func(p *Policy) { p.Owners["lab"].Frozen = true }, []string{"a1", "a2", "b"}, false},
	"an owner leaves": {func(p *Policy) {
		delete(p.Owners, "hospital-b")
		delete(p.Witnesses.Keys, "witness-b")
		delete(p.Workloads, "signed")
		delete(p.Workloads["train"].Keys, "hospital-b/wards")
	}, []string{"a1", "a2", "c"}, true}, // a witness less is for everyone to sign

	"a measurement of hospital-b's and others": {
		func(p *Policy) {
			p.Workloads["train"].SGX.MREnclaves = append(p.Workloads["train"].SGX.MREnclaves, Bytes32{1})
		}, []string{"a1", "a2", "b", "c"}, true,
	},
	"a measurement of lab's": {
		func(p *Policy) {
			p.Workloads["guest-snp"].SNP.Measurements = append(p.Workloads["guest-snp"].SNP.Measurements, Bytes48{1})
		}, []string{"c", "b"}, true,
	},
	"a least version of lab's falls": {
		func(p *Policy) { p.Workloads["guest-snp"].SNP.Products[Milan].MinReportedTCB.Microcode-- }, []string{"c", "b"}, true,
	},
	"another signer for hospital-b": {func(p *Policy) { p.Workloads["signed"].SGX.Signer.MRSigner = Bytes32{1} }, []string{"b", "c"}, true},
	"an older enclave for hospital-b": {
		func(p *Policy) { p.Workloads["signed"].SGX.Signer.MinISVSVN-- }, []string{"b", "c"}, true,
	},
	"a status for hospital-b": {func(p *Policy) {
		p.Workloads["signed"].TCB.Statuses = append(p.Workloads["signed"].TCB.Statuses, "OutOfDate")
	}, []string{"b", "c"}, true},
	"an advisory for hospital-b": {func(p *Policy) { p.Workloads["signed"].TCB.Advisories = []Advisory{"INTEL-SA-1"} }, []string{"b", "c"}, true},
	"older collateral for hospital-b": {
		func(p *Policy) { p.Workloads["signed"].TCB.MaxAge++ }, []string{"b", "c"}, true,
	},
	"a job of lab's":        {func(p *Policy) { p.Workloads["guest-snp"].Jobs = append(p.Workloads["guest-snp"].Jobs, JobHash{1}) }, []string{"c", "b"}, true},
	"a term of lab's":       {func(p *Policy) { p.Workloads["guest-snp"].Terms = []Name{"t"} }, []string{"c", "b"}, true},
	"a key for lab":         {func(p *Policy) { p.Workloads["signed"].Keys["lab/genomes"] = []Versions{{1, 1}} }, []string{"c", "b"}, true},
	"a version for lab":     {func(p *Policy) { p.Workloads["laptop"].Keys["lab/samples"] = []Versions{{1, 1}, {2, 2}} }, []string{"c", "b"}, true},
	"a secret of lab's":     {func(p *Policy) { p.Workloads["signed"].Secrets = []Item{"lab/token"} }, []string{"c", "b"}, true},
	"a workload of lab's":   {func(p *Policy) { p.Workloads["more"] = clone(p).Workloads["laptop"] }, []string{"c", "b"}, true},
	"a machine for others":  {func(p *Policy) { p.Workloads["train"].Machines = append(p.Workloads["train"].Machines, "aa") }, []string{"a1", "a2", "b", "c"}, true},
	"debugging for lab":     {func(p *Policy) { p.Workloads["guest-snp"].InsecureDebug = true }, []string{"c", "b"}, true},
	"a certificate":         {func(p *Policy) { p.Workloads["signed"].Certificates = []DNSName{"x"} }, []string{"a1", "a2", "b", "c"}, true},
	"unsealing for a":       {func(p *Policy) { p.Unseal["alice"].Keys["hospital-a/more"] = []Versions{{1, 1}} }, []string{"a1", "a2", "b"}, true},
	"another person":        {func(p *Policy) { p.Unseal["alice"].Client = Hash{1} }, []string{"a1", "a2", "b"}, true},
	"a provisioned program": {func(p *Policy) { p.Provisioning["token"].MREnclave = Bytes32{1} }, []string{"c", "b"}, true},
	"more runs":             {func(p *Policy) { p.Provisioning["token"].MaxRuns++ }, []string{"c", "b"}, true},
	"a root":                {func(p *Policy) { p.Platforms.TDX.Roots = append(p.Platforms.TDX.Roots, Root(Hash{1}.String())) }, []string{"a1", "a2", "b", "c"}, true},
	"a platform": {
		func(p *Policy) {
			p.Platforms.SNP.InsecureNoRevocation = false
			p.Platforms.SNP.Roots = append(p.Platforms.SNP.Roots, "amd-turin")
		},
		[]string{"a1", "a2", "b", "c"},
		true,
	},
	"grace":                {func(p *Policy) { p.Platforms.TDX.Grace = Duration(time.Hour) }, []string{"a1", "a2", "b", "c"}, true},
	"a broker program":     {func(p *Policy) { p.BrokerPrograms["next"] = &Program{Platform: "sgx"} }, []string{"a1", "a2", "b", "c"}, true},
	"fewer approvals":      {func(p *Policy) { p.Approvals = 1 }, []string{"a1", "a2", "b", "c"}, true},
	"a shorter delay":      {func(p *Policy) { p.WideningDelay-- }, []string{"a1", "a2", "b", "c"}, true},
	"another witness":      {func(p *Policy) { p.Witnesses.Keys["witness-c"].Key = "x" }, []string{"a1", "a2", "b", "c"}, true},
	"no witnesses":         {func(p *Policy) { p.Witnesses = nil; p.InsecureNoWitness = true }, []string{"a1", "a2", "b", "c"}, true},
	"an owner is unfrozen": {func(p *Policy) { p.Owners["hospital-b"].Frozen = false }, []string{"b", "c"}, true},
	"an owner's new key":   {func(p *Policy) { p.Owners["lab"].Keys[0] = approvalKey("new") }, []string{"c", "b"}, true},
	"recovery of a key":    {func(p *Policy) { p.Owners["hospital-b"].Keys[0] = approvalKey("new") }, []string{"br", "c"}, true},
	"another recovery key": {func(p *Policy) { p.Owners["hospital-b"].Recovery = approvalKey("new") }, []string{"b", "c"}, true},
	"a lower threshold":    {func(p *Policy) { p.Owners["hospital-a"].Threshold = 1 }, []string{"a1", "a2", "b"}, true},
	"recovery of m of n":   {func(p *Policy) { p.Owners["hospital-a"].Keys[0] = approvalKey("new") }, []string{"ar", "c"}, true},
	"an owner joins": {func(p *Policy) {
		p.Owners["clinic"] = &Owner{Keys: []approval.PublicKey{approvalKey("new")}, Threshold: 1}
	}, []string{"new", "b", "c"}, false},
	"a format that is unknown": {func(p *Policy) { p.Format = "cloister-policy/2" }, []string{"a1", "a2", "b", "c"}, true},
}

func approvalKey(name string) approval.PublicKey { return key(&testing.T{}, name).Public() }

// TestSignatures: each kind of change passes with the signatures that it needs,
// and not with any one of them missing, doubled, of another change, or of
// somebody else.
func TestSignatures(t *testing.T) {
	t.Parallel()
	base := full(t)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := successor(t, base, kind.edit)
			c := compare(t, base, next)
			all := signed(t, c, kind.signers...)
			if a := c.Check(all, nil); !a.Complete() {
				t.Fatalf("with all of %v: %v", kind.signers, a.Missing)
			}
			if waits := c.Waits() > 0; waits != kind.waits {
				t.Errorf("waits is %t, want %t", waits, kind.waits)
			}
			other := signed(t, compare(t, base, successor(t, next, func(p *Policy) {
				p.Version, p.Previous, p.WideningDelay = base.Version+1, base.Hash(), p.WideningDelay+1
			})), kind.signers...)
			for i, who := range kind.signers {
				rest := slices.Delete(slices.Clone(all), i, i+1)
				for what, with := range map[string][]*approval.Signature{
					"without":           rest,
					"with another's":    append(slices.Clone(rest), signed(t, c, "stranger")...),
					"with one doubled":  append(slices.Clone(rest), rest...),
					"with another text": append(slices.Clone(rest), other[i]),
				} {
					if a := c.Check(with, nil); a.Complete() {
						t.Errorf("%s the signature of %s (%s): complete, approved by %v", what, who, what, a.Approved)
					}
				}
			}
		})
	}
}

// TestSignatureOfAnotherPurpose: what was signed for one purpose is nothing for
// another, in either form.
func TestSignatureOfAnotherPurpose(t *testing.T) {
	t.Parallel()
	base := full(t)
	c := compare(t, base, successor(t, base, nil))
	for _, purpose := range []approval.Purpose{approval.ForFreeze, approval.ForJob, "file", ""} {
		s, err := key(t, "b").Sign(rand.Reader, purpose, c.Statement())
		if purpose == "" {
			if err == nil {
				t.Error("signed without a purpose")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if a := c.Check(append(signed(t, c, "c"), s), nil); a.Complete() {
			t.Errorf("a signature for %s counts", purpose)
		}
	}
}

// TestRecoveryRecoversAndNothingElse: a recovery key replaces keys. It opens
// none, and it does not replace itself.
func TestRecoveryRecoversAndNothingElse(t *testing.T) {
	t.Parallel()
	base := full(t)
	for name, edit := range map[string]func(*Policy){
		"opens keys": func(p *Policy) { p.Workloads["signed"].TCB.MaxAge++ },
		"opens keys on the way": func(p *Policy) {
			p.Owners["hospital-b"].Keys[0] = approvalKey("new")
			p.Workloads["signed"].TCB.MaxAge++
		},
		"replaces itself":    func(p *Policy) { p.Owners["hospital-b"].Recovery = approvalKey("new") },
		"goes":               func(p *Policy) { p.Owners["hospital-b"].Recovery = approval.PublicKey{} },
		"thaws":              func(p *Policy) { p.Owners["hospital-b"].Frozen = false },
		"of somebody else's": func(p *Policy) { p.Owners["hospital-a"].Keys[0] = approvalKey("new") },
		// Nor does it stand for the owner in anything that is done on the way.
		"removes another on the way": func(p *Policy) {
			p.Owners["hospital-b"].Keys[0] = approvalKey("new")
			delete(p.Owners, "hospital-a")
		},
		"an administrator on the way": func(p *Policy) {
			p.Owners["hospital-b"].Keys[0] = approvalKey("new")
			p.Administrators["second"] = &Administrator{Client: Hash{1}}
		},
		"takes a workload away on the way": func(p *Policy) {
			p.Owners["hospital-b"].Keys[0] = approvalKey("new")
			delete(p.Workloads, "guest-snp")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := compare(t, base, successor(t, base, edit))
			if a := c.Check(signed(t, c, "br", "c", "new"), nil); a.Complete() {
				t.Errorf("complete: %v", a.Approved)
			}
		})
	}
}

// TestFirstVersion: everyone signs the first one.
func TestFirstVersion(t *testing.T) {
	t.Parallel()
	first := full(t)
	first.Version, first.Previous = 1, Hash{}
	c := compare(t, nil, first)
	people := []string{"a1", "a2", "b", "c"}
	if a := c.Check(signed(t, c, people...), nil); !a.Complete() {
		t.Errorf("with all: %v", a.Missing)
	}
	for i := range people {
		if a := c.Check(signed(t, c, slices.Delete(slices.Clone(people), i, i+1)...), nil); a.Complete() {
			t.Errorf("complete without %s", people[i])
		}
	}
	if c.Waits() != 0 {
		t.Error("the first version waits")
	}
}

func TestDoesNotFollow(t *testing.T) {
	t.Parallel()
	base := full(t)
	for name, c := range map[string]struct {
		edit func(*Policy)
		want string
	}{
		"older":          {func(p *Policy) { p.Version = 1; p.Previous = Hash{} }, "there is no way back to an older policy"},
		"the same":       {func(p *Policy) { *p = *clone(base) }, "version 2 does not follow version 2"},
		"one left out":   {func(p *Policy) { p.Version = 4 }, "version 4 does not follow version 2; the next one is 3"},
		"other previous": {func(p *Policy) { p.Previous = Hash{1} }, "but the hash of version 2 is"},
		"other broker":   {func(p *Policy) { p.Broker = "other" }, "it is for the broker other, not clinics"},
	} {
		_, err := Compare(base, successor(t, base, c.edit))
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %s", name, err, c.want)
		}
	}
	if _, err := Compare(nil, base); !errors.Is(err, ErrRefused) {
		t.Errorf("version 2 as the first: %v", err)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	base := full(t)
	next := successor(t, base, func(p *Policy) {
		delete(p.Owners, "hospital-b")
		delete(p.Witnesses.Keys, "witness-b")
		delete(p.Workloads, "signed")
		delete(p.Workloads["train"].Keys, "hospital-b/wards")
	})
	c := compare(t, base, next)
	signatures := signed(t, c, "a1", "a2", "c")
	_, err := Apply(base, next, signatures, nil, clock, clock.Add(24*time.Hour-time.Second))
	if early := (*NotYetError)(nil); !errors.As(err, &early) || !early.Until.Equal(clock.Add(24*time.Hour)) {
		t.Errorf("before the delay: %v", err)
	}
	_, err = Apply(base, next, signatures[1:], nil, clock, clock.Add(24*time.Hour))
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "lacks signatures") {
		t.Errorf("with a signature less: %v", err)
	}
	applied, err := Apply(base, next, signatures, nil, clock, clock.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	want := &Applied{Policy: next, Approved: []Name{"hospital-a", "lab"}, Destroy: []Name{"hospital-b"}}
	if diff := cmp.Diff(want, applied, cmp.Comparer(func(a, b *Policy) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	// An owner who freezes while the change waits takes the signature back.
	if _, err := Apply(base, next, signatures, []Name{"lab"}, clock, clock.Add(24*time.Hour)); !errors.Is(err, ErrRefused) {
		t.Errorf("after lab froze: %v", err)
	}
}

// TestRemovedOwnerSignsNothing: after leaving, an owner's signature is that of a
// stranger.
func TestRemovedOwnerSignsNothing(t *testing.T) {
	t.Parallel()
	base := full(t)
	without := successor(t, base, func(p *Policy) { delete(p.Owners, "hospital-b"); p.Witnesses.Keys = maps.Clone(p.Witnesses.Keys) })
	c := compare(t, without, successor(t, without, nil))
	if a := c.Check(signed(t, c, "b", "c"), nil); a.Complete() {
		t.Errorf("complete: %v", a.Approved)
	}
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	p := full(t)
	first := Hash{7}
	sign := func(f *Freeze, people ...string) []*approval.Signature {
		var all []*approval.Signature
		for _, who := range people {
			s, err := key(t, who).Sign(rand.Reader, f.purpose(), f.Statement())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s)
		}
		return all
	}
	freeze := &Freeze{Broker: "clinics", First: first, Owner: "hospital-a", Number: 3}
	thaw := &Freeze{Broker: "clinics", First: first, Owner: "hospital-a", Number: 3, Thaw: true}
	for name, c := range map[string]struct {
		order  *Freeze
		first  Hash
		last   uint64
		people []string
		want   string
	}{
		"one key":                {freeze, first, 2, []string{"a2"}, ""},
		"the recovery key":       {freeze, first, 2, []string{"ar"}, ""},
		"nobody":                 {freeze, first, 2, nil, "no key of hospital-a signed the order"},
		"another owner":          {freeze, first, 2, []string{"b"}, "no key of hospital-a signed the order"},
		"again":                  {freeze, first, 3, []string{"a1"}, "has given number 3 already"},
		"another broker":         {freeze, Hash{8}, 2, []string{"a1"}, "the order is for another broker"},
		"thaw by all":            {thaw, first, 2, []string{"a1", "a2"}, ""},
		"thaw by one":            {thaw, first, 2, []string{"a1"}, "2 of the keys of hospital-a must sign"},
		"thaw by recovery":       {thaw, first, 2, []string{"a1", "ar"}, "2 of the keys of hospital-a must sign"},
		"owner who is not there": {&Freeze{Broker: "clinics", First: first, Owner: "x", Number: 3}, first, 2, nil, "there is no owner"},
	} {
		err := p.CheckFreeze(c.order, c.first, c.last, sign(c.order, c.people...))
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
	// A signature to freeze is none to thaw.
	if err := p.CheckFreeze(thaw, first, 2, sign(freeze, "a1", "a2")); !errors.Is(err, ErrRefused) {
		t.Errorf("thawed by signatures to freeze: %v", err)
	}
}

// ExampleChange_Statement shows what owners sign.
func ExampleChange_Statement() {
	old := &Policy{Format: CurrentFormat, Broker: "clinics", Version: 7, Previous: Hash{1}, Approvals: 2}
	next := clone(old)
	next.Version, next.Previous, next.Approvals = 8, old.Hash(), 3
	c, err := Compare(old, next)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s", c.Statement())
	// Output:
	// cloister policy change
	// purpose: "policy-v1@cloister"
	// broker: "clinics"
	// from: version 7, sha256:77ae38346c00a99a3ffc92b117ec2e5bb2bc133ba94a28d52aa98bc62ee5d0d7
	// to: version 8, sha256:6c4df7e6e238cc960daec05f5083e25e9a86ecc8ff5315294f593ff548b881a8
	//
	// - version: 7
	// + version: 8
	// - previous: "sha256:0100000000000000000000000000000000000000000000000000000000000000"
	// + previous: "sha256:77ae38346c00a99a3ffc92b117ec2e5bb2bc133ba94a28d52aa98bc62ee5d0d7"
	// - approvals: 2
	// + approvals: 3
}
