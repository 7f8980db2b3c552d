package read

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is a fault in a table or a side file. Its message says what happened,
// where, and what to do.
type Error struct {
	// Table is the source's name.
	Table string
	// Line is the 1-based line of the text (a header and blank lines count), or
	// 0 where there is none.
	Line int
	// Row is the 1-based row, for formats without lines (Parquet), or 0.
	Row int
	// Field is the 1-based place of the value in its line, or 0; Name is the
	// column's name, or empty.
	Field int
	Name  string
	// Problem says what is wrong, Hint what to do; Hint may be empty.
	Problem, Hint string
	// Err is the cause, or nil.
	Err error

	kind error // a sentinel that the message need not repeat
}

// Is tells the sentinel errors of this package.
func (e *Error) Is(target error) bool { return e.kind != nil && e.kind == target }

// Error joins place, problem, cause and hint in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Table)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Row > 0 {
		fmt.Fprintf(&b, "row %d: ", e.Row)
	}
	switch {
	case e.Field > 0 && e.Name != "":
		fmt.Fprintf(&b, "field %d (%s): ", e.Field, shorten(e.Name))
	case e.Field > 0:
		fmt.Fprintf(&b, "field %d: ", e.Field)
	case e.Name != "":
		fmt.Fprintf(&b, "column %s: ", shorten(e.Name))
	}
	b.WriteString(e.Problem)
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString("; ")
		b.WriteString(e.Hint)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrNoRows is the cause of the error for a table without rows.
var ErrNoRows = errors.New("no rows")

// ErrUsed is the cause of the error for a source that can be read once and was.
var ErrUsed = errors.New("can be read only once")

const shortLength = 40

// shorten cuts a text from a file to a length that fits a message and drops
// what a terminal should not print.
func shorten(s string) string {
	if len(s) > shortLength {
		cut := shortLength
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0x2028 || r == 0x2029 {
			return '·'
		}
		return r
	}, s)
}

// quote is shorten between quotation marks.
func quote(b []byte) string {
	if len(b) > shortLength+utf8.UTFMax {
		b = b[:shortLength+utf8.UTFMax]
	}
	return `"` + shorten(strings.ToValidUTF8(string(b), "·")) + `"`
}
