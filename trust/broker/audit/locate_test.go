package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
)

// proofsOf proves from the hashes of a log's entries, as its broker does.
func proofsOf(t *testing.T, hashes []string) *Proofs {
	t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			out[i] = stored[index]
		}
		return out, nil
	})
	for i, text := range hashes {
		b, err := hex.DecodeString(strings.TrimSpace(text))
		if err != nil {
			t.Fatal(err)
		}
		more, err := tlog.StoredHashesForRecordHash(int64(i), tlog.Hash(b), reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	n := int64(len(hashes))
	return &Proofs{
		Consistency: func(size int64) (tlog.TreeProof, error) { return tlog.ProveTree(n, size, reader) },
		Inclusion:   func(index int64) (tlog.RecordProof, error) { return tlog.ProveRecord(n, index, reader) },
	}
}

// TestLocate finds every change to the entry by proofs, without hashes.
func TestLocate(t *testing.T) {
	t.Parallel()
	const n = 9
	lines, hashes, at := exported(t, n)
	proofs := proofsOf(t, hashes)
	wanted := func(name string, entries []string, first int64, reason string) {
		t.Helper()
		_, err := Verify(Exported{New: at[n], Entries: strings.NewReader(strings.Join(entries, "")), Proofs: proofs})
		var where *ChangeError
		if !errors.As(err, &where) || where.From != first || !strings.Contains(where.Reason, reason) {
			t.Errorf("%s: got %v, want entry %d: %s", name, err, first, reason)
		}
	}
	if _, err := Verify(Exported{New: at[n], Entries: strings.NewReader(strings.Join(lines, "")), Proofs: proofs}); err != nil {
		t.Fatal(err)
	}
	for i := range lines {
		index := int64(i)
		changed := slices.Clone(lines)
		changed[i] = strings.Replace(changed[i], "granted", "refused", 1)
		wanted(fmt.Sprintf("%d changed", i), changed, index, "changed")
		cut := slices.Delete(slices.Clone(lines), i, i+1)
		if i < n-1 {
			wanted(fmt.Sprintf("%d cut", i), cut, index, fmt.Sprintf("entry %d stands in its place", i+1))
		} else {
			wanted("the last cut", cut, index, "missing at the end")
		}
		wanted(fmt.Sprintf("put in before %d", i), slices.Insert(slices.Clone(lines), i, "{}\n"), index, "")
		for j := range i {
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			wanted(fmt.Sprintf("%d and %d exchanged", j, i), swapped, int64(j), "")
		}
	}
	// Proofs that fail, or lie, leave the range.
	changed := slices.Clone(lines)
	changed[4] = "{}\n"
	for name, p := range map[string]*Proofs{
		"failing": {
			Consistency: func(int64) (tlog.TreeProof, error) { return nil, errors.New("no") },
			Inclusion:   func(int64) (tlog.RecordProof, error) { return nil, errors.New("no") },
		},
		"lying": {
			Consistency: func(int64) (tlog.TreeProof, error) { return tlog.TreeProof{{1}}, nil },
			Inclusion:   func(int64) (tlog.RecordProof, error) { return tlog.RecordProof{{1}}, nil },
		},
	} {
		_, err := Verify(Exported{New: at[n], Entries: strings.NewReader(strings.Join(changed, "")), Proofs: p})
		if !errors.Is(err, ErrTampered) {
			t.Errorf("%s proofs: %v", name, err)
		}
	}
}

// TestKept finds a rewritten past by what was kept, even if the log signed it.
func TestKept(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t)
	l, st, _ := newLog(t, Options{Signer: signer, Verifier: verifier})
	for i := range 5 {
		if _, err := l.Wait(t.Context(), add(t, st, l, fmt.Sprint("key ", i))); err != nil {
			t.Fatal(err)
		}
	}
	var entries bytes.Buffer
	signed, err := l.Export(t.Context(), &entries, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := OpenCheckpoint(signed, verifier)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Verify(Exported{New: c, Entries: bytes.NewReader(entries.Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	kept := &Kept{LogKey: "key", Checkpoint: signed, Leaves: r.Leaves}
	text, err := kept.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	read := new(Kept)
	if err := read.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	old, err := read.Open(verifier)
	if err != nil || *old != *c {
		t.Fatalf("%v, %v", old, err)
	}
	// The log signs another past.
	lines := strings.SplitAfter(strings.TrimSuffix(entries.String(), "\n")+"\n", "\n")[:5]
	lines[3] = strings.Replace(lines[3], "granted", "refused", 1)
	var forged frontier
	for _, line := range lines {
		forged.add(tlog.RecordHash([]byte(strings.TrimSuffix(line, "\n"))))
	}
	other := &Checkpoint{Origin: c.Origin, Size: 5, Root: forged.root()}
	_, err = Verify(Exported{Old: old, OldLeaves: read.Leaves, New: other, Entries: strings.NewReader(strings.Join(lines, ""))})
	var where *ChangeError
	if !errors.As(err, &where) || where.From != 3 || where.To != 3 {
		t.Errorf("a rewritten past: %v", err)
	}
	// What was kept is checked as well.
	read.Leaves[2][0] ^= 1
	if _, err := read.Open(verifier); !errors.Is(err, ErrTampered) {
		t.Errorf("changed hashes: %v", err)
	}
}

// TestReadStored finds an entry that was changed in the store.
func TestReadStored(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t)
	l, st, _ := newLog(t, Options{Signer: signer, Verifier: verifier})
	for i := range 5 {
		if _, err := l.Wait(t.Context(), add(t, st, l, fmt.Sprint("key ", i))); err != nil {
			t.Fatal(err)
		}
	}
	check := func(st *store.Store) error {
		return ReadStored(st, func(s *Stored) error {
			c, _, err := OpenCheckpoint(s.Checkpoint, verifier)
			if err != nil {
				return err
			}
			var entries, hashes bytes.Buffer
			for r, err := range s.Records(c.Size) {
				if err != nil {
					return err
				}
				fmt.Fprintf(&entries, "%s\n", r.Line)
				fmt.Fprintf(&hashes, "%x\n", r.Leaf[:])
			}
			_, err = Verify(Exported{New: c, Entries: &entries, Hashes: &hashes})
			return err
		})
	}
	if err := check(st); err != nil {
		t.Fatal(err)
	}
	for _, edit := range []func([]byte) []byte{
		func(b []byte) []byte { return bytes.Replace(b, []byte("granted"), []byte("refused"), 1) },
		func([]byte) []byte { return []byte{7} },
	} {
		changed := rewritten(t, st, rewriting{entry: func(i int, b []byte) []byte {
			if i == 2 {
				return edit(b)
			}
			return b
		}})
		var where *ChangeError
		if err := check(changed); !errors.As(err, &where) || where.From != 2 || where.To != 2 {
			t.Errorf("got %v, want entry 2", err)
		}
	}
}

// FuzzOpenTime opens statements of the time that somebody changed.
func FuzzOpenTime(f *testing.F) {
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		f.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		f.Fatal(err)
	}
	l := &Log{opts: Options{Signer: signer}}
	now := time.Date(2026, 11, 25, 9, 0, 0, 123456000, time.UTC)
	good, err := l.SignTime([32]byte{1}, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(strings.Replace(good, "2026", "2027", 1))
	f.Add(strings.Replace(good, "\n\n", "\n1\n\n", 1))
	f.Fuzz(func(t *testing.T, signed string) {
		at, err := OpenTime(signed, verifier, [32]byte{1})
		if err == nil && !at.Equal(now) {
			t.Errorf("%q tells %s", signed, at)
		}
		if signed == good && err != nil {
			t.Error(err)
		}
		if _, err := OpenTime(signed, verifier, [32]byte{2}); err == nil {
			t.Errorf("%q is for every nonce", signed)
		}
	})
}

// TestTimeIsNoCheckpoint uses a signature of one for the other.
func TestTimeIsNoCheckpoint(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t)
	l := &Log{opts: Options{Signer: signer}}
	signed, err := l.SignTime([32]byte{1}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenCheckpoint([]byte(signed), verifier); err == nil {
		t.Error("the time is a checkpoint")
	}
	checkpoint, err := (&Checkpoint{Origin: origin, Size: 1}).Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTime(string(checkpoint), verifier, [32]byte{}); err == nil {
		t.Error("a checkpoint is the time")
	}
}

// FuzzKept reads what somebody else wrote into a state.
func FuzzKept(f *testing.F) {
	f.Add([]byte(`{"format":"cloister-audit-state/1","log_key":"k","checkpoint":"log\n0\nAAAA\n","leaves":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var k, again Kept
		if k.UnmarshalText(text) != nil {
			return
		}
		out, err := k.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(out); err != nil || len(again.Leaves) != len(k.Leaves) {
			t.Errorf("%q is written as %q: %v", text, out, err)
		}
	})
}
