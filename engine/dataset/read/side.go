package read

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Scores is a side file of numbers.
type Scores struct {
	// Rows and Columns give the shape.
	Rows, Columns int
	// Values are Rows × Columns, row after row.
	Values []float64
}

// Weights reads a .weight file: one finite weight ≥ 0 a line.
func Weights(ctx context.Context, src Source) ([]float32, error) {
	var weights []float32
	err := sideLines(ctx, src, func(line []byte) *Error {
		v, e := sideNumber(line)
		if e != nil {
			return e
		}
		if problem, hint := checkWeight(v); problem != "" {
			return &Error{Problem: problem, Hint: hint}
		}
		weights = append(weights, float32(v))
		return nil
	})
	return weights, err
}

// Floats reads an .init file: the same number of finite scores on every line,
// one for each class, separated by tabs.
func Floats(ctx context.Context, src Source) (*Scores, error) {
	s := &Scores{}
	err := sideLines(ctx, src, func(line []byte) *Error {
		n := bytes.Count(line, []byte{'\t'}) + 1
		if s.Rows == 0 {
			s.Columns = n
		}
		if n != s.Columns {
			return &Error{
				Problem: fmt.Sprintf("the line has %d scores, but the first has %d", n, s.Columns),
				Hint:    "give one score for each class, separated by tabs",
			}
		}
		s.Rows++
		for field := range bytes.SplitSeq(line, []byte{'\t'}) {
			v, e := sideNumber(bytes.Trim(field, " "))
			if e != nil {
				return e
			}
			s.Values = append(s.Values, v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Counts reads a .query file: the number of rows of each query, one a line.
func Counts(ctx context.Context, src Source) ([]int, error) {
	var counts []int
	total := 0
	err := sideLines(ctx, src, func(line []byte) *Error {
		n, err := strconv.ParseUint(string(line[:min(len(line), 40)]), 10, 31)
		if err != nil {
			return &Error{Problem: quote(line) + " is not a number of rows", Hint: "write the number of rows of one query on each line"}
		}
		if total += int(n); total > math.MaxInt32 {
			return &Error{Problem: fmt.Sprintf("the queries have more than %d rows", math.MaxInt32), Hint: "write the number of rows of one query on each line"}
		}
		counts = append(counts, int(n))
		return nil
	})
	return counts, err
}

// wordLength bounds the names in a .position file: a longer line is of another
// file.
const wordLength = 256

// Words reads a .position file: a name a line. It returns the number of each
// line's name and, in the order of these numbers, the names: that of the first
// line has the number 0.
func Words(ctx context.Context, src Source) (numbers []int32, names []string, err error) {
	known := map[string]int32{}
	err = sideLines(ctx, src, func(line []byte) *Error {
		if len(line) > wordLength {
			return &Error{
				Problem: fmt.Sprintf("%s is longer than %d bytes", quote(line), wordLength),
				Hint:    "write the position of one row on each line",
			}
		}
		n, ok := known[string(line)]
		if !ok {
			n = int32(len(names))
			names = append(names, string(line))
			known[names[n]] = n
		}
		if len(numbers) == math.MaxInt32 {
			return &Error{Problem: fmt.Sprintf("has more than %d lines", math.MaxInt32), Hint: "check that it is the right file"}
		}
		numbers = append(numbers, n)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return numbers, names, nil
}

func sideNumber(text []byte) (float64, *Error) {
	v, problem := value(text)
	switch {
	case problem != "":
		problem = fmt.Sprintf(problem, quote(text))
	case math.IsNaN(v):
		problem = "a number is missing"
	case math.IsInf(v, 0):
		problem = quote(text) + " is infinite"
	default:
		return v, nil
	}
	return 0, &Error{Problem: problem, Hint: "write finite decimal numbers"}
}

// sideLine bounds the length of a side file's line.
const sideLine = 16 << 20

// sideLines calls read for each line that is not blank. A file may be
// compressed. Like a table, one without any line is an error.
func sideLines(ctx context.Context, src Source, read func(line []byte) *Error) error {
	s, err := openStream(ctx, src)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	buf := make([]byte, 0, 64<<10)
	line, seen, start := 0, false, true
	each := func(text []byte) *Error {
		line++
		if text = bytes.Trim(text, " \r"); len(text) == 0 {
			return nil
		}
		seen = true
		e := read(text)
		if e != nil {
			e.Table, e.Line = src.Name, line
		}
		return e
	}
	for end := false; !end; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := readFull(s, buf[len(buf):cap(buf)])
		if buf = buf[:len(buf)+n]; start {
			start = false
			buf = bytes.TrimPrefix(buf, bom)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return s.fault(err)
			}
			end = true
			if len(buf) > 0 && buf[len(buf)-1] != '\n' {
				buf = append(buf, '\n')
			}
		}
		text := buf
		for {
			i := bytes.IndexByte(text, '\n')
			if i < 0 {
				break
			}
			if e := each(text[:i]); e != nil {
				return e
			}
			text = text[i+1:]
		}
		if len(text) > sideLine {
			return longLine(src.Name, line+1, sideLine)
		}
		buf = append(buf[:0], text...)
	}
	if !seen {
		return wrapKind(&Error{Table: src.Name, Problem: "has no lines", Hint: "check that it is the right file"}, ErrNoRows)
	}
	return nil
}
