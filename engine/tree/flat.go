package tree

import (
	"sync"
)

// Ensemble is a set of trees laid out for fast prediction. Its sums have the
// same bits as Tree.Predict's, added in tree order. It is immutable and may be
// used by several goroutines.
//
// Each tree is an array of 8-byte nodes in which the two children of a node
// stand side by side, so that a step is one comparison of two bytes and one
// addition, with no branch. A row is first rewritten into bytes, once for many
// trees (a segment): a number becomes the count of thresholds below it, of those
// that the trees compare its feature with, and a threshold its place among them;
// a category becomes the decisions of all categorical nodes of its feature, from
// a table. What depends on the missing type is done then too: a value that counts
// as missing becomes the greatest byte if such rows go right, and 0 if they go
// left. A leaf leads to itself by comparing with a byte that is always 0.
type Ensemble struct {
	models   int
	trees    int
	segments []segment
	features int // least width of a row
	scratch  sync.Pool
}

// segment is a run of trees for which rows are rewritten once. Trees that are
// too large to be laid out are used as they are.
type segment struct {
	first  int // the number of its first tree
	trees  []*Tree
	flat   []flatTree // none if they are used as they are
	views  []view
	lookup []int32 // of each feature, its first view and 1 more, or 0
	small  []small // of each view
	blank  []cell  // rows of zeros
}

type flatTree struct {
	nodes  []flatNode
	values []float64 // of the leaves, by their places
	leaves []int32   // their numbers, by their places
	linear *Tree     // set for a linear tree
}

// flatNode leads to next (left) if the byte in column is at most key, else to
// next+1. In a leaf, and only there, column is 0, whose bytes are 0, and next is
// its own place. The assembly knows this layout.
type flatNode struct {
	next   uint32
	column uint16
	key    uint8
}

// NewEnsemble lays out trees, models of them in each iteration. They must be
// valid and must not change afterwards.
func NewEnsemble(trees []*Tree, models int) *Ensemble {
	e := &Ensemble{models: models, trees: len(trees)}
	e.scratch.New = func() any { return new(scratch) }
	for _, t := range trees {
		e.features = max(e.features, t.width())
	}
	tables := maxTables
	for first := 0; first < len(trees); {
		l := &layout{at: map[viewName]int32{}, columns: 1}
		end := first
		for end < len(trees) && l.add(trees[end], tables) {
			end++
		}
		s := segment{first: first, trees: trees[first:max(end, first+1)]}
		if end > first {
			tables -= l.finish(&s)
		}
		e.segments = append(e.segments, s)
		first += len(s.trees)
	}
	return e
}

// width is the least number of values that a row must have.
func (t *Tree) width() int {
	w := int32(0)
	for _, f := range t.SplitFeature {
		w = max(w, f+1)
	}
	for _, features := range t.LeafFeatures {
		for _, f := range features {
			w = max(w, f+1)
		}
	}
	return int(w)
}

// flatten lays out a tree whose inner nodes have the given columns and keys.
func flatten(t *Tree, inner []flatNode) flatTree {
	// Breadth first: the nodes near the root share cache lines.
	type item struct{ node, place int32 }
	f := flatTree{
		nodes: make([]flatNode, 2*t.NumLeaves), values: make([]float64, 2*t.NumLeaves),
		leaves: make([]int32, 2*t.NumLeaves),
	}
	if t.IsLinear {
		f.linear = t
	}
	f.nodes[1] = flatNode{next: 1} // keeps pairs of children aligned; never reached
	queue := make([]item, 1, 2*t.NumLeaves)
	if t.NumLeaves == 1 {
		queue[0].node = ^0
	}
	free := int32(2)
	for i := 0; i < len(queue); i++ {
		it := queue[i]
		if it.node < 0 {
			f.nodes[it.place] = flatNode{next: uint32(it.place)}
			f.values[it.place], f.leaves[it.place] = t.LeafValue[^it.node], ^it.node
			continue
		}
		n := inner[it.node]
		n.next = uint32(free)
		f.nodes[it.place] = n
		queue = append(queue, item{t.LeftChild[it.node], free}, item{t.RightChild[it.node], free + 1})
		free += 2
	}
	return f
}
