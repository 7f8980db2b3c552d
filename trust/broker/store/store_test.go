package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// contents are all keys of a store, as bucket/key.
func contents(tb testing.TB, s *Store) map[string]string {
	tb.Helper()
	all := map[string]string{}
	err := s.View(func(tx *Tx) error {
		for _, bucket := range tx.Buckets() {
			for key, value := range tx.Range(bucket, "", "") {
				all[bucket+"/"+key] = string(value)
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func mustOpen(tb testing.TB, dir string, opts Options) *Store {
	tb.Helper()
	opts.Create = true
	s, err := Open(dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func put(tb testing.TB, s *Store, pairs ...string) {
	tb.Helper()
	err := s.Update(tb.Context(), func(tx *Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			if err := tx.Put("b", pairs[i], []byte(pairs[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func testKey(tb testing.TB) Sealer {
	tb.Helper()
	sealer, err := NewSealer(make([]byte, KeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return sealer
}

// protections are the two ways of storing.
func protections(tb testing.TB) map[string]Options {
	tb.Helper()
	return map[string]Options{"clear": {}, "sealed": {Sealer: testKey(tb)}}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	for name, opts := range protections(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "new")
			s := mustOpen(t, dir, opts)
			put(t, s, "a", "1", "b", "2", "c", "")
			put(t, s, "b", "3")
			err := s.Update(t.Context(), func(tx *Tx) error {
				if err := tx.Put("other", "x", []byte("y")); err != nil {
					return err
				}
				return tx.Delete("b", "a")
			})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"b/b": "3", "b/c": "", "other/x": "y"}
			for range 3 {
				if diff := cmp.Diff(want, contents(t, s)); diff != "" {
					t.Fatal(diff)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, dir, opts)
			}
			if err := s.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			put(t, s, "d", "4")
			want["b/d"] = "4"
			for range 3 {
				if diff := cmp.Diff(want, contents(t, s)); diff != "" {
					t.Fatal(diff)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, dir, opts)
			}
		})
	}
}

func TestNoStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(dir, Options{ReadOnly: true}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(filepath.Join(dir, "absent"), Options{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestRollBack(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir(), Options{})
	put(t, s, "a", "1", "b", "2")
	want := contents(t, s)
	change := func(tx *Tx) {
		tx.Put("b", "a", []byte("9"))
		tx.Put("b", "a", []byte("8"))
		tx.Delete("b", "b")
		tx.Put("b", "b", []byte("7"))
		tx.Delete("b", "b")
		tx.Put("new", "x", nil)
	}
	failure := errors.New("no")
	if err := s.Update(t.Context(), func(tx *Tx) error { change(tx); return failure }); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		s.Update(t.Context(), func(tx *Tx) error { change(tx); panic("no") })
	}()
	err := s.Update(t.Context(), func(tx *Tx) error {
		change(tx)
		tx.Put("b", string(make([]byte, MaxKey+1)), nil)
		return nil // the failure sticks although nobody looked at it
	})
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Update(ctx, func(*Tx) error { t.Error("it ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	put(t, s) // what was queued is the same too
	if diff := cmp.Diff(want, contents(t, s)); diff != "" {
		t.Error(diff)
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir(), Options{})
	var all []string
	err := s.Update(t.Context(), func(tx *Tx) error {
		for i := range 1000 {
			key := fmt.Sprintf("%03d", i)
			all = append(all, key)
			if err := tx.Put("b", key, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(tx *Tx) error {
		for name, test := range map[string]struct {
			from, to string
			want     []string
		}{
			"all":    {"", "", all},
			"from":   {"500", "", all[500:]},
			"to":     {"", "500", all[:500]},
			"middle": {"0995", "100", all[100:100]},
			"some":   {"0985", "101", all[99:101]},
			"64":     {"100", "164", all[100:164]},
		} {
			var got []string
			for key := range tx.Range("b", test.from, test.to) {
				got = append(got, key)
			}
			if diff := cmp.Diff(append([]string{}, test.want...), append([]string{}, got...)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		n := 0
		for range tx.Prefix("b", "07") {
			n++
		}
		if n != 10 {
			t.Errorf("%d keys with the prefix", n)
		}
		if key, _, ok := tx.Last("b"); !ok || key != "999" {
			t.Errorf("the last is %q", key)
		}
		return nil
	}
	if err := s.View(check); err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx *Tx) error {
		if err := check(tx); err != nil {
			return err
		}
		for key := range tx.Range("b", "", "") {
			if err := tx.Delete("b", key); err != nil {
				return err
			}
		}
		if n := tx.Len("b"); n != 0 {
			t.Errorf("%d keys stay", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAfter(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"": "", "a": "b", "a\xff": "b", "\xff\xff": "", "ab": "ac"} {
		if got := after(prefix); got != want {
			t.Errorf("after %q is %q", prefix, got)
		}
	}
}

// TestConcurrent counts under concurrent transactions and views, with
// compactions meanwhile.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := Options{CompactAt: 1000, Sealer: testKey(t)}
	s := mustOpen(t, dir, opts)
	const writers, each = 8, 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	committed := 0
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := s.Update(context.Background(), func(tx *Tx) error {
					value, _ := tx.Get("count", "n")
					n := 0
					fmt.Sscan(string(value), &n)
					tx.OnCommit(func() {
						mu.Lock()
						defer mu.Unlock()
						if committed != n {
							t.Errorf("commit %d comes after %d", n, committed)
						}
						committed = n + 1
					})
					if err := tx.Put("seen", fmt.Sprint(w, i), nil); err != nil {
						return err
					}
					return tx.Put("count", "n", fmt.Append(nil, n+1))
				})
				if err != nil {
					t.Error(err)
				}
				err = s.View(func(tx *Tx) error {
					value, _ := tx.Get("count", "n")
					if got, want := tx.Len("seen"), string(value); fmt.Sprint(got) != want {
						t.Errorf("%d keys at count %s", got, want)
					}
					if _, ok := tx.Get("seen", fmt.Sprint(w, i)); !ok {
						t.Error("a transaction is not seen after Update")
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	stats := s.Stats()
	if stats.Updates != writers*each || committed != writers*each {
		t.Errorf("%+v, %d committed", stats, committed)
	}
	if stats.Syncs >= stats.Updates {
		t.Errorf("%d transactions took %d syncs", stats.Updates, stats.Syncs)
	}
	if stats.Compactions == 0 {
		t.Error("nothing was compacted")
	}
	want := contents(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, mustOpen(t, dir, opts))); diff != "" {
		t.Error(diff)
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir(), Options{})
	put(t, s, "a", "1")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Update(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := s.Compact(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if got := contents(t, s)["b/a"]; got != "1" {
		t.Errorf("got %q", got)
	}
}
