package read

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// File is the table in a file. A path that is no regular file (a pipe) can be
// read once.
func File(path string) Source {
	src := Source{Name: path, Open: func(context.Context) (io.ReadCloser, error) {
		return os.Open(path)
	}}
	if info, err := os.Stat(path); err == nil {
		if info.Mode().IsRegular() {
			src.Size = info.Size()
		} else {
			src.Once = !info.IsDir()
		}
	}
	return src
}

// Stdin is the table that r (os.Stdin) gives, which can be read once. r is not
// closed.
func Stdin(r io.Reader) Source {
	return Source{Name: "standard input", Once: true, Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(r), nil
	}}
}

// Bytes is a table in memory.
func Bytes(name string, data []byte) Source {
	return Source{Name: name, Size: int64(len(data)), Open: func(context.Context) (io.ReadCloser, error) {
		return memory{bytes.NewReader(data)}, nil
	}}
}

type memory struct{ *bytes.Reader }

// Close does nothing: there is nothing to give back.
func (memory) Close() error { return nil }

// zstdWindow bounds the memory that a zstd frame may ask for.
const zstdWindow = 256 << 20

// stream is one opening of a source, decompressed.
type stream struct {
	name  string
	r     io.Reader
	ahead []byte // what was peeked at and not yet read
	raw   io.Closer
	inner func()
	read  atomic.Int64  // bytes taken from the source
	plain io.ReadCloser // the source's own stream where it is not compressed
}

// peek gives the next n bytes, fewer at the end, without taking them.
func (s *stream) peek(n int) ([]byte, error) {
	if have := len(s.ahead); have < n {
		s.ahead = append(s.ahead, make([]byte, n-have)...)
		got, err := readFull(s.r, s.ahead[have:])
		s.ahead = s.ahead[:have+got]
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	return s.ahead[:min(n, len(s.ahead))], nil
}

// readFull fills p; it returns io.EOF where the stream ends before. Unlike
// io.ReadFull it does not mix up that end with a truncated compressed stream.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var got int
		got, err = r.Read(p[n:])
		n += got
	}
	if n == len(p) {
		err = nil
	}
	return n, err
}

// Read takes what was peeked at first.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.ahead) > 0 {
		n := copy(p, s.ahead)
		if s.ahead = s.ahead[n:]; len(s.ahead) == 0 {
			s.ahead = nil
		}
		return n, nil
	}
	return s.r.Read(p)
}

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// openStream opens the source and looks through its compression.
func openStream(ctx context.Context, src Source) (*stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rc, err := src.Open(ctx)
	if err != nil {
		return nil, openError(src, err)
	}
	s := &stream{name: src.Name, raw: rc}
	in := bufio.NewReaderSize(countingReader{rc, &s.read}, 64<<10)
	magic, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		_ = rc.Close()
		return nil, s.fault(err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		s.inner = func() {}
		z, err := gzip.NewReader(in)
		if err != nil {
			_ = rc.Close()
			return nil, s.fault(err)
		}
		s.inner = func() { _ = z.Close() }
		s.r = z
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			_ = rc.Close()
			return nil, s.fault(err)
		}
		s.inner = z.Close
		s.r = z
	default:
		if what := foreign(magic); what != "" {
			_ = rc.Close()
			return nil, &Error{
				Table: src.Name, Problem: "is " + what + ", which is not supported",
				Hint: "give CSV, TSV, LibSVM or Parquet, plain or compressed by gzip or zstd",
			}
		}
		s.r = in
		s.plain = rc
	}
	return s, nil
}

func openError(src Source, err error) error {
	e := &Error{Table: src.Name, Problem: "cannot open", Err: err}
	var pe *os.PathError
	if errors.As(err, &pe) {
		e.Err = pe.Err
	}
	if errors.Is(err, os.ErrNotExist) {
		e.Hint = "check the path; it is relative to the working directory"
	}
	return e
}

// foreign names the kind of file that the first bytes announce, where it is
// one that people confuse with a table.
func foreign(magic []byte) string {
	for _, k := range []struct{ magic, what string }{
		{"BZh", "a bzip2 file"},
		{"\xfd7zXZ", "an xz file"},
		{"PK\x03\x04", "a zip file (or a spreadsheet)"},
		{"\x89HDF", "an HDF5 file"},
		{"ARROW1", "an Arrow file"},
		{"\xff\xfe", "UTF-16 text"},
		{"\xfe\xff", "UTF-16 text"},
	} {
		if bytes.HasPrefix(magic, []byte(k.magic)) {
			return k.what
		}
	}
	return ""
}

// fault wraps an error of reading or decompressing.
func (s *stream) fault(err error) *Error {
	e := &Error{Table: s.name, Problem: "cannot read", Err: err}
	var pe *os.PathError
	if errors.As(err, &pe) {
		e.Err = pe.Err
	}
	switch {
	case errors.Is(err, syscall.EISDIR):
		e.Problem, e.Err, e.kind = "is a directory", nil, syscall.EISDIR
		e.Hint = "name a file in it"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Problem, e.Err, e.kind = "is truncated", nil, io.ErrUnexpectedEOF
		e.Hint = "copy or compress the file again"
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		e.Hint = fmt.Sprintf("compress it with a window of at most %d MiB", zstdWindow>>20)
	case s.inner != nil:
		e.Problem = "cannot decompress"
		e.Hint = "the file may be damaged: copy or compress it again"
	}
	return e
}

// Close ends the stream.
func (s *stream) Close() error {
	if s.inner != nil {
		s.inner()
	}
	return s.raw.Close()
}
