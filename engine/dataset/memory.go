package dataset

import (
	"context"
	"math"
	"slices"
	"sync"

	"cloister/engine/dataset/read"
	"cloister/engine/parallel"
)

// source is a table in memory: what samples are drawn from, and small tables
// binned from.
type source interface {
	// shape gives the table's size.
	shape() (rows, features int)
	// gather appends to out[i] the values of feature lo+i, for lo ≤ feature < hi,
	// in the picked rows (nil: all) that are not zero.
	gather(picked []int, lo, hi int, out [][]float64)
	// spot appends to out[place[f]] each i for which feature f of row rows[i] is
	// not zero; rows ascend, and features of a place below 0 do not matter.
	spot(rows []int, place []int32, out [][]uint16)
	// group is the number of features to gather at a time.
	group() int
	// batches is the number of batches, and batch gives one of them; it may use
	// buf, which is the caller's.
	batches() int
	batch(i int, buf *read.Batch) *read.Batch
}

// batchRows is the number of rows in a batch of a table in memory.
const batchRows = 4096

func isZero(v float64) bool { return math.Abs(v) <= ZeroThreshold }

// each calls fn for all batches. The error is that of the first batch.
func each(ctx context.Context, p *parallel.Pool, s source, fn func(*read.Batch) error) error {
	var mu sync.Mutex
	first, failed := s.batches(), error(nil)
	bufs := sync.Pool{New: func() any { return new(read.Batch) }}
	p.Run(s.batches(), func(i int) {
		mu.Lock()
		skip := i > first
		mu.Unlock()
		if skip {
			return
		}
		buf := bufs.Get().(*read.Batch)
		defer bufs.Put(buf)
		err := ctx.Err()
		if err == nil {
			err = fn(s.batch(i, buf))
		}
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			if i < first {
				first, failed = i, err
			}
		}
	})
	return failed
}

// rowTable is a table of batches, one after the other, whose rows are dense or
// sparse.
type rowTable struct {
	list     []read.Batch
	rows     int
	features int
}

// newRowTable cuts a big batch into parts that share its memory.
func newRowTable(b *read.Batch, features int) *rowTable {
	t := &rowTable{rows: b.Rows, features: features}
	for lo := 0; lo < b.Rows; lo += batchRows {
		hi := min(b.Rows, lo+batchRows)
		part := read.Batch{Seq: len(t.list), First: lo, Rows: hi - lo, Features: b.Features}
		if b.RowStart != nil {
			part.RowStart, part.Index, part.Value = b.RowStart[lo:hi+1], b.Index, b.Value
		} else {
			part.Values = b.Values[lo*b.Features : hi*b.Features]
		}
		part.Label, part.Weight, part.Group = cut(b.Label, lo, hi), cut(b.Weight, lo, hi), cut(b.Group, lo, hi)
		t.list = append(t.list, part)
	}
	return t
}

func cut[T any](s []T, lo, hi int) []T {
	if s == nil {
		return nil
	}
	return s[lo:hi]
}

func (t *rowTable) shape() (rows, features int)            { return t.rows, t.features }
func (t *rowTable) batches() int                           { return len(t.list) }
func (t *rowTable) batch(i int, _ *read.Batch) *read.Batch { return &t.list[i] }
func (t *rowTable) sparse() bool                           { return len(t.list) > 0 && t.list[0].RowStart != nil }

// group takes a cache line's features of a dense table at once, and many of a
// sparse one, where each costs a search in every row.
func (t *rowTable) group() int {
	if t.sparse() {
		return max(256, t.features/16)
	}
	return 8
}

func (t *rowTable) gather(picked []int, lo, hi int, out [][]float64) {
	for i := range t.list {
		b := &t.list[i]
		if picked == nil {
			for r := range b.Rows {
				gatherRow(b, r, lo, hi, out)
			}
			continue
		}
		for len(picked) > 0 && picked[0] < b.First+b.Rows {
			gatherRow(b, picked[0]-b.First, lo, hi, out)
			picked = picked[1:]
		}
	}
}

func gatherRow(b *read.Batch, r, lo, hi int, out [][]float64) {
	if b.RowStart == nil {
		for i, v := range b.Values[r*b.Features+lo : r*b.Features+hi] {
			if !isZero(v) {
				out[i] = append(out[i], v)
			}
		}
		return
	}
	index := b.Index[b.RowStart[r]:b.RowStart[r+1]]
	value := b.Value[b.RowStart[r]:b.RowStart[r+1]]
	e, _ := slices.BinarySearch(index, int32(lo))
	for ; e < len(index) && int(index[e]) < hi; e++ {
		if v := value[e]; !isZero(v) {
			i := int(index[e]) - lo
			out[i] = append(out[i], v)
		}
	}
}

// columnTable is a table of columns.
type columnTable struct {
	columns [][]float64
	rows    int
}

func (t *columnTable) shape() (rows, features int) { return t.rows, len(t.columns) }
func (t *columnTable) group() int                  { return 1 }
func (t *columnTable) batches() int                { return (t.rows + batchRows - 1) / batchRows }

func (t *columnTable) batch(i int, b *read.Batch) *read.Batch {
	lo := i * batchRows
	width := len(t.columns)
	b.Seq, b.First, b.Rows, b.Features = i, lo, min(batchRows, t.rows-lo), width
	b.Values = slices.Grow(b.Values[:0], b.Rows*width)[:b.Rows*width]
	for f, c := range t.columns {
		for r, v := range c[lo : lo+b.Rows] {
			b.Values[r*width+f] = v
		}
	}
	return b
}

func (t *columnTable) gather(picked []int, lo, hi int, out [][]float64) {
	for i, c := range t.columns[lo:hi] {
		if picked == nil {
			for _, v := range c {
				if !isZero(v) {
					out[i] = append(out[i], v)
				}
			}
			continue
		}
		for _, r := range picked {
			if v := c[r]; !isZero(v) {
				out[i] = append(out[i], v)
			}
		}
	}
}

// findMappers finds the bins of all features from the picked rows (nil: all)
// of a source that has, or stands for, total rows.
func findMappers(ctx context.Context, p *parallel.Pool, s source, picked []int, total int, categorical []bool, o *Options) ([]*Mapper, error) {
	sampled, features := s.shape()
	if picked != nil {
		sampled = len(picked)
	}
	mappers := make([]*Mapper, features)
	type worker struct {
		finder
		out [][]float64
	}
	// Wide sparse tables have many features without any value: all alike.
	empty := [2]*Mapper{}
	for i := range empty {
		empty[i] = NewMapper(nil, sampled, MapperOptions{MaxBin: 2, MinDataInBin: 1, Categorical: i == 1})
	}
	workers := sync.Pool{New: func() any { return new(worker) }}
	p.Chunks(features, s.group(), func(_, lo, hi int) {
		if ctx.Err() != nil {
			return
		}
		w := workers.Get().(*worker)
		defer workers.Put(w)
		for len(w.out) < hi-lo {
			w.out = append(w.out, nil)
		}
		out := w.out[:hi-lo]
		for i := range out {
			out[i] = out[i][:0]
		}
		s.gather(picked, lo, hi, out)
		for i, values := range out {
			f := lo + i
			mo := o.mapper(f, categorical[f], sampled, total)
			switch {
			case len(values) > 0 || len(mo.ForcedBounds) > 0:
				mappers[f] = w.mapper(values, sampled, mo)
			case mo.Categorical:
				mappers[f] = empty[1]
			default:
				mappers[f] = empty[0]
			}
		}
	})
	return mappers, ctx.Err()
}
