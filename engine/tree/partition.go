package tree

import (
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

// binLookup reads the bins of one column.
type binLookup struct {
	words  []uint64 // from the column's block on; nil for a sparse column
	stride int
	shift  uint
	mask   uint64

	bytes []uint8 // the column alone, if there is a copy

	sparse     *dataset.SparseRows
	offset     uint32
	bins       uint32
	mostFreq   uint32
	missingBin int // bin of missing values, or -1
}

func newBinLookup(d *dataset.Dataset, column int) binLookup {
	c := &d.Columns[column]
	l := binLookup{offset: c.Offset, bins: uint32(c.Mapper.NumBins), mostFreq: c.Mapper.MostFreqBin, missingBin: missingBin(c.Mapper)}
	if c.Block < 0 {
		l.sparse = d.Sparse
		return l
	}
	width := uint(d.Blocks[c.Block].Bits)
	l.words = d.Words[c.Block:]
	l.stride = len(d.Blocks)
	l.shift = width * uint(c.Lane)
	l.mask = 1<<width - 1
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
		return uint32(l.words[int(row)*l.stride] >> l.shift & l.mask)
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

// partitioner divides the rows of a leaf, keeping their order.
type partitioner struct {
	pool   *parallel.Pool
	spare  []uint32
	table  []uint8
	counts []int
}

const partitionChunk = 1 << 14

// divide reorders rows so that those going left come first and returns how
// many they are.
func (p *partitioner) divide(rows []uint32, l *binLookup, s *split, categorical bool) int {
	p.table = directions(p.table, s, l, categorical)
	if len(p.spare) < len(rows) {
		p.spare = make([]uint32, len(rows))
	}
	if len(rows) <= 2*partitionChunk || p.pool.Threads() == 1 {
		spare := p.spare[:len(rows)]
		left := divideInto(rows, spare, l, p.table)
		copy(rows[left:], spare[:len(rows)-left])
		return left
	}
	return p.divideParallel(rows, l)
}

// divideParallel divides chunks side by side, then moves their parts to where
// they belong.
func (p *partitioner) divideParallel(rows []uint32, l *binLookup) int {
	chunks := (len(rows) + partitionChunk - 1) / partitionChunk
	p.counts = slices.Grow(p.counts[:0], chunks+1)[:chunks+1]
	p.pool.Chunks(len(rows), partitionChunk, func(c, lo, hi int) {
		p.counts[c] = divideInto(rows[lo:hi], p.spare[lo:hi], l, p.table)
	})
	left := 0
	for c := range chunks {
		n := p.counts[c]
		p.counts[c] = left
		left += n
	}
	p.counts[chunks] = left
	// The left parts already stand at the chunks' starts, the right parts in
	// spare; moving the left ones down never overtakes an unread one, so that
	// only they are moved in order and the right ones side by side.
	for c := 1; c < chunks; c++ {
		n := p.counts[c+1] - p.counts[c]
		copy(rows[p.counts[c]:], rows[c*partitionChunk:][:n])
	}
	p.pool.Chunks(len(rows), partitionChunk, func(c, lo, hi int) {
		nLeft := p.counts[c+1] - p.counts[c]
		copy(rows[left+lo-p.counts[c]:], p.spare[lo:hi-nLeft])
	})
	return left
}

// divideInto keeps the left rows at the start of rows and puts the right ones
// at the start of spare.
func divideInto(rows, spare []uint32, l *binLookup, table []uint8) int {
	left, right := 0, 0
	spare = spare[:len(rows)]
	if l.bytes != nil {
		var full [256]uint8
		copy(full[:], table)
		for _, r := range rows {
			goes := int(full[l.bytes[r]])
			rows[left] = r
			spare[right] = r
			left += goes
			right += 1 - goes
		}
		return left
	}
	for _, r := range rows {
		goes := int(table[l.bin(r)])
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
