package dataset

import (
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// MissingType says which value stands for "missing" in a feature.
type MissingType uint8

// The three ways, with LightGBM's numbers (bits 2 and 3 of a node's decision
// type).
const (
	MissingNone MissingType = 0
	MissingZero MissingType = 1
	MissingNaN  MissingType = 2
)

// String is LightGBM's name of the type.
func (t MissingType) String() string {
	switch t {
	case MissingNone:
		return "None"
	case MissingZero:
		return "Zero"
	case MissingNaN:
		return "NaN"
	}
	return "MissingType(" + strconv.Itoa(int(t)) + ")"
}

// ZeroThreshold bounds the values that count as zero: those of at most this
// magnitude. It is LightGBM's kZeroThreshold, a float rounded to single
// precision.
const ZeroThreshold = float64(float32(1e-35))

// MaxBins is the greatest number of bins of a feature: what a 16-bit lane
// holds.
const MaxBins = 1 << 16

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

	// keys has the upper bounds but the last as integers of the same order,
	// filled up with the greatest to a power of two minus one, so that the
	// search needs no branch. Without it (a Mapper built by hand) Bin searches
	// UpperBound.
	keys []uint64
	// lookup has the bin of each small category; others the rest, by category.
	lookup []uint32
	others []categoryBin
	// distinct is the number of categories seen.
	distinct int
}

type categoryBin struct {
	category int32
	bin      uint32
}

// lookupLimit bounds the categories of n bins that are found by index: a table
// of them takes 256 kB at most, and no more than some words a bin.
func lookupLimit(n int) int32 { return int32(min(1<<16, 256+16*n)) }

// prepare builds what Bin searches.
func (m *Mapper) prepare() {
	if m.Categorical {
		m.prepareCategories()
		return
	}
	n := m.intervals() - 1
	m.keys = make([]uint64, 1<<bits.Len(uint(n))-1)
	for i := range m.keys {
		m.keys[i] = math.MaxUint64
		if i < n {
			m.keys[i] = orderedKey(m.UpperBound[i])
		}
	}
}

func (m *Mapper) prepareCategories() {
	size := 0
	limit := lookupLimit(len(m.Categories))
	for _, c := range m.Categories {
		if c >= 0 && c < limit {
			size = max(size, int(c)+1)
		}
	}
	m.lookup = make([]uint32, size)
	m.others = []categoryBin{}
	for b, c := range m.Categories {
		switch {
		case c < 0:
		case int(c) < size:
			m.lookup[c] = uint32(b)
		default:
			m.others = append(m.others, categoryBin{c, uint32(b)})
		}
	}
	slices.SortFunc(m.others, func(a, b categoryBin) int { return int(a.category) - int(b.category) })
}

// intervals is the number of bins of a numerical feature but that of NaN.
func (m *Mapper) intervals() int {
	if m.Missing == MissingNaN {
		return len(m.UpperBound) - 1
	}
	return len(m.UpperBound)
}

// orderedKey maps numbers (not NaN) to integers of the same order; both zeros
// to the same.
func orderedKey(v float64) uint64 {
	b := math.Float64bits(v + 0)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// Bin is the bin of a value. A numerical value belongs to the first bin whose
// upper bound is not less; NaN to the last bin where missing values have one
// and to that of 0 elsewhere. A category is the value's integer part; bin 0
// takes those that have no bin of their own, negative ones and NaN
// (LightGBM's BinMapper::ValueToBin).
func (m *Mapper) Bin(v float64) uint32 {
	if m.Categorical {
		return m.binCategory(v)
	}
	if math.IsNaN(v) {
		if m.Missing == MissingNaN {
			return uint32(m.NumBins - 1)
		}
		v = 0
	}
	if m.keys == nil {
		return m.searchBounds(v)
	}
	return uint32(searchKeys(m.keys, orderedKey(v)))
}

// searchKeys counts the keys below x; len(keys)+1 is a power of two.
func searchKeys(keys []uint64, x uint64) uint64 {
	var i uint64
	for h := uint64(len(keys)+1) >> 1; h > 0; h >>= 1 {
		_, below := bits.Sub64(keys[i+h-1], x, 0)
		i += h & -below
	}
	return i
}

func (m *Mapper) searchBounds(v float64) uint32 {
	lo, hi := 0, max(m.intervals()-1, 0)
	for lo < hi {
		mid := (lo + hi) / 2
		if v <= m.UpperBound[mid] {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return uint32(lo)
}

func (m *Mapper) binCategory(v float64) uint32 {
	c := categoryOf(v)
	if c < 0 {
		return 0
	}
	if m.others == nil {
		return uint32(max(0, slices.Index(m.Categories, c)))
	}
	if int(c) < len(m.lookup) {
		return m.lookup[c]
	}
	i, found := slices.BinarySearchFunc(m.others, c, func(o categoryBin, c int32) int {
		return int(o.category) - int(c)
	})
	if !found {
		return 0
	}
	return m.others[i].bin
}

// BinToValue is what stands for a bin in a model: the upper bound of a
// numerical bin (the threshold of a split after it), the category of a
// categorical one.
func (m *Mapper) BinToValue(bin uint32) float64 {
	if m.Categorical {
		return float64(m.Categories[bin])
	}
	return m.UpperBound[bin]
}

// Info describes the feature in a model's feature_infos as LightGBM does:
// "[min:max]", the categories of the bins joined by ":", or "none" for a
// feature that cannot be split.
func (m *Mapper) Info() string {
	if m.Trivial {
		return "none"
	}
	if !m.Categorical {
		return "[" + formatNumber(m.Min) + ":" + formatNumber(m.Max) + "]"
	}
	var s strings.Builder
	for i, c := range m.Categories {
		if i > 0 {
			s.WriteByte(':')
		}
		s.WriteString(strconv.Itoa(int(c)))
	}
	return s.String()
}

// formatNumber writes 17 significant digits without trailing zeros, as C's
// "%.17g".
func formatNumber(v float64) string { return strconv.FormatFloat(v, 'g', 17, 64) }
