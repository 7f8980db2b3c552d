package gbdt

import (
	"errors"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/random"
)

// Streams keep the uses of one seed apart.
const (
	streamBagging uint64 = iota + 1
	streamColumns
	streamRounding
	streamGradients
	streamDropping
)

// roundingKey makes the rounding of gradients differ from tree to tree.
func roundingKey(iteration, model int) uint64 {
	return random.Hash(0, streamRounding, uint64(iteration), uint64(model))
}

// sampler draws the rows that each iteration trains on.
type sampler interface {
	// sample returns the rows of an iteration, ascending; nil means all. It may
	// change the gradients; row i of model k is at k·rows+i.
	sample(pool *parallel.Pool, iteration int, grad, hess []float32) []uint32
	// left returns the rows that were not drawn; never nil after a draw.
	left() []uint32
	// amplifies reports whether sample changes the iteration's gradients, so
	// that hessians are not constant.
	amplifies(iteration int) bool
}

func newSampler(cfg *lightgbm.Config, d *dataset.Dataset) (sampler, error) {
	if cfg.DataSampleStrategy == "goss" {
		return newGradientSampler(cfg, d.Rows), nil
	}
	return newRowSampler(cfg, d)
}

// rowSampler draws the rows that each iteration trains on (bagging). Whether
// a row or a query is drawn depends on seed, iteration and its number alone.
type rowSampler struct {
	cfg       *lightgbm.Config
	data      *dataset.Dataset
	balanced  bool // positive and negative rows have fractions of their own
	drawn     []uint32
	rest      []uint32
	iteration int // of the draw
	parts     [][2][]uint32
}

func newRowSampler(cfg *lightgbm.Config, d *dataset.Dataset) (*rowSampler, error) {
	s := &rowSampler{cfg: cfg, data: d, iteration: -1}
	s.balanced = (cfg.PosBaggingFraction < 1 || cfg.NegBaggingFraction < 1) && !cfg.BaggingByQuery &&
		cfg.Objective == "binary" && slices.ContainsFunc(d.Label, func(y float32) bool { return y > 0 })
	if s.on() && cfg.BaggingByQuery && d.QueryStart == nil {
		return nil, errors.New("bagging_by_query needs queries: give a query file or group_column, or leave it out")
	}
	return s, nil
}

// on reports whether rows are left out at all.
func (s *rowSampler) on() bool {
	return s.cfg.BaggingFreq > 0 && (s.cfg.BaggingFraction < 1 || s.balanced)
}

const sampleChunk = 1 << 14

// sample implements sampler.
func (s *rowSampler) sample(pool *parallel.Pool, iteration int, _, _ []float32) []uint32 {
	if !s.on() {
		return nil
	}
	draw := iteration - iteration%s.cfg.BaggingFreq
	if draw == s.iteration {
		return s.drawn
	}
	s.iteration = draw
	key := random.Hash(uint64(s.cfg.BaggingSeed), streamBagging, uint64(draw))
	s.drawn, s.rest = s.drawn[:0], s.rest[:0]
	if s.cfg.BaggingByQuery {
		s.sampleQueries(key)
	} else {
		s.sampleRows(pool, key)
	}
	return s.drawn
}

func (s *rowSampler) sampleRows(pool *parallel.Pool, key uint64) {
	if s.parts == nil {
		s.parts = make([][2][]uint32, (s.data.Rows+sampleChunk-1)/sampleChunk)
	}
	pool.Chunks(s.data.Rows, sampleChunk, func(c, lo, hi int) {
		in, out := s.parts[c][0][:0], s.parts[c][1][:0]
		for i := lo; i < hi; i++ {
			if random.Float64(random.Hash1(key, uint64(i))) < s.fraction(i) {
				in = append(in, uint32(i))
			} else {
				out = append(out, uint32(i))
			}
		}
		s.parts[c] = [2][]uint32{in, out}
	})
	for _, p := range s.parts {
		s.drawn = append(s.drawn, p[0]...)
		s.rest = append(s.rest, p[1]...)
	}
	if len(s.drawn) == 0 {
		// A tree needs a row; a tiny fraction of few rows may draw none.
		s.drawn, s.rest = append(s.drawn, s.rest[0]), s.rest[1:]
	}
}

// fraction is the probability that a row is drawn.
func (s *rowSampler) fraction(row int) float64 {
	switch {
	case !s.balanced:
		return s.cfg.BaggingFraction
	case s.data.Label[row] > 0:
		return s.cfg.PosBaggingFraction
	default:
		return s.cfg.NegBaggingFraction
	}
}

// sampleQueries draws whole queries.
func (s *rowSampler) sampleQueries(key uint64) {
	start := s.data.QueryStart
	last := len(start) - 2
	for start[last] == start[last+1] {
		last--
	}
	for q := range last + 1 {
		// A tree needs rows: the last query is the last resort.
		in := random.Float64(random.Hash1(key, uint64(q))) < s.cfg.BaggingFraction || q == last && len(s.drawn) == 0
		for r := start[q]; r < start[q+1]; r++ {
			if in {
				s.drawn = append(s.drawn, uint32(r))
			} else {
				s.rest = append(s.rest, uint32(r))
			}
		}
	}
}

// amplifies implements sampler.
func (s *rowSampler) amplifies(int) bool { return false }

// left implements sampler.
func (s *rowSampler) left() []uint32 {
	if s.rest == nil {
		return []uint32{}
	}
	return s.rest
}

// columnSampler draws the columns that each tree may split on.
type columnSampler struct {
	cfg     *lightgbm.Config
	columns int
	used    []bool
}

func newColumnSampler(cfg *lightgbm.Config, columns int) *columnSampler {
	return &columnSampler{cfg: cfg, columns: columns}
}

// sample returns which columns a tree may use; nil means all.
func (s *columnSampler) sample(iteration, model int) []bool {
	if s.cfg.FeatureFraction >= 1 || s.columns == 0 {
		return nil
	}
	if s.used == nil {
		s.used = make([]bool, s.columns)
	}
	clear(s.used)
	count := max(1, int(float64(float64(s.columns)*s.cfg.FeatureFraction)+0.5))
	r := random.New(uint64(s.cfg.FeatureFractionSeed), streamColumns, uint64(iteration), uint64(model))
	for _, c := range r.Sample(s.columns, count) {
		s.used[c] = true
	}
	return s.used
}
