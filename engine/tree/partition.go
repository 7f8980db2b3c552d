package tree

import (
	"slices"

	"cloister/engine/dataset"
)

// binLookup reads the bins of one column.
type binLookup struct {
	words  []uint64 // from the column's block on; nil for a sparse column
	stride int
	shift  uint
	mask   uint64

	bytes []uint8 // the column's lane alone, if there is a copy

	bundled *dataset.Column // nil for a column that is not in a bundle

	list *sparseColumn // the rows of a sparse column, if there is a copy

	sparse     *dataset.SparseRows
	offset     uint32
	bins       uint32
	mostFreq   uint32
	missingBin int // bin of missing values, or -1
	rows       int // of the data set
}

func newBinLookup(d *dataset.Dataset, column int) binLookup {
	c := &d.Columns[column]
	l := binLookup{offset: c.Offset, bins: uint32(c.Mapper.NumBins), mostFreq: c.Mapper.MostFreqBin, missingBin: missingBin(c.Mapper), rows: d.Rows}
	if c.Block < 0 {
		l.sparse = d.Sparse
		return l
	}
	width := uint(d.Blocks[c.Block].Bits)
	l.words = d.Words[c.Block:]
	l.stride = len(d.Blocks)
	l.shift = width * uint(c.Lane)
	l.mask = 1<<width - 1
	if c.First > 0 {
		l.bundled, l.sparse = c, d.Sparse
	}
	return l
}

// missingBin is the bin whose rows follow a split's default direction.
func missingBin(m *dataset.Mapper) int {
	switch {
	case m.Categorical:
		return -1
	case m.Missing == dataset.MissingZero:
		return int(m.DefaultBin)
	case m.Missing == dataset.MissingNaN:
		return m.NumBins - 1
	}
	return -1
}

func (l *binLookup) bin(row uint32) uint32 {
	if l.words != nil {
		value := uint32(l.words[int(row)*l.stride] >> l.shift & l.mask)
		if l.bundled == nil {
			return value
		}
		bin, own := l.bundled.BundleBin(value)
		if own || value == 0 || l.sparse == nil {
			return bin
		}
	}
	entries := l.sparse.Entry[l.sparse.RowStart[row]:l.sparse.RowStart[row+1]]
	at, _ := slices.BinarySearch(entries, l.offset)
	if at < len(entries) && entries[at]-l.offset < l.bins {
		return entries[at] - l.offset
	}
	return l.mostFreq
}

// directions has 1 for every bin whose rows go left.
func directions(table []uint8, s *split, l *binLookup, categorical bool) []uint8 {
	table = slices.Grow(table[:0], int(l.bins))[:l.bins]
	clear(table)
	if categorical {
		for _, b := range s.cat {
			table[b] = 1
		}
		return table
	}
	for b := range min(s.threshold+1, l.bins) {
		table[b] = 1
	}
	if l.missingBin >= 0 {
		table[l.missingBin] = 0
		if s.defaultLeft {
			table[l.missingBin] = 1
		}
	}
	return table
}

const partitionChunk = 1 << 14

// divide reorders the rows of a leaf so that those going left come first and
// returns how many they are. It works with a worker alone, with nil with all
// threads.
func (g *Grower) divide(w *worker, rows []uint32, s *split) int {
	lookup := newBinLookup(g.data, s.column)
	lookup.bytes = g.bytes[s.column]
	if lookup.sparse != nil {
		lookup.list = &g.sparse[s.column]
	}
	categorical := g.data.Columns[s.column].Mapper.Categorical
	if w == nil && len(rows) > 2*partitionChunk {
		table := directions(nil, s, &lookup, categorical)
		return g.divideTogether(rows, &lookup, table)
	}
	if w == nil {
		w = g.workers.get()
		defer g.workers.put(w)
	}
	w.table = directions(w.table, s, &lookup, categorical)
	w.spare = slices.Grow(w.spare[:0], len(rows))
	spare := w.spare[:len(rows)]
	left := w.divideInto(rows, spare, &lookup, w.table)
	copy(rows[left:], spare[:len(rows)-left])
	return left
}

// divideTogether divides chunks side by side, then moves their parts to where
// they belong.
func (g *Grower) divideTogether(rows []uint32, l *binLookup, table []uint8) int {
	chunks := (len(rows) + partitionChunk - 1) / partitionChunk
	before := make([]int, chunks+1) // rows that go left of the chunks before each
	own := g.workers.get()
	defer g.workers.put(own)
	own.spare = slices.Grow(own.spare[:0], len(rows))
	spare := own.spare[:len(rows)]
	g.pool.Chunks(len(rows), partitionChunk, func(c, lo, hi int) {
		w := g.workers.get()
		defer g.workers.put(w)
		before[c+1] = w.divideInto(rows[lo:hi], spare[lo:hi], l, table)
	})
	for c := range chunks {
		before[c+1] += before[c]
	}
	left := before[chunks]
	// The left parts already stand at the chunks' starts, the right parts in
	// spare; moving the left ones down never overtakes an unread one, so that
	// only they are moved in order and the right ones side by side.
	for c := 1; c < chunks; c++ {
		copy(rows[before[c]:], rows[c*partitionChunk:][:before[c+1]-before[c]])
	}
	g.pool.Chunks(len(rows), partitionChunk, func(c, lo, hi int) {
		nLeft := before[c+1] - before[c]
		copy(rows[left+lo-before[c]:], spare[lo:hi-nLeft])
	})
	return left
}

// undivide undoes a division into nLeft rows and the others.
func (g *Grower) undivide(rows []uint32, nLeft int) {
	w := g.workers.get()
	defer g.workers.put(w)
	w.spare = append(w.spare[:0], rows[:nLeft]...)
	left, right := w.spare, rows[nLeft:]
	for i := range rows {
		if len(left) > 0 && (len(right) == 0 || left[0] < right[0]) {
			rows[i], left = left[0], left[1:]
		} else {
			rows[i], right = right[0], right[1:]
		}
	}
}

// divideInto keeps the left rows at the start of rows and puts the right ones
// at the start of spare.
func (w *worker) divideInto(rows, spare []uint32, l *binLookup, table []uint8) int {
	switch {
	case l.bytes != nil && l.bundled != nil:
		if left, done := w.divideBundled(rows, spare, l, table); done {
			return left
		}
	case l.bytes != nil:
		return divideBytes(rows, spare, l.bytes, table)
	case l.list != nil && len(rows) > 0:
		from, to := l.list.within(rows[0], rows[len(rows)-1])
		if to-from <= maxMarks*len(rows) {
			return w.divideMarked(rows, spare, l, from, to, table)
		}
	}
	left, right := 0, 0
	spare = spare[:len(rows)]
	for _, r := range rows {
		goes := int(table[l.bin(r)])
		rows[left] = r
		spare[right] = r
		left += goes
		right += 1 - goes
	}
	return left
}

func divideBytes(rows, spare []uint32, bins, table []uint8) int {
	var full [256]uint8
	copy(full[:], table)
	left, right := 0, 0
	spare = spare[:len(rows)]
	for _, r := range rows {
		goes := int(full[bins[r]])
		rows[left] = r
		spare[right] = r
		left += goes
		right += 1 - goes
	}
	return left
}

// bitset has bit v set for every value v.
func bitset(values []uint32) []uint32 {
	var top uint32
	for _, v := range values {
		top = max(top, v)
	}
	set := make([]uint32, top/32+1)
	for _, v := range values {
		set[v/32] |= 1 << (v % 32)
	}
	return set
}

func inBitset(set []uint32, v uint32) bool {
	return int(v/32) < len(set) && set[v/32]>>(v%32)&1 == 1
}
