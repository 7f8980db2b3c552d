package tree

import (
	"math"

	"cloister/engine/dataset"
)

// epsilon keeps sums of hessians away from zero, as LightGBM's kEpsilon does.
const epsilon = 1e-15

// split is a way to divide a leaf.
type split struct {
	gain        float64 // improvement of the objective; ≤ 0 means none
	column      int
	threshold   uint32 // numerical: bins ≤ threshold go left
	defaultLeft bool   // where missing values go
	left        int64  // packed sums of the left child
	cat         []uint32
	// l2 is the ridge term for the children's values: many-vs-many categorical
	// splits are shrunk more (cat_l2).
	l2 float64
}

// better is LightGBM's order of splits: the greater gain, then the earlier
// column.
func (s *split) better(t *split) bool {
	if s.gain != t.gain {
		return s.gain > t.gain
	}
	return s.column < t.column
}

var noSplit = split{gain: math.Inf(-1), column: math.MaxInt}

// searcher finds the best split of a leaf from its histogram. It follows
// LightGBM's FindBestThresholdSequentially and
// FindBestThresholdCategoricalInner, on integer sums.
type searcher struct {
	data *dataset.Dataset
	opt  *Options
	fix  *fixed

	order []catBin // working memory of the categorical search
}

// leafTerms are the values that all columns of one leaf share.
type leafTerms struct {
	total     int64
	grad      float64
	hess      float64 // with LightGBM's 2 × epsilon
	count     int
	perHess   float64 // rows per unit of the fixed-point hessian
	shift     float64 // what a split's children must gain beyond the leaf itself
	noise     float64 // a gain beyond shift that rounding alone can bring about
	floor     float64 // shift - noise: gains from here on may be gains
	hessLeast int64   // least fixed-point hessian of a child, by min_sum_hessian_in_leaf
	hessMost  int64   // and the most, so that the other child has the least
	least     int     // least rows of a child
}

func (s *searcher) terms(count int, total int64) leafTerms {
	t := leafTerms{total: total, count: count}
	t.grad = s.fix.grad(total)
	t.hess = s.fix.hess(total) + 2*epsilon
	if h := total & s.fix.hessMask; h > 0 {
		t.perHess = float64(count) / float64(h)
	}
	t.shift = s.opt.leafGain(t.grad, t.hess, s.opt.L2) + s.opt.MinGainToSplit
	t.noise = s.noise(&t)
	t.floor = t.shift - t.noise
	t.hessLeast = s.leastHess()
	t.hessMost = total&s.fix.hessMask - t.hessLeast
	t.least = max(1, s.opt.MinDataInLeaf)
	return t
}

// noise bounds the gain that rounding alone can bring about: that of gradients
// to fixed point (a variance of at most a quarter of a squared unit a row) and
// that of floating point. Without it leaves whose rows all have the same
// gradient would be split for nothing.
func (s *searcher) noise(t *leafTerms) float64 {
	perRow := t.hess / float64(t.count)
	units := float64(8*s.fix.gradScale*s.fix.gradScale) / (perRow + s.opt.L2/float64(t.count))
	return units + float64(1e-12*math.Abs(t.shift))
}

// rows estimates the number of rows of a bin from its sum of hessians. It is
// exact when hessians are constant, and nearly so while a bin has few rows,
// since it is rounded; sums of such estimates are what LightGBM compares with
// min_data_in_leaf.
func (t *leafTerms) rows(packed, mask int64) int {
	return int(float64(float64(packed&mask)*t.perHess) + 0.5)
}

// leastHess is min_sum_hessian_in_leaf in fixed point.
func (s *searcher) leastHess() int64 {
	if s.fix.hessScale == 0 {
		return 0
	}
	return int64(min(math.Ceil((s.opt.MinSumHessianInLeaf-epsilon)/s.fix.hessScale), 1<<62))
}

// leafValue is the value of a leaf with the given sums.
func (o *Options) leafValue(grad, hess, l2 float64) float64 {
	v := -thresholdL1(grad, o.L1) / (hess + l2)
	if o.MaxDeltaStep > 0 && math.Abs(v) > o.MaxDeltaStep {
		return math.Copysign(o.MaxDeltaStep, v)
	}
	return v
}

func thresholdL1(grad, l1 float64) float64 {
	if l1 == 0 {
		return grad
	}
	return math.Copysign(max(0, math.Abs(grad)-l1), grad)
}

// leafGain is twice the improvement of the objective by a leaf's value.
func (o *Options) leafGain(grad, hess, l2 float64) float64 {
	g := thresholdL1(grad, o.L1)
	if o.MaxDeltaStep <= 0 {
		return float64(g*g) / (hess + l2)
	}
	v := o.leafValue(grad, hess, l2)
	return -(float64(2*g*v) + float64((hess+l2)*v*v))
}

// best returns the better of found and the best split on a column.
// Splittable reports whether any threshold of the column passes. A gain within
// the noise is no reason to split, but none to give the column up either: a
// column may gain nothing in a leaf (one that is constant within queries, whose
// gradients sum to zero) and much below it.
func (s *searcher) best(column int, hist []int64, t *leafTerms, found *split) (splittable bool) {
	c := &s.data.Columns[column]
	m := c.Mapper
	h := hist[c.Offset:][:m.NumBins]
	var got split
	switch {
	case m.Categorical:
		got = s.categorical(h, t)
	case m.NumBins > 2 && m.Missing == dataset.MissingZero:
		got = s.fromRight(h, t, int(m.DefaultBin))
		if other := s.fromLeft(h, t, int(m.DefaultBin)); other.gain > got.gain {
			got = other
		}
	case m.NumBins > 2 && m.Missing == dataset.MissingNaN:
		got = s.fromRight(h[:m.NumBins-1], t, -1)
		if other := s.fromLeft(h, t, -1); other.gain > got.gain {
			got = other
		}
	default:
		got = s.fromRight(h, t, -1)
		switch m.Missing {
		case dataset.MissingNaN:
			got.defaultLeft = false
		case dataset.MissingZero:
			// Two bins: missing values go with the bin they lie in.
			got.defaultLeft = m.DefaultBin <= got.threshold
		case dataset.MissingNone:
		}
	}
	if math.IsInf(got.gain, -1) {
		return false
	}
	got.column = column
	if got.gain > t.noise && got.better(found) {
		*found = got
	}
	return true
}

// fromRight tries the thresholds from the greatest down, gathering the right
// child; bins that are left out (the skipped default bin, and the bin of NaN
// beyond h) go left with the default direction.
func (s *searcher) fromRight(h []int64, t *leafTerms, skip int) split {
	best := noSplit
	bestGain := t.floor
	mask := s.fix.hessMask
	var right int64
	count := 0
	for bin := len(h) - 1; bin >= 1; bin-- {
		if bin == skip {
			continue
		}
		right += h[bin]
		count += t.rows(h[bin], mask)
		hess := right & mask
		if count < t.least || hess < t.hessLeast {
			continue
		}
		if t.count-count < t.least || hess > t.hessMost {
			break
		}
		if gain := s.gain(t, right); gain > bestGain {
			bestGain = gain
			best = split{gain: gain - t.shift, threshold: uint32(bin - 1), defaultLeft: true, left: t.total - right, l2: s.opt.L2}
		}
	}
	return best
}

// fromLeft tries the thresholds from the least up, gathering the left child;
// what is left out goes right.
func (s *searcher) fromLeft(h []int64, t *leafTerms, skip int) split {
	best := noSplit
	bestGain := t.floor
	mask := s.fix.hessMask
	var left int64
	count := 0
	for bin := range len(h) - 1 {
		if bin == skip {
			continue
		}
		left += h[bin]
		count += t.rows(h[bin], mask)
		hess := left & mask
		if count < t.least || hess < t.hessLeast {
			continue
		}
		if t.count-count < t.least || hess > t.hessMost {
			break
		}
		if gain := s.gain(t, left); gain > bestGain {
			bestGain = gain
			best = split{gain: gain - t.shift, threshold: uint32(bin), left: left, l2: s.opt.L2}
		}
	}
	return best
}

// gain is the objective's improvement when the leaf is divided into rows with
// the given packed sums and the others.
func (s *searcher) gain(t *leafTerms, packed int64) float64 {
	g := s.fix.grad(packed)
	h := s.fix.hess(packed) + epsilon
	rest := t.total - packed
	g2, h2 := s.fix.grad(rest), s.fix.hess(rest)+epsilon
	o := s.opt
	if o.L1 == 0 && o.MaxDeltaStep <= 0 {
		return float64(g*g)/(h+o.L2) + float64(g2*g2)/(h2+o.L2)
	}
	return o.leafGain(g, h, o.L2) + o.leafGain(g2, h2, o.L2)
}
