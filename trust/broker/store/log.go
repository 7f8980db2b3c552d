package store

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
)

// log is what a log has: entries that are never changed nor removed. The oldest
// are in segments on disk, the others in memory.
//
// It is copied by value. Copies share the arrays behind segments and entries,
// which only ever grow at their ends: what a copy sees stays as it is, since of
// all copies one alone goes on, and another that is longer is given up first
// (committer.fail, Tx.rollBack).
type log struct {
	segments []segment
	archived int64 // entries in segments
	entries  [][]byte
	bytes    int64 // of entries
}

func (l *log) length() int64 { return l.archived + int64(len(l.entries)) }

// append appends an entry to a log.
func (s *state) append(name string, entry []byte) {
	l := s.logs[name]
	l.entries = append(l.entries, entry)
	l.bytes += int64(len(entry))
	s.logs[name] = l
}

// archive says that a log's next entries are in a segment. In a snapshot they
// are nowhere else.
func (s *state) archive(name string, g *segment) bool {
	l := s.logs[name]
	if g.first != l.archived || len(l.entries) > 0 && g.count > int64(len(l.entries)) {
		return false
	}
	if len(l.entries) > 0 {
		for _, entry := range l.entries[:g.count] {
			l.bytes -= int64(len(entry))
		}
		// A new array lets go of what the old one holds.
		l.entries = slices.Clone(l.entries[g.count:])
	}
	l.segments = append(l.segments, *g)
	l.archived += g.count
	s.logs[name] = l
	return true
}

// lengths is the number of entries of all logs.
func (s *state) lengths() int64 {
	n := int64(0)
	for _, l := range s.logs {
		n += l.length()
	}
	return n
}

// Append appends an entry to a log and returns its index, from 0 on. The entry
// is copied, and is there for ever. A failure also fails the whole transaction.
func (tx *Tx) Append(name string, entry []byte) (int64, error) {
	switch {
	case tx.batch == nil:
		return 0, ErrReadOnly
	case tx.err != nil:
		return 0, tx.err
	case len(name) > MaxKey:
		tx.err = fmt.Errorf("log %.40q: a name has at most %d bytes: %w", name, MaxKey, ErrTooLarge)
		return 0, tx.err
	case len(entry) > MaxValue:
		tx.err = fmt.Errorf("log %q: an entry of %d bytes, of at most %d: %w", name, len(entry), MaxValue, ErrTooLarge)
		return 0, tx.err
	}
	tx.enter(opLog, name)
	tx.batch.ops = appendBytes(append(tx.batch.ops, opAppend), entry)
	if len(tx.batch.ops) > MaxTx {
		tx.err = fmt.Errorf("a transaction writes at most %d bytes: %w", MaxTx, ErrTooLarge)
		return 0, tx.err
	}
	before := tx.state.logs[name]
	tx.undo = append(tx.undo, change{bucket: name, log: &before})
	tx.state.append(name, append([]byte{}, entry...))
	return before.length(), nil
}

// archive has the log's next entries in a segment that was written.
func (tx *Tx) archive(name string, g *segment) error {
	before := tx.state.logs[name]
	if !tx.state.archive(name, g) {
		return errors.New("the segment's entries are not the log's next")
	}
	tx.undo = append(tx.undo, change{bucket: name, log: &before})
	tx.enter(opLog, name)
	tx.batch.ops = g.append(tx.batch.ops)
	return nil
}

// Length returns the number of entries of a log.
func (tx *Tx) Length(name string) int64 {
	l := tx.state.logs[name]
	return l.length()
}

// Logs returns the names of the logs that have entries, sorted.
func (tx *Tx) Logs() []string {
	names := slices.Sorted(maps.Keys(tx.state.logs))
	return slices.DeleteFunc(names, func(name string) bool { return tx.Length(name) == 0 })
}

// Entry returns an entry of a log, and whether there is one of that index. An old
// one is read from disk. It must not be changed.
func (tx *Tx) Entry(name string, index int64) (entry []byte, ok bool, err error) {
	l := tx.state.logs[name]
	switch {
	case index < 0 || index >= l.length():
		return nil, false, nil
	case index >= l.archived:
		return l.entries[index-l.archived], true, nil
	}
	g := l.segmentOf(index)
	entry, err = tx.s.readEntry(g, index-g.first)
	return entry, err == nil, err
}

// segmentOf is the segment that has an entry, which is in one.
func (l *log) segmentOf(index int64) *segment {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].first > index })
	return &l.segments[i-1]
}

// Entries yields the entries of a log from an index up to but without another,
// as far as there are any, and reads the old ones from disk. An error is the last
// that it yields. The entries must not be changed.
func (tx *Tx) Entries(name string, from, to int64) iter.Seq2[[]byte, error] {
	l := tx.state.logs[name]
	to = min(to, l.length())
	return func(yield func([]byte, error) bool) {
		for next := max(from, 0); next < to; {
			if next >= l.archived {
				for _, entry := range l.entries[next-l.archived : to-l.archived] {
					if !yield(entry, nil) {
						return
					}
				}
				return
			}
			g := l.segmentOf(next)
			end := min(to, g.first+g.count)
			for entry, err := range tx.s.readEntries(g, next-g.first, end-g.first) {
				if !yield(entry, err) || err != nil {
					return
				}
			}
			next = end
		}
	}
}
