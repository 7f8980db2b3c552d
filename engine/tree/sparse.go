package tree

import (
	"slices"

	"cloister/engine/dataset"
)

// sparseColumn lists the rows whose bin differs from a column's most frequent
// one. Rows are stored with all their columns, as histograms want them; to
// divide a leaf one column is read, for which a search in every row is slow.
type sparseColumn struct {
	rows []uint32 // ascending
	bins []uint8  // of each row, if the column has at most 256
	wide []uint16 // else
}

// maxMarks is the number of listed rows for each row to divide up to which it
// is faster to mark them all.
const maxMarks = 24

// sparseColumns lists the sparse columns; nil if there are none.
func sparseColumns(d *dataset.Dataset) []sparseColumn {
	if d.Sparse == nil {
		return nil
	}
	columnOf := make([]uint32, d.TotalBins) // of each place in a histogram
	counts := make([]int, len(d.Columns))
	for _, i := range d.Sparse.Columns {
		c := &d.Columns[i]
		for b := range c.Mapper.NumBins {
			columnOf[int(c.Offset)+b] = uint32(i)
		}
	}
	for _, e := range d.Sparse.Entry {
		counts[columnOf[e]]++
	}
	out := make([]sparseColumn, len(d.Columns))
	for _, i := range d.Sparse.Columns {
		s := &out[i]
		s.rows = make([]uint32, 0, counts[i])
		if d.Columns[i].Mapper.NumBins <= 256 {
			s.bins = make([]uint8, 0, counts[i])
		} else {
			s.wide = make([]uint16, 0, counts[i])
		}
	}
	for r := range d.Rows {
		for _, e := range d.Sparse.Entry[d.Sparse.RowStart[r]:d.Sparse.RowStart[r+1]] {
			i := columnOf[e]
			s, bin := &out[i], e-d.Columns[i].Offset
			s.rows = append(s.rows, uint32(r))
			if s.wide == nil {
				s.bins = append(s.bins, uint8(bin))
			} else {
				s.wide = append(s.wide, uint16(bin))
			}
		}
	}
	return out
}

// within returns the places of the listed rows from first to last.
func (s *sparseColumn) within(first, last uint32) (from, to int) {
	from, _ = slices.BinarySearch(s.rows, first)
	to, found := slices.BinarySearch(s.rows, last)
	if found {
		to++
	}
	return from, to
}

func (s *sparseColumn) bin(at int) int {
	if s.wide == nil {
		return int(s.bins[at])
	}
	return int(s.wide[at])
}

// divideMarked is divideInto for a sparse column whose listed rows between the
// first and the last of rows stand at from … to-1: it marks those that do not go
// where the most frequent bin goes.
func (w *worker) divideMarked(rows, spare []uint32, l *binLookup, from, to int, table []uint8) int {
	w.mark(l, from, to, table)
	defer w.unmark(l, from, to)
	usual := table[l.mostFreq]
	left, right := 0, 0
	spare = spare[:len(rows)]
	for _, r := range rows {
		goes := int(usual ^ w.marks[r])
		rows[left] = r
		spare[right] = r
		left += goes
		right += 1 - goes
	}
	return left
}

// mark marks the listed rows that do not go where the most frequent bin goes.
func (w *worker) mark(l *binLookup, from, to int, table []uint8) {
	if n := l.rows; len(w.marks) < n {
		w.marks = make([]uint8, n)
	}
	usual := table[l.mostFreq]
	for i, r := range l.list.rows[from:to] {
		w.marks[r] = table[l.list.bin(from+i)] ^ usual
	}
}

func (w *worker) unmark(l *binLookup, from, to int) {
	for _, r := range l.list.rows[from:to] {
		w.marks[r] = 0
	}
}
