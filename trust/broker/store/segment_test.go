package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// small has segments after a few entries.
func small(opts Options) Options {
	opts.SegmentAt = 200
	return opts
}

func entryText(i int) string { return fmt.Sprintf("entry %d %s", i, strings.Repeat("x", i%50)) }

// appendEntries appends entries to the log "l", one in a transaction.
func appendEntries(tb testing.TB, s *Store, from, to int) {
	tb.Helper()
	for i := from; i < to; i++ {
		err := s.Update(tb.Context(), func(tx *Tx) error {
			index, err := tx.Append("l", []byte(entryText(i)))
			if err == nil && index != int64(i) {
				err = fmt.Errorf("entry %d has index %d", i, index)
			}
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// settle waits until all entries that are many are in segments.
func settle(tb testing.TB, s *Store) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); s.Stats().EntryBytes > s.opts.SegmentAt; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%+v: entries stay in memory", s.Stats())
		}
	}
}

// readLog reads the log "l", all of it and entry by entry.
func readLog(s *Store) (entries []string, err error) {
	err = s.View(func(tx *Tx) error {
		for entry, err := range tx.Entries("l", 0, tx.Length("l")) {
			if err != nil {
				return err
			}
			entries = append(entries, string(entry))
		}
		for i := range tx.Length("l") {
			entry, ok, err := tx.Entry("l", i)
			if err != nil {
				return err
			}
			if !ok || string(entry) != entries[i] {
				return fmt.Errorf("entry %d is %q, and %q in its order", i, entry, entries[i])
			}
		}
		return nil
	})
	return entries, err
}

func checkLog(tb testing.TB, s *Store, n int) {
	tb.Helper()
	var want []string
	for i := range n {
		want = append(want, entryText(i))
	}
	got, err := readLog(s)
	if err != nil {
		tb.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Error(diff)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	for name, opts := range protections(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := mustOpen(t, dir, small(opts))
			n := 0
			for round := range 6 {
				appendEntries(t, s, n, n+20)
				n += 20
				put(t, s, fmt.Sprint(round), "")
				settle(t, s)
				if round%2 == 1 {
					if err := s.Compact(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				checkLog(t, s, n)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				checkLog(t, s, n)
				readOnly := opts
				readOnly.ReadOnly = true
				r, err := Open(dir, readOnly)
				if err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, dir, small(opts))
				checkLog(t, s, n)
				checkLog(t, r, n)
			}
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
			err := s.View(func(tx *Tx) error {
				for _, i := range []int64{-1, int64(n)} {
					if _, ok, err := tx.Entry("l", i); ok || err != nil {
						t.Errorf("entry %d: %t, %v", i, ok, err)
					}
				}
				var got []string
				for entry := range tx.Entries("l", 7, 9) {
					got = append(got, string(entry))
				}
				if diff := cmp.Diff([]string{entryText(7), entryText(8)}, got); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff([]string{"l"}, tx.Logs()); diff != "" {
					t.Error(diff)
				}
				if _, err := tx.Append("l", nil); !errors.Is(err, ErrReadOnly) {
					t.Errorf("got %v", err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestLogRollBack(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir(), Options{})
	appendEntries(t, s, 0, 3)
	failure := errors.New("no")
	for range 3 {
		err := s.Update(t.Context(), func(tx *Tx) error {
			for range 10 {
				if _, err := tx.Append("l", []byte("lost")); err != nil {
					return err
				}
			}
			return failure
		})
		if !errors.Is(err, failure) {
			t.Errorf("got %v", err)
		}
		appendEntries(t, s, int(s.Stats().Entries), int(s.Stats().Entries)+2)
	}
	checkLog(t, s, 9)
	err := s.Update(t.Context(), func(tx *Tx) error {
		tx.Append("l", make([]byte, MaxValue+1))
		return nil
	})
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// withSegments makes a store with two segments, one named in a snapshot and one
// in a journal, and entries that are in none, and returns its files.
func withSegments(t *testing.T, opts Options) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir, small(opts))
	for n := 0; n < 24; n += 12 {
		appendEntries(t, s, n, n+12)
		settle(t, s)
		if n == 0 {
			if err := s.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkLog(t, s, 24)
	return readFiles(t, dir)
}

// openAndRead opens a store and reads its log.
func openAndRead(dir string, opts Options) error {
	s, err := Open(dir, opts)
	if err != nil {
		return err
	}
	if _, err = readLog(s); err == nil {
		err = s.Check(context.Background())
	}
	return err
}

// TestSegmentsEveryByte changes every byte of every segment, cuts it to every
// length, and makes it longer. Cuts and changes of the header are found when the
// store is opened, others at the latest when the entry is read.
func TestSegmentsEveryByte(t *testing.T) {
	t.Parallel()
	for name, opts := range protections(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := withSegments(t, opts)
			dir := filepath.Join(t.TempDir(), "store")
			opts.ReadOnly = true
			segments := 0
			for file, b := range files {
				if !strings.HasPrefix(file, segmentPrefix) {
					continue
				}
				segments++
				for i := range b {
					changed := bytes.Clone(b)
					changed[i] ^= 1 << (i % 8)
					writeFiles(t, dir, with(files, file, changed))
					var damage *DamageError
					if err := openAndRead(dir, opts); !errors.As(err, &damage) || filepath.Base(damage.File) != file || damage.Offset > int64(i) {
						t.Errorf("%s, byte %d: got %v", file, i, err)
					}
					writeFiles(t, dir, with(files, file, b[:i]))
					if s, err := Open(dir, opts); !errors.As(err, &damage) || filepath.Base(damage.File) != file {
						t.Errorf("%s, cut to %d: got %v, %v", file, i, s, err)
					}
				}
				for _, other := range [][]byte{nil, append(bytes.Clone(b), 0), append(bytes.Clone(b), b[headerSize:]...)} {
					writeFiles(t, dir, with(files, file, other))
					if s, err := Open(dir, opts); !errors.Is(err, ErrDamaged) {
						t.Errorf("%s, missing or longer: got %v, %v", file, s, err)
					}
				}
			}
			if segments < 2 {
				t.Fatalf("%d segments", segments)
			}
		})
	}
}

// TestSegmentsExchanged puts segments of other places and of another copy, which
// parted, in the place of a segment.
func TestSegmentsExchanged(t *testing.T) {
	t.Parallel()
	opts := Options{Sealer: testKey(t)}
	files, other := withSegments(t, opts), withSegments(t, opts)
	dir := filepath.Join(t.TempDir(), "store")
	opts.ReadOnly = true
	cases := 0
	for file, b := range files {
		if !strings.HasPrefix(file, segmentPrefix) {
			continue
		}
		for _, from := range []map[string][]byte{files, other} {
			for name, instead := range from {
				if bytes.Equal(b, instead) {
					continue
				}
				cases++
				writeFiles(t, dir, with(files, file, instead))
				if s, err := Open(dir, opts); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s as %s: got %v, %v", name, file, s, err)
				}
				// A header that was copied, too, does not make its records authentic.
				if len(instead) == len(b) {
					writeFiles(t, dir, with(files, file, append(bytes.Clone(b[:headerSize]), instead[headerSize:]...)))
					if err := openAndRead(dir, opts); !errors.Is(err, ErrDamaged) {
						t.Errorf("%s as %s, with its header: got %v", name, file, err)
					}
				}
			}
		}
	}
	if cases == 0 {
		t.Error("nothing was exchanged")
	}
	only := map[string][]byte{}
	for file, b := range files {
		if strings.HasPrefix(file, segmentPrefix) {
			only[file] = b
		}
		if strings.Contains(string(b), "entry ") {
			t.Errorf("%s holds entries in the clear", file)
		}
	}
	writeFiles(t, dir, only)
	for _, create := range []bool{true, false} {
		if s, err := Open(dir, Options{Sealer: opts.Sealer, Create: create}); err == nil {
			t.Errorf("segments alone were opened: %v", s)
		}
	}
}

// TestOlderFormat names the reason.
func TestOlderFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := header{kind: kindJournal, generation: 1}
	b := h.bytes()
	b[7] = '1'
	if err := os.WriteFile(filepath.Join(dir, "journal-0000000000000001"), b[:], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, opts := range []Options{{}, {ReadOnly: true}, {Create: true, Sealer: testKey(t)}} {
		if _, err := Open(dir, opts); !errors.Is(err, ErrOlder) {
			t.Errorf("got %v", err)
		}
	}
}

// TestFullDiskWhileArchiving fails a segment in every way: its entries stay in
// memory and in the journal, and later are written.
func TestFullDiskWhileArchiving(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"create", "write", "sync", "sync directory"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			disk := new(faults)
			s, err := open(dir, small(Options{Create: true}), disk)
			if err != nil {
				t.Fatal(err)
			}
			disk.set(func(o, path string) error {
				if o == op && (strings.HasPrefix(path, segmentPrefix) || o == "sync directory") {
					return syscall.ENOSPC
				}
				return nil
			})
			appendEntries(t, s, 0, 40)
			checkLog(t, s, 40)
			if s.Stats().Segments != 0 {
				t.Errorf("%+v", s.Stats())
			}
			disk.set(nil)
			appendEntries(t, s, 40, 60)
			settle(t, s)
			checkLog(t, s, 60)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, dir, small(Options{}))
			checkLog(t, s, 60)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			named := 0
			for _, l := range s.durable.Load().logs {
				named = len(l.segments)
			}
			l, err := s.list()
			if err != nil || len(l.segments) != named {
				t.Errorf("%d segments are there, %d named: %v", len(l.segments), named, err)
			}
		})
	}
}

// TestSegmentNotNamed: a segment whose transaction failed, or that a process was
// killed before it named, is not taken for one, and is removed by who opens next.
func TestSegmentNotNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	appendEntries(t, s, 0, 10)
	l := s.durable.Load().logs["l"]
	if _, err := s.writeSegment(segmentID{s.journal.generation, 1}, 0, l.entries); err != nil {
		t.Fatal(err)
	}
	later := s.segmentPath(segmentID{s.journal.generation + 7, 1})
	if err := os.WriteFile(later, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, Options{})
	checkLog(t, s, 10)
	found, err := s.list()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.segments) != 1 || found.segments[0].generation != s.journal.generation+6 {
		t.Errorf("segments %v stay; only one of a later generation was to", found.segments)
	}
}

// TestFencedLog has one store after another take over while entries are appended
// and archived: all that was acknowledged is in the last, in its order.
func TestFencedLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, dir, small(Options{CompactAt: 1500}))
	for range 15 {
		done := make(chan int64, 1)
		first := s
		go func() {
			last := int64(-1)
			for {
				var index int64
				err := first.Update(t.Context(), func(tx *Tx) (err error) {
					index, err = tx.Append("l", []byte(entryText(int(tx.Length("l")))))
					return err
				})
				if err != nil {
					if !errors.Is(err, ErrFenced) {
						t.Error(err)
					}
					done <- last
					return
				}
				last = index
			}
		}()
		for begun := first.Stats().Entries; first.Stats().Entries < begun+30; {
			time.Sleep(time.Millisecond)
		}
		first.lock.release()
		next, err := Open(dir, small(Options{CompactAt: 1500}))
		if err != nil {
			t.Fatal(err)
		}
		last := <-done
		if n := next.Stats().Entries; n <= last {
			t.Errorf("entry %d was acknowledged, and there are %d", last, n)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		s = next
		checkLog(t, s, int(s.Stats().Entries))
	}
	n := int(s.Stats().Entries)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkLog(t, mustOpen(t, dir, Options{}), n)
}

// FuzzSegment reads indexes, frames and names of segments that somebody changed.
func FuzzSegment(f *testing.F) {
	g := &segment{segmentID: segmentID{1, 2}, count: 3, frames: 2, index: headerSize + 60, size: headerSize + 90}
	f.Add(g.append(nil)[1:], []byte{2, 30, 1, 30}, []byte("\x01a\x02bc"), int64(1))
	f.Add(g.append(nil)[1:], []byte{2, 30, 1, 31}, []byte("\x01a"), int64(0))
	f.Fuzz(func(t *testing.T, name, index, payload []byte, i int64) {
		c := cursor{b: name}
		g := c.segment()
		if c.bad {
			return
		}
		total := int64(0)
		for p, err := range g.places(index) {
			if err != nil {
				return
			}
			if p.first != total || p.off < headerSize || p.off+p.size > g.index {
				t.Errorf("%+v is not in %+v", p, g)
			}
			total += p.count
			if entry, err := entryOf(payload, i, p.count); err == nil && len(entry) > len(payload) {
				t.Error("an entry is longer than its record")
			}
		}
		if total != g.count {
			t.Errorf("%d entries of %d", total, g.count)
		}
		st := newState()
		if st.archive("l", g) != (g.first == 0) {
			t.Error("a segment begins elsewhere than its log ends")
		}
	})
}
