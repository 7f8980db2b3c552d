package tree

import (
	"math"

	"cloister/engine/random"
)

// packing says how gradients become packed integers. The assembly knows the
// order of the fields.
type packing struct {
	gradInv float64 // integer = real × inverse, rounded
	hessInv float64
	key     uint64 // of the draws
	bits    uint64 // fixed.hessBits
}

// groupRows is the number of rows that scanFast's processors pack at a time.
const groupRows = 8

// pack packs rows; hess is nil where hessians are constant.
func (p *packing) pack(grad, hess []float32, packed []int64) {
	done := 0
	if scanFast && len(grad) >= groupRows {
		first := (*float32)(nil)
		if hess != nil {
			first = &hess[0]
		}
		packGroups(p, &packed[0], &grad[0], first, len(grad)/groupRows)
		done = len(grad) / groupRows * groupRows
	}
	p.packEach(grad, hess, packed, done)
}

// packEach is pack for the rows from one on, one by one.
func (p *packing) packEach(grad, hess []float32, packed []int64, from int) {
	for i := from; i < len(grad); i++ {
		h := int64(1)
		if hess != nil {
			h = max(0, round(hess[i], p.hessInv, p.key))
		}
		packed[i] = round(grad[i], p.gradInv, p.key)<<p.bits + h
	}
}

// round turns v × scale into an integer. The draw depends on the value, not on
// the row: rows with the same gradient get the same integer, so that splits
// that are equally good stay so, and the first column wins as in LightGBM.
func round(v float32, scale float64, key uint64) int64 {
	u := random.Float64(random.Extend(key, uint64(math.Float32bits(v))))
	return int64(math.Floor(float64(float64(v)*scale) + u))
}
