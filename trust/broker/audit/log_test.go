package audit

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
)

const origin = "broker.example/log"

// keys returns a log's key.
func keys(tb testing.TB) (note.Signer, note.Verifier) {
	tb.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		tb.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		tb.Fatal(err)
	}
	return signer, verifier
}

// quorum is a Quorum whose answers a test decides.
type quorum struct {
	mu     sync.Mutex
	err    error
	rounds []int64
}

func (q *quorum) Cosign(_ context.Context, c *Checkpoint, signed []byte, _ func(int64) (tlog.TreeProof, error)) (*Witnessed, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rounds = append(q.rounds, c.Size)
	if q.err != nil {
		return nil, q.err
	}
	return &Witnessed{Note: string(signed), Time: now()}, nil
}

func (q *quorum) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.err = err
}

func now() time.Time { return time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC) }

// newLog returns a log that runs, with its store and quorum.
func newLog(tb testing.TB, opts Options) (*Log, *store.Store, *quorum) {
	tb.Helper()
	st, err := store.Open(tb.TempDir(), store.Options{Create: true})
	if err != nil {
		tb.Fatal(err)
	}
	q := new(quorum)
	opts.Quorum, opts.Now = q, now
	if opts.Signer == nil {
		opts.Signer, opts.Verifier = keys(tb)
	}
	l, err := Open(st, opts)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	tb.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l, st, q
}

// add appends an entry and returns its index.
func add(tb testing.TB, st *store.Store, l *Log, subject string) (index int64) {
	tb.Helper()
	err := st.Update(context.Background(), func(tx *store.Tx) (err error) {
		index, err = l.Append(tx, &Entry{Type: "release", Subject: subject, Decision: Granted})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return index
}

func TestAppendAndProve(t *testing.T) {
	t.Parallel()
	l, st, _ := newLog(t, Options{})
	const n = 70
	var trees []tlog.Hash
	for i := range int64(n) {
		if got := add(t, st, l, fmt.Sprint("key ", i)); got != i {
			t.Fatalf("entry %d has index %d", i, got)
		}
		w, err := l.Wait(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if w.Size != i+1 {
			t.Fatalf("entry %d is in a tree of %d", i, w.Size)
		}
		trees = append(trees, w.Root)
	}
	for size := int64(1); size <= n; size++ {
		for old := int64(1); old <= size; old++ {
			proof, err := l.ProveConsistency(old, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(proof, size, trees[size-1], old, trees[old-1]); err != nil {
				t.Fatal(err)
			}
		}
		err := l.Entries(t.Context(), 0, size, func(index int64, line []byte) error {
			proof, err := l.ProveInclusion(index, size)
			if err != nil {
				return err
			}
			return tlog.CheckRecord(proof, size, trees[size-1], index, tlog.RecordHash(line))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.ProveInclusion(n, n+1); !errors.Is(err, ErrNoEntry) {
		t.Errorf("got %v", err)
	}
	if _, err := l.ProveConsistency(n, n+1); !errors.Is(err, ErrNoEntry) {
		t.Errorf("got %v", err)
	}
}

// TestWait has many wait while rounds fail and succeed.
func TestWait(t *testing.T) {
	t.Parallel()
	l, st, q := newLog(t, Options{})
	q.fail(errors.New("nobody answers"))
	index := add(t, st, l, "x")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if w, err := l.Wait(ctx, index); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "nobody answers") {
		t.Errorf("got %v, %v", w, err)
	}
	q.fail(ErrForked)
	if w, err := l.Wait(t.Context(), index); !errors.Is(err, ErrForked) || !errors.Is(err, ErrTampered) {
		t.Errorf("got %v, %v", w, err)
	}
	q.fail(nil)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			index := add(t, st, l, fmt.Sprint(i))
			w, err := l.Wait(t.Context(), index)
			if err != nil || w.Size <= index {
				t.Errorf("entry %d: %v, %v", index, w, err)
			}
		})
	}
	wg.Wait()
}

// TestRefusedByClock shows that what OnWitnessed refuses does not take effect.
func TestRefusedByClock(t *testing.T) {
	t.Parallel()
	wrong := errors.New("the clock is wrong")
	l, st, _ := newLog(t, Options{OnWitnessed: func(*store.Tx, *Witnessed) error { return wrong }})
	if w, err := l.Wait(t.Context(), add(t, st, l, "x")); !errors.Is(err, wrong) {
		t.Errorf("got %v, %v", w, err)
	}
	if l.Witnessed() != nil {
		t.Error("the checkpoint was taken")
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	l, st, q := newLog(t, Options{Heartbeat: 10 * time.Millisecond})
	if _, err := l.Wait(t.Context(), add(t, st, l, "x")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		q.mu.Lock()
		rounds := len(q.rounds)
		q.mu.Unlock()
		if rounds >= 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is co-signed while nothing happens")
		}
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	signer, verifier := keys(t)
	opts := Options{Signer: signer, Verifier: verifier, Quorum: new(quorum), Now: now}
	openStore := func() *store.Store {
		st, err := store.Open(dir, store.Options{Create: true})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := openStore()
	l, err := Open(st, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		add(t, st, l, fmt.Sprint(i))
	}
	if err := l.round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	want := l.Witnessed()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = openStore()
	if l, err = Open(st, opts); err != nil {
		t.Fatal(err)
	}
	if got := l.Witnessed(); got.Checkpoint != want.Checkpoint || got.Note != want.Note || !got.Time.Equal(want.Time) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for size := range int64(7) {
		kept := &Checkpoint{Origin: origin, Size: size}
		if err := l.Holds(kept); !errors.Is(err, ErrForked) {
			t.Errorf("another checkpoint of %d entries: got %v", size, err)
		}
	}
	if err := l.Holds(&want.Checkpoint); err != nil {
		t.Error(err)
	}
	other, _ := keys(t)
	signed, err := want.Checkpoint.Sign(other)
	if err != nil {
		t.Fatal(err)
	}
	// A log whose entries were exchanged is noticed.
	for name, change := range map[string]rewriting{
		"last entry cut": {entry: func(i int, b []byte) []byte { return only(i != 4, b) }},
		"entry missing":  {entry: func(i int, b []byte) []byte { return only(i != 2, b) }},
		"another root": {entry: func(i int, b []byte) []byte {
			if i == 4 {
				b[1] ^= 1
			}
			return b
		}},
		"checkpoint of another key": {head: fmt.Appendf(nil, `{"note":%q}`, signed)},
		"no JSON":                   {head: []byte("{")},
	} {
		if _, err := Open(rewritten(t, st, change), opts); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Open(rewritten(t, st, rewriting{}), opts); err != nil {
		t.Error(err)
	}
	if _, err := Open(st, opts); err != nil {
		t.Error(err)
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// rewriting is what is another in a copy of a store.
type rewriting struct {
	entry func(i int, b []byte) []byte // of the log; nil leaves it out
	head  []byte
}

func only(is bool, b []byte) []byte {
	if !is {
		return nil
	}
	return b
}

// rewritten returns another store, with what a store holds but for some of it.
func rewritten(tb testing.TB, st *store.Store, change rewriting) *store.Store {
	tb.Helper()
	other, err := store.Open(tb.TempDir(), store.Options{Create: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { other.Close() })
	err = st.View(func(from *store.Tx) error {
		return other.Update(tb.Context(), func(tx *store.Tx) error { return rewrite(tx, from, change) })
	})
	if err != nil {
		tb.Fatal(err)
	}
	return other
}

func rewrite(tx, from *store.Tx, change rewriting) error {
	for _, bucket := range from.Buckets() {
		for key, value := range from.Range(bucket, "", "") {
			if change.head != nil && bucket == bucketHead {
				value = change.head
			}
			if err := tx.Put(bucket, key, value); err != nil {
				return err
			}
		}
	}
	i := 0
	for entry, err := range from.Entries(logEntries, 0, from.Length(logEntries)) {
		if err != nil {
			return err
		}
		entry = bytes.Clone(entry)
		if change.entry != nil {
			entry = change.entry(i, entry)
		}
		i++
		if entry == nil {
			continue
		}
		if _, err := tx.Append(logEntries, entry); err != nil {
			return err
		}
	}
	return nil
}

func TestEntryRefused(t *testing.T) {
	t.Parallel()
	l, st, _ := newLog(t, Options{})
	for name, e := range map[string]*Entry{
		"no type":          {},
		"type of two":      {Type: "two words"},
		"unknown decision": {Type: "release", Decision: "maybe"},
		"too long":         {Type: "release", Reason: strings.Repeat("x", MaxEntry)},
	} {
		err := st.Update(t.Context(), func(tx *store.Tx) error {
			_, err := l.Append(tx, e)
			return err
		})
		if err == nil {
			t.Errorf("%s: it was appended", name)
		}
	}
	if n, err := l.Size(); n != 0 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
}
