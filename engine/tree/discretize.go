package tree

import (
	"fmt"
	"math"

	"cloister/engine/parallel"
	"cloister/engine/random"
)

// QuantizeOptions round gradients and hessians to few levels (Y. Shi et al.,
// "Quantized Training of Gradient Boosting Decision Trees", NeurIPS 2022).
type QuantizeOptions struct {
	// Bins is the number of levels: gradients become integers of at most half
	// of it in magnitude, hessians integers up to it; from 2 to MaxQuantizeBins.
	Bins int
	// Stochastic rounds up or down at random, in proportion to nearness, by
	// Seed; else to the nearest level.
	Stochastic bool
	Seed       uint64
	// Renew computes the leaves' values from the exact gradients, as far as
	// monotone constraints permit.
	Renew bool
}

// MaxQuantizeBins is the greatest number of levels: LightGBM's levels are
// integers of 8 bits.
const MaxQuantizeBins = 127

// quantize packs the gradients of all rows, as exactly as sums permit or to
// the few levels of Options.Quantize.
func (g *Grower) quantize(grad *Gradients) (fixed, error) {
	if g.opt.Quantize != nil {
		return discretize(g.pool, grad, g.opt.Quantize, g.packed)
	}
	return quantize(g.pool, grad, g.packed)
}

// greatestOf returns the greatest magnitudes over all rows.
func greatestOf(pool *parallel.Pool, g *Gradients) (grad, hess float64) {
	n := len(g.Grad)
	partial := make([][2]float64, (n+sumChunk-1)/sumChunk)
	pool.Chunks(n, sumChunk, func(c, lo, hi int) {
		var a, b float64
		for i, v := range g.Grad[lo:hi] {
			a = max(a, math.Abs(float64(v)))
			b = max(b, math.Abs(float64(g.Hess[lo+i])))
		}
		partial[c] = [2]float64{a, b}
	})
	for _, p := range partial {
		grad, hess = max(grad, p[0]), max(hess, p[1])
	}
	return grad, hess
}

// discretize packs gradients of few levels. The draws depend on the row: the
// levels are so far apart that rows with the same gradient must not all be
// rounded the same way.
func discretize(pool *parallel.Pool, g *Gradients, o *QuantizeOptions, packed []int64) (fixed, error) {
	sumGrad, sumHess := absoluteSums(pool, g)
	if math.IsNaN(sumGrad) || math.IsInf(sumGrad, 0) || math.IsNaN(sumHess) || math.IsInf(sumHess, 0) {
		return fixed{}, ErrNotFinite
	}
	f := fixed{hessBits: 32, hessMask: 1<<32 - 1, discrete: true, exact: exact{powerScale(sumGrad), powerScale(sumHess)}}
	maxGrad, maxHess := greatestOf(pool, g)
	f.gradScale = maxGrad / float64(o.Bins/2)
	f.hessScale = maxHess / float64(o.Bins)
	if g.ConstantHessian {
		f.hessScale = maxHess
	}
	gradInv, hessInv := inverse(f.gradScale), inverse(f.hessScale)
	key := random.Hash(o.Seed, streamLevels, g.Key)
	n := len(g.Grad)
	partial := make([][2]int64, (n+sumChunk-1)/sumChunk)
	pool.Chunks(n, sumChunk, func(c, lo, hi int) {
		var sums [2]int64
		for i, v := range g.Grad[lo:hi] {
			draw, hessDraw := 0.5, 0.5
			if o.Stochastic {
				draw, hessDraw = halves(random.Extend(key, uint64(lo+i)))
			}
			grad, hess := level(float64(float64(v)*gradInv), draw), int64(1)
			if !g.ConstantHessian {
				hess = max(0, level(float64(float64(g.Hess[lo+i])*hessInv), hessDraw))
			}
			packed[lo+i] = grad<<f.hessBits + hess
			sums[0] += max(grad, -grad)
			sums[1] += hess
		}
		partial[c] = sums
	})
	return f, fitLevels(partial)
}

// fitLevels makes sure that no sum overflows its half of a packed word.
func fitLevels(partial [][2]int64) error {
	var grad, hess int64
	for _, p := range partial {
		grad += p[0]
		hess += p[1]
	}
	if grad > math.MaxInt32 || hess > math.MaxUint32 {
		return fmt.Errorf("the sums of gradients in so many levels, up to %d, exceed 32 bits", max(grad, hess))
	}
	return nil
}

// inverse is 1/scale, or 0 where that is no number: all gradients are as good
// as zero then.
func inverse(scale float64) float64 {
	if v := 1 / scale; !math.IsInf(v, 0) {
		return v
	}
	return 0
}

// level rounds a magnitude up if its fraction and the draw from [0, 1) pass 1.
func level(v, draw float64) int64 {
	if v < 0 {
		return -int64(draw - v)
	}
	return int64(v + draw)
}

// halves are two numbers from [0, 1).
func halves(bits uint64) (a, b float64) {
	return float64(bits>>32) * 0x1p-32, float64(uint32(bits)) * 0x1p-32
}

// renew sets the leaves' values by the exact gradients, if they are to be. As
// LightGBM does it leaves out path_smooth and cat_l2. Where monotone constraints
// bound leaves by each other's values, these stay.
func (t *Grown) renew(leaves []sums) {
	o := &t.grower.opt
	if o.Quantize == nil || !o.Quantize.Renew || o.Monotone != nil && o.MonotoneMethod != MonotoneBasic {
		return
	}
	for i, s := range leaves {
		v := o.leafValue(float64(s.grad)/t.grower.fix.exact.grad, t.hessian(s)+epsilon, o.L2)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			v = 0
		}
		t.Tree.LeafValue[i] = t.leaves[i].limit.clamp(v)
	}
}
