package store

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"time"
)

// replayed is what the files of a store say.
type replayed struct {
	state        *state
	base         uint64 // the snapshot, or zero
	snapshotSize int64
	salt         [32]byte      // of the journal that goes on from the snapshot
	since        []predecessor // the journals from base on
	cut          int64         // bytes at the end of the newest one that were torn
}

// empty says that nothing was ever stored.
func (r *replayed) empty() bool { return r.base == 0 && r.bytes() == 0 }

// bytes is the size of the journals.
func (r *replayed) bytes() int64 {
	n := int64(0)
	for _, p := range r.since {
		n += int64(p.end)
	}
	return n
}

// replay reads the generations below the limit, or all if that is zero.
func (s *Store) replay(limit uint64) (*replayed, error) {
	for attempt := 0; ; attempt++ {
		r, err := s.replayOnce(limit)
		// The process that has the store open may have replaced files by a
		// snapshot since they were listed, or while.
		if errors.Is(err, fs.ErrNotExist) && attempt < 20 {
			time.Sleep(time.Duration(attempt) * time.Millisecond)
			continue
		}
		var missing *fs.PathError
		if errors.As(err, &missing) && errors.Is(err, fs.ErrNotExist) {
			return nil, &DamageError{File: missing.Path, Reason: "the file is missing"}
		}
		return r, err
	}
}

// missing is the error of a file that must be there.
func (s *Store) missing(prefix string, generation uint64) error {
	return &fs.PathError{Op: "open", Path: s.path(prefix, generation), Err: fs.ErrNotExist}
}

func (s *Store) replayOnce(limit uint64) (*replayed, error) {
	l, err := s.list()
	if err != nil {
		return nil, err
	}
	if limit > 0 {
		beyond := func(g uint64) bool { return g >= limit }
		l.journals = slices.DeleteFunc(l.journals, beyond)
		l.snapshots = slices.DeleteFunc(l.snapshots, beyond)
	}
	r := &replayed{state: newState()}
	if n := len(l.snapshots); n > 0 {
		r.base = l.snapshots[n-1]
		if err := s.readSnapshot(r); err != nil {
			return nil, err
		}
	}
	if err := s.readJournals(r, l.journals); err != nil {
		return nil, err
	}
	if r.empty() && len(l.segments) > 0 {
		return nil, s.missing(journalPrefix, 1)
	}
	return r, s.checkSegments(r.state)
}

// readSnapshot loads the snapshot of generation r.base.
func (s *Store) readSnapshot(r *replayed) error {
	f, file, err := s.openFrames(snapshotPrefix, r.base, -1)
	if errors.Is(err, errTorn) {
		return f.damage(0, "the file was cut")
	}
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	r.snapshotSize = f.size
	for {
		off, first := f.off, f.number == 0
		payload, err := f.next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, errTorn):
			return f.damage(off, "the file was cut")
		case err != nil:
			return err
		case first != (payload[0] == payloadSnapshotStart):
			return f.damage(off, "a snapshot's first record is another")
		}
		c := cursor{b: payload[1:]}
		switch payload[0] {
		case payloadSnapshotStart:
			r.salt = c.array32()
			if c.bad || len(c.b) != 0 {
				return f.damage(off, errPayload.Error())
			}
		case payloadOps:
			if err := r.state.apply(c.b); err != nil {
				return f.damage(off, err.Error())
			}
		case payloadSnapshotEnd:
			keys, entries := c.uvarint(), c.int64()
			if c.bad || len(c.b) != 0 || keys != uint64(r.state.keys()) || entries != r.state.lengths() || f.off != f.size {
				return f.damage(off, "the snapshot's number of keys or entries is another, or more follows its end")
			}
			return nil
		default:
			return f.damage(off, "a record of an unknown kind: a newer version wrote it, or it was changed")
		}
	}
}

// readJournals applies the journals to r.
func (s *Store) readJournals(r *replayed, journals []uint64) error {
	tail, start, void, err := s.findTail(r, journals)
	if err != nil {
		return err
	}
	if tail == 0 {
		if r.base != 0 {
			return s.missing(journalPrefix, r.base)
		}
		r.since = void
		return nil
	}
	if start.base > r.base {
		return s.missing(snapshotPrefix, start.base)
	}
	next := max(start.base, 1)
	for _, p := range start.since {
		if p.generation != next {
			return &DamageError{File: s.path(journalPrefix, tail), Offset: headerSize, Reason: "a journal does not name all before it"}
		}
		next++
		if p.generation < r.base {
			continue
		}
		if p.end > 0 {
			if err := s.readJournal(r, &p, false); err != nil {
				return err
			}
		}
		r.since = append(r.since, p)
	}
	if next != tail {
		return &DamageError{File: s.path(journalPrefix, tail), Offset: headerSize, Reason: "a journal does not name all before it"}
	}
	last := predecessor{generation: tail}
	if err := s.readJournal(r, &last, true); err != nil {
		return err
	}
	r.since = append(append(r.since, last), void...)
	return nil
}

// findTail returns the newest journal that was begun, what it goes on from, and
// the newer ones that never were.
func (s *Store) findTail(r *replayed, journals []uint64) (tail uint64, start *journalStart, void []predecessor, err error) {
	for _, g := range slices.Backward(journals) {
		if g < r.base {
			break
		}
		f, file, err := s.openFrames(journalPrefix, g, -1)
		var payload []byte
		if err == nil {
			payload, err = f.next()
			file.Close() //nolint:errcheck // only read
		}
		switch {
		case errors.Is(err, errTorn), errors.Is(err, io.EOF):
			void = slices.Insert(void, 0, predecessor{generation: g})
			continue
		case err != nil:
			return 0, nil, nil, err
		}
		if start, err = parseJournalStart(payload); err != nil {
			return 0, nil, nil, f.damage(headerSize, err.Error())
		}
		return g, start, void, nil
	}
	return 0, nil, void, nil
}

// readJournal applies a journal to the end that p names, or, if it is the last,
// to where it ends, which it then writes into p.
func (s *Store) readJournal(r *replayed, p *predecessor, last bool) error {
	size := int64(p.end)
	if last {
		size = -1
	}
	f, file, err := s.openFrames(journalPrefix, p.generation, size)
	if errors.Is(err, errTorn) {
		return f.damage(0, "the file was cut")
	}
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	if p.generation == r.base && f.header.salt != r.salt {
		return f.damage(0, "the journal is not the one that goes on from the snapshot")
	}
	if r.cut, err = f.applyJournal(r.state, p, last); r.cut > 0 {
		s.log.Warn("the last record of the store was never acknowledged and is cut off", "file", f.file, "offset", p.end, "bytes", r.cut)
	}
	return err
}

// applyJournal applies what follows a journal's header; see readJournal. Cut is
// how many bytes at the end were torn.
func (f *frameReader) applyJournal(st *state, p *predecessor, last bool) (cut int64, err error) {
	f.withDigest()
	for {
		off, first := f.off, f.number == 0
		payload, err := f.next()
		switch {
		case errors.Is(err, errTorn) && last:
			p.end, p.digest = uint64(off), f.sum()
			return f.size - off, nil
		case errors.Is(err, errTorn):
			return 0, f.damage(off, "a record ends beyond the end of the journal")
		case errors.Is(err, io.EOF) && last:
			p.end, p.digest = uint64(off), f.sum()
			return 0, nil
		case errors.Is(err, io.EOF):
			if f.sum() != p.digest {
				return 0, f.damage(0, "the journal is not the one that the next goes on from")
			}
			return 0, nil
		case err != nil:
			return 0, err
		}
		if first {
			if _, err := parseJournalStart(payload); err != nil {
				return 0, f.damage(off, err.Error())
			}
			continue
		}
		if payload[0] != payloadOps {
			return 0, f.damage(off, "a record of an unknown kind: a newer version wrote it, or it was changed")
		}
		if err := st.apply(payload[1:]); err != nil {
			return 0, f.damage(off, err.Error())
		}
	}
}
