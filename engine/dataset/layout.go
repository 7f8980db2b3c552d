package dataset

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// sparseShare is the least share of a column's most frequent bin for which the
// column is stored by its other rows: four bytes each, instead of one byte for
// every row.
const sparseShare = 0.8

// minSparse is Options.MinSparse's default: to visit a row's sparse entries
// takes about the time of so many lanes.
const minSparse = 17

// narrowBins is the greatest number of bins in an 8-bit lane.
const narrowBins = 256

// layout chooses where each column is stored. It sets all of d but Words, the
// sparse rows' contents and the metadata, from Mappers.
func (d *Dataset) layout(o *Options) error {
	total := 0
	var narrow, wide, thin []int
	for f, m := range d.Mappers {
		if m.Trivial {
			continue
		}
		if m.NumBins > MaxBins {
			return badOption("categorical_feature", "feature %d (%s) has more than %d categories; drop it, or take it as a number",
				f, d.FeatureNames[f], MaxBins-1)
		}
		c := len(d.Columns)
		d.Columns = append(d.Columns, Column{Feature: f, Mapper: m, Offset: uint32(total), Block: -1})
		total += m.NumBins
		if total > math.MaxInt32 {
			return badOption("max_bin", "all features together have more than %d bins; choose a smaller max_bin", math.MaxInt32)
		}
		switch {
		case o.EnableSparse && m.SparseRate >= sparseShare:
			thin = append(thin, c)
		case m.NumBins <= narrowBins:
			narrow = append(narrow, c)
		default:
			wide = append(wide, c)
		}
	}
	if least := cmp.Or(o.MinSparse, minSparse); len(thin) < least {
		narrow, wide = d.asDense(narrow, wide, thin)
		thin = nil
	}
	d.TotalBins = total
	d.addBlocks(narrow, 8)
	d.addBlocks(wide, 16)
	if thin != nil {
		d.Sparse = &SparseRows{Columns: thin}
	}
	return nil
}

// asDense moves sparse columns to the dense ones.
func (d *Dataset) asDense(narrow, wide, thin []int) (allNarrow, allWide []int) {
	for _, c := range thin {
		if d.Columns[c].Mapper.NumBins <= narrowBins {
			narrow = append(narrow, c)
		} else {
			wide = append(wide, c)
		}
	}
	slices.Sort(narrow)
	slices.Sort(wide)
	return narrow, wide
}

func (d *Dataset) addBlocks(columns []int, width int) {
	for group := range slices.Chunk(columns, 64/width) {
		for lane, c := range group {
			d.Columns[c].Block, d.Columns[c].Lane = len(d.Blocks), lane
		}
		d.Blocks = append(d.Blocks, Block{Columns: slices.Clone(group), Bits: width})
	}
}

// layoutLike takes the mappers and the layout of another dataset.
func (d *Dataset) layoutLike(ref *Dataset) {
	d.FeatureNames, d.Mappers, d.Columns = ref.FeatureNames, ref.Mappers, ref.Columns
	d.Blocks, d.TotalBins, d.recipe = ref.Blocks, ref.TotalBins, ref.recipe
	if ref.Sparse != nil {
		d.Sparse = &SparseRows{Columns: ref.Sparse.Columns}
	}
	if ref.Raw != nil {
		d.Raw = &RawValues{Width: ref.Raw.Width, Place: ref.Raw.Place}
	}
}

// Features is the number of features of the table, those without a column
// included.
func (d *Dataset) Features() int { return len(d.Mappers) }

// FeatureInfos has Mapper.Info of every feature.
func (d *Dataset) FeatureInfos() []string {
	infos := make([]string, len(d.Mappers))
	for f, m := range d.Mappers {
		infos[f] = m.Info()
	}
	return infos
}

// BinAt is the bin of a row in a column. For dense columns it is a load and a
// shift, for sparse ones a search among the row's entries.
func (d *Dataset) BinAt(column, row int) uint32 {
	c := &d.Columns[column]
	if c.Block < 0 {
		return d.Sparse.bin(c, row)
	}
	width := d.Blocks[c.Block].Bits
	word := d.Words[row*len(d.Blocks)+c.Block]
	return uint32(word>>(c.Lane*width)) & (1<<width - 1)
}

func (s *SparseRows) bin(c *Column, row int) uint32 {
	entries := s.Entry[s.RowStart[row]:s.RowStart[row+1]]
	i, _ := slices.BinarySearch(entries, c.Offset)
	if i < len(entries) && entries[i]-c.Offset < uint32(c.Mapper.NumBins) {
		return entries[i] - c.Offset
	}
	return c.Mapper.MostFreqBin
}

// Bytes is the memory that the bins, and the values kept besides them, take.
func (d *Dataset) Bytes() int {
	n := 8 * len(d.Words)
	if d.Sparse != nil {
		n += 8*len(d.Sparse.RowStart) + 4*len(d.Sparse.Entry)
	}
	if d.Raw != nil {
		n += 4 * len(d.Raw.Values)
	}
	return n
}

// String says how the data is stored, for logs.
func (d *Dataset) String() string {
	sparse := 0
	if d.Sparse != nil {
		sparse = len(d.Sparse.Columns)
	}
	return fmt.Sprintf("%d rows, %d features, %d used (%d sparse), %d bins",
		d.Rows, len(d.Mappers), len(d.Columns), sparse, d.TotalBins)
}
