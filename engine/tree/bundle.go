package tree

import (
	"math/bits"

	"cloister/engine/dataset"
)

// The columns of a bundle (see dataset.Bundle) are summed together, as one lane,
// whose sums are then those of the columns' bins. Their most frequent bins are
// derived from the leaf's total, as those of sparse columns are. A leaf is
// divided by the lane's bytes; the few rows in which another column has the lane
// are listed as those of a sparse column.

// flushBundle moves the sums of a bundle's lane to the flat histogram, which may
// have sums of entries beside the lane, and clears them.
func flushBundle(sums []int64, b *dataset.Bundle, hist []int64) {
	sums = sums[:len(b.Place)]
	for v := 1; v < len(sums); v++ {
		hist[b.Place[v]] += sums[v]
	}
	clear(sums)
}

// shareLane gives the columns of the bundle of column i, if it has one, that
// column's copy of their lane.
func shareLane(d *dataset.Dataset, out [][]uint8, i int) {
	if c := &d.Columns[i]; c.First > 0 {
		for _, other := range d.Blocks[c.Block].Bundles[c.Lane].Columns {
			out[other] = out[i]
		}
	}
}

// laneTable is a table of directions for the values of the lane of a bundle. Of
// those that are not the column's the most frequent bin is expected.
func laneTable(l *binLookup, table []uint8) *[laneBins]uint8 {
	full := &[laneBins]uint8{}
	for v := range full {
		bin, _ := l.bundled.BundleBin(uint32(v))
		full[v] = table[bin]
	}
	return full
}

// divideBundled is divideInto for a column of a bundle. It does nothing if too
// many rows have to be marked because they are listed.
func (w *worker) divideBundled(rows, spare []uint32, l *binLookup, table []uint8) (left int, done bool) {
	if len(rows) == 0 {
		return 0, true
	}
	full := laneTable(l, table)
	from, to := 0, 0
	if l.list != nil {
		from, to = l.list.within(rows[0], rows[len(rows)-1])
	}
	switch {
	case from == to:
		return divideBytes(rows, spare, l.bytes, full[:]), true
	case to-from > maxMarks*len(rows):
		return 0, false
	}
	w.mark(l, from, to, table)
	defer w.unmark(l, from, to)
	right := 0
	spare = spare[:len(rows)]
	for _, r := range rows {
		goes := int(full[l.bytes[r]] ^ w.marks[r])
		rows[left] = r
		spare[right] = r
		left += goes
		right += 1 - goes
	}
	return left, true
}

// seldomRows is the least number of rows for each that has entries for which it
// is faster to ask a bit of every row first: the bits stay in a near cache.
const seldomRows = 3

// rowsWithEntries has a bit for each row that has entries; nil if these are not
// few.
func rowsWithEntries(d *dataset.Dataset) []uint64 {
	if len(d.Sparse.Entry) > d.Rows {
		return nil
	}
	set := make([]uint64, (d.Rows+63)/64)
	n := 0
	for r := range d.Rows {
		if d.Sparse.RowStart[r] < d.Sparse.RowStart[r+1] {
			set[r/64] |= 1 << (r % 64)
			n++
		}
	}
	if n > d.Rows/seldomRows {
		return nil
	}
	return set
}

// fewRows are the rows of a stretch that have entries, and their values.
type fewRows struct {
	rows   [mostRows]uint32
	values [mostRows]int64
}

// seldomList chooses the rows that have entries.
func (b *builder) seldomList(w *worker, rows []uint32, packed []int64) ([]uint32, []int64) {
	n := 0
	packed = packed[:len(rows)]
	for i, r := range rows {
		w.few.rows[n], w.few.values[n] = r, packed[i]
		n += int(b.seldom[r/64] >> (r % 64) & 1)
	}
	return w.few.rows[:n], w.few.values[:n]
}

// addSeldomRange is addSparseRange where few rows have entries.
func (b *builder) addSeldomRange(hist []int64, lo, hi int, packed []int64) {
	s := b.data.Sparse
	for at := lo / 64; at*64 < hi; at++ {
		for set := b.seldom[at]; set != 0; set &= set - 1 {
			r := at*64 + bits.TrailingZeros64(set)
			if r < lo || r >= hi {
				continue
			}
			for _, e := range s.Entry[s.RowStart[r]:s.RowStart[r+1]] {
				hist[e] += packed[r]
			}
		}
	}
}
