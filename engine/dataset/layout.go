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

// layout chooses where each column is stored; group finds the columns that
// exclude each other. It sets all of d but Words, the sparse rows' contents and
// the metadata, from Mappers.
func (d *Dataset) layout(o *Options, group grouper) error {
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
	d.TotalBins = total
	least := cmp.Or(o.MinSparse, minSparse)
	if o.EnableBundle {
		narrow, thin = d.bundle(narrow, thin, least, group)
	}
	if len(thin) < least {
		narrow, wide = d.asDense(narrow, wide, thin)
	}
	var lanes []lane
	for _, c := range narrow {
		lanes = append(lanes, lane{column: c})
	}
	for _, b := range d.Bundles {
		lanes = append(lanes, lane{column: -1, bundle: b})
	}
	d.addBlocks(lanes, 8)
	lanes = lanes[:0]
	for _, c := range wide {
		lanes = append(lanes, lane{column: c})
	}
	d.addBlocks(lanes, 16)
	d.openSparse()
	return nil
}

// openSparse makes room for sparse rows if there may be entries.
func (d *Dataset) openSparse() {
	if listed := d.listed(); listed != nil {
		d.Sparse = &SparseRows{Columns: listed}
	}
}

// lane is what a lane holds: a column or a bundle.
type lane struct {
	column int
	bundle *Bundle
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

func (d *Dataset) addBlocks(lanes []lane, width int) {
	for group := range slices.Chunk(lanes, 64/width) {
		block := Block{Bits: width}
		for at, l := range group {
			block.Columns = append(block.Columns, l.column)
			columns := []int{l.column}
			if l.bundle != nil {
				if block.Bundles == nil {
					block.Bundles = make([]*Bundle, len(group))
				}
				block.Bundles[at] = l.bundle
				columns = l.bundle.Columns
			}
			for _, c := range columns {
				d.Columns[c].Block, d.Columns[c].Lane = len(d.Blocks), at
			}
		}
		d.Blocks = append(d.Blocks, block)
	}
}

// layoutLike takes the mappers and the layout of another dataset.
func (d *Dataset) layoutLike(ref *Dataset) {
	d.FeatureNames, d.Mappers, d.Columns = ref.FeatureNames, ref.Mappers, ref.Columns
	d.Blocks, d.Bundles, d.TotalBins, d.recipe = ref.Blocks, ref.Bundles, ref.TotalBins, ref.recipe
	d.openSparse()
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
// shift, for sparse ones a search among the row's entries. Of a bundle's column
// there are entries only where another column has the lane.
func (d *Dataset) BinAt(column, row int) uint32 {
	c := &d.Columns[column]
	if c.Block < 0 {
		return d.Sparse.bin(c, row)
	}
	width := d.Blocks[c.Block].Bits
	word := d.Words[row*len(d.Blocks)+c.Block]
	value := uint32(word>>(c.Lane*width)) & (1<<width - 1)
	if c.First == 0 {
		return value
	}
	bin, own := c.BundleBin(value)
	if own || value == 0 || d.Sparse == nil {
		return bin
	}
	return d.Sparse.bin(c, row)
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
	sparse, bundled := 0, 0
	for i := range d.Columns {
		switch c := &d.Columns[i]; {
		case c.Block < 0:
			sparse++
		case c.First > 0:
			bundled++
		}
	}
	stored := fmt.Sprintf("%d sparse", sparse)
	if bundled > 0 {
		stored += fmt.Sprintf(", %d in %d bundles", bundled, len(d.Bundles))
	}
	return fmt.Sprintf("%d rows, %d features, %d used (%s), %d bins",
		d.Rows, len(d.Mappers), len(d.Columns), stored, d.TotalBins)
}
