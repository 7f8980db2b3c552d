package read

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Sample is some rows of a table, in the table's order.
type Sample struct {
	// Batch has the rows; Seq and First are 0. It belongs to the caller.
	Batch
	// RowIndex has the place of each row in the table, from 0.
	RowIndex []int
	// Total is the number of rows of the table.
	Total int
	// All says that the sample is the whole table, so that it need not be read
	// again.
	All bool
}

// Sample reads the table once and returns n rows drawn uniformly without
// replacement, or all where there are not more. Which rows depends on seed and
// the number of rows alone: every row draws a number from seed and its place,
// and the n least win. Only drawn rows are checked (all rows of a source that
// opens once); a fault in any row is found by the next Rows. Of a source that
// opens once the rows are kept in memory for one call of Rows.
func (t *Table) Sample(ctx context.Context, n int, seed uint64) (*Sample, error) {
	c, err := t.collect(ctx, n, seed)
	if err != nil {
		return nil, err
	}
	return c.sample(t), nil
}

// collect reads the table once and draws rows.
func (t *Table) collect(ctx context.Context, n int, seed uint64) (*collector, error) {
	if n < 1 {
		n = 1
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if t.format == Parquet || t.src.Once {
		return t.collectAll(ctx, n, seed)
	}
	limit := t.firstLimit(n)
	for {
		c := newCollector(n, seed, limit)
		err := t.textRows(ctx, func() worker { return &sampleWorker{parser: t.newParser(), c: c} }, func(int) {})
		if err != nil {
			return nil, t.firstFault(ctx, err)
		}
		if c.total() >= min(n, t.rows) {
			return c, nil
		}
		limit = math.MaxUint64 // the estimate was too low
	}
}

// collectAll draws from rows that are all parsed.
func (t *Table) collectAll(ctx context.Context, n int, seed uint64) (*collector, error) {
	c := newCollector(n, seed, math.MaxUint64)
	keep := t.src.Once && t.format != Parquet
	if keep && t.kept != nil {
		k := t.kept
		if err := k.replay(ctx, t, false, func(b *Batch) error { c.pick(b); return nil }, func(int) {}); err != nil {
			return nil, err
		}
		return c, nil
	}
	k := &keeper{}
	err := t.rowsWith(ctx, func(b *Batch) error {
		if keep {
			k.add(b)
		}
		c.pick(b)
		return nil
	}, func(int) {})
	if err != nil {
		return nil, err
	}
	if keep {
		t.kept = k
	}
	return c, nil
}

// firstFault finds the first fault of the whole table: a sample sees only some
// rows, and which of several bad ones it reports must not depend on the seed.
func (t *Table) firstFault(ctx context.Context, fault error) error {
	var e *Error
	if !errors.As(fault, &e) || e.Line == 0 {
		return fault
	}
	if err := t.rowsWith(ctx, func(*Batch) error { return nil }, func(int) {}); err != nil {
		return err
	}
	return fault
}

// firstLimit guesses from the file's size which draws can win, so that few
// other rows are parsed.
func (t *Table) firstLimit(n int) uint64 {
	rows := t.estimate
	if rows <= float64(n) {
		return math.MaxUint64
	}
	share := (float64(1.1*float64(n)) + float64(5*math.Sqrt(float64(n)))) / rows
	if share >= 1 {
		return math.MaxUint64
	}
	return uint64(share*(1<<63)) << 1
}

// draw is the number that a row draws.
func draw(seed uint64, row int) uint64 {
	// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), jumped to the row.
	x := seed*0xd1342543de82ef95 + (uint64(row)+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// sampleWorker counts a block's rows, and then parses those that may win.
type sampleWorker struct {
	parser
	c *collector

	rows, starts []int // the rows that may win, and their places in the text
}

func (w *sampleWorker) count(text []byte, n int) (int, *lineError) { return w.scan(text, n) }

func (w *sampleWorker) emit(_ int, at position, text []byte, n int) *lineError {
	limit := w.c.limit.Load()
	w.rows, w.starts = w.rows[:0], w.starts[:0]
	row := at.rows
	for p := 0; p < n; {
		if text[p] <= ' ' {
			if next, blank := blankLine(text, p, w.blanks()); blank {
				p = next
				continue
			}
		}
		if draw(w.c.seed, row) <= limit {
			w.rows = append(w.rows, row)
			w.starts = append(w.starts, p)
		}
		row++
		p += bytes.IndexByte(text[p:n], '\n') + 1
	}
	w.reset(len(w.rows))
	for _, p := range w.starts {
		if _, fault := w.line(text, p); fault != nil {
			return fault
		}
	}
	w.trim()
	w.c.add(w.result(), w.rows)
	return nil
}

// candidate is a row that may win.
type candidate struct {
	draw  uint64
	row   int
	piece *piece
	at    int // in piece
}

// piece holds candidates' rows.
type piece struct {
	Batch
}

// collector gathers the rows with the n least draws.
type collector struct {
	n     int
	seed  uint64
	limit atomic.Uint64 // greater draws cannot win

	mu   sync.Mutex
	rows []candidate
}

func newCollector(n int, seed, limit uint64) *collector {
	c := &collector{n: n, seed: seed}
	c.limit.Store(limit)
	return c
}

func (c *collector) total() int { return len(c.rows) }

// pick adds what may win of a batch of consecutive rows.
func (c *collector) pick(b *Batch) {
	limit := c.limit.Load()
	var rows, at []int
	for i := range b.Rows {
		if draw(c.seed, b.First+i) <= limit {
			rows = append(rows, b.First+i)
			at = append(at, i)
		}
	}
	if len(rows) == 0 {
		return
	}
	p := &piece{}
	p.copyRows(b, at)
	c.insert(p, rows)
}

// add adds a batch whose rows have the given places in the table.
func (c *collector) add(b *Batch, rows []int) {
	if len(rows) == 0 {
		return
	}
	p := &piece{}
	p.copyRows(b, nil)
	c.insert(p, rows)
}

func (c *collector) insert(p *piece, rows []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, row := range rows {
		c.rows = append(c.rows, candidate{draw: draw(c.seed, row), row: row, piece: p, at: i})
	}
	if len(c.rows) > 2*c.n+4096 {
		c.prune()
	}
}

// prune drops the candidates that cannot win any more.
func (c *collector) prune() {
	c.limit.Store(min(c.limit.Load(), c.choose()))
	slices.SortFunc(c.rows, byRow) // the order that a piece's rows must have
	// Rewrite the pieces, so that the dropped rows' memory is free.
	byPiece := map[*piece][]int{}
	for i := range c.rows {
		byPiece[c.rows[i].piece] = append(byPiece[c.rows[i].piece], i)
	}
	for old, list := range byPiece {
		at := make([]int, len(list))
		fresh := &piece{}
		for k, i := range list {
			at[k] = c.rows[i].at
			c.rows[i].piece, c.rows[i].at = fresh, k
		}
		fresh.copyRows(&old.Batch, at)
	}
}

func byRow(a, b candidate) int { return cmp.Compare(a.row, b.row) }

// choose leaves the candidates with the n least draws, of more, and returns the
// greatest of these. No two rows draw the same number.
func (c *collector) choose() uint64 {
	draws := make([]uint64, len(c.rows))
	for i := range draws {
		draws[i] = c.rows[i].draw
	}
	limit := nthLeast(draws, c.n)
	c.rows = slices.DeleteFunc(c.rows, func(r candidate) bool { return r.draw > limit })
	return limit
}

// decide leaves the winners, in the table's order.
func (c *collector) decide() {
	if len(c.rows) > c.n {
		c.choose()
	}
	slices.SortFunc(c.rows, byRow)
}

// sample gives the winners.
func (c *collector) sample(t *Table) *Sample {
	c.decide()
	s := &Sample{Total: t.rows, All: len(c.rows) == t.rows, RowIndex: make([]int, len(c.rows))}
	s.Features = t.Features()
	s.reserve(c.rows)
	for i, r := range c.rows {
		s.RowIndex[i] = r.row
		s.appendRow(&r.piece.Batch, r.at)
	}
	return s
}

// reserve makes room for the rows.
func (b *Batch) reserve(rows []candidate) {
	if len(rows) == 0 {
		return
	}
	entries := 0
	sparse := rows[0].piece.RowStart != nil
	if sparse {
		for _, r := range rows {
			entries += r.piece.RowStart[r.at+1] - r.piece.RowStart[r.at]
		}
		b.RowStart = make([]int, 0, len(rows)+1)
		b.Index = make([]int32, 0, entries)
		b.Value = make([]float64, 0, entries)
	} else {
		b.Values = make([]float64, 0, len(rows)*b.Features)
	}
	first := &rows[0].piece.Batch
	if first.Label != nil {
		b.Label = make([]float32, 0, len(rows))
	}
	if first.Weight != nil {
		b.Weight = make([]float32, 0, len(rows))
	}
	if first.Group != nil {
		b.Group = make([]int64, 0, len(rows))
	}
}

// copyRows makes b a copy of some rows of another batch, or of all.
func (b *Batch) copyRows(from *Batch, at []int) {
	b.Features = from.Features
	if at == nil {
		b.Rows = from.Rows
		b.Values = slices.Clone(from.Values)
		b.RowStart = slices.Clone(from.RowStart)
		b.Index = slices.Clone(from.Index)
		b.Value = slices.Clone(from.Value)
		b.Label = slices.Clone(from.Label)
		b.Weight = slices.Clone(from.Weight)
		b.Group = slices.Clone(from.Group)
		return
	}
	if from.RowStart == nil {
		b.Values = make([]float64, 0, len(at)*from.Features)
	}
	for _, i := range at {
		b.appendRow(from, i)
	}
}

// appendRow copies a row behind b's.
func (b *Batch) appendRow(from *Batch, i int) {
	b.Rows++
	if from.RowStart == nil {
		b.Values = append(b.Values, from.Values[i*from.Features:(i+1)*from.Features]...)
	} else {
		if len(b.RowStart) == 0 {
			b.RowStart = append(b.RowStart, 0)
		}
		lo, hi := from.RowStart[i], from.RowStart[i+1]
		b.Index = append(b.Index, from.Index[lo:hi]...)
		b.Value = append(b.Value, from.Value[lo:hi]...)
		b.RowStart = append(b.RowStart, len(b.Index))
	}
	if from.Label != nil {
		b.Label = append(b.Label, from.Label[i])
	}
	if from.Weight != nil {
		b.Weight = append(b.Weight, from.Weight[i])
	}
	if from.Group != nil {
		b.Group = append(b.Group, from.Group[i])
	}
}
