package tree

import "slices"

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
func (g *Grower) meet(l, by *leaf) {
	if sign, column := g.bears(l.box, by.box); sign != 0 {
		l.around = append(l.around, neighbour{id: by.id, box: by.box, column: column, sign: sign, value: by.output})
	}
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
	g.divided = parent.id
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
		if len(child.around) > 0 && len(g.data.Columns)*g.opt.NumLeaves <= memoLimit {
			child.memo = newMemo(len(g.data.Columns))
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
	g.meet(left, right)
	left.setLimit()
	g.meet(right, left)
	right.setLimit()
}

// meetOthers is boundOthers for the advanced method: neighbours of the leaf
// that was split have its children for neighbours now.
func (g *Grower) meetOthers(leaves []leaf, at int) {
	last := len(leaves) - 1
	for i := range leaves[:last] {
		l := &leaves[i]
		gone := slices.IndexFunc(l.around, func(n neighbour) bool { return n.id == g.divided })
		if i == at || gone < 0 {
			continue
		}
		parent := l.around[gone]
		l.around = slices.Delete(l.around, gone, gone+1)
		stayed := len(l.around)
		g.meet(l, &leaves[at])
		g.meet(l, &leaves[last])
		l.setLimit()
		changed := append(slices.Clone(l.around[stayed:]), parent)
		if l.best.gain > 0 && !g.allOutdone(l, changed, l.around[:stayed]) {
			g.searchAgain(l)
		}
	}
}

// allOutdone reports whether neighbours that a leaf got or lost make no
// difference, since others outdo each of them: most do not matter.
func (g *Grower) allOutdone(l *leaf, changed, others []neighbour) bool {
	for i := range changed {
		outdone := false
		for j := 0; j < len(others) && !outdone; j++ {
			outdone = g.outdone(l, &changed[i], &others[j])
		}
		if !outdone {
			return false
		}
	}
	return true
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
