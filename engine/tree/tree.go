// Package tree has decision trees: their structure, prediction, explanation
// (TreeSHAP) and growth from histograms.
package tree

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
	LeafWeight []float64 // sum of hessians
	LeafCount  []int64

	// Categorical splits: the categories that go left of split k are the bits
	// set in CatThreshold[CatBoundaries[k]:CatBoundaries[k+1]].
	CatBoundaries []int32
	CatThreshold  []uint32

	// Shrinkage is the product of the factors that were applied to the leaves.
	Shrinkage float64
}
