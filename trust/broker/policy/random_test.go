package policy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cloister/trust/approval"
	"cloister/trust/document"
)

// TestNothingWidensWhileAnOwnerSleeps has one owner sign nothing, while all the
// others together make any changes that do not need the owner: several at once,
// and one version after the other. Whatever they do, nobody gets more of the
// owner's than before, the rules that no evidence shows become no weaker, and
// only the owner changes by which keys it signs.
func TestNothingWidensWhileAnOwnerSleeps(t *testing.T) {
	t.Parallel()
	runs := uint64(40)
	if os.Getenv("CLOISTER_SOAK") != "" {
		runs = 20_000
	}
	accepted, total := make([]int, 4), 0
	for seed := range runs {
		s := &sleep{t: t, random: rand.New(rand.NewPCG(seed, 6)), first: full(t)}
		s.first.Owners["hospital-b"].Frozen = seed%4 == 0
		names := sortedNames(s.first.Owners)
		s.owner = names[seed%uint64(len(names))]
		n := s.run(3)
		accepted[n]++
		total += n
	}
	t.Logf("runs by accepted versions: %v", accepted)
	if total < int(runs) {
		t.Errorf("only %d versions were accepted in %d runs", total, runs)
	}
}

// sleep is one run.
type sleep struct {
	t      *testing.T
	random *rand.Rand
	first  *Policy
	owner  Name
	done   []string // the edits so far
}

// run makes up to so many versions and returns how many were accepted.
func (s *sleep) run(versions int) int {
	now, n := s.first, 0
	for attempt := 0; attempt < 40 && n < versions; attempt++ {
		next, edits := s.version(now)
		if next == nil {
			continue
		}
		change := compare(s.t, now, next)
		needs := change.Needs()
		if next.Owners[s.owner] == nil { // its keys are destroyed
			if !slices.Contains(change.Destroys(), s.owner) {
				s.t.Errorf("%v: %s is gone, and its keys are not destroyed", edits, s.owner)
			}
			return n
		}
		if slices.ContainsFunc(needs.Must, func(m Must) bool { return m.Owner == s.owner }) {
			continue
		}
		s.done = append(s.done, edits...)
		n++
		s.compare(now, next)
		s.compare(s.first, next)
		now = next
	}
	return n
}

// version is one that follows, with one to four edits, or nil if nobody could
// hand it in.
func (s *sleep) version(now *Policy) (*Policy, []string) {
	next := clone(now)
	var names []string
	for range 1 + s.random.IntN(4) {
		all := edits(s.t, next)
		e := all[s.random.IntN(len(all))]
		e.apply(next)
		names = append(names, e.name)
	}
	next.Format, next.Broker, next.Version, next.Previous = now.Format, now.Broker, now.Version+1, now.Hash()
	if document.Validate("policy.yaml", next) != nil {
		return nil, nil
	}
	return next, names
}

// compare looks for what the owner should have signed.
func (s *sleep) compare(old, next *Policy) {
	before, after := newOracle(old), newOracle(next)
	for _, q := range questions(next) {
		if slices.Contains(q.owners(next), s.owner) && after.releases(q) && !before.releases(q) {
			s.t.Errorf("%s sleeps, and %q is released to %s after\n%s", s.owner, q.item, q.who, strings.Join(s.done, "\n"))
			return
		}
	}
	for _, what := range weaker(old, next) {
		s.t.Errorf("%s sleeps, and %s after\n%s", s.owner, what, strings.Join(s.done, "\n"))
	}
	if a, b := old.Owners[s.owner], next.Owners[s.owner]; !sameKeys(a.Keys, b.Keys) || a.Threshold != b.Threshold || a.Recovery != b.Recovery {
		s.t.Errorf("%s sleeps, and signs by other keys after\n%s", s.owner, strings.Join(s.done, "\n"))
	}
}

func sameKeys(a, b []approval.PublicKey) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(k approval.PublicKey) bool { return !slices.Contains(b, k) })
}

// weaker are the rules for everyone that no evidence shows, of those that became
// weaker.
func weaker(old, next *Policy) []string {
	var all []string
	add := func(is bool, format string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	add(next.Approvals < old.Approvals, "fewer must sign")
	add(next.WideningDelay < old.WideningDelay, "the delay is shorter")
	add(next.InsecureNoWitness && !old.InsecureNoWitness, "there are no witnesses")
	if old.Witnesses != nil && next.Witnesses != nil {
		add(next.Witnesses.Quorum < old.Witnesses.Quorum, "fewer witnesses must co-sign")
		add(!reflect.DeepEqual(next.Witnesses.Keys, old.Witnesses.Keys), "other witnesses co-sign")
	}
	roots := func(platform string, before, after []Root) {
		add(slices.ContainsFunc(after, func(r Root) bool { return !slices.Contains(before, r) }), "%s has another root", platform)
	}
	intel := func(platform string, before, after *IntelPlatform) {
		if before == nil || after == nil {
			add(after != nil, "%s is a platform", platform)
			return
		}
		roots(platform, before.Roots, after.Roots)
		add(after.InsecureNoRevocation && !before.InsecureNoRevocation, "%s goes without revocation lists", platform)
		add(after.MinEvaluationNumber < before.MinEvaluationNumber, "%s accepts older collateral", platform)
		add(after.MaxAge > before.MaxAge || after.Grace > before.Grace, "%s accepts older collateral", platform)
	}
	intel("sgx", old.Platforms.SGX, next.Platforms.SGX)
	intel("tdx", old.Platforms.TDX, next.Platforms.TDX)
	if before, after := old.Platforms.SNP, next.Platforms.SNP; before != nil && after != nil {
		roots("snp", before.Roots, after.Roots)
		add(after.InsecureNoRevocation && !before.InsecureNoRevocation, "snp goes without revocation lists")
		add(after.MaxAge > before.MaxAge || after.Grace > before.Grace, "snp accepts older revocation lists")
	} else {
		add(after != nil && before == nil, "snp is a platform")
	}
	add(next.Platforms.InsecureNone != nil && old.Platforms.InsecureNone == nil, "insecure-none is a platform")
	return all
}
