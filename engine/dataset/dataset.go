// Package dataset holds training data as bins: every feature value is replaced
// by the number of the interval (or category) it falls into, as LightGBM does
// (Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree",
// NIPS 2017, section 2.1).
package dataset

// Metadata is what is known of each row besides its features.
type Metadata struct {
	// Label has one value a row.
	Label []float32
	// Weight has one value a row, each ≥ 0, or is nil.
	Weight []float32
	// QueryStart has the first row of each query and, last, the number of
	// rows; nil where rows are not grouped.
	QueryStart []int32
	// InitScore has rows × models-per-iteration raw scores, model after model
	// (score of row i in model k at k·rows+i), or is nil.
	InitScore []float64
	// Position has, for each row, the place among the results at which it was
	// shown, by number from 0; nil where nothing is known of it. lambdarank
	// learns from it how much a place by itself made people choose a row.
	Position []int32
	// PositionNames has the places' names, or is nil.
	PositionNames []string
}

// Column is a feature that can be split on. Features that cannot (constant,
// ignored) have no column.
type Column struct {
	// Feature is the index among all features of the table.
	Feature int
	// Mapper translates values to bins.
	Mapper *Mapper
	// Offset is the place of the column's bin 0 in a flat histogram.
	Offset uint32
	// Block and Lane say where the column's bins are stored (see Block); Block
	// is -1 for a column of Sparse.
	Block, Lane int
	// First is, for a column of a Bundle, the value of its lane that stands for
	// the first of its bins, without the most frequent one; 0 for other columns.
	First int
}

// Block is a group of up to eight dense columns whose bins share a machine
// word, so that one load serves all of them and their histograms fit the
// first-level cache together.
type Block struct {
	// Columns lists the columns of the lanes, lane 0 (lowest bits) first; -1
	// where the lane is a bundle.
	Columns []int
	// Bundles has the bundles of the lanes, nil where a lane is a column's; it is
	// nil if none of the lanes is a bundle.
	Bundles []*Bundle
	// Bits is the width of a lane: 8 (up to 8 columns of at most 256 bins) or
	// 16 (up to 4 columns).
	Bits int
}

// SparseRows stores the sparse columns row by row: only bins that differ from
// the column's most frequent bin are listed.
type SparseRows struct {
	// Columns lists the sparse columns, and those of bundles that have entries,
	// ascending.
	Columns []int
	// RowStart has, for each row and once more for the end, the index of its
	// first entry.
	RowStart []int
	// Entry is a place in the flat histogram (Column.Offset + bin), ascending
	// within a row.
	Entry []uint32
}

// Dataset is a binned table. It is immutable once built and safe for
// concurrent use.
type Dataset struct {
	Metadata
	// Rows is the number of rows.
	Rows int
	// LabelIndex is the label's column in the table that was loaded, counted
	// among all columns; models keep it to read tables for prediction.
	LabelIndex int
	// FeatureNames has a name for every feature of the table.
	FeatureNames []string
	// Mappers has a mapper for every feature of the table; trivial ones have
	// no column.
	Mappers []*Mapper
	// Columns are the features that can be split on, by ascending Feature.
	Columns []Column
	// Blocks are the groups of dense columns, and Words their bins, row after
	// row: the word of block b of row r is Words[r*len(Blocks)+b]. All words of
	// a row lie together because a leaf deep in a tree visits few rows, far
	// apart, and pays for every cache line. Unused lanes are 0.
	Blocks []Block
	Words  []uint64
	// Bundles lists the bundles of all blocks.
	Bundles []*Bundle
	// Sparse stores the sparse columns; nil when there are none.
	Sparse *SparseRows
	// TotalBins is the length of a flat histogram: the sum of the columns'
	// numbers of bins.
	TotalBins int
	// Raw has the numerical columns' values; nil unless Options.KeepRaw was
	// set.
	Raw *RawValues

	// For WriteBinary: what made the bins, and the columns that were found to
	// exclude each other.
	recipe     []Setting
	exclusives [][]int
}
