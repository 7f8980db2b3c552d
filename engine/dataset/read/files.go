package read

import (
	"context"
	"fmt"
)

// OpenAll makes one table of several sources: the rows of the first, then those
// of the second, and so on, as if they were one source. All must have the same
// form and the same columns, and, where Options.Header says so, each its own
// header, which must agree. Each may be compressed or not. A source that opens
// once can only stand alone.
func OpenAll(ctx context.Context, sources []Source, opt Options) (*Table, error) {
	t := &Table{src: joined(sources), opt: opt.withDefaults(), rows: -1}
	for _, src := range sources {
		if src.Once && len(sources) > 1 {
			return nil, &Error{
				Table: src.Name, Problem: "can be read only once, so it cannot be one of several files",
				Hint: "give regular files, or this one alone",
			}
		}
		if err := t.add(ctx, src); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// joined describes several sources as one.
func joined(sources []Source) Source {
	if len(sources) == 1 {
		return sources[0]
	}
	all := Source{Name: JoinedName(sources)}
	for _, s := range sources {
		if s.Size == 0 {
			all.Size = 0
			break
		}
		all.Size += s.Size
	}
	return all
}

// JoinedName is what errors call the table of several sources where a fault is
// not in one of them.
func JoinedName(sources []Source) string {
	switch n := len(sources); n {
	case 0:
		return "no file"
	case 1:
		return sources[0].Name
	case 2:
		return sources[0].Name + " and 1 more file"
	default:
		return fmt.Sprintf("%s and %d more files", sources[0].Name, n-1)
	}
}

// add looks at the start of a further part.
func (t *Table) add(ctx context.Context, src Source) error {
	s, err := openStream(ctx, src)
	if err != nil {
		return err
	}
	p := part{src: src, rows: -1}
	if err := t.inspect(ctx, s, &p); err != nil {
		_ = s.Close()
		return err
	}
	t.parts = append(t.parts, p)
	switch {
	case t.format == Parquet: // closed by who inspected it
	case src.Once:
		t.open = s
	default:
		_ = s.Close()
	}
	return nil
}

// PartRows has the number of rows of each source of the table, after the first
// pass.
func (t *Table) PartRows() []int {
	rows := make([]int, len(t.parts))
	for i := range t.parts {
		rows[i] = t.parts[i].rows
	}
	return rows
}

// addEstimate guesses how many rows a part has, if its size is known.
func (t *Table) addEstimate(s *stream, p *part, h *head) {
	known := len(t.parts) == 0 || t.estimate > 0
	switch {
	case !known:
	case s.plain == nil || h.size <= 0:
		t.estimate = 0
	default:
		t.estimate += float64(p.src.Size-int64(h.start)) / h.size
	}
}

// Guess is about the number of rows and the memory, in bytes, that all of them
// take as numbers; both are 0 where nothing can be said before the first pass.
func (t *Table) Guess() (rows, bytes float64) {
	rows = t.estimate
	if t.format == Parquet {
		for i := range t.parts {
			for _, n := range t.parts[i].file.groups {
				rows += float64(n)
			}
		}
	}
	if t.format == LibSVM && rows > 0 {
		// An index, a colon, a number and a blank have some eight bytes at least,
		// and become twelve.
		return rows, float64(t.src.Size) * 1.5
	}
	return rows, rows * 8 * float64(t.Features())
}

func (t *Table) mixed(p *part, form string) error {
	return &Error{
		Table: p.src.Name, Problem: fmt.Sprintf("is %s, but %s is %s", form, t.parts[0].src.Name, t.format),
		Hint: "give files of one form",
	}
}

// sameColumns compares the start of a further text with the first one's. A line
// of another width is found by who reads it.
func (t *Table) sameColumns(p *part, h *head) error {
	if t.format == LibSVM {
		labels := !t.opt.NoLabel && !(t.opt.LabelOptional && startsWithFeature(h.rows[0]))
		if labels != t.HasLabel() {
			has := [2]string{"has no labels, but %s has", "has labels, but %s has none"}
			which := 0
			if labels {
				which = 1
			}
			return &Error{Table: p.src.Name, Problem: fmt.Sprintf(has[which], t.parts[0].src.Name), Hint: "give all files labels, or none"}
		}
		return nil
	}
	if !t.opt.Header {
		return nil
	}
	names, err := p.header(h, t.delimiter())
	if err != nil {
		return err
	}
	return t.sameNames(p, h.lines, names)
}

// sameNames compares a part's names of the columns with the first one's.
func (t *Table) sameNames(p *part, line int, names []string) error {
	want, first := t.layout.names, t.parts[0].src.Name
	e := &Error{Table: p.src.Name, Line: line, Hint: "give every file the same columns in the same order"}
	for i, name := range names {
		if i < len(want) && name != want[i] {
			e.Problem = fmt.Sprintf("column %d is called %s, but %s in %s", i+1, quote([]byte(name)), quote([]byte(want[i])), first)
			return e
		}
	}
	if len(names) != len(want) {
		e.Problem = fmt.Sprintf("has %s, but %s has %d", columns(len(names)), first, len(want))
		return e
	}
	return nil
}
