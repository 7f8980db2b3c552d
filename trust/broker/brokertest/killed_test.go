package brokertest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cloister/trust/broker"
	"cloister/trust/broker/brokertest"
	"cloister/trust/broker/policy"
)

// most is how often a job of the test may run.
const most = 4

// acknowledged is what a broker answered, in all rounds.
type acknowledged struct {
	mu       sync.Mutex
	receipts map[int64]broker.Receipt // by index
	releases map[string]int64         // the index of the line, by request
	versions map[version]string       // ids of keys that were registered
	keys     map[version][]byte       // that were released
	runs     map[broker.Digest][]uint64
	policy   uint64
	counts   map[string]int // of answers, by what was asked
}

// version is one of an owner's data set.
type version struct {
	owner  policy.Name
	number uint64
}

func (a *acknowledged) receipt(kind string, r *broker.Receipt) {
	a.receipts[r.Index] = *r
	a.counts[kind]++
}

// enough says that every kind of request was answered.
func (a *acknowledged) enough() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts["release"] > 0 && a.counts["run"] > 0 && a.counts["order"] > 0 && a.counts["policy"] > 0
}

// onlyRunsMiss says that the policy has changed and no run of a job was answered.
func (a *acknowledged) onlyRunsMiss() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts["policy"] > 0 && a.counts["run"] == 0
}

// killedTest is a world, and what its brokers acknowledged until they were killed.
type killedTest struct {
	t    *testing.T
	w    *brokertest.World
	acks acknowledged
	seen logSeen
}

// TestKilled kills the process of a broker at random moments, while programs ask
// for keys and owners give orders and change the policy. Nothing that it
// acknowledged is lost, no key was released without its line in the log, no job
// runs more often than its owners allow, and it starts again by itself. A witness
// co-signs all the while, and would refuse a log that lost a line.
func TestKilled(t *testing.T) {
	t.Parallel()
	rounds := 12
	if os.Getenv("CLOISTER_SOAK") != "" {
		rounds = 500
	}
	w, err := brokertest.New(filepath.Join(t.TempDir(), "broker"), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	if err := os.Mkdir(w.Setup.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.Setup.Limits = broker.Limits{Rate: 1e6, Burst: 1e6}
	k := &killedTest{t: t, w: w, acks: acknowledged{
		receipts: map[int64]broker.Receipt{}, releases: map[string]int64{}, versions: map[version]string{}, keys: map[version][]byte{},
		runs: map[broker.Digest][]uint64{}, counts: map[string]int{},
	}}
	k.seen.runs = map[string]uint64{}
	for round := range rounds {
		if round%4 == 3 {
			// In the midst of a start, the very first in one of the rounds.
			start(t, &w.Setup, func(cmd *exec.Cmd) {
				time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
				cmd.Process.Kill()
			})
		} else {
			k.round(round)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	p := start(t, &w.Setup, nil)
	k.check(k.open(p))
	p.cmd.Process.Kill()
	p.wait(t)
	t.Logf("%d kills; acknowledged: %v", rounds, k.acks.counts)
	if rounds == 500 {
		recordKills(t, rounds, k.acks.counts)
	}
}

func (k *killedTest) open(p *process) *brokertest.Session {
	k.t.Helper()
	s, err := k.w.Open(k.t.Context(), p.ready)
	if err != nil {
		k.t.Fatal(err)
	}
	if k.seen.log == "" {
		k.seen.log = p.ready.Log
	}
	if k.seen.log != p.ready.Log {
		k.t.Fatalf("it is another broker: its log is %s, before %s", p.ready.Log, k.seen.log)
	}
	return s
}

// round starts a broker, checks what it still knows, and kills it under load.
func (k *killedTest) round(round int) {
	p := start(k.t, &k.w.Setup, nil)
	s := k.open(p)
	defer s.Client.Close()
	if round == 0 {
		k.begin(s)
	} else {
		k.check(s)
	}
	ctx, cancel := context.WithCancel(k.t.Context())
	var wg sync.WaitGroup
	job := brokertest.Job(fmt.Sprint("round ", round))
	for range 2 {
		wg.Go(func() { k.until(ctx, func() error { return k.release(ctx, s) }) })
		wg.Go(func() { k.until(ctx, func() error { return k.run(ctx, s, job) }) })
	}
	for _, owner := range k.w.Owners {
		approved := false
		wg.Go(func() {
			k.until(ctx, func() error {
				if !approved {
					err := k.approve(ctx, s, owner, job)
					approved = err == nil
					return err
				}
				return k.addVersion(ctx, s, owner)
			})
		})
	}
	wg.Go(func() {
		k.until(ctx, func() error {
			// A run that a change overtakes counts, and a job has few.
			if round == 0 && k.acks.onlyRunsMiss() {
				time.Sleep(5 * time.Millisecond)
				return nil
			}
			return k.changePolicy(ctx, s)
		})
	})
	// Once at least there is some of everything, however slow the machine is.
	for begun := time.Now(); round == 0 && !k.acks.enough() && !k.t.Failed(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begun) > 2*time.Minute {
			k.acks.mu.Lock()
			k.t.Errorf("no answers to some kind of request: %v", k.acks.counts)
			k.acks.mu.Unlock()
		}
	}
	time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	if err := p.cmd.Process.Kill(); err != nil {
		k.t.Error(err)
	}
	p.wait(k.t)
	cancel()
	wg.Wait()
}

// begin has a new broker's owners approve its policy and make their first keys.
func (k *killedTest) begin(s *brokertest.Session) {
	k.t.Helper()
	if err := s.Begin(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
	k.acks.policy = 1
	for _, o := range k.w.Owners {
		state, err := s.State(k.t.Context(), o)
		if err != nil {
			k.t.Fatal(err)
		}
		for _, e := range state.Registered {
			k.acks.versions[version{o.Name, e.Version}] = e.KeyID
		}
	}
}

// until does something again and again until the broker is gone.
func (k *killedTest) until(ctx context.Context, do func() error) {
	for ctx.Err() == nil {
		err := do()
		var answer *broker.AnswerError
		switch {
		case err == nil:
		case errors.As(err, &answer) && answer.Code == broker.CodeBusy: // the policy changed meanwhile
		case errors.Is(err, broker.ErrNetwork) && answer == nil, errors.Is(err, context.Canceled):
			return
		default:
			k.t.Error(err)
			return
		}
	}
}

// release asks for versions that are registered.
func (k *killedTest) release(ctx context.Context, s *brokertest.Session) error {
	k.acks.mu.Lock()
	want := []broker.Want{brokertest.Want("a", 1)}
	for v := range k.acks.versions {
		if v != (version{"a", 1}) {
			want = append(want, brokertest.Want(v.owner, v.number))
		}
		if len(want) == 3 {
			break
		}
	}
	k.acks.mu.Unlock()
	r, err := s.Client.Release(ctx, k.w.Enclave(brokertest.Trainer), brokertest.Job("fixed"), want)
	if err != nil {
		return err
	}
	k.released("release", r)
	return nil
}

// released remembers a release, whose keys must be those of before.
func (k *killedTest) released(kind string, r *broker.Release) {
	k.acks.mu.Lock()
	defer k.acks.mu.Unlock()
	k.acks.receipt(kind, &r.Receipt)
	k.acks.releases[r.Request] = r.Receipt.Index
	for _, item := range r.Items {
		v := version{policy.Name(item.Owner), item.Version}
		if before, known := k.acks.keys[v]; known && string(before) != string(item.Key.Expose()) {
			k.t.Errorf("another key of %v than before", v)
		}
		k.acks.keys[v] = append([]byte{}, item.Key.Expose()...)
		if id, known := k.acks.versions[v]; known && id != item.ID {
			k.t.Errorf("the key of %v has the id %s, and %s was registered", v, item.ID, id)
		}
	}
}

// run asks for a key for a job that may run only so often, and that its owners
// may not have approved yet.
func (k *killedTest) run(ctx context.Context, s *brokertest.Session, job broker.Digest) error {
	r, err := s.Client.Release(ctx, k.w.Enclave("approved"), job, []broker.Want{brokertest.Want("a", 1), brokertest.Want("b", 1)})
	var answer *broker.AnswerError
	if errors.As(err, &answer) && (answer.Code == broker.CodeRuns || answer.Code == broker.CodePolicy) {
		time.Sleep(5 * time.Millisecond)
		return nil
	}
	if err != nil {
		return err
	}
	k.released("run", r)
	k.acks.mu.Lock()
	defer k.acks.mu.Unlock()
	k.acks.runs[job] = append(k.acks.runs[job], r.Run)
	return nil
}

func (k *killedTest) approve(ctx context.Context, s *brokertest.Session, by *brokertest.Owner, job broker.Digest) error {
	a, err := s.Order(ctx, by, broker.Order{Operation: broker.ApproveJob, Job: job, Runs: most, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		return err
	}
	k.acks.mu.Lock()
	defer k.acks.mu.Unlock()
	k.acks.receipt("order", &a.Receipt)
	return a.Receipt.Check(s.Ready.Log)
}

// addVersion makes a key and registers it, one after the other, from where the
// broker is.
func (k *killedTest) addVersion(ctx context.Context, s *brokertest.Session, by *brokertest.Owner) error {
	state, err := s.State(ctx, by)
	if err != nil {
		return err
	}
	info, err := s.AddVersion(ctx, by, brokertest.DataSet, state.Next)
	if err != nil {
		return err
	}
	k.acks.mu.Lock()
	defer k.acks.mu.Unlock()
	k.acks.versions[version{by.Name, info.Version}] = info.ID
	k.acks.counts["order"] += 2
	return nil
}

// changePolicy has the owners go on from the policy in force.
func (k *killedTest) changePolicy(ctx context.Context, s *brokertest.Session) error {
	var now broker.PolicyText
	if err := s.Client.Do(ctx, http.MethodGet, broker.PathPolicy, nil, &now); err != nil {
		return err
	}
	hash := brokertest.Job(fmt.Sprint("administrator ", now.Version))
	a, err := s.Approve(ctx, now.Text, k.w.Policy(now.Version+1, now.Hash.String(), fmt.Sprintf("  extra: {client: \"sha256:%s\"}\n", hash)))
	var answer *broker.AnswerError
	if errors.As(err, &answer) && answer.Code == broker.CodePolicy {
		// What waited since before a kill took effect meanwhile.
		var after broker.PolicyText
		if err := s.Client.Do(ctx, http.MethodGet, broker.PathPolicy, nil, &after); err != nil || after.Version > now.Version {
			return err
		}
	}
	if err != nil {
		return err
	}
	if !a.Applied || a.Receipt == nil {
		return fmt.Errorf("a change that both owners signed is not applied: %+v", a)
	}
	k.acks.mu.Lock()
	defer k.acks.mu.Unlock()
	k.acks.policy = max(k.acks.policy, a.Version)
	k.acks.receipt("policy", a.Receipt)
	return a.Receipt.Check(s.Ready.Log)
}

// recordKills prints what make soak records.
func recordKills(t *testing.T, kills int, counts map[string]int) {
	t.Helper()
	path := os.Getenv("CLOISTER_SOAK_RECORD")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "%d kills of a broker under load: %d releases, %d orders, %d policy changes acknowledged, none lost\n",
		kills, counts["release"]+counts["run"], counts["order"], counts["policy"])
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
