package broker

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/witness"
)

// newGated starts a broker whose witnesses answer when they are told to.
func newGated(t *testing.T, set setting) (*fixture, *gated) {
	t.Helper()
	g := &gated{open: make(chan struct{})}
	set.quorum = func(note.Verifier, *policy.Policy) (audit.Quorum, error) { return g, nil }
	return newFixture(t, set), g
}

// waitLogged waits for a line of the log, from an index on, that grants something.
func (f *fixture) waitLogged(t *testing.T, kind string, from int) {
	t.Helper()
	for range 4000 {
		if linesOf(f.entries()[from:], kind, audit.Granted) > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("the log has no %s:\n%s", kind, f.reasons())
}

// TestWithheld: what an owner does while a release waits for its witnesses holds
// for that release, too.
func TestWithheld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code   Code
		reason string
		line   string // of what is done meanwhile
		do     func(f *fixture) error
	}{
		"frozen": {CodeFrozen, "a has frozen all releases meanwhile", "freeze", func(f *fixture) error { return f.freeze(f.a, f.a, false) }},
		"key destroyed": {CodeNotFound, "destroyed", "order.destroy-key", func(f *fixture) error {
			_, err := f.tryOrder(f.a, f.a, Order{Operation: DestroyKey, DataSet: "wards", Version: 1})
			return err
		}},
		"job revoked": {CodePolicy, "is not approved by b any more", "order.revoke-job", func(f *fixture) error {
			_, err := f.tryOrder(f.b, f.b, Order{Operation: RevokeJob, Job: jobOf("x")})
			return err
		}},
		"policy changed": {CodeBusy, "the policy changed meanwhile", "policy", func(f *fixture) error {
			next := strings.Replace(f.policyText(2, f.parse(f.text).Hash().String()), "      b/wards: [1+]\n", "", 1)
			_, err := f.tryApprove(next, f.a, f.b)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, g := newGated(t, setting{})
			f.dataSet(f.a, "wards")
			f.dataSet(f.b, "wards")
			for _, p := range []person{f.a, f.b} {
				f.approveJob(p, "x", 3)
			}
			f.waitWitnessed(t)
			g.close()
			got, done := make(chan error, 1), make(chan error, 1)
			client := f.client()
			go func() {
				_, err := client.Release(context.WithoutCancel(t.Context()), newProgram(t, "approved"), jobOf("x"), []Want{wards("a", 1), wards("b", 1)})
				got <- err
			}()
			f.waitLogged(t, "release", 0)
			before := len(f.entries())
			go func() { done <- c.do(f) }()
			f.waitLogged(t, c.line, before)
			close(g.open)
			f.why(t, <-got, "release.withheld", c.code, c.reason)
			if err := <-done; err != nil {
				t.Errorf("meanwhile: %v", err)
			}
		})
	}
}

// TestWitnessesGone: while no witness answers, a change of the policy that is
// complete keeps nobody from anything else, and its own line says that it took
// effect. Witnesses that it names are asked once those of before have signed,
// though who handed the change in has gone.
func TestWitnessesGone(t *testing.T) {
	t.Parallel()
	g := &gated{open: make(chan struct{})}
	asked := make(chan uint64, 8)
	f := newFixture(t, setting{
		limits: Limits{Release: 5 * time.Second, Read: time.Minute},
		quorum: func(_ note.Verifier, p *policy.Policy) (audit.Quorum, error) {
			if p.Version == 1 {
				return g, nil
			}
			return told{p.Version, asked}, nil
		},
		prepare: func(f *fixture) { f.change = withWitness(t) },
	})
	f.waitWitnessed(t)
	g.close()
	next := f.policyText(2, f.parse(f.text).Hash().String())
	_, err := f.tryApprove(next, f.a, f.b)
	refusedFor(t, err, CodeUnwitnessed, "does not take effect")
	// The policy can be handed in again, and read, and an owner can freeze.
	_, err = f.tryApprove(next, f.a)
	refusedFor(t, err, CodePolicy, "does not follow")
	refusedFor(t, f.freeze(f.a, f.a, false), CodeUnwitnessed, "")
	if info, err := f.client().Info(t.Context()); err != nil || info.PolicyVersion != 2 {
		t.Errorf("%+v, %v", info, err)
	}
	select {
	case <-asked:
		t.Error("the new witnesses were asked before those of old had signed")
	default:
	}
	close(g.open)
	f.waitWitnessed(t)
	if err := f.freeze(f.a, f.a, true); err != nil {
		t.Error(err)
	}
	for version := uint64(1); ; version++ {
		select {
		case <-asked:
			return
		case <-t.Context().Done():
			t.Error("the new witnesses are not asked")
			return
		default:
			f.order(f.a, Order{Operation: NewKey, DataSet: "x", Version: version, Use: vault.Data})
		}
	}
}

// withWitness names a witness in version 2 of a policy.
func withWitness(t *testing.T) func(string) string {
	t.Helper()
	_, key, err := witness.GenerateKey(rand.Reader, "w.example")
	if err != nil {
		t.Fatal(err)
	}
	return func(text string) string {
		if !strings.Contains(text, "version: 2") {
			return text
		}
		return strings.Replace(text, "insecure-no-witness: true\n", "witnesses:\n  quorum: 1\n  keys:\n    w: {owner: a, key: "+key+"}\n", 1)
	}
}

// told is a quorum that says when it is asked.
type told struct {
	version uint64
	asked   chan<- uint64
}

func (q told) Cosign(_ context.Context, c *audit.Checkpoint, signed []byte, _ func(int64) (tlog.TreeProof, error)) (*audit.Witnessed, error) {
	select {
	case q.asked <- q.version:
	default:
	}
	return &audit.Witnessed{Checkpoint: *c, Note: string(signed), Time: time.Now(), Insecure: audit.InsecureNoWitness}, nil
}

// TestOneRun lets a hundred programs at once ask for a job that may run once:
// exactly one gets the key.
func TestOneRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{limits: Limits{Rate: 1000, Burst: 1000, Concurrent: 300}})
	f.dataSet(f.a, "wards")
	f.approveJob(f.a, "once", 1)
	const programs = 100
	start, got := make(chan struct{}), make(chan error, programs)
	client := f.client()
	for range programs {
		p := newProgram(t, "approved")
		go func() {
			<-start
			r, err := client.Release(t.Context(), p, jobOf("once"), []Want{wards("a", 1)})
			if err == nil {
				r.Zero()
			}
			got <- err
		}()
	}
	close(start)
	released := 0
	for range programs {
		if err := <-got; err == nil {
			released++
		} else {
			f.why(t, err, "release", CodeRuns, "the job ran 1 times; its owners allow 1")
		}
	}
	if n := linesOf(f.entries(), "release", audit.Granted); released != 1 || n != 1 {
		t.Errorf("%d programs got the key, %d releases are logged", released, n)
	}
}

// TestLostAnswer loses the answer of the only run of a job: who asks again with
// the same key gets it, in the same run, and nobody else does.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards")
	f.approveJob(f.a, "once", 1)
	client, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	l := &lossy{RoundTripper: client.http.Transport, path: PathRelease}
	client.http.Transport = l
	r, err := client.Release(t.Context(), newProgram(t, "approved"), jobOf("once"), []Want{wards("a", 1)})
	if err != nil || r.Run != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if l.lost.Load() != 1 || linesOf(f.entries(), "release", audit.Granted) != 2 {
		t.Errorf("no answer was lost:\n%s", f.reasons())
	}
	_, err = f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("once"), []Want{wards("a", 1)})
	f.why(t, err, "release", CodeRuns, "ran 1 times")
}

// TestRemovedOwner removes an owner: the keys are destroyed, what the owner signs
// does not count any more, and one who comes under the same name gets nothing.
func TestRemovedOwner(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{prepare: func(f *fixture) {
		f.change = func(text string) string { return strings.Replace(text, "approvals: 2", "approvals: 1", 1) }
	}})
	f.dataSet(f.a, "wards", "no-export")
	f.dataSet(f.b, "wards", "no-export")
	f.approveJob(f.b, "x", 3)
	first := f.policyText(1, "")
	second := f.policyText(2, f.parse(first).Hash().String())
	for _, gone := range []string{"  b:\n    keys: [\"" + f.b.key.Public().String() + "\"]\n", "      b/wards: [1+]\n", "      b/wards: [1]\n"} {
		second = strings.Replace(second, gone, "", 1)
	}
	if a := f.approve(second, f.a); !a.Applied {
		t.Fatalf("not applied: %+v", a)
	}
	release := func(owner string) error {
		_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards(owner, 1)})
		return err
	}
	f.why(t, release("b"), "release", CodePolicy, "b/wards")
	if err := release("a"); err != nil {
		t.Error(err)
	}
	refusedFor(t, f.client().Do(t.Context(), "GET", PathDataSets+"?owner=b&name=wards", nil, nil), CodeNotFound, "keys of owner b: destroyed")
	// The removed owner orders and approves nothing.
	_, err := f.tryOrder(f.b, f.b, Order{Operation: NewKey, DataSet: "wards", Version: 2, Use: vault.Data})
	f.why(t, err, "order.new-key", CodeForbidden, "owner b did not sign")
	f.why(t, f.freeze(f.b, f.b, false), "freeze", CodeForbidden, "there is no owner")
	third := f.policyText(3, f.parse(second).Hash().String())
	_, err = f.tryApprove(third, f.b)
	f.why(t, err, "policy.proposed", CodeForbidden, "no owner has signed the change")
	// Under the same name, even with the same keys, comes somebody else.
	f.approve(third, f.a)
	if a := f.approve(third, f.b); !a.Applied {
		t.Fatalf("not applied: %+v", a)
	}
	f.why(t, release("b"), "release", CodePolicy, "terms of b/wards")
	var state DataSetState
	if err := f.client().Do(t.Context(), "GET", PathDataSets+"?owner=b&name=wards", nil, &state); err != nil {
		t.Fatal(err)
	}
	if state.Next != 2 || len(state.Keys) != 1 || state.Keys[0].Destroyed.IsZero() || len(state.Registered) != 0 {
		t.Errorf("what is left of the owner before: %+v", state)
	}
	approved := func() error {
		_, err := f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("x"), []Want{wards("b", 1)})
		return err
	}
	f.why(t, approved(), "release", CodePolicy, "is not approved by b")
}

// TestOwnersRead: owners and administrators read all of the log, since a log of
// which parts are hidden proves nothing; others read none.
func TestOwnersRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	f.waitWitnessed(t)
	for name, c := range map[string]struct {
		person person
		reads  bool
	}{"owner a": {f.a, true}, "owner b": {f.b, true}, "a stranger": {newPerson(t, "a"), false}} {
		client := f.ownerClient(t, c.person)
		var entries EntriesAnswer
		err := client.Do(t.Context(), "GET", PathEntries+"?from=0&to=1000", nil, &entries)
		if !c.reads {
			refusedFor(t, err, CodeForbidden, "neither an administrator's nor an owner's")
			refusedFor(t, client.Do(t.Context(), "GET", PathWatch+"?from=0", nil, nil), CodeForbidden, "neither")
			continue
		}
		if err != nil || int64(len(entries.Lines)) != entries.Size {
			t.Errorf("%s: %d lines, %v", name, len(entries.Lines), err)
		}
	}
	refusedFor(t, f.client().Do(t.Context(), "GET", PathWatch+"?from=0", nil, nil), CodeForbidden, "client certificate")
}

// approveJob has an owner approve a job.
func (f *fixture) approveJob(p person, name string, runs uint64) {
	f.t.Helper()
	f.order(p, Order{Operation: ApproveJob, Job: jobOf(name), Runs: runs, Expires: time.Now().Add(time.Hour)})
}

// ownerClient is a client that shows a certificate of an owner's key.
func (f *fixture) ownerClient(t *testing.T, p person) *Client {
	t.Helper()
	cert, _ := selfSigned(t, p.raw)
	c, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Attempts: 1, Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// lossy loses the first answer of a place.
type lossy struct {
	http.RoundTripper
	path string
	lost atomic.Int32
}

var errLost = errors.New("the answer was lost")

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Path == l.path && l.lost.CompareAndSwap(0, 1) {
		resp.Body.Close()
		return nil, errLost
	}
	return resp, err
}
