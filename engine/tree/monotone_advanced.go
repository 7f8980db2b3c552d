package tree

import (
	"slices"

	"cloister/engine/dataset"
)

// The advanced method does not gather a leaf's bounds on the way down, as the
// other methods do: a leaf knows the leaves that bound it now, its neighbours.
// Each bounds only that part of the leaf next to which it lies, so that a split
// on a column has bounds of its own for every threshold, and the bounds of a
// leaf loosen when a neighbour is split. That leaves' values are in order stays
// true from split to split: the children's neighbours are among their parent's,
// so that the parent's value is within the bounds of both, and they are put in
// order to each other (LightGBM's AdvancedLeafConstraints gets at its bounds by
// walking the tree; see also C. Auguste, S. Malory, I. Smirnov, "A better method
// to enforce monotonic constraints in regression and classification trees",
// 2020).

// neighbour is a leaf whose value bounds that of another.
type neighbour struct {
	id     uint64 // of the leaf
	box    []span
	column int // the only one that parts the two
	sign   int // 1 if the value is the least that the other leaf may have, -1 if the greatest
	value  float64
}

// bears tells how a leaf bounds another one: 1 from below, -1 from above, 0 not
// at all. Own is the box of the leaf that is bounded.
func (g *Grower) bears(own, theirs []span) (sign, column int) {
	a, b := parts(own, theirs)
	if a == nil || a.lo > a.hi || b.lo > b.hi {
		return 0, 0 // also where one of them has missing values alone
	}
	sign = int(g.opt.monotone(&g.data.Columns[a.column]))
	if a.lo < b.lo {
		sign = -sign
	}
	return sign, a.column
}

func (n *neighbour) bound(b *bounds) {
	if n.sign > 0 {
		b.raise(n.value)
	} else {
		b.lower(n.value)
	}
}

// meet adds a leaf to a leaf's neighbours if it is one.
func (g *Grower) meet(l, by *leaf) bool {
	sign, column := g.bears(l.box, by.box)
	if sign != 0 {
		l.around = append(l.around, neighbour{id: by.id(), box: by.box, column: column, sign: sign, value: by.output})
	}
	return sign != 0
}

// setLimit derives a leaf's bounds from its neighbours.
func (l *leaf) setLimit() {
	l.limit = unbounded
	for i := range l.around {
		l.around[i].bound(&l.limit)
	}
}

// settle sets the neighbours, bounds and values of the children of a split.
func (g *Grower) settle(parent, left, right *leaf, s *split) {
	for _, child := range []*leaf{left, right} {
		packed := s.left
		if child.right {
			packed = parent.total - s.left
		}
		child.around = nil
		for _, n := range parent.around {
			if sign, _ := g.bears(child.box, n.box); sign != 0 {
				child.around = append(child.around, n)
			}
		}
		child.setLimit()
		child.output = child.limit.clamp(g.opt.smooth(g.outputOf(packed, s.l2), child.rows, parent.output))
	}
	low, high := left, right
	switch g.opt.monotone(&g.data.Columns[s.column]) {
	case 0:
		return
	case -1:
		low, high = right, left
	}
	if low.output > high.output {
		// Only a forced split gets here. Both bounds hold the parent's value.
		both := bounds{max(low.limit.lo, high.limit.lo), min(low.limit.hi, high.limit.hi)}
		mean := both.clamp(low.output + float64((high.output-low.output)/2))
		low.output, high.output = mean, mean
	}
	if g.meet(left, right) {
		left.setLimit()
	}
	if g.meet(right, left) {
		right.setLimit()
	}
}

// meetOthers is boundOthers for the advanced method: neighbours of the leaf
// that was split have its children for neighbours now.
func (g *Grower) meetOthers(leaves []leaf, at int) {
	last := len(leaves) - 1
	for i := range leaves[:last] {
		other := &leaves[i]
		if i == at {
			continue
		}
		left, _ := g.bears(other.box, leaves[at].box)
		right, _ := g.bears(other.box, leaves[last].box)
		if left == 0 && right == 0 {
			continue
		}
		before := other.around
		other.around = nil
		for j := range leaves {
			if j != i {
				g.meet(other, &leaves[j])
			}
		}
		other.setLimit()
		if other.best.gain > 0 && !g.boundsStay(other, before) {
			g.searchAgain(other)
		}
	}
}

// boundsStay reports whether the neighbours that a leaf got and lost make no
// difference: each is outdone by one that stayed. Most do not matter.
func (g *Grower) boundsStay(l *leaf, before []neighbour) bool {
	known := func(list []neighbour, id uint64) bool {
		return slices.ContainsFunc(list, func(n neighbour) bool { return n.id == id })
	}
	var stayed, changed []neighbour
	for _, n := range l.around {
		if known(before, n.id) {
			stayed = append(stayed, n)
		} else {
			changed = append(changed, n)
		}
	}
	for _, n := range before {
		if !known(stayed, n.id) {
			changed = append(changed, n)
		}
	}
	return !slices.ContainsFunc(changed, func(n neighbour) bool {
		return !slices.ContainsFunc(stayed, func(by neighbour) bool { return g.outdone(l, &n, &by) })
	})
}

// outdone reports whether a neighbour bounds nothing of the leaf that another
// one does not bound as closely.
func (g *Grower) outdone(l *leaf, n, by *neighbour) bool {
	if n.sign != by.sign || float64(n.sign)*n.value > float64(n.sign)*by.value {
		return false
	}
	for i := range by.box {
		s := &by.box[i]
		switch {
		case s.column == by.column:
			continue // the whole leaf lies beyond
		case s.column == n.column:
			return false
		case s.bins != nil:
			own, theirs := g.spanOf(l.box, s.column), g.spanOf(n.box, s.column)
			for w := range s.bins {
				if own.bins[w]&theirs.bins[w]&^s.bins[w] != 0 {
					return false
				}
			}
			continue
		}
		own, theirs := g.spanOf(l.box, s.column), g.spanOf(n.box, s.column)
		lo, hi := max(own.lo, theirs.lo), min(own.hi, theirs.hi)
		if lo <= hi && (lo < s.lo || hi > s.hi) || own.missing && theirs.missing && !s.missing {
			return false
		}
	}
	return true
}

func (g *Grower) spanOf(box []span, column int) span {
	if s := spanOf(box, column); s != nil {
		return *s
	}
	return fullSpan(g.data, column)
}

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
	b.lo, b.hi = max(b.lo, by.lo), min(b.hi, by.hi)
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
