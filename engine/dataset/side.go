package dataset

import (
	"context"
	"fmt"

	"cloister/engine/dataset/read"
)

// sideFiles reads what stands beside the table.
func (b *building) sideFiles(ctx context.Context, t *read.Table, in *Input) error {
	files := sideReader{ctx: ctx, in: in, rows: t.PartRows()}
	if err := b.sideWeights(&files, t.WeightIndex() >= 0); err != nil {
		return err
	}
	if err := b.sideQueries(&files, t.GroupIndex() >= 0); err != nil {
		return err
	}
	if err := b.sideScores(&files); err != nil {
		return err
	}
	if b.ref != nil {
		return nil // nobody asks where the rows of a validation set stood
	}
	return b.sidePositions(&files)
}

// sideReader reads the side files of all files of a table.
type sideReader struct {
	ctx  context.Context
	in   *Input
	rows []int // of each file
}

// each calls fn with every side file of a kind and the rows it stands for. Nil
// stands for a kind that no file has.
func (s *sideReader) each(kind string, of func(*Input) *read.Source, fn func(src read.Source, table string, rows int) error) error {
	list := []*Input{s.in}
	for i := range s.in.More {
		list = append(list, &s.in.More[i])
	}
	var has, lacks *Input
	for _, in := range list {
		switch {
		case of(in) == nil && lacks == nil:
			lacks = in
		case of(in) != nil && has == nil:
			has = in
		}
	}
	if has == nil {
		return nil
	}
	if lacks != nil {
		return &read.Error{
			Table: lacks.Table.Name, Problem: fmt.Sprintf("has no side file of %s, but %s has %s", kind, has.Table.Name, of(has).Name),
			Hint: "give every file one, or none",
		}
	}
	for i, in := range list {
		if err := fn(*of(in), in.Table.Name, s.rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *building) sideWeights(s *sideReader, column bool) error {
	return s.each("weights", func(in *Input) *read.Source { return in.Weight }, func(src read.Source, table string, rows int) error {
		if column {
			b.notice("%s: weights are taken from the table's column; %s is not used", table, src.Name)
			return nil
		}
		weights, err := read.Weights(s.ctx, src)
		if err != nil {
			return err
		}
		if len(weights) != rows {
			return lengthError(src.Name, "weights", len(weights), table, rows)
		}
		b.d.Weight = append(b.d.Weight, weights...)
		return nil
	})
}

func (b *building) sideQueries(s *sideReader, column bool) error {
	return s.each("queries", func(in *Input) *read.Source { return in.Query }, func(src read.Source, table string, rows int) error {
		if column {
			b.notice("%s: queries are taken from the table's column; %s is not used", table, src.Name)
			return nil
		}
		sizes, err := read.Counts(s.ctx, src)
		if err != nil {
			return err
		}
		starts, err := queriesOfSizes(sizes, rows, src.Name)
		if err != nil {
			return err
		}
		if b.d.QueryStart == nil {
			b.d.QueryStart = starts
			return nil
		}
		before := b.d.QueryStart[len(b.d.QueryStart)-1]
		for _, first := range starts[1:] {
			b.d.QueryStart = append(b.d.QueryStart, before+first)
		}
		return nil
	})
}

func (b *building) sideScores(s *sideReader) error {
	var all *read.Scores
	first := ""
	err := s.each("initial scores", func(in *Input) *read.Source { return in.Init }, func(src read.Source, table string, rows int) error {
		scores, err := read.Floats(s.ctx, src)
		switch {
		case err != nil:
			return err
		case scores.Rows != rows:
			return lengthError(src.Name, "lines of initial scores", scores.Rows, table, rows)
		case all == nil:
			all, first = scores, src.Name
			return nil
		case scores.Columns != all.Columns:
			return &read.Error{
				Table: src.Name, Problem: fmt.Sprintf("has %d initial scores on a line, but %s has %d", scores.Columns, first, all.Columns),
				Hint: "give every row one for each class",
			}
		}
		all.Rows += scores.Rows
		all.Values = append(all.Values, scores.Values...)
		return nil
	})
	if err == nil && all != nil {
		b.d.InitScore = byModel(all)
	}
	return err
}

// sidePositions numbers the positions of all files together, as if one file had
// their lines.
func (b *building) sidePositions(s *sideReader) error {
	known := map[string]int32{}
	return s.each("positions", func(in *Input) *read.Source { return in.Position }, func(src read.Source, table string, rows int) error {
		position, names, err := read.Words(s.ctx, src)
		if err != nil {
			return err
		}
		if len(position) != rows {
			return lengthError(src.Name, "positions", len(position), table, rows)
		}
		number := make([]int32, len(names))
		for i, name := range names {
			n, ok := known[name]
			if !ok {
				n = int32(len(b.d.PositionNames))
				known[name] = n
				b.d.PositionNames = append(b.d.PositionNames, name)
			}
			number[i] = n
		}
		for _, p := range position {
			b.d.Position = append(b.d.Position, number[p])
		}
		return nil
	})
}

// byModel turns scores row after row to scores model after model.
func byModel(s *read.Scores) []float64 {
	if s.Columns == 1 {
		return s.Values
	}
	out := make([]float64, len(s.Values))
	for i := range s.Rows {
		for k := range s.Columns {
			out[k*s.Rows+i] = s.Values[i*s.Columns+k]
		}
	}
	return out
}

func lengthError(file, what string, n int, table string, rows int) error {
	return &read.Error{
		Table: file, Problem: fmt.Sprintf("has %d %s, but %s has %d rows", n, what, table, rows),
		Hint: "give each row one",
	}
}
