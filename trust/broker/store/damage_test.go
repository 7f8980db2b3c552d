package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// filled makes a store with a snapshot and several journals, closed, and
// returns its files, its contents and the journal that was written last.
func filled(t *testing.T, opts Options) (files map[string][]byte, want map[string]string, tail string) {
	t.Helper()
	dir := t.TempDir()
	s := mustOpen(t, dir, opts)
	put(t, s, "a", "1", "b", "2")
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, s, "c", "3")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, opts)
	put(t, s, "d", "4")
	put(t, s, "e", strings.Repeat("5", 40))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return readFiles(t, dir), contents(t, s), filepath.Base(s.path(journalPrefix, s.journal.generation))
}

func readFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "lock" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = b
	}
	return files
}

func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// with is files with one replaced, or without it if that is nil.
func with(files map[string][]byte, name string, b []byte) map[string][]byte {
	out := map[string][]byte{}
	for n, old := range files {
		out[n] = old
	}
	if b == nil {
		delete(out, name)
	} else {
		out[name] = b
	}
	return out
}

// TestEveryByte changes every byte of every file in turn. Each change must be
// found, and the error must name the file and a place before the change.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	for name, opts := range protections(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, _, _ := filled(t, opts)
			dir := filepath.Join(t.TempDir(), "store")
			opts.ReadOnly = true
			if len(files) != 3 {
				t.Fatalf("%d files: a snapshot and two journals were to be there", len(files))
			}
			for file, b := range files {
				for i := range b {
					changed := bytes.Clone(b)
					changed[i] ^= 1 << (i % 8)
					writeFiles(t, dir, with(files, file, changed))
					s, err := Open(dir, opts)
					var damage *DamageError
					if !errors.As(err, &damage) || !errors.Is(err, ErrDamaged) {
						t.Errorf("%s, byte %d: got %v, %v", file, i, s, err)
						continue
					}
					if filepath.Base(damage.File) != file || damage.Offset > int64(i) {
						t.Errorf("%s, byte %d: the error says %v", file, i, err)
					}
				}
			}
		})
	}
}

// TestCut cuts every file at every length. At the end of the newest journal
// that is what a kill does: what was whole before it stays. Anywhere else it is
// damage.
func TestCut(t *testing.T) {
	t.Parallel()
	for name, opts := range protections(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, want, tail := filled(t, opts)
			dir := filepath.Join(t.TempDir(), "store")
			opts.ReadOnly = true
			seen := map[int]bool{}
			for file, b := range files {
				for i := range b {
					writeFiles(t, dir, with(files, file, b[:i]))
					s, err := Open(dir, opts)
					if file != tail {
						if !errors.Is(err, ErrDamaged) {
							t.Errorf("%s, cut to %d bytes: got %v", file, i, err)
						}
						continue
					}
					if err != nil {
						t.Errorf("%s, cut to %d bytes: %v", file, i, err)
						continue
					}
					got := contents(t, s)
					seen[len(got)] = true
					for key, value := range got {
						if want[key] != value {
							t.Errorf("%s, cut to %d bytes: %s is %q", file, i, key, value)
						}
					}
				}
			}
			if diff := cmp.Diff(map[int]bool{3: true, 4: true}, seen); diff != "" {
				t.Errorf("numbers of keys after a cut: %s", diff)
			}
		})
	}
}

// TestTornByPower leaves zeros where the last batch was to be, from every
// sector on, as file systems do that made the file longer before its contents
// were written.
func TestTornByPower(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := Options{Sealer: testKey(t)}
	s := mustOpen(t, dir, opts)
	put(t, s, "a", "1")
	before := s.journal.end
	put(t, s, "b", strings.Repeat("x", 3*sector))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files := readFiles(t, dir)
	file := filepath.Base(s.path(journalPrefix, 1))
	for from := before &^ (sector - 1); from < int64(len(files[file])); from += sector {
		torn := bytes.Clone(files[file])
		clear(torn[max(from, before):])
		writeFiles(t, dir, with(files, file, torn))
		s := mustOpen(t, dir, opts)
		if diff := cmp.Diff(map[string]string{"b/a": "1"}, contents(t, s)); diff != "" {
			t.Errorf("zeros from %d on: %s", from, diff)
		}
		put(t, s, "c", "3")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, dir, opts)
		if diff := cmp.Diff(map[string]string{"b/a": "1", "b/c": "3"}, contents(t, s)); diff != "" {
			t.Errorf("zeros from %d on: %s", from, diff)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExchanged takes files away, and mixes those of two copies that parted.
func TestExchanged(t *testing.T) {
	t.Parallel()
	opts := Options{Sealer: testKey(t), ReadOnly: true}
	files, want, tail := filled(t, Options{Sealer: opts.Sealer})
	other, _, _ := filled(t, Options{Sealer: opts.Sealer})
	dir := filepath.Join(t.TempDir(), "store")
	cases := map[string]map[string][]byte{}
	for name := range files {
		if name != tail {
			cases["without "+name] = with(files, name, nil)
		}
		cases["another "+name] = with(files, name, other[name])
		for second := range files {
			if second != name {
				cases[second+" as "+name] = with(files, name, files[second])
			}
		}
	}
	b := files[tail]
	cases["last batch twice"] = with(files, tail, append(bytes.Clone(b), b[len(b)-100:]...))
	cases["more after the end"] = with(files, tail, append(bytes.Clone(b), "more than a record's header"...))
	for name, changed := range cases {
		writeFiles(t, dir, changed)
		if s, err := Open(dir, opts); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, %v", name, s, err)
		}
	}
	// Taking the newest journal away leaves an older, whole store: only who
	// remembers what was there can tell.
	writeFiles(t, dir, with(files, tail, nil))
	s, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, s); len(got) != 3 {
		t.Errorf("got %v", got)
	}
	writeFiles(t, dir, files)
	if s, err = Open(dir, opts); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, s)); diff != "" {
		t.Error(diff)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	sealed, _, _ := filled(t, Options{Sealer: testKey(t)})
	clear, _, _ := filled(t, Options{})
	anotherKey, err := NewSealer(bytes.Repeat([]byte{1}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		files  map[string][]byte
		sealer Sealer
		want   error
	}{
		"sealed without a key":      {sealed, nil, ErrSealed},
		"sealed with another key":   {sealed, anotherKey, ErrDamaged},
		"in the clear with the key": {clear, testKey(t), ErrDamaged},
	} {
		writeFiles(t, dir, test.files)
		for range 2 {
			if s, err := Open(dir, Options{Sealer: test.sealer}); !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, %v", name, s, err)
			}
		}
		if diff := cmp.Diff(test.files, readFiles(t, dir)); diff != "" {
			t.Errorf("%s: opening changed the files: %s", name, diff)
		}
	}
	for name, b := range sealed {
		for _, secret := range []string{"55555", "\x01b\x02"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds %q in the clear", name, secret)
			}
		}
	}
	if _, err := NewSealer(make([]byte, KeySize-1)); err == nil {
		t.Error("a short key was taken")
	}
	if got := fmt.Sprintf("%v %+v %#v", anotherKey, anotherKey, anotherKey); strings.Contains(got, "1 1 1") || strings.Contains(got, "0x1") {
		t.Errorf("the key is shown: %s", got)
	}
}

// TestJournalStartClaimsMore: a count in a file that somebody changed does not
// decide how much memory is taken.
//
//nolint:paralleltest // it measures what is allocated
func TestJournalStartClaimsMore(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	payload := binary.AppendUvarint([]byte{payloadJournalStart, 0}, size)
	payload = append(payload, make([]byte, size)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := parseJournalStart(payload); err == nil {
		t.Error("accepted")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
		t.Errorf("%d bytes were taken for %d", took, len(payload))
	}
}

func FuzzJournal(f *testing.F) {
	for _, opts := range []Options{{}, {Sealer: keySealer{make([]byte, KeySize)}}} {
		dir := f.TempDir()
		s := mustOpen(f, dir, opts)
		put(f, s, "a", "1", "b", "2")
		put(f, s, "c", "3")
		if err := s.Close(); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(s.path(journalPrefix, 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[headerSize:], opts.Sealer != nil)
		f.Add([]byte("\x01\x01\x01b\x02\x01k\x01v\n\x01\x01\x01b\x03\x01k"), opts.Sealer != nil)
		f.Add([]byte("\x01\x04\x01l\x05\x01e\x05\x01f\n\x01\x04\x01l\x06"+string((&segment{segmentID{1, 1}, 0, 1, 1, 100, 150, [32]byte{}}).append(nil)[1:])), opts.Sealer != nil)
		f.Add(b[:len(b)-1], opts.Sealer != nil)
	}
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		// Most inputs get a header that is right, and records whose checksums
		// are, so that what is behind them is reached.
		opts := Options{}
		if sealed {
			opts.Sealer = keySealer{make([]byte, KeySize)}
		}
		if !bytes.HasPrefix(b, magic[:]) {
			s := &Store{opts: opts}
			w, head, err := s.newFrameWriter(kindJournal, 1)
			if err != nil {
				t.Fatal(err)
			}
			start := journalStart{}
			whole := w.frame(head[:len(head):len(head)], start.append(nil))
			for payload := range bytes.SplitSeq(b, []byte("\n")) {
				whole = w.frame(whole, payload)
			}
			b = whole
		}
		f, err := newFrameReader(bytes.NewReader(b), "journal", int64(len(b)), opts.Sealer)
		p := predecessor{generation: 1}
		st := newState()
		if err == nil {
			_, err = f.applyJournal(st, &p, true)
		}
		var damage *DamageError
		switch {
		case errors.As(err, &damage):
			if damage.Offset < 0 || damage.Offset > int64(len(b)) {
				t.Errorf("the offset is not in the file: %v", err)
			}
		case errors.Is(err, errTorn), errors.Is(err, ErrSealed):
		case err != nil:
			t.Errorf("got %v", err)
		default:
			// What was read is read the same up to the end that was found.
			again := newState()
			f, err := newFrameReader(bytes.NewReader(b), "journal", int64(p.end), opts.Sealer)
			if err == nil {
				_, err = f.applyJournal(again, &p, false)
			}
			if err != nil || again.keys() != st.keys() {
				t.Errorf("%d keys, then %d: %v", st.keys(), again.keys(), err)
			}
		}
	})
}
