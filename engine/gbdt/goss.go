package gbdt

import (
	"math"

	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/random"
)

// gradientSampler draws the rows of each iteration by their gradients (GOSS:
// Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree",
// NIPS 2017, section 3): all rows with a large gradient and, at random, some
// of the others, whose gradients are amplified to stand for all of these.
type gradientSampler struct {
	cfg         *lightgbm.Config
	rows        int
	warmUp      int      // iterations at the start that use all rows
	size        []uint32 // of each row's gradients
	drawn, rest []uint32
}

func newGradientSampler(cfg *lightgbm.Config, rows int) *gradientSampler {
	warmUp := min(1/cfg.LearningRate, float64(cfg.NumIterations))
	return &gradientSampler{cfg: cfg, rows: rows, warmUp: int(warmUp), size: make([]uint32, rows), rest: []uint32{}}
}

// amplifies implements sampler.
func (s *gradientSampler) amplifies(iteration int) bool { return iteration >= s.warmUp }

// left implements sampler.
func (s *gradientSampler) left() []uint32 { return s.rest }

// sample implements sampler.
func (s *gradientSampler) sample(pool *parallel.Pool, iteration int, grad, hess []float32) []uint32 {
	if !s.amplifies(iteration) {
		return nil
	}
	s.measure(pool, grad, hess)
	threshold := kthLargest(s.size, max(1, int(float64(s.rows)*s.cfg.TopRate)))
	key := random.Hash(uint64(s.cfg.BaggingSeed), streamGradients, uint64(iteration))
	factor := s.draw(threshold, int(float64(s.rows)*s.cfg.OtherRate), key)
	pool.Chunks(len(s.drawn), sampleChunk, func(_, lo, hi int) {
		for _, r := range s.drawn[lo:hi] {
			if s.size[r] >= threshold {
				continue
			}
			for at := int(r); at < len(grad); at += s.rows {
				grad[at] *= factor
				hess[at] *= factor
			}
		}
	})
	return s.drawn
}

// measure sets each row's size, the sum of |gradient · hessian| over the
// models. The bits of floats that are not negative are ordered as they are.
func (s *gradientSampler) measure(pool *parallel.Pool, grad, hess []float32) {
	pool.Chunks(s.rows, sampleChunk, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			sum := float32(0)
			for at := i; at < len(grad); at += s.rows {
				sum += float32(math.Abs(float64(grad[at] * hess[at])))
			}
			s.size[i] = math.Float32bits(sum)
		}
	})
}

// draw draws the rows: all from the threshold up and, of those below, the
// given number, each set of them with the same probability (selection
// sampling, Knuth, TAOCP 2, algorithm 3.4.2S). As in LightGBM rows of equal
// size are not told apart: where many have the threshold's, all are drawn. It
// returns how many rows each of those drawn below the threshold stands for.
func (s *gradientSampler) draw(threshold uint32, others int, key uint64) float32 {
	s.drawn, s.rest = s.drawn[:0], s.rest[:0]
	small := 0
	for _, v := range s.size {
		if v < threshold {
			small++
		}
	}
	need := min(others, small)
	factor := float32(float64(small) / float64(max(1, need)))
	for i, v := range s.size {
		if v >= threshold {
			s.drawn = append(s.drawn, uint32(i))
			continue
		}
		if random.Float64(random.Hash1(key, uint64(i)))*float64(small) < float64(need) {
			s.drawn = append(s.drawn, uint32(i))
			need--
		} else {
			s.rest = append(s.rest, uint32(i))
		}
		small--
	}
	return factor
}

// kthLargest returns the k-th largest value, k from 1, by counting digits from
// the highest.
func kthLargest(values []uint32, k int) uint32 {
	const width = 11
	found, mask := uint32(0), uint32(0)
	for _, shift := range []uint{22, 11, 0} {
		var count [1 << width]int
		for _, v := range values {
			if v&mask == found {
				count[v>>shift&(1<<width-1)]++
			}
		}
		digit := len(count) - 1
		for ; digit > 0 && count[digit] < k; digit-- {
			k -= count[digit]
		}
		found |= uint32(digit) << shift
		mask |= (1<<width - 1) << shift
	}
	return found
}
