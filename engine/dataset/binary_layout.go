package dataset

import "slices"

// What follows is all that the binary form knows of how bins lie in memory: two
// functions that take a column's bins out, two that put them in.

// binsOf reads the bins of a dense column from row first on.
func (d *Dataset) binsOf(column, first int, out []uint16) {
	c := &d.Columns[column]
	width, stride := d.Blocks[c.Block].Bits, len(d.Blocks)
	shift, mask := c.Lane*width, uint64(1)<<width-1
	at := first*stride + c.Block
	for i := range out {
		out[i] = uint16(d.Words[at] >> shift & mask)
		at += stride
	}
}

// listsOf reads, for each sparse column, the rows from first to end whose bin is
// not the most frequent one, and their bins.
func (d *Dataset) listsOf(first, end int, lists []binList) {
	s := d.Sparse
	for k := range lists {
		lists[k].reset()
	}
	for r := first; r < end; r++ {
		k := 0
		for _, e := range s.Entry[s.RowStart[r]:s.RowStart[r+1]] {
			// Both ascend: search among the columns that are left.
			n, _ := slices.BinarySearchFunc(s.Columns[k:], e, func(column int, e uint32) int {
				if d.Columns[column].Offset <= e {
					return -1
				}
				return 1
			})
			k += n - 1
			lists[k].add(r-first, e-d.Columns[s.Columns[k]].Offset)
		}
	}
}

// setBins writes the bins of a dense column, which are 0 so far.
func (d *Dataset) setBins(column, first int, bins []uint16) {
	c := &d.Columns[column]
	stride := len(d.Blocks)
	shift := c.Lane * d.Blocks[c.Block].Bits
	at := first*stride + c.Block
	for _, b := range bins {
		d.Words[at] |= uint64(b) << shift
		at += stride
	}
}

// setLists writes the lists of the sparse columns for n rows from first on:
// it appends the entries and puts the number of each row's into RowStart. next
// is scratch.
func (d *Dataset) setLists(first, n int, lists []binList, entries []uint32, next []int) []uint32 {
	counts := d.Sparse.RowStart[first+1 : first+n+1]
	total := 0
	for k := range lists {
		for _, r := range lists[k].row {
			counts[r]++
		}
		total += len(lists[k].row)
	}
	at := len(entries)
	for r, c := range counts {
		next[r] = at
		at += c
	}
	entries = slices.Grow(entries, total)[:at]
	for k, i := range d.Sparse.Columns {
		offset := d.Columns[i].Offset
		for e, r := range lists[k].row {
			entries[next[r]] = offset + uint32(lists[k].bin[e])
			next[r]++
		}
	}
	return entries
}

// binList is a column of some rows, as the rows whose bin is not the most
// frequent one.
type binList struct{ row, bin []uint16 }

func (l *binList) reset() { l.row, l.bin = l.row[:0], l.bin[:0] }

func (l *binList) add(row int, bin uint32) {
	l.row, l.bin = append(l.row, uint16(row)), append(l.bin, uint16(bin))
}
