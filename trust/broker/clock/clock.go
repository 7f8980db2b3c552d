// Package clock is the broker's time, which its host must not be able to set
// back: collateral that has expired would be fresh again, and what was revoked
// would not be yet.
//
// The time is the greatest of the host's clock, the witnesses' time of the last
// co-signed checkpoint, and the latest date of issue of collateral that was
// verified. The last two are kept in the store. If the host's clock or the time
// differs from the witnesses' median by more than five minutes nothing is
// released until it is set right.
//
// The number by which a platform's maker counts its evaluations of the trusted
// computing base (tcbEvaluationDataNumber of Intel's TCB info) is kept as well
// and never goes back, so that older collateral, in which a weakness was not
// yet known, is refused once newer was seen.
package clock

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
)

// Tolerance is how far the broker's time may be from the witnesses' median.
const Tolerance = 5 * time.Minute

// The reasons for which nothing is released.
var (
	// ErrSkew says that the broker's time is not that of the witnesses.
	ErrSkew = errors.New("the clock is wrong")
	// ErrOlder says that collateral is older than what was seen before.
	ErrOlder = errors.New("older collateral than was seen before")
)

const (
	bucket         = "clock"
	keyWitnessed   = "witnessed"
	keyCollateral  = "collateral"
	evaluationsKey = "evaluation." // and what the number is of
)

// Clock is the broker's time. It is safe for concurrent use.
type Clock struct {
	host func() time.Time

	mu    sync.Mutex
	floor time.Time // the greatest that is on disk
}

// Open reads what a store knows of the time.
func Open(st *store.Store, host func() time.Time) (*Clock, error) {
	c := &Clock{host: host}
	err := st.View(func(tx *store.Tx) error {
		for _, key := range []string{keyWitnessed, keyCollateral} {
			t, err := read(tx, key)
			if err != nil {
				return err
			}
			c.raise(t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func read(tx *store.Tx, key string) (t time.Time, err error) {
	value, ok := tx.Get(bucket, key)
	if !ok {
		return t, nil
	}
	if err := t.UnmarshalText(value); err != nil {
		return t, fmt.Errorf("clock: %s in the store: %w", key, err)
	}
	return t, nil
}

func (c *Clock) raise(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.floor) {
		c.floor = t
	}
}

// Now is the broker's time, in UTC.
func (c *Clock) Now() time.Time {
	now := c.host().UTC().Round(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.floor.After(now) {
		return c.floor.UTC()
	}
	return now
}

// keep stores a time if it is later than what is stored under the key.
func (c *Clock) keep(tx *store.Tx, key string, t time.Time) error {
	before, err := read(tx, key)
	if err != nil || !t.After(before) {
		return err
	}
	text, err := t.UTC().MarshalText()
	if err != nil {
		return fmt.Errorf("clock: %s: %w", key, err)
	}
	tx.OnCommit(func() { c.raise(t) })
	return tx.Put(bucket, key, text)
}

// Witnessed is told of each co-signed checkpoint, in the transaction that keeps
// it (audit.Options.OnWitnessed). Its error is ErrSkew if the host's clock or
// the broker's time is not that of the witnesses: then nothing that waits for
// the checkpoint takes effect. Without witnesses the last checkpoint's own time
// stands for theirs, so that a clock set back is noticed at least by what this
// store remembers.
func (c *Clock) Witnessed(tx *store.Tx, w *audit.Witnessed) error {
	low, high := w.Medians()
	host := c.host()
	if w.Insecure != "" {
		before, err := read(tx, keyWitnessed)
		if err != nil {
			return err
		}
		if before.Sub(host) > Tolerance {
			return fmt.Errorf("%w: the host's clock says %s, and the last checkpoint was signed at %s: set the host's clock", ErrSkew, show(host), show(before))
		}
		return c.keep(tx, keyWitnessed, w.Time)
	}
	for name, t := range map[string]time.Time{"the host's clock": host, "the broker's time": c.Now()} {
		for _, median := range []time.Time{low, high} {
			if d := t.Sub(median).Abs(); d > Tolerance {
				return fmt.Errorf("%w: %s is %s, the witnesses' is %s: set the host's clock, if theirs is right", ErrSkew, name, show(t), show(median))
			}
		}
	}
	return c.keep(tx, keyWitnessed, low)
}

// Near says whether both the host's clock and the broker's time are that of
// witnesses, who co-signed a checkpoint then, as far as they may differ.
func (c *Clock) Near(witnessed time.Time) bool {
	return c.host().Sub(witnessed).Abs() <= Tolerance && c.Now().Sub(witnessed).Abs() <= Tolerance
}

// Collateral is told of collateral whose signatures were verified: what it is of
// (such as "sgx" or "tdx"), its latest date of issue, and its evaluation
// number. Its error is ErrOlder if a greater number was seen before. The error
// leaves the transaction as it was.
func (c *Clock) Collateral(tx *store.Tx, of string, issued time.Time, evaluation uint32) error {
	var before uint32
	if value, ok := tx.Get(bucket, evaluationsKey+of); ok {
		if err := json.Unmarshal(value, &before); err != nil {
			return fmt.Errorf("clock: the evaluation number of %s in the store: %w", of, err)
		}
	}
	if evaluation < before {
		return fmt.Errorf("%w: its evaluation number for %s is %d, after %d", ErrOlder, of, evaluation, before)
	}
	if err := c.keep(tx, keyCollateral, issued); err != nil {
		return err
	}
	if evaluation == before {
		return nil
	}
	return tx.Put(bucket, evaluationsKey+of, fmt.Append(nil, evaluation))
}

// Seen tells in a View whether Collateral would change anything, so that the
// common case needs no transaction.
func (c *Clock) Seen(tx *store.Tx, of string, issued time.Time, evaluation uint32) bool {
	value, _ := tx.Get(bucket, evaluationsKey+of)
	kept, err := read(tx, keyCollateral)
	return err == nil && string(value) == fmt.Sprint(evaluation) && !issued.After(kept)
}

func show(t time.Time) string { return t.UTC().Format(time.RFC3339) }
