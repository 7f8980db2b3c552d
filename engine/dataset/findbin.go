package dataset

import (
	"math"
	"slices"
)

// MapperOptions says how the bins of one feature are found.
type MapperOptions struct {
	// MaxBin is the greatest number of bins, from 2.
	MaxBin int
	// MinDataInBin is the least number of sampled values in a bin.
	MinDataInBin int
	// MinSplitData is the number of sampled rows that a split must leave on
	// both sides; with PreFilter a feature that has no such split is trivial.
	MinSplitData int
	PreFilter    bool
	// UseMissing and ZeroAsMissing choose the MissingType.
	UseMissing, ZeroAsMissing bool
	// Categorical features have a bin for each category.
	Categorical bool
	// ForcedBounds are upper bounds that bins of a numerical feature must have.
	ForcedBounds []float64
}

// NewMapper finds the bins of a feature from the sampled values that are not
// zero (magnitude above ZeroThreshold, or NaN) and the number of sampled rows,
// as LightGBM does (src/io/bin.cpp, BinMapper::FindBin). It changes the order
// of values. No value may be infinite, and total must not be less than
// len(values).
func NewMapper(values []float64, total int, o MapperOptions) *Mapper {
	return new(finder).mapper(values, total, o)
}

// finder finds the bins of features, one after the other.
type finder struct {
	sorter   sorter
	distinct histogram
}

func (f *finder) mapper(values []float64, total int, o MapperOptions) *Mapper {
	m := &Mapper{Categorical: o.Categorical, SparseRate: 1}
	present := slices.DeleteFunc(values, math.IsNaN)
	nan := 0
	switch {
	case !o.UseMissing:
	case o.ZeroAsMissing:
		m.Missing = MissingZero
	case len(present) < len(values):
		m.Missing = MissingNaN
		nan = len(values) - len(present)
	}
	// Without a bin of their own, NaN are zeros.
	distinct := f.countDistinct(present, total-len(present)-nan)
	m.Min, m.Max = distinct.value[0], distinct.value[len(distinct.value)-1]

	var inBin []int
	if o.Categorical {
		inBin = m.findCategories(distinct, total, nan, o)
	} else {
		inBin = m.findIntervals(distinct, total, nan, o)
	}
	m.Trivial = m.NumBins <= 1 || (o.PreFilter && unsplittable(inBin, total, o.MinSplitData, o.Categorical))
	m.prepare()
	if m.Trivial {
		return m
	}
	m.DefaultBin = m.Bin(0)
	fullest := 0
	for b, n := range inBin {
		if n > inBin[fullest] {
			fullest = b
		}
	}
	m.MostFreqBin = uint32(fullest)
	if m.MostFreqBin != m.DefaultBin && float64(inBin[fullest])/float64(total) < offDefaultRate {
		m.MostFreqBin = m.DefaultBin
	}
	m.SparseRate = float64(inBin[m.MostFreqBin]) / float64(total)
	return m
}

// offDefaultRate is the share of rows above which a bin without zero may be
// the most frequent one (LightGBM's kSparseThreshold).
const offDefaultRate = 0.7

// histogram has the distinct values of a sample, ascending, and their counts.
type histogram struct {
	value []float64
	count []int
}

func (h *histogram) add(v float64, n int) {
	h.value = append(h.value, v)
	h.count = append(h.count, n)
}

// countDistinct sorts the values and counts them. Neighbouring doubles count
// as one value, the greater. Zeros are put between the negative and the
// positive values, there even if there are none.
func (f *finder) countDistinct(values []float64, zeros int) histogram {
	f.sorter.sort(values)
	h := histogram{f.distinct.value[:0], f.distinct.count[:0]}
	defer func() { f.distinct = h }()
	if len(values) == 0 {
		h.add(0, zeros)
		return h
	}
	if values[0] > 0 && zeros > 0 {
		h.add(0, zeros)
	}
	h.add(values[0], 1)
	for i := 1; i < len(values); i++ {
		prev, v := values[i-1], values[i]
		if sameOrNext(prev, v) {
			last := len(h.value) - 1
			h.value[last] = v
			h.count[last]++
			continue
		}
		if prev < 0 && v > 0 {
			h.add(0, zeros)
		}
		h.add(v, 1)
	}
	if values[len(values)-1] < 0 && zeros > 0 {
		h.add(0, zeros)
	}
	return h
}

// sameOrNext reports for a ≤ b whether no double lies between them.
func sameOrNext(a, b float64) bool { return b <= nextUp(a) }

func nextUp(v float64) float64 { return math.Nextafter(v, math.Inf(1)) }

// findIntervals sets the bounds of a numerical feature and returns the counts
// of its bins.
func (m *Mapper) findIntervals(h histogram, total, nan int, o MapperOptions) []int {
	maxBin := o.MaxBin
	if m.Missing == MissingNaN {
		maxBin--
	}
	if len(o.ForcedBounds) > 0 {
		m.UpperBound = forcedBounds(h, maxBin, total-nan, o)
	} else {
		m.UpperBound = zeroBounds(h, maxBin, total-nan, o.MinDataInBin)
	}
	switch {
	case m.Missing == MissingZero && len(m.UpperBound) == 2:
		m.Missing = MissingNone
	case m.Missing == MissingNaN:
		m.UpperBound = append(m.UpperBound, math.NaN())
	}
	m.NumBins = len(m.UpperBound)
	inBin := make([]int, m.NumBins)
	b := 0
	for i, v := range h.value {
		for v > m.UpperBound[b] && b < m.NumBins-1 {
			b++
		}
		inBin[b] += h.count[i]
	}
	if m.Missing == MissingNaN {
		inBin[m.NumBins-1] = nan
	}
	return inBin
}

// zeroBounds finds bounds so that zero has a bin of its own
// (FindBinWithZeroAsOneBin).
func zeroBounds(h histogram, maxBin, total, minData int) []float64 {
	left, right := h.aroundZero()
	leftData, zeros, rightData := 0, 0, 0
	for i, n := range h.count {
		switch {
		case i < left:
			leftData += n
		case i < right:
			zeros += n
		default:
			rightData += n
		}
	}
	var bounds []float64
	if left > 0 && maxBin > 1 {
		share := float64(leftData) / float64(total-zeros)
		bins := max(1, int(share*float64(maxBin-1)))
		bounds = greedyBounds(h.value[:left], h.count[:left], bins, leftData, minData)
		bounds[len(bounds)-1] = -ZeroThreshold
	}
	if bins := maxBin - 1 - len(bounds); right < len(h.value) && bins > 0 {
		bounds = append(bounds, ZeroThreshold)
		return append(bounds, greedyBounds(h.value[right:], h.count[right:], bins, rightData, minData)...)
	}
	return append(bounds, math.Inf(1))
}

// aroundZero gives the number of values below zero and the index of the first
// above it.
func (h *histogram) aroundZero() (left, right int) {
	for left < len(h.value) && h.value[left] <= -ZeroThreshold {
		left++
	}
	right = left
	for right < len(h.value) && h.value[right] <= ZeroThreshold {
		right++
	}
	return left, right
}

// greedyBounds cuts ascending values into at most maxBin bins of about equal
// count; the last bound is +Inf (GreedyFindBin).
func greedyBounds(value []float64, count []int, maxBin, total, minData int) []float64 {
	if len(value) <= maxBin {
		return boundsOfAll(value, count, minData)
	}
	if minData > 0 {
		maxBin = max(1, min(maxBin, total/minData))
	}
	// Values with more than a bin's share get a bin of their own, the rest is
	// shared among the other bins.
	mean := float64(total) / float64(maxBin)
	restBins, rest := maxBin, total
	big := make([]bool, len(value))
	for i, n := range count {
		if float64(n) >= mean {
			big[i] = true
			restBins--
			rest -= n
		}
	}
	mean = float64(rest) / float64(restBins)
	var bounds []float64
	inBin := 0
	for i := range len(value) - 1 {
		if len(bounds) >= maxBin-1 {
			break
		}
		if !big[i] {
			rest -= count[i]
		}
		inBin += count[i]
		half := mean * 0.5
		if !(half > 1) { // no more bins to share makes NaN
			half = 1
		}
		if !(big[i] || float64(inBin) >= mean || big[i+1] && float64(inBin) >= half) {
			continue
		}
		bounds = append(bounds, middle(value[i], value[i+1]))
		inBin = 0
		if !big[i] {
			restBins--
			mean = float64(rest) / float64(restBins)
		}
	}
	return append(distinctBounds(bounds), math.Inf(1))
}

// boundsOfAll gives every value its own bin, or as few neighbours as make
// minData.
func boundsOfAll(value []float64, count []int, minData int) []float64 {
	var bounds []float64
	inBin := 0
	for i := range len(value) - 1 {
		inBin += count[i]
		if inBin < minData {
			continue
		}
		b := middle(value[i], value[i+1])
		if n := len(bounds); n == 0 || !sameOrNext(bounds[n-1], b) {
			bounds = append(bounds, b)
			inBin = 0
		}
	}
	return append(bounds, math.Inf(1))
}

// distinctBounds drops each bound that is the same as, or next to, the last
// one kept.
func distinctBounds(bounds []float64) []float64 {
	kept := bounds[:0]
	for _, b := range bounds {
		if n := len(kept); n == 0 || !sameOrNext(kept[n-1], b) {
			kept = append(kept, b)
		}
	}
	return kept
}

// middle is the bound between two neighbouring values. Where LightGBM's sum
// overflows it halves first.
func middle(a, b float64) float64 {
	sum := a + b
	if math.IsInf(sum, 0) {
		return nextUp(float64(a*0.5) + float64(b*0.5))
	}
	return nextUp(sum / 2)
}

// forcedBounds puts the user's bounds beside those around zero and fills what
// remains of maxBin between them (FindBinWithPredefinedBin).
func forcedBounds(h histogram, maxBin, total int, o MapperOptions) []float64 {
	left, right := h.aroundZero()
	var bounds []float64
	switch {
	case maxBin == 2 && left == 0:
		bounds = append(bounds, ZeroThreshold)
	case maxBin == 2:
		bounds = append(bounds, -ZeroThreshold)
	case maxBin >= 3:
		if left > 0 {
			bounds = append(bounds, -ZeroThreshold)
		}
		if right < len(h.value) {
			bounds = append(bounds, ZeroThreshold)
		}
	}
	bounds = append(bounds, math.Inf(1))
	for _, b := range o.ForcedBounds {
		if len(bounds) >= maxBin {
			break
		}
		if math.Abs(b) > ZeroThreshold {
			bounds = append(bounds, b)
		}
	}
	slices.Sort(bounds)

	free := maxBin - len(bounds)
	var added []float64
	next := 0
	for i, b := range bounds {
		first, data := next, 0
		for next < len(h.value) && h.value[next] < b {
			data += h.count[next]
			next++
		}
		remaining := maxBin - len(bounds) - len(added)
		bins := min(roundHalfUp(float64(data)*float64(free)/float64(total)), remaining) + 1
		if i == len(bounds)-1 {
			bins = remaining + 1
		}
		sub := greedyBounds(h.value[first:next], h.count[first:next], bins, data, o.MinDataInBin)
		added = append(added, sub[:len(sub)-1]...)
	}
	bounds = append(bounds, added...)
	slices.Sort(bounds)
	return bounds
}

// roundHalfUp rounds a number that is not negative.
func roundHalfUp(v float64) int {
	whole := math.Floor(v)
	if v-whole >= 0.5 {
		whole++
	}
	return int(whole)
}

// unsplittable reports whether no split of the bins leaves minData rows on
// both sides (NeedFilter).
func unsplittable(inBin []int, total, minData int, categorical bool) bool {
	if categorical && len(inBin) > 2 {
		return false
	}
	left := 0
	for _, n := range inBin[:len(inBin)-1] {
		left += n
		if left >= minData && total-left >= minData {
			return false
		}
	}
	return true
}
