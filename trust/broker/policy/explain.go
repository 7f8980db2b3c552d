package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloister/trust/attest"
)

// Explanation says what a program would get, entry by entry, and why not.
type Explanation struct {
	// Accepted says that at least one entry accepts the program.
	Accepted bool        `json:"accepted"`
	Entries  []Explained `json:"entries"`
}

// The kinds of entries.
const (
	KindWorkload     = "workload"
	KindProvisioning = "gramine-provisioning"
	KindBroker       = "broker-program"
)

// Explained is what one entry says of a program.
type Explained struct {
	Kind string `json:"kind"`
	Name Name   `json:"name"`
	// Matched says that the measurement is the entry's, Accepted that every check
	// passed.
	Matched  bool           `json:"matched"`
	Accepted bool           `json:"accepted"`
	Checks   []attest.Check `json:"checks"`
	// Gets is what an accepted program gets, and Jobs for which jobs.
	Gets []Offer  `json:"gets,omitempty"`
	Jobs []string `json:"jobs,omitempty"`
	// Terms are those that it enforces: a data set that has others is refused.
	Terms []Name `json:"terms,omitempty"`
}

// Offer is one thing that a program may get.
type Offer struct {
	What string `json:"what"`
	// Withheld says why it gets it not.
	Withheld string `json:"withheld,omitempty"`
}

// Explain says what the program that the claims describe would get, without its
// asking: neither nonce nor key nor job are compared. The claims must come from
// evidence that was verified. The entries that match come first.
func (p *Policy) Explain(claims *attest.Claims, frozen []Name, now time.Time) *Explanation {
	e := new(Explanation)
	common := new(checklist)
	p.platform(claims, common, now)
	add := func(kind string, name Name, program *Program) *Explained {
		l := &checklist{slices.Clone(common.checks)}
		matched := false
		if common.passed() {
			matched = program.identity(claims, l)
			program.state(claims, l, now, p.dated(claims.Platform))
		}
		e.Entries = append(e.Entries, Explained{Kind: kind, Name: name, Matched: matched, Accepted: l.passed(), Checks: l.checks})
		e.Accepted = e.Accepted || l.passed()
		return &e.Entries[len(e.Entries)-1]
	}
	for _, name := range sortedNames(p.Workloads) {
		w := p.Workloads[name]
		one := add(KindWorkload, name, &w.Program)
		one.Gets, one.Jobs, one.Terms = p.offers(w, frozen), w.jobTexts(), w.Terms
	}
	for _, name := range sortedNames(p.Provisioning) {
		entry := p.Provisioning[name]
		one := add(KindProvisioning, name, entry.program())
		one.Gets, one.Terms = []Offer{p.provisionOffer(entry, frozen)}, entry.Terms
		one.Jobs = []string{fmt.Sprintf("%s, %d times at most", entry.Job, entry.MaxRuns)}
	}
	for _, name := range sortedNames(p.BrokerPrograms) {
		one := add(KindBroker, name, p.BrokerPrograms[name])
		one.Gets = []Offer{{What: "the broker's root key"}}
	}
	slices.SortStableFunc(e.Entries, func(a, b Explained) int { return rank(&a) - rank(&b) })
	return e
}

// rank puts first what accepts, then what matches.
func rank(e *Explained) int {
	switch {
	case e.Accepted:
		return 0
	case e.Matched:
		return 1
	}
	return 2
}

func (p *Policy) offers(w *Workload, frozen []Name) []Offer {
	var all []Offer
	for _, item := range sortedNames(w.Keys) {
		what := fmt.Sprintf("key of %s, version %s", item, granted(w.Keys, item))
		all = append(all, Offer{what, p.withheld(item, frozen)})
	}
	for _, item := range w.Secrets {
		all = append(all, Offer{"secret " + string(item), p.withheld(item, frozen)})
	}
	for _, name := range w.Certificates {
		all = append(all, Offer{What: "certificate for " + string(name)})
	}
	return all
}

func (p *Policy) provisionOffer(entry *Provision, frozen []Name) Offer {
	if entry.Secret != "" {
		return Offer{"secret " + string(entry.Secret), p.withheld(entry.Secret, frozen)}
	}
	return Offer{fmt.Sprintf("key of %s, version %d", entry.Key, entry.KeyVersion), p.withheld(entry.Key, frozen)}
}

// withheld says why an item is not released, or nothing.
func (p *Policy) withheld(item Item, frozen []Name) string {
	l := new(checklist)
	p.owner(item, frozen, l)
	if l.passed() {
		return ""
	}
	return l.checks[0].Detail
}

func (w *Workload) jobTexts() []string {
	if w.OwnerApprovedJobs {
		return []string{"every job that all owners of what it asks for have approved"}
	}
	texts := make([]string, len(w.Jobs))
	for i, j := range w.Jobs {
		texts[i] = j.String()
		if j == NoJob {
			texts[i] = "no job"
		}
	}
	return texts
}

// String is the explanation for people, an entry to a paragraph. Of those that do
// not match, only the reason is told.
func (e *Explanation) String() string {
	var b strings.Builder
	for i := range e.Entries {
		if i > 0 {
			b.WriteByte('\n')
		}
		e.Entries[i].write(&b)
	}
	if len(e.Entries) == 0 {
		b.WriteString("the policy has no entry for any program\n")
	}
	return b.String()
}

func (x *Explained) write(b *strings.Builder) {
	verdict := "not this program"
	switch {
	case x.Accepted:
		verdict = "accepted"
	case x.Matched:
		verdict = "REFUSED"
	}
	fmt.Fprintf(b, "%s %s: %s\n", x.Kind, x.Name, verdict)
	for _, c := range x.Checks {
		switch {
		case !c.Passed:
			fmt.Fprintf(b, "  FAILED  %s: %s\n", c.Name, c.Detail)
		case x.Matched:
			fmt.Fprintf(b, "  passed  %s: %s\n", c.Name, c.Detail)
		}
	}
	if !x.Matched {
		return
	}
	does := "would get"
	if x.Accepted {
		does = "gets"
	}
	for _, o := range x.Gets {
		if o.Withheld != "" {
			fmt.Fprintf(b, "  %s not %s: %s\n", does, o.What, o.Withheld)
		} else {
			fmt.Fprintf(b, "  %s %s\n", does, o.What)
		}
	}
	if len(x.Gets) == 0 {
		fmt.Fprintf(b, "  %s nothing: the entry grants nothing\n", does)
	}
	for _, j := range x.Jobs {
		fmt.Fprintf(b, "  for %s\n", j)
	}
	if x.Kind == KindWorkload && len(x.Jobs) == 0 {
		b.WriteString("  for no job at all: the entry lists none, so nothing is released\n")
	}
	if x.Kind == KindWorkload || x.Kind == KindProvisioning {
		terms := "none, so only data sets without terms of use are released to it"
		if len(x.Terms) > 0 {
			terms = join(x.Terms)
		}
		fmt.Fprintf(b, "  enforces %s\n", terms)
	}
}
