package tree

import (
	"math"
	"slices"
	"sync"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

// LinearFitter gives the leaves of grown trees linear models of the numerical
// features on their paths (Shi, Li and Li, "Gradient Boosting With Piece-Wise
// Linear Regression Trees", IJCAI 2019; linear_tree in LightGBM). It is not
// safe for concurrent use.
type LinearFitter struct {
	data    *dataset.Dataset
	pool    *parallel.Pool
	lambda  float64
	usable  []bool  // by column
	leafOf  []int32 // of each row
	scratch sync.Pool
}

// NewLinearFitter returns a fitter for trees over the data set, which must have
// raw values. Lambda is linear_lambda, the ridge term on coefficients.
func NewLinearFitter(d *dataset.Dataset, pool *parallel.Pool, lambda float64) *LinearFitter {
	f := &LinearFitter{data: d, pool: pool, lambda: lambda, usable: finiteColumns(d, pool)}
	f.scratch.New = func() any { return new(linearBlock) }
	return f
}

// finiteColumns tells which columns linear models may use: those of numbers
// that are all in the range of single precision.
func finiteColumns(d *dataset.Dataset, pool *parallel.Pool) []bool {
	width := d.Raw.Width
	found := make([][]bool, (d.Rows+sumChunk-1)/sumChunk)
	pool.Chunks(d.Rows, sumChunk, func(c, lo, hi int) {
		infinite := make([]bool, width)
		for i, v := range d.Raw.Values[lo*width : hi*width] {
			if math.IsInf(float64(v), 0) {
				infinite[i%width] = true
			}
		}
		found[c] = infinite
	})
	usable := make([]bool, len(d.Columns))
	for c, place := range d.Raw.Place {
		usable[c] = place >= 0 && !slices.ContainsFunc(found, func(infinite []bool) bool { return infinite[place] })
	}
	return usable
}

// Constant makes a tree linear without any features, as LightGBM does in the
// first iteration.
func (f *LinearFitter) Constant(t *Grown) {
	tr := t.Tree
	tr.IsLinear = true
	tr.LeafConst = slices.Clone(tr.LeafValue)
	tr.LeafFeatures, tr.LeafCoeff = make([][]int32, tr.NumLeaves), make([][]float64, tr.NumLeaves)
	t.places = make([][]int32, tr.NumLeaves)
}

// Fit makes a tree linear: every leaf gets the model that the Newton step of
// its rows gives, from the gradients that the tree was grown from. Rows in
// which one of the leaf's features is missing take no part; they get the leaf's
// value. A leaf with few other rows gets a constant from these, and one without
// numerical features keeps its value.
func (f *LinearFitter) Fit(t *Grown, grad *Gradients) {
	f.Constant(t)
	leaves := f.leaves(t)
	type task struct{ leaf, chunk int }
	var tasks []task
	var large []int
	for i := range leaves {
		l := &leaves[i]
		if len(l.columns) == 0 {
			continue
		}
		chunks := (len(l.rows) + linearChunk - 1) / linearChunk
		l.parts = make([]linearSums, chunks)
		if chunks > 1 {
			large = append(large, i)
		}
		for c := range chunks {
			tasks = append(tasks, task{i, c})
		}
	}
	f.pool.Run(len(large), func(i int) { leaves[large[i]].center(f.data.Raw) })
	f.pool.Run(len(tasks), func(i int) {
		l := &leaves[tasks[i].leaf]
		if len(l.parts) == 1 {
			l.center(f.data.Raw)
		}
		b := f.scratch.Get().(*linearBlock)
		defer f.scratch.Put(b)
		l.sum(f.data.Raw, grad, tasks[i].chunk, b)
		if len(l.parts) == 1 {
			f.set(t, tasks[i].leaf, l)
		}
	})
	f.pool.Run(len(large), func(i int) { f.set(t, large[i], &leaves[large[i]]) })
}

// linearLeaf is a leaf that gets a linear model.
type linearLeaf struct {
	rows    []uint32
	columns []int
	places  []int32   // of the columns among the raw values
	shift   []float64 // taken off the columns' values before they are summed
	parts   []linearSums
	touched float32 // what touch gave, kept so that its loads are
}

// leaves lists the rows of each leaf and the columns on its path, ascending.
func (f *LinearFitter) leaves(t *Grown) []linearLeaf {
	parent := make([]int, len(t.nodes))
	leaves := make([]linearLeaf, len(t.leaves))
	walk := func(child int32, node int) {
		if child >= 0 {
			parent[child] = node
			return
		}
		l := &leaves[^child]
		l.rows = t.Rows(int(^child))
		for ; node >= 0; node = parent[node] {
			if c := t.nodes[node].column; f.usable[c] {
				l.columns = append(l.columns, c)
			}
		}
		slices.Sort(l.columns)
		l.columns = slices.Compact(l.columns)
		for _, c := range l.columns {
			l.places = append(l.places, f.data.Raw.Place[c])
		}
	}
	// A child node is always younger than its parent.
	for i := range t.nodes {
		if i == 0 {
			parent[i] = -1
		}
		walk(t.nodes[i].left, i)
		walk(t.nodes[i].right, i)
	}
	return leaves
}

// set solves a leaf's system and gives its model to the tree.
func (f *LinearFitter) set(t *Grown, leaf int, l *linearLeaf) {
	s := &l.parts[0]
	for i := range l.parts[1:] {
		s.add(&l.parts[i+1])
	}
	l.parts = nil
	coeff, constant, ok := s.solve(l.shift, f.lambda)
	switch {
	case ok:
		t.Tree.LeafConst[leaf] = roundToZero(constant)
	case s.rows < len(l.rows):
		// The leaf's value is above all that of the rows with missing values,
		// which these are unlike.
		t.Tree.LeafConst[leaf] = roundToZero(t.constant(s.grad, s.hess, leaf))
	}
	for i, c := range coeff {
		if isZero(c) {
			continue
		}
		t.Tree.LeafFeatures[leaf] = append(t.Tree.LeafFeatures[leaf], int32(f.data.Columns[l.columns[i]].Feature))
		t.Tree.LeafCoeff[leaf] = append(t.Tree.LeafCoeff[leaf], c)
		t.places[leaf] = append(t.places[leaf], l.places[i])
	}
}

// constant is the value of a leaf by the sums over some of its rows.
func (t *Grown) constant(grad, hess float64, leaf int) float64 {
	at := &t.leaves[leaf].standing
	v := t.grower.opt.leafValue(grad, hess+epsilon, at.l2)
	if !finite(v) {
		return 0
	}
	return at.limit.clamp(v)
}

// output is what the tree gives for a row of a data set in a leaf.
func (t *Grown) output(raw *dataset.RawValues, leaf int32, row uint32) float64 {
	tr := t.Tree
	if !tr.IsLinear {
		return tr.LeafValue[leaf]
	}
	sum, coeff, places := tr.LeafConst[leaf], tr.LeafCoeff[leaf], t.places[leaf]
	if len(places) == 0 {
		return sum
	}
	values := raw.Row(int(row))
	for j, p := range places {
		v := float64(values[p])
		if math.IsNaN(v) {
			return tr.LeafValue[leaf]
		}
		sum += float64(coeff[j] * v)
	}
	return sum
}

// AddScores adds a linear tree's output to the scores of the rows that it was
// grown from. It takes the rows in their own order, as they lie in memory.
func (f *LinearFitter) AddScores(t *Grown, scores []float64) {
	if f.leafOf == nil {
		f.leafOf = make([]int32, f.data.Rows)
	}
	for i := range f.leafOf {
		f.leafOf[i] = -1
	}
	t.EachLeaf(func(leaf int) {
		for _, r := range t.Rows(leaf) {
			f.leafOf[r] = int32(leaf)
		}
	})
	f.pool.Chunks(f.data.Rows, scoreChunk, func(_, lo, hi int) {
		for i, leaf := range f.leafOf[lo:hi] {
			if leaf >= 0 {
				scores[lo+i] += t.output(f.data.Raw, leaf, uint32(lo+i))
			}
		}
	})
}
