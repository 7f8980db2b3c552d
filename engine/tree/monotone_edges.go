package tree

import (
	"math"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/random"
)

// thresholdBounds has the bounds of both children for every threshold on one
// column: left[b] those of rows in the bins up to b, right[b] those of rows from
// b on. It is empty where they are those of the leaf.
type thresholdBounds struct{ left, right []bounds }

func (t *thresholdBounds) at(threshold int, all bounds) (left, right bounds) {
	if len(t.left) == 0 {
		return all, all
	}
	return t.left[threshold], t.right[threshold+1]
}

// set finds the bounds on a numerical column. Missing values go where the bin
// missingAt goes.
func (t *thresholdBounds) set(d *dataset.Dataset, column, missingAt int, l *leafTerms) {
	t.clear()
	own := numericalSpan(d, column)
	if s := spanOf(l.box, column); s != nil {
		own = *s
	}
	whole := unbounded // by neighbours of the whole leaf
	for i := range l.around {
		n := &l.around[i]
		theirs := spanOf(n.box, column)
		if theirs == nil || n.column == column {
			n.bound(&whole)
			continue
		}
		if len(t.left) == 0 {
			t.reset(d.Columns[column].Mapper.NumBins)
		}
		// The left child has neighbours that begin up to the threshold, the
		// right one those that end beyond it.
		if lo, hi := max(own.lo, theirs.lo), min(own.hi, theirs.hi); lo <= hi {
			n.bound(&t.left[lo])
			n.bound(&t.right[hi])
		}
		if own.missing && theirs.missing {
			n.bound(&t.left[missingAt])
			n.bound(&t.right[missingAt])
		}
	}
	if len(t.left) == 0 {
		return
	}
	last := len(t.left) - 1
	t.left[0].tighten(whole)
	t.right[last].tighten(whole)
	for bin := range last {
		t.left[bin+1].tighten(t.left[bin])
		t.right[last-bin-1].tighten(t.right[last-bin])
	}
}

func (t *thresholdBounds) reset(bins int) {
	t.left = slices.Grow(t.left, bins)[:bins]
	for i := range t.left {
		t.left[i] = unbounded
	}
	t.right = append(t.right[:0], t.left...)
}

func (t *thresholdBounds) clear() { t.left, t.right = t.left[:0], t.right[:0] }

// tighten keeps values within other bounds too.
func (b *bounds) tighten(by bounds) {
	b.raise(by.lo)
	b.lower(by.hi)
}

// spanOf is the part of a column's bins that rows of a box may have, or nil for
// all.
func spanOf(box []span, column int) *span {
	for i := range box {
		if box[i].column == column {
			return &box[i]
		}
	}
	return nil
}

// columnMemo is the best split on a numerical column within bounds. When a
// leaf is searched anew most columns have the bounds that they had.
type columnMemo struct {
	bounds uint64 // hash of them
	best   split
}

// memoLimit is the greatest number of memos in a tree, some hundred megabytes.
const memoLimit = 1 << 20

func newMemo(columns int) []columnMemo {
	memo := make([]columnMemo, columns)
	for c := range memo {
		memo[c].best = noSplit
	}
	return memo
}

// memoOf is the memo of a column, or nil for none. It has a split on the column
// if the bounds are those within which that was found.
func (s *searcher) memoOf(column int, t *leafTerms) *columnMemo {
	m := s.data.Columns[column].Mapper
	if t.memo == nil || m.Categorical {
		return nil
	}
	hash := uint64(0)
	missing := []int{0, m.NumBins - 1}
	if m.NumBins <= 2 || m.Missing == dataset.MissingNone {
		missing = []int{ownBin(m)}
	}
	for _, bin := range missing {
		s.edges.set(s.data, column, bin, t)
		hash = s.edges.hash(hash, t.limit)
	}
	memo := &t.memo[column]
	if memo.bounds != hash {
		*memo = columnMemo{bounds: hash, best: noSplit}
	}
	return memo
}

// hash adds the bounds to a hash: only where they change, which is rare.
func (t *thresholdBounds) hash(h uint64, all bounds) uint64 {
	if len(t.left) == 0 {
		return random.Extend(random.Extend(h, math.Float64bits(all.lo)), math.Float64bits(all.hi))
	}
	for _, list := range [2][]bounds{t.left, t.right} {
		last := unbounded
		for bin, b := range list {
			if b != last {
				h = random.Extend(random.Extend(random.Extend(h, uint64(bin)), math.Float64bits(b.lo)), math.Float64bits(b.hi))
				last = b
			}
		}
	}
	return h
}
