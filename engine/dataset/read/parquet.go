package read

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// footerLimit bounds a Parquet file's metadata.
	footerLimit = 256 << 20
	// pageMemory bounds what the pages of one row group that are open together
	// (one of each column, and its dictionary) take when they are decoded.
	pageMemory = 2 << 30
	// parquetBatch is about the number of values of a batch.
	parquetBatch = 1 << 17
)

// errNoFooter is what a Parquet file that was cut off looks like.
var errNoFooter = fmt.Errorf("there is no valid footer at its end: %w", io.ErrUnexpectedEOF)

// parquetTable is what a part of a table needs for Parquet.
type parquetTable struct {
	data    []byte // the file, where its source cannot seek
	columns []parquetColumn
	groups  []int64 // rows of each row group
}

// parquetColumn says how a column's values become numbers.
type parquetColumn struct {
	leaf     int // the column chunk in a row group
	unsigned bool
	decimal  bool
	scale    int
	half     bool // 16-bit floats
	// refused says why the values are no numbers; it counts at the first pass,
	// unless the column is ignored until then.
	refused error
	slot    int32
	feature int // the index among the features, for every column but the label
}

// seekable is a file that can be read at any place.
type seekable interface {
	io.ReaderAt
	io.Seeker
}

// parquetSource opens a part's file for a pass.
func (t *Table) parquetSource(ctx context.Context, s *stream, p *part) (io.ReaderAt, int64, error) {
	if p.file.data != nil {
		return bytes.NewReader(p.file.data), int64(len(p.file.data)), nil
	}
	if at, ok := s.plain.(seekable); ok {
		if size, err := at.Seek(0, io.SeekEnd); err == nil {
			return at, size, nil
		}
	}
	room := t.opt.MaxSpool
	for i := range t.parts {
		room -= int64(len(t.parts[i].file.data))
	}
	var data bytes.Buffer
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		_, err := io.CopyN(&data, s, blockSize)
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return nil, 0, s.fault(err)
		}
		if int64(data.Len()) > room {
			return nil, 0, &Error{
				Table:   p.src.Name,
				Problem: fmt.Sprintf("is a Parquet file of more than %d bytes that cannot be read at any place", room),
				Hint:    "give it as a plain file: Parquet is compressed already",
			}
		}
		if ended {
			p.file.data = data.Bytes()
			return bytes.NewReader(p.file.data), int64(data.Len()), nil
		}
	}
}

func (p *part) damaged(err error) *Error {
	e := &Error{Table: p.src.Name, Problem: "is damaged Parquet", Err: err, Hint: "write or copy the file again"}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		e.Problem, e.Err, e.kind = "is truncated Parquet", nil, io.ErrUnexpectedEOF
	}
	return e
}

// openParquet checks the file's metadata and reads it.
func (p *part) openParquet(r io.ReaderAt, size int64) (file *parquet.File, err error) {
	defer func() {
		if v := recover(); v != nil {
			file, err = nil, p.damaged(fmt.Errorf("%v", v))
		}
	}()
	var tail [8]byte
	if size < 12 {
		return nil, p.damaged(io.ErrUnexpectedEOF)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, p.damaged(err)
	}
	if string(tail[4:]) == "PARE" {
		return nil, &Error{Table: p.src.Name, Problem: "is encrypted Parquet, which is not supported", Hint: "write it without Parquet's own encryption"}
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if string(tail[4:]) != "PAR1" || length > size-12 || length > footerLimit {
		return nil, p.damaged(errNoFooter)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil {
		return nil, p.damaged(err)
	}
	if err := checkFooter(footer); err != nil {
		return nil, p.damaged(err)
	}
	file, err = parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, p.damaged(err)
	}
	return file, nil
}

func (t *Table) inspectParquet(ctx context.Context, s *stream, p *part) (err error) {
	p.file = &parquetTable{}
	defer func() {
		if v := recover(); v != nil {
			err = p.damaged(fmt.Errorf("%v", v))
		}
	}()
	r, size, err := t.parquetSource(ctx, s, p)
	if err != nil {
		return err
	}
	if p.src.Size == 0 {
		p.src.Size = size
		t.src.Size += size
	}
	defer func() { _ = s.Close() }()
	file, err := p.openParquet(r, size)
	if err != nil {
		return err
	}
	columns := file.Root().Columns()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name()
	}
	if len(t.parts) > 0 {
		if err := t.sameNames(p, 0, names); err != nil {
			return err
		}
	} else {
		noLabel := t.opt.NoLabel || t.opt.LabelOptional && t.opt.Features == len(columns)
		if t.layout, err = resolve(p.src.Name, names, len(columns), noLabel, &t.opt); err != nil {
			return err
		}
	}
	elements := topElements(file.Metadata().Schema)
	if len(elements) != len(columns) {
		return p.damaged(errThrift)
	}
	for i, c := range columns {
		col := parquetColumn{slot: t.layout.slots[i], feature: i}
		if l := t.layout.label; l >= 0 && i > l {
			col.feature--
		}
		if col.slot != slotIgnore {
			col.refused = p.describe(&col, c, elements[i])
		}
		p.file.columns = append(p.file.columns, col)
	}
	p.file.groups, err = p.parquetGroups(file)
	return err
}

// topElements finds the columns of the first level in a schema, which lists the
// nodes of a tree depth first.
func topElements(schema []format.SchemaElement) []*format.SchemaElement {
	var top []*format.SchemaElement
	inside := int64(0) // nodes to come that belong to a column seen
	for i := 1; i < len(schema); i++ {
		if inside == 0 {
			top = append(top, &schema[i])
		} else {
			inside--
		}
		inside += int64(schema[i].NumChildren.V)
	}
	return top
}

// parquetGroups checks the declared numbers of rows and returns them.
func (p *part) parquetGroups(file *parquet.File) ([]int64, error) {
	var groups []int64
	total := int64(0)
	for _, g := range file.Metadata().RowGroups {
		if g.NumRows < 0 || g.NumRows > math.MaxInt64-total {
			return nil, p.damaged(fmt.Errorf("a row group has %d rows", g.NumRows))
		}
		total += g.NumRows
		groups = append(groups, g.NumRows)
	}
	if total != file.NumRows() {
		return nil, p.damaged(fmt.Errorf("it declares %d rows, but its row groups have %d", file.NumRows(), total))
	}
	if total == 0 {
		return nil, p.empty(nil)
	}
	return groups, nil
}

// describe finds out how a column's values become numbers.
func (p *part) describe(col *parquetColumn, c *parquet.Column, element *format.SchemaElement) error {
	refuse := func(what string) error {
		return &Error{
			Table: p.src.Name, Name: c.Name(), Problem: "holds " + what + ", not numbers",
			Hint: "convert the column to numbers or name it in ignore_column",
		}
	}
	if !c.Leaf() || c.Repeated() {
		return refuse("nested values")
	}
	col.leaf = c.Index()
	kind := c.Type().Kind()
	logical := any(element.LogicalType.Value)
	if lt := c.Type().LogicalType(); lt != nil {
		logical = lt.Value
	}
	switch l := logical.(type) {
	case nil:
		switch kind {
		case parquet.Boolean, parquet.Int32, parquet.Int64, parquet.Float, parquet.Double:
			return nil
		case parquet.Int96:
			return refuse("timestamps")
		default:
			return refuse("bytes")
		}
	case *format.IntType:
		col.unsigned = !l.IsSigned
		return nil
	case *format.DecimalType:
		if l.Scale < 0 || l.Scale > 1000 || l.Precision > 1000 {
			return p.damaged(fmt.Errorf("the decimals of column %s have scale %d", shorten(c.Name()), l.Scale))
		}
		col.decimal, col.scale = true, int(l.Scale)
		return nil
	case *format.Float16Type:
		col.half = true
		return nil
	case *format.NullType: // a column without values
		return nil
	case *format.StringType, *format.EnumType, *format.JsonType, *format.BsonType:
		return refuse("text")
	case *format.DateType, *format.TimeType, *format.TimestampType:
		return refuse("dates or times")
	default:
		return refuse(fmt.Sprint(logical))
	}
}
