package objective

import (
	"cmp"
	"slices"
	"sort"
)

// percentile returns the alpha-percentile of values, as LightGBM's
// PercentileFun: with the values in descending order, that at (n-1)(1-alpha),
// between neighbours by linear interpolation. It reorders values.
func percentile(values []float64, alpha float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	place := float64(float64(n-1) * (1 - alpha))
	upper := int(place)
	if upper+1 >= n {
		return slices.Min(values)
	}
	// Ascending, the value at place upper of the descending order is at
	// n-1-upper, and its lower neighbour is the greatest of those before.
	at := n - 1 - upper
	selectNth(values, at)
	above, below := values[at], slices.Max(values[:at])
	return above - float64((above-below)*(place-float64(upper)))
}

// selectNth reorders values so that values[n] is what sorting would put there,
// with no greater value before and no smaller after (C. A. R. Hoare,
// "Algorithm 65: find", CACM 4, 1961).
func selectNth(values []float64, n int) {
	lo, hi := 0, len(values)-1
	for rounds := 0; hi-lo > 16; rounds++ {
		if rounds > 64 {
			break // An adversary's order: sort the rest.
		}
		pivot := medianOf3(values[lo], values[lo+(hi-lo)/2], values[hi])
		i, j := lo, hi
		for i <= j {
			for values[i] < pivot {
				i++
			}
			for values[j] > pivot {
				j--
			}
			if i <= j {
				values[i], values[j] = values[j], values[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			hi = j
		case n >= i:
			lo = i
		default:
			return
		}
	}
	slices.Sort(values[lo : hi+1])
}

func medianOf3(a, b, c float64) float64 {
	return max(min(a, b), min(max(a, b), c))
}

// weighted is a value and how much it counts.
type weighted struct {
	value  float64
	weight float64
	row    uint32
}

// weightedPercentile returns the alpha-percentile of items by weight, as
// LightGBM's WeightedPercentileFun: the value before the place where the
// cumulated weight passes alpha of the total, moved on linearly to the next if
// that has a weight of at least 1. It reorders items; equal values stay in the
// order of their rows.
func weightedPercentile(items []weighted, alpha float64) float64 {
	n := len(items)
	if n == 0 {
		return 0
	}
	slices.SortFunc(items, func(a, b weighted) int {
		if c := cmp.Compare(a.value, b.value); c != 0 {
			return c
		}
		return cmp.Compare(a.row, b.row)
	})
	sums := make([]float64, n)
	sum := 0.
	for i := range items {
		sum += items[i].weight
		sums[i] = sum
	}
	threshold := float64(sum * alpha)
	at := min(sort.Search(n, func(i int) bool { return sums[i] > threshold }), n-1)
	if at == 0 || at == n-1 {
		return items[at].value
	}
	before, after := items[at-1].value, items[at].value
	step := sums[at] - sums[at-1]
	if step < 1 {
		return before
	}
	return float64((threshold-sums[at-1])/step*(after-before)) + before
}

// renewer computes percentiles of labels and residuals.
type renewer struct {
	label []float32
	// weight is nil where all rows count alike.
	weight []float32
	alpha  float64
}

// ofLabels is the percentile of the labels.
func (p *renewer) ofLabels() float64 {
	if p.weight == nil {
		values := make([]float64, len(p.label))
		for i, y := range p.label {
			values[i] = float64(y)
		}
		return float64(float32(percentile(values, p.alpha)))
	}
	items := make([]weighted, len(p.label))
	for i, y := range p.label {
		items[i] = weighted{float64(y), float64(p.weight[i]), uint32(i)}
	}
	return float64(float32(weightedPercentile(items, p.alpha)))
}

// RenewLeaf implements Renewer.
func (p *renewer) RenewLeaf(rows []uint32, scores []float64) float64 {
	if p.weight == nil {
		values := make([]float64, len(rows))
		for i, r := range rows {
			values[i] = float64(p.label[r]) - scores[r]
		}
		return percentile(values, p.alpha)
	}
	items := make([]weighted, len(rows))
	for i, r := range rows {
		items[i] = weighted{float64(p.label[r]) - scores[r], float64(p.weight[r]), r}
	}
	return weightedPercentile(items, p.alpha)
}
