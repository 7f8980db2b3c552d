// Package store is the broker's embedded database: buckets of ordered keys,
// changed in transactions, each of which is on disk before it is answered.
//
// Buckets are also held in memory, as is right for 10⁵ to 10⁶ small records:
// reading costs no system call, and starting means reading one snapshot and the
// journals after it once, from front to back. Beside them there are logs, whose
// entries are numbered, only ever appended and kept for ever: of them memory has
// the last, and the others are read from disk.
//
// # Why not an existing database
//
// It must open under Gramine, where flock, hard links and shared file mappings
// do not work (they return ENOSYS or EINVAL): bbolt maps its file and needs
// flock, LevelDB, Pebble and Badger lock or map theirs, SQLite in pure Go
// brings a C run-time translated to Go, larger than the rest of the broker.
// What is needed is little: append, sync, rename and exclusive creation of
// files. The ordered maps are those of github.com/tidwall/btree, whose
// copy-on-write gives every reader a constant view.
//
// # Files
//
// A store is a directory. Every process that opens it, and every compaction,
// begins a new generation g: a file journal-g, to which batches of changes are
// appended. A snapshot-g holds all that the generations before g had
// accepted; it is written beside, synced and renamed, and then the files
// before g are removed. docs/reference/audit-log.md gives every byte.
//
// Entries of a log are in a journal at first. When there are many in memory they
// are written into a new file, a segment, beside what goes on; once that is
// synced, a transaction like any other names it, with its length and its random
// salt, and memory lets go of them. So each entry is written twice, whatever the
// length of the log (and those in memory once more in each snapshot), and what
// holds for transactions holds for segments: a kill before the transaction leaves
// a file that nothing names, which the next opener removes, and the transaction
// of a fenced process does not count. A named segment is never changed nor
// removed, so that views and readers need not be told of anything. Opening checks
// length and header of each segment; its records are checked when they are read
// (Check reads all).
//
// Transactions that run at the same time share one write and one sync. A batch
// that a kill tore at the end of the newest journal is cut off: it was never
// acknowledged. Any other damage is a *DamageError that names file and offset.
// With a Sealer all records are encrypted and authenticated, each bound to its
// file, its generation and its place, and every journal names the journals and
// the snapshot that it goes on from; then no byte can be changed, and no file
// exchanged for that of another copy, without notice. An older copy of the
// whole directory is consistent in itself: that it is older can be told only by
// who remembers (cloister/trust/broker/witness).
//
// # One process at a time
//
// Safety does not rest on locks, which may be missing or, as under Gramine,
// unknown to other instances. A process that opens the store first creates the
// file of the next generation, which O_EXCL grants to one alone, and only then
// reads; its journal states up to which byte it read the older ones, and
// nothing after that byte counts. The writer of the older generation looks for
// that file after each sync and before it acknowledges anything (and for its
// own, which goes first when both are replaced by a snapshot), so what it
// acknowledged was there to be read, and once fenced it acknowledges nothing
// more (ErrFenced). The newest opener goes on. A record lock (fcntl) is taken
// too, where there is one, so that a second broker started by mistake gets
// ErrInUse and does not stop the first. The directory must be on a file system
// that all openers see alike, which means a local one.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
)

// The errors that a caller may want to tell from others.
var (
	// ErrNotFound says that there is no store in the directory and none was to
	// be created.
	ErrNotFound = errors.New("no store is there")
	// ErrInUse says that another process has the store open.
	ErrInUse = errors.New("another process has the store open")
	// ErrFenced says that another process opened the store after this one, which
	// may change it no more.
	ErrFenced = errors.New("another process has taken over the store")
	// ErrDamaged is in the chain of every DamageError.
	ErrDamaged = errors.New("the store is damaged or was changed")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrReadOnly says that the store was opened for reading alone.
	ErrReadOnly = errors.New("the store was opened for reading alone")
	// ErrTooLarge says that a key, a value or a transaction is over its limit.
	ErrTooLarge = errors.New("too large for the store")
	// ErrOlder says that a store has the format of an older version.
	ErrOlder = errors.New("an older version wrote the store, in a format that this one does not read: begin a new store, or restore a backup of this version")
	// ErrSealed says that a sealed store was opened without its key.
	ErrSealed = errors.New("the store is sealed and no key was given")
)

// DamageError says where a file of the store is not what was written.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

// Error implements error.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: byte %d: %s: restore the store from a backup", e.File, e.Offset, e.Reason)
}

// Unwrap makes every DamageError an ErrDamaged.
func (*DamageError) Unwrap() error { return ErrDamaged }

// Options say how a store is opened.
type Options struct {
	// Create makes a new store in a directory that has none. Without it an
	// empty directory is ErrNotFound, so that a store that was taken away is
	// not silently begun anew.
	Create bool
	// ReadOnly reads the store as it is now and changes nothing, not even the
	// generation.
	ReadOnly bool
	// Sealer encrypts and authenticates all that is written, and refuses what
	// is not. Nil stores in the clear, protected against accidents alone.
	Sealer Sealer
	// CompactAt is the size in bytes of the journals above which they are
	// replaced by a snapshot, if they are also larger than the last snapshot.
	// Zero means 16 MiB.
	CompactAt int64
	// SegmentAt is the size in bytes of a log's entries in memory above which
	// they are written into a segment. Zero means 1 MiB.
	SegmentAt int64
	// Logger is told of compactions and of what was cut off; nil is silent.
	Logger *slog.Logger
}

// DefaultCompactAt is the value of Options.CompactAt that zero stands for.
const DefaultCompactAt = 16 << 20

// DefaultSegmentAt is the value of Options.SegmentAt that zero stands for.
const DefaultSegmentAt = 1 << 20

// Store is an open store. It is safe for concurrent use.
type Store struct {
	dir  string
	opts Options
	fs   fileSystem
	log  *slog.Logger
	lock *lock

	// writer is held by the one transaction that runs, and by the committer
	// while it takes the queue.
	writer  chan struct{}
	working *state // guarded by writer: with all that is queued
	queue   []*batch
	closed  bool  // guarded by writer
	fatal   error // guarded by writer: why nothing can be written any more

	durable atomic.Pointer[state]

	wake      chan struct{}
	compact   chan chan error
	stop      chan struct{}
	committer sync.WaitGroup

	recent recentFrames

	journal journal // the committer's alone once the store is open
	stats   counters
}

// Open opens the store in dir.
func Open(dir string, opts Options) (*Store, error) {
	return open(dir, opts, osFiles{})
}

func open(dir string, opts Options, files fileSystem) (*Store, error) {
	if opts.CompactAt == 0 {
		opts.CompactAt = DefaultCompactAt
	}
	if opts.SegmentAt == 0 {
		opts.SegmentAt = DefaultSegmentAt
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		dir: dir, opts: opts, fs: files, log: opts.Logger,
		writer:  make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		compact: make(chan chan error),
		stop:    make(chan struct{}),
	}
	if opts.ReadOnly {
		read, err := s.replay(0)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", dir, err)
		}
		if read.empty() {
			return nil, fmt.Errorf("open store %s: %w", dir, ErrNotFound)
		}
		s.durable.Store(read.state)
		return s, nil
	}
	if err := s.begin(); err != nil {
		s.journal.close() //nolint:errcheck // the first error is the one to tell
		s.lock.release()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s.committer.Go(s.commitLoop)
	return s, nil
}

// begin takes the lock and the next generation, and reads the others.
func (s *Store) begin() error {
	if s.opts.Create {
		if err := s.makeDir(); err != nil {
			return err
		}
	}
	found, err := s.list()
	if err != nil {
		return err
	}
	if found.empty() && !s.opts.Create {
		return ErrNotFound
	}
	if s.lock, err = takeLock(s.dir); err != nil {
		return err
	}
	s.journal.s = s
	if err := s.journal.takeOver(); err != nil {
		return err
	}
	s.working = s.durable.Load().copy()
	return nil
}

// Update runs fn in a transaction and returns once all that it changed is on
// disk, or nothing is: if fn returns an error or panics, or if the disk does.
// One fn runs at a time and sees what those before it changed. fn must be
// quick, must not keep the Tx, and must not call Update.
//
// When ctx ends before fn began, fn does not run. Once fn has returned, Update
// waits for the disk whatever happens to ctx, so that its error is never a
// maybe. There is one exception: if the machine stops after a failed write and
// before the store could take it back, a transaction that failed may be there
// after all.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	if s.opts.ReadOnly {
		return ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	b, err := s.run(fn)
	if err != nil {
		return err
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	<-b.done
	return b.err
}

// run runs fn with the writer's turn, which it gives back.
func (s *Store) run(fn func(*Tx) error) (*batch, error) {
	defer func() { <-s.writer }()
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.fatal != nil:
		return nil, s.fatal
	}
	tx := &Tx{s: s, state: s.working, batch: &batch{done: make(chan struct{})}}
	kept := false
	defer func() {
		if !kept {
			tx.rollBack()
		}
		tx.state = nil
	}()
	if err := fn(tx); err != nil {
		return nil, err
	}
	if tx.err != nil {
		return nil, tx.err
	}
	kept = true
	s.queue = append(s.queue, tx.batch)
	return tx.batch, nil
}

// View runs fn on a constant view of what is on disk. Any number run at the
// same time, beside transactions.
func (s *Store) View(fn func(*Tx) error) error {
	return fn(&Tx{s: s, state: s.durable.Load()})
}

// Compact writes a snapshot of what is on disk and removes the journals that it
// replaces. The store does it by itself when they have grown.
func (s *Store) Compact(ctx context.Context) error {
	if s.opts.ReadOnly {
		return ErrReadOnly
	}
	answer := make(chan error, 1)
	select {
	case s.compact <- answer:
	case <-s.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close waits for the transactions that run, and closes the store. View goes on
// working on what was there.
func (s *Store) Close() error {
	if s.opts.ReadOnly {
		return nil
	}
	s.writer <- struct{}{}
	if s.closed {
		<-s.writer
		return nil
	}
	s.closed = true
	<-s.writer
	close(s.stop)
	s.committer.Wait()
	err := s.journal.close()
	s.lock.release()
	return err
}
