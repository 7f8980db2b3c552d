package dataset

import (
	"math"
	"slices"
)

// sorter sorts numbers, with memory that it keeps.
type sorter struct{ a, b []uint64 }

// sort puts numbers (no NaN) in ascending order.
func (s *sorter) sort(v []float64) {
	const small = 512
	if len(v) <= small {
		slices.Sort(v)
		return
	}
	if len(s.a) < len(v) {
		s.a, s.b = make([]uint64, len(v)), make([]uint64, len(v))
	}
	a := s.a[:len(v)]
	for i, x := range v {
		a[i] = orderedKey(x)
	}
	a = radixSort(a, s.b[:len(v)])
	for i, k := range a {
		// Undo orderedKey: the top bit of a key is set for v ≥ 0.
		v[i] = math.Float64frombits(k ^ (uint64(int64(^k)>>63) | 1<<63))
	}
}

// radixSort sorts a with the help of b, of the same length, and returns the
// one of the two that holds the result.
func radixSort(a, b []uint64) []uint64 {
	const width, digits = 11, 6
	var count [digits][1 << width]int
	for _, k := range a {
		for d := range digits {
			count[d][k>>(d*width)&(1<<width-1)]++
		}
	}
	for d := range digits {
		c := &count[d]
		if c[a[0]>>(d*width)&(1<<width-1)] == len(a) {
			continue // all alike in this digit
		}
		sum := 0
		for i, n := range c {
			c[i] = sum
			sum += n
		}
		for _, k := range a {
			p := &c[k>>(d*width)&(1<<width-1)]
			b[*p] = k
			*p++
		}
		a, b = b, a
	}
	return a
}
