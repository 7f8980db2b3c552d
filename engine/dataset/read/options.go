package read

import (
	"runtime"
)

// Format is the form of a table.
type Format int

// The forms of a table. Auto tells them apart by the first bytes and lines.
const (
	Auto Format = iota
	CSV
	TSV
	LibSVM
	Parquet
)

// String gives the form's usual name.
func (f Format) String() string {
	switch f {
	case CSV:
		return "CSV"
	case TSV:
		return "TSV"
	case LibSVM:
		return "LibSVM"
	case Parquet:
		return "Parquet"
	default:
		return "auto"
	}
}

// ColumnRef names a column, by number or by name. The zero value names none.
type ColumnRef struct {
	// Index is the column's number from 0. As in LightGBM, label_column counts
	// all columns and every other parameter the columns without the label's.
	Index int
	// Name is the name in the header; it counts where it is not empty.
	Name string
	// Set says that the reference names a column at all.
	Set bool
}

// ByIndex refers to a column by number.
func ByIndex(i int) ColumnRef { return ColumnRef{Index: i, Set: true} }

// ByName refers to a column by its name in the header.
func ByName(name string) ColumnRef { return ColumnRef{Name: name, Set: true} }

// Defaults of Options.
const (
	DefaultMaxLine     = 64 << 20
	DefaultMaxFeatures = 1 << 24
	DefaultMaxSpool    = 4 << 30
)

// Options say how a table is read. The zero value reads a table without a
// header whose first column is the label.
type Options struct {
	// Format is the form; Auto detects it.
	Format Format
	// Header says that the first line of a text holds the columns' names.
	Header bool

	// Label is the label's column; unset, the first.
	Label ColumnRef
	// NoLabel says that the table has no label column.
	NoLabel bool
	// LabelOptional says, with Features, that a table of exactly Features
	// columns has no label column; a LibSVM table has none when its first line
	// starts with a feature. It is how LightGBM reads tables for prediction.
	LabelOptional bool
	// Weight, Group and Ignore are columns that are no features. They keep
	// their places among the features, with the value 0.
	Weight, Group ColumnRef
	// Ignore may hold any text: its values are not looked at.
	Ignore []ColumnRef
	// CheckLabel makes a missing or infinite label an error, as training needs.
	CheckLabel bool

	// Features is the number of features that a model or a training set has;
	// 0 where it is not known. In a LibSVM table a greater index is an error;
	// the width of other tables is the caller's to compare.
	Features int
	// DropExtra drops the entries of a LibSVM table beyond Features instead.
	DropExtra bool

	// Threads is the number of goroutines that parse; less than 1 means all
	// processors.
	Threads int
	// MaxLine is the greatest length of a line in bytes, MaxFeatures the
	// greatest number of features, MaxSpool the greatest size of a Parquet file
	// that must be held in memory because its source cannot seek. 0 means the
	// default.
	MaxLine, MaxFeatures int
	MaxSpool             int64

	// Progress is told, now and then and never concurrently within a pass, how
	// far a pass has come in the source's (compressed) bytes. The total is 0
	// where it is not known.
	Progress func(bytesRead, totalBytes int64)
}

func (o Options) withDefaults() Options {
	if o.Threads < 1 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.MaxLine < 1 {
		o.MaxLine = DefaultMaxLine
	}
	if o.MaxFeatures < 1 {
		o.MaxFeatures = DefaultMaxFeatures
	}
	if o.MaxSpool < 1 {
		o.MaxSpool = DefaultMaxSpool
	}
	return o
}
