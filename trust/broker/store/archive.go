package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// archiving is what the committer knows of the segment that is being written.
type archiving struct {
	writing chan error // nil if none is
	number  uint64     // of the last one
	// retryBytes is how many bytes of entries there have to be before another is
	// tried after one that failed.
	retryBytes int64
}

// maybeArchive has the entries of a log written into a segment, beside what goes
// on, if they have grown. They leave memory in a transaction that names the
// segment; if that is not there after a kill, the file is as if it had not been
// written, and removed (removeUnnamed).
func (c *committer) maybeArchive() {
	if c.writing != nil {
		return
	}
	s := c.s
	for name, l := range s.durable.Load().logs {
		if l.bytes <= max(s.opts.SegmentAt, c.retryBytes) {
			continue
		}
		c.number++
		id := segmentID{s.journal.generation, c.number}
		writing := make(chan error, 1)
		c.writing = writing
		s.committer.Go(func() { writing <- s.archive(id, name, &l) })
		return
	}
}

// mostSegment is how many bytes of entries a segment has about at most.
const mostSegment = 8 << 20

// archive writes the entries of a log that are in memory into a segment.
func (s *Store) archive(id segmentID, name string, l *log) error {
	// After failures there may be many.
	n, size := 0, 0
	for n < len(l.entries) && size < mostSegment {
		size += len(l.entries[n])
		n++
	}
	g, err := s.writeSegment(id, l.archived, l.entries[:n])
	if err != nil {
		return err
	}
	// The file stays if this fails: the transaction may be there after all.
	return s.Update(context.Background(), func(tx *Tx) error { return tx.archive(name, g) })
}

func (c *committer) archived(err error) {
	s := c.s
	c.writing, c.retryBytes = nil, 0
	if err == nil {
		s.stats.segments.Add(1)
		return
	}
	for _, l := range s.durable.Load().logs {
		c.retryBytes = max(c.retryBytes, l.bytes+s.opts.SegmentAt/4)
	}
	if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrFenced) {
		s.log.Error("entries of a log stay in memory", "store", s.dir, "error", err)
	}
}

// checkSegments checks that all segments are there and whole in length. What is
// in them is checked when it is read: to read them all would take longer with
// every entry.
func (s *Store) checkSegments(st *state) error {
	for _, l := range st.logs {
		for i := range l.segments {
			// One that is missing may have been removed by who opened the store
			// while this reader read it: replay tries again.
			if _, err := os.Lstat(s.segmentPath(l.segments[i].segmentID)); err != nil {
				return err
			}
			o, err := s.openSegment(&l.segments[i])
			if err != nil {
				return err
			}
			o.close()
		}
	}
	return nil
}

// Check reads all entries of all logs from disk, and returns the first damage.
// What is outside of segments was checked when the store was opened.
func (s *Store) Check(ctx context.Context) error {
	return s.View(func(tx *Tx) error {
		for _, name := range tx.Logs() {
			for _, err := range tx.Entries(name, 0, tx.Length(name)) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// removeUnnamed removes the segments of earlier generations that a state does
// not name: whoever wrote them was killed or fenced before they counted. Later
// generations may be those of a process that has taken over, and are left alone.
func (s *Store) removeUnnamed(generation uint64, st *state) {
	l, err := s.list()
	if err != nil {
		s.log.Warn("old files of the store stay", "store", s.dir, "error", err)
		return
	}
	named := map[segmentID]bool{}
	for _, one := range st.logs {
		for i := range one.segments {
			named[one.segments[i].segmentID] = true
		}
	}
	for _, id := range l.segments {
		if named[id] || id.generation >= generation {
			continue
		}
		if err := s.fs.remove(s.segmentPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("an old file of the store stays", "store", s.dir, "error", err)
		}
	}
}
