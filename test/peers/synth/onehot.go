package synth

import (
	"math"

	"cloister/engine/random"
)

// OneHot is a sparse binary table of numbers and of categories that are spelled
// out: each category has a column of its own, which is 1 in its rows and in no
// others. The numbers come first.
type OneHot struct {
	Seed    uint64
	Numbers int
	// Levels has the number of categories of each variable; the low ones are
	// frequent.
	Levels []int
}

// Sparse implements Table.
func (o *OneHot) Sparse() bool { return true }

// Features implements Table.
func (o *OneHot) Features() int {
	n := o.Numbers
	for _, levels := range o.Levels {
		n += levels
	}
	return n
}

// Row implements Table.
func (o *OneHot) Row(i int, row *Row) {
	r := random.New(o.Seed, forRow, uint64(i))
	row.Weight, row.Values, row.Index = 1, row.Values[:0], row.Index[:0]
	s := 0.0
	for j := range o.Numbers {
		v := bell(r)
		row.Index, row.Values = append(row.Index, j), append(row.Values, v)
		s += float64(float64(0.6*effect(o.Seed, uint64(j))) * v)
	}
	first := o.Numbers
	for _, levels := range o.Levels {
		u := r.Float64()
		at := first + int(math.Floor(float64(u*u)*float64(levels)))
		row.Index, row.Values = append(row.Index, at), append(row.Values, 1)
		s += float64(0.9 * effect(o.Seed, uint64(at)))
		first += levels
	}
	row.Label = 0
	if s+bell(r) > 0 {
		row.Label = 1
	}
}
