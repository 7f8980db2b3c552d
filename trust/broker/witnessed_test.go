package broker

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/witness"
)

// witnesses are real ones, served over TLS, for the log of the first broker that
// asks.
type witnesses struct {
	t       testing.TB
	signers []*witness.Signer

	mu   sync.Mutex
	urls map[string]string
}

func newWitnesses(tb testing.TB, n int) *witnesses {
	tb.Helper()
	w := &witnesses{t: tb}
	for i := range n {
		private, _, err := witness.GenerateKey(rand.Reader, fmt.Sprintf("w%d.test", i))
		if err != nil {
			tb.Fatal(err)
		}
		signer, err := witness.NewSigner(private, time.Now)
		if err != nil {
			tb.Fatal(err)
		}
		w.signers = append(w.signers, signer)
	}
	return w
}

// prepare has a fixture's policy name the witnesses.
func (w *witnesses) prepare(f *fixture) {
	f.change = func(text string) string {
		block := fmt.Sprintf("witnesses:\n  quorum: %d\n  keys:\n", len(w.signers)/2+1)
		for i, s := range w.signers {
			block += fmt.Sprintf("    w%d: {owner: a, key: %q}\n", i, s.String())
		}
		return strings.Replace(text, "insecure-no-witness: true\n", block, 1)
	}
}

// serve starts the witnesses.
func (w *witnesses) serve(log note.Verifier) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.urls != nil {
		return
	}
	w.urls = map[string]string{}
	for i, s := range w.signers {
		st, err := store.Open(w.t.TempDir(), store.Options{Create: true})
		if err != nil {
			w.t.Fatal(err)
		}
		one, err := witness.New(st, s, []note.Verifier{log}, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		config, err := s.ServerTLS()
		if err != nil {
			w.t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(one)
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		server.TLS = config
		server.StartTLS()
		w.t.Cleanup(func() {
			server.Close()
			st.Close()
		})
		w.urls[fmt.Sprintf("w%d", i)] = server.URL
	}
}

// quorum asks the witnesses of which some cannot be reached.
func (w *witnesses) quorum(away ...int) MakeQuorum {
	return func(log note.Verifier, p *policy.Policy) (audit.Quorum, error) {
		w.serve(log)
		urls := map[string]string{}
		for i := range w.signers {
			name := fmt.Sprintf("w%d", i)
			urls[name] = w.urls[name]
			if slices.Contains(away, i) {
				urls[name] = "https://127.0.0.1:1"
			}
		}
		return Witnesses(urls, time.Now)(log, p)
	}
}

// copied is a broker that runs from a copy of another's state.
func (f *fixture) copied(dir string, set setting) *fixture {
	f.t.Helper()
	g := &fixture{t: f.t, dir: dir, a: f.a, b: f.b, text: f.text, pin: f.pin, sources: f.sources, number: f.number, change: f.change}
	g.start(set, false)
	return g
}

// copyState copies the state of a broker, which does not run.
func (f *fixture) copyState() string {
	f.t.Helper()
	to := filepath.Join(f.t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(f.dir)); err != nil {
		f.t.Fatal(err)
	}
	return to
}

// oneRun makes a job that its owners allow to run once.
func (f *fixture) oneRun(name string) Digest {
	f.t.Helper()
	job := jobOf(name)
	for _, p := range []person{f.a, f.b} {
		f.order(p, Order{Operation: ApproveJob, Job: job, Runs: 1, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second)})
	}
	return job
}

func (f *fixture) run(job Digest) error {
	f.t.Helper()
	_, err := f.client().Release(f.t.Context(), newProgram(f.t, "approved"), job, []Want{wards("a", 1), wards("b", 1)})
	return err
}

// TestCopies runs two brokers from copies of one store, with witnesses: a job
// that may run once runs once.
func TestCopies(t *testing.T) {
	t.Parallel()
	w := newWitnesses(t, 3)
	f := newFixture(t, setting{quorum: w.quorum(), prepare: w.prepare})
	f.dataSet(f.a, "wards")
	f.dataSet(f.b, "wards")
	job := f.oneRun("once")
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	first, second := f.copyState(), f.copyState()
	f.start(setting{quorum: w.quorum()}, false)
	if err := f.run(job); err != nil {
		t.Fatal(err)
	}
	refusedFor(t, f.run(job), CodeRuns, "1 times")
	copied := f.copied(first, setting{quorum: w.quorum()})
	refusedFor(t, copied.run(job), CodeUnwitnessed, "another history")
	// Nothing else takes effect there either.
	_, err := copied.tryOrder(f.a, f.a, Order{Operation: NewKey, DataSet: "more", Version: 1, Use: vault.Data})
	refusedFor(t, err, CodeUnwitnessed, "another history")
	// The other goes on, and a third job runs there.
	next := f.oneRun("again")
	if err := f.run(next); err != nil {
		t.Errorf("the broker whose copy was refused does not go on: %v", err)
	}
	// An older copy put in the place of the store is one more copy.
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	older := f.copied(second, setting{quorum: w.quorum()})
	refusedFor(t, older.run(job), CodeUnwitnessed, "another history")
}

// TestSplitWitnesses cuts an even number of witnesses in halves, each of which
// one of two brokers can reach.
func TestSplitWitnesses(t *testing.T) {
	t.Parallel()
	w := newWitnesses(t, 4)
	f := newFixture(t, setting{quorum: w.quorum(), prepare: w.prepare})
	f.dataSet(f.a, "wards")
	f.dataSet(f.b, "wards")
	job, second := f.oneRun("once"), f.oneRun("once more")
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	dir := f.copyState()
	soon := Limits{Release: 4 * time.Second}
	f.start(setting{quorum: w.quorum(2, 3), limits: soon}, false)
	other := f.copied(dir, setting{quorum: w.quorum(0, 1), limits: soon})
	for name, half := range map[string]*fixture{"one half": f, "the other half": other} {
		refusedFor(t, half.run(job), CodeUnwitnessed, "not more than half")
		if err := half.stop(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Whole again, the witnesses are still of two minds: nobody goes on.
	f.start(setting{quorum: w.quorum()}, false)
	refusedFor(t, f.run(second), CodeUnwitnessed, "another history")
}

// TestHalfIsNoQuorum refuses a policy with which half of the witnesses would do.
func TestHalfIsNoQuorum(t *testing.T) {
	t.Parallel()
	w := newWitnesses(t, 4)
	f := &fixture{t: t, a: newPerson(t, "a"), b: newPerson(t, "b"), admin: jobOf("any")}
	w.prepare(f)
	text := f.policyText(1, "")
	if _, err := policy.Parse("test", []byte(text)); err != nil {
		t.Fatal(err)
	}
	half := strings.Replace(text, "quorum: 3", "quorum: 2", 1)
	if _, err := policy.Parse("test", []byte(half)); err == nil || !strings.Contains(err.Error(), "more than half") {
		t.Errorf("half of four: %v", err)
	}
}

// TestQuorumOfPolicy has a policy want more witnesses than more than half: the
// broker and who checks its log wait for as many.
func TestQuorumOfPolicy(t *testing.T) {
	t.Parallel()
	w := newWitnesses(t, 3)
	f := newFixture(t, setting{quorum: w.quorum(), prepare: func(f *fixture) {
		w.prepare(f)
		change := f.change
		f.change = func(text string) string { return strings.Replace(change(text), "quorum: 2", "quorum: 3", 1) }
	}})
	f.dataSet(f.a, "wards")
	f.dataSet(f.b, "wards")
	job, second := f.oneRun("once"), f.oneRun("once more")
	if err := f.run(job); err != nil {
		t.Fatal(err)
	}
	checkpoint, err := f.client().Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wants := f.parse(f.text)
	if _, err := CheckWitnessed(f.broker.logKey, checkpoint.Checkpoint, wants); err != nil {
		t.Error(err)
	}
	// With one co-signature less it is not enough.
	short := strings.TrimSuffix(checkpoint.Checkpoint, "\n")
	short = short[:strings.LastIndex(short, "\n")+1]
	if _, err := CheckWitnessed(f.broker.logKey, short, wants); !errors.Is(err, witness.ErrNoQuorum) {
		t.Errorf("two of three: %v", err)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f.start(setting{quorum: w.quorum(0, 1), limits: Limits{Release: 2 * time.Second}}, false)
	refusedFor(t, f.run(second), CodeUnwitnessed, "not as many as the policy wants")
}

// TestClock sets the host's clock away from that of the witnesses.
func TestClock(t *testing.T) {
	t.Parallel()
	var offset atomic.Int64
	w := newWitnesses(t, 3)
	f := newFixture(t, setting{
		quorum: w.quorum(), prepare: w.prepare,
		host: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
	})
	f.dataSet(f.a, "wards", "no-export")
	ask := func() error {
		_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
		return err
	}
	now := func() error {
		_, _, err := f.client().Time(t.Context())
		return err
	}
	for name, wrong := range map[string]time.Duration{"back": -6 * time.Minute, "far back": -1000 * time.Hour, "ahead": 6 * time.Minute} {
		offset.Store(int64(wrong))
		refusedFor(t, ask(), CodeClock, "the clock is wrong")
		refusedFor(t, now(), CodeClock, "the clock is wrong")
		if t.Failed() {
			t.Fatalf("with the clock set %s", name)
		}
		offset.Store(0)
		if err := ask(); err != nil {
			t.Fatalf("after the clock was set right, from %s: %v", name, err)
		}
		if err := now(); err != nil {
			t.Errorf("the time, after the clock was set right, from %s: %v", name, err)
		}
	}
	// A little is let pass.
	offset.Store(int64(-2 * time.Minute))
	if err := ask(); err != nil {
		t.Error(err)
	}
}

// TestSignedTime has the broker sign the time, and asks a broker that lies.
func TestSignedTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	before := time.Now()
	now, late, err := f.client().Time(t.Context())
	if err != nil || now.Before(before.Add(-time.Minute)) || now.After(time.Now().Add(time.Minute)) || late <= 0 {
		t.Errorf("the time is %s, %s ago, %v", now, late, err)
	}
	r, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := audit.ParseEntry([]byte(r.Receipt.Entry)); err != nil || !r.Time.Equal(e.Time) || r.Time.Before(now.Add(-time.Second)) {
		t.Errorf("released at %s, by the log at %+v, %v", r.Time, e, err)
	}
	var a TimeAnswer
	if err := f.client().Do(t.Context(), "POST", PathTime, &TimeRequest{jobOf("a nonce")}, &a); err != nil {
		t.Fatal(err)
	}
	key, err := note.NewVerifier(f.broker.logKey)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := audit.OpenTime(a.Signed, key, jobOf("a nonce")); err != nil || !got.Equal(a.Time) {
		t.Errorf("%s: %s, %v", a.Signed, got, err)
	}
	if _, err := audit.OpenTime(a.Signed, key, jobOf("another nonce")); err == nil {
		t.Error("a statement for another nonce is accepted")
	}
	refusedFor(t, f.client().Do(t.Context(), "POST", PathTime, &TimeRequest{}, nil), CodeMalformed, "nonce")
}

// TestPolicyChangeKeepsConnections changes the policy under a stream and under a
// connection that goes on.
func TestPolicyChangeKeepsConnections(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	conn := f.dialTLS()
	defer conn.Close()
	answers := bufio.NewReader(conn)
	get := func() {
		t.Helper()
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: broker\r\n\r\n", PathBroker); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s, %v", resp.Status, err)
		}
	}
	get()
	if a := f.approve(f.policyText(2, f.parse(f.text).Hash().String()), f.a, f.b); !a.Applied {
		t.Fatalf("%+v", a)
	}
	get()
	info, err := f.client().Info(t.Context())
	if err != nil || info.PolicyVersion != 2 {
		t.Errorf("%+v, %v", info, err)
	}
}
