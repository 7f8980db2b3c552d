package tree

import (
	"errors"
	"fmt"
	"slices"
)

// ErrLinear means that contributions are not defined for linear trees.
var ErrLinear = errors.New("contributions are not defined for linear trees")

// Bounds of TreeSHAP: its work grows with leaves × depth², and its memory with
// depth × features on a path; beyond these a tree was not grown from data.
const (
	maxShapDepth = 1 << 14
	maxShapPath  = 1 << 21
)

// pathElement is a feature on the way from the root: the share of rows that
// go this way without (zero) and with (one) the feature's value known, and the
// permutation weight of the subsets of this size.
type pathElement struct {
	feature   int32
	zero, one float64
	weight    float64
}

// Explainer computes the contributions of features to the raw scores of an
// ensemble: TreeSHAP (Lundberg, Erion and Lee 2018, "Consistent Individualized
// Feature Attribution for Tree Ensembles", algorithm 2), as LightGBM's
// pred_contrib. It has scratch memory, so each goroutine needs its own.
type Explainer struct {
	trees    []*Tree
	models   int
	features int
	expected []float64
	path     []pathElement
}

// NewExplainer prepares contributions of trees, models of them in each
// iteration, to rows of the given number of features. The trees must be valid.
// It fails with ErrLinear for linear trees, and for trees that are too deep or
// have no row counts.
func NewExplainer(trees []*Tree, models, features int) (*Explainer, error) {
	e := &Explainer{trees: trees, models: models, features: features, expected: make([]float64, len(trees))}
	size := 0
	for i, t := range trees {
		n, err := t.shapPathSize()
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		size = max(size, n)
		e.expected[i] = t.ExpectedValue()
	}
	e.path = make([]pathElement, size)
	return e, nil
}

// shapPathSize is the number of path elements that one explanation needs: at
// depth d a path has the root's element and at most d features.
func (t *Tree) shapPathSize() (int, error) {
	if t.IsLinear {
		return 0, ErrLinear
	}
	if t.NumLeaves == 1 {
		return 0, nil
	}
	for i, n := range t.InternalCount {
		if n == 0 {
			return 0, fmt.Errorf("contributions need row counts, but node %d has an internal_count of 0", i)
		}
	}
	used := slices.Clone(t.SplitFeature)
	slices.Sort(used)
	distinct := len(slices.Compact(used))
	depth := t.MaxDepth()
	size := 0
	for d := 0; d <= depth; d++ {
		size += min(d, distinct) + 2
	}
	if depth > maxShapDepth || size > maxShapPath {
		return 0, fmt.Errorf("the tree is too deep to compute contributions: depth %d with %d features", depth, distinct)
	}
	return size, nil
}

// Add adds the contributions that the trees of iterations start … end-1 give
// for a row to phi, which has models × (features+1) values: for each model its
// features, then the expected value. Row has at least features values.
func (e *Explainer) Add(row []float64, start, end int, phi []float64) {
	width := e.features + 1
	for i := start * e.models; i < end*e.models; i++ {
		k := i % e.models
		out := phi[k*width : (k+1)*width]
		out[e.features] += e.expected[i]
		if t := e.trees[i]; t.NumLeaves > 1 {
			w := shapWalk{tree: t, row: row, phi: out, path: e.path}
			w.walk(0, 0, 0, 1, 1, -1)
		}
	}
}

// Contributions adds the tree's contributions for a row to phi, which has one
// more value than the row: the last is the expected value. It is Explainer.Add
// for one tree, with memory of its own.
func (t *Tree) Contributions(row, phi []float64) error {
	if len(phi) != len(row)+1 {
		return fmt.Errorf("phi has %d values, want %d for a row of %d", len(phi), len(row)+1, len(row))
	}
	e, err := NewExplainer([]*Tree{t}, 1, len(row))
	if err != nil {
		return err
	}
	e.Add(row, 0, 1, phi)
	return nil
}

type shapWalk struct {
	tree     *Tree
	row, phi []float64
	path     []pathElement
}

// walk explains the part of the tree below node. Its path is w.path[at:],
// after the parent's, which lies just before it and has depth elements.
func (w *shapWalk) walk(node int32, at, depth int, zero, one float64, feature int32) {
	path := w.path[at : at+depth+1]
	copy(path, w.path[at-depth:at])
	extend(path, zero, one, feature)
	if node < 0 {
		value := w.tree.LeafValue[^node]
		for i := 1; i <= depth; i++ {
			el := &path[i]
			w.phi[el.feature] += float64(unwoundSum(path, i) * (el.one - el.zero) * value)
		}
		return
	}
	t := w.tree
	split := t.SplitFeature[node]
	hot, cold := t.LeftChild[node], t.RightChild[node]
	if !t.goesLeft(node, w.row[split]) {
		hot, cold = cold, hot
	}
	rows := float64(t.InternalCount[node])
	hotZero, coldZero := t.count(hot)/rows, t.count(cold)/rows
	// A feature that was split before on this way counts once: its element is
	// taken out and joined to this split's.
	zero, one = 1, 1
	for i := range path {
		if path[i].feature == split {
			zero, one = path[i].zero, path[i].one
			unwind(path, i)
			path = path[:depth]
			depth--
			break
		}
	}
	next := at + len(path)
	if hotZero*zero != 0 || one != 0 {
		w.walk(hot, next, depth+1, hotZero*zero, one, split)
	}
	// What no row reaches, known or unknown, contributes nothing.
	if coldZero*zero != 0 {
		w.walk(cold, next, depth+1, coldZero*zero, 0, split)
	}
}

func (t *Tree) count(node int32) float64 {
	if node >= 0 {
		return float64(t.InternalCount[node])
	}
	return float64(t.LeafCount[^node])
}

// extend fills the last element of a path and grows the weights.
func extend(path []pathElement, zero, one float64, feature int32) {
	depth := len(path) - 1
	path[depth] = pathElement{feature: feature, zero: zero, one: one}
	if depth == 0 {
		path[0].weight = 1
	}
	n := float64(depth + 1)
	for i := depth - 1; i >= 0; i-- {
		w := path[i].weight
		path[i+1].weight += float64(one * w * float64(i+1) / n)
		path[i].weight = zero * w * float64(depth-i) / n
	}
}

// unwind undoes the extension by element k: weights shrink, and the elements
// after k move down; the last one is left over.
func unwind(path []pathElement, k int) {
	depth := len(path) - 1
	zero, one := path[k].zero, path[k].one
	next := path[depth].weight
	n := float64(depth + 1)
	for i := depth - 1; i >= 0; i-- {
		if one != 0 {
			w := path[i].weight
			path[i].weight = next * n / (float64(i+1) * one)
			next = w - float64(path[i].weight*zero*float64(depth-i)/n)
		} else {
			path[i].weight = path[i].weight * n / (zero * float64(depth-i))
		}
	}
	for i := k; i < depth; i++ {
		path[i].feature, path[i].zero, path[i].one = path[i+1].feature, path[i+1].zero, path[i+1].one
	}
}

// unwoundSum is the sum of the weights that unwind would leave.
func unwoundSum(path []pathElement, k int) float64 {
	depth := len(path) - 1
	zero, one := path[k].zero, path[k].one
	next := path[depth].weight
	n := float64(depth + 1)
	total := 0.0
	for i := depth - 1; i >= 0; i-- {
		if one != 0 {
			w := next * n / (float64(i+1) * one)
			total += w
			next = path[i].weight - float64(w*zero*(float64(depth-i)/n))
		} else {
			total += path[i].weight / zero / (float64(depth-i) / n)
		}
	}
	return total
}
