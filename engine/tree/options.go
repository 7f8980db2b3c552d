package tree

// Options limit and regularise the growth of a tree. Names and meanings are
// those of LightGBM's parameters.
type Options struct {
	NumLeaves           int     // at most this many leaves, ≥ 2
	MaxDepth            int     // at most this many splits on a path; ≤ 0 means no limit
	MinDataInLeaf       int     // least rows of a leaf
	MinSumHessianInLeaf float64 // least sum of hessians of a leaf
	L1, L2              float64 // lambda_l1, lambda_l2
	MinGainToSplit      float64
	MaxDeltaStep        float64 // greatest absolute value of a leaf; ≤ 0 means no limit

	CatSmooth       float64
	CatL2           float64
	MaxCatThreshold int
	MaxCatToOnehot  int
	MinDataPerGroup int

	// PathSmooth pulls the value of a node with few rows to its parent's; 0
	// means not at all.
	PathSmooth float64
	// ExtraTrees tries one random threshold a column and leaf, drawn by
	// ExtraSeed.
	ExtraTrees bool
	ExtraSeed  uint64
	// FeatureFractionByNode is the part of the tree's columns that one leaf may
	// be split on, drawn by FeatureFractionSeed; 0 and 1 mean all.
	FeatureFractionByNode float64
	FeatureFractionSeed   uint64
	// InteractionConstraints are groups of features: a path from the root uses
	// features of one group only. Nil means no constraint.
	InteractionConstraints [][]int
	// FeatureContri has a factor on the gain of every feature's splits; nil
	// means 1 for all.
	FeatureContri []float64
	// Costs are the penalties of cost-effective gradient boosting; nil for
	// none.
	Costs *CostOptions
	// Forced is the split of the root that every tree starts with; nil for
	// none.
	Forced *ForcedSplit
	// Monotone has for every feature 1 if values must rise with it, -1 if they
	// must fall, 0 if they are free; nil means that all are free.
	Monotone []int8
	// MonotoneMethod is how Monotone is kept.
	MonotoneMethod MonotoneMethod
	// MonotonePenalty lessens the gain of splits on constrained features: at
	// depths below it they are hardly used, further down more and more.
	MonotonePenalty float64

	// Quantize rounds gradients to few levels; nil for not.
	Quantize *QuantizeOptions

	// HistogramMemory bounds the memory, in bytes, of the histograms that are
	// kept for subtraction; it cannot change the tree. 0 means 1 GiB.
	HistogramMemory int
}

// MonotoneMethod is a way to keep values monotone.
type MonotoneMethod int

const (
	// MonotoneBasic bounds both sides of a split by the mean of their values.
	MonotoneBasic MonotoneMethod = iota
	// MonotoneIntermediate bounds a leaf by the values of the leaves it is to
	// be compared with, and follows them when they are split.
	MonotoneIntermediate
	// MonotoneAdvanced bounds only those parts of a leaf next to which the
	// leaves lie that it is to be compared with.
	MonotoneAdvanced
)
