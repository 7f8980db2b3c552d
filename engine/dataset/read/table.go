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

// Table is a source whose form and columns are known. Its methods may not be
// called concurrently.
type Table struct {
	src    Source
	opt    Options
	format Format
	layout *layout
	start  int      // bytes before the first row
	origin position // lines before the first row

	mu    sync.Mutex
	open  *stream // of a source that opens once, until the first pass
	used  bool    // such a source was read
	rows  int     // the table's rows, or -1 before the first pass
	width int     // LibSVM: the greatest index seen, and 1 more
	file  *parquetTable
	kept  *keeper

	estimate float64 // of the number of rows, or 0
}

// Open looks at the start of a source: its compression, form, header and
// columns. It keeps nothing open, except for a source that opens once; Close
// ends that.
func Open(ctx context.Context, src Source, opt Options) (*Table, error) {
	t := &Table{src: src, opt: opt.withDefaults(), rows: -1}
	s, err := openStream(ctx, src)
	if err != nil {
		return nil, err
	}
	if err := t.inspect(ctx, s); err != nil {
		_ = s.Close()
		return nil, err
	}
	if src.Once && t.format != Parquet {
		t.open = s
		return t, nil
	}
	if t.format != Parquet {
		_ = s.Close()
	}
	return t, nil
}

func (t *Table) inspect(ctx context.Context, s *stream) error {
	magic, err := s.peek(4)
	if err != nil {
		return s.fault(err)
	}
	if t.opt.Format == Parquet || t.opt.Format == Auto && string(magic) == "PAR1" {
		t.format = Parquet
		return t.inspectParquet(ctx, s)
	}
	h, err := peek(s, &t.opt)
	if err != nil {
		return err
	}
	if len(h.rows) == 0 {
		return t.empty(h)
	}
	if s.plain != nil && h.size > 0 {
		t.estimate = float64(t.src.Size-int64(h.start)) / h.size
	}
	t.start, t.origin = h.start, position{lines: h.lines}
	t.format = t.opt.Format
	single := t.opt.NoLabel || t.opt.LabelOptional && t.opt.Features == 1
	if t.format == Auto {
		if t.format, err = detect(t.src.Name, h, single); err != nil {
			return err
		}
	}
	if t.format == LibSVM {
		return t.inspectLibSVM(h)
	}
	return t.inspectDense(h)
}

func (t *Table) inspectDense(h *head) error {
	delim := byte(',')
	if t.format == TSV {
		delim = '\t'
	}
	width := countFields(append(bytes.Clone(h.rows[0]), '\n'), 0, delim)
	var names []string
	if t.opt.Header {
		if bytes.IndexByte(h.header, 0) >= 0 {
			return &Error{Table: t.src.Name, Line: h.lines, Problem: "the header has NUL bytes", Hint: "check that the file is text"}
		}
		names = splitHeader(h.header, delim)
		if i := slices.IndexFunc(names, func(n string) bool { return strings.LastIndexByte(n, '"') == 0 }); i >= 0 {
			return &Error{
				Table: t.src.Name, Line: h.lines, Field: i + 1, Problem: "the quotation mark of the name is not closed in its line",
				Hint: "close it or remove it",
			}
		}
		if len(names) != width {
			return &Error{
				Table: t.src.Name, Line: h.lines,
				Problem: fmt.Sprintf("the header has %d fields, but the first row has %d", len(names), width),
				Hint:    "give every column one name",
			}
		}
	}
	noLabel := t.opt.NoLabel || t.opt.LabelOptional && t.opt.Features == width
	var err error
	t.layout, err = resolve(t.src.Name, names, width, noLabel, &t.opt)
	return err
}

func (t *Table) empty(h *head) error {
	e := &Error{Table: t.src.Name, Problem: "has no rows", Hint: "check that it is the right file"}
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
	if t.file != nil {
		t.file.close()
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
		if t.file != nil {
			t.file.columns[c].slot = slotIgnore
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
