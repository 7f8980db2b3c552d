package dataset

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"

	"cloister/engine/dataset/read"
)

// writer stores batches of rows in a dataset, several at once.
type writer struct {
	d    *Dataset
	name string // of the table, for errors

	columnOf []int32  // of each feature, or -1
	zeroRow  []uint64 // the words of a row of zeros
	thin     []thinColumn
	moved    []int // indices in thin of the columns whose zeros are entries
	group    []int64

	categories []int          // the categorical features
	categoryOf []int32        // of each feature, its place there, or -1
	negatives  []atomic.Int64 // how many negative categories each has

	// small has, for each column, the bins of the least integers; sparse rows ask
	// for them.
	small     [][smallIntegers]uint16
	smallOnce sync.Once

	conflicts []atomic.Bool // of each column of a bundle: it has entries

	scratch sync.Pool

	mu      sync.Mutex
	next    int              // the Seq whose entries come next
	waiting map[int][]uint32 // entries of later batches
}

// smallIntegers is the number of integers whose bins are looked up: most entries
// of sparse tables are counts and flags.
const smallIntegers = 8

// thinColumn is a sparse column.
type thinColumn struct {
	column   int
	feature  int
	mapper   *Mapper
	offset   uint32
	usual    uint32 // the most frequent bin
	zero     uint32 // the bin of 0
	zeroStay bool   // zeros are not entries
}

// newWriter makes room for the rows of d, whose layout stands. entries is the
// expected number of sparse entries.
func newWriter(d *Dataset, name string, entries int) *writer {
	w := &writer{d: d, name: name, waiting: map[int][]uint32{}}
	d.Words = make([]uint64, d.Rows*len(d.Blocks))
	if d.Raw != nil {
		d.Raw.Values = make([]float32, d.Rows*d.Raw.Width)
	}
	w.conflicts = make([]atomic.Bool, len(d.Columns))
	w.columnOf = make([]int32, len(d.Mappers))
	w.categoryOf = make([]int32, len(d.Mappers))
	for f, m := range d.Mappers {
		w.columnOf[f], w.categoryOf[f] = -1, -1
		if m.Categorical {
			w.categoryOf[f] = int32(len(w.categories))
			w.categories = append(w.categories, f)
		}
	}
	w.negatives = make([]atomic.Int64, len(w.categories))
	w.zeroRow = make([]uint64, len(d.Blocks))
	for i := range d.Columns {
		c := &d.Columns[i]
		w.columnOf[c.Feature] = int32(i)
		if c.Block >= 0 && c.First == 0 {
			w.zeroRow[c.Block] |= uint64(c.Mapper.DefaultBin) << (c.Lane * d.Blocks[c.Block].Bits)
		}
	}
	if s := d.Sparse; s != nil {
		s.RowStart = make([]int, d.Rows+1)
		s.Entry = make([]uint32, 0, entries)
		for k, i := range s.Columns {
			c := &d.Columns[i]
			t := thinColumn{column: i, feature: c.Feature, mapper: c.Mapper, offset: c.Offset, usual: c.Mapper.MostFreqBin, zero: c.Mapper.DefaultBin}
			t.zeroStay = t.zero == t.usual
			if !t.zeroStay {
				w.moved = append(w.moved, k)
			}
			w.thin = append(w.thin, t)
		}
	}
	w.scratch.New = func() any { return new([]uint32) }
	return w
}

// batch stores the rows of a batch. It may be called concurrently.
func (w *writer) batch(b *read.Batch) error {
	if err := w.checkShape(b); err != nil {
		return err
	}
	if err := w.checkCategories(b); err != nil {
		return err
	}
	w.metadata(b)
	if w.d.Raw != nil {
		w.raw(b)
	}
	var entries []uint32
	if w.d.Sparse != nil {
		buf := w.scratch.Get().(*[]uint32)
		defer func() {
			*buf = entries[:0]
			w.scratch.Put(buf)
		}()
		entries = (*buf)[:0]
	}
	if b.RowStart != nil {
		entries = w.sparseBatch(b, entries)
	} else {
		entries = w.denseBatch(b, entries)
	}
	if w.d.Sparse != nil {
		w.append(b.Seq, entries)
	}
	return nil
}

func (w *writer) checkShape(b *read.Batch) error {
	switch {
	case b.First < 0 || b.Rows < 0 || b.First+b.Rows > w.d.Rows:
		return &read.Error{Table: w.name, Problem: "changed while it was read", Hint: "run again when nothing writes to it"}
	case b.RowStart == nil && b.Features != len(w.d.Mappers):
		return widthError(w.name, b.Features, len(w.d.Mappers))
	}
	return nil
}

// metadata copies what the batch's rows have besides features.
func (w *writer) metadata(b *read.Batch) {
	if b.Label != nil {
		copy(w.d.Label[b.First:], b.Label[:b.Rows])
	}
	if b.Weight != nil {
		copy(w.d.Weight[b.First:], b.Weight[:b.Rows])
	}
	if b.Group != nil {
		copy(w.group[b.First:], b.Group[:b.Rows])
	}
}

// tile is the number of rows whose words are filled column by column: few
// enough that values and words stay in the first-level cache.
const tile = 64

func (w *writer) denseBatch(b *read.Batch, entries []uint32) []uint32 {
	d := w.d
	width := b.Features
	for lo := 0; lo < b.Rows; lo += tile {
		n := min(tile, b.Rows-lo)
		values := b.Values[lo*width : (lo+n)*width]
		words := d.Words[(b.First+lo)*len(d.Blocks):]
		for block := range d.Blocks {
			bl := &d.Blocks[block]
			for lane, i := range bl.Columns {
				if i < 0 {
					continue
				}
				c := &d.Columns[i]
				c.Mapper.fill(words[block:], len(d.Blocks), uint(lane*bl.Bits), values[c.Feature:], width, n)
			}
		}
	}
	if d.Sparse == nil {
		return entries
	}
	for r := range b.Rows {
		row := b.Values[r*width : (r+1)*width]
		words := d.Words[(b.First+r)*len(d.Blocks) : (b.First+r+1)*len(d.Blocks)]
		before := len(entries)
		for k := range w.thin {
			t := &w.thin[k]
			v := row[t.feature]
			if v == 0 && t.zeroStay {
				continue
			}
			if bin := t.mapper.Bin(v); bin != t.usual {
				entries = w.set(t.column, bin, words, entries)
			}
		}
		d.Sparse.RowStart[b.First+r+1] = len(entries) - before
	}
	return entries
}

// fill adds the bins of n values, srcStride apart, to a lane of n words,
// dstStride apart.
func (m *Mapper) fill(dst []uint64, dstStride int, shift uint, src []float64, srcStride, n int) {
	if m.Categorical || m.keys == nil {
		for r := range n {
			dst[r*dstStride] |= uint64(m.Bin(src[r*srcStride])) << shift
		}
		return
	}
	nan := uint64(m.Bin(math.NaN()))
	keys, top := m.keys, uint64(len(m.keys)+1)>>1
	for r := range n {
		v := src[r*srcStride]
		bin := nan
		if v == v {
			// searchKeys, by hand: the call costs too much here.
			x := orderedKey(v)
			bin = 0
			for h := top; h > 0; h >>= 1 {
				_, below := bits.Sub64(keys[bin+h-1], x, 0)
				bin += h & -below
			}
		}
		dst[r*dstStride] |= bin << shift
	}
}

func (w *writer) sparseBatch(b *read.Batch, entries []uint32) []uint32 {
	w.smallOnce.Do(w.findSmall)
	d := w.d
	nb := len(d.Blocks)
	for r := range b.Rows {
		words := d.Words[(b.First+r)*nb : (b.First+r+1)*nb]
		copy(words, w.zeroRow)
		before := len(entries)
		moved := w.moved
		for e := b.RowStart[r]; e < b.RowStart[r+1]; e++ {
			f := int(b.Index[e])
			if f >= len(w.columnOf) || w.columnOf[f] < 0 {
				continue
			}
			c := &d.Columns[w.columnOf[f]]
			v := b.Value[e]
			var bin uint32
			if n := int(v); uint(n) < smallIntegers && float64(n) == v {
				bin = uint32(w.small[w.columnOf[f]][n])
			} else {
				bin = c.Mapper.Bin(v)
			}
			if c.Block >= 0 && c.First == 0 {
				width := d.Blocks[c.Block].Bits
				at := c.Lane * width
				words[c.Block] = words[c.Block]&^((1<<width-1)<<at) | uint64(bin)<<at
				continue
			}
			for len(moved) > 0 && w.thin[moved[0]].feature <= f {
				if t := &w.thin[moved[0]]; t.feature < f {
					entries = append(entries, t.offset+t.zero)
				}
				moved = moved[1:]
			}
			switch {
			case bin == c.Mapper.MostFreqBin:
			case c.Block < 0:
				entries = append(entries, c.Offset+bin)
			default:
				entries = w.set(int(w.columnOf[f]), bin, words, entries)
			}
		}
		for _, k := range moved {
			entries = append(entries, w.thin[k].offset+w.thin[k].zero)
		}
		if d.Sparse != nil {
			d.Sparse.RowStart[b.First+r+1] = len(entries) - before
		}
	}
	return entries
}

func (w *writer) findSmall() {
	w.small = make([][smallIntegers]uint16, len(w.d.Columns))
	for i := range w.small {
		for n := range smallIntegers {
			w.small[i][n] = uint16(w.d.Columns[i].Mapper.Bin(float64(n)))
		}
	}
}

// append puts the entries of a batch behind those of the batches before it.
func (w *writer) append(seq int, entries []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seq != w.next {
		w.waiting[seq] = append([]uint32{}, entries...)
		return
	}
	for ok := true; ok; entries, ok = w.waiting[w.next] {
		w.d.Sparse.Entry = append(w.d.Sparse.Entry, entries...)
		delete(w.waiting, w.next)
		w.next++
	}
}

// finish ends the writing of all batches.
func (w *writer) finish() {
	s := w.d.Sparse
	if s == nil {
		return
	}
	for r := range w.d.Rows {
		s.RowStart[r+1] += s.RowStart[r]
	}
	w.trimSparse()
}
