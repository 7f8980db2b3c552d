package dataset

import (
	"encoding/binary"
	"slices"
)

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

// listsOf reads, for each column that is not dense, the rows from first to end
// whose bin is not the most frequent one, and their bins, into the list of the
// column's number.
func (d *Dataset) listsOf(first, end int, lists []binList) {
	for k := range lists {
		lists[k].reset()
	}
	for r := first; r < end; r++ {
		for i := range d.Blocks {
			for at, b := range d.Blocks[i].Bundles {
				if value := uint8(d.Words[r*len(d.Blocks)+i] >> (8 * at)); b != nil && value != 0 {
					d.listPlace(lists, b.Columns, r-first, b.Place[value])
				}
			}
		}
		if s := d.Sparse; s != nil {
			columns := s.Columns // both ascend: search among the columns that are left
			for _, e := range s.Entry[s.RowStart[r]:s.RowStart[r+1]] {
				columns = d.listPlace(lists, columns, r-first, e)
			}
		}
	}
}

// listPlace lists what stands for a place in a histogram, of one of the columns,
// and returns the columns from that one on.
func (d *Dataset) listPlace(lists []binList, columns []int, row int, place uint32) []int {
	n, _ := slices.BinarySearchFunc(columns, place, func(column int, place uint32) int {
		if d.Columns[column].Offset <= place {
			return -1
		}
		return 1
	})
	columns = columns[n-1:]
	lists[columns[0]].add(row, place-d.Columns[columns[0]].Offset)
	return columns
}

// appendExclusives writes the groups of features that exclude each other.
func (d *Dataset) appendExclusives(p []byte) []byte {
	p = binary.LittleEndian.AppendUint32(p, uint32(len(d.exclusives)))
	for _, group := range d.exclusives {
		p = binary.LittleEndian.AppendUint32(p, uint32(len(group)))
		for _, c := range group {
			p = binary.LittleEndian.AppendUint32(p, uint32(d.Columns[c].Feature))
		}
	}
	return p
}

// exclusivesOf is the opposite of appendExclusives, for groups of features, of
// which it takes what can be bundled among the columns, and fits.
func (d *Dataset) exclusivesOf(columns []int, groups [][]int) (out [][]int) {
	for _, group := range groups {
		var fit []int
		values := 1
		for _, f := range group {
			at, found := slices.BinarySearchFunc(columns, f, func(c, f int) int { return d.Columns[c].Feature - f })
			if !found {
				continue
			}
			if values += d.Mappers[f].NumBins - 1; values > bundleValues {
				break
			}
			fit = append(fit, columns[at])
		}
		if len(fit) > 1 {
			out = append(out, fit)
		}
	}
	return out
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

// setLanes writes the lists of bundles' columns for the rows from first on, and
// leaves in the lists what has no place there.
func (w *writer) setLanes(first int, lists []binList) {
	d := w.d
	for k, i := range d.Sparse.Columns {
		c, l := &d.Columns[i], &lists[k]
		if c.First == 0 {
			continue
		}
		left := 0
		for e, r := range l.row {
			if !c.setBundled(&d.Words[(first+int(r))*len(d.Blocks)+c.Block], uint32(l.bin[e])) {
				l.row[left], l.bin[left] = r, l.bin[e]
				left++
			}
		}
		l.row, l.bin = l.row[:left], l.bin[:left]
		if left > 0 {
			w.noteConflict(i)
		}
	}
}

// setLists writes the lists of the sparse columns for n rows from first on:
// it appends the entries and puts the number of each row's into RowStart. next
// is scratch.
func (w *writer) setLists(first, n int, lists []binList, entries []uint32, next []int) []uint32 {
	d := w.d
	w.setLanes(first, lists)
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
