package read

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"cloister/engine/parallel"
)

// blockSize is the number of text bytes that one goroutine parses at a time.
const blockSize = 1 << 20

// position counts what lies before a block: rows of the table, and lines of the
// file. first is the number of the table's rows before that file.
type position struct{ rows, lines, part, first int }

// block is a run of whole lines, or, with err, the place where reading failed.
type block struct {
	seq  int
	part int
	buf  []byte // the text is buf[:n]; padding bytes follow
	n    int
	err  *Error
	line int // with err: the lines between the block's start and the fault, or -1
	// before tells the position of the block's start, after its end: workers
	// learn in order where they are, while they parse out of order.
	before, after chan position
}

// worker parses blocks. A pass has one for each goroutine.
type worker interface {
	// count looks at a block's text and returns its rows.
	count(text []byte, n int) (rows int, err *lineError)
	// emit uses the rows, now that their place is known; n is as in count.
	emit(seq int, at position, text []byte, n int) (err *lineError)
}

// lineError is a fault at a byte of a block's text.
type lineError struct {
	at  int
	err *Error
	// headerHint: the line would be a header, were it the table's first.
	headerHint bool
	// raw is an error that is not about a line: the caller's.
	raw error
}

// pass is one reading of a text by several goroutines.
type pass struct {
	t       *Table
	ctx     context.Context
	free    chan []byte
	blocks  chan *block
	failSeq atomic.Int64
	failed  func(seq int) // told of every failure

	stop   chan struct{} // closed at the first failure
	cancel func()        // ends all that waits, at a panic

	mu  sync.Mutex
	err error // of block failSeq

	end    position // behind the last block
	firsts []int    // rows before each part, or -1 for a part without blocks
}

const noFailure = int64(1) << 62

// run reads the stream and returns the position of its end. It closes the
// stream. The error is the one that comes first in the table.
func (p *pass) run(s *stream, workers []worker) error {
	p.free = make(chan []byte, len(workers)+2)
	for range cap(p.free) {
		p.free <- nil
	}
	p.blocks = make(chan *block)
	p.stop = make(chan struct{})
	p.failSeq.Store(noFailure)
	p.firsts = slices.Repeat([]int{-1}, len(p.t.parts))
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	p.cancel = cancel
	last := make(chan (chan position), 1)
	go p.split(ctx, s, last)
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { p.work(ctx, w) })
	}
	wg.Wait()
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	if err != nil {
		parallel.Raise(err)
		return err
	}
	if err := p.ctx.Err(); err != nil {
		return context.Cause(p.ctx)
	}
	p.end = <-<-last
	return nil
}

// fail notes an error of a block; the one of the first block stays.
func (p *pass) fail(seq int, err error) {
	p.mu.Lock()
	if p.err == nil {
		close(p.stop)
	}
	if int64(seq) < p.failSeq.Load() {
		p.failSeq.Store(int64(seq))
		p.err = err
	}
	p.mu.Unlock()
	p.failed(seq)
}

// panicked comes before every block: a bug is told whatever the table's faults.
const panicked = -1

// caught runs f and makes a panic the failure of the pass.
func (p *pass) caught(f func()) {
	err := parallel.Catch(func() error {
		f()
		return nil
	})
	if err != nil {
		p.fail(panicked, err)
		p.cancel()
	}
}

func (p *pass) work(ctx context.Context, w worker) {
	for {
		var b *block
		var ok bool
		select {
		case b, ok = <-p.blocks:
		case <-p.stop:
			return // whoever has an earlier block goes on with it
		case <-ctx.Done():
			return
		}
		if !ok {
			return
		}
		p.caught(func() { p.block(ctx, w, b) })
	}
}

// block lets a worker parse one block and tells the next block where it is.
func (p *pass) block(ctx context.Context, w worker, b *block) {
	if b.err == nil {
		defer func() { p.free <- b.buf }()
	}
	skip := ctx.Err() != nil || int64(b.seq) > p.failSeq.Load()
	var rows, lines int
	var fault *lineError
	if b.err == nil && !skip {
		rows, fault = w.count(b.buf, b.n)
		lines = bytes.Count(b.buf[:b.n], []byte{'\n'})
	}
	var at position
	select {
	case at = <-b.before:
	case <-ctx.Done():
		return
	}
	if b.part != at.part {
		at = position{rows: at.rows, lines: p.t.parts[b.part].lines, part: b.part, first: at.rows}
	}
	p.firsts[b.part] = at.first // the position's owner is alone here
	b.after <- position{rows: at.rows + rows, lines: at.lines + lines, part: at.part, first: at.first}
	if skip || int64(b.seq) > p.failSeq.Load() {
		return
	}
	if b.err != nil {
		if b.line >= 0 {
			b.err.Line = at.lines + b.line + 1
		}
		p.fail(b.seq, b.err)
		return
	}
	if fault == nil {
		fault = w.emit(b.seq, at, b.buf, b.n)
	}
	if fault != nil {
		p.fail(b.seq, fault.place(p.t, at, b.buf))
	}
}

// place turns a fault at a byte into an error at a line.
func (e *lineError) place(t *Table, at position, text []byte) error {
	if e.raw != nil {
		return e.raw
	}
	e.err.Table = t.parts[at.part].src.Name
	e.err.Line = at.lines + bytes.Count(text[:e.at], []byte{'\n'}) + 1
	if e.headerHint && at.rows == at.first {
		e.err.Hint = "if the first line holds the columns' names, set header=true; " + e.err.Hint
	}
	return e.err
}

// split cuts the table's streams into blocks and closes them; s is the first.
func (p *pass) split(ctx context.Context, s *stream, last chan<- chan position) {
	defer close(p.blocks)
	p.caught(func() { p.cut(ctx, s, last) })
}

func (p *pass) cut(ctx context.Context, s *stream, last chan<- chan position) {
	before := make(chan position, 1)
	before <- position{lines: p.t.parts[0].lines}
	seq := 0
	send := func(b *block) bool {
		b.seq, b.before, b.after = seq, before, make(chan position, 1)
		before = b.after
		seq++
		select {
		case p.blocks <- b:
			return true
		case <-ctx.Done():
			return false
		}
	}
	defer func() { last <- before }()
	done := int64(0)
	for k := range p.t.parts {
		part := &p.t.parts[k]
		if k > 0 {
			var err error
			if s, err = openStream(ctx, part.src); err != nil {
				if fault := (*Error)(nil); errors.As(err, &fault) {
					send(&block{part: k, err: fault, line: -1})
				}
				return
			}
		}
		if !p.cutPart(ctx, s, k, done, send) {
			return
		}
		done += part.src.Size
	}
}

// cutPart cuts one stream into blocks, closes it and says whether to go on; done
// is the length of the streams before.
func (p *pass) cutPart(ctx context.Context, s *stream, k int, done int64, send func(*block) bool) bool {
	defer func() { _ = s.Close() }()
	part := &p.t.parts[k]
	if _, err := io.CopyN(io.Discard, s, int64(part.start)); err != nil {
		send(&block{part: k, err: s.fault(err), line: -1})
		return false
	}
	var carry []byte
	for {
		if p.failSeq.Load() != noFailure {
			return false
		}
		var buf []byte
		select {
		case buf = <-p.free:
		case <-ctx.Done():
			return false
		}
		buf, n, next, fault := p.fill(s, part.src.Size, buf, carry)
		if fault != nil {
			fault.part = k
			send(fault)
			return false
		}
		carry = next
		switch {
		case n == 0:
			p.free <- buf
		case !send(&block{part: k, buf: buf, n: n}):
			return false
		}
		if p.t.opt.Progress != nil && ctx.Err() == nil {
			p.t.opt.Progress(done+s.read.Load(), p.t.src.Size)
		}
		if next == nil {
			return true
		}
	}
}

// fill reads a block of a stream of so many bytes (0: not known) behind carry, the
// start of a line. next is the start of
// the line that is not complete yet, nil at the end of the stream.
func (p *pass) fill(s *stream, total int64, buf, carry []byte) (_ []byte, n int, next []byte, fault *block) {
	size := blockSize
	if total > 0 && total < blockSize && s.plain != nil {
		size = int(total) + 1 // a small file needs no large buffer
	}
	for {
		// How much is read depends on the text alone, not on which buffer is
		// free, so that a table always falls into the same batches.
		limit := max(size, 2*len(carry))
		if len(buf) < limit+padding+1 {
			grown := make([]byte, limit+padding+1)
			copy(grown, buf[:n])
			buf = grown
		}
		if n == 0 {
			n = copy(buf, carry)
		}
		got, err := readFull(s, buf[n:limit])
		n += got
		switch {
		case errors.Is(err, io.EOF):
			if n > 0 && buf[n-1] != '\n' {
				buf[n] = '\n'
				n++
			}
			clear(buf[n : n+padding])
			return buf, n, nil, nil
		case err != nil:
			return nil, 0, nil, &block{err: s.fault(err), line: -1}
		}
		if end := bytes.LastIndexByte(buf[:n], '\n') + 1; end > 0 {
			next = append(make([]byte, 0, max(n-end, 1)), buf[end:n]...)
			clear(buf[end : end+padding])
			return buf, end, next, nil
		}
		if n > p.t.opt.MaxLine {
			return nil, 0, nil, &block{err: longLine(s.name, 0, p.t.opt.MaxLine), line: 0}
		}
		size = 2 * n
	}
}
