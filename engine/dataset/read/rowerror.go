package read

import "bytes"

// RowError is a fault that a function called by Rows found in a row. Rows
// turns it into an Error with the row's line, or its number in a table without
// lines.
type RowError struct {
	// Row is the row's index in the table, from 0.
	Row int
	// Err is the fault; its Line and Row are set by Rows.
	Err Error
}

// Error is the message of the fault with the row's number.
func (e *RowError) Error() string { return e.Located().Error() }

// Located is the fault with the row's number, from 1.
func (e *RowError) Located() *Error {
	located := e.Err
	located.Row = e.Row + 1
	return &located
}

// at is the fault with the row's line; the row lies in a block's text.
func (e *RowError) at(block position, text []byte, n int, blanks string) *Error {
	row, line := block.rows, block.lines
	for p := 0; p < n; line++ {
		end := p + bytes.IndexByte(text[p:n], '\n') + 1
		blank := false
		if text[p] <= ' ' {
			_, blank = blankLine(text, p, blanks)
		}
		if !blank {
			if row == e.Row {
				located := e.Err
				located.Line = line + 1
				return &located
			}
			row++
		}
		p = end
	}
	return e.Located()
}
