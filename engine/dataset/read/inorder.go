package read

import (
	"context"
	"errors"
	"sync"
)

// InOrder reads the whole table once: work turns batches into results,
// concurrently, and deliver gets the results one after the other in the order
// of the rows. At most Options.Threads results wait at any time. The error is
// the first in that order; results before it are delivered.
func InOrder[T any](ctx context.Context, t *Table, work func(*Batch) (T, error), deliver func(T) error) error {
	q := &turns{failed: int(^uint(0) >> 1)}
	q.wake.L = &q.mu
	stop := context.AfterFunc(ctx, q.broadcast)
	defer stop()
	return t.rowsWith(ctx, func(b *Batch) error {
		seq := b.Seq
		result, err := work(b)
		if err != nil {
			return err
		}
		if err := q.wait(ctx, seq); err != nil {
			return err
		}
		if err := deliver(result); err != nil {
			return err
		}
		q.advance()
		return nil
	}, q.fail)
}

// errGivenUp is a batch's error where an earlier one failed; it is never seen.
var errGivenUp = errors.New("an earlier batch failed")

// turns makes goroutines wait for their turn.
type turns struct {
	mu     sync.Mutex
	wake   sync.Cond
	next   int
	failed int
}

func (q *turns) broadcast() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake.Broadcast()
}

// fail notes that a batch failed: later ones need not wait.
func (q *turns) fail(seq int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed = min(q.failed, seq)
	q.wake.Broadcast()
}

func (q *turns) wait(ctx context.Context, seq int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case seq > q.failed:
			return errGivenUp
		case seq == q.next:
			return nil
		}
		q.wake.Wait()
	}
}

func (q *turns) advance() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next++
	q.wake.Broadcast()
}
