package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cloister/trust/attest"
)

// job1 is the first job of workload train.
func job1(p *Policy) JobHash { return p.Workloads["train"].Jobs[1] }

// ask is a request that workload train of testdata/full.yaml satisfies, and
// claims that go with it.
func ask(p *Policy, edit func(*Request)) (*attest.Claims, *Request) {
	p.Owners["hospital-b"].Frozen = false
	w := p.Workloads["train"]
	claims := *p.edges(&w.Program)[2] // on the first machine, the second status
	r := &Request{
		Binding: attest.Binding{Nonce: [32]byte{1}, Key: []byte("key"), Job: job1(p)},
		Keys: []DataSet{
			{"hospital-a/wards", 4, []Name{"model-to-owners"}},
			{"hospital-b/wards", 7, []Name{}},
		},
		Secrets: []Item{"lab/token"},
	}
	if edit != nil {
		edit(r)
	}
	claims.ReportData = r.Binding.ReportData()
	return &claims, r
}

func failedNames(d *Decision) []string {
	var names []string
	for _, c := range d.Failed() {
		names = append(names, c.Name)
	}
	return names
}

func TestAppraiseAllows(t *testing.T) {
	t.Parallel()
	p := full(t)
	claims, r := ask(p, nil)
	d := p.Appraise(claims, r, clock)
	if !d.Allowed || d.Workload != "train" || len(d.Failed()) > 0 {
		t.Fatalf("refused: %s", d.Reason())
	}
	var names []string
	for _, c := range d.Checks {
		names = append(names, c.Name)
		if c.Detail == "" {
			t.Errorf("%s has no reason", c.Name)
		}
	}
	for _, want := range []string{
		"report data", "platform", "mrenclave", "attributes", "xfrm", "misc select", "config id", "debug", "machine", "tcb status", "advisories",
		"evaluation number", "collateral age", "job", "key hospital-a/wards", "owner hospital-a", "terms of hospital-a/wards", "secret lab/token",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%q is not among the checks %v", want, names)
		}
	}
}

// TestAppraiseRefuses: every way to ask for what one should not get.
func TestAppraiseRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask    func(*Request)
		claims func(*attest.Claims)
		policy func(*Policy)
		want   string
	}{
		"another nonce":         {claims: func(c *attest.Claims) { c.ReportData[0] ^= 1 }, want: "report data"},
		"another job":           {ask: func(r *Request) { r.Binding.Job = [32]byte{9} }, want: "job"},
		"nothing":               {ask: func(r *Request) { r.Keys, r.Secrets = nil, nil }, want: "request"},
		"another version":       {ask: func(r *Request) { r.Keys[0].Version = 2 }, want: "key hospital-a/wards"},
		"version 0":             {ask: func(r *Request) { r.Keys[1].Version = 0 }, want: "key hospital-b/wards"},
		"another data set":      {ask: func(r *Request) { r.Keys[0].Item = "hospital-a/other" }, want: "key hospital-a/other"},
		"another owner's":       {ask: func(r *Request) { r.Keys[0].Item = "lab/genomes" }, want: "key lab/genomes"},
		"an unknown owner's":    {ask: func(r *Request) { r.Keys[0].Item = "nobody/x" }, want: "owner nobody"},
		"a path":                {ask: func(r *Request) { r.Keys[0].Item = "hospital-a/../hospital-a/wards" }, want: "key hospital-a/../hospital-a/wards"},
		"unknown terms":         {ask: func(r *Request) { r.Keys[0].Terms = nil }, want: "terms of hospital-a/wards"},
		"a term not enforced":   {ask: func(r *Request) { r.Keys[0].Terms = []Name{"model-to-owners", "no-export"} }, want: "terms of hospital-a/wards"},
		"another secret":        {ask: func(r *Request) { r.Secrets = []Item{"lab/other"} }, want: "secret lab/other"},
		"a certificate":         {ask: func(r *Request) { r.Certificates = []DNSName{"worker-0.train.svc"} }, want: "certificate worker-0.train.svc"},
		"frozen by statement":   {ask: func(r *Request) { r.Frozen = []Name{"hospital-a"} }, want: "owner hospital-a"},
		"frozen by policy":      {policy: func(p *Policy) { p.Owners["hospital-b"].Frozen = true }, want: "owner hospital-b"},
		"no such workload":      {ask: func(r *Request) { r.Workload = "none-such" }, want: "workload"},
		"another workload":      {ask: func(r *Request) { r.Workload = "signed" }, want: "mrsigner"},
		"debug":                 {claims: func(c *attest.Claims) { c.Debug = true }, want: "debug"},
		"another machine":       {claims: func(c *attest.Claims) { c.Machine = make([]byte, 15); c.Machine = append(c.Machine, 1) }, want: "machine"},
		"a hidden machine":      {claims: func(c *attest.Claims) { c.Machine = nil }, want: "machine"},
		"a machine of zeros":    {claims: func(c *attest.Claims) { c.Machine = make([]byte, 16) }, want: "machine"},
		"another status":        {claims: func(c *attest.Claims) { c.TCB.Status = attest.OutOfDate }, want: "tcb status"},
		"no status":             {claims: func(c *attest.Claims) { c.TCB.Status = "" }, want: "tcb status"},
		"revoked":               {claims: func(c *attest.Claims) { c.TCB.Status = attest.Revoked }, want: "tcb status"},
		"another advisory":      {claims: func(c *attest.Claims) { c.TCB.Advisories = []string{"INTEL-SA-00001"} }, want: "advisories"},
		"an old number":         {claims: func(c *attest.Claims) { c.TCB.EvaluationNumber-- }, want: "platform evaluation number"},
		"old collateral":        {claims: func(c *attest.Claims) { c.TCB.Issued = c.TCB.Issued.Add(-time.Second) }, want: "collateral age"},
		"undated collateral":    {claims: func(c *attest.Claims) { c.TCB.Issued = time.Time{} }, want: "platform collateral age"},
		"expired collateral":    {claims: func(c *attest.Claims) { c.TCB.Expires = c.TCB.Expires.Add(-time.Second) }, want: "collateral expiry"},
		"endless collateral":    {claims: func(c *attest.Claims) { c.TCB.Expires = time.Time{} }, want: "collateral expiry"},
		"collateral of later":   {claims: func(c *attest.Claims) { c.TCB.Latest = clock.Add(time.Second) }, want: "collateral issue"},
		"claims of another":     {claims: func(c *attest.Claims) { c.Platform = attest.TDX }, want: "claims"},
		"claims of two":         {claims: func(c *attest.Claims) { c.TDX = new(attest.TDXClaims) }, want: "claims"},
		"claims of none":        {claims: func(c *attest.Claims) { c.SGX = nil }, want: "claims"},
		"an unknown platform":   {claims: func(c *attest.Claims) { c.Platform = "sev" }, want: "claims"},
		"no platform":           {policy: func(p *Policy) { p.Platforms.SGX = nil }, want: "platform"},
		"no workloads":          {policy: func(p *Policy) { p.Workloads = nil }, want: "workload"},
		"no measurement":        {policy: func(p *Policy) { p.Workloads["train"].SGX.MREnclaves = nil }, want: "mrenclave"},
		"no reference values":   {policy: func(p *Policy) { p.Workloads = map[Name]*Workload{"train": {Program: Program{Platform: "sgx"}}} }, want: "reference values"},
		"no jobs":               {policy: func(p *Policy) { p.Workloads["train"].Jobs = nil }, want: "job"},
		"no statuses":           {policy: func(p *Policy) { p.Workloads["train"].TCB.Statuses = nil }, want: "tcb status"},
		"no machines":           {policy: func(p *Policy) { p.Workloads["train"].Machines = nil }, want: "machine"},
		"no versions":           {policy: func(p *Policy) { p.Workloads["train"].Keys["hospital-a/wards"] = nil }, want: "key hospital-a/wards"},
		"no keys":               {policy: func(p *Policy) { p.Workloads["train"].Keys = nil }, want: "key hospital-b/wards"},
		"no secrets":            {policy: func(p *Policy) { p.Workloads["train"].Secrets = nil }, want: "secret lab/token"},
		"no owner any more":     {policy: func(p *Policy) { delete(p.Owners, "lab") }, want: "owner lab"},
		"an empty measurement":  {claims: func(c *attest.Claims) { c.SGX.MREnclave = nil }, want: "mrenclave"},
		"half a measurement":    {claims: func(c *attest.Claims) { c.SGX.MREnclave = c.SGX.MREnclave[:16] }, want: "mrenclave"},
		"owners' jobs, no job":  {policy: func(p *Policy) { ownersJobs(p) }, ask: func(r *Request) { r.Binding.Job = NoJob; r.JobApprovedBy = []Name{"hospital-a", "hospital-b", "lab"} }, want: "job"},
		"owners' jobs, nobody":  {policy: func(p *Policy) { ownersJobs(p) }, want: "job"},
		"owners' jobs, not all": {policy: func(p *Policy) { ownersJobs(p) }, ask: func(r *Request) { r.JobApprovedBy = []Name{"hospital-a", "hospital-b"} }, want: "job"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := full(t)
			claims, r := ask(p, c.ask)
			sgx := *claims.SGX
			claims.SGX = &sgx
			if c.claims != nil {
				c.claims(claims)
			}
			if c.policy != nil {
				c.policy(p)
			}
			d := p.Appraise(claims, r, clock)
			if d.Allowed {
				t.Fatal("allowed")
			}
			if !slices.Contains(failedNames(d), c.want) {
				t.Errorf("refused for %s, want %s", d.Reason(), c.want)
			}
			if !strings.Contains(d.Reason(), c.want) {
				t.Errorf("the reason is %q, and does not name %s", d.Reason(), c.want)
			}
		})
	}
}

func ownersJobs(p *Policy) {
	w := p.Workloads["train"]
	w.Jobs, w.OwnerApprovedJobs = nil, true
}

func TestJobsOfOwners(t *testing.T) {
	t.Parallel()
	p := full(t)
	ownersJobs(p)
	everybody := []Name{"hospital-a", "hospital-b", "lab"}
	q := full(t) // ask needs the list of jobs
	claims, r := ask(q, func(r *Request) { r.JobApprovedBy = everybody })
	p.Owners["hospital-b"].Frozen = false
	if d := p.Appraise(claims, r, clock); !d.Allowed {
		t.Errorf("refused: %s", d.Reason())
	}
	// A certificate alone is of no owner, so nobody's approval can stand for the job.
	p.Workloads["train"].Certificates = []DNSName{"x"}
	claims, r = ask(q, func(r *Request) {
		r.JobApprovedBy, r.Keys, r.Secrets, r.Certificates = everybody, nil, nil, []DNSName{"x"}
	})
	if d := p.Appraise(claims, r, clock); d.Allowed {
		t.Error("a certificate without an owner is allowed")
	}
}

// ignored are claims that a policy does not compare, each with the reason.
var ignored = map[string]string{
	"SGX.MRSigner":            "an entry by MRENCLAVE",
	"SGX.ISVProdID":           "an entry by MRENCLAVE",
	"SGX.ISVSVN":              "an entry by MRENCLAVE",
	"SGX.MREnclave":           "an entry by MRSIGNER",
	"SGX.CPUSVN":              "judged by the TCB status",
	"SGX.FMSPC":               "judged by the TCB status",
	"SGX.PCEID":               "judged by the TCB status",
	"SGX.PPID":                "compared as Machine",
	"SGX.PlatformInstID":      "compared as Machine",
	"TDX.TEETCBSVN":           "judged by the TCB status",
	"TDX.FMSPC":               "judged by the TCB status",
	"TDX.PCEID":               "judged by the TCB status",
	"TDX.PPID":                "compared as Machine",
	"TDX.PlatformInstID":      "compared as Machine",
	"SNP.ChipID":              "compared as Machine",
	"SNP.PlatformInfo":        "says how the machine is set up; the guest policy says what the guest demands",
	"SNP.CurrentTCB":          "committed is the least it can become",
	"SNP.LaunchTCB":           "committed is the least it can become",
	"InsecureNone.MachineKey": "compared as Machine",
}

// TestEveryClaimCounts changes every claim of every platform: each is refused, or
// is listed above.
func TestEveryClaimCounts(t *testing.T) {
	t.Parallel()
	p := full(t)
	for _, name := range sortedNames(p.Workloads) {
		w := p.Workloads[name]
		for i, claims := range p.edges(&w.Program) {
			if len(w.Machines) > 0 && claims.Machine == nil {
				continue
			}
			l := new(checklist)
			w.Program.identity(claims, l)
			w.Program.state(claims, l, clock, p.dated(claims.Platform))
			p.platform(claims, l, clock)
			if !l.passed() {
				t.Fatalf("%s: refused unchanged: %v", name, (&Decision{Checks: l.checks}).Reason())
			}
			changes := 0
			changed(claims, func(field string, c *attest.Claims) {
				changes++
				l := new(checklist)
				w.Program.identity(c, l)
				w.Program.state(c, l, clock, p.dated(c.Platform))
				p.platform(c, l, clock)
				if _, is := ignored[field]; l.passed() != is && !(is && (name == "train" || name == "signed")) {
					t.Errorf("%s, claims %d: %s changed: accepted is %t", name, i, field, l.passed())
				}
			})
			if changes < 2 {
				t.Errorf("%s: only %d claims were changed", name, changes)
			}
		}
	}
}

// changed calls visit with copies of claims in each of which one field of the
// platform's claims differs.
func changed(claims *attest.Claims, visit func(field string, c *attest.Claims)) {
	outer := reflect.ValueOf(*claims)
	for i := range outer.NumField() {
		if outer.Field(i).Kind() != reflect.Pointer || outer.Field(i).IsNil() {
			continue
		}
		inner := outer.Field(i).Elem()
		for j := range inner.NumField() {
			c := *claims
			one := reflect.New(inner.Type())
			one.Elem().Set(deepCopy(inner))
			reflect.ValueOf(&c).Elem().Field(i).Set(one)
			field := outer.Type().Field(i).Name + "." + inner.Type().Field(j).Name
			switch f := one.Elem().Field(j); f.Kind() {
			case reflect.Slice:
				if f.Len() == 0 {
					f.SetBytes([]byte{1})
				} else {
					f.Index(f.Len() - 1).SetUint(f.Index(f.Len()-1).Uint() ^ 0x80)
				}
			case reflect.Array:
				for k := range f.Len() {
					e := f.Index(k)
					e.Index(0).SetUint(e.Index(0).Uint() ^ 1)
					visit(fmt.Sprintf("%s[%d]", field, k), &c)
					e.Index(0).SetUint(e.Index(0).Uint() ^ 1)
				}
				continue
			case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
				if f.Uint() == 0 {
					f.SetUint(1)
				} else {
					f.SetUint(f.Uint() - 1)
				}
			case reflect.Bool:
				f.SetBool(!f.Bool())
			default:
				f.SetString(f.String() + "x")
			}
			visit(field, &c)
		}
	}
}

// TestRegistersDoNotMix: the measurements of a trust domain count together.
func TestRegistersDoNotMix(t *testing.T) {
	t.Parallel()
	p := full(t)
	w := p.Workloads["guest-tdx"]
	second := *w.TDX.Measurements["v1"]
	second.RTMR2 = Bytes48{2}
	second.RTMR1 = Bytes48{1}
	w.TDX.Measurements["v2"] = &second
	claims := *p.edges(&w.Program)[0]
	tdx := *claims.TDX
	claims.TDX = &tdx
	v1 := w.TDX.Measurements["v1"]
	for name, c := range map[string]struct {
		rtmr1, rtmr2 Bytes48
		want         bool
	}{
		"v1": {v1.RTMR1, v1.RTMR2, true}, "v2": {second.RTMR1, second.RTMR2, true},
		"kernel of v1": {v1.RTMR1, second.RTMR2, false}, "kernel of v2": {second.RTMR1, v1.RTMR2, false},
	} {
		tdx.RTMR[1], tdx.RTMR[2] = c.rtmr1[:], c.rtmr2[:]
		if got := w.Program.identity(&claims, new(checklist)); got != c.want {
			t.Errorf("%s: accepted is %t", name, got)
		}
	}
}

func TestProvisioning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy func(*Policy)
		claims func(*attest.Claims)
		shakes func(*Handshake)
		want   string
	}{
		"as agreed":           {},
		"once too often":      {shakes: func(h *Handshake) { h.Runs = 3 }, want: "runs"},
		"not in the register": {shakes: func(h *Handshake) { h.DataSet = nil }, want: "key hospital-a/wards"},
		"another version":     {shakes: func(h *Handshake) { h.DataSet.Version = 5 }, want: "key hospital-a/wards"},
		"another data set":    {shakes: func(h *Handshake) { h.DataSet.Item = "hospital-a/other" }, want: "key hospital-a/wards"},
		"terms":               {shakes: func(h *Handshake) { h.DataSet.Terms = []Name{"min-rows-per-leaf"} }, want: "terms of hospital-a/wards"},
		"frozen":              {shakes: func(h *Handshake) { h.Frozen = []Name{"hospital-a"} }, want: "owner hospital-a"},
		"a workload's enclave": {claims: func(c *attest.Claims) {
			c.SGX.MREnclave = unhex("42dc4ae9e4285c45aaae3413eaf03ab61499d61b460d5cb83e4c44b05ff02718")
		}, want: "mrenclave"},
		"debug":                 {claims: func(c *attest.Claims) { c.Debug = true }, want: "debug"},
		"another configuration": {claims: func(c *attest.Claims) { c.SGX.ConfigID = make([]byte, 64) }, want: "config id"},
		"config svn":            {claims: func(c *attest.Claims) { c.SGX.ConfigSVN = 1 }, want: "config svn"},
		"status":                {claims: func(c *attest.Claims) { c.TCB.Status = attest.UpToDate }, want: "tcb status"},
		"another machine":       {claims: func(c *attest.Claims) { c.Machine = nil }, want: "machine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := full(t)
			entry := p.Provisioning["spark"]
			claims := *p.edges(entry.program())[1]
			sgx := *claims.SGX
			claims.SGX = &sgx
			h := &Handshake{Runs: 2, DataSet: &DataSet{"hospital-a/wards", 4, []Name{"model-to-owners"}}}
			if c.claims != nil {
				c.claims(&claims)
			}
			if c.shakes != nil {
				c.shakes(h)
			}
			d := p.AppraiseProvisioning(&claims, h, clock)
			if d.Allowed != (c.want == "") || c.want != "" && !slices.Contains(failedNames(d), c.want) {
				t.Errorf("allowed is %t: %s", d.Allowed, d.Reason())
			}
			// An entry for provisioning is none for those who ask in words.
			r := &Request{Binding: attest.Binding{Key: []byte("k"), Job: entry.Job}, Keys: []DataSet{*orNew(h.DataSet)}}
			claims.ReportData = r.Binding.ReportData()
			if name == "as agreed" && p.Appraise(&claims, r, clock).Allowed {
				t.Error("a workload's request is answered from gramine-provisioning")
			}
		})
	}
}

func orNew(d *DataSet) *DataSet {
	if d == nil {
		return new(DataSet)
	}
	return d
}

func TestUnseal(t *testing.T) {
	t.Parallel()
	p := full(t)
	alice := p.Unseal["alice"].Client
	for name, c := range map[string]struct {
		client Hash
		set    DataSet
		frozen []Name
		want   bool
	}{
		"granted":         {alice, DataSet{"hospital-a/wards", 9, nil}, nil, true},
		"another version": {alice, DataSet{"hospital-a/models", 3, nil}, nil, false},
		"not granted":     {alice, DataSet{"hospital-b/wards", 1, nil}, nil, false},
		"somebody else":   {Hash{1}, DataSet{"hospital-a/wards", 9, nil}, nil, false},
		"nobody":          {Hash{}, DataSet{"hospital-a/wards", 9, nil}, nil, false},
		"frozen":          {alice, DataSet{"hospital-a/wards", 9, nil}, []Name{"hospital-a"}, false},
	} {
		if d := p.AppraiseUnseal(c.client, &c.set, c.frozen); d.Allowed != c.want {
			t.Errorf("%s: allowed is %t: %s", name, d.Allowed, d.Reason())
		}
	}
}

func TestBrokerProgram(t *testing.T) {
	t.Parallel()
	p := full(t)
	claims := p.edges(p.BrokerPrograms["broker"])[0]
	if d := p.AppraiseBroker(claims, clock); !d.Allowed || d.Workload != "broker" {
		t.Errorf("refused: %s", d.Reason())
	}
	workload := p.edges(&p.Workloads["signed"].Program)[0]
	if d := p.AppraiseBroker(workload, clock); d.Allowed {
		t.Error("a workload is accepted as broker")
	}
	p.BrokerPrograms = nil
	if d := p.AppraiseBroker(claims, clock); d.Allowed || !strings.Contains(d.Reason(), "the policy names no program that may be the broker") {
		t.Errorf("with no broker programs: %s", d.Reason())
	}
}

// TestNoReferenceValues: a program of which nothing is known is not accepted,
// even if a policy that was never checked names it.
func TestNoReferenceValues(t *testing.T) {
	t.Parallel()
	for _, platform := range []Platform{"sgx", "tdx", "snp", "insecure-none", "unheard-of"} {
		p := full(t)
		claims, _ := ask(p, nil)
		if platform != "unheard-of" {
			for _, w := range p.Workloads {
				if w.Program.Platform == platform {
					claims = p.edges(&w.Program)[0]
				}
			}
		}
		p.BrokerPrograms = map[Name]*Program{"broker": {
			Platform: platform, AnyMachine: true, InsecureDebug: true,
			TCB: TCB{Statuses: []Status{Status(claims.TCB.Status)}, Advisories: advisories(claims), MaxAge: Duration(10000 * time.Hour)},
		}}
		if d := p.AppraiseBroker(claims, clock); d.Allowed || !slices.Contains(failedNames(d), "reference values") && platform != "unheard-of" {
			t.Errorf("%s: allowed is %t, failed are %v", platform, d.Allowed, failedNames(d))
		}
	}
}

func advisories(c *attest.Claims) []Advisory {
	all := make([]Advisory, len(c.TCB.Advisories))
	for i, a := range c.TCB.Advisories {
		all[i] = Advisory(a)
	}
	return all
}

func TestExplain(t *testing.T) {
	t.Parallel()
	p := full(t)
	claims := *p.edges(&p.Workloads["train"].Program)[2]
	e := p.Explain(&claims, []Name{"lab"}, clock)
	text := e.String()
	for _, want := range []string{
		"workload train: accepted\n",
		"  gets key of hospital-a/wards, version 1, 3-5\n",
		"  gets not key of hospital-b/wards, version 2+: the policy has frozen all releases of hospital-b\n",
		"  gets not secret lab/token: lab has frozen all releases\n",
		"  for no job\n",
		"  enforces min-rows-per-leaf, model-to-owners\n",
		"workload signed: not this program\n  FAILED  mrsigner: ",
		"gramine-provisioning spark: not this program\n",
		"broker-program broker: not this program\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if !e.Accepted || !strings.HasPrefix(text, "workload train") {
		t.Errorf("accepted is %t; the first entry is not what accepts", e.Accepted)
	}
	claims.Debug = true
	e = p.Explain(&claims, nil, clock)
	if text := e.String(); e.Accepted || !strings.Contains(text, "workload train: REFUSED\n") ||
		!strings.Contains(text, "  FAILED  debug: debug is true and insecure-debug is not set\n") || !strings.Contains(text, "  would get key of") {
		t.Errorf("with debug:\n%s", text)
	}
	if p := new(Policy); p.Explain(&claims, nil, clock).Accepted {
		t.Error("an empty policy accepts a program")
	}
}

func BenchmarkAppraise(b *testing.B) {
	p := full(b)
	claims, r := ask(p, nil)
	for b.Loop() {
		if !p.Appraise(claims, r, clock).Allowed {
			b.Fatal("refused")
		}
	}
}
