package tree

import (
	"cmp"
	"slices"
)

// catBin is a category in the order of its mean gradient.
type catBin struct {
	bin   uint32
	score float64
}

// categorical finds the best split of categories. Bin 0 (missing and rare
// categories) always goes right. Few categories are tried one against the
// rest; many are ordered by gradient over hessian, in which order the best
// division is a prefix or a suffix (Fisher, "On Grouping for Maximum
// Homogeneity", JASA 53, 1958).
func (s *searcher) categorical(h []int64, t *leafTerms) split {
	if len(h) <= s.opt.MaxCatToOnehot {
		return s.oneVersusRest(h, t)
	}
	return s.manyVersusMany(h, t)
}

func (s *searcher) oneVersusRest(h []int64, t *leafTerms) split {
	best := noSplit
	bestGain := t.catFloor
	s.draw(t, len(h)-1)
	for bin := 1; bin < len(h); bin++ {
		hess, count := h[bin]&s.fix.hessMask, t.rows(h[bin], s.fix.hessMask)
		if count < t.least || t.count-count < t.least || hess < t.hessLeast || hess > t.hessMost {
			continue
		}
		var gain float64
		if s.special {
			gain = s.specialGain(t, h[bin], count, bin-1)
		} else {
			gain = s.gain(t, h[bin])
		}
		if gain > bestGain {
			bestGain = gain
			best = split{gain: gain - t.catShift, left: h[bin], leftRows: count, cat: []uint32{uint32(bin)}, l2: s.opt.L2}
		}
	}
	return best
}

func (s *searcher) manyVersusMany(h []int64, t *leafTerms) split {
	order := s.order[:0]
	for bin := 1; bin < len(h); bin++ {
		if float64(t.rows(h[bin], s.fix.hessMask)) < s.opt.CatSmooth {
			continue
		}
		score := s.fix.grad(h[bin]) / (s.fix.hess(h[bin]) + s.opt.CatSmooth)
		order = append(order, catBin{bin: uint32(bin), score: score})
	}
	s.order = order
	slices.SortStableFunc(order, func(a, b catBin) int { return cmp.Compare(a.score, b.score) })

	limit := min(s.opt.MaxCatThreshold, (len(order)+1)/2)
	s.draw(t, limit-1)
	best, size := s.prefix(h, t, limit, func(i int) uint32 { return order[i].bin })
	other, otherSize := s.prefix(h, t, limit, func(i int) uint32 { return order[len(order)-1-i].bin })
	if other.gain > best.gain {
		for i := range otherSize {
			other.cat = append(other.cat, order[len(order)-1-i].bin)
		}
		return other
	}
	for i := range size {
		best.cat = append(best.cat, order[i].bin)
	}
	return best
}

// prefix finds the best number of leading categories to send left, among the
// first limit of an order.
func (s *searcher) prefix(h []int64, t *leafTerms, limit int, at func(int) uint32) (best split, size int) {
	best = noSplit
	bestGain := t.catFloor
	l2 := s.opt.L2 + s.opt.CatL2
	var left int64
	count, group := 0, 0
	for i := range limit {
		v := h[at(i)]
		left += v
		count += t.rows(v, s.fix.hessMask)
		group += t.rows(v, s.fix.hessMask)
		hess := left & s.fix.hessMask
		if count < t.least || hess < t.hessLeast {
			continue
		}
		if t.count-count < max(t.least, s.opt.MinDataPerGroup) || hess > t.hessMost {
			break
		}
		if group < s.opt.MinDataPerGroup {
			continue
		}
		group = 0
		if s.pick >= 0 && i != s.pick {
			continue
		}
		gain := s.childrenGain(t, left, count, l2)
		if gain > bestGain {
			bestGain = gain
			best = split{gain: gain - t.catShift, left: left, leftRows: count, l2: l2}
			size = i + 1
		}
	}
	return best, size
}
