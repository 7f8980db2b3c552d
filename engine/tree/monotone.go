package tree

import (
	"math"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/portmath"
)

// bounds are the least and the greatest value that a node may have.
type bounds struct{ lo, hi float64 }

var unbounded = bounds{math.Inf(-1), math.Inf(1)}

func (b bounds) clamp(v float64) float64 { return min(max(v, b.lo), b.hi) }

// raise keeps values at v or above and reports whether that is new.
func (b *bounds) raise(v float64) bool {
	if v <= b.lo {
		return false
	}
	b.lo = v
	return true
}

// lower keeps values at v or below and reports whether that is new.
func (b *bounds) lower(v float64) bool {
	if v >= b.hi {
		return false
	}
	b.hi = v
	return true
}

// monotone is the sign by which values must follow a column; 0 means freely.
func (o *Options) monotone(c *dataset.Column) int8 {
	if o.Monotone == nil || c.Mapper.Categorical {
		return 0
	}
	return o.Monotone[c.Feature]
}

// order bounds the two sides of a split so that no value of low's side exceeds
// one of high's.
func (o *Options) order(low, high *standing) {
	below, above := high.output, low.output
	if o.MonotoneMethod == MonotoneBasic || low.output > high.output {
		mean := low.output + float64((high.output-low.output)/2)
		below, above = mean, mean
	}
	low.limit.lower(below)
	high.limit.raise(above)
	low.output, high.output = low.limit.clamp(low.output), high.limit.clamp(high.output)
}

// monotonePenalty is the factor on the gain of a split on a monotone feature
// at a depth (0 at the root), by monotone_penalty: LightGBM's formula.
func monotonePenalty(penalty float64, depth int) float64 {
	switch d := float64(depth); {
	case penalty >= d+1:
		return epsilon
	case penalty <= 1:
		return 1 - penalty/portmath.Pow(2, d) + epsilon
	default:
		return 1 - portmath.Pow(2, penalty-1-d) + epsilon
	}
}

// span is the part of a column's bins that rows of a leaf may have.
type span struct {
	column  int
	lo, hi  int      // numerical: the bins lo … hi, missing values aside
	missing bool     // and the bin of missing values
	bins    []uint32 // categorical: bit set of bins
}

// fullSpan is that of a leaf without a split on the column above it.
func fullSpan(d *dataset.Dataset, column int) span {
	s := numericalSpan(d, column)
	if m := d.Columns[column].Mapper; m.Categorical {
		for b := range m.NumBins {
			s.bins = setBit(s.bins, b)
		}
	}
	return s
}

// numericalSpan is fullSpan without the bits of categories.
func numericalSpan(d *dataset.Dataset, column int) span {
	m := d.Columns[column].Mapper
	s := span{column: column, hi: m.NumBins - 1, missing: missingBin(m) >= 0}
	if m.Missing == dataset.MissingNaN && !m.Categorical {
		s.hi--
	}
	return s
}

func setBit(set []uint32, bit int) []uint32 {
	for len(set) <= bit/32 {
		set = append(set, 0)
	}
	set[bit/32] |= 1 << (bit % 32)
	return set
}

// divide returns the spans of the children of a split.
func (s *span) divide(by *split) (left, right span) {
	left, right = *s, *s
	if s.bins == nil {
		left.hi = min(s.hi, int(by.threshold))
		right.lo = max(s.lo, int(by.threshold)+1)
		left.missing = s.missing && by.defaultLeft
		right.missing = s.missing && !by.defaultLeft
		return left, right
	}
	goes := bitset(by.cat)
	left.bins, right.bins = slices.Clone(s.bins), slices.Clone(s.bins)
	for i := range s.bins {
		var mask uint32
		if i < len(goes) {
			mask = goes[i]
		}
		left.bins[i] &= mask
		right.bins[i] &^= mask
	}
	return left, right
}

func (s *span) overlaps(t *span) bool {
	for i := range s.bins {
		if s.bins[i]&t.bins[i] != 0 {
			return true
		}
	}
	return s.bins == nil && (max(s.lo, t.lo) <= min(s.hi, t.hi) || s.missing && t.missing)
}

// setBoxes derives the children's boxes from their parent's. The basic method
// does without: it compares no leaves but siblings.
func (g *Grower) setBoxes(parent, left, right *leaf, s *split) {
	if g.opt.Monotone == nil || g.opt.MonotoneMethod == MonotoneBasic {
		return
	}
	left.box, right.box = slices.Clone(parent.box), slices.Clone(parent.box)
	at := slices.IndexFunc(parent.box, func(p span) bool { return p.column == s.column })
	if at < 0 {
		at = len(parent.box)
		full := fullSpan(g.data, s.column)
		left.box, right.box = append(left.box, full), append(right.box, full)
	}
	left.box[at], right.box[at] = left.box[at].divide(s)
	if g.opt.MonotoneMethod == MonotoneAdvanced {
		g.settle(parent, left, right, s)
	}
}

// parts returns the spans of two leaves on the only column that parts them.
// Leaves that differ in more columns are not to be compared: no row gets from
// one to the other by a change of one feature.
func parts(a, b []span) (inA, inB *span) {
	for i := range a {
		for j := range b {
			if a[i].column != b[j].column || a[i].overlaps(&b[j]) {
				continue
			}
			if inA != nil {
				return nil, nil
			}
			inA, inB = &a[i], &b[j]
		}
	}
	return inA, inB
}

// boundOthers bounds the other leaves by the values of the two into which the
// leaf at the given index was just split (the right one is the last), and
// searches those anew whose bounds changed.
func (g *Grower) boundOthers(leaves []leaf, at int) {
	if g.opt.Monotone == nil || g.opt.MonotoneMethod == MonotoneBasic {
		return
	}
	if g.opt.MonotoneMethod == MonotoneAdvanced {
		g.meetOthers(leaves, at)
		return
	}
	last := len(leaves) - 1
	for i := range leaves[:last] {
		if i == at {
			continue
		}
		other := &leaves[i]
		changed := g.boundBy(other, &leaves[at])
		changed = g.boundBy(other, &leaves[last]) || changed
		if changed && other.best.gain > 0 {
			g.searchAgain(other)
		}
	}
}

// boundBy bounds a leaf by another one's value, and reports a change.
func (g *Grower) boundBy(l, by *leaf) bool {
	switch sign, _ := g.bears(l.box, by.box); {
	case sign > 0:
		return l.limit.raise(by.output)
	case sign < 0:
		return l.limit.lower(by.output)
	}
	return false
}

func (g *Grower) searchAgain(l *leaf) {
	l.best = noSplit
	if l.hist == nil {
		g.prepare(nil, l, false)
		return
	}
	g.search(nil, pair{leaf: l, complete: true})
}
