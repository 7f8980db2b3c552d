package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
)

// Witnessed is a checkpoint that is co-signed.
type Witnessed struct {
	Checkpoint `json:"-"`
	// Note is the checkpoint with the log's signature and the co-signatures.
	Note string `json:"note"`
	// Time is the median of the witnesses' times, of two the earlier, or,
	// without witnesses, the broker's own.
	Time time.Time `json:"time"`
	// Witnesses are the names of those who co-signed, and Times when they did.
	Witnesses []string    `json:"witnesses,omitempty"`
	Times     []time.Time `json:"times,omitempty"`
	// Insecure is InsecureNoWitness if nobody co-signed, and to be named
	// wherever the result is used; else empty.
	Insecure string `json:"insecure,omitempty"`
}

// Medians returns the median of the witnesses' times, of an even number both in
// the middle, so that neither alone decides. Without witnesses both are Time.
func (w *Witnessed) Medians() (low, high time.Time) {
	if len(w.Times) == 0 {
		return w.Time, w.Time
	}
	times := slices.SortedFunc(slices.Values(w.Times), time.Time.Compare)
	return times[(len(times)-1)/2], times[len(times)/2]
}

// InsecureNoWitness is the name of going on without witnesses: a restored or
// copied store can then repeat what was done.
const InsecureNoWitness = "insecure-no-witness"

// Quorum has checkpoints co-signed. It returns an error in whose chain
// ErrForked is if there can be no quorum since witnesses have seen something
// else; another error means that it may be tried again.
type Quorum interface {
	// Cosign has a checkpoint, which the log signed, co-signed. Witnesses ask
	// for proofs from sizes that they saw.
	Cosign(ctx context.Context, c *Checkpoint, signed []byte, prove func(oldSize int64) (tlog.TreeProof, error)) (*Witnessed, error)
}

type waiter struct {
	index int64
	done  chan outcome
}

type outcome struct {
	witnessed *Witnessed
	err       error
}

// Wait waits until a co-signed checkpoint contains the entry of an index, which
// must be on disk. Only then may what the entry tells of take effect. The error
// says what kept it; if ctx ended, in its chain is also why the last attempt
// failed.
func (l *Log) Wait(ctx context.Context, index int64) (*Witnessed, error) {
	l.mu.Lock()
	if w := l.witnessed; w != nil && w.Size > index {
		l.mu.Unlock()
		return w, nil
	}
	w := &waiter{index, make(chan outcome, 1)}
	l.waiters[w] = struct{}{}
	l.mu.Unlock()
	l.notify()
	select {
	case o := <-w.done:
		return o.witnessed, o.err
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.waiters, w)
		err := fmt.Errorf("audit entry %d is not witnessed: %w", index, ctx.Err())
		if l.last != nil {
			err = fmt.Errorf("%w: %w", err, l.last)
		}
		return nil, err
	}
}

// Witnessed returns the newest co-signed checkpoint, or nil.
func (l *Log) Witnessed() *Witnessed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.witnessed
}

// The delays between attempts to have a checkpoint co-signed.
const (
	minRetry = 100 * time.Millisecond
	maxRetry = 5 * time.Second
)

// Run has checkpoints co-signed, as entries come, until ctx ends. Each round
// takes all entries that are on disk.
func (l *Log) Run(ctx context.Context) error {
	var beat <-chan time.Time
	if l.opts.Heartbeat > 0 {
		ticker := time.NewTicker(l.opts.Heartbeat)
		defer ticker.Stop()
		beat = ticker.C
	}
	retry := time.Duration(0)
	force := false
	for {
		err := l.round(ctx, force)
		force = false
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			retry = min(max(2*retry, minRetry), maxRetry)
			l.log.Warn("the checkpoint is not co-signed", "log", l.Origin(), "error", err, "again_in", retry)
			again = time.After(retry)
		} else {
			retry = 0
		}
		// After a failure a new entry does not hasten the next attempt.
		wake := l.wake
		if again != nil {
			wake = nil
		}
		select {
		case <-ctx.Done():
			l.finish(func(*waiter) bool { return true }, outcome{err: fmt.Errorf("the audit log is closing: %w", ctx.Err())})
			return ctx.Err()
		case <-wake:
		case <-again:
		case <-beat:
			force = true
		}
	}
}

// round has the tree on disk co-signed if it has grown, or if it must.
func (l *Log) round(ctx context.Context, force bool) error {
	var c *Checkpoint
	err := l.st.View(func(tx *store.Tx) (err error) {
		c, err = l.checkpoint(tx, -1)
		return err
	})
	if err != nil {
		return l.failed(c, err)
	}
	if before := l.Witnessed(); before != nil && before.Size == c.Size && !force || c.Size == 0 {
		return nil
	}
	signed, err := c.Sign(l.opts.Signer)
	if err != nil {
		return l.failed(c, err)
	}
	w, err := l.opts.Quorum.Cosign(ctx, c, signed, func(oldSize int64) (tlog.TreeProof, error) {
		return l.ProveConsistency(oldSize, c.Size)
	})
	if err != nil {
		return l.failed(c, err)
	}
	w.Checkpoint = *c
	text, err := json.Marshal(w)
	if err != nil {
		return l.failed(c, err)
	}
	// On disk before anything rests on it, so that the time that it tells is
	// not forgotten.
	err = l.st.Update(ctx, func(tx *store.Tx) error {
		if l.opts.OnWitnessed != nil {
			if err := l.opts.OnWitnessed(tx, w); err != nil {
				return &refusal{err}
			}
		}
		return tx.Put(bucketHead, keyWitnessed, text)
	})
	if err != nil {
		return l.failed(c, err)
	}
	l.mu.Lock()
	l.witnessed, l.last = w, nil
	l.mu.Unlock()
	l.finish(func(w *waiter) bool { return w.index < c.Size }, outcome{witnessed: w})
	return nil
}

// refusal is an error of OnWitnessed.
type refusal struct{ error }

// Unwrap returns the error.
func (r *refusal) Unwrap() error { return r.error }

// failed remembers why a round failed. What time does not mend is told to those
// who wait.
func (l *Log) failed(c *Checkpoint, err error) error {
	l.mu.Lock()
	l.last = err
	l.mu.Unlock()
	var refused *refusal
	if c != nil && (errors.Is(err, ErrTampered) || errors.As(err, &refused)) {
		l.finish(func(w *waiter) bool { return w.index < c.Size }, outcome{err: err})
	}
	return err
}

// finish gives the waiters that match their outcome.
func (l *Log) finish(match func(*waiter) bool, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.waiters {
		if match(w) {
			delete(l.waiters, w)
			w.done <- o
		}
	}
}
