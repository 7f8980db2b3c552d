package dataset

import (
	"context"
	"errors"
	"fmt"
	"math"

	"cloister/engine/dataset/read"
	"cloister/engine/parallel"
)

// Matrix is a table as one slice.
type Matrix struct {
	// Values has Rows × Features numbers, row after row; NaN is a missing value.
	Values         []float64
	Rows, Features int
	// Names has a name for each feature, or is nil: they are then called
	// Column_0, Column_1 …
	Names []string
	Metadata
}

// FromMatrix bins a matrix. With ref, the training data, it takes its bins and
// layout, as validation data must; else ref is nil. The values are not kept;
// the metadata is.
func FromMatrix(ctx context.Context, m Matrix, o Options, ref *Dataset) (*Dataset, []Notice, error) {
	if m.Rows < 0 || m.Features < 0 || m.Features > 0 && m.Rows > len(m.Values)/m.Features || len(m.Values) != m.Rows*m.Features {
		return nil, nil, &read.Error{Table: memoryName, Problem: fmt.Sprintf("has %d values for %d rows of %d features", len(m.Values), m.Rows, m.Features), Hint: "give one for each row and feature"}
	}
	all := &read.Batch{Rows: m.Rows, Features: m.Features, Values: m.Values}
	if m.Values == nil {
		all.Values = []float64{}
	}
	return fromMemory(ctx, newRowTable(all, m.Features), m.Names, m.Metadata, o, ref)
}

// Columns is a table as a slice for each feature.
type Columns struct {
	// Values has the features' slices, all of the same length; NaN is a missing
	// value.
	Values [][]float64
	// Names has a name for each feature, or is nil: they are then called
	// Column_0, Column_1 …
	Names []string
	Metadata
}

// FromColumns bins columns; see FromMatrix.
func FromColumns(ctx context.Context, c Columns, o Options, ref *Dataset) (*Dataset, []Notice, error) {
	rows := len(c.Label)
	for f, v := range c.Values {
		if len(v) != rows {
			return nil, nil, &read.Error{Table: memoryName, Problem: fmt.Sprintf("feature %d has %d values, but there are %d labels", f, len(v), rows), Hint: "give each row one of both"}
		}
	}
	return fromMemory(ctx, &columnTable{columns: c.Values, rows: rows}, c.Names, c.Metadata, o, ref)
}

// memoryName is what errors call a table that has no file.
const memoryName = "table"

// fromMemory bins a table that a program holds.
func fromMemory(
	ctx context.Context, s source, names []string, meta Metadata, o Options, ref *Dataset,
) (*Dataset, []Notice, error) {
	b, err := newBuilding(memoryName, &o, ref)
	if err != nil {
		return nil, nil, err
	}
	defer b.pool.Close()
	rows, features := s.shape()
	if err := b.shape(names, rows, features); err != nil {
		return nil, nil, err
	}
	b.d.Metadata = meta
	if err := b.d.checkMetadata(b.name); err != nil {
		return nil, nil, err
	}
	checked := func(batch *read.Batch) error { return checkFinite(b.name, b.d.FeatureNames, batch) }
	if err := each(ctx, b.pool, s, checked); err != nil {
		return nil, nil, err
	}
	if ref == nil {
		var picked []int
		if rows > o.BinConstructSampleCnt {
			picked = read.SampleRows(rows, o.BinConstructSampleCnt, o.DataRandomSeed)
		}
		if err := b.findBins(ctx, s, picked); err != nil {
			return nil, nil, err
		}
	}
	return b.store(ctx, func(w *writer) error { return each(ctx, b.pool, s, w.batch) })
}

// building is a dataset on its way.
type building struct {
	d    *Dataset
	name string
	o    *Options
	in   read.Options // how the table is read
	ref  *Dataset
	pool *parallel.Pool
	list []Notice
}

func newBuilding(name string, o *Options, ref *Dataset) (*building, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &building{d: &Dataset{}, name: name, o: o, ref: ref, pool: parallel.New(o.Threads)}, nil
}

func (b *building) notice(format string, args ...any) {
	b.list = append(b.list, Notice(fmt.Sprintf(format, args...)))
}

// shape takes the table's size and names.
func (b *building) shape(names []string, rows, features int) error {
	if err := b.checkRows(rows); err != nil {
		return err
	}
	b.d.Rows = rows
	if b.ref != nil {
		if features != b.ref.Features() {
			return widthError(b.name, features, b.ref.Features())
		}
		b.d.layoutLike(b.ref)
		return nil
	}
	if err := b.o.checkWidth(features); err != nil {
		return err
	}
	clean, notices, err := cleanNames(b.name, names, features)
	if err != nil {
		return err
	}
	b.d.FeatureNames = clean
	b.list = append(b.list, notices...)
	return nil
}

func (b *building) checkRows(rows int) error {
	switch {
	case rows == 0:
		return &read.Error{Table: b.name, Problem: "has no rows", Hint: "give at least one"}
	case rows > b.o.MaxRows:
		return &read.Error{Table: b.name, Problem: fmt.Sprintf("has %d rows, more than %d", rows, b.o.MaxRows), Hint: "split it, or sample its rows"}
	}
	return nil
}

// findBins makes the mappers and the layout from the picked rows (nil: all) of
// s.
func (b *building) findBins(ctx context.Context, s source, picked []int) error {
	categorical, err := b.o.categorical(b.d.FeatureNames)
	if err != nil {
		return err
	}
	sampled, _ := s.shape()
	if picked != nil {
		sampled = len(picked)
	}
	if sampled < 100000 && float64(sampled) < float64(b.d.Rows)*0.2 {
		b.notice("bin_construct_sample_cnt: %d of %d rows are few to choose bins from; the model may be less accurate", sampled, b.d.Rows)
	}
	if b.d.Mappers, err = findMappers(ctx, b.pool, s, picked, b.d.Rows, categorical, b.o); err != nil {
		return err
	}
	if b.d.recipe, err = b.o.recipe(&b.in, b.d.FeatureNames, sampled == b.d.Rows); err != nil {
		return err
	}
	group := func(columns []int) [][]int { return b.d.exclusive(columns, b.d.spotsOf(s, picked, columns)) }
	if err := b.d.layout(b.o, group); err != nil {
		return err
	}
	if b.o.KeepRaw {
		b.d.placeRaw()
	}
	if len(b.d.Columns) == 0 {
		b.notice("%s: no feature can be split on; smaller min_data_in_bin and min_data_in_leaf may help", b.name)
	}
	for f, m := range b.d.Mappers {
		b.categoryNotices(f, m)
	}
	return nil
}

func (b *building) categoryNotices(f int, m *Mapper) {
	if !m.Categorical || m.Trivial {
		return
	}
	limit := b.o.mapper(f, true, 1, 1).MaxBin
	if m.NumBins > limit {
		b.notice("%s: column %s: has %d categories in use, more than max_bin=%d", b.name, b.d.FeatureNames[f], m.NumBins-1, limit)
	}
	if int(m.Max)/100 > m.distinct {
		b.notice("%s: column %s: the categories are far apart; numbering them from 0 without gaps makes smaller models", b.name, b.d.FeatureNames[f])
	}
}

// store writes the rows that each passes to the writer's batch.
func (b *building) store(ctx context.Context, each func(w *writer) error) (*Dataset, []Notice, error) {
	if float64(b.d.Rows)*float64(max(1, len(b.d.Blocks), b.d.rawWidth())) > math.MaxInt/16 {
		return nil, nil, &read.Error{Table: b.name, Problem: "is too large for this machine"}
	}
	if err := b.admitBins(); err != nil {
		return nil, nil, err
	}
	w := newWriter(b.d, b.name, b.expectedEntries())
	if err := each(w); err != nil {
		var fault *read.RowError
		if errors.As(err, &fault) {
			err = fault.Located()
		}
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	w.finish()
	return b.d, append(b.list, w.notices()...), nil
}

// expectedEntries estimates the length of SparseRows.Entry, with some room, so
// that it need not grow.
func (b *building) expectedEntries() int {
	if b.d.Sparse == nil {
		return 0
	}
	share := 0.0
	for i := range b.d.Columns {
		switch c := &b.d.Columns[i]; {
		case c.Block < 0:
			share += 1 - c.Mapper.SparseRate
		case c.First > 0:
			share += float64((1 - c.Mapper.SparseRate) * expectedConflicts)
		}
	}
	return int(min(float64(share*1.02)*float64(b.d.Rows), 1<<40)) + 1024
}
