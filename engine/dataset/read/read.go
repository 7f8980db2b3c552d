// Package read turns tables (CSV, TSV, LibSVM, Parquet; plain or compressed)
// into batches of numbers. It knows nothing of bins, engines or parameters, so
// that the scale-out trainers can read the same files in the same way.
//
// [Open] looks at a source's first bytes and lines and tells compression, form
// and columns apart as LightGBM does. [Table.Sample] makes one pass for the
// number of rows and a sample of them; [Table.Rows] and [InOrder] make a pass
// over all rows, parsed by several goroutines, with memory for a few blocks of
// text only. Faults are reported as [Error] with the line, the field, and what
// to do; of several, the one that comes first in the table, whatever the number
// of goroutines.
//
// Numbers are decimal and become the nearest float64. An empty field, na, nan
// and null (in any case) are missing values, NaN. Infinite and larger numbers
// are errors. A LibSVM index counts from 0, as it is written.
package read

import (
	"context"
	"io"
)

// Source is a table that can be read from its start any number of times.
type Source struct {
	// Name is what errors call the table: a path, or "standard input".
	Name string
	// Open starts a new pass. The stream may be compressed; the reader looks
	// at its first bytes, not at its name.
	Open func(ctx context.Context) (io.ReadCloser, error)
	// Once says that Open works only once (standard input): the rows are then
	// kept in memory, as numbers, for later passes.
	Once bool
	// Size is the stream's length in bytes, or 0 where it is not known;
	// progress rests on it.
	Size int64
}

// Batch is a run of consecutive rows. It belongs to the reader: a function
// that gets one must copy what it keeps.
type Batch struct {
	// Seq numbers the batches of a pass from 0 without a gap; First is the
	// index, from 0, of the batch's first row in the table. A batch may be empty.
	Seq, First int
	// Rows and Features give the shape. Features counts every column but the
	// label's, also ignored ones, weight and group columns (whose values are 0).
	Rows, Features int

	// Values are the dense features, Rows × Features, row after row; NaN is a
	// missing value. Nil for LibSVM.
	Values []float64

	// RowStart, Index and Value are the sparse features (LibSVM): entries
	// RowStart[i]..RowStart[i+1] belong to row i, with ascending Index.
	// What is not listed is zero.
	RowStart []int
	Index    []int32
	Value    []float64

	// Label, Weight and Group are nil when the table has no such column.
	Label  []float32
	Weight []float32
	Group  []int64
}
