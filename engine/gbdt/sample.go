package gbdt

import (
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
)

// roundingKey makes the rounding of gradients differ from tree to tree.
func roundingKey(iteration, model int) uint64 {
	return random.Hash(0, streamRounding, uint64(iteration), uint64(model))
}

// rowSampler draws the rows that each iteration trains on (bagging). Whether
// a row is drawn depends on seed, iteration and row alone.
type rowSampler struct {
	cfg       *lightgbm.Config
	data      *dataset.Dataset
	drawn     []uint32
	rest      []uint32
	iteration int // of the draw
	parts     [][2][]uint32
}

func newRowSampler(cfg *lightgbm.Config, d *dataset.Dataset) *rowSampler {
	return &rowSampler{cfg: cfg, data: d, iteration: -1}
}

const sampleChunk = 1 << 14

// sample returns the rows of an iteration, ascending; nil means all.
func (s *rowSampler) sample(pool *parallel.Pool, iteration int) []uint32 {
	if s.cfg.BaggingFreq <= 0 || s.cfg.BaggingFraction >= 1 {
		return nil
	}
	draw := iteration - iteration%s.cfg.BaggingFreq
	if draw == s.iteration {
		return s.drawn
	}
	s.iteration = draw
	chunks := (s.data.Rows + sampleChunk - 1) / sampleChunk
	if s.parts == nil {
		s.parts = make([][2][]uint32, chunks)
	}
	key := random.Hash(uint64(s.cfg.BaggingSeed), streamBagging, uint64(draw))
	pool.Chunks(s.data.Rows, sampleChunk, func(c, lo, hi int) {
		in, out := s.parts[c][0][:0], s.parts[c][1][:0]
		for i := lo; i < hi; i++ {
			if random.Float64(random.Hash1(key, uint64(i))) < s.cfg.BaggingFraction {
				in = append(in, uint32(i))
			} else {
				out = append(out, uint32(i))
			}
		}
		s.parts[c] = [2][]uint32{in, out}
	})
	s.drawn, s.rest = s.drawn[:0], s.rest[:0]
	for _, p := range s.parts {
		s.drawn = append(s.drawn, p[0]...)
		s.rest = append(s.rest, p[1]...)
	}
	if len(s.drawn) == 0 {
		// A tree needs a row; a tiny fraction of few rows may draw none.
		s.drawn, s.rest = append(s.drawn, s.rest[0]), s.rest[1:]
	}
	return s.drawn
}

// left returns the rows that were not drawn; never nil after a draw.
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
