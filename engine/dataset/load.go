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
	// More are further files of the same table, whose rows follow in this order:
	// each is a Table of the same form and columns, and either all files have a
	// side file of a kind or none. Their own Read and More do not count.
	More []Input
}

// Tables are the sources of all files.
func (in *Input) Tables() []read.Source {
	list := []read.Source{in.Table}
	for i := range in.More {
		list = append(list, in.More[i].Table)
	}
	return list
}

// FilesInput is FileInput for a table in several files.
func FilesInput(paths []string, o read.Options) (Input, error) {
	var all Input
	for i, path := range paths {
		in, err := FileInput(path, o)
		switch {
		case err != nil:
			return Input{}, err
		case i == 0:
			all = in
		default:
			all.More = append(all.More, in)
		}
	}
	return all, nil
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

// Load reads a table and bins it, or reads what WriteBinary wrote. With ref, the training data, it takes its
// bins and layout, as validation data must; else ref is nil. The table is read
// twice, first to draw the rows that make the bins, unless they are all its
// rows; its text is never held.
func Load(ctx context.Context, in Input, o Options, ref *Dataset) (*Dataset, []Notice, error) {
	b, err := newBuilding(read.JoinedName(in.Tables()), &o, ref)
	if err != nil {
		return nil, nil, err
	}
	defer b.pool.Close()
	b.in = in.Read
	switch binary, err := isBinary(ctx, &in); {
	case err != nil:
		return nil, nil, err
	case binary:
		return b.loadBinary(ctx, &in)
	}
	in.Read.Threads = b.pool.Threads()
	in.Read.CheckLabel = true
	in.Read.MaxFeatures = o.MaxFeatures
	if ref != nil {
		in.Read.Features = ref.Features()
	}
	t, err := read.OpenAll(ctx, in.Tables(), in.Read)
	if err != nil {
		return nil, nil, err
	}
	d, notices, err := b.load(ctx, t, &in)
	if closed := t.Close(); err == nil && closed != nil {
		err = fmt.Errorf("%s: %w", b.name, closed)
	}
	if err != nil {
		return nil, nil, err
	}
	return d, notices, nil
}

// isBinary says whether the input is a binary data set, which stands alone.
func isBinary(ctx context.Context, in *Input) (bool, error) {
	for _, src := range in.Tables() {
		switch {
		case !IsBinary(ctx, src):
		case len(in.More) > 0:
			return false, &read.Error{
				Table: src.Name, Problem: "is a binary data set, which cannot be one of several files", Hint: "give it alone, or give the tables",
			}
		default:
			return true, nil
		}
	}
	return false, nil
}

func (b *building) load(ctx context.Context, t *read.Table, in *Input) (*Dataset, []Notice, error) {
	if !t.HasLabel() {
		return nil, nil, &read.Error{Table: b.name, Problem: "has no labels", Hint: "name the label's column with label_column"}
	}
	all, err := b.sample(ctx, t)
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
func (b *building) sample(ctx context.Context, t *read.Table) (all *rowTable, err error) {
	n := b.o.BinConstructSampleCnt
	if b.ref != nil {
		n = min(n, validSample)
	}
	if err := b.admitSample(t, n); err != nil {
		return nil, err
	}
	s, err := t.SampleParts(ctx, n, b.o.DataRandomSeed)
	if err != nil {
		return nil, err
	}
	features := t.Features()
	if err := b.shape(t.Names(), s.Total, features); err != nil {
		return nil, err
	}
	rows := &rowTable{list: s.Batches, rows: s.Rows, features: features}
	if b.ref == nil {
		if err := b.findBins(ctx, rows, nil); err != nil {
			return nil, err
		}
	}
	if s.All {
		return rows, nil
	}
	return nil, nil
}
