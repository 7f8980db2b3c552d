package brokertest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/brokertest"
)

// logSeen is what was read of the log so far.
type logSeen struct {
	log    string
	lines  []string
	newest *audit.Checkpoint
	runs   map[string]uint64 // by job
}

// check compares what a broker knows after a start with what it acknowledged
// before.
func (k *killedTest) check(s *brokertest.Session) {
	k.t.Helper()
	k.acks.mu.Lock()
	defer k.acks.mu.Unlock()
	k.readLog(s)
	for index, r := range k.acks.receipts {
		if index >= int64(len(k.seen.lines)) || k.seen.lines[index] != r.Entry {
			k.t.Errorf("line %d was acknowledged and is not in the log: %s", index, r.Entry)
		}
	}
	for request, index := range k.acks.releases {
		e, err := audit.ParseEntry([]byte(k.seen.lines[index]))
		if err != nil || e.Type != "release" || e.Decision != audit.Granted || e.Request != request {
			k.t.Errorf("the release %s has no line of its own: line %d is %s, %v", request, index, k.seen.lines[index], err)
		}
	}
	for job, runs := range k.acks.runs {
		slices.Sort(runs)
		if len(slices.Compact(slices.Clone(runs))) != len(runs) || runs[len(runs)-1] > min(most, k.seen.runs[job.String()]) {
			k.t.Errorf("the runs %v of a job were acknowledged, %d are in the log, %d are allowed", runs, k.seen.runs[job.String()], most)
		}
	}
	k.checkInclusion(s)
	k.checkRegister(s)
	var p broker.PolicyText
	if err := s.Client.Do(k.t.Context(), http.MethodGet, broker.PathPolicy, nil, &p); err != nil {
		k.t.Fatal(err)
	}
	if p.Version < k.acks.policy {
		k.t.Errorf("policy version %d is in force, and %d was acknowledged", p.Version, k.acks.policy)
	}
	// What was compared once need not be again.
	clear(k.acks.receipts)
	clear(k.acks.releases)
}

// get asks as an administrator.
func (k *killedTest) get(s *brokertest.Session, path string, into any) {
	k.t.Helper()
	admin, err := s.NewClient(k.w.Admin)
	if err != nil {
		k.t.Fatal(err)
	}
	defer admin.Close()
	if err := admin.Do(k.t.Context(), http.MethodGet, path, nil, into); err != nil {
		k.t.Fatalf("%s: %v", path, err)
	}
}

// readLog reads what came to the log, and proves that it goes on from what was
// there.
func (k *killedTest) readLog(s *brokertest.Session) {
	k.t.Helper()
	var now broker.CheckpointAnswer
	k.get(s, broker.PathCheckpoint, &now)
	key, err := note.NewVerifier(k.seen.log)
	if err != nil {
		k.t.Fatal(err)
	}
	c, _, err := audit.OpenCheckpoint([]byte(now.Checkpoint), key)
	if err != nil {
		k.t.Fatal(err)
	}
	old := k.seen.newest
	for _, r := range k.acks.receipts {
		one, _, err := audit.OpenCheckpoint([]byte(r.Checkpoint), key)
		if err != nil {
			k.t.Fatal(err)
		}
		if old == nil || one.Size > old.Size {
			old = one
		}
	}
	if old != nil {
		if c.Size < old.Size {
			k.t.Fatalf("a checkpoint of %d entries was acknowledged, and the log has %d", old.Size, c.Size)
		}
		var p broker.ProofAnswer
		k.get(s, fmt.Sprintf("%s?from=%d&to=%d", broker.PathConsistency, old.Size, c.Size), &p)
		if err := tlog.CheckTree(hashes[tlog.TreeProof](p.Proof), c.Size, c.Root, old.Size, old.Root); err != nil {
			k.t.Errorf("the log does not go on from what was acknowledged: %v", err)
		}
	}
	k.seen.newest = c
	for int64(len(k.seen.lines)) < c.Size {
		var e broker.EntriesAnswer
		k.get(s, fmt.Sprintf("%s?from=%d&to=%d", broker.PathEntries, len(k.seen.lines), c.Size), &e)
		if len(e.Lines) == 0 {
			k.t.Fatalf("no lines from %d on, of %d", len(k.seen.lines), c.Size)
		}
		for _, line := range e.Lines {
			k.line(line)
		}
	}
}

// line reads a line of the log. Each run of a job has the next number.
func (k *killedTest) line(line string) {
	k.seen.lines = append(k.seen.lines, line)
	e, err := audit.ParseEntry([]byte(line))
	if err != nil {
		k.t.Fatal(err)
	}
	if e.Type != "release" || e.Decision != audit.Granted {
		return
	}
	job := e.Details["job"]
	run, err := strconv.ParseUint(e.Details["run"], 10, 64)
	if k.seen.runs[job]++; err != nil || run != k.seen.runs[job] {
		k.t.Errorf("run %q of job %s is number %d in the log: %v", e.Details["run"], job, k.seen.runs[job], err)
	}
}

// checkInclusion proves that lines which were acknowledged are in the tree.
func (k *killedTest) checkInclusion(s *brokertest.Session) {
	k.t.Helper()
	c, asked := k.seen.newest, 0
	for index, r := range k.acks.receipts {
		var p broker.ProofAnswer
		k.get(s, fmt.Sprintf("%s?index=%d&size=%d", broker.PathInclusion, index, c.Size), &p)
		if err := tlog.CheckRecord(hashes[tlog.RecordProof](p.Proof), c.Size, c.Root, index, tlog.RecordHash([]byte(r.Entry))); err != nil {
			k.t.Errorf("line %d is not in the tree: %v", index, err)
		}
		if asked++; asked == 10 {
			return // all lines were compared
		}
	}
}

func hashes[P ~[]tlog.Hash](proof [][]byte) P {
	out := make(P, len(proof))
	for i, h := range proof {
		out[i] = tlog.Hash(h)
	}
	return out
}

// checkRegister compares the versions of data sets.
func (k *killedTest) checkRegister(s *brokertest.Session) {
	k.t.Helper()
	for _, o := range k.w.Owners {
		state, err := s.State(k.t.Context(), o)
		if err != nil {
			k.t.Fatal(err)
		}
		keys, registered := map[uint64]string{}, map[uint64]string{}
		for _, i := range state.Keys {
			keys[i.Version] = i.ID
		}
		for _, e := range state.Registered {
			registered[e.Version] = e.KeyID
		}
		for v, id := range k.acks.versions {
			if v.owner == o.Name && (keys[v.number] != id || registered[v.number] != id) {
				k.t.Errorf("%v was acknowledged with key %s; there is key %q, registered %q", v, id, keys[v.number], registered[v.number])
			}
		}
	}
}
