package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
)

// Export writes the log as an outsider checks it: one line of JSON for each
// entry, and, if hashes is not nil, one line with each entry's hash in
// hexadecimal. It returns the signed checkpoint that they are checked against:
// the last that was co-signed, or, if nothing is yet, one that the log alone
// signed.
func (l *Log) Export(ctx context.Context, entries, hashes io.Writer) (checkpoint []byte, err error) {
	var c *Checkpoint
	if w := l.Witnessed(); w != nil {
		c, checkpoint = &w.Checkpoint, []byte(w.Note)
	} else {
		err = l.st.View(func(tx *store.Tx) error {
			c, err = l.checkpoint(tx, -1)
			return err
		})
		if err != nil {
			return nil, err
		}
		if checkpoint, err = c.Sign(l.opts.Signer); err != nil {
			return nil, err
		}
	}
	out, sums := bufio.NewWriter(entries), bufio.NewWriter(io.Discard)
	if hashes != nil {
		sums = bufio.NewWriter(hashes)
	}
	err = l.Entries(ctx, 0, c.Size, func(_ int64, line []byte) error {
		h := tlog.RecordHash(line)
		fmt.Fprintf(sums, "%x\n", h[:])
		_, err := out.Write(append(line[:len(line):len(line)], '\n'))
		return err
	})
	return checkpoint, errors.Join(err, out.Flush(), sums.Flush())
}

// Exported is a log to verify.
type Exported struct {
	// Old is a checkpoint that was kept earlier, or nil; New is the one that the
	// entries came with. Both were opened with the log's key, and with those of
	// the witnesses.
	Old, New *Checkpoint
	Entries  io.Reader
	// Hashes say where a change is, to the entry. They need not be trusted. Nil
	// leaves the place between the checkpoints.
	Hashes io.Reader
	// Proofs say so where there are no hashes; nil if there are none either.
	Proofs *Proofs
	// OldLeaves are the hashes of the old checkpoint's entries, as Kept has them,
	// or nil.
	OldLeaves []tlog.Hash
	// Each is called with every entry, which is verified once Verify returns
	// without an error; nil calls nothing.
	Each func(index int64, line []byte) error
}

// Report is what a log that was verified has.
type Report struct {
	Entries int64          `json:"entries"`
	First   time.Time      `json:"first,omitzero"`
	Last    time.Time      `json:"last,omitzero"`
	Granted int64          `json:"granted"`
	Refused int64          `json:"refused"`
	Types   map[string]int `json:"types"`
	// Leaves are the hashes of all entries.
	Leaves []tlog.Hash `json:"-"`
}

// ChangeError says which entries are not those that were signed.
type ChangeError struct {
	// From and To are the first and the last of the entries among which the
	// change is.
	From, To int64
	Reason   string
}

// Error implements error.
func (e *ChangeError) Error() string {
	if e.From == e.To {
		return fmt.Sprintf("entry %d: %s", e.From, e.Reason)
	}
	return fmt.Sprintf("entries %d to %d: %s", e.From, e.To, e.Reason)
}

// Unwrap makes every ChangeError an ErrTampered.
func (*ChangeError) Unwrap() error { return ErrTampered }

// Verify checks that the entries are those of the new checkpoint, all of them
// and in their order, and that they begin with those of the old one. A
// *ChangeError says where they are not.
func Verify(in Exported) (*Report, error) {
	if old := in.Old; old != nil {
		switch {
		case old.Origin != in.New.Origin:
			return nil, fmt.Errorf("the checkpoints are of two logs, %s and %s: %w", old.Origin, in.New.Origin, ErrTampered)
		case old.Size > in.New.Size:
			return nil, &ChangeError{From: in.New.Size, To: old.Size - 1, Reason: fmt.Sprintf("the log had them and has them no more: the new checkpoint is of %d entries", in.New.Size)}
		case old.Size == in.New.Size && old.Root != in.New.Root && in.OldLeaves == nil:
			return nil, &ChangeError{From: 0, To: max(old.Size-1, 0), Reason: "two checkpoints of one size have different roots: the log showed two histories"}
		}
	}
	hashes, err := in.readHashes()
	if err != nil {
		return nil, err
	}
	v := verification{Exported: in, hashes: hashes, report: &Report{Types: map[string]int{}}}
	err = v.read()
	var change *ChangeError
	if errors.As(err, &change) && change.From != change.To && v.Proofs != nil {
		err = v.locate(change)
	}
	if err != nil {
		return nil, err
	}
	v.report.Leaves = v.leaves
	return v.report, nil
}

// readHashes returns the hashes if they are those of the new checkpoint, or nil:
// then the entries alone must do.
func (in *Exported) readHashes() ([]tlog.Hash, error) {
	if in.Hashes == nil {
		return nil, nil
	}
	var hashes []tlog.Hash
	var tree frontier
	lines := bufio.NewScanner(in.Hashes)
	for lines.Scan() {
		b, err := hex.DecodeString(lines.Text())
		if err != nil || len(b) != tlog.HashSize || tree.size == in.New.Size {
			return nil, nil //nolint:nilerr // they are not to be trusted
		}
		hashes = append(hashes, tlog.Hash(b))
		tree.add(tlog.Hash(b))
	}
	if err := lines.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("read the hashes: %w", err)
	}
	if tree.size != in.New.Size || tree.root() != in.New.Root {
		return nil, nil
	}
	return hashes, nil
}

// verification is one run of Verify.
type verification struct {
	Exported
	hashes []tlog.Hash // of the new checkpoint, if known
	leaves []tlog.Hash // of what was read
	tree   frontier
	report *Report
}

func (v *verification) read() error {
	lines := bufio.NewScanner(v.Entries)
	lines.Buffer(make([]byte, 0, 4096), MaxEntry+2)
	lines.Split(scanLines)
	for lines.Scan() {
		if err := v.entry(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return &ChangeError{From: v.tree.size, To: v.tree.size, Reason: "its line is longer than any that is written"}
	} else if err != nil {
		return fmt.Errorf("read the entries: %w", err)
	}
	if err := v.checkRoots(); err != nil {
		return err
	}
	switch have := v.tree.size; {
	case have == v.New.Size:
		return nil
	case v.hashes != nil:
		return &ChangeError{From: have, To: v.New.Size - 1, Reason: "missing at the end"}
	default:
		return &ChangeError{From: v.known(), To: v.New.Size - 1, Reason: fmt.Sprintf("some are missing: there are %d of %d in all", have, v.New.Size)}
	}
}

// scanLines splits at newlines and takes nothing else away, as bufio.ScanLines
// does: a line is hashed as it is.
func scanLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func (v *verification) entry(line []byte) error {
	index := v.tree.size
	if err := v.checkRoots(); err != nil {
		return err
	}
	if index == v.New.Size {
		return &ChangeError{From: index, To: index, Reason: "it follows the last that was signed"}
	}
	h := tlog.RecordHash(line)
	if v.hashes != nil && h != v.hashes[index] {
		return v.whatChanged(index, h)
	}
	if index < int64(len(v.OldLeaves)) && h != v.OldLeaves[index] {
		return &ChangeError{From: index, To: index, Reason: fmt.Sprintf("it is not the one that was there at the old checkpoint of %d entries", v.Old.Size)}
	}
	v.tree.add(h)
	v.leaves = append(v.leaves, h)
	v.count(line)
	if v.Each != nil {
		return v.Each(index, line)
	}
	return nil
}

// whatChanged tells of an entry whose hash is not the one that was signed.
func (v *verification) whatChanged(index int64, h tlog.Hash) error {
	for other, signed := range v.hashes {
		if signed == h {
			return &ChangeError{From: index, To: index, Reason: fmt.Sprintf("entry %d stands in its place: entries were cut, repeated or put in another order", other)}
		}
	}
	return &ChangeError{From: index, To: index, Reason: "it was changed, or put in"}
}

// checkRoots compares the tree where a checkpoint was signed.
func (v *verification) checkRoots() error {
	size := v.tree.size
	if v.Old != nil && size == v.Old.Size && v.tree.root() != v.Old.Root {
		return &ChangeError{From: 0, To: max(size-1, 0), Reason: "they are not those of the old checkpoint"}
	}
	if size == v.New.Size && v.tree.root() != v.New.Root {
		return &ChangeError{From: v.known(), To: max(size-1, 0), Reason: "they are not those of the new checkpoint"}
	}
	return nil
}

// known is up to where the entries that were read are those that were signed.
func (v *verification) known() int64 {
	if v.Old != nil && v.Old.Size <= v.tree.size && v.Old.Size < v.New.Size {
		return v.Old.Size
	}
	return 0
}

// count adds an entry to the report. What a newer version wrote counts too.
func (v *verification) count(line []byte) {
	r := v.report
	r.Entries++
	e, err := ParseEntry(line)
	if err != nil {
		r.Types["unreadable"]++
		return
	}
	r.Types[e.Type]++
	switch e.Decision {
	case Granted:
		r.Granted++
	case Refused:
		r.Refused++
	}
	if r.First.IsZero() {
		r.First = e.Time
	}
	r.Last = e.Time
}

// frontier is a growing tree's whole subtrees, the largest first: all that its
// root depends on (RFC 6962 section 2.1).
type frontier struct {
	size int64
	tops []tlog.Hash
}

func (f *frontier) add(h tlog.Hash) {
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.tops) - 1
		h = tlog.NodeHash(f.tops[last], h)
		f.tops = f.tops[:last]
	}
	f.tops = append(f.tops, h)
	f.size++
}

func (f *frontier) root() tlog.Hash {
	if f.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // there always is one
		return h
	}
	h := f.tops[len(f.tops)-1]
	for i := len(f.tops) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.tops[i], h)
	}
	return h
}
