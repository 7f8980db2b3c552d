package broker

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/witness"
)

// MakeQuorum makes what co-signs the log of a key by the rules of a policy.
type MakeQuorum func(log note.Verifier, p *policy.Policy) (audit.Quorum, error)

// Witnesses asks the witnesses that a policy names, at the URLs that are given
// by their names, and goes on without any only if the policy says so.
func Witnesses(urls map[string]string, now func() time.Time) MakeQuorum {
	return func(log note.Verifier, p *policy.Policy) (audit.Quorum, error) {
		if p.InsecureNoWitness && p.Witnesses == nil {
			return witness.None{Now: now}, nil
		}
		keys, err := witnessKeys(p)
		if err != nil {
			return nil, err
		}
		var peers []witness.Peer
		for name, key := range keys {
			url, ok := urls[string(name)]
			if !ok {
				return nil, fmt.Errorf("witness %s of the policy: its URL is missing", name)
			}
			peers = append(peers, witness.Peer{Key: key, URL: url})
		}
		return witness.NewQuorum(log, peers, 0)
	}
}

// witnessKeys are the keys of the witnesses that a policy names.
func witnessKeys(p *policy.Policy) (map[policy.Name]*witness.Verifier, error) {
	if p.Witnesses == nil {
		return nil, fmt.Errorf("the policy names no witnesses")
	}
	if n := uint64(len(p.Witnesses.Keys)); p.Witnesses.Quorum != n/2+1 {
		return nil, fmt.Errorf("the policy wants %d of %d witnesses; this broker waits for %d, more than half: write that", p.Witnesses.Quorum, n, n/2+1)
	}
	keys := map[policy.Name]*witness.Verifier{}
	for name, w := range p.Witnesses.Keys {
		key, err := witness.NewVerifier(string(w.Key))
		if err != nil {
			return nil, fmt.Errorf("witness %s: %w", name, err)
		}
		keys[name] = key
	}
	return keys, nil
}

// CheckWitnessed verifies that as many witnesses as a policy wants co-signed a
// checkpoint of the log with a key. It returns audit.InsecureNoWitness if the
// policy goes on without any.
func CheckWitnessed(logKey, checkpoint string, p *policy.Policy) (insecure string, err error) {
	key, err := note.NewVerifier(logKey)
	if err != nil {
		return "", fmt.Errorf("the log's key %.120q: %w", logKey, err)
	}
	if p.InsecureNoWitness && p.Witnesses == nil {
		_, _, err := audit.OpenCheckpoint([]byte(checkpoint), key)
		return audit.InsecureNoWitness, err
	}
	keys, err := witnessKeys(p)
	if err != nil {
		return "", err
	}
	set := &witness.Set{Log: key, Witnesses: slices.Collect(maps.Values(keys))}
	_, err = set.Verify([]byte(checkpoint))
	return "", err
}

// quorum is the quorum of the policy in force, which changes with it.
type quorum struct {
	key  note.Verifier
	make MakeQuorum

	mu  sync.Mutex
	now audit.Quorum
}

// Cosign implements audit.Quorum.
func (q *quorum) Cosign(ctx context.Context, c *audit.Checkpoint, signed []byte, prove func(int64) (tlog.TreeProof, error)) (*audit.Witnessed, error) {
	q.mu.Lock()
	now := q.now
	q.mu.Unlock()
	return now.Cosign(ctx, c, signed, prove)
}

// prepare makes the quorum of a policy that is about to be in force, or returns
// nil if it is the one of old.
func (q *quorum) prepare(old, next *policy.Policy) (audit.Quorum, error) {
	if old != nil && old.InsecureNoWitness == next.InsecureNoWitness && reflect.DeepEqual(old.Witnesses, next.Witnesses) {
		return nil, nil //nolint:nilnil // nothing changes
	}
	return q.make(q.key, next)
}

// use goes over to another quorum, if it is one.
func (q *quorum) use(next audit.Quorum) {
	if next == nil {
		return
	}
	q.mu.Lock()
	old := q.now
	q.now = next
	q.mu.Unlock()
	closeQuorum(old)
}

// Close ends what is still asked.
func (q *quorum) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	closeQuorum(q.now)
}

func closeQuorum(q audit.Quorum) {
	if c, ok := q.(interface{ Close() }); ok {
		c.Close()
	}
}
