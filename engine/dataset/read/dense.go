package read

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// dense parses the lines of CSV and TSV.
type dense struct {
	t     *Table
	delim byte
	// slots says where each column goes, as in layout.
	slots []int32
	check bool // labels
	batch Batch
}

func newDense(t *Table) *dense {
	d := &dense{t: t, delim: ',', slots: t.layout.slots, check: t.opt.CheckLabel}
	if t.format == TSV {
		d.delim = '\t'
	}
	d.batch.Features = t.layout.features
	return d
}

// reset empties the batch and makes room for some rows.
func (d *dense) reset(rows int) {
	b := &d.batch
	b.Rows = 0
	b.Values = resize(b.Values, rows*b.Features)
	l := d.t.layout
	if l.label >= 0 {
		b.Label = resize(b.Label, rows)
	}
	if l.weight >= 0 {
		b.Weight = resize(b.Weight, rows)
	}
	if l.group >= 0 {
		b.Group = resize(b.Group, rows)
	}
}

// trim cuts the batch's slices to its rows.
func (d *dense) trim() {
	b := &d.batch
	b.Values = b.Values[:b.Rows*b.Features]
	if b.Label != nil {
		b.Label = b.Label[:b.Rows]
	}
	if b.Weight != nil {
		b.Weight = b.Weight[:b.Rows]
	}
	if b.Group != nil {
		b.Group = b.Group[:b.Rows]
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, max(n, 1))
	}
	return s[:n]
}

// parse reads the lines of text[:n] into the batch.
func (d *dense) parse(text []byte, n int) *lineError {
	// A row has at least one byte for each column: no text makes this large.
	d.reset(min(bytes.Count(text[:n], []byte{'\n'}), n/len(d.slots)+1))
	for p := 0; p < n; {
		q, fault := d.line(text, p)
		if fault != nil {
			return fault
		}
		p = q
	}
	d.trim()
	return nil
}

// line reads the line at p into the batch's next row and returns the place of
// the next line. A blank line is no row.
func (d *dense) line(text []byte, p int) (int, *lineError) {
	if text[p] <= ' ' {
		if next, blank := blankLine(text, p, d.blanks()); blank {
			return next, nil
		}
	}
	b := &d.batch
	start := p
	features := b.Features
	row := b.Values[b.Rows*features:][:features:features]
	last := len(d.slots) - 1
	for col, slot := range d.slots {
		want := d.delim
		if col == last {
			want = '\n'
		}
		if slot != slotIgnore {
			v, q, status := parseFloat(text, p)
			if col == last && text[q] == '\r' && text[q+1] == '\n' {
				q++
			}
			if status == floatOK && text[q] == want {
				if slot >= 0 {
					row[slot] = v
				} else if fault := d.special(col, v, row); fault != nil {
					fault.at = start
					return 0, fault
				}
				p = q + 1
				continue
			}
		}
		end, fault := d.slow(text, p, col, row)
		if fault != nil {
			fault.at = start
			return 0, fault
		}
		if text[end] != want {
			return 0, d.width(text, start)
		}
		p = end + 1
	}
	b.Rows++
	return p, nil
}

// blankLine says whether the line at p holds nothing but the given bytes, and
// where the next line starts if so.
func blankLine(text []byte, p int, blanks string) (next int, blank bool) {
	for ; text[p] != '\n'; p++ {
		if strings.IndexByte(blanks, text[p]) < 0 {
			return 0, false
		}
	}
	return p + 1, true
}

// slow reads a field that is no plain number, or no feature, and returns the
// place of the delimiter or line end behind it.
func (d *dense) slow(text []byte, p, col int, row []float64) (int, *lineError) {
	field, end, ok := cutValue(text, p, d.delim)
	if !ok {
		return 0, d.fault(col, "the quotation mark is not closed in its line", "close it or remove it")
	}
	slot := d.slots[col]
	if slot == slotIgnore {
		row[d.feature(col)] = 0
		return end, nil
	}
	v, problem := value(field)
	if problem == "" && math.IsInf(v, 0) && slot >= 0 {
		problem = "%s is infinite"
	}
	if problem != "" {
		return 0, d.badValue(field, col, problem)
	}
	if slot >= 0 {
		row[slot] = v
		return end, nil
	}
	return end, d.special(col, v, row)
}

// special stores the value of a column that is no feature.
func (d *dense) special(col int, v float64, row []float64) *lineError {
	b := &d.batch
	var problem, hint string
	switch d.slots[col] {
	case slotLabel:
		b.Label[b.Rows] = float32(v)
		problem, hint = checkLabel(v, d.check)
	case slotWeight:
		b.Weight[b.Rows] = float32(v)
		row[d.feature(col)] = 0
		problem, hint = checkWeight(v)
	case slotGroup:
		b.Group[b.Rows] = int64(v)
		row[d.feature(col)] = 0
		problem, hint = checkGroup(v)
	}
	if problem != "" {
		return d.fault(col, problem, hint)
	}
	return nil
}

// feature is the index of a column among the features.
func (d *dense) feature(col int) int {
	if l := d.t.layout.label; l >= 0 && col > l {
		return col - 1
	}
	return col
}

func (d *dense) fault(col int, problem, hint string) *lineError {
	return &lineError{err: &Error{
		Table: d.t.src.Name, Field: col + 1, Name: d.t.layout.name(col), Problem: problem, Hint: hint,
	}}
}

// badValue explains a field that is no number.
func (d *dense) badValue(field []byte, col int, problem string) *lineError {
	e := d.fault(col, fmt.Sprintf(problem, quote(field)), valueHint)
	if problem == notNumber && !d.t.opt.Header {
		e.headerHint = d.batch.Rows == 0
	}
	return e
}

// countFields counts the fields of the line at p.
func countFields(text []byte, p int, delim byte) int {
	for n := 1; ; n++ {
		_, end, ok := cutValue(text, p, delim)
		if !ok || text[end] == '\n' {
			return n
		}
		p = end + 1
	}
}

// width explains a line with too few or too many fields.
func (d *dense) width(text []byte, start int) *lineError {
	got := countFields(text, start, d.delim)
	return &lineError{at: start, err: &Error{
		Table:   d.t.src.Name,
		Problem: fmt.Sprintf("the line has %d fields, but the table has %s", got, columns(len(d.slots))),
		Hint:    "every line must have the same number of fields",
	}}
}

func (d *dense) result() *Batch { return &d.batch }

func (d *dense) blanks() string { return " \r" }

// scan counts the rows of a text without reading their numbers.
func (d *dense) scan(text []byte, n int) (int, *lineError) {
	rows := 0
	for p := 0; p < n; {
		if text[p] <= ' ' {
			if next, blank := blankLine(text, p, d.blanks()); blank {
				p = next
				continue
			}
		}
		rows++
		p += bytes.IndexByte(text[p:n], '\n') + 1
	}
	return rows, nil
}

// count implements worker.
func (d *dense) count(text []byte, n int) (int, *lineError) {
	if fault := d.parse(text, n); fault != nil {
		return 0, fault
	}
	return d.batch.Rows, nil
}

// cutValue finds the field at p: its text without blanks and quotation marks,
// and the place of the delimiter or line end behind it.
func cutValue(text []byte, p int, delim byte) (field []byte, end int, ok bool) {
	for text[p] == ' ' {
		p++
	}
	if text[p] == '"' {
		for q := p + 1; text[q] != '\n'; q++ {
			if text[q] != '"' {
				continue
			}
			if text[q+1] == '"' {
				q++
				continue
			}
			end := q + 1
			for text[end] == ' ' || text[end] == '\r' {
				end++
			}
			if text[end] == delim || text[end] == '\n' {
				return bytes.Trim(text[p+1:q], " "), end, true
			}
			return nil, 0, false
		}
		return nil, 0, false
	}
	end = p
	for text[end] != delim && text[end] != '\n' {
		end++
	}
	return bytes.TrimRight(text[p:end], " \r"), end, true
}
