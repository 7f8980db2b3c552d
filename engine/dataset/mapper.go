package dataset

// MissingType says which value stands for "missing" in a feature.
type MissingType uint8

// The three ways, with LightGBM's numbers (bits 2 and 3 of a node's decision
// type).
const (
	MissingNone MissingType = 0
	MissingZero MissingType = 1
	MissingNaN  MissingType = 2
)

// Mapper translates a feature's values to bins.
type Mapper struct {
	// Categorical tells category bins from intervals.
	Categorical bool
	// NumBins counts all bins, the one for NaN (always the last) included.
	NumBins int
	// Missing is how missing values are treated.
	Missing MissingType
	// UpperBound has, for a numerical feature, the greatest value of each bin;
	// the last interval's is +Inf. With MissingNaN the last bin, that of NaN,
	// has NaN here.
	UpperBound []float64
	// Categories has, for a categorical feature, the category of each bin;
	// -1 is the bin of NaN and of unseen and negative categories.
	Categories []int32
	// DefaultBin is the bin of the value 0; MostFreqBin the fullest.
	DefaultBin, MostFreqBin uint32
	// Min and Max are the least and greatest value seen.
	Min, Max float64
	// SparseRate is the share of rows in MostFreqBin, in the sample.
	SparseRate float64
	// Trivial features have one bin, or were filtered: they are never split.
	Trivial bool
}
