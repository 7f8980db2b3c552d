package tree

import (
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

// A histogram is a flat array with one packed sum per bin (see quantize.go),
// column after column at dataset.Column.Offset.
//
// The sums are built from rows in two steps that keep every access in the
// first-level cache. A stretch of rows is visited block by block: the first
// block's visit brings the rows' cache lines in, the others find them there.
// Each block adds into a fixed layout of eight lanes of 256 bins (16 KiB), in
// which the bin's place is a constant plus a byte, so that the compiler drops
// every bounds check; the lanes are then added to the flat histogram.
const (
	blockLanes  = 8
	laneBins    = 256
	stretchRows = 256
)

type laneSums [blockLanes * laneBins]int64

// workspace is one task's working memory for building a histogram.
type workspace struct {
	lanes []laneSums // one per 8-bit block
	sums  []int64    // flat histogram of the task's share of the rows
	words []uint64   // the words of a stretch of rows
}

// builder builds histograms over the rows of a leaf.
type builder struct {
	data      *dataset.Dataset
	pool      *parallel.Pool
	stride    int
	workspace []*workspace
	narrow    int // number of 8-bit blocks
	lane      []int
}

func newBuilder(d *dataset.Dataset, pool *parallel.Pool) *builder {
	b := &builder{data: d, pool: pool, stride: len(d.Blocks), lane: make([]int, len(d.Blocks))}
	for i := range d.Blocks {
		if d.Blocks[i].Bits == 8 {
			b.lane[i] = b.narrow
			b.narrow++
		}
	}
	b.workspace = make([]*workspace, pool.Threads())
	return b
}

func (b *builder) scratchOf(i int) *workspace {
	if b.workspace[i] == nil {
		b.workspace[i] = &workspace{lanes: make([]laneSums, b.narrow), words: make([]uint64, stretchRows*b.stride)}
	}
	return b.workspace[i]
}

// minRowsPerTask keeps a task's rows worth the merge of its histogram.
const minRowsPerTask = 8192

// build sums packed[r] over the given rows into hist, for the blocks and
// sparse columns in use. A nil rows means all rows of the data set.
func (b *builder) build(hist []int64, rows []uint32, packed []int64, total int64, use *usage) {
	n := len(rows)
	if rows == nil {
		n = b.data.Rows
	}
	clear(hist)
	tasks := min(b.pool.Threads(), max(1, n/minRowsPerTask))
	if tasks == 1 {
		b.addRows(b.scratchOf(0), hist, rows, 0, n, packed, use)
	} else {
		b.pool.Run(tasks, func(t int) {
			s := b.scratchOf(t)
			sums := hist
			if t > 0 {
				if s.sums == nil {
					s.sums = make([]int64, len(hist))
				} else {
					clear(s.sums)
				}
				sums = s.sums
			}
			b.addRows(s, sums, rows, n*t/tasks, n*(t+1)/tasks, packed, use)
		})
		for t := 1; t < tasks; t++ {
			for i, v := range b.workspace[t].sums {
				hist[i] += v
			}
		}
	}
	b.fillMostFrequent(hist, total, use)
}

// addRows adds rows lo … hi-1 of the list to hist.
func (b *builder) addRows(s *workspace, hist []int64, rows []uint32, lo, hi int, packed []int64, use *usage) {
	if rows == nil {
		b.addRange(s, hist, lo, hi, packed, use)
	} else {
		b.addList(s, hist, rows[lo:hi], packed, use)
	}
	for i := range b.data.Blocks {
		if b.data.Blocks[i].Bits == 8 && use.block[i] {
			b.flush(&s.lanes[b.lane[i]], i, hist)
		}
	}
}

func (b *builder) addRange(s *workspace, hist []int64, lo, hi int, packed []int64, use *usage) {
	for at := lo; at < hi; at += stretchRows {
		end := min(hi, at+stretchRows)
		for i := range b.data.Blocks {
			if !use.block[i] {
				continue
			}
			words := b.data.Words[at*b.stride+i : (end-1)*b.stride+i+1]
			if b.data.Blocks[i].Bits == 8 {
				addRange8(&s.lanes[b.lane[i]], words, b.stride, packed[at:end])
			} else {
				b.addRange16(hist, i, words, packed[at:end])
			}
		}
	}
	if use.sparse {
		b.addSparseRange(hist, lo, hi, packed)
	}
}

// addList first copies the words of a stretch of rows together: a loop of
// nothing but loads keeps more cache misses in flight than one that also adds.
func (b *builder) addList(s *workspace, hist []int64, rows []uint32, packed []int64, use *usage) {
	var values [stretchRows]int64
	words := s.words
	for len(rows) > 0 {
		part := rows[:min(len(rows), stretchRows)]
		rows = rows[len(part):]
		if b.stride == 4 {
			gather4(words, b.data.Words, part)
		} else {
			gather(words, b.data.Words, b.stride, part)
		}
		for i, r := range part {
			values[i] = packed[r]
		}
		for i := range b.data.Blocks {
			if !use.block[i] {
				continue
			}
			if b.data.Blocks[i].Bits == 8 {
				addRange8(&s.lanes[b.lane[i]], words[i:], b.stride, values[:len(part)])
			} else {
				b.addRange16(hist, i, words[i:], values[:len(part)])
			}
		}
		if use.sparse {
			b.addSparseList(hist, part, values[:len(part)])
		}
	}
}

func gather(to, words []uint64, stride int, rows []uint32) {
	for _, r := range rows {
		copy(to[:stride], words[int(r)*stride:])
		to = to[stride:]
	}
}

func gather4(to, words []uint64, rows []uint32) {
	for i, r := range rows {
		from, at := (*[4]uint64)(words[int(r)*4:]), (*[4]uint64)(to[i*4:])
		w0, w1, w2, w3 := from[0], from[1], from[2], from[3]
		at[0], at[1], at[2], at[3] = w0, w1, w2, w3
	}
}

// addRange8 adds consecutive rows to the eight lanes of a block.
func addRange8(h *laneSums, words []uint64, stride int, packed []int64) {
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
		c := &b.data.Columns[columns[lane]]
		sums = sums[:c.Mapper.NumBins]
		out := hist[c.Offset:][:len(sums)]
		for i, v := range sums {
			out[i] += v
		}
		clear(sums)
	}
}

func (b *builder) addRange16(hist []int64, block int, words []uint64, packed []int64) {
	columns := b.data.Blocks[block].Columns
	for lane, c := range columns {
		out := hist[b.data.Columns[c].Offset:]
		at, shift := 0, uint(16*lane)
		for _, v := range packed {
			out[uint16(words[at]>>shift)] += v
			at += b.stride
		}
	}
}

func (b *builder) addSparseRange(hist []int64, lo, hi int, packed []int64) {
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

func (b *builder) addSparseList(hist []int64, rows []uint32, packed []int64) {
	s := b.data.Sparse
	for i, r := range rows {
		v := packed[i]
		for _, e := range s.Entry[s.RowStart[r]:s.RowStart[r+1]] {
			hist[e] += v
		}
	}
}

// fillMostFrequent derives the sums of the sparse columns' most frequent
// bins, which are not stored, from the total over the leaf.
func (b *builder) fillMostFrequent(hist []int64, total int64, use *usage) {
	if !use.sparse {
		return
	}
	for _, i := range b.data.Sparse.Columns {
		if !use.column[i] {
			continue
		}
		c := &b.data.Columns[i]
		out := hist[c.Offset:][:c.Mapper.NumBins]
		rest := total
		for _, v := range out {
			rest -= v
		}
		out[c.Mapper.MostFreqBin] += rest
	}
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
		} else {
			u.sparse = true
		}
	}
}

// clone copies a usage, with the blocks in use brought up to date.
func (u *usage) clone(d *dataset.Dataset) *usage {
	n := &usage{column: slices.Clone(u.column), block: make([]bool, len(u.block))}
	n.refresh(d)
	return n
}
