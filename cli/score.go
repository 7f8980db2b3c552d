package cli

import (
	"bytes"
	"slices"
	"sync"

	"cloister/engine/dataset/read"
	"cloister/engine/lightgbm"
)

// scorer computes one line of numbers for each row of a batch. It may be used
// by several goroutines.
type scorer struct {
	kind     string // for people and programs
	width    int    // values in a line
	features int    // values in a row
	scratch  sync.Pool
	// score writes the lines of some rows to out.
	score func(w *scratch, rows, out []float64) error
	// sparse, if not nil, does that for sparse rows, as of a read.Batch.
	sparse func(rowStart []int, index []int32, value, out []float64) error
}

// scratch is the memory of one goroutine.
type scratch struct {
	rows      []float64 // a few rows for the model, zeros between uses
	out       []float64
	leaves    []int32
	explainer *lightgbm.Explainer
}

// chunkValues bounds the rows and the lines that are held at a time.
const chunkValues = 1 << 15

func newScorer(p *lightgbm.Predictor, kind string, width int, score func(w *scratch, rows, out []float64) error) *scorer {
	s := &scorer{kind: kind, width: width, features: p.Features(), score: score}
	s.scratch.New = func() any {
		room := s.chunk() * width
		if s.sparse != nil {
			room = max(1, chunkValues/width) * width
		}
		return &scratch{out: make([]float64, room)}
	}
	return s
}

// leafScorer gives the leaves of rows and, after them, the values of features.
func leafScorer(p *lightgbm.Predictor, features []int) *scorer {
	trees := p.Trees()
	width := trees + len(features)
	return newScorer(p, "leaf_index", width, func(w *scratch, rows, out []float64) error {
		n := len(out) / width * trees
		w.leaves = slices.Grow(w.leaves[:0], n)[:n]
		if err := p.LeavesRows(rows, w.leaves); err != nil {
			return err
		}
		for leaves := w.leaves; len(leaves) > 0; leaves = leaves[trees:] {
			for j, leaf := range leaves[:trees] {
				out[j] = float64(leaf)
			}
			for j, f := range features {
				out[trees+j] = rows[f]
			}
			rows, out = rows[p.Features():], out[width:]
		}
		return nil
	})
}

func contributionScorer(p *lightgbm.Predictor, width int) *scorer {
	return newScorer(p, "contributions", width, func(w *scratch, rows, out []float64) error {
		if w.explainer == nil {
			x, err := p.Explainer()
			if err != nil {
				return err
			}
			w.explainer = x
		}
		return w.explainer.ContributionsRows(rows, out)
	})
}

// chunk is the number of rows that are scored together.
func (s *scorer) chunk() int {
	return max(1, chunkValues/max(s.features, s.width, 1))
}

// rawScorer computes raw scores, or with transform outputs.
func rawScorer(p *lightgbm.Predictor, transform bool) *scorer {
	if transform {
		s := newScorer(p, "prediction", p.Models(), func(_ *scratch, rows, out []float64) error {
			return p.OutputRows(rows, out)
		})
		s.sparse = p.OutputSparseRows
		return s
	}
	s := newScorer(p, "raw_score", p.Models(), func(_ *scratch, rows, out []float64) error {
		return p.RawRows(rows, out)
	})
	s.sparse = p.RawSparseRows
	return s
}

// each scores a batch and passes on the lines' values, some lines at a time;
// they are the scorer's again when fn returns.
func (s *scorer) each(b *read.Batch, columns *columnMap, fn func(values []float64)) error {
	w := s.scratch.Get().(*scratch)
	defer s.scratch.Put(w)
	if s.sparse != nil && columns.sparse(b) {
		return s.eachSparse(w, b, fn)
	}
	chunk, direct := s.chunk(), columns.direct(b)
	if !direct && w.rows == nil {
		w.rows = make([]float64, chunk*s.features)
	}
	for lo := 0; lo < b.Rows; lo += chunk {
		hi := min(b.Rows, lo+chunk)
		var rows []float64
		if direct {
			rows = b.Values[lo*s.features : hi*s.features]
		} else {
			rows = w.rows[:(hi-lo)*s.features]
			columns.fill(b, lo, hi, rows)
		}
		out := w.out[:(hi-lo)*s.width]
		err := s.score(w, rows, out)
		if !direct {
			columns.wipe(b, lo, hi, rows)
		}
		if err != nil {
			return err
		}
		fn(out)
	}
	return nil
}

// eachSparse is each for a batch that need not be made dense.
func (s *scorer) eachSparse(w *scratch, b *read.Batch, fn func(values []float64)) error {
	chunk := max(1, len(w.out)/s.width)
	for lo := 0; lo < b.Rows; lo += chunk {
		hi := min(b.Rows, lo+chunk)
		out := w.out[:(hi-lo)*s.width]
		if err := s.sparse(b.RowStart[lo:hi+1], b.Index, b.Value, out); err != nil {
			return err
		}
		fn(out)
	}
	return nil
}

// format writes the lines of a batch as LightGBM's command line does: 17
// significant digits, tabs between values.
func (s *scorer) format(b *read.Batch, columns *columnMap) ([]byte, error) {
	if s.width == 0 { // leaf indices of a model without trees
		return bytes.Repeat([]byte{'\n'}, b.Rows), nil
	}
	text := make([]byte, 0, b.Rows*s.width*20)
	err := s.each(b, columns, func(values []float64) {
		for i, v := range values {
			text = appendNumber(text, v)
			if (i+1)%s.width == 0 {
				text = append(text, '\n')
			} else {
				text = append(text, '\t')
			}
		}
	})
	return text, err
}
