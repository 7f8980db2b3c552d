package tree

import (
	"math"
	"slices"
	"sync"

	"cloister/engine/dataset"
)

// Ensemble is a set of trees laid out for fast prediction. Its sums have the
// same bits as Tree.Predict's, added in tree order. It is immutable and may be
// used by several goroutines.
//
// Each tree is an array of 16-byte nodes in which the two children of a node
// stand side by side, so that a step is one comparison and one addition, with
// no branch. Numbers are compared as integers that keep their order (key). What
// depends on the missing type is done once per row: the row is rewritten into
// columns, one per feature and way to look at it, where a value that counts as
// missing is greater than every threshold if such rows go right, and less if
// they go left. A leaf leads to itself by comparing with a column that is
// always greater, and holds its value in place of a threshold.
type Ensemble struct {
	models   int
	trees    []flatTree
	columns  []column
	features int // least width of a row
	scratch  sync.Pool
}

type flatTree struct {
	nodes       []flatNode
	minDepth    int32 // of a leaf
	categorical bool
	words       []uint32 // the bit sets, each followed by a 0
	linear      *Tree    // set for a linear tree, which has no nodes here
}

// flatNode leads to next+1 (left) if columns[column] <= key, else to next. In a
// leaf, next is its own place and key has the bits of the leaf's value.
type flatNode struct {
	key    int64
	column uint32
	next   int32
}

func (n *flatNode) leafValue() float64 { return math.Float64frombits(uint64(n.key)) }

// key maps numbers to integers in the same order; -0 is 0. No number has the
// keys missingLeft and missingRight, which are those of NaNs.
func key(v float64) int64 {
	if v == 0 {
		return 0
	}
	bits := int64(math.Float64bits(v))
	return bits ^ int64(uint64(bits>>63)>>1)
}

const (
	missingLeft  = math.MinInt64
	missingRight = math.MaxInt64
)

// categoryBit marks the column of a categorical node. Its key has the bounds
// of the bit set in the tree's words: the first above, their number below. The
// k-th set is k words further on than in CatThreshold.
const categoryBit = 1 << 31

type columnKind uint8

const (
	alwaysRight columnKind = iota
	plain                  // NaN is 0
	zeroRight              // values that are missing, with MissingZero, go right
	zeroLeft
	nanRight // the same with MissingNaN
	nanLeft
	categories
)

type column struct {
	kind    columnKind
	feature int32
}

// NewEnsemble lays out trees, models of them in each iteration. They must be
// valid and must not change afterwards.
func NewEnsemble(trees []*Tree, models int) *Ensemble {
	e := &Ensemble{models: models, trees: make([]flatTree, len(trees))}
	e.collectColumns(trees)
	at := make(map[column]uint32, len(e.columns))
	for i, c := range e.columns {
		at[c] = uint32(i)
	}
	for i, t := range trees {
		e.trees[i] = flatten(t, at)
		e.features = max(e.features, t.width())
	}
	e.scratch.New = func() any { return new(scratch) }
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

func (e *Ensemble) collectColumns(trees []*Tree) {
	seen := map[column]bool{{kind: alwaysRight}: true}
	e.columns = append(e.columns, column{kind: alwaysRight})
	for _, t := range trees {
		if t.IsLinear {
			continue
		}
		for node := range t.SplitFeature {
			if c := t.column(node); !seen[c] {
				seen[c] = true
				e.columns = append(e.columns, c)
			}
		}
	}
	slices.SortFunc(e.columns, func(a, b column) int {
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		return int(a.feature - b.feature)
	})
}

// column is the view of a row that an inner node looks at.
func (t *Tree) column(node int) column {
	d := t.DecisionType[node]
	c := column{kind: plain, feature: t.SplitFeature[node]}
	if d&CategoricalMask != 0 {
		c.kind = categories
		return c
	}
	switch dataset.MissingType(d >> MissingTypeShift) {
	case dataset.MissingZero:
		c.kind = zeroRight
	case dataset.MissingNaN:
		c.kind = nanRight
	default:
		return c
	}
	if d&DefaultLeftMask != 0 {
		c.kind++ // to the one for left
	}
	return c
}

func flatten(t *Tree, at map[column]uint32) flatTree {
	if t.IsLinear {
		return flatTree{linear: t}
	}
	// Breadth first: the nodes near the root share cache lines.
	type item struct{ node, place, depth int32 }
	f := flatTree{nodes: make([]flatNode, 2*t.NumLeaves), minDepth: math.MaxInt32}
	f.nodes[1] = flatNode{next: 1} // keeps pairs of children aligned; never reached
	root := item{node: 0}
	if t.NumLeaves == 1 {
		root.node = -1
	}
	for k := range t.NumCat() {
		f.words = append(f.words, t.CatThreshold[t.CatBoundaries[k]:t.CatBoundaries[k+1]]...)
		f.words = append(f.words, 0)
	}
	queue := []item{root}
	free := int32(2)
	for len(queue) > 0 {
		it := queue[0]
		queue = queue[1:]
		if it.node < 0 {
			f.nodes[it.place] = flatNode{key: int64(math.Float64bits(t.LeafValue[^it.node])), next: it.place}
			f.minDepth = min(f.minDepth, it.depth)
			continue
		}
		n := t.flatNode(it.node, at)
		n.next = free
		f.nodes[it.place] = n
		f.categorical = f.categorical || n.column&categoryBit != 0
		queue = append(queue, item{t.RightChild[it.node], free, it.depth + 1}, item{t.LeftChild[it.node], free + 1, it.depth + 1})
		free += 2
	}
	return f
}

// flatNode gives a node's column and key.
func (t *Tree) flatNode(node int32, at map[column]uint32) flatNode {
	c := t.column(int(node))
	if c.kind != categories {
		return flatNode{key: key(t.Threshold[node]), column: at[c]}
	}
	k := int(t.Threshold[node])
	first, end := int64(t.CatBoundaries[k]), int64(t.CatBoundaries[k+1])
	return flatNode{key: (first+int64(k))<<32 | (end - first), column: at[c] | categoryBit}
}
