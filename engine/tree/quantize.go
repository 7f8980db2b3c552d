package tree

import (
	"errors"
	"math"
	"math/bits"

	"cloister/engine/parallel"
	"cloister/engine/random"
)

// Gradients are the first and second derivatives of the loss by each row's
// score, weights included.
type Gradients struct {
	Grad, Hess []float32
	// ConstantHessian says that every hessian is the same number, that of
	// row 0, so that sums of hessians are counts.
	ConstantHessian bool
	// Key makes the rounding of this tree independent of other trees'.
	Key uint64
}

// ErrNotFinite is returned when the gradients' sums are not finite: the loss
// has diverged.
var ErrNotFinite = errors.New("gradients are not finite")

// fixed translates between real and fixed-point gradients.
//
// A packed sum is one 64-bit word: the low hessBits hold the sum of the
// hessians (never negative), the rest the sum of the gradients (signed). The
// scales are chosen from the sums over all rows, so that no sum over any
// subset overflows its field; integer sums are exact, hence the same in any
// order and on any number of threads. Rounding is to one of the two nearest
// integers, at random in proportion to nearness, so that sums are unbiased
// (Shi et al., "Quantized Training of Gradient Boosting Decision Trees",
// NeurIPS 2022, section 4.2).
type fixed struct {
	hessBits  uint
	hessMask  int64
	gradScale float64 // real = fixed × scale
	hessScale float64
	discrete  bool // the gradients have few levels: see discretize.go
	exact     exact
}

// The conversions of products keep them from being fused with a later sum.
func (f *fixed) grad(packed int64) float64 {
	return float64(float64(packed>>f.hessBits) * f.gradScale)
}

func (f *fixed) hess(packed int64) float64 {
	return float64(float64(packed&f.hessMask) * f.hessScale)
}

const sumChunk = 1 << 14

// absoluteSums returns Σ|grad| and Σ|hess| over all rows.
func absoluteSums(pool *parallel.Pool, g *Gradients) (grad, hess float64) {
	n := len(g.Grad)
	chunks := (n + sumChunk - 1) / sumChunk
	partial := make([][2]float64, chunks)
	pool.Chunks(n, sumChunk, func(c, lo, hi int) {
		var a, b float64
		for i, v := range g.Grad[lo:hi] {
			a += math.Abs(float64(v))
			b += math.Abs(float64(g.Hess[lo+i]))
		}
		partial[c] = [2]float64{a, b}
	})
	for _, p := range partial {
		grad += p[0]
		hess += p[1]
	}
	return grad, hess
}

// quantize packs the gradients of all rows into packed.
func quantize(pool *parallel.Pool, g *Gradients, packed []int64) (fixed, error) {
	n := len(g.Grad)
	sumGrad, sumHess := absoluteSums(pool, g)
	if math.IsNaN(sumGrad) || math.IsInf(sumGrad, 0) || math.IsNaN(sumHess) || math.IsInf(sumHess, 0) {
		return fixed{}, ErrNotFinite
	}
	f := fixed{hessBits: 32, exact: exact{powerScale(sumGrad), powerScale(sumHess)}}
	hessInv := 0.0
	if g.ConstantHessian {
		f.hessBits = uint(bits.Len(uint(n)))
		f.hessScale = float64(g.Hess[0])
	} else if sumHess > 0 {
		hessInv = float64(uint64(1)<<31) / sumHess
		f.hessScale = 1 / hessInv
	}
	f.hessMask = int64(1)<<f.hessBits - 1
	gradInv := 0.0
	if sumGrad > 0 {
		gradInv = float64(uint64(1)<<(62-f.hessBits)) / sumGrad
		f.gradScale = 1 / gradInv
	}
	if math.IsInf(gradInv, 0) || math.IsInf(hessInv, 0) {
		// Sums so small that their inverse overflows: as good as zero.
		clear(packed)
		return f, nil
	}
	p := packing{gradInv: gradInv, hessInv: hessInv, key: random.Hash(g.Key), bits: uint64(f.hessBits)}
	pool.Chunks(n, sumChunk, func(_, lo, hi int) {
		hess := []float32(nil)
		if !g.ConstantHessian {
			hess = g.Hess[lo:hi]
		}
		p.pack(g.Grad[lo:hi], hess, packed[lo:hi])
	})
	return f, nil
}

// exact holds sums at a precision beyond float64's, for leaf values: fixed
// point with a power-of-two scale, so that the sum over a leaf is exact up to
// the truncation of each row's gradient at 2^-62 of the largest sum.
type exact struct {
	grad, hess float64 // fixed = real × scale
}

// powerScale returns the greatest power of two (within reason) whose product
// with sum stays below 2^61.
func powerScale(sum float64) float64 {
	if sum == 0 {
		return 1
	}
	_, e := math.Frexp(sum)
	return math.Ldexp(1, min(61-e, 1000))
}

// sum returns the fixed-point sums over the listed rows.
func (x exact) sum(g *Gradients, rows []uint32) (grad, hess int64) {
	if g.ConstantHessian {
		for _, r := range rows {
			grad += int64(float64(g.Grad[r]) * x.grad)
		}
		return grad, int64(len(rows)) * int64(float64(g.Hess[0])*x.hess)
	}
	for _, r := range rows {
		grad += int64(float64(g.Grad[r]) * x.grad)
		hess += int64(float64(g.Hess[r]) * x.hess)
	}
	return grad, hess
}
