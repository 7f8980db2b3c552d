package tree

import (
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/internal/prefetch"
)

// A histogram is a flat array with one packed sum per bin (see quantize.go),
// column after column at dataset.Column.Offset.
//
// The sums are built from rows in steps that keep what is worked on in the
// first-level cache. The words of a stretch of rows that lie apart are copied
// together, block by block, while the memory of the next stretch is on its way;
// those of consecutive rows are read where they are. Each block adds
// into a fixed layout of eight lanes of 256 bins (16 KiB), in which the bin's
// place is a constant plus a byte, so that the compiler drops every bounds
// check; the lanes then go to the flat histogram.
const (
	blockLanes = 8
	laneBins   = 256
	// A stretch has at most mostRows rows, and about stretchWords words.
	mostRows     = 512
	leastRows    = 64
	stretchWords = 1 << 14
)

type laneSums [blockLanes * laneBins]int64

// builder builds histograms over the rows of a leaf.
type builder struct {
	data    *dataset.Dataset
	stride  int
	stretch int // rows
	narrow  int // number of 8-bit blocks
	lane    []int

	entryBytes int // of a row's entries, on average

	seldom []uint64 // a bit for each row that has entries, if these are few
}

func newBuilder(d *dataset.Dataset) *builder {
	b := &builder{data: d, stride: len(d.Blocks), lane: make([]int, len(d.Blocks))}
	if d.Sparse != nil {
		b.entryBytes = min(1024, 4*len(d.Sparse.Entry)/max(1, d.Rows)+32)
		b.seldom = rowsWithEntries(d)
	}
	b.stretch = max(leastRows, min(mostRows, stretchWords/max(1, b.stride)))
	for i := range d.Blocks {
		if d.Blocks[i].Bits == 8 {
			b.lane[i] = b.narrow
			b.narrow++
		}
	}
	return b
}

// add sums packed[r] over rows lo … hi-1 of the list (nil: of the data set)
// into hist, for the columns in use; of the others hist has any content. The
// most frequent bins of sparse columns are left out.
func (b *builder) add(w *worker, hist []int64, rows []uint32, lo, hi int, packed []int64, use *usage) {
	b.clear(hist, use)
	if rows == nil {
		b.addRange(w, hist, lo, hi, packed, use)
	} else {
		b.addList(w, hist, rows[lo:hi], packed, use)
	}
	for i := range b.data.Blocks {
		if b.data.Blocks[i].Bits == 8 && use.block[i] {
			b.flush(&w.lanes[b.lane[i]], i, hist)
		}
	}
}

// clear clears the sums that are added to directly.
func (b *builder) clear(hist []int64, use *usage) {
	if b.narrow == len(b.data.Blocks) && !use.sparse && b.data.Bundles == nil {
		return
	}
	for i := range b.data.Columns {
		c := &b.data.Columns[i]
		if use.column[i] && (c.Block < 0 || c.First > 0 || b.data.Blocks[c.Block].Bits != 8) {
			clear(hist[c.Offset:][:c.Mapper.NumBins])
		}
	}
}

func (b *builder) addRange(w *worker, hist []int64, lo, hi int, packed []int64, use *usage) {
	for at := lo; at < hi; at += b.stretch {
		end := min(hi, at+b.stretch)
		b.addBlocks(w, hist, packed[at:end], b.data.Words[at*b.stride:end*b.stride], 1, b.stride, use)
	}
	if use.sparse {
		b.addSparseRange(hist, lo, hi, packed)
	}
}

// addList copies the words of a stretch of rows together, block by block, while
// it asks for the memory of the next stretch.
func (b *builder) addList(w *worker, hist []int64, rows []uint32, packed []int64, use *usage) {
	part := rows[:min(len(rows), b.stretch)]
	b.prefetch(part, packed, use)
	for len(part) > 0 {
		rows = rows[len(part):]
		next := rows[:min(len(rows), b.stretch)]
		for i, r := range part {
			w.values[i] = packed[r]
		}
		values := w.values[:len(part)]
		b.gather(w, part)
		b.prefetch(next, packed, use)
		b.addBlocks(w, hist, values, w.words, b.stretch, 1, use)
		if use.sparse {
			b.addSparseList(hist, part, values, w)
		}
		part = next
	}
}

func (b *builder) prefetch(rows []uint32, packed []int64, use *usage) {
	prefetch.Rows(packed, 1, rows)
	if use.sparse && b.seldom == nil {
		prefetch.Rows(b.data.Sparse.RowStart, 1, rows)
	}
	prefetch.Rows(b.data.Words, b.stride, rows)
}

// addBlocks adds a stretch of rows. The words of a block are stride words apart,
// the blocks' first words next words.
func (b *builder) addBlocks(w *worker, hist, values []int64, words []uint64, next, stride int, use *usage) {
	for i := range b.data.Blocks {
		if !use.block[i] {
			continue
		}
		switch block := &b.data.Blocks[i]; {
		case block.Bits != 8:
			b.add16(hist, i, words[i*next:], stride, values)
		case len(block.Columns) <= 4:
			add4(&w.lanes[b.lane[i]], words[i*next:], stride, values)
		default:
			add8(&w.lanes[b.lane[i]], words[i*next:], stride, values)
		}
	}
}

// gather copies the words of rows, block after block.
func (b *builder) gather(w *worker, rows []uint32) {
	if b.stride == 4 {
		w0, w1 := w.words[0*b.stretch:][:len(rows)], w.words[1*b.stretch:][:len(rows)]
		w2, w3 := w.words[2*b.stretch:][:len(rows)], w.words[3*b.stretch:][:len(rows)]
		for i, r := range rows {
			from := (*[4]uint64)(b.data.Words[int(r)*4:])
			w0[i], w1[i], w2[i], w3[i] = from[0], from[1], from[2], from[3]
		}
		return
	}
	for i, r := range rows {
		for k, v := range b.data.Words[int(r)*b.stride:][:b.stride] {
			w.words[k*b.stretch+i] = v
		}
	}
}

// add8 adds rows to the eight lanes of a block.
func add8(h *laneSums, words []uint64, stride int, packed []int64) {
	at := 0
	for _, v := range packed {
		w := words[at]
		at += stride
		h[0*laneBins+int(uint8(w))] += v
		h[1*laneBins+int(uint8(w>>8))] += v
		h[2*laneBins+int(uint8(w>>16))] += v
		h[3*laneBins+int(uint8(w>>24))] += v
		h[4*laneBins+int(uint8(w>>32))] += v
		h[5*laneBins+int(uint8(w>>40))] += v
		h[6*laneBins+int(uint8(w>>48))] += v
		h[7*laneBins+int(w>>56)] += v
	}
}

// add4 is add8 for a block of at most four columns.
func add4(h *laneSums, words []uint64, stride int, packed []int64) {
	at := 0
	for _, v := range packed {
		w := words[at]
		at += stride
		h[0*laneBins+int(uint8(w))] += v
		h[1*laneBins+int(uint8(w>>8))] += v
		h[2*laneBins+int(uint8(w>>16))] += v
		h[3*laneBins+int(uint8(w>>24))] += v
	}
}

// flush moves the sums of a block's lanes to the flat histogram and clears
// them for the next leaf.
func (b *builder) flush(h *laneSums, block int, hist []int64) {
	columns := b.data.Blocks[block].Columns
	for lane := range blockLanes {
		sums := h[lane*laneBins : (lane+1)*laneBins]
		if lane >= len(columns) {
			// Every row adds to bin 0 of an unused lane.
			sums[0] = 0
			continue
		}
		if columns[lane] < 0 {
			flushBundle(sums, b.data.Blocks[block].Bundles[lane], hist)
			continue
		}
		c := &b.data.Columns[columns[lane]]
		sums = sums[:c.Mapper.NumBins]
		copy(hist[c.Offset:], sums)
		clear(sums)
	}
}

func (b *builder) add16(hist []int64, block int, words []uint64, stride int, packed []int64) {
	for lane, c := range b.data.Blocks[block].Columns {
		out := hist[b.data.Columns[c].Offset:]
		shift := uint(16 * lane)
		for i, v := range packed {
			out[uint16(words[i*stride]>>shift)] += v
		}
	}
}

func (b *builder) addSparseRange(hist []int64, lo, hi int, packed []int64) {
	if b.seldom != nil {
		b.addSeldomRange(hist, lo, hi, packed)
		return
	}
	s := b.data.Sparse
	start := s.RowStart[lo]
	for r := lo; r < hi; r++ {
		end := s.RowStart[r+1]
		v := packed[r]
		for _, e := range s.Entry[start:end] {
			hist[e] += v
		}
		start = end
	}
}

// sparseStretch is the number of rows whose entries are fetched together.
const sparseStretch = 32

// addSparseList adds the entries of rows while those of the next ones are on
// their way.
func (b *builder) addSparseList(hist []int64, rows []uint32, packed []int64, w *worker) {
	if b.seldom != nil {
		rows, packed = b.seldomList(w, rows, packed)
	}
	s := b.data.Sparse
	var places [sparseStretch]uint32
	b.fetchSparse(rows[:min(len(rows), sparseStretch)], &places)
	for len(rows) > 0 {
		n := min(len(rows), sparseStretch)
		b.fetchSparse(rows[n:min(len(rows), 2*sparseStretch)], &places)
		for i, r := range rows[:n] {
			v := packed[i]
			for _, e := range s.Entry[s.RowStart[r]:s.RowStart[r+1]] {
				hist[e] += v
			}
		}
		rows, packed = rows[n:], packed[n:]
	}
}

// fetchSparse asks for as many bytes of rows' entries as rows have on average.
func (b *builder) fetchSparse(rows []uint32, places *[sparseStretch]uint32) {
	s := b.data.Sparse
	for i, r := range rows {
		places[i] = uint32(s.RowStart[r])
	}
	prefetch.Places(s.Entry, b.entryBytes, places[:len(rows)])
}

// usage says which columns take part in a search for splits.
type usage struct {
	column []bool
	block  []bool
	sparse bool
}

func newUsage(d *dataset.Dataset) *usage {
	return &usage{column: make([]bool, len(d.Columns)), block: make([]bool, len(d.Blocks))}
}

// refresh derives the blocks in use from the columns in use.
func (u *usage) refresh(d *dataset.Dataset) {
	clear(u.block)
	u.sparse = false
	for i, used := range u.column {
		if !used {
			continue
		}
		if at := d.Columns[i].Block; at >= 0 {
			u.block[at] = true
		}
	}
	if d.Sparse != nil {
		u.sparse = slices.ContainsFunc(d.Sparse.Columns, func(c int) bool { return u.column[c] })
	}
}

// clone copies a usage, with the blocks in use brought up to date.
func (u *usage) clone(d *dataset.Dataset) *usage {
	n := &usage{column: slices.Clone(u.column), block: make([]bool, len(u.block))}
	n.refresh(d)
	return n
}
