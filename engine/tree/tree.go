// Package tree has decision trees: their structure, prediction, explanation
// (TreeSHAP) and growth from histograms.
package tree

import "math"

// Tree is a binary decision tree in LightGBM's numbering: inner nodes are
// 0 … NumLeaves-2, a child ≥ 0 is an inner node and a child c < 0 is leaf ^c.
// A tree of one leaf has no inner nodes.
type Tree struct {
	NumLeaves int

	// One entry per inner node.
	SplitFeature   []int32   // index among all features
	SplitGain      []float32 //
	Threshold      []float64 // numerical: left if value <= threshold; categorical: index into CatBoundaries
	DecisionType   []uint8   // bit 0 categorical, bit 1 default left, bits 2-3 dataset.MissingType
	LeftChild      []int32
	RightChild     []int32
	InternalValue  []float64
	InternalWeight []float64
	InternalCount  []int64

	// One entry per leaf.
	LeafValue  []float64
	LeafWeight []float64 // sum of hessians; a tree of one leaf may have none
	LeafCount  []int64

	// Categorical splits: the categories that go left of split k are the bits
	// set in CatThreshold[CatBoundaries[k]:CatBoundaries[k+1]].
	CatBoundaries []int32
	CatThreshold  []uint32

	// Shrinkage is the product of the factors that were applied to the leaves.
	Shrinkage float64

	// IsLinear says that leaves have linear models: leaf i gives
	// LeafConst[i] + Σ LeafCoeff[i][j]·row[LeafFeatures[i][j]], or
	// LeafValue[i] where one of these features is NaN. One entry per leaf;
	// empty in other trees.
	IsLinear     bool
	LeafConst    []float64
	LeafFeatures [][]int32
	LeafCoeff    [][]float64
}

// Bits of a node's decision type; the missing type stands above them.
const (
	CategoricalMask  uint8 = 1
	DefaultLeftMask  uint8 = 2
	MissingTypeShift       = 2
)

// zeroThreshold bounds the values that LightGBM takes for zero: its constant
// is a float32.
const zeroThreshold = float64(float32(1e-35))

// isZero is also true of the values that differ from zero only by rounding.
func isZero(v float64) bool { return v >= -zeroThreshold && v <= zeroThreshold }

func roundToZero(v float64) float64 {
	if isZero(v) {
		return 0
	}
	return v
}

// NumCat is the number of categorical splits' bit sets.
func (t *Tree) NumCat() int { return max(0, len(t.CatBoundaries)-1) }

// IsCategorical tells whether an inner node splits by categories.
func (t *Tree) IsCategorical(node int) bool { return t.DecisionType[node]&CategoricalMask != 0 }

// Shrink multiplies the outputs by rate (the learning rate); values that
// LightGBM takes for zero become 0.
func (t *Tree) Shrink(rate float64) {
	scale(t.LeafValue, rate)
	scale(t.InternalValue, rate)
	scale(t.LeafConst, rate)
	for _, c := range t.LeafCoeff {
		scale(c, rate)
	}
	t.Shrinkage *= rate
}

func scale(values []float64, rate float64) {
	for i, v := range values {
		values[i] = roundToZero(v * rate)
	}
}

// AddBias adds v to every output, as boost_from_average does to the first
// tree. Shrinkage becomes 1, for it no longer describes the leaves.
func (t *Tree) AddBias(v float64) {
	shift(t.LeafValue, v)
	shift(t.InternalValue, v)
	shift(t.LeafConst, v)
	t.Shrinkage = 1
}

func shift(values []float64, by float64) {
	for i, v := range values {
		values[i] = roundToZero(v + by)
	}
}

// ExpectedValue is the mean output over the rows that the tree was grown on,
// by the leaves' counts: the base value of Contributions. It is NaN for a
// tree of several leaves that has no counts.
func (t *Tree) ExpectedValue() float64 {
	if t.NumLeaves == 1 {
		return t.LeafValue[0]
	}
	total := float64(t.InternalCount[0])
	if total == 0 {
		return math.NaN()
	}
	sum := 0.0
	for i, n := range t.LeafCount {
		sum += float64(float64(n) / total * t.LeafValue[i])
	}
	return sum
}

// MaxDepth is the number of decisions on the longest way to a leaf; 0 for a
// tree of one leaf. The tree must be valid.
func (t *Tree) MaxDepth() int {
	if t.NumLeaves == 1 {
		return 0
	}
	type item struct{ node, depth int32 }
	deepest := int32(0)
	stack := []item{{0, 0}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at.node < 0 {
			deepest = max(deepest, at.depth)
			continue
		}
		stack = append(stack, item{t.LeftChild[at.node], at.depth + 1}, item{t.RightChild[at.node], at.depth + 1})
	}
	return int(deepest)
}
