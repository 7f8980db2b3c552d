package read

import (
	"math"
	"slices"
)

// SampleRows gives the rows, ascending, that Sample draws from a table of so
// many: for tables that are in memory already.
func SampleRows(rows, n int, seed uint64) []int {
	n = min(max(n, 1), rows)
	limit := uint64(math.MaxUint64)
	if n < rows {
		draws := make([]uint64, rows)
		for row := range draws {
			draws[row] = draw(seed, row)
		}
		limit = nthLeast(draws, n)
	}
	picked := make([]int, 0, n)
	for row := range rows {
		if draw(seed, row) <= limit {
			picked = append(picked, row)
		}
	}
	return picked
}

// nthLeast is the n-th least of some draws, counted from 1.
func nthLeast(draws []uint64, n int) uint64 {
	const top = 12
	var count [1 << top]int
	for _, d := range draws {
		count[d>>(64-top)]++
	}
	bucket := uint64(0)
	for n > count[bucket] {
		n -= count[bucket]
		bucket++
	}
	within := make([]uint64, 0, count[bucket])
	for _, d := range draws {
		if d>>(64-top) == bucket {
			within = append(within, d)
		}
	}
	slices.Sort(within)
	return within[n-1]
}
