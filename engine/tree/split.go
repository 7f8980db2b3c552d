package tree

import (
	"math"

	"cloister/engine/dataset"
	"cloister/engine/random"
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
	leftRows    int    // its rows, as estimated from its hessians
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

	plain    bool            // of two columns the one with the greater gain is better
	special  bool            // the gain of a split is not the plain formula
	shaped   bool            // values depend on more than a node's sums
	feature  uint64          // of the column that is searched
	pick     int             // the only threshold to try on the column, or -1
	monotone int8            // how values must follow the column
	edges    thresholdBounds // the column's, by MonotoneAdvanced

	costs *costs   // nil for none
	order []catBin // working memory of the categorical search
}

func newSearcher(d *dataset.Dataset, opt *Options, fix *fixed) searcher {
	s := searcher{data: d, opt: opt, fix: fix, pick: -1, shaped: opt.shaped()}
	s.plain = opt.FeatureContri == nil && opt.Costs == nil && opt.Monotone == nil
	s.special = s.shaped || opt.ExtraTrees || opt.L1 != 0 || opt.MaxDeltaStep > 0
	return s
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
	catShift  float64 // the same for splits of categories
	catFloor  float64
	hessLeast int64   // least fixed-point hessian of a child, by min_sum_hessian_in_leaf
	hessMost  int64   // and the most, so that the other child has the least
	least     int     // least rows of a child
	output    float64 // value of the leaf
	limit     bounds  // of its children's values
	box       []span
	around    []neighbour  // what makes limit, by MonotoneAdvanced
	memo      []columnMemo // nil for none
	penalty   float64      // factor on gains of splits on monotone features
	members   []uint32     // its rows, for costs
	draw      uint64       // random bits of tree and leaf, for extra_trees
	may       sieve
	scan      scan
}

func (s *searcher) terms(l *leaf, key uint64) leafTerms {
	total, count := l.total, l.count()
	t := leafTerms{total: total, count: count, output: l.output, limit: l.limit, box: l.box, around: l.around, memo: l.memo, penalty: 1}
	t.grad = s.fix.grad(total)
	t.hess = s.fix.hess(total) + 2*epsilon
	if h := total & s.fix.hessMask; h > 0 {
		t.perHess = float64(count) / float64(h)
	}
	s.setShift(&t)
	if s.opt.ExtraTrees {
		t.draw = random.Hash(s.opt.ExtraSeed, streamThresholds, key, l.id)
	}
	if s.opt.Monotone != nil {
		t.penalty = monotonePenalty(s.opt.MonotonePenalty, l.depth)
	}
	t.hessLeast = s.leastHess()
	t.hessMost = total&s.fix.hessMask - t.hessLeast
	t.least = max(1, s.opt.MinDataInLeaf)
	t.may = s.newSieve()
	t.scan = s.scanOf(&t)
	return t
}

// setShift sets what a split's children must gain. With path_smooth LightGBM
// compares splits of categories with the leaf's own value, but those of numbers
// with a value that is pulled to it.
func (s *searcher) setShift(t *leafTerms) {
	o := s.opt
	t.shift = o.leafGain(t.grad, t.hess, o.L2)
	t.catShift = t.shift
	if o.PathSmooth > epsilon {
		t.shift = o.gainAt(t.grad, t.hess, o.L2, o.smooth(o.leafValue(t.grad, t.hess, o.L2), t.count, t.output))
		t.catShift = o.gainAt(t.grad, t.hess, o.L2, t.output)
	}
	t.shift += o.MinGainToSplit
	t.catShift += o.MinGainToSplit
	t.noise = s.noise(t)
	t.floor, t.catFloor = t.shift-t.noise, t.catShift-t.noise
}

// noise is the size of gain that rounding alone brings about: that of gradients
// to fixed point (some units, where roundings do not add up) and that of
// floating point. Gains below it are not worth a split: without it leaves whose
// rows all have the same gradient would be split for nothing.
func (s *searcher) noise(t *leafTerms) float64 {
	if s.fix.discrete {
		return float64(1e-12 * math.Abs(t.shift)) // the levels are what is to be fitted
	}
	perRow := t.hess / float64(t.count)
	units := float64(8*s.fix.gradScale*s.fix.gradScale) / (perRow + s.opt.L2/float64(t.count))
	return units + float64(1e-12*math.Abs(t.shift))
}

// above is a value that gains must exceed to be better than a split that was
// found: a little less than its gain, for rounding.
func (s *searcher) above(found *split, t *leafTerms) float64 {
	gain := found.gain + t.shift
	return gain - float64(math.Abs(gain)*1e-12)
}

// rows estimates the number of rows of a bin from its sum of hessians. It is
// exact when hessians are constant, and nearly so while a bin has few rows,
// since it is rounded; sums of such estimates are what LightGBM compares with
// min_data_in_leaf, or an estimate from the sum if hessians have few levels.
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

// best returns the better of found and the best split on a column.
// Splittable reports whether any threshold of the column passes. A gain within
// the noise is no reason to split, but none to give the column up either: a
// column may gain nothing in a leaf (one that is constant within queries, whose
// gradients sum to zero) and much below it.
func (s *searcher) best(column int, hist []int64, t *leafTerms, found *split) (splittable bool) {
	if s.plain {
		return s.bestPlain(column, hist, t, found)
	}
	got := s.bestOn(column, hist, t)
	if math.IsInf(got.gain, -1) {
		return false
	}
	if got.gain <= t.noise {
		return true
	}
	got.gain = s.contribution(column, got.gain)
	if s.costs != nil {
		got.gain -= s.costs.of(column, s.data.Columns[column].Feature, t.members)
	}
	if s.monotone != 0 {
		got.gain *= t.penalty
	}
	if got.better(found) {
		*found = got
	}
	return true
}

// contribution is the gain of a split on a column by feature_contri.
func (s *searcher) contribution(column int, gain float64) float64 {
	if s.opt.FeatureContri == nil {
		return gain
	}
	return float64(gain * s.opt.FeatureContri[s.data.Columns[column].Feature])
}

// bestPlain is best where of two splits the one with the greater gain is better.
// A column that gains less than another one is of no interest then, but it must
// be known whether it can divide the leaf at all.
func (s *searcher) bestPlain(column int, hist []int64, t *leafTerms, found *split) (splittable bool) {
	c := &s.data.Columns[column]
	m := c.Mapper
	h := hist[c.Offset:][:m.NumBins]
	s.begin(c, t)
	var got split
	switch {
	case m.Categorical:
		got = s.categorical(h, t)
	case m.NumBins <= fewBins && m.Missing == dataset.MissingNone && !t.may.off:
		return s.few(column, h, t, found)
	default:
		above := max(t.floor, s.above(found, t))
		got = s.numerical(column, h, t, above, false)
		if above > t.floor && math.IsInf(got.gain, -1) {
			return !math.IsInf(s.numerical(column, h, t, t.floor, true).gain, -1)
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

// begin prepares the search of a column.
func (s *searcher) begin(c *dataset.Column, t *leafTerms) {
	s.feature = uint64(c.Feature)
	s.monotone = s.opt.monotone(c)
	s.draw(t, c.Mapper.NumBins-2)
}

// bestOn finds the best split on a column by its gain alone.
func (s *searcher) bestOn(column int, hist []int64, t *leafTerms) split {
	c := &s.data.Columns[column]
	h := hist[c.Offset:][:c.Mapper.NumBins]
	s.begin(c, t)
	s.edges.clear()
	memo := s.memoOf(column, t)
	if memo != nil && memo.best.column == column {
		return memo.best
	}
	var got split
	if c.Mapper.Categorical {
		got = s.categorical(h, t)
	} else {
		got = s.numerical(column, h, t, t.floor, false)
	}
	got.column = column
	if memo != nil {
		memo.best = got
	}
	return got
}

// gain is the objective's improvement when the leaf is divided into rows with
// the given packed sums and the others.
func (s *searcher) gain(t *leafTerms, packed int64) float64 {
	g := s.fix.grad(packed)
	h := s.fix.hess(packed) + epsilon
	rest := t.total - packed
	g2, h2 := s.fix.grad(rest), s.fix.hess(rest)+epsilon
	l2 := s.opt.L2
	return float64(g*g)/(h+l2) + float64(g2*g2)/(h2+l2)
}

// specialGain is gain for every option: the left child has the given packed
// sums and about so many rows.
func (s *searcher) specialGain(t *leafTerms, left int64, rows, threshold int) float64 {
	if s.pick >= 0 && s.pick != threshold {
		return math.Inf(-1)
	}
	leftLimit, rightLimit := s.edges.at(threshold, t.limit)
	return s.boundedGain(t, left, rows, s.opt.L2, leftLimit, rightLimit)
}

func (s *searcher) childrenGain(t *leafTerms, left int64, rows int, l2 float64) float64 {
	return s.boundedGain(t, left, rows, l2, t.limit, t.limit)
}

// boundedGain is the gain of children whose values have bounds of their own.
func (s *searcher) boundedGain(t *leafTerms, left int64, rows int, l2 float64, leftLimit, rightLimit bounds) float64 {
	right := t.total - left
	g, h := s.fix.grad(left), s.fix.hess(left)+epsilon
	g2, h2 := s.fix.grad(right), s.fix.hess(right)+epsilon
	o := s.opt
	if !s.shaped {
		return o.leafGain(g, h, l2) + o.leafGain(g2, h2, l2)
	}
	v := leftLimit.clamp(o.smooth(o.leafValue(g, h, l2), rows, t.output))
	v2 := rightLimit.clamp(o.smooth(o.leafValue(g2, h2, l2), t.count-rows, t.output))
	if s.monotone > 0 && v > v2 || s.monotone < 0 && v < v2 {
		return math.Inf(-1)
	}
	return o.gainAt(g, h, l2, v) + o.gainAt(g2, h2, l2, v2)
}
