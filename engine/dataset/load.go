package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"cloister/engine/dataset/read"
)

// Input is a table to load and its side files.
type Input struct {
	// Table is the source and Read says how to read it. Load sets Threads,
	// MaxFeatures, CheckLabel and, for a validation set, Features.
	Table read.Source
	Read  read.Options
	// Weight has a weight for each row; Query the number of rows of each query;
	// Init an initial score for each row, or one for each class. Nil where there
	// is none. Weights and queries among the table's columns come first.
	Weight, Query, Init *read.Source
	// Position has the place at which each row was shown, any text; nil where
	// there is none. It is not read for a validation set.
	Position *read.Source
}

// FileInput is the table in a file and those of its side files that exist:
// path.weight, path.query, path.init and path.position, as in LightGBM
// (src/io/metadata.cpp).
func FileInput(path string, o read.Options) (Input, error) {
	in := Input{Table: read.File(path), Read: o}
	for suffix, side := range map[string]**read.Source{
		".weight": &in.Weight, ".query": &in.Query, ".init": &in.Init, ".position": &in.Position,
	} {
		switch _, err := os.Stat(path + suffix); {
		case err == nil:
			src := read.File(path + suffix)
			*side = &src
		case !errors.Is(err, fs.ErrNotExist):
			return Input{}, fmt.Errorf("cannot look for a side file: %w", err)
		}
	}
	return in, nil
}

// validSample is the number of rows of a validation set that are read while
// they are counted: a set of no more is read once.
const validSample = 20000

// Load reads a table and bins it. With ref, the training data, it takes its
// bins and layout, as validation data must; else ref is nil. The table is read
// twice, first to draw the rows that make the bins, unless they are all its
// rows; its text is never held.
func Load(ctx context.Context, in Input, o Options, ref *Dataset) (*Dataset, []Notice, error) {
	b, err := newBuilding(in.Table.Name, &o, ref)
	if err != nil {
		return nil, nil, err
	}
	defer b.pool.Close()
	in.Read.Threads = b.pool.Threads()
	in.Read.CheckLabel = true
	in.Read.MaxFeatures = o.MaxFeatures
	if ref != nil {
		in.Read.Features = ref.Features()
	}
	t, err := read.Open(ctx, in.Table, in.Read)
	if err != nil {
		return nil, nil, err
	}
	d, notices, err := b.load(ctx, t, &in)
	if closed := t.Close(); err == nil && closed != nil {
		err = fmt.Errorf("%s: %w", in.Table.Name, closed)
	}
	if err != nil {
		return nil, nil, err
	}
	return d, notices, nil
}

func (b *building) load(ctx context.Context, t *read.Table, in *Input) (*Dataset, []Notice, error) {
	if !t.HasLabel() {
		return nil, nil, &read.Error{Table: b.name, Problem: "has no labels", Hint: "name the label's column with label_column"}
	}
	all, err := b.sample(ctx, t, in)
	if err != nil {
		return nil, nil, err
	}
	if all == nil {
		// The sample's memory is to serve the second pass.
		runtime.GC()
	}
	d := b.d
	d.Label = make([]float32, d.Rows)
	d.LabelIndex = t.LabelIndex()
	if t.WeightIndex() >= 0 {
		d.Weight = make([]float32, d.Rows)
	}
	var group []int64
	if t.GroupIndex() >= 0 {
		group = make([]int64, d.Rows)
	}
	if err := b.sideFiles(ctx, t, in); err != nil {
		return nil, nil, err
	}
	d, notices, err := b.store(ctx, func(w *writer) error {
		w.group = group
		if all == nil {
			return t.Rows(ctx, w.batch)
		}
		err := each(ctx, b.pool, all, w.batch)
		var fault *read.RowError
		if errors.As(err, &fault) && !in.Table.Once {
			// Read again to learn the line.
			if again := t.Rows(ctx, w.checkCategories); again != nil {
				return again
			}
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if group != nil {
		d.QueryStart = queryStart(group)
	}
	if err := d.checkMetadata(b.name); err != nil {
		return nil, nil, err
	}
	return d, notices, nil
}

// sample takes the table's shape, and its bins unless there is a reference. If
// the sample is the whole table, it is returned.
func (b *building) sample(ctx context.Context, t *read.Table, in *Input) (all *rowTable, err error) {
	n := b.o.BinConstructSampleCnt
	if b.ref != nil {
		n = min(n, validSample)
	}
	s, err := b.parts(ctx, t, n, in.Table.Once)
	if err != nil {
		return nil, err
	}
	features := t.Features()
	if err := b.shape(t.Names(), s.Total, features); err != nil {
		return nil, err
	}
	rows := &rowTable{list: s.Batches, rows: s.Rows, features: features}
	if b.ref == nil {
		var picked []int
		if s.Rows > n {
			picked = read.SampleRows(s.Rows, n, b.o.DataRandomSeed)
		}
		if err := b.findBins(ctx, rows, picked); err != nil {
			return nil, err
		}
	}
	if s.All {
		return rows, nil
	}
	return nil, nil
}

// parts reads a sample of n rows, or the whole table where that is hardly more.
func (b *building) parts(ctx context.Context, t *read.Table, n int, once bool) (*read.Parts, error) {
	most := n + n/2
	if rows := t.Estimate(); rows > 0 && rows <= most && !once {
		if all, err := t.All(ctx, most); all != nil || err != nil {
			return all, err
		}
	}
	return t.SampleParts(ctx, n, b.o.DataRandomSeed)
}

// sideFiles reads what stands beside the table.
func (b *building) sideFiles(ctx context.Context, t *read.Table, in *Input) error {
	d := b.d
	switch {
	case in.Weight == nil:
	case t.WeightIndex() >= 0:
		b.notice("%s: weights are taken from the table's column; %s is not used", b.name, in.Weight.Name)
	default:
		weights, err := read.Weights(ctx, *in.Weight)
		if err != nil {
			return err
		}
		if len(weights) != d.Rows {
			return b.lengthError(in.Weight.Name, "weights", len(weights))
		}
		d.Weight = weights
	}
	switch {
	case in.Query == nil:
	case t.GroupIndex() >= 0:
		b.notice("%s: queries are taken from the table's column; %s is not used", b.name, in.Query.Name)
	default:
		sizes, err := read.Counts(ctx, *in.Query)
		if err != nil {
			return err
		}
		if d.QueryStart, err = queriesOfSizes(sizes, d.Rows, in.Query.Name); err != nil {
			return err
		}
	}
	if in.Init != nil {
		scores, err := read.Floats(ctx, *in.Init)
		if err != nil {
			return err
		}
		if scores.Rows != d.Rows {
			return b.lengthError(in.Init.Name, "lines of initial scores", scores.Rows)
		}
		d.InitScore = byModel(scores)
	}
	if in.Position != nil && b.ref == nil {
		position, names, err := read.Words(ctx, *in.Position)
		if err != nil {
			return err
		}
		if len(position) != d.Rows {
			return b.lengthError(in.Position.Name, "positions", len(position))
		}
		d.Position, d.PositionNames = position, names
	}
	return nil
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

func (b *building) lengthError(file, what string, n int) error {
	return &read.Error{
		Table: file, Problem: fmt.Sprintf("has %d %s, but %s has %d rows", n, what, b.name, b.d.Rows),
		Hint: "give each row one",
	}
}
