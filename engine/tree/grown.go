package tree

import (
	"math"

	"cloister/engine/dataset"
)

// Grown is a tree fresh from a Grower, with the rows of each leaf and the
// splits in terms of bins. It is valid until the grower's next tree.
type Grown struct {
	Tree *Tree

	grower *Grower
	leaves []leaf
	nodes  []grownNode
	places [][]int32 // of a linear tree's features among the raw values, by leaf
}

// grownNode is an inner node: a split by bins.
type grownNode struct {
	split
	categorical bool
	left, right int32 // ≥ 0 a node, else ^leaf
	at          standing
}

// addNode turns the leaf at the given index into an inner node and returns the
// node's number.
func (t *Grown) addNode(d *dataset.Dataset, at int, s *split) int {
	l := &t.leaves[at]
	id := len(t.nodes)
	if l.parent >= 0 {
		p := &t.nodes[l.parent]
		if l.right {
			p.right = int32(id)
		} else {
			p.left = int32(id)
		}
	}
	t.nodes = append(t.nodes, grownNode{
		split:       *s,
		categorical: d.Columns[s.column].Mapper.Categorical,
		left:        ^int32(at),
		right:       ^int32(len(t.leaves)),
		at:          l.standing,
	})
	return id
}

// Rows returns the rows of a leaf, ascending.
func (t *Grown) Rows(leaf int) []uint32 {
	l := &t.leaves[leaf]
	return t.grower.rows[l.begin:l.end]
}

// taskRows is about the number of rows that one task of EachLeaf has.
const taskRows = 1 << 13

// EachLeaf calls run for every leaf, in no order, by all threads.
func (t *Grown) EachLeaf(run func(leaf int)) {
	starts := []int{0}
	rows := 0
	for i := range t.leaves {
		if rows >= taskRows {
			starts, rows = append(starts, i), 0
		}
		rows += t.leaves[i].count()
	}
	starts = append(starts, len(t.leaves))
	t.grower.pool.Run(len(starts)-1, func(task int) {
		for i := starts[task]; i < starts[task+1]; i++ {
			run(i)
		}
	})
}

// maxThreshold stands in for an infinite threshold (all values left, missing
// ones right), since the model text has none; LightGBM writes the same.
const maxThreshold = 1e300

// finish makes the tree: structure, thresholds as values, and values from
// exact sums over the leaves' rows.
func (t *Grown) finish(grad *Gradients) {
	g := t.grower
	tr := &Tree{NumLeaves: len(t.leaves), Shrinkage: 1}
	t.Tree = tr
	for i := range t.nodes {
		n := &t.nodes[i]
		column := &g.data.Columns[n.column]
		m := column.Mapper
		tr.SplitFeature = append(tr.SplitFeature, int32(column.Feature))
		tr.SplitGain = append(tr.SplitGain, float32(n.gain+g.opt.MinGainToSplit))
		tr.LeftChild = append(tr.LeftChild, n.left)
		tr.RightChild = append(tr.RightChild, n.right)
		decision := uint8(m.Missing) << 2
		if n.defaultLeft {
			decision |= 2
		}
		if n.categorical {
			decision = decision&^2 | 1
			tr.Threshold = append(tr.Threshold, float64(tr.addCategories(m, n.cat)))
		} else {
			tr.Threshold = append(tr.Threshold, min(m.UpperBound[n.threshold], maxThreshold))
		}
		tr.DecisionType = append(tr.DecisionType, decision)
	}
	t.sum(grad)
}

// addCategories stores a set of categories and returns its number.
func (t *Tree) addCategories(m *dataset.Mapper, bins []uint32) int {
	values := make([]uint32, len(bins))
	for i, b := range bins {
		values[i] = uint32(m.Categories[b])
	}
	if len(t.CatBoundaries) == 0 {
		t.CatBoundaries = []int32{0}
	}
	t.CatThreshold = append(t.CatThreshold, bitset(values)...)
	t.CatBoundaries = append(t.CatBoundaries, int32(len(t.CatThreshold)))
	return len(t.CatBoundaries) - 2
}

// sums are the exact sums of a node.
type sums struct {
	grad, hess int64
	count      int
}

func (t *Grown) sum(grad *Gradients) {
	leaves := t.leafSums(grad)
	inner := make([]sums, len(t.nodes))
	at := func(child int32) sums {
		if child < 0 {
			return leaves[^child]
		}
		return inner[child]
	}
	// A child node is always younger than its parent.
	for i := len(t.nodes) - 1; i >= 0; i-- {
		l, r := at(t.nodes[i].left), at(t.nodes[i].right)
		inner[i] = sums{grad: l.grad + r.grad, hess: l.hess + r.hess, count: l.count + r.count}
	}
	t.setValues(leaves, inner)
	t.renew(leaves)
}

// setValues sets the values of leaves and nodes, from the root down.
func (t *Grown) setValues(leaves, inner []sums) {
	tr := t.Tree
	for i := range leaves {
		tr.LeafWeight = append(tr.LeafWeight, t.hessian(leaves[i]))
		tr.LeafCount = append(tr.LeafCount, int64(leaves[i].count))
	}
	for i := range inner {
		tr.InternalWeight = append(tr.InternalWeight, t.hessian(inner[i]))
		tr.InternalCount = append(tr.InternalCount, int64(inner[i].count))
	}
	tr.LeafValue = make([]float64, len(leaves))
	if len(inner) == 0 {
		tr.LeafValue[0] = t.value(leaves[0], &t.leaves[0].standing, nil)
		return
	}
	tr.InternalValue = make([]float64, len(inner))
	tr.InternalValue[0] = t.value(inner[0], &t.nodes[0].at, nil)
	for i := range t.nodes {
		parent := &tr.InternalValue[i]
		for _, child := range []int32{t.nodes[i].left, t.nodes[i].right} {
			if child < 0 {
				tr.LeafValue[^child] = t.value(leaves[^child], &t.leaves[^child].standing, parent)
			} else {
				tr.InternalValue[child] = t.value(inner[child], &t.nodes[child].at, parent)
			}
		}
	}
}

func (t *Grown) hessian(s sums) float64 {
	return float64(s.hess) / t.grower.fix.exact.hess
}

// value is the value of a node under a parent of the given value; the root has
// none.
func (t *Grown) value(s sums, at *standing, parent *float64) float64 {
	o := &t.grower.opt
	value := at.output
	if !o.fixedValues() {
		value = o.leafValue(float64(s.grad)/t.grower.fix.exact.grad, t.hessian(s)+epsilon, at.l2)
		if parent != nil && o.PathSmooth > epsilon {
			value = o.smooth(value, at.rows, *parent)
		}
	}
	if math.IsNaN(value) || math.IsInf(value, 0) {
		value = 0
	}
	return at.limit.clamp(value)
}

// fixedValues reports whether the values by fixed-point sums are the final
// ones: the gradients have few levels, or other leaves are bounded by these
// very values.
func (o *Options) fixedValues() bool {
	return o.Quantize != nil || o.Monotone != nil && o.MonotoneMethod != MonotoneBasic
}

// AddScores adds the tree's values to the scores of rows of a data set that
// has the mappers of the training set. Rows nil means all; rows of d are
// numbered as scores are.
func (t *Grown) AddScores(d *dataset.Dataset, rows []uint32, scores []float64) {
	n := len(rows)
	if rows == nil {
		n = d.Rows
	}
	if len(t.nodes) == 0 {
		return
	}
	steps := t.steps(d)
	t.grower.pool.Chunks(n, scoreChunk, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			r := uint32(i)
			if rows != nil {
				r = rows[i]
			}
			scores[r] += t.output(d.Raw, findLeaf(steps, r), r)
		}
	})
}

const scoreChunk = 1 << 12

// step is an inner node as a row meets it in a data set.
type step struct {
	lookup      binLookup
	threshold   uint32
	defaultLeft bool
	cat         []uint32 // bit set over bins; nil for numerical splits
	left, right int32
}

func (t *Grown) steps(d *dataset.Dataset) []step {
	steps := make([]step, len(t.nodes))
	for i := range t.nodes {
		n := &t.nodes[i]
		steps[i] = step{
			lookup: newBinLookup(d, n.column), threshold: n.threshold, defaultLeft: n.defaultLeft,
			left: n.left, right: n.right,
		}
		if n.categorical {
			steps[i].cat = bitset(n.cat)
		}
	}
	return steps
}

func findLeaf(steps []step, row uint32) int32 {
	at := int32(0)
	for at >= 0 {
		s := &steps[at]
		bin := s.lookup.bin(row)
		var left bool
		switch {
		case s.cat != nil:
			left = inBitset(s.cat, bin)
		case int(bin) == s.lookup.missingBin:
			left = s.defaultLeft
		default:
			left = bin <= s.threshold
		}
		if left {
			at = s.left
		} else {
			at = s.right
		}
	}
	return ^at
}

// Constant returns a tree of one leaf over the given number of rows.
func Constant(value float64, rows int64) *Tree {
	return &Tree{NumLeaves: 1, LeafValue: []float64{value}, LeafWeight: []float64{0}, LeafCount: []int64{rows}, Shrinkage: 1}
}
