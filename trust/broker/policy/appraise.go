package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloister/trust/attest"
	"cloister/trust/document"
)

// DataSet is one version of a data set whose key is asked for, as the register
// has it.
type DataSet struct {
	Item    Item   `json:"data_set"`
	Version uint64 `json:"version"`
	// Terms are the terms of use that a program must enforce. Nil means that they
	// are not known, and the key is refused; a data set without any has an empty
	// list.
	Terms []Name `json:"terms"`
}

// Request is what a program asks for. Evidence in Claims must bind Binding, which
// has the nonce that the broker gave out, the key that asks, and the job.
type Request struct {
	Binding attest.Binding
	// Workload is the only entry that is looked at, or "" for any.
	Workload     Name
	Keys         []DataSet
	Secrets      []Item
	Certificates []DNSName
	// JobApprovedBy are the owners whose valid approval of the job is at hand.
	JobApprovedBy []Name
	// Frozen are the owners who froze their keys by a statement of their own.
	Frozen []Name
}

// Entry is what one entry of the policy says of a program.
type Entry struct {
	Workload Name           `json:"workload"`
	Matched  bool           `json:"matched"` // the program is the entry's
	Checks   []attest.Check `json:"checks"`
}

// Decision is the answer to a request. Nothing is released unless it is allowed,
// and then all that was asked for.
type Decision struct {
	Allowed bool `json:"allowed"`
	// Workload is the entry that decided: the one that allows, or the one that
	// came closest.
	Workload Name           `json:"workload,omitempty"`
	Checks   []attest.Check `json:"checks"`
	// Others are the entries that did not decide, for those who look for the
	// reason.
	Others []Entry `json:"others,omitempty"`
}

// Failed returns the checks that did not pass.
func (d *Decision) Failed() []attest.Check {
	return (&attest.Verification{Checks: d.Checks}).Failed()
}

// Reason is why a request was refused, in one line.
func (d *Decision) Reason() string {
	if d.Allowed {
		return "allowed"
	}
	var reasons []string
	for _, c := range d.Failed() {
		reasons = append(reasons, c.Name+": "+c.Detail)
	}
	if d.Workload != "" {
		return fmt.Sprintf("workload %s: %s", d.Workload, strings.Join(reasons, "; "))
	}
	return strings.Join(reasons, "; ")
}

// checklist collects checks.
type checklist struct{ checks []attest.Check }

func (l *checklist) check(name string, passed bool, format string, args ...any) bool {
	l.checks = append(l.checks, attest.Check{Name: name, Passed: passed, Detail: fmt.Sprintf(format, args...)})
	return passed
}

func (l *checklist) passed() bool {
	for _, c := range l.checks {
		if !c.Passed {
			return false
		}
	}
	return len(l.checks) > 0
}

// Appraise decides on a request of the program that the claims describe. The
// claims must come from evidence that was verified; now is the broker's time. An
// entry of gramine-provisioning is never looked at.
func (p *Policy) Appraise(claims *attest.Claims, ask *Request, now time.Time) *Decision {
	common := new(checklist)
	common.check("report data", claims.ReportData.Equal(ask.Binding.ReportData()),
		"the evidence must bind this nonce, this key and the job %s", JobHash(ask.Binding.Job))
	if len(ask.Keys)+len(ask.Secrets)+len(ask.Certificates) == 0 {
		common.check("request", false, "nothing is asked for")
	}
	return p.decide(claims, common, ask.Workload, now, func(w *Workload, l *checklist) {
		p.grants(w, ask, l)
	})
}

// decide looks for the entry that allows what grants asks for.
func (p *Policy) decide(claims *attest.Claims, common *checklist, only Name, now time.Time, grants func(*Workload, *checklist)) *Decision {
	p.platform(claims, common, now)
	if !common.passed() {
		return &Decision{Checks: common.checks}
	}
	var entries []Entry
	best, bestFailed := -1, 0
	for _, name := range sortedNames(p.Workloads) {
		if only != "" && name != only {
			continue
		}
		w := p.Workloads[name]
		l := new(checklist)
		matched := w.Program.identity(claims, l)
		w.Program.state(claims, l, now)
		grants(w, l)
		entries = append(entries, Entry{name, matched, append(slices.Clone(common.checks), l.checks...)})
		failed := len((&attest.Verification{Checks: l.checks}).Failed())
		if failed == 0 {
			best, bestFailed = len(entries)-1, 0
			break
		}
		if best < 0 || matched && !entries[best].Matched || matched == entries[best].Matched && failed < bestFailed {
			best, bestFailed = len(entries)-1, failed
		}
	}
	if best < 0 {
		if only != "" {
			common.check("workload", false, "there is no workload %s in the policy", document.Quote(string(only)))
		} else {
			common.check("workload", false, "the policy has no workload")
		}
		return &Decision{Checks: common.checks}
	}
	d := &Decision{Workload: entries[best].Workload, Checks: entries[best].Checks}
	d.Others = slices.Delete(entries, best, best+1)
	d.Allowed = (&checklist{d.Checks}).passed()
	return d
}

// platform checks what holds for every program of a platform.
func (p *Policy) platform(claims *attest.Claims, l *checklist, now time.Time) {
	if !l.check("claims", whole(claims), "the claims are those of platform %s", document.Quote(string(claims.Platform))) {
		return
	}
	if !l.check("platform", p.accepts(claims.Platform), "%s must be among the platforms that the policy accepts", claims.Platform) {
		return
	}
	switch claims.Platform {
	case attest.SGX:
		p.Platforms.SGX.appraise(claims, l, now)
	case attest.TDX:
		p.Platforms.TDX.appraise(claims, l, now)
	case attest.SNP:
		s := p.Platforms.SNP
		if !s.InsecureNoRevocation {
			collateralAge(claims, l, now, s.MaxAge, s.Grace)
		}
	case attest.InsecureNone:
	}
}

// whole reports whether exactly the claims of the platform are there.
func whole(c *attest.Claims) bool {
	there := map[attest.Platform]bool{
		attest.SGX: c.SGX != nil, attest.TDX: c.TDX != nil, attest.SNP: c.SNP != nil, attest.InsecureNone: c.InsecureNone != nil,
	}
	n := 0
	for _, is := range there {
		if is {
			n++
		}
	}
	return n == 1 && there[c.Platform]
}

func (i *IntelPlatform) appraise(claims *attest.Claims, l *checklist, now time.Time) {
	l.check("platform evaluation number", claims.TCB.EvaluationNumber >= i.MinEvaluationNumber,
		"the collateral has number %d; the platform's rules want at least %d", claims.TCB.EvaluationNumber, i.MinEvaluationNumber)
	collateralAge(claims, l, now, i.MaxAge, i.Grace)
}

func collateralAge(claims *attest.Claims, l *checklist, now time.Time, maxAge, grace Duration) {
	t := claims.TCB
	l.check("platform collateral age", fresh(t.Issued, now, maxAge), "%s", ageDetail(t.Issued, now, maxAge))
	l.check("collateral expiry", !t.Expires.IsZero() && !now.After(t.Expires.Add(time.Duration(grace))),
		"the collateral expires at %s, with %s of grace", stamp(t.Expires), time.Duration(grace))
	l.check("collateral issue", !now.Before(t.Latest), "the newest piece of collateral is of %s; it cannot be earlier now", stamp(t.Latest))
}

func fresh(issued, now time.Time, maxAge Duration) bool {
	return !issued.IsZero() && now.Sub(issued) <= time.Duration(maxAge)
}

func ageDetail(issued, now time.Time, maxAge Duration) string {
	if issued.IsZero() {
		return fmt.Sprintf("the collateral has no date of issue; it may be %s old", time.Duration(maxAge))
	}
	return fmt.Sprintf("the oldest piece of collateral is of %s, %s ago; it may be %s old",
		stamp(issued), now.Sub(issued).Truncate(time.Minute), time.Duration(maxAge))
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

// state checks what belongs to the machine and not to the program's identity.
func (p *Program) state(claims *attest.Claims, l *checklist, now time.Time) {
	l.check("debug", !claims.Debug || p.InsecureDebug, "debug is %t and %s", claims.Debug, permitted(p.InsecureDebug, "insecure-debug"))
	p.machine(claims, l)
	switch claims.Platform {
	case attest.InsecureNone:
		return
	case attest.SNP:
		// The versions of the firmware are compared one by one (snp.go); a status
		// counts if the verifier gives one.
		if claims.TCB.Status == "" {
			return
		}
	}
	p.TCB.appraise(claims, l, now)
}

func permitted(is bool, field string) string {
	if is {
		return field + " allows it"
	}
	return field + " is not set"
}

func (p *Program) machine(claims *attest.Claims, l *checklist) {
	machine(claims, p.Machines, p.AnyMachine, l)
}

func machine(claims *attest.Claims, machines []Machine, anyMachine bool, l *checklist) {
	id := claims.Machine.String()
	switch {
	case anyMachine:
		l.check("machine", true, "any machine is accepted")
	case strings.Trim(id, "0") == "":
		l.check("machine", false, "the platform hides which machine it is, and the policy lists machines")
	default:
		l.check("machine", slices.Contains(machines, Machine(id)), "machine %s must be one of the %d that are listed", id, len(machines))
	}
}

func (t *TCB) appraise(claims *attest.Claims, l *checklist, now time.Time) {
	got := claims.TCB
	l.check("tcb status", slices.Contains(t.Statuses, Status(got.Status)),
		"the status is %s; accepted are %s", document.Quote(string(got.Status)), join(t.Statuses))
	var unknown []string
	for _, a := range got.Advisories {
		if !slices.Contains(t.Advisories, Advisory(a)) {
			unknown = append(unknown, document.Quote(a))
		}
	}
	if len(unknown) > 0 {
		l.check("advisories", false, "%s apply to the machine and are not accepted", strings.Join(unknown, ", "))
	} else {
		l.check("advisories", true, "%d apply to the machine, all of them accepted", len(got.Advisories))
	}
	l.check("evaluation number", got.EvaluationNumber >= t.MinEvaluationNumber,
		"the collateral has number %d; at least %d is wanted", got.EvaluationNumber, t.MinEvaluationNumber)
	if claims.Platform != attest.SNP || !got.Issued.IsZero() {
		l.check("collateral age", fresh(got.Issued, now, t.MaxAge), "%s", ageDetail(got.Issued, now, t.MaxAge))
	}
}

func join[T ~string](all []T) string {
	texts := make([]string, len(all))
	for i, t := range all {
		texts[i] = string(t)
	}
	return strings.Join(texts, ", ")
}
