package tree

import (
	"math"

	"cloister/engine/dataset"
)

// The search for the threshold of a numerical column is where small tables
// spend their time. A bin without rows is passed over: its threshold divides
// the rows as its neighbour's does. A threshold's gain, with its two divisions,
// is computed only if a product says that it may be the greatest so far.

// margin is more than what rounding makes of the products of a sieve.
const margin = 1e-9

// sieve tells which divisions of a leaf may gain more than the best so far,
// without a division. In fixed point the gain of children with gradients g, h
// and hessians a, b (regularisation included) is unit·(g²/a + h²/b).
type sieve struct {
	inverse float64 // 1/unit
	extra   float64 // regularisation, in units of the hessian
	least   float64 // g²/a + h²/b that passes
	off     bool    // numbers out of range: all pass
}

func (s *searcher) newSieve() sieve {
	unit := float64(s.fix.gradScale*s.fix.gradScale) / s.fix.hessScale
	f := sieve{inverse: 1 / unit, extra: (epsilon + s.opt.L2) / s.fix.hessScale}
	f.off = s.special || s.fix.discrete || !(unit > 1e-200 && unit < 1e200) || !(f.extra < 1e200)
	return f
}

func (f *sieve) raise(bestGain float64) {
	least := float64(bestGain * f.inverse)
	f.least = least - float64(math.Abs(least)*margin)
}

// passes is for a child with gradient g and hessian a, and the other one.
func (f *sieve) passes(g, a, h, b float64) bool {
	a += f.extra
	b += f.extra
	return float64(float64(g*g)*b)+float64(float64(h*h)*a) > float64(f.least*float64(a*b)) || f.off
}

// pass is the state of a search along a column.
type pass struct {
	sum      int64 // packed, of the bins so far
	count    int   // rows, likewise
	bestGain float64
	bestAt   int   // the bin of the best gain, or -1
	bestSum  int64 // and the state there
	bestRows int
	may      sieve
	fast     bool
	any      bool // the first threshold that passes will do
	done     bool // nothing is left to find
}

// newPass starts a search for gains above a value.
func newPass(t *leafTerms, above float64, anyGain bool) pass {
	p := pass{bestGain: above, bestAt: -1, may: t.may, fast: scanFast && !t.may.off, any: anyGain}
	p.may.raise(above)
	return p
}

func (p *pass) found(gain float64, at int) {
	p.bestGain, p.bestAt, p.bestSum, p.bestRows = gain, at, p.sum, p.count
	p.may.raise(gain)
	p.done = p.any
}

// fromRight tries the thresholds from the greatest down, gathering the right
// child; bins that are left out (the skipped default bin, and the bin of NaN
// beyond h) go left with the default direction.
func (s *searcher) fromRight(h []int64, t *leafTerms, skip int, above float64, anyGain bool) split {
	p := newPass(t, above, anyGain)
	if 1 <= skip && skip < len(h) {
		s.down(&p, h, len(h)-1, skip+1, t)
		s.down(&p, h, skip-1, 1, t)
	} else {
		s.down(&p, h, len(h)-1, 1, t)
	}
	if p.bestAt < 0 {
		return noSplit
	}
	return split{
		gain: p.bestGain - t.shift, threshold: uint32(p.bestAt - 1), defaultLeft: true,
		left: t.total - p.bestSum, leftRows: t.count - p.bestRows, l2: s.opt.L2,
	}
}

// down is fromRight for the bins from at down to end.
func (s *searcher) down(p *pass, h []int64, at, end int, t *leafTerms) {
	mask, bits := s.fix.hessMask, s.fix.hessBits
	for at >= end && !p.done {
		if p.fast {
			at = t.scan.down(h, at, end, p)
		}
		for stop := max(end, at-groupBins+1); at >= stop; at-- {
			v := h[at]
			if v == 0 && !s.special {
				continue
			}
			p.sum += v
			if s.fix.discrete {
				p.count = t.rows(p.sum, mask)
			} else {
				p.count += t.rows(v, mask)
			}
			right, hess := p.sum, p.sum&mask
			if p.count < t.least || hess < t.hessLeast {
				continue
			}
			if t.count-p.count < t.least || hess > t.hessMost {
				p.done = true
				return
			}
			left := t.total - right
			if !p.may.passes(float64(right>>bits), float64(hess), float64(left>>bits), float64(left&mask)) {
				continue
			}
			if gain := s.gainOf(t, right, left, t.count-p.count, at-1); gain > p.bestGain {
				p.found(gain, at)
			}
		}
	}
}

// fromLeft tries the thresholds from the least up, gathering the left child;
// what is left out goes right.
func (s *searcher) fromLeft(h []int64, t *leafTerms, skip int, above float64, anyGain bool) split {
	p := newPass(t, above, anyGain)
	last := len(h) - 2
	if 0 <= skip && skip <= last {
		s.up(&p, h, 0, skip-1, t)
		s.up(&p, h, skip+1, last, t)
	} else {
		s.up(&p, h, 0, last, t)
	}
	if p.bestAt < 0 {
		return noSplit
	}
	return split{gain: p.bestGain - t.shift, threshold: uint32(p.bestAt), left: p.bestSum, leftRows: p.bestRows, l2: s.opt.L2}
}

// up is fromLeft for the bins from at up to end.
func (s *searcher) up(p *pass, h []int64, at, end int, t *leafTerms) {
	mask, bits := s.fix.hessMask, s.fix.hessBits
	for at <= end && !p.done {
		if p.fast {
			at = t.scan.up(h, at, end, p)
		}
		for stop := min(end, at+groupBins-1); at <= stop; at++ {
			v := h[at]
			if v == 0 && !s.special {
				continue
			}
			p.sum += v
			if s.fix.discrete {
				p.count = t.rows(p.sum, mask)
			} else {
				p.count += t.rows(v, mask)
			}
			left, hess := p.sum, p.sum&mask
			if p.count < t.least || hess < t.hessLeast {
				continue
			}
			if t.count-p.count < t.least || hess > t.hessMost {
				p.done = true
				return
			}
			right := t.total - left
			if !p.may.passes(float64(left>>bits), float64(hess), float64(right>>bits), float64(right&mask)) {
				continue
			}
			if gain := s.gainOf(t, left, left, p.count, at); gain > p.bestGain {
				p.found(gain, at)
			}
		}
	}
}

// gainOf is the gain of a division: one child has the first packed sums; the
// left one has the second, and about so many rows.
func (s *searcher) gainOf(t *leafTerms, child, left int64, leftRows, threshold int) float64 {
	if s.special {
		return s.specialGain(t, left, leftRows, threshold)
	}
	return s.gain(t, child)
}

// numerical finds the best threshold of a numerical column whose gain is above
// a value; with anyGain one is enough, and the gain has no meaning.
func (s *searcher) numerical(column int, h []int64, t *leafTerms, above float64, anyGain bool) split {
	m := s.data.Columns[column].Mapper
	switch {
	case m.NumBins > 2 && m.Missing == dataset.MissingZero:
		return s.bothWays(column, h, h, t, int(m.DefaultBin), above, anyGain)
	case m.NumBins > 2 && m.Missing == dataset.MissingNaN:
		return s.bothWays(column, h[:m.NumBins-1], h, t, -1, above, anyGain)
	}
	if !s.plain {
		s.edges.set(s.data, column, ownBin(m), t)
	}
	got := s.fromRight(h, t, -1, above, anyGain)
	switch m.Missing {
	case dataset.MissingNaN:
		got.defaultLeft = false
	case dataset.MissingZero:
		// Two bins: missing values go with the bin they lie in.
		got.defaultLeft = m.DefaultBin <= got.threshold
	case dataset.MissingNone:
	}
	return got
}

// ownBin is the bin that missing values have to themselves in a column of two.
func ownBin(m *dataset.Mapper) int {
	if m.Missing == dataset.MissingNaN {
		return m.NumBins - 1
	}
	return int(m.DefaultBin)
}

// bothWays tries missing values on either side.
func (s *searcher) bothWays(column int, fromRight, fromLeft []int64, t *leafTerms, skip int, above float64, anyGain bool) split {
	if !s.plain {
		s.edges.set(s.data, column, 0, t)
	}
	got := s.fromRight(fromRight, t, skip, above, anyGain)
	if !s.plain {
		s.edges.set(s.data, column, len(fromLeft)-1, t)
	}
	if other := s.fromLeft(fromLeft, t, skip, above, anyGain); other.gain > got.gain {
		return other
	}
	return got
}

// fewBins is the number of bins up to which a column is searched in one pass.
const fewBins = 2 * groupBins

// few is best for a numerical column of few bins none of which is special, of
// which sparse tables have thousands.
func (s *searcher) few(column int, h []int64, t *leafTerms, found *split) (splittable bool) {
	mask, bits := s.fix.hessMask, s.fix.hessBits
	bestGain := max(t.floor, s.above(found, t))
	floor, may := t.may, t.may
	floor.raise(t.floor)
	may.raise(bestGain)
	var right int64
	count := 0
	for at := len(h) - 1; at >= 1; at-- {
		v := h[at]
		if v == 0 {
			continue
		}
		right += v
		count += t.rows(v, mask)
		hess := right & mask
		if count < t.least || hess < t.hessLeast {
			continue
		}
		if t.count-count < t.least || hess > t.hessMost {
			break
		}
		left := t.total - right
		g, a, l, b := float64(right>>bits), float64(hess), float64(left>>bits), float64(left&mask)
		if !splittable {
			if !floor.passes(g, a, l, b) || !(s.gain(t, right) > t.floor) {
				continue
			}
			splittable = true
		}
		if !may.passes(g, a, l, b) {
			continue
		}
		gain := s.gain(t, right)
		if !(gain > bestGain) {
			continue
		}
		bestGain = gain
		may.raise(gain)
		got := split{
			gain: gain - t.shift, column: column, threshold: uint32(at - 1), defaultLeft: true,
			left: left, leftRows: t.count - count, l2: s.opt.L2,
		}
		if got.gain > t.noise && got.better(found) {
			*found = got
		}
	}
	return splittable
}
