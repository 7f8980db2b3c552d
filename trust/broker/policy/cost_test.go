package policy

import (
	"fmt"
	"testing"
	"time"

	"cloister/trust/approval"
)

// TestCostOfLargeChanges: whoever reaches a broker can hand in a policy of the
// greatest size, and it is compared before any signature is looked at.
func TestCostOfLargeChanges(t *testing.T) {
	t.Parallel()
	const many = 25_000 // half of what a file of 1 MiB has room for
	for name, edit := range map[string]func(*Policy){
		"keys of one workload": func(p *Policy) {
			keys := p.Workloads["laptop"].Keys
			for i := range many {
				keys[Item(fmt.Sprint("lab/x", i))] = []Versions{{1, 1}}
			}
		},
		"keys of a new workload": func(p *Policy) {
			p.Workloads["new"] = clone(p).Workloads["laptop"]
			for i := range many {
				p.Workloads["new"].Keys[Item(fmt.Sprint("lab/x", i))] = []Versions{{1, 1}}
			}
		},
		"versions of one key": func(p *Policy) {
			all := make([]Versions, many)
			for i := range all {
				all[i] = Versions{uint64(i + 1), uint64(i + 1)}
			}
			p.Workloads["laptop"].Keys["lab/samples"] = all
		},
		"persons": func(p *Policy) {
			for i := range many / 8 {
				p.Unseal[Name(fmt.Sprint("x", i))] = &Unsealer{Client: Hash{1}, Keys: map[Item][]Versions{"lab/samples": {{1, 1}}}}
			}
		},
		"owners": func(p *Policy) {
			for i := range many / 8 {
				p.Owners[Name(fmt.Sprint("x", i))] = &Owner{Keys: []approval.PublicKey{key(t, fmt.Sprint(i)).Public()}, Threshold: 1}
			}
		},
		"keys of an owner": func(p *Policy) {
			for i := range many / 8 {
				p.Owners["lab"].Keys = append(p.Owners["lab"].Keys, key(t, fmt.Sprint(i)).Public())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := full(t)
			next := successor(t, base, edit)
			start := time.Now()
			c := compare(t, base, next)
			if a := c.Check(signed(t, c, "b", "stranger"), nil); a.Complete() {
				t.Errorf("approved by %v", a.Approved)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %s", took)
			}
		})
	}
}
