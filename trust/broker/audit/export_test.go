package audit

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// exported is a log of n entries with the checkpoints of all sizes.
func exported(t *testing.T, n int) (lines, hashes []string, at []*Checkpoint) {
	t.Helper()
	signer, verifier := keys(t)
	l, st, _ := newLog(t, Options{Signer: signer, Verifier: verifier})
	var tree frontier
	at = append(at, &Checkpoint{Origin: origin, Root: tree.root()})
	for i := range n {
		index := add(t, st, l, fmt.Sprint("key ", i))
		w, err := l.Wait(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := OpenCheckpoint([]byte(w.Note), verifier)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, c)
	}
	var entries, sums bytes.Buffer
	signed, err := l.Export(t.Context(), &entries, &sums)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := OpenCheckpoint(signed, verifier)
	if err != nil {
		t.Fatal(err)
	}
	if *c != *at[n] {
		t.Fatalf("exported with %v, want %v", c, at[n])
	}
	return strings.SplitAfter(strings.TrimSuffix(entries.String(), "\n")+"\n", "\n")[:n], strings.SplitAfter(sums.String(), "\n")[:n], at
}

// TestVerifyFindsEveryChange tries on logs of several sizes every change of an
// entry, every cut, every exchange of two, and entries put in, from every old
// checkpoint on, with hashes and without.
func TestVerifyFindsEveryChange(t *testing.T) {
	t.Parallel()
	const n = 9
	lines, hashes, at := exported(t, n)
	verify := func(entries []string, old int, withHashes bool) (*Report, error) {
		in := Exported{Old: at[old], New: at[n], Entries: strings.NewReader(strings.Join(entries, ""))}
		if withHashes {
			in.Hashes = strings.NewReader(strings.Join(hashes, ""))
		}
		return Verify(in)
	}
	type change struct {
		name    string
		entries []string
		first   int64 // the first entry that is another
	}
	var changes []change
	for i := range lines {
		changed := slices.Clone(lines)
		changed[i] = strings.Replace(changed[i], "granted", "refused", 1)
		changes = append(
			changes,
			change{fmt.Sprintf("entry %d changed", i), changed, int64(i)},
			change{fmt.Sprintf("entry %d cut", i), slices.Delete(slices.Clone(lines), i, i+1), int64(i)},
			change{fmt.Sprintf("cut from entry %d on", i), lines[:i], int64(i)},
			change{fmt.Sprintf("entry put in before %d", i), slices.Insert(slices.Clone(lines), i, "{}\n"), int64(i)},
			change{fmt.Sprintf("entry %d with a carriage return", i), slices.Concat(lines[:i], []string{strings.Replace(lines[i], "\n", "\r\n", 1)}, lines[i+1:]), int64(i)},
			change{fmt.Sprintf("entry %d twice", i), slices.Insert(slices.Clone(lines), i, lines[i]), int64(i + 1)},
		)
		for j := range i {
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			changes = append(changes, change{fmt.Sprintf("entries %d and %d exchanged", j, i), swapped, int64(j)})
		}
	}
	changes = append(changes, change{"one more", append(slices.Clone(lines), "{}\n"), n})
	for old := range n + 1 {
		for _, withHashes := range []bool{true, false} {
			r, err := verify(lines, old, withHashes)
			if err != nil || r.Entries != n || r.Granted != n || r.Types["release"] != n {
				t.Fatalf("the log itself from %d on: %+v, %v", old, r, err)
			}
			for _, c := range changes {
				_, err := verify(c.entries, old, withHashes)
				var where *ChangeError
				if !errors.As(err, &where) || !errors.Is(err, ErrTampered) {
					t.Errorf("%s, from %d on, hashes %v: got %v", c.name, old, withHashes, err)
					continue
				}
				if where.From > c.first || where.To < c.first {
					t.Errorf("%s, from %d on, hashes %v: the error says %v", c.name, old, withHashes, err)
				}
				if withHashes && where.From != c.first {
					t.Errorf("%s, from %d on: the error is not exact: %v", c.name, old, err)
				}
				// Without hashes a change after the old checkpoint is not said
				// to be before it.
				if !withHashes && c.first >= int64(old) && where.From < int64(old) && old < n {
					t.Errorf("%s, from %d on: the error says %v", c.name, old, err)
				}
			}
		}
	}
}

// TestVerifyForgedHashes gives hashes that fit changed entries: then they count
// for nothing.
func TestVerifyForgedHashes(t *testing.T) {
	t.Parallel()
	lines, hashes, at := exported(t, 5)
	lines[2] = "{}\n"
	h := tlog.RecordHash([]byte("{}"))
	hashes[2] = fmt.Sprintf("%x\n", h[:])
	for name, sums := range map[string]string{
		"of the changed entry": strings.Join(hashes, ""), "none": "", "no hexadecimal": "x\n", "too many": strings.Repeat(hashes[0], 10),
		"one long line": strings.Repeat("0", 1<<20),
	} {
		_, err := Verify(Exported{New: at[5], Entries: strings.NewReader(strings.Join(lines, "")), Hashes: strings.NewReader(sums)})
		if !errors.Is(err, ErrTampered) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestVerifyCheckpoints(t *testing.T) {
	t.Parallel()
	lines, _, at := exported(t, 5)
	for name, test := range map[string]struct{ old, new *Checkpoint }{
		"another log":    {&Checkpoint{Origin: "x", Size: 3, Root: at[3].Root}, at[5]},
		"shorter":        {at[5], at[4]},
		"two histories":  {&Checkpoint{Origin: origin, Size: 5, Root: at[4].Root}, at[5]},
		"another past":   {&Checkpoint{Origin: origin, Size: 3, Root: at[4].Root}, at[5]},
		"another now":    {at[3], &Checkpoint{Origin: origin, Size: 5, Root: at[4].Root}},
		"another origin": {&Checkpoint{Origin: origin, Root: at[4].Root}, at[5]},
	} {
		_, err := Verify(Exported{Old: test.old, New: test.new, Entries: strings.NewReader(strings.Join(lines, ""))})
		if !errors.Is(err, ErrTampered) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOpenCheckpoint(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t)
	another, _ := keys(t)
	c := &Checkpoint{Origin: origin, Size: 3, Root: tlog.Hash{1}}
	sign := func(c *Checkpoint, by note.Signer) []byte {
		b, err := c.Sign(by)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := sign(c, signer)
	if got, _, err := OpenCheckpoint(good, verifier); err != nil || *got != *c {
		t.Fatalf("got %v, %v", got, err)
	}
	for i := range good {
		if i == len(good)-len("=\n")-1 {
			continue // the last digit of base64 has two bits that mean nothing
		}
		changed := bytes.Clone(good)
		changed[i] ^= 1
		if got, _, err := OpenCheckpoint(changed, verifier); err == nil {
			t.Errorf("byte %d changed: got %v", i, got)
		}
	}
	for name, signed := range map[string][]byte{
		"another key":  sign(c, another),
		"another log":  sign(&Checkpoint{Origin: "x", Size: 3}, signer),
		"no signature": []byte(c.Text()),
		"negative":     sign(&Checkpoint{Origin: origin, Size: -1}, signer),
		"empty":        nil,
		"too long":     append(bytes.Clone(good), make([]byte, MaxCheckpoint)...),
	} {
		if got, _, err := OpenCheckpoint(signed, verifier); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	signer, verifier := keys(t)
	l, st, _ := newLog(t, Options{Signer: signer, Verifier: verifier})
	if _, err := l.Prove(0); !errors.Is(err, ErrNoEntry) {
		t.Errorf("got %v", err)
	}
	for i := range 7 {
		add(t, st, l, fmt.Sprint(i))
	}
	if _, err := l.Wait(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	err := l.Entries(t.Context(), 0, -1, func(index int64, line []byte) error {
		p, err := l.Prove(index)
		if err != nil {
			return err
		}
		text, err := p.MarshalText()
		if err != nil {
			return err
		}
		var read Proof
		if err := read.UnmarshalText(text); err != nil {
			return err
		}
		c, _, err := OpenCheckpoint(read.Checkpoint, verifier)
		if err != nil {
			return err
		}
		if err := read.Check(c, append(bytes.Clone(line), ' ')); !errors.Is(err, ErrTampered) {
			t.Errorf("another entry: got %v", err)
		}
		if err := (&Proof{Index: (index + 1) % 7, Hashes: p.Hashes}).Check(c, line); !errors.Is(err, ErrTampered) {
			t.Errorf("another index: got %v", err)
		}
		return read.Check(c, line)
	})
	if err != nil {
		t.Error(err)
	}
}

func FuzzProof(f *testing.F) {
	f.Add("c2sp.org/tlog-proof@v1\nindex 7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nlog\n8\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— log AAAAAA==\n")
	f.Add("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n\nlog\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")
	f.Fuzz(func(t *testing.T, text string) {
		var p Proof
		if err := p.UnmarshalText([]byte(text)); err != nil {
			return
		}
		again, err := p.MarshalText()
		if err != nil || string(again) != text && !strings.Contains(text, "\nextra ") {
			t.Errorf("%q is written as %q, %v", text, again, err)
		}
		c, err := ParseCheckpoint(string(p.Checkpoint))
		if err != nil {
			return
		}
		if err := p.Check(c, []byte("x")); err == nil && c.Root != tlog.RecordHash([]byte("x")) && len(p.Hashes) == 0 {
			t.Error("proven by nothing")
		}
	})
}

func FuzzVerify(f *testing.F) {
	h := tlog.RecordHash([]byte("{}"))
	f.Add("{}\n", fmt.Sprintf("%x\n", h[:]), "log\n1\n"+h.String()+"\n")
	f.Add("{}\n{}\n", "", "log\n2\n"+h.String()+"\n")
	f.Fuzz(func(t *testing.T, entries, hashes, checkpoint string) {
		c, err := ParseCheckpoint(checkpoint)
		if err != nil {
			return
		}
		r, err := Verify(Exported{New: c, Entries: strings.NewReader(entries), Hashes: strings.NewReader(hashes)})
		if err == nil && r.Entries != c.Size {
			t.Errorf("%d entries are verified as %d", r.Entries, c.Size)
		}
	})
}

// FuzzCheckpoint reads anything as a checkpoint. There is one text of each but for
// the lines that a log may add.
func FuzzCheckpoint(f *testing.F) {
	f.Add("log\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")
	f.Add("log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\n\n— log AAAA\n")
	f.Add("log\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCheckpoint(text)
		if err != nil {
			return
		}
		if !strings.HasPrefix(text+"\n", c.Text()) {
			t.Errorf("%q is written as %q", text, c.Text())
		}
		again, err := ParseCheckpoint(c.Text())
		if err != nil || *again != *c {
			t.Errorf("%q is read as %v, %v", c.Text(), again, err)
		}
	})
}
