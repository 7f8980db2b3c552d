package read

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
)

// Parts is a Sample as a list of batches, which needs no memory for a copy.
type Parts struct {
	// Batches have the rows in the table's order; Seq numbers the batches, and
	// First the rows, of the sample. They belong to the caller.
	Batches []Batch
	// Rows is the number of rows of the sample, Total that of the table.
	Rows, Total int
	// All says that the sample is the whole table.
	All bool
}

// Estimate is a guess at the number of rows from the table's size, or 0 where
// there is none: before the first pass over a text that is plain.
func (t *Table) Estimate() int { return int(min(t.estimate, 1<<40)) }

// errMany ends a pass over a table that is not kept.
var errMany = errors.New("too many rows to keep")

// All reads the whole table and keeps it, all rows checked; it returns nil where
// the table has more than the given number of rows. A source that opens once is
// read by it.
func (t *Table) All(ctx context.Context, most int) (*Parts, error) {
	p := &Parts{All: true}
	var mu sync.Mutex
	err := t.Rows(ctx, func(b *Batch) error {
		if b.First+b.Rows > most {
			return errMany
		}
		var own piece
		own.copyRows(b, nil)
		own.Seq, own.First = b.Seq, b.First
		mu.Lock()
		defer mu.Unlock()
		p.Batches = append(p.Batches, own.Batch)
		return nil
	})
	if errors.Is(err, errMany) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(p.Batches, func(a, b Batch) int { return cmp.Compare(a.Seq, b.Seq) })
	features := t.Features()
	for i := range p.Batches {
		p.Batches[i].Features = features
	}
	p.Rows, p.Total = t.rows, t.rows
	return p, nil
}

// SampleParts draws the same rows as Sample.
func (t *Table) SampleParts(ctx context.Context, n int, seed uint64) (*Parts, error) {
	c, err := t.collect(ctx, n, seed)
	if err != nil {
		return nil, err
	}
	c.decide()
	p := &Parts{Rows: len(c.rows), Total: t.rows, All: len(c.rows) == t.rows}
	features := t.Features()
	// The rows of a piece are neighbours among the winners, for a piece holds
	// rows of one run of the table.
	for lo := 0; lo < len(c.rows); {
		from := c.rows[lo].piece
		hi := lo
		for hi < len(c.rows) && c.rows[hi].piece == from {
			hi++
		}
		from.keep(c.rows[lo:hi])
		from.Seq, from.First, from.Features = len(p.Batches), lo, features
		p.Batches = append(p.Batches, from.Batch)
		lo = hi
	}
	return p, nil
}

// keep drops all rows of a piece but the given ones, which ascend.
func (p *piece) keep(rows []candidate) {
	if len(rows) == p.Rows {
		return
	}
	width, entries := p.Features, 0
	for i, r := range rows {
		if p.RowStart == nil {
			copy(p.Values[i*width:(i+1)*width], p.Values[r.at*width:(r.at+1)*width])
		} else {
			// RowStart of this and all earlier rows is not needed any more.
			lo, hi := p.RowStart[r.at], p.RowStart[r.at+1]
			copy(p.Index[entries:], p.Index[lo:hi])
			copy(p.Value[entries:], p.Value[lo:hi])
			p.RowStart[i] = entries
			entries += hi - lo
		}
		move(p.Label, i, r.at)
		move(p.Weight, i, r.at)
		move(p.Group, i, r.at)
	}
	p.Rows = len(rows)
	if p.RowStart == nil {
		p.Values = p.Values[:p.Rows*width]
	} else {
		p.RowStart[p.Rows] = entries
		p.RowStart = p.RowStart[:p.Rows+1]
		p.Index, p.Value = p.Index[:entries], p.Value[:entries]
	}
	p.Label, p.Weight, p.Group = cut(p.Label, p.Rows), cut(p.Weight, p.Rows), cut(p.Group, p.Rows)
}

func move[T any](s []T, to, from int) {
	if s != nil {
		s[to] = s[from]
	}
}

func cut[T any](s []T, n int) []T {
	if s == nil {
		return nil
	}
	return s[:n]
}
