package read

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"sync"

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

// parquetTable is the part of a table that Parquet needs.
type parquetTable struct {
	data    []byte // the file, where its source cannot seek
	columns []parquetColumn
	groups  []int64 // rows of each row group
}

func (f *parquetTable) close() { f.data = nil }

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

// parquetSource opens the file for a pass.
func (t *Table) parquetSource(ctx context.Context, s *stream) (io.ReaderAt, int64, error) {
	if t.file.data != nil {
		return bytes.NewReader(t.file.data), int64(len(t.file.data)), nil
	}
	if at, ok := s.plain.(seekable); ok {
		if size, err := at.Seek(0, io.SeekEnd); err == nil {
			return at, size, nil
		}
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
		if int64(data.Len()) > t.opt.MaxSpool {
			return nil, 0, &Error{
				Table:   t.src.Name,
				Problem: fmt.Sprintf("is a Parquet file of more than %d bytes that cannot be read at any place", t.opt.MaxSpool),
				Hint:    "give it as a plain file: Parquet is compressed already",
			}
		}
		if ended {
			t.file.data = data.Bytes()
			return bytes.NewReader(t.file.data), int64(data.Len()), nil
		}
	}
}

func (t *Table) damaged(err error) *Error {
	e := &Error{Table: t.src.Name, Problem: "is damaged Parquet", Err: err, Hint: "write or copy the file again"}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		e.Problem, e.Err, e.kind = "is truncated Parquet", nil, io.ErrUnexpectedEOF
	}
	return e
}

// openParquet checks the file's metadata and reads it.
func (t *Table) openParquet(r io.ReaderAt, size int64) (file *parquet.File, err error) {
	defer func() {
		if v := recover(); v != nil {
			file, err = nil, t.damaged(fmt.Errorf("%v", v))
		}
	}()
	var tail [8]byte
	if size < 12 {
		return nil, t.damaged(io.ErrUnexpectedEOF)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, t.damaged(err)
	}
	if string(tail[4:]) == "PARE" {
		return nil, &Error{Table: t.src.Name, Problem: "is encrypted Parquet, which is not supported", Hint: "write it without Parquet's own encryption"}
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	if string(tail[4:]) != "PAR1" || length > size-12 || length > footerLimit {
		return nil, t.damaged(errNoFooter)
	}
	footer := make([]byte, length)
	if _, err := r.ReadAt(footer, size-8-length); err != nil {
		return nil, t.damaged(err)
	}
	if err := checkFooter(footer); err != nil {
		return nil, t.damaged(err)
	}
	file, err = parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, t.damaged(err)
	}
	return file, nil
}

func (t *Table) inspectParquet(ctx context.Context, s *stream) (err error) {
	t.file = &parquetTable{}
	defer func() {
		if v := recover(); v != nil {
			err = t.damaged(fmt.Errorf("%v", v))
		}
	}()
	r, size, err := t.parquetSource(ctx, s)
	if err != nil {
		return err
	}
	if t.src.Size == 0 {
		t.src.Size = size
	}
	defer func() { _ = s.Close() }()
	file, err := t.openParquet(r, size)
	if err != nil {
		return err
	}
	columns := file.Root().Columns()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name()
	}
	noLabel := t.opt.NoLabel || t.opt.LabelOptional && t.opt.Features == len(columns)
	if t.layout, err = resolve(t.src.Name, names, len(columns), noLabel, &t.opt); err != nil {
		return err
	}
	elements := topElements(file.Metadata().Schema)
	if len(elements) != len(columns) {
		return t.damaged(errThrift)
	}
	for i, c := range columns {
		p := parquetColumn{slot: t.layout.slots[i], feature: i}
		if l := t.layout.label; l >= 0 && i > l {
			p.feature--
		}
		if p.slot != slotIgnore {
			p.refused = t.describe(&p, c, elements[i])
		}
		t.file.columns = append(t.file.columns, p)
	}
	return t.parquetGroups(file)
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

// parquetGroups notes and checks the declared numbers of rows.
func (t *Table) parquetGroups(file *parquet.File) error {
	t.file.groups = t.file.groups[:0]
	total := int64(0)
	for _, g := range file.Metadata().RowGroups {
		if g.NumRows < 0 || g.NumRows > math.MaxInt64-total {
			return t.damaged(fmt.Errorf("a row group has %d rows", g.NumRows))
		}
		total += g.NumRows
		t.file.groups = append(t.file.groups, g.NumRows)
	}
	if total != file.NumRows() {
		return t.damaged(fmt.Errorf("it declares %d rows, but its row groups have %d", file.NumRows(), total))
	}
	if total == 0 {
		return t.empty(nil)
	}
	return nil
}

// describe finds out how a column's values become numbers.
func (t *Table) describe(p *parquetColumn, c *parquet.Column, element *format.SchemaElement) error {
	refuse := func(what string) error {
		return &Error{
			Table: t.src.Name, Name: c.Name(), Problem: "holds " + what + ", not numbers",
			Hint: "convert the column to numbers or name it in ignore_column",
		}
	}
	if !c.Leaf() || c.Repeated() {
		return refuse("nested values")
	}
	p.leaf = c.Index()
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
		p.unsigned = !l.IsSigned
		return nil
	case *format.DecimalType:
		if l.Scale < 0 || l.Scale > 1000 || l.Precision > 1000 {
			return t.damaged(fmt.Errorf("the decimals of column %s have scale %d", shorten(c.Name()), l.Scale))
		}
		p.decimal, p.scale = true, int(l.Scale)
		return nil
	case *format.Float16Type:
		p.half = true
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

// parquetRows runs a pass.
func (t *Table) parquetRows(ctx context.Context, fn func(*Batch) error, failed func(seq int)) error {
	for _, col := range t.file.columns {
		if col.slot != slotIgnore && col.refused != nil {
			return col.refused
		}
	}
	var s *stream
	if t.file.data == nil {
		var err error
		if s, err = openStream(ctx, t.src); err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
	}
	r, size, err := t.parquetSource(ctx, s)
	if err != nil {
		return err
	}
	file, err := t.openParquet(r, size)
	if err != nil {
		return err
	}
	if err := t.parquetGroups(file); err != nil {
		return err
	}
	perBatch := max(16, min(8192, parquetBatch/len(t.file.columns)))
	p := &parquetPass{t: t, r: r, size: size, file: file, rows: perBatch, fn: fn}
	first, seq := 0, 0
	for _, n := range t.file.groups {
		p.starts = append(p.starts, groupStart{first: first, seq: seq})
		first += int(n)
		seq += (int(n) + perBatch - 1) / perBatch
	}
	p.total = first
	if err := runTasks(ctx, t.opt.Threads, len(p.starts), failed, func(i int, live func() bool) error {
		seq, err := p.group(ctx, i, live)
		if err != nil {
			failed(seq)
		}
		return err
	}); err != nil {
		return err
	}
	return t.ended(p.total)
}

type groupStart struct{ first, seq int }

// parquetPass reads all row groups, each by one goroutine.
type parquetPass struct {
	t      *Table
	r      io.ReaderAt
	size   int64
	file   *parquet.File
	rows   int // of a batch
	starts []groupStart
	total  int
	fn     func(*Batch) error

	mu   sync.Mutex
	done int // rows
}

// group reads one row group, batch by batch, and returns the Seq it came to.
func (p *parquetPass) group(ctx context.Context, i int, live func() bool) (seq int, err error) {
	seq = p.starts[i].seq
	readers, rows, err := p.openGroup(i)
	if err != nil {
		return seq, p.t.damaged(fmt.Errorf("row group %d: %w", i, err))
	}
	defer func() {
		for _, r := range readers {
			r.close()
		}
	}()
	l := p.t.layout
	b := &Batch{Features: l.features}
	for at := 0; at < rows; at += b.Rows {
		if ctx.Err() != nil || !live() {
			return seq, context.Cause(ctx)
		}
		b.Seq, b.First, b.Rows = seq, p.starts[i].first+at, min(p.rows, rows-at)
		b.Values = resize(b.Values, b.Rows*b.Features)
		if l.label >= 0 {
			b.Label = resize(b.Label, b.Rows)
		}
		if l.weight >= 0 {
			b.Weight = resize(b.Weight, b.Rows)
		}
		if l.group >= 0 {
			b.Group = resize(b.Group, b.Rows)
		}
		if err := p.batch(b, readers); err != nil {
			return seq, err
		}
		if err := p.fn(b); err != nil {
			return seq, err
		}
		p.progress(b.Rows)
		seq++
	}
	return seq, nil
}

// openGroup checks a row group and opens its columns.
func (p *parquetPass) openGroup(i int) (readers []*chunkReader, rows int, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	meta := &p.file.Metadata().RowGroups[i]
	if err := p.checkPages(meta); err != nil {
		return nil, 0, err
	}
	chunks := p.file.RowGroups()[i].ColumnChunks()
	readers = make([]*chunkReader, len(p.t.file.columns))
	for c, col := range p.t.file.columns {
		if col.slot != slotIgnore {
			readers[c] = &chunkReader{pages: chunks[col.leaf].Pages(), buf: make([]parquet.Value, 512)}
		}
	}
	return readers, int(meta.NumRows), nil
}

func (p *parquetPass) progress(rows int) {
	if p.t.opt.Progress == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += rows
	share := float64(p.done) / float64(p.total)
	p.t.opt.Progress(int64(share*float64(p.size)), p.size)
}

// batch fills a batch, column by column. Of several faults it reports the one
// in the first row.
func (p *parquetPass) batch(b *Batch, readers []*chunkReader) (err error) {
	// The library has assembly; a fault in it is to be an error as well.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = p.t.damaged(fmt.Errorf("%v", v))
		}
	}()
	var fault *Error
	for c := range p.t.file.columns {
		col := &p.t.file.columns[c]
		if col.slot < 0 && col.slot != slotLabel {
			for i := range b.Rows {
				b.Values[i*b.Features+col.feature] = 0
			}
			if col.slot == slotIgnore {
				continue
			}
		}
		for i := range b.Rows {
			v, err := readers[c].next()
			if err != nil {
				return p.t.damaged(fmt.Errorf("column %s: %w", shorten(p.t.layout.name(c)), err))
			}
			x, ok := col.number(v)
			if !ok {
				return p.t.damaged(fmt.Errorf("column %s has values of another type", shorten(p.t.layout.name(c))))
			}
			if problem, hint := col.store(b, i, x, p.t.opt.CheckLabel); problem != "" {
				if row := b.First + i + 1; fault == nil || row < fault.Row {
					fault = &Error{
						Table: p.t.src.Name, Row: row, Name: p.t.layout.name(c), Problem: problem, Hint: hint,
					}
				}
			}
		}
	}
	if fault != nil {
		return fault
	}
	return nil
}
