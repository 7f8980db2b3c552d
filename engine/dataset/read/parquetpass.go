package read

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/parquet-go/parquet-go"
)

// parquetPass reads all row groups of all parts, each by one goroutine.
type parquetPass struct {
	t     *Table
	rows  int // of a batch
	files []parquetFile
	tasks []groupTask
	total int // rows
	fn    func(*Batch) error

	mu   sync.Mutex
	done int // rows
}

// groupTask is a row group: its place in its file, and the rows of the table and
// the batches before it.
type groupTask struct{ part, group, first, seq int }

// parquetFile is a part during a pass: open from its first row group to its
// last.
type parquetFile struct {
	*part
	t     *Table
	first int // rows of the table before it

	mu   sync.Mutex
	left int // row groups to come
	s    *stream
	r    io.ReaderAt
	size int64
	file *parquet.File
}

// parquetRows runs a pass.
func (t *Table) parquetRows(ctx context.Context, fn func(*Batch) error, failed func(seq int)) error {
	for i := range t.parts {
		for _, col := range t.parts[i].file.columns {
			if col.slot != slotIgnore && col.refused != nil {
				return col.refused
			}
		}
	}
	p := t.newParquetPass(fn)
	defer p.close()
	if err := runTasks(ctx, t.opt.Threads, len(p.tasks), failed, func(i int, live func() bool) error {
		seq, err := p.group(ctx, p.tasks[i], live)
		if err != nil {
			failed(seq)
		}
		return err
	}); err != nil {
		return err
	}
	rows := make([]int, len(p.files))
	for i := range p.files {
		for _, n := range p.files[i].part.file.groups {
			rows[i] += int(n)
		}
	}
	return t.ended(rows)
}

func (t *Table) newParquetPass(fn func(*Batch) error) *parquetPass {
	p := &parquetPass{t: t, rows: max(16, min(8192, parquetBatch/len(t.layout.slots))), fn: fn}
	p.files = make([]parquetFile, len(t.parts))
	seq := 0
	for i := range t.parts {
		f := &p.files[i]
		f.part, f.t, f.first, f.left = &t.parts[i], t, p.total, len(t.parts[i].file.groups)
		for g, n := range f.part.file.groups {
			p.tasks = append(p.tasks, groupTask{part: i, group: g, first: p.total, seq: seq})
			p.total += int(n)
			seq += (int(n) + p.rows - 1) / p.rows
		}
	}
	return p
}

// close ends what a failure left open.
func (p *parquetPass) close() {
	for i := range p.files {
		p.files[i].close()
	}
}

func (f *parquetFile) close() {
	if f.s != nil {
		_ = f.s.Close()
	}
	f.s, f.r, f.file = nil, nil, nil
}

// acquire opens the file unless it is open already.
func (f *parquetFile) acquire(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		return nil
	}
	err := f.open(ctx)
	if err != nil {
		f.close()
	}
	return err
}

func (f *parquetFile) open(ctx context.Context) error {
	if f.part.file.data == nil {
		s, err := openStream(ctx, f.src)
		if err != nil {
			return err
		}
		f.s = s
	}
	var err error
	if f.r, f.size, err = f.t.parquetSource(ctx, f.s, f.part); err != nil {
		return err
	}
	file, err := f.openParquet(f.r, f.size)
	if err != nil {
		return err
	}
	groups, err := f.parquetGroups(file)
	if err != nil {
		return err
	}
	if !slices.Equal(groups, f.part.file.groups) {
		return &Error{Table: f.src.Name, Problem: "changed while it was read", Hint: "run again when nothing writes to it"}
	}
	f.file = file
	return nil
}

// release counts a row group as done.
func (f *parquetFile) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left == 0 {
		f.close()
	}
}

// group reads one row group, batch by batch, and returns the Seq it came to.
func (p *parquetPass) group(ctx context.Context, g groupTask, live func() bool) (seq int, err error) {
	seq = g.seq
	f := &p.files[g.part]
	if err := f.acquire(ctx); err != nil {
		return seq, err
	}
	defer f.release()
	readers, rows, err := f.openGroup(g.group)
	if err != nil {
		return seq, f.damaged(fmt.Errorf("row group %d: %w", g.group, err))
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
		b.Seq, b.First, b.Rows = seq, g.first+at, min(p.rows, rows-at)
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
		if err := f.batch(b, readers); err != nil {
			return seq, err
		}
		if err := p.fn(b); err != nil {
			return seq, f.located(err)
		}
		p.progress(b.Rows, f)
		seq++
	}
	return seq, nil
}

// located gives a fault in a row of the table the row of the file.
func (f *parquetFile) located(err error) error {
	var fault *RowError
	if !errors.As(err, &fault) {
		return err
	}
	located := fault.Located()
	located.Table = f.src.Name
	located.Row -= f.first
	return located
}

// openGroup checks a row group and opens its columns.
func (f *parquetFile) openGroup(i int) (readers []*chunkReader, rows int, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	meta := &f.file.Metadata().RowGroups[i]
	if err := f.checkPages(meta); err != nil {
		return nil, 0, err
	}
	chunks := f.file.RowGroups()[i].ColumnChunks()
	readers = make([]*chunkReader, len(f.part.file.columns))
	for c, col := range f.part.file.columns {
		if col.slot != slotIgnore {
			readers[c] = &chunkReader{pages: chunks[col.leaf].Pages(), buf: make([]parquet.Value, 512)}
		}
	}
	return readers, int(meta.NumRows), nil
}

func (p *parquetPass) progress(rows int, f *parquetFile) {
	if p.t.opt.Progress == nil {
		return
	}
	size := p.t.src.Size
	if len(p.files) == 1 {
		size = f.size
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += rows
	share := float64(p.done) / float64(p.total)
	p.t.opt.Progress(int64(share*float64(size)), size)
}

// batch fills a batch, column by column. Of several faults it reports the one
// in the first row.
func (f *parquetFile) batch(b *Batch, readers []*chunkReader) (err error) {
	// The library has assembly; a fault in it is to be an error as well.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = f.damaged(fmt.Errorf("%v", v))
		}
	}()
	var fault *Error
	for c := range f.part.file.columns {
		col := &f.part.file.columns[c]
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
				return f.damaged(fmt.Errorf("column %s: %w", shorten(f.t.layout.name(c)), err))
			}
			x, ok := col.number(v)
			if !ok {
				return f.damaged(fmt.Errorf("column %s has values of another type", shorten(f.t.layout.name(c))))
			}
			if problem, hint := col.store(b, i, x, f.t.opt.CheckLabel); problem != "" {
				if row := b.First - f.first + i + 1; fault == nil || row < fault.Row {
					fault = &Error{
						Table: f.src.Name, Row: row, Name: f.t.layout.name(c), Problem: problem, Hint: hint,
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
