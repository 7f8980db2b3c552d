package read

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Table is a source whose form and columns are known, or several whose rows
// follow each other. Its methods may not be called concurrently.
type Table struct {
	src    Source // the name and the size of all parts together
	opt    Options
	format Format
	layout *layout
	parts  []part

	mu    sync.Mutex
	open  *stream // of a source that opens once, until the first pass
	used  bool    // such a source was read
	rows  int     // the table's rows, or -1 before the first pass
	width int     // LibSVM: the greatest index seen, and 1 more
	kept  *keeper

	estimate float64 // of the number of rows, or 0
}

// part is one of the sources of a table.
type part struct {
	src   Source
	start int // bytes before the first row
	lines int // lines before the first row
	rows  int // or -1 before the first pass
	file  *parquetTable
}

// Open looks at the start of a source: its compression, form, header and
// columns. It keeps nothing open, except for a source that opens once; Close
// ends that.
func Open(ctx context.Context, src Source, opt Options) (*Table, error) {
	return OpenAll(ctx, []Source{src}, opt)
}

// inspect looks at the start of a part.
func (t *Table) inspect(ctx context.Context, s *stream, p *part) error {
	first := len(t.parts) == 0
	magic, err := s.peek(len(lightgbmMagic))
	if err != nil {
		return s.fault(err)
	}
	if err := checkBinned(p.src.Name, magic); err != nil {
		return err
	}
	parquet := t.opt.Format == Parquet || t.opt.Format == Auto && bytes.HasPrefix(magic, []byte("PAR1"))
	if !first && parquet != (t.format == Parquet) {
		form := "text"
		if parquet {
			form = Parquet.String()
		}
		return t.mixed(p, form)
	}
	if parquet {
		t.format = Parquet
		return t.inspectParquet(ctx, s, p)
	}
	h, err := peek(s, &t.opt)
	if err != nil {
		return err
	}
	if len(h.rows) == 0 {
		return p.empty(h)
	}
	t.addEstimate(s, p, h)
	p.start, p.lines = h.start, h.lines
	format, err := t.textFormat(p, h)
	switch {
	case err != nil:
		return err
	case !first && format != t.format:
		return t.mixed(p, format.String())
	case !first:
		return t.sameColumns(p, h)
	}
	t.format = format
	if format == LibSVM {
		return t.inspectLibSVM(h)
	}
	return t.inspectDense(p, h)
}

// textFormat tells the form of a text.
func (t *Table) textFormat(p *part, h *head) (Format, error) {
	if t.opt.Format != Auto {
		return t.opt.Format, nil
	}
	if err := checkText(p.src.Name, h); err != nil {
		return 0, err
	}
	single := t.opt.NoLabel || t.opt.LabelOptional && t.opt.Features == 1
	format, err := detect(p.src.Name, h, single)
	if err != nil && len(t.parts) > 0 && t.format == LibSVM {
		return LibSVM, nil // rows of zeros look like a single column
	}
	return format, err
}

func (t *Table) delimiter() byte {
	if t.format == TSV {
		return '\t'
	}
	return ','
}

func (t *Table) inspectDense(p *part, h *head) error {
	delim := t.delimiter()
	width := countFields(append(bytes.Clone(h.rows[0]), '\n'), 0, delim)
	var names []string
	if t.opt.Header {
		var err error
		if names, err = p.header(h, delim); err != nil {
			return err
		}
		if len(names) != width {
			return &Error{
				Table: p.src.Name, Line: h.lines,
				Problem: fmt.Sprintf("the header has %d fields, but the first row has %d", len(names), width),
				Hint:    "give every column one name",
			}
		}
	}
	noLabel := t.opt.NoLabel || t.opt.LabelOptional && t.opt.Features == width
	var err error
	t.layout, err = resolve(p.src.Name, names, width, noLabel, &t.opt)
	return err
}

// header cuts the header into names.
func (p *part) header(h *head, delim byte) ([]string, error) {
	if bytes.IndexByte(h.header, 0) >= 0 {
		return nil, &Error{Table: p.src.Name, Line: h.lines, Problem: "the header has NUL bytes", Hint: "check that the file is text"}
	}
	names := splitHeader(h.header, delim)
	if i := slices.IndexFunc(names, func(n string) bool { return strings.LastIndexByte(n, '"') == 0 }); i >= 0 {
		return nil, &Error{
			Table: p.src.Name, Line: h.lines, Field: i + 1, Problem: "the quotation mark of the name is not closed in its line",
			Hint: "close it or remove it",
		}
	}
	return names, nil
}

func (p *part) empty(h *head) error {
	e := &Error{Table: p.src.Name, Problem: "has no rows", Hint: "check that it is the right file"}
	if h != nil && h.header != nil {
		e.Problem = "has a header but no rows"
	}
	return wrapKind(e, ErrNoRows)
}

// wrapKind makes errors.Is true for a kind that the message need not repeat.
func wrapKind(e *Error, kind error) error {
	e.kind = kind
	return e
}

// Close gives up a source that opens once. Other tables hold nothing open.
func (t *Table) Close() error {
	var err error
	if t.open != nil {
		err = t.open.Close()
		t.open = nil
	}
	for i := range t.parts {
		if f := t.parts[i].file; f != nil {
			f.data = nil
		}
	}
	t.kept = nil
	t.used = true
	return err
}

// Format is the table's form.
func (t *Table) Format() Format { return t.format }

// HasLabel says whether the table has a label column.
func (t *Table) HasLabel() bool { return t.layout.label >= 0 }

// LabelIndex is the label's column, or -1.
func (t *Table) LabelIndex() int { return t.layout.label }

// HasHeader says whether the columns have names of their own.
func (t *Table) HasHeader() bool { return t.layout.names != nil }

// Features is the number of features: every column but the label's. For
// LibSVM it is the greatest index seen and 1 more, Options.Features if that is
// more; it is final after the first pass.
func (t *Table) Features() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.format == LibSVM {
		return max(t.width, t.opt.Features)
	}
	return t.layout.features
}

// Names are the features' names: the header's without the label's, or
// Column_0, Column_1 … as LightGBM calls them.
func (t *Table) Names() []string {
	names := make([]string, 0, t.Features())
	for c, n := range t.layout.names {
		if c != t.layout.label {
			names = append(names, n)
		}
	}
	if t.layout.names == nil {
		for i := range cap(names) {
			names = append(names, "Column_"+strconv.Itoa(i))
		}
	}
	return names
}

// Find gives the index of the feature that a parameter (categorical_feature,
// say) refers to, -1 where it refers to none.
func (t *Table) Find(parameter string, ref ColumnRef) (int, error) {
	l := t.layout
	if t.format == LibSVM {
		return t.sparseIndex(parameter, ref)
	}
	return find(t.src.Name, parameter, ref, l.names, len(l.slots), l.label)
}

// Ignore has a feature's values no longer looked at, as Options.Ignore would;
// prediction does so with columns that the model does not know. It must be
// called before the first pass.
func (t *Table) Ignore(feature int) error {
	if feature < 0 || t.format != LibSVM && feature >= t.layout.features {
		return fmt.Errorf("feature %d of %s cannot be ignored: there is none", feature, t.src.Name)
	}
	switch l := t.layout; {
	case feature == l.weight || feature == l.group:
	case t.format == LibSVM:
		l.ignore[feature] = true
	default:
		c := l.column(feature)
		l.slots[c] = slotIgnore
		for i := range t.parts {
			if f := t.parts[i].file; f != nil {
				f.columns[c].slot = slotIgnore
			}
		}
	}
	return nil
}

// WeightIndex is the weight column's index among the features, or -1.
func (t *Table) WeightIndex() int { return t.layout.weight }

// GroupIndex is the group column's index among the features, or -1.
func (t *Table) GroupIndex() int { return t.layout.group }

// Ignored says for a feature's index whether its column is no feature: an
// ignored column, the weights or the groups.
func (t *Table) Ignored(feature int) bool {
	l := t.layout
	if feature == l.weight || feature == l.group || l.ignore[feature] {
		return true
	}
	c := l.column(feature)
	return c >= 0 && c < len(l.slots) && l.slots[c] == slotIgnore
}
