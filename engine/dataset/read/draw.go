package read

import (
	"cmp"
	"math"
	"slices"
)

// SampleRows gives the rows, ascending, that Sample draws from a table of so
// many: for tables that are in memory already.
func SampleRows(rows, n int, seed uint64) []int {
	n = max(n, 1)
	limit := uint64(math.MaxUint64)
	if share := (float64(1.1*float64(n)) + float64(5*math.Sqrt(float64(n)))) / float64(rows); share < 1 {
		limit = uint64(share*(1<<63)) << 1
	}
	for {
		var picked []int
		for row := range rows {
			if draw(seed, row) <= limit {
				picked = append(picked, row)
			}
		}
		if len(picked) < min(n, rows) {
			limit = math.MaxUint64 // the estimate was too low
			continue
		}
		if len(picked) > n {
			slices.SortFunc(picked, func(a, b int) int { return cmp.Compare(draw(seed, a), draw(seed, b)) })
			picked = picked[:n]
			slices.Sort(picked)
		}
		return picked
	}
}
