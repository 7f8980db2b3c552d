package store

import (
	"errors"
	"sync/atomic"
	"time"
)

// batch is what one transaction changes.
type batch struct {
	ops      []byte
	onCommit []func()
	done     chan struct{}
	err      error // set before done is closed
}

func (b *batch) end(err error) {
	b.err = err
	close(b.done)
}

// counters are read by Stats.
type counters struct {
	updates, syncs, compactions atomic.Int64
	segments                    atomic.Int64
	journal, snapshot           atomic.Int64
}

// Stats are numbers about an open store.
type Stats struct {
	Keys          int   `json:"keys"`
	Entries       int64 `json:"entries"`        // of logs
	EntryBytes    int64 `json:"entry_bytes"`    // of entries in memory
	Segments      int64 `json:"segments"`       // that were written
	Updates       int64 `json:"updates"`        // transactions that changed something
	Syncs         int64 `json:"syncs"`          // that the disk was waited for
	Compactions   int64 `json:"compactions"`    // snapshots written
	JournalBytes  int64 `json:"journal_bytes"`  // since the last snapshot
	SnapshotBytes int64 `json:"snapshot_bytes"` // the last snapshot
}

// Stats returns numbers since the store was opened.
func (s *Store) Stats() Stats {
	now := s.durable.Load()
	inMemory := int64(0)
	for _, l := range now.logs {
		inMemory += l.bytes
	}
	return Stats{
		Keys: now.keys(), Entries: now.lengths(), EntryBytes: inMemory, Segments: s.stats.segments.Load(), Updates: s.stats.updates.Load(), Syncs: s.stats.syncs.Load(),
		Compactions: s.stats.compactions.Load(), JournalBytes: s.stats.journal.Load(), SnapshotBytes: s.stats.snapshot.Load(),
	}
}

// compaction is the result of one.
type compaction struct {
	generation uint64
	size       int64
	took       time.Duration
	err        error
}

// committer is what commitLoop keeps.
type committer struct {
	s       *Store
	running chan compaction // nil if none runs
	waiting []chan error    // for the one that runs
	again   []chan error    // for the next
	retryAt int64           // journal size below which a failed compaction is not tried again
	archiving
}

// commitLoop puts transactions on disk until the store is closed.
func (s *Store) commitLoop() {
	c := &committer{s: s}
	c.maybeCompact()
	c.maybeArchive()
	for {
		select {
		case <-s.wake:
			c.commit()
			c.maybeCompact()
			c.maybeArchive()
		case answer := <-s.compact:
			if c.running != nil {
				c.again = append(c.again, answer)
				continue
			}
			c.waiting = append(c.waiting, answer)
			c.startCompaction()
		case done := <-c.running:
			c.compacted(&done)
		case err := <-c.writing:
			c.archived(err)
			c.maybeArchive()
		case <-s.stop:
			c.commit()
			for _, answer := range c.again {
				answer <- ErrClosed
			}
			c.again = nil
			if c.running != nil {
				done := <-c.running
				c.compacted(&done)
			}
			if c.writing != nil {
				c.archived(<-c.writing)
			}
			return
		}
	}
}

// commit puts on disk what is queued, with one write and one sync.
func (c *committer) commit() {
	s := c.s
	s.writer <- struct{}{}
	group, fatal := s.queue, s.fatal
	s.queue = nil
	if len(group) == 0 {
		<-s.writer
		return
	}
	reached := s.working.copy()
	<-s.writer

	err := fatal
	payloads := gather(group)
	if err == nil && len(payloads) > 0 {
		err = s.journal.append(payloads)
		s.stats.syncs.Add(1)
		s.stats.journal.Store(s.journal.size())
	}
	if err != nil {
		c.fail(group, err)
		return
	}
	s.durable.Store(reached)
	for _, b := range group {
		if len(b.ops) > 0 {
			s.stats.updates.Add(1)
		}
		for _, fn := range b.onCommit {
			fn()
		}
		b.end(nil)
	}
}

// gather makes payloads of the changes of a group.
func gather(group []*batch) [][]byte {
	var payloads [][]byte
	var current []byte
	for _, b := range group {
		if len(b.ops) == 0 {
			continue
		}
		if len(current) > 0 && len(current)+len(b.ops) > MaxTx {
			payloads = append(payloads, current)
			current = nil
		}
		if len(current) == 0 {
			current = append(make([]byte, 0, 1+len(b.ops)), payloadOps)
		}
		current = append(current, b.ops...)
	}
	if len(current) > 0 {
		payloads = append(payloads, current)
	}
	return payloads
}

// fail takes back a group that could not be put on disk, and what was queued
// since, which may rest on it.
func (c *committer) fail(group []*batch, err error) {
	s := c.s
	s.writer <- struct{}{}
	group = append(group, s.queue...)
	s.queue = nil
	s.working = s.durable.Load().copy()
	if errors.Is(err, ErrFenced) {
		s.fatal = err
	}
	<-s.writer
	s.log.Error("transactions could not be put on disk", "store", s.dir, "transactions", len(group), "error", err)
	for _, b := range group {
		b.end(err)
	}
}

// maxJournals is how many journals may wait for a snapshot; each start of the
// broker adds one.
const maxJournals = 16

func (c *committer) maybeCompact() {
	j := &c.s.journal
	size := j.size()
	if c.running != nil || size < c.retryAt {
		return
	}
	if size > max(c.s.opts.CompactAt, j.snapshotSize) || len(j.since) > maxJournals {
		c.startCompaction()
	}
}

// startCompaction begins a generation and writes, beside what goes on, the
// snapshot of what was there before it.
func (c *committer) startCompaction() {
	s := c.s
	if err := s.journal.rotate(); err != nil {
		if errors.Is(err, ErrFenced) {
			c.fail(nil, err)
		}
		c.compacted(&compaction{err: err})
		return
	}
	running := make(chan compaction, 1)
	c.running = running
	g, salt, st := s.journal.generation, s.journal.w.header.salt, s.durable.Load()
	s.committer.Go(func() {
		start := time.Now()
		size, err := s.writeSnapshot(g, salt, st)
		running <- compaction{generation: g, size: size, took: time.Since(start), err: err}
	})
}

func (c *committer) compacted(done *compaction) {
	s := c.s
	c.running = nil
	if done.err == nil {
		c.retryAt = 0
		s.journal.replaced(done.generation, done.size)
		s.stats.compactions.Add(1)
		s.stats.snapshot.Store(done.size)
		s.stats.journal.Store(s.journal.size())
		s.removeBefore(done.generation)
		s.log.Info("the store was compacted", "store", s.dir, "bytes", done.size, "took", done.took)
	} else {
		// The journals hold all; the next try is not at once.
		c.retryAt = s.journal.size() + s.opts.CompactAt/4 + 1
		if !errors.Is(done.err, ErrClosed) {
			s.log.Error("the store could not be compacted", "store", s.dir, "error", done.err)
		}
	}
	for _, answer := range c.waiting {
		answer <- done.err
	}
	c.waiting, c.again = c.again, nil
	if len(c.waiting) > 0 {
		c.startCompaction()
	}
}
