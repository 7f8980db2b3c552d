package metric

import "math"

// descending returns the scores in order, the greatest first and equal ones by
// index, by radix sort with digits of 11 bits (D. E. Knuth, "The Art
// of Computer Programming", volume 3, section 5.2.5).
func descending(scores []float64) []item {
	const digits, width = 6, 11
	n := len(scores)
	from, to := make([]item, n), make([]item, n)
	var counts [digits][1 << width]uint32
	for i, s := range scores {
		key := descendingKey(s)
		from[i] = item{key, uint32(i)}
		for d := range digits {
			counts[d][key>>(d*width)&(1<<width-1)]++
		}
	}
	for d := range digits {
		if n > 0 && counts[d][from[0].key>>(d*width)&(1<<width-1)] == uint32(n) {
			continue // All have the same digit.
		}
		var at uint32
		for v, c := range counts[d] {
			counts[d][v] = at
			at += c
		}
		for _, it := range from {
			v := it.key >> (d * width) & (1<<width - 1)
			to[counts[d][v]] = it
			counts[d][v]++
		}
		from, to = to, from
	}
	return from
}

// item is a score: equal scores have equal keys.
type item struct {
	key   uint64
	index uint32
}

// descendingKey maps greater numbers to smaller keys.
func descendingKey(x float64) uint64 {
	b := math.Float64bits(x + 0) // -0 becomes 0.
	if b>>63 == 1 {
		return b
	}
	return ^b &^ (1 << 63)
}
