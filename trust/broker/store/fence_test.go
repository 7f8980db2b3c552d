package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
	put(t, s, "a", "1") // it was not disturbed
	reader, err := Open(dir, Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(contents(t, s), contents(t, reader)); diff != "" {
		t.Error(diff)
	}
	if err := reader.Update(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, ErrReadOnly) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, mustOpen(t, dir, Options{}), "b", "2")
}

// takeOver opens a store as if there were no locks.
func takeOver(t *testing.T, dir string, first *Store) *Store {
	t.Helper()
	first.lock.release()
	return mustOpen(t, dir, Options{})
}

// TestFenced opens a store twice, as is possible without locks: the first may
// write no more, and what it acknowledged is there.
func TestFenced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := mustOpen(t, dir, Options{})
	put(t, first, "a", "1")
	second := takeOver(t, dir, first)
	for range 2 {
		err := first.Update(t.Context(), func(tx *Tx) error { return tx.Put("b", "lost", nil) })
		if !errors.Is(err, ErrFenced) {
			t.Errorf("got %v", err)
		}
	}
	if err := first.Compact(t.Context()); !errors.Is(err, ErrFenced) {
		t.Errorf("got %v", err)
	}
	put(t, second, "b", "2")
	third := takeOver(t, dir, second)
	want := map[string]string{"b/a": "1", "b/b": "2"}
	if diff := cmp.Diff(want, contents(t, third)); diff != "" {
		t.Error(diff)
	}
	if err := third.Compact(t.Context()); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, contents(t, takeOver(t, dir, third))); diff != "" {
		t.Error(diff)
	}
}

// TestTakenOverUnderLoad has one store after another take over while those
// before it write and compact: whatever was acknowledged is in the last.
func TestTakenOverUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var mu sync.Mutex
	want := map[string]string{}
	var wg sync.WaitGroup
	var acknowledged atomic.Int64
	s := mustOpen(t, dir, Options{CompactAt: 500})
	for g := range 20 {
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					key := fmt.Sprint(g, "-", w, "-", i)
					err := s.Update(t.Context(), func(tx *Tx) error { return tx.Put("b", key, nil) })
					if errors.Is(err, ErrFenced) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					acknowledged.Add(1)
					mu.Lock()
					want["b/"+key] = ""
					mu.Unlock()
				}
			})
		}
		for acknowledged.Load() < int64(20*(g+1)) {
			put(t, s) // until some were
		}
		s.lock.release()
		next, err := Open(dir, Options{CompactAt: 500})
		if err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = next
	}
	got := contents(t, s)
	for key := range want {
		if _, ok := got[key]; !ok {
			t.Errorf("%s was acknowledged and is not there", key)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, contents(t, mustOpen(t, dir, Options{}))); diff != "" {
		t.Error(diff)
	}
}
