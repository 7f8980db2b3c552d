package dataset

import (
	"fmt"
	"math"
	"slices"
)

// Options say how a table becomes bins. The names and meanings are those of
// LightGBM's parameters. Start from DefaultOptions: the zero value is not
// valid.
type Options struct {
	// MaxBin is the greatest number of bins of a feature, 2 … MaxBins.
	// Categories may need more (see LightGBM's max_bin).
	MaxBin int
	// MaxBinByFeature replaces MaxBin for each feature; nil or one value for
	// every feature.
	MaxBinByFeature []int
	// MinDataInBin is the least number of sampled values in a bin, from 1.
	MinDataInBin int
	// BinConstructSampleCnt is the number of rows whose values make the bins,
	// from 1.
	BinConstructSampleCnt int
	// DataRandomSeed chooses these rows.
	DataRandomSeed uint64
	// UseMissing gives missing values a treatment of their own; ZeroAsMissing
	// takes zeros, and what a sparse row does not list, as missing too.
	UseMissing, ZeroAsMissing bool
	// FeaturePreFilter drops features that no split with MinDataInLeaf rows on
	// both sides can use.
	FeaturePreFilter bool
	MinDataInLeaf    int
	// EnableSparse stores columns that are mostly one bin by their other rows.
	EnableSparse bool
	// MinSparse is the least number of such columns; fewer are stored as the
	// others are. 0 means what is fastest. It cannot change a model.
	MinSparse int
	// EnableBundle stores columns that are almost never set in the same row as
	// one (see Bundle), where that is faster. It cannot change a model.
	EnableBundle bool
	// KeepRaw keeps the values of numerical columns besides their bins, as
	// linear trees need: four bytes each, however sparse the column. With a
	// reference it is the reference that decides.
	KeepRaw bool
	// Categorical are the indices of categorical features, CategoricalNames
	// names of further ones.
	Categorical      []int
	CategoricalNames []string
	// ForcedBins are upper bounds that the bins of a feature must have; nil, or
	// a list (which may be empty) for every feature.
	ForcedBins [][]float64
	// Threads is the number of goroutines; less than 1 means all processors.
	// The result does not depend on it.
	Threads int
	// MaxRows and MaxFeatures limit what is accepted.
	MaxRows, MaxFeatures int
	// Admit, unless nil, is told what memory is needed next, before it is taken:
	// for the sample of a table, where it can be guessed, and for the bins. Its
	// error ends the loading.
	Admit func(Need) error
}

// Need is the memory that a step of loading takes.
type Need struct {
	// Bytes is the memory.
	Bytes int64
	// Rows and Features are the table's; Rows is a guess as long as Data is nil.
	Rows, Features int
	// Data is the data set, with its layout and without its bins; nil before the
	// sample is read.
	Data *Dataset
}

// The greatest values of Options' MaxRows and MaxFeatures, and the default of
// the latter, which keeps a small sparse file that names a far feature from
// asking for much memory.
const (
	RowLimit           = math.MaxInt32 - 1
	FeatureLimit       = 1 << 24
	DefaultMaxFeatures = 1 << 22
)

// DefaultOptions are LightGBM's defaults.
func DefaultOptions() Options {
	return Options{
		MaxBin:                255,
		MinDataInBin:          3,
		BinConstructSampleCnt: 200000,
		DataRandomSeed:        1,
		UseMissing:            true,
		FeaturePreFilter:      true,
		MinDataInLeaf:         20,
		EnableSparse:          true,
		EnableBundle:          true,
		MaxRows:               RowLimit,
		MaxFeatures:           DefaultMaxFeatures,
	}
}

// Notice is something that a user should know about the data, though it can be
// used.
type Notice string

// An OptionError is an option that is out of range or does not fit the table.
type OptionError struct {
	// Option is LightGBM's name of it.
	Option string
	// Problem says what is wrong and what to do.
	Problem string
}

// Error joins the two.
func (e *OptionError) Error() string { return e.Option + ": " + e.Problem }

func badOption(option, format string, args ...any) error {
	return &OptionError{Option: option, Problem: fmt.Sprintf(format, args...)}
}

// check finds what is wrong whatever the table.
func (o *Options) check() error {
	switch {
	case o.MaxBin < 2 || o.MaxBin > MaxBins:
		return badOption("max_bin", "%d is not in 2 … %d", o.MaxBin, MaxBins)
	case o.MinDataInBin < 1:
		return badOption("min_data_in_bin", "%d is less than 1", o.MinDataInBin)
	case o.BinConstructSampleCnt < 1:
		return badOption("bin_construct_sample_cnt", "%d is less than 1", o.BinConstructSampleCnt)
	case o.MinDataInLeaf < 0:
		return badOption("min_data_in_leaf", "%d is negative", o.MinDataInLeaf)
	case o.MaxRows < 1 || o.MaxRows > RowLimit:
		return badOption("MaxRows", "%d is not in 1 … %d", o.MaxRows, RowLimit)
	case o.MaxFeatures < 1 || o.MaxFeatures > FeatureLimit:
		return badOption("MaxFeatures", "%d is not in 1 … %d", o.MaxFeatures, FeatureLimit)
	}
	for f, n := range o.MaxBinByFeature {
		if n < 2 || n > MaxBins {
			return badOption("max_bin_by_feature", "%d, of feature %d, is not in 2 … %d", n, f, MaxBins)
		}
	}
	for f, bounds := range o.ForcedBins {
		for _, b := range bounds {
			if math.IsNaN(b) || math.IsInf(b, 0) {
				return badOption("forcedbins_filename", "a bound of feature %d is not a finite number", f)
			}
		}
	}
	return nil
}

// checkWidth finds what does not fit a table of so many features.
func (o *Options) checkWidth(features int) error {
	if features > o.MaxFeatures {
		return badOption("MaxFeatures", "the table has %d features, more than %d", features, o.MaxFeatures)
	}
	if n := len(o.MaxBinByFeature); n != 0 && n != features {
		return badOption("max_bin_by_feature", "has %d values, but the table has %d features; give one for each", n, features)
	}
	if n := len(o.ForcedBins); n > features {
		return badOption("forcedbins_filename", "names feature %d, but the table has %d", n-1, features)
	}
	return nil
}

// categorical resolves the categorical features of a table.
func (o *Options) categorical(names []string) ([]bool, error) {
	is := make([]bool, len(names))
	for _, f := range o.Categorical {
		if f < 0 || f >= len(names) {
			return nil, badOption("categorical_feature", "there is no feature %d: the table has %d, counted from 0 without the label", f, len(names))
		}
		is[f] = true
	}
	for _, name := range o.CategoricalNames {
		f := slices.Index(names, name)
		if f < 0 {
			return nil, badOption("categorical_feature", "no feature is called %q; check the name against the header", name)
		}
		is[f] = true
	}
	return is, nil
}

// mapper gives the options for one feature. The sample has sampled of rows
// rows.
func (o *Options) mapper(feature int, categorical bool, sampled, rows int) MapperOptions {
	m := MapperOptions{
		MaxBin:       o.MaxBin,
		MinDataInBin: o.MinDataInBin,
		// A leaf's least number of rows, scaled down to the sample.
		MinSplitData:  int(float64(o.MinDataInLeaf) * float64(sampled) / float64(rows)),
		PreFilter:     o.FeaturePreFilter,
		UseMissing:    o.UseMissing,
		ZeroAsMissing: o.ZeroAsMissing,
		Categorical:   categorical,
	}
	if o.MaxBinByFeature != nil {
		m.MaxBin = o.MaxBinByFeature[feature]
	}
	if feature < len(o.ForcedBins) && !categorical {
		m.ForcedBounds = o.ForcedBins[feature]
	}
	return m
}
