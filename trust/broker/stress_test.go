package broker

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/vault"
)

// TestStress asks, orders, freezes and changes the policy, all at once. Whatever
// the order was, the log must be one in which each line was right: nothing is
// granted of an owner who has frozen, of a policy that has gone, or beyond the
// runs that are allowed.
func TestStress(t *testing.T) {
	t.Parallel()
	const runs = 12
	f := newFixture(t, setting{limits: Limits{Rate: 1e6, Burst: 1e6, Concurrent: 300, NoncesPerClient: 4000}})
	f.dataSet(f.a, "wards", "no-export")
	f.dataSet(f.b, "wards", "no-export")
	for _, p := range []person{f.a, f.b} {
		f.approveJob(p, "x", runs)
	}
	client := f.client()
	var wg sync.WaitGroup
	var mu sync.Mutex
	released := map[string]bool{} // by request
	stop := make(chan struct{})
	for _, c := range []struct {
		program string
		job     Digest
		want    []Want
	}{
		{"trainer", jobOf("one"), []Want{wards("a", 1)}},
		{"trainer", jobOf("two"), []Want{wards("b", 1)}},
		{"approved", jobOf("x"), []Want{wards("a", 1), wards("b", 1)}},
		{"approved", jobOf("x"), []Want{wards("b", 1)}},
		{"stranger", jobOf("one"), []Want{wards("a", 1)}},
	} {
		for range 2 {
			p := newProgram(t, c.program)
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					r, err := client.Release(t.Context(), p, c.job, c.want)
					var answer *AnswerError
					switch {
					case err == nil:
						mu.Lock()
						released[r.Request] = true
						mu.Unlock()
						r.Zero()
					case !errors.As(err, &answer) || answer.Code == CodeInternal:
						t.Errorf("%s: %v", c.program, err)
						return
					}
				}
			})
		}
	}
	previous := f.text
	for i := range 6 {
		time.Sleep(20 * time.Millisecond)
		for _, thaw := range []bool{false, true} {
			if err := f.freeze(f.a, f.a, thaw); err != nil {
				t.Error(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		next := f.policyText(i+2, f.parse(previous).Hash().String())
		if i%2 == 0 {
			next = strings.Replace(next, "      b/wards: [1+]\n", "", 1)
		}
		if a := f.approve(next, f.a, f.b); !a.Applied {
			t.Errorf("version %d is not applied: %+v", i+2, a)
		}
		previous = next
		f.order(f.b, Order{Operation: NewKey, DataSet: "x", Version: uint64(i + 1), Use: vault.Data})
	}
	close(stop)
	wg.Wait()
	f.checkHistory(t, released, runs)
}

// checkHistory reads the log as an auditor would.
func (f *fixture) checkHistory(t *testing.T, released map[string]bool, runs int) {
	t.Helper()
	frozen, policy, counted := false, "", 0
	granted, withheld := map[string]bool{}, map[string]bool{}
	seen := map[string]bool{} // runs of the job that is limited
	for i, e := range f.entries() {
		switch {
		case e.Type == "policy":
			policy = e.Details["policy"]
		case (e.Type == "freeze" || e.Type == "unfreeze") && e.Decision == audit.Granted:
			frozen = e.Type == "freeze"
		case e.Type == "release.withheld":
			withheld[e.Request] = true
		case e.Type == "release" && e.Decision == audit.Granted:
			granted[e.Request] = true
			if e.Details["policy"] != policy {
				t.Errorf("entry %d was granted by the policy %s, and %s was in force", i, e.Details["policy"], policy)
			}
			if frozen && strings.Contains(e.Subject, "a/wards") {
				t.Errorf("entry %d was granted though a had frozen", i)
			}
			if e.Details["job"] == jobOf("x").String() && !seen[e.Details["run"]] {
				seen[e.Details["run"]] = true
				counted++
			}
		}
	}
	if counted > runs {
		t.Errorf("the job ran %d times; its owners allow %d", counted, runs)
	}
	for request := range released {
		if !granted[request] || withheld[request] {
			t.Errorf("request %s got keys: granted is %t and withheld %t", request, granted[request], withheld[request])
		}
	}
	if len(released) == 0 {
		t.Error("nothing was released")
	}
}
