package dataset

import (
	"context"
	"fmt"
	"iter"

	"cloister/engine/dataset/read"
)

// Row is a row of a table.
type Row struct {
	// Values has a number for each feature, NaN where it is missing; or, with
	// Index, the numbers of the features listed there. All others are 0.
	Values []float64
	// Index has the features of Values, ascending; nil for a dense row.
	Index []int32
	// Label is what is to be predicted.
	Label float32
	// Weight and Query count if the Schema says so: the row's weight, and the id
	// of its query; consecutive rows of the same id are a query.
	Weight float32
	Query  int64
}

// Schema says what the rows of a table have.
type Schema struct {
	// Features is the number of features.
	Features int
	// Names has a name for each feature, or is nil: they are then called
	// Column_0, Column_1 …
	Names []string
	// Sparse rows list their features (Row.Index).
	Sparse bool
	// Weighted rows have weights, Grouped ones belong to queries.
	Weighted, Grouped bool
}

// Builder collects rows, as numbers, and bins them at the end. It is not safe
// for concurrent use.
type Builder struct {
	schema Schema
	table  rowTable
	meta   Metadata
	query  []int64
	// InitScore and Position are Metadata's; they may be set before Build.
	InitScore []float64
	Position  []int32
}

// NewBuilder starts a table.
func NewBuilder(s Schema) *Builder {
	return &Builder{schema: s, table: rowTable{features: s.Features}}
}

// Append adds a row; it keeps none of the row's slices.
func (b *Builder) Append(r Row) error {
	if err := b.check(&r); err != nil {
		return err
	}
	list := b.table.list
	if n := len(list); n == 0 || list[n-1].Rows == batchRows {
		list = append(list, read.Batch{Seq: n, First: b.table.rows, Features: b.schema.Features})
		if b.schema.Sparse {
			list[n].RowStart = append(make([]int, 0, batchRows+1), 0)
		} else {
			list[n].Values = []float64{}
		}
		b.table.list = list
	}
	part := &list[len(list)-1]
	if b.schema.Sparse {
		part.Index = append(part.Index, r.Index...)
		part.Value = append(part.Value, r.Values...)
		part.RowStart = append(part.RowStart, len(part.Index))
	} else {
		part.Values = append(part.Values, r.Values...)
	}
	part.Rows++
	b.table.rows++
	b.meta.Label = append(b.meta.Label, r.Label)
	if b.schema.Weighted {
		b.meta.Weight = append(b.meta.Weight, r.Weight)
	}
	if b.schema.Grouped {
		b.query = append(b.query, r.Query)
	}
	return nil
}

func (b *Builder) check(r *Row) error {
	fault := func(format string, args ...any) error {
		return &read.Error{Table: memoryName, Row: b.table.rows + 1, Problem: fmt.Sprintf(format, args...)}
	}
	if !b.schema.Sparse {
		if r.Index != nil {
			return fault("lists features, but the schema is not sparse")
		}
		if len(r.Values) != b.schema.Features {
			return fault("has %d values for %d features", len(r.Values), b.schema.Features)
		}
		return nil
	}
	if len(r.Index) != len(r.Values) {
		return fault("has %d values for %d features listed", len(r.Values), len(r.Index))
	}
	last := int32(-1)
	for _, f := range r.Index {
		if f <= last || int(f) >= b.schema.Features {
			return fault("lists feature %d behind %d of %d; list them ascending from 0", f, last, b.schema.Features)
		}
		last = f
	}
	return nil
}

// Rows is the number of rows so far.
func (b *Builder) Rows() int { return b.table.rows }

// Build bins the rows; see FromMatrix. The builder's metadata becomes the
// dataset's: do not append afterwards.
func (b *Builder) Build(ctx context.Context, o Options, ref *Dataset) (*Dataset, []Notice, error) {
	meta := b.meta
	meta.InitScore, meta.Position = b.InitScore, b.Position
	if b.schema.Grouped && b.table.rows > 0 {
		meta.QueryStart = queryStart(b.query)
	}
	return fromMemory(ctx, &b.table, b.schema.Names, meta, o, ref)
}

// FromRows bins the rows of an iterator, which are held as numbers meanwhile.
// An error of the iterator ends it and is returned.
func FromRows(ctx context.Context, rows iter.Seq2[Row, error], s Schema, o Options, ref *Dataset) (*Dataset, []Notice, error) {
	b := NewBuilder(s)
	for row, err := range rows {
		if err == nil {
			err = b.Append(row)
		}
		if err != nil {
			return nil, nil, err
		}
		if b.table.rows%batchRows == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if b.table.rows > o.MaxRows {
			break // Build says so
		}
	}
	return b.Build(ctx, o, ref)
}
