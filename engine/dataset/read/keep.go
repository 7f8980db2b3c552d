package read

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"cloister/engine/parallel"
)

// keeper holds the rows of a source that opens once, as numbers, each column of
// a chunk as narrow as its values allow.
type keeper struct {
	mu     sync.Mutex
	chunks []*chunk
}

// chunk is a batch in less space.
type chunk struct {
	Batch // without Values
	// columns are the features.
	columns []packed
}

// packed is a column of a chunk; one of its slices is used, or none where all
// values are 0.
type packed struct {
	i8  []int8
	i16 []int16
	f32 []float32
	f64 []float64
}

func (k *keeper) add(b *Batch) {
	c := &chunk{}
	c.Seq, c.First, c.Features, c.Rows = b.Seq, b.First, b.Features, b.Rows
	if b.RowStart != nil {
		c.copyRows(b, nil)
	} else {
		c.Label, c.Weight, c.Group = slices.Clone(b.Label), slices.Clone(b.Weight), slices.Clone(b.Group)
		c.columns = make([]packed, b.Features)
		column := make([]float64, b.Rows)
		for j := range c.columns {
			for i := range column {
				column[i] = b.Values[i*b.Features+j]
			}
			c.columns[j] = pack(column)
		}
	}
	k.mu.Lock()
	k.chunks = append(k.chunks, c)
	k.mu.Unlock()
}

// pack keeps every value's bits, but for the kind of NaN.
func pack(v []float64) packed {
	zero, i8, i16, f32 := true, true, true, true
	for _, x := range v {
		bits := math.Float64bits(x)
		zero = zero && bits == 0
		i8 = i8 && x >= math.MinInt8 && x <= math.MaxInt8 && math.Float64bits(float64(int8(x))) == bits
		i16 = i16 && x >= math.MinInt16 && x <= math.MaxInt16 && math.Float64bits(float64(int16(x))) == bits
		f32 = f32 && (math.IsNaN(x) || math.Float64bits(float64(float32(x))) == bits)
		if !f32 && !i16 {
			return packed{f64: slices.Clone(v)}
		}
	}
	switch {
	case zero:
		return packed{}
	case i8:
		return packed{i8: narrow[int8](v)}
	case i16:
		return packed{i16: narrow[int16](v)}
	default:
		return packed{f32: narrow[float32](v)}
	}
}

func narrow[T int8 | int16 | float32](v []float64) []T {
	out := make([]T, len(v))
	for i, x := range v {
		out[i] = T(x)
	}
	return out
}

// spread writes a column into a matrix of so many features a row.
func spread[T int8 | int16 | float32 | float64](out []float64, features int, v []T) {
	for i, x := range v {
		out[i*features] = float64(x)
	}
}

// unpack makes the batch that was kept, in room for Values.
func (c *chunk) unpack(room []float64) (*Batch, []float64) {
	if c.columns == nil || c.Rows == 0 {
		return &c.Batch, room
	}
	room = resize(room, c.Rows*c.Features)
	clear(room)
	for j, p := range c.columns {
		out := room[j:]
		spread(out, c.Features, p.i8)
		spread(out, c.Features, p.i16)
		spread(out, c.Features, p.f32)
		spread(out, c.Features, p.f64)
	}
	b := c.Batch
	b.Values = room
	return &b, room
}

// replay gives the rows again; it lets go of them as it goes where last says
// that nobody needs them again.
func (k *keeper) replay(ctx context.Context, t *Table, last bool, fn func(*Batch) error, failed func(seq int)) error {
	slices.SortFunc(k.chunks, func(a, b *chunk) int { return a.Seq - b.Seq })
	rooms := sync.Pool{New: func() any { return new([]float64) }}
	return runTasks(ctx, t.opt.Threads, len(k.chunks), failed, func(i int, _ func() bool) error {
		c := k.chunks[i]
		if last {
			k.chunks[i] = nil
		}
		room := rooms.Get().(*[]float64)
		defer rooms.Put(room)
		var b *Batch
		b, *room = c.unpack(*room)
		b.Features = t.Features()
		err := fn(b)
		if err != nil {
			failed(c.Seq)
		}
		return err
	})
}

// runTasks calls run(0) … run(n-1) from some goroutines, started in ascending
// order, and returns the error of the lowest task that failed. After a failure
// no later task is started; live tells a later one to give up. A panic in a
// task is raised again in the caller; panics tells of it at once those who wait.
func runTasks(ctx context.Context, threads, n int, panics func(seq int), run func(i int, live func() bool) error) error {
	var mu sync.Mutex
	next, failed := 0, n
	var first error
	fail := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if i < failed {
			failed, first = i, err
		}
	}
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if next >= failed || ctx.Err() != nil {
			return -1
		}
		next++
		return next - 1
	}
	var wg sync.WaitGroup
	for range min(threads, n) {
		wg.Go(func() {
			for i := take(); i >= 0; i = take() {
				live := func() bool {
					mu.Lock()
					defer mu.Unlock()
					return i < failed
				}
				err := parallel.Catch(func() error { return run(i, live) })
				if bug := (*parallel.PanicError)(nil); errors.As(err, &bug) {
					fail(panicked, err)
					panics(panicked)
				} else if err != nil {
					fail(i, err)
				}
			}
		})
	}
	wg.Wait()
	if first != nil {
		parallel.Raise(first)
		return first
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
