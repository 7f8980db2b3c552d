package tree

import (
	"errors"
	"fmt"
)

// ErrShape means that rows, iterations and outputs do not fit together.
var ErrShape = errors.New("wrong shape")

// lanes is the number of rows that go down a tree together: while one waits
// for its node, the others move.
const lanes = 8

// blockBytes bounds the rewritten rows that are kept at a time, so that they
// stay near while every tree passes over them.
const blockBytes = 64 << 10

// maxBlock bounds the groups of lanes in a block.
const maxBlock = 64

// places are those that a group of rows has come to in a tree.
type places [lanes]uint32

// scratch is the memory of one call.
type scratch struct {
	cells  []cell   // the rewritten rows of a block, a group after the other
	places []places // of the groups of a block in one tree
}

// Features is the least number of values that rows must have.
func (e *Ensemble) Features() int { return e.features }

// Iterations is the number of iterations: groups of trees, one for each model.
func (e *Ensemble) Iterations() int { return e.trees / e.models }

// rows are dense, with values row after row, or sparse, with start.
type rows struct {
	values   []float64
	features int

	start []int
	index []int32
	value []float64
}

// from are the rows from row n.
func (r *rows) from(n int) rows {
	if r.start != nil {
		return rows{start: r.start[n:], index: r.index, value: r.value}
	}
	return rows{values: r.values[n*r.features:], features: r.features}
}

// dense is a dense row, sparse the entries of a sparse one.
func (r *rows) dense(i int) []float64 { return r.values[i*r.features : (i+1)*r.features] }

func (r *rows) sparse(i int) ([]int32, []float64) {
	lo, hi := r.start[i], r.start[i+1]
	return r.index[lo:hi], r.value[lo:hi]
}

func (r *rows) predict(t *Tree, i int) float64 {
	if r.start != nil {
		return t.PredictSparse(r.sparse(i))
	}
	return t.Predict(r.dense(i))
}

func (r *rows) linear(t *Tree, leaf, i int) float64 {
	if r.start != nil {
		index, value := r.sparse(i)
		return t.linearOutputSparse(leaf, index, value)
	}
	return t.linearOutput(leaf, r.dense(i))
}

// AddScores adds the raw scores that the trees of iterations start … end-1
// give to out. Values has rows of the given width (at least Features), row
// after row, NaN where a value is missing; out has one value per row and
// model, row after row. The error is ErrShape; nothing was added then. It
// allocates nothing per row and may be called by several goroutines, each with
// rows of its own.
func (e *Ensemble) AddScores(values []float64, features, start, end int, out []float64) error {
	n := len(out) / e.models
	switch {
	case features < e.features:
		return fmt.Errorf("%w: rows have %d features, the trees use %d", ErrShape, features, e.features)
	case len(out)%e.models != 0 || len(values) != n*features:
		return fmt.Errorf("%w: %d values in rows of %d do not go with %d outputs of %d models",
			ErrShape, len(values), features, len(out), e.models)
	}
	return e.add(rows{values: values, features: features}, start, end, out)
}

// AddSparseScores is AddScores for sparse rows: row i has the entries
// rowStart[i] … rowStart[i+1]-1 of index, ascending, and value; the others are
// 0, and features that the trees do not know are ignored.
func (e *Ensemble) AddSparseScores(rowStart []int, index []int32, value []float64, start, end int, out []float64) error {
	n := len(out) / e.models
	if len(out)%e.models != 0 || len(rowStart) != n+1 || len(index) != len(value) {
		return fmt.Errorf("%w: %d bounds of rows, %d features and %d values do not go with %d outputs of %d models",
			ErrShape, len(rowStart), len(index), len(value), len(out), e.models)
	}
	at := 0
	for _, next := range rowStart {
		if next < at || next > len(index) {
			return fmt.Errorf("%w: the bounds of rows do not ascend from 0 to %d", ErrShape, len(index))
		}
		at = next
	}
	return e.add(rows{start: rowStart, index: index, value: value}, start, end, out)
}

// Leaves writes the numbers of the leaves that rows, as of AddScores, fall into
// in the trees of iterations start … end-1 to out, which has a value for each of
// these trees, row after row.
func (e *Ensemble) Leaves(values []float64, features, start, end int, out []int32) error {
	if err := e.checkRange(start, end); err != nil {
		return err
	}
	width := (end - start) * e.models
	switch {
	case features < e.features:
		return fmt.Errorf("%w: rows have %d features, the trees use %d", ErrShape, features, e.features)
	case width == 0 && len(out) == 0:
		return nil
	case width == 0 || len(out)%width != 0 || len(values) != len(out)/width*features:
		return fmt.Errorf("%w: %d values in rows of %d do not go with %d leaves of %d trees",
			ErrShape, len(values), features, len(out), width)
	}
	s := e.scratch.Get().(*scratch)
	defer e.scratch.Put(s)
	r := rows{values: values, features: features}
	for len(out) > 0 {
		n := min(e.block()*lanes, len(out)/width)
		for i := range e.segments {
			g := &e.segments[i]
			first, last := max(start*e.models, g.first), min(end*e.models, g.first+len(g.trees))
			if first < last {
				g.leaves(s, &r, n, first, last, out[first-start*e.models:], width)
			}
		}
		r, out = r.from(n), out[n*width:]
	}
	return nil
}

// leaves writes the leaves of n rows in the trees first … last-1, a row every
// width values.
func (g *segment) leaves(s *scratch, r *rows, n, first, last int, out []int32, width int) {
	if g.flat == nil {
		for i, t := range g.trees[first-g.first : last-g.first] {
			for row := range n {
				out[row*width+i] = int32(t.Leaf(r.dense(row)))
			}
		}
		return
	}
	groups := (n + lanes - 1) / lanes
	g.rewrite(s, r, n, groups)
	at := s.places[:groups]
	for i := range last - first {
		t := &g.flat[first-g.first+i]
		t.walk(s.cells, len(g.blank), at)
		for row := range n {
			out[row*width+i] = t.leaves[at[row/lanes][row%lanes]]
		}
	}
}

func (e *Ensemble) checkRange(start, end int) error {
	if start < 0 || start > end || end > e.Iterations() {
		return fmt.Errorf("%w: iterations %d to %d of %d", ErrShape, start, end, e.Iterations())
	}
	return nil
}

// add adds scores of rows that were checked.
func (e *Ensemble) add(r rows, start, end int, out []float64) error {
	if err := e.checkRange(start, end); err != nil {
		return err
	}
	s := e.scratch.Get().(*scratch)
	defer e.scratch.Put(s)
	for len(out) > 0 {
		n := min(e.block()*lanes, len(out)/e.models)
		for i := range e.segments {
			g := &e.segments[i]
			first, last := max(start*e.models, g.first), min(end*e.models, g.first+len(g.trees))
			if first < last {
				g.add(s, &r, first, last, e.models, out[:n*e.models])
			}
		}
		r, out = r.from(n), out[n*e.models:]
	}
	return nil
}

// block is the number of groups in a block.
func (e *Ensemble) block() int {
	width := 1
	for i := range e.segments {
		width = max(width, len(e.segments[i].blank))
	}
	return min(maxBlock, max(1, blockBytes/lanes/width))
}

// add adds what the trees first … last-1 give for the rows of a block.
func (g *segment) add(s *scratch, r *rows, first, last, models int, out []float64) {
	n := len(out) / models
	if g.flat == nil {
		for i := first; i < last; i++ {
			for row := range n {
				out[row*models+i%models] += r.predict(g.trees[i-g.first], row)
			}
		}
		return
	}
	groups := (n + lanes - 1) / lanes
	g.rewrite(s, r, n, groups)
	for i := first; i < last; i++ {
		t := &g.flat[i-g.first]
		at := s.places[:groups]
		t.walk(s.cells, len(g.blank), at)
		if t.linear != nil {
			for row := range n {
				leaf := t.leaves[at[row/lanes][row%lanes]]
				out[row*models+i%models] += r.linear(t.linear, int(leaf), row)
			}
			continue
		}
		t.addValues(at, out[i%models:], models)
	}
}

// addValues adds the values of the leaves at some places to sums, one every
// models numbers.
func (t *flatTree) addValues(at []places, sums []float64, models int) {
	values := t.values
	for i := range at {
		if p := &at[i]; len(sums) > (lanes-1)*models {
			for lane, place := range p {
				sums[lane*models] += values[place]
			}
			sums = sums[min(lanes*models, len(sums)):]
			continue
		}
		for lane := 0; lane*models < len(sums); lane++ {
			sums[lane*models] += values[at[i][lane]]
		}
		return
	}
}

// rewrite turns rows into groups of columns. What is in lanes without a row does
// not matter, for it cannot keep a group from ending.
func (g *segment) rewrite(s *scratch, r *rows, n, groups int) {
	width := len(g.blank)
	if len(s.cells) < groups*width {
		s.cells = make([]cell, groups*width)
	}
	if len(s.places) < groups {
		s.places = make([]places, groups)
	}
	for k := range groups {
		cells := s.cells[k*width : (k+1)*width]
		rows := min(lanes, n-k*lanes)
		if r.start != nil {
			copy(cells, g.blank)
			for lane := range rows {
				g.setEntries(r, k*lanes+lane, cells, lane)
			}
			continue
		}
		cells[0] = g.blank[0]
		values := r.values[k*lanes*r.features:]
		for i := range g.views {
			g.views[i].fill(values, r.features, rows, cells)
		}
	}
}

// setEntries writes a sparse row into a lane of columns that have zeros.
func (g *segment) setEntries(r *rows, row int, cells []cell, lane int) {
	index, value := r.sparse(row)
	for e, f := range index {
		if uint(f) >= uint(len(g.lookup)) || g.lookup[f] == 0 {
			continue
		}
		i, x := g.lookup[f]-1, value[e]
		if s, n := &g.small[i], int(x); uint(n) < uint(len(s.bytes)) && float64(n) == x && s.column > 0 && !s.other {
			cells[s.column][lane] = s.bytes[n]
			continue
		}
		for more := true; more; i-- {
			v := &g.views[i]
			v.set(x, cells, lane)
			i, more = v.other, v.other > 0
		}
	}
}
