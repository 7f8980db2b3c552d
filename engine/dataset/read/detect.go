package read

import (
	"bytes"
	"fmt"
)

// linesLooked is the number of lines that tell the form of a text.
const linesLooked = 32

var bom = []byte{0xef, 0xbb, 0xbf}

// head is what the start of a text shows.
type head struct {
	start  int      // bytes before the first row: a byte-order mark, the header
	lines  int      // lines before the first row
	header []byte   // the header line
	blanks int      // blank lines between the header and the first row
	size   float64  // the mean length of a line, or 0
	rows   [][]byte // the first lines that are not blank
}

// peek looks at the start of a text without taking it from the stream. It
// needs at least three lines, or the end.
func peek(s *stream, opt *Options) (*head, error) {
	buf, err := fillHead(s, opt.MaxLine)
	if err != nil {
		return nil, err
	}
	h := &head{}
	text := buf
	if bytes.HasPrefix(text, bom) {
		h.start = len(bom)
		text = text[len(bom):]
	}
	wantHeader := opt.Header
	for len(text) > 0 && len(h.rows) < linesLooked {
		line, rest, complete := bytes.Cut(text, []byte{'\n'})
		if !complete && len(h.rows) >= 2 {
			break
		}
		size := len(text) - len(rest)
		blank := len(bytes.TrimSpace(line)) == 0
		line = bytes.Clone(bytes.TrimRight(line, "\r"))
		switch {
		case wantHeader:
			h.start += size
			h.lines++
			if !blank {
				h.header = line
				wantHeader = false
			}
		case !blank:
			h.rows = append(h.rows, line)
		case len(h.rows) == 0:
			h.blanks++
		}
		text = rest
	}
	if lines := bytes.Count(text, []byte{'\n'}); lines > 0 {
		h.size = float64(bytes.LastIndexByte(text, '\n')+1) / float64(lines)
	}
	return h, nil
}

// fillHead peeks until three lines are seen, or everything.
func fillHead(s *stream, maxLine int) ([]byte, error) {
	for size := 64 << 10; ; size *= 4 {
		buf, err := s.peek(size)
		if err != nil {
			return nil, s.fault(err)
		}
		if len(buf) < size || significantLines(buf, 3) || (size > maxLine && significantLines(buf, 1)) {
			return buf, nil
		}
		if size > maxLine {
			return nil, longLine(s.name, 1+bytes.Count(buf, []byte{'\n'}), maxLine)
		}
	}
}

func longLine(name string, line, limit int) *Error {
	return &Error{
		Table: name, Line: line, Problem: fmt.Sprintf("the line is longer than %d bytes", limit),
		Hint: "check that the file is a table, one row a line",
	}
}

// significantLines says whether buf has n complete lines that are not blank.
func significantLines(buf []byte, n int) bool {
	for n > 0 {
		i := bytes.IndexByte(buf, '\n')
		if i < 0 {
			return false
		}
		if len(bytes.TrimSpace(buf[:i])) > 0 {
			n--
		}
		buf = buf[i+1:]
	}
	return true
}

// What the binary data sets of Cloister and of LightGBM start with.
const (
	BinaryMagic   = "\x89CLSTR\r\n"
	lightgbmMagic = "______LightGBM_Binary_File_Token______\n"
)

// checkBinned refuses data sets that are bins already: their values are gone.
func checkBinned(name string, magic []byte) error {
	switch {
	case bytes.HasPrefix(magic, []byte(BinaryMagic)):
		return &Error{
			Table: name, Problem: "is a binary data set, which has bins and no values",
			Hint: "to train on it give it as a plain file; else give the table it was made from",
		}
	case bytes.HasPrefix(magic, []byte(lightgbmMagic)):
		return &Error{
			Table: name, Problem: "is a binary data set of LightGBM's, whose layout is private to it",
			Hint: "give the table it was made from",
		}
	}
	return nil
}

// checkText refuses what cannot be text.
func checkText(name string, h *head) error {
	if bytes.IndexByte(bytes.Join(h.rows, nil), 0) < 0 {
		return nil
	}
	return &Error{
		Table: name, Problem: "is a binary file, not text",
		Hint: "give CSV, TSV, LibSVM or Parquet, plain or compressed by gzip or zstd",
	}
}

// detect tells CSV, TSV and LibSVM apart as LightGBM does: colons in the first
// two lines mean LibSVM, else an equal number of tabs TSV, else of commas CSV.
// Where the first two lines differ in width the delimiter of the first decides,
// so that the reader can name the line that is wrong.
func detect(name string, h *head, single bool) (Format, error) {
	if bytes.IndexByte(h.rows[0], '\r') >= 0 {
		return 0, &Error{
			Table: name, Line: h.lines + h.blanks + 1, Problem: "a carriage return without a line feed stands in the line",
			Hint: "end lines by line feeds: tr '\\r' '\\n' writes them",
		}
	}
	count := func(line int, c byte) int {
		if line >= len(h.rows) {
			return countOutsideQuotes(h.rows[0], c)
		}
		return countOutsideQuotes(h.rows[line], c)
	}
	tabs, commas := count(0, '\t'), count(0, ',')
	switch {
	case count(0, ':') > 0 || count(1, ':') > 0:
		return LibSVM, nil
	case tabs > 0 && tabs == count(1, '\t'):
		return TSV, nil
	case commas > 0 && commas == count(1, ','):
		return CSV, nil
	case tabs > 0:
		return TSV, nil
	case commas > 0:
		return CSV, nil
	case single:
		return CSV, nil
	}
	e := &Error{
		Table: name, Line: h.lines + h.blanks + 1, Problem: "has one column only: there is no comma, tab or colon in " + quote(h.rows[0]),
		Hint: "give CSV, TSV, LibSVM or Parquet",
	}
	if bytes.IndexByte(h.rows[0], ';') >= 0 || bytes.IndexByte(h.rows[0], ' ') >= 0 {
		e.Hint = "separate the columns by commas or tabs"
	}
	return 0, e
}

func countOutsideQuotes(line []byte, c byte) int {
	if bytes.IndexByte(line, '"') < 0 {
		return bytes.Count(line, []byte{c})
	}
	n, quoted := 0, false
	for _, x := range line {
		switch {
		case x == '"':
			quoted = !quoted
		case x == c && !quoted:
			n++
		}
	}
	return n
}
