package read

import (
	"context"
	"errors"
	"fmt"
)

// Rows reads the whole table once and calls fn with every batch, concurrently
// from Options.Threads goroutines; Batch.Seq and Batch.First say where its rows
// belong. The error is the first in the order of the rows, whichever goroutine
// met it first; fn's own errors count as their batch's. Once a batch failed, fn
// is not called for later ones; it may have been called for some.
//
// fn may wait for earlier batches only if it also learns of their failure:
// [InOrder] does that. A source that opens once can be passed to Rows once,
// with or without a Sample before; a second call gives [ErrUsed].
func (t *Table) Rows(ctx context.Context, fn func(*Batch) error) error {
	return t.rowsWith(ctx, fn, func(int) {})
}

// rowsWith is Rows that also tells failed, at once, the Seq of a batch that
// failed (or of what would have been one).
func (t *Table) rowsWith(ctx context.Context, fn func(*Batch) error, failed func(seq int)) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if t.kept != nil {
		k := t.kept
		t.kept = nil
		return k.replay(ctx, t, true, fn, failed)
	}
	if t.format == Parquet {
		return t.parquetRows(ctx, fn, failed)
	}
	return t.textRows(ctx, func() worker { return &rowWorker{parser: t.newParser(), t: t, fn: fn} }, failed)
}

// textRows runs a pass over a text.
func (t *Table) textRows(ctx context.Context, newWorker func() worker, failed func(seq int)) error {
	s, err := t.stream(ctx)
	if err != nil {
		return err
	}
	p := &pass{t: t, ctx: ctx, failed: failed}
	workers := make([]worker, t.opt.Threads)
	for i := range workers {
		workers[i] = newWorker()
	}
	if err := p.run(s, workers); err != nil {
		return err
	}
	return t.ended(p.partRows())
}

// partRows are the rows of each file, once the pass is over.
func (p *pass) partRows() []int {
	rows := make([]int, len(p.firsts))
	end := p.end.rows
	for k := len(rows) - 1; k >= 0; k-- {
		if p.firsts[k] >= 0 {
			rows[k] = end - p.firsts[k]
			end = p.firsts[k]
		}
	}
	return rows
}

// ended checks the numbers of rows of a whole pass.
func (t *Table) ended(rows []int) error {
	total := 0
	for k, n := range rows {
		p := &t.parts[k]
		switch {
		case n == 0:
			return p.empty(nil)
		case p.rows >= 0 && n != p.rows:
			return &Error{
				Table: p.src.Name, Problem: fmt.Sprintf("changed while it was read: it had %d rows and now has %d", p.rows, n),
				Hint: "run again when nothing writes to it",
			}
		}
		p.rows = n
		total += n
	}
	t.rows = total
	return nil
}

// stream starts a pass.
func (t *Table) stream(ctx context.Context) (*stream, error) {
	if !t.src.Once {
		return openStream(ctx, t.parts[0].src)
	}
	if s := t.open; s != nil {
		t.open = nil
		t.used = true
		return s, nil
	}
	return nil, wrapKind(&Error{
		Table: t.src.Name, Problem: "can be read only once, and was", Hint: "give a file",
	}, ErrUsed)
}

// rowWorker parses blocks for Rows.
type rowWorker struct {
	parser
	t  *Table
	fn func(*Batch) error
}

// parser reads lines into a batch.
type parser interface {
	// count reads all lines of a text and returns the rows.
	count(text []byte, n int) (int, *lineError)
	// scan counts the rows without reading their numbers.
	scan(text []byte, n int) (int, *lineError)
	// reset, line and trim read some lines: reset makes room for rows, line
	// reads the one at p and returns the place of the next.
	reset(rows int)
	line(text []byte, p int) (int, *lineError)
	trim()
	// blanks are the bytes that make a line blank, which is no row.
	blanks() string
	// result is the batch.
	result() *Batch
}

func (t *Table) newParser() parser {
	if t.format == LibSVM {
		return newSparse(t)
	}
	return newDense(t)
}

func (w *rowWorker) emit(seq int, at position, text []byte, n int) *lineError {
	b := w.result()
	b.Seq, b.First = seq, at.rows
	if err := w.fn(b); err != nil {
		var fault *RowError
		if errors.As(err, &fault) {
			located := fault.at(at, text, n, w.blanks())
			located.Table = w.t.parts[at.part].src.Name
			err = located
		}
		return &lineError{raw: err}
	}
	return nil
}
