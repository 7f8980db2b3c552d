package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
)

// TestSegments keeps nearly all of a log on disk: it proves, exports and goes on
// as one in memory, also after it was opened anew, and says which entry is damaged.
func TestSegments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	signer, verifier := keys(t)
	opts := Options{Signer: signer, Verifier: verifier, Quorum: new(quorum), Now: now}
	const n, rounds = 60, 4
	var tree frontier
	var roots []tlog.Hash
	var st *store.Store
	for round := range rounds {
		var err error
		if st, err = store.Open(dir, store.Options{Create: true, SegmentAt: 2000}); err != nil {
			t.Fatal(err)
		}
		l, err := Open(st, opts)
		if err != nil {
			t.Fatal(err)
		}
		for i := round * n; i < (round+1)*n; i++ {
			add(t, st, l, fmt.Sprint("key ", i))
			_, line := entryAt(t, l, int64(i))
			tree.add(tlog.RecordHash(line))
			roots = append(roots, tree.root())
		}
		for deadline := time.Now().Add(20 * time.Second); st.Stats().EntryBytes > 2000; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%+v", st.Stats())
			}
		}
		if err := l.round(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		proveAll(t, l, roots)
		var entries, hashes bytes.Buffer
		if _, err := l.Export(t.Context(), &entries, &hashes); err != nil {
			t.Fatal(err)
		}
		if r, err := Verify(Exported{New: &l.Witnessed().Checkpoint, Entries: &entries, Hashes: &hashes}); err != nil || r.Entries != int64(len(roots)) {
			t.Errorf("%+v, %v", r, err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	damageFirstSegment(t, dir)
	var got error
	err := ReadStored(st, func(s *Stored) error {
		for _, err := range s.Records(n) {
			got = err
		}
		return nil
	})
	if err != nil || !errors.Is(got, store.ErrDamaged) {
		t.Errorf("got %v, %v", got, err)
	}
}

// entryAt reads an entry.
func entryAt(t *testing.T, l *Log, index int64) (sums, line []byte) {
	t.Helper()
	err := l.st.View(func(tx *store.Tx) (err error) {
		sums, line, err = record(tx, index)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums, line
}

// proveAll proves that each tree goes on to the last, and that each entry is in it.
func proveAll(t *testing.T, l *Log, roots []tlog.Hash) {
	t.Helper()
	size := int64(len(roots))
	last := roots[size-1]
	for i, root := range roots {
		index := int64(i)
		tree, err := l.ProveConsistency(index+1, size)
		if err == nil {
			err = tlog.CheckTree(tree, size, last, index+1, root)
		}
		if err != nil {
			t.Fatalf("tree of %d: %v", index+1, err)
		}
		inclusion, err := l.ProveInclusion(index, size)
		if err == nil {
			_, line := entryAt(t, l, index)
			err = tlog.CheckRecord(inclusion, size, last, index, tlog.RecordHash(line))
		}
		if err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
	}
}

func damageFirstSegment(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "segment-*"))
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}
