package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
)

// What the log uses of the store.
const (
	// logEntries is a log: of each entry the number of hashes that it completed,
	// these hashes from the leaf's up, and its line.
	logEntries   = "audit"
	bucketHead   = "audit.head"
	keyWitnessed = "witnessed" // the newest Witnessed, as JSON
)

// Options are what a log needs.
type Options struct {
	// Signer signs checkpoints. Its name is the log's origin.
	Signer note.Signer
	// Verifier is of the same key.
	Verifier note.Verifier
	// Quorum co-signs.
	Quorum Quorum
	// Now is the broker's time, for entries that have none.
	Now func() time.Time
	// OnWitnessed is called in the transaction that stores a co-signed
	// checkpoint. An error, such as of a clock that is wrong, keeps what waits
	// for the checkpoint from taking effect.
	OnWitnessed func(*store.Tx, *Witnessed) error
	// Heartbeat is how often a checkpoint is co-signed even if nothing
	// happens, so that the witnesses' time stays known. Zero is never.
	Heartbeat time.Duration
	Logger    *slog.Logger
}

// Log is the audit log in a store. It is safe for concurrent use.
type Log struct {
	st   *store.Store
	opts Options
	log  *slog.Logger

	wake chan struct{}

	mu        sync.Mutex
	witnessed *Witnessed // nil before the first
	waiters   map[*waiter]struct{}
	last      error // of the last round, if it failed
}

// Open opens the log of a store, which is empty at first, and checks that it
// still is what the last co-signed checkpoint says.
func Open(st *store.Store, opts Options) (*Log, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Signer.Name() != opts.Verifier.Name() || opts.Signer.KeyHash() != opts.Verifier.KeyHash() {
		return nil, fmt.Errorf("audit log %s: signer and verifier are of different keys", opts.Signer.Name())
	}
	l := &Log{st: st, opts: opts, log: opts.Logger, wake: make(chan struct{}, 1), waiters: map[*waiter]struct{}{}}
	err := st.View(func(tx *store.Tx) error {
		size := tx.Length(logEntries)
		text, ok := tx.Get(bucketHead, keyWitnessed)
		if !ok {
			return nil
		}
		l.witnessed = new(Witnessed)
		if err := json.Unmarshal(text, l.witnessed); err != nil {
			return fmt.Errorf("the last checkpoint does not decode: %w: %w", err, ErrTampered)
		}
		c, _, err := OpenCheckpoint([]byte(l.witnessed.Note), opts.Verifier)
		if err != nil {
			return err
		}
		l.witnessed.Checkpoint = *c
		if c.Size > size {
			return fmt.Errorf("it has %d entries and a checkpoint of %d: %w", size, c.Size, ErrTampered)
		}
		root, err := tlog.TreeHash(c.Size, hashes(tx))
		if err != nil {
			return err
		}
		if root != c.Root {
			return fmt.Errorf("its first %d entries are not those of the last checkpoint: %w", c.Size, ErrTampered)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("audit log %s: %w", opts.Signer.Name(), err)
	}
	return l, nil
}

// Forget forgets the last co-signed checkpoint in a store. Whoever was restored
// under a new key for the log does so: the old key's checkpoint could not be
// verified. That the entries are those which were seen before is then for the
// owners to say, who confirm the restore.
func Forget(tx *store.Tx) error {
	if _, ok := tx.Get(bucketHead, keyWitnessed); !ok {
		return nil
	}
	return tx.Delete(bucketHead, keyWitnessed)
}

// Origin is the log's name in its checkpoints.
func (l *Log) Origin() string { return l.opts.Signer.Name() }

// Size is the number of entries on disk.
func (l *Log) Size() (size int64, err error) {
	err = l.st.View(func(tx *store.Tx) error {
		size = tx.Length(logEntries)
		return nil
	})
	return size, err
}

// record reads an entry's record.
func record(tx *store.Tx, index int64) (sums, line []byte, err error) {
	value, ok, err := tx.Entry(logEntries, index)
	if err != nil {
		return nil, nil, fmt.Errorf("entry %d: %w", index, err)
	}
	if !ok {
		return nil, nil, fmt.Errorf("entry %d: %w", index, ErrNoEntry)
	}
	return splitRecord(index, value)
}

func splitRecord(index int64, value []byte) (sums, line []byte, err error) {
	if len(value) == 0 || len(value) < 1+int(value[0])*tlog.HashSize || value[0] == 0 {
		return nil, nil, fmt.Errorf("entry %d does not decode: %w", index, ErrTampered)
	}
	n := 1 + int(value[0])*tlog.HashSize
	return value[1:n], value[n:], nil
}

// hashes reads the tree's hashes. That of a whole subtree was stored with the
// last of its entries.
func hashes(tx *store.Tx) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			sums, _, err := record(tx, (n+1)<<level-1)
			if err != nil {
				return nil, err
			}
			if len(sums) < (level+1)*tlog.HashSize {
				return nil, fmt.Errorf("entry %d lacks hashes: %w", (n+1)<<level-1, ErrTampered)
			}
			out[i] = tlog.Hash(sums[level*tlog.HashSize:])
		}
		return out, nil
	})
}

// Append appends an entry in a transaction and returns its index. The entry is
// there once the transaction is on disk, and takes effect once Wait returns.
func (l *Log) Append(tx *store.Tx, e *Entry) (int64, error) {
	index := tx.Length(logEntries)
	e.Version = Version
	if e.Time.IsZero() {
		e.Time = l.opts.Now()
	}
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	line, err := e.line()
	if err != nil {
		return 0, err
	}
	sums, err := tlog.StoredHashes(index, line, hashes(tx))
	if err != nil {
		return 0, err
	}
	value := make([]byte, 0, 1+len(sums)*tlog.HashSize+len(line))
	value = append(value, byte(len(sums)))
	for _, h := range sums {
		value = append(value, h[:]...)
	}
	if _, err := tx.Append(logEntries, append(value, line...)); err != nil {
		return 0, err
	}
	tx.OnCommit(l.notify)
	return index, nil
}

func (l *Log) notify() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Entries calls fn with the lines of the entries on disk, from one index up to
// but without another, or to the last if that is negative. It reads one constant
// view of the log.
func (l *Log) Entries(ctx context.Context, from, to int64, fn func(index int64, line []byte) error) error {
	return l.st.View(func(tx *store.Tx) error {
		have := tx.Length(logEntries)
		if to < 0 {
			to = have
		}
		if from < 0 || from > to || to > have {
			return fmt.Errorf("entries %d up to %d, of %d: %w", from, to, have, ErrNoEntry)
		}
		index := from
		for value, err := range tx.Entries(logEntries, from, to) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
			_, line, err := splitRecord(index, value)
			if err != nil {
				return err
			}
			if err := fn(index, line); err != nil {
				return err
			}
			index++
		}
		return nil
	})
}

// checkpoint is the checkpoint of the first size entries, or of all on disk if
// size is negative.
func (l *Log) checkpoint(tx *store.Tx, size int64) (*Checkpoint, error) {
	have := tx.Length(logEntries)
	if size < 0 {
		size = have
	}
	if size > have {
		return nil, fmt.Errorf("a tree of %d entries, of %d: %w", size, have, ErrNoEntry)
	}
	root, err := tlog.TreeHash(size, hashes(tx))
	if err != nil {
		return nil, err
	}
	return &Checkpoint{Origin: l.Origin(), Size: size, Root: root}, nil
}

// At is the checkpoint, not signed, of all entries that a transaction sees.
func (l *Log) At(tx *store.Tx) (*Checkpoint, error) { return l.checkpoint(tx, -1) }

// Holds checks that a checkpoint which somebody kept is of this log's past: that
// this is not an older copy of the log, nor another history of it. The
// checkpoint must have been opened with the log's key.
func (l *Log) Holds(kept *Checkpoint) error {
	return l.st.View(func(tx *store.Tx) error {
		have := tx.Length(logEntries)
		if kept.Size > have {
			return fmt.Errorf("the checkpoint is of %d entries, and the log has %d: this is an older copy of it: %w", kept.Size, have, ErrForked)
		}
		c, err := l.checkpoint(tx, kept.Size)
		if err != nil {
			return err
		}
		if *c != *kept {
			return fmt.Errorf("the log's first %d entries are not those of the checkpoint: %w", kept.Size, ErrForked)
		}
		return nil
	})
}

// ProveConsistency proves that the tree of the old size is the beginning of
// that of the new one (RFC 6962 section 2.1.2). From nothing there is nothing to
// prove.
func (l *Log) ProveConsistency(oldSize, newSize int64) (proof tlog.TreeProof, err error) {
	if oldSize < 0 || newSize < oldSize {
		return nil, fmt.Errorf("a proof from %d to %d entries: %w", oldSize, newSize, ErrNoEntry)
	}
	if oldSize == 0 {
		return nil, nil
	}
	err = l.st.View(func(tx *store.Tx) error {
		if _, err := l.checkpoint(tx, newSize); err != nil {
			return err
		}
		proof, err = tlog.ProveTree(newSize, oldSize, hashes(tx))
		return err
	})
	return proof, err
}

// ProveInclusion proves that an entry is in the tree of a size (RFC 6962 section
// 2.1.1).
func (l *Log) ProveInclusion(index, size int64) (proof tlog.RecordProof, err error) {
	if index < 0 || index >= size {
		return nil, fmt.Errorf("entry %d in a tree of %d: %w", index, size, ErrNoEntry)
	}
	err = l.st.View(func(tx *store.Tx) error {
		if have := tx.Length(logEntries); size > have {
			return fmt.Errorf("a tree of %d entries, of %d: %w", size, have, ErrNoEntry)
		}
		proof, err = tlog.ProveRecord(size, index, hashes(tx))
		return err
	})
	return proof, err
}
