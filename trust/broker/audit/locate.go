package audit

import (
	"fmt"
	"sort"

	"golang.org/x/mod/sumdb/tlog"
)

// Proofs get proofs about the new checkpoint, from whoever has the log. They
// need not be trusted: a proof is checked against the checkpoint, and one that
// does not hold leaves the place of a change less exact.
type Proofs struct {
	// Consistency proves that the tree of a size is the beginning of the new one.
	Consistency func(size int64) (tlog.TreeProof, error)
	// Inclusion proves that an entry is in the new tree.
	Inclusion func(index int64) (tlog.RecordProof, error)
}

// rootOf is the root of a tree of these entries.
func rootOf(leaves []tlog.Hash) tlog.Hash {
	var f frontier
	for _, h := range leaves {
		f.add(h)
	}
	return f.root()
}

// locate makes a range of entries among which there is a change into the first
// entry that is another, as far as proofs tell.
func (v *verification) locate(wide *ChangeError) *ChangeError {
	read := v.leaves[:min(int64(len(v.leaves)), v.New.Size)]
	var failed error
	bad := sort.Search(len(read), func(i int) bool {
		if failed != nil {
			return true
		}
		good, err := v.begins(read[:i+1])
		failed = err
		return !good
	})
	switch {
	case failed != nil:
		return wide
	case bad < len(read):
		return v.named(read, int64(bad))
	case int64(len(read)) < v.New.Size:
		return &ChangeError{From: int64(len(read)), To: v.New.Size - 1, Reason: "missing at the end"}
	}
	return wide
}

// begins says whether entries are the first of the new checkpoint.
func (v *verification) begins(leaves []tlog.Hash) (bool, error) {
	size := int64(len(leaves))
	if size == v.New.Size {
		return rootOf(leaves) == v.New.Root, nil
	}
	proof, err := v.Proofs.Consistency(size)
	if err != nil {
		return false, err
	}
	return tlog.CheckTree(proof, v.New.Size, v.New.Root, size, rootOf(leaves)) == nil, nil
}

// named tells what happened to the first entry that is another.
func (v *verification) named(read []tlog.Hash, index int64) *ChangeError {
	is := func(index int64, leaf tlog.Hash) bool {
		proof, err := v.Proofs.Inclusion(index)
		return err == nil && tlog.CheckRecord(proof, v.New.Size, v.New.Root, index, leaf) == nil
	}
	one := func(format string, args ...any) *ChangeError {
		return &ChangeError{From: index, To: index, Reason: fmt.Sprintf(format, args...)}
	}
	if index+1 < v.New.Size && is(index+1, read[index]) {
		return one("entry %d stands in its place: it was cut out, or others were put in another order", index+1)
	}
	proof, err := v.Proofs.Inclusion(index)
	if err == nil {
		for other, leaf := range read {
			if tlog.CheckRecord(proof, v.New.Size, v.New.Root, index, leaf) == nil {
				return one("it stands in the place of entry %d: entries were put in another order, or some were put in", other)
			}
		}
	}
	return one("it was changed, or put in")
}
