package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
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
		set, names, err := witnessesOf(log, p)
		if err != nil {
			return nil, err
		}
		var peers []witness.Peer
		for i, name := range names {
			url, ok := urls[string(name)]
			if !ok {
				return nil, fmt.Errorf("witness %s of the policy: its URL is missing", name)
			}
			peers = append(peers, witness.Peer{Key: set.Witnesses[i], URL: url})
		}
		return witness.NewQuorum(log, peers, set.Quorum, 0)
	}
}

// WitnessSet are the witnesses that a policy names for a log, and how many of them
// must co-sign.
func WitnessSet(log note.Verifier, p *policy.Policy) (*witness.Set, error) {
	set, _, err := witnessesOf(log, p)
	return set, err
}

func witnessesOf(log note.Verifier, p *policy.Policy) (*witness.Set, []policy.Name, error) {
	if p.Witnesses == nil {
		return nil, nil, errors.New("the policy names no witnesses")
	}
	var names []policy.Name
	set := &witness.Set{Log: log, Quorum: int(p.Witnesses.Quorum)} //nolint:gosec // the policy has no more than it has keys
	for name, w := range p.Witnesses.Keys {
		key, err := witness.NewVerifier(string(w.Key))
		if err != nil {
			return nil, nil, fmt.Errorf("witness %s of the policy: %w", name, err)
		}
		set.Witnesses, names = append(set.Witnesses, key), append(names, name)
	}
	return set, names, nil
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
	set, err := WitnessSet(key, p)
	if err != nil {
		return "", err
	}
	_, err = set.Verify([]byte(checkpoint))
	return "", err
}

// quorum is the quorum of the policy in force, which changes with it.
type quorum struct {
	key  note.Verifier
	make MakeQuorum

	mu    sync.Mutex
	now   audit.Quorum
	since int64 // the entry of the log that named them
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
	if q == nil || old != nil && old.InsecureNoWitness == next.InsecureNoWitness && reflect.DeepEqual(old.Witnesses, next.Witnesses) {
		return nil, nil //nolint:nilnil // nothing changes
	}
	return q.make(q.key, next)
}

// use goes over to another quorum, if it is one, that an entry of the log names.
// The same may be told twice, and an earlier entry does not undo a later one.
func (q *quorum) use(next audit.Quorum, index int64) {
	if q == nil || next == nil {
		return
	}
	q.mu.Lock()
	old := q.now
	switch {
	case index == q.since:
		q.mu.Unlock()
		return
	case index < q.since:
		old = next
	default:
		q.now, q.since = next, index
	}
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
