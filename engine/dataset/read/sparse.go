package read

import (
	"bytes"
	"fmt"
	"math"
)

// sparse parses the lines of LibSVM: a label and index:value pairs.
type sparse struct {
	t     *Table
	batch Batch
	limit int // indices are below
	drop  bool
	width int // the greatest index seen, and 1 more
	// special has the indices that are no features; nil where there are none.
	special bool
}

func newSparse(t *Table) *sparse {
	s := &sparse{t: t, limit: t.opt.MaxFeatures}
	if t.opt.Features > 0 {
		s.limit = min(s.limit, t.opt.Features)
		s.drop = t.opt.DropExtra
	}
	l := t.layout
	s.special = l.weight >= 0 || l.group >= 0 || len(l.ignore) > 0
	return s
}

func (t *Table) inspectLibSVM(h *head) error {
	l := &layout{label: 0, weight: -1, group: -1, ignore: map[int]bool{}}
	t.layout = l
	if t.opt.NoLabel || t.opt.LabelOptional && startsWithFeature(h.rows[0]) {
		l.label = -1
	} else if ref := t.opt.Label; ref.Set && (ref.Name != "" || ref.Index != 0) {
		return &Error{
			Table: t.src.Name, Problem: "label_column is not 0, but the label of a LibSVM table is the first column",
			Hint: "remove label_column",
		}
	}
	var err error
	if l.weight, err = t.sparseIndex("weight_column", t.opt.Weight); err != nil {
		return err
	}
	if l.group, err = t.sparseIndex("group_column", t.opt.Group); err != nil {
		return err
	}
	for _, ref := range t.opt.Ignore {
		i, err := t.sparseIndex("ignore_column", ref)
		if err != nil {
			return err
		}
		if i >= 0 {
			l.ignore[i] = true
		}
	}
	return nil
}

// sparseIndex gives the feature that a reference means, or -1.
func (t *Table) sparseIndex(parameter string, ref ColumnRef) (int, error) {
	switch {
	case !ref.Set:
		return -1, nil
	case ref.Name != "":
		return 0, &Error{
			Table: t.src.Name, Problem: parameter + " is name:" + shorten(ref.Name) + ", but a LibSVM table has no names",
			Hint: "give the feature's number",
		}
	case ref.Index < 0 || ref.Index >= t.opt.MaxFeatures:
		return 0, &Error{
			Table: t.src.Name, Problem: fmt.Sprintf("%s is %d", parameter, ref.Index),
			Hint: fmt.Sprintf("features are counted from 0 to %d", t.opt.MaxFeatures-1),
		}
	}
	return ref.Index, nil
}

// startsWithFeature says whether the first field of a line is a pair.
func startsWithFeature(line []byte) bool {
	line = bytes.TrimLeft(line, " \t")
	colon := bytes.IndexByte(line, ':')
	blank := bytes.IndexAny(line, " \t")
	return colon >= 0 && (blank < 0 || colon < blank)
}

func (s *sparse) result() *Batch {
	s.batch.Features = s.t.widen(s.width)
	return &s.batch
}

// widen notes how many features were seen and returns the number now known.
func (t *Table) widen(width int) int {
	t.mu.Lock()
	t.width = max(t.width, width)
	t.mu.Unlock()
	return t.Features()
}

func (s *sparse) reset(rows int) {
	b := &s.batch
	b.Rows = 0
	b.RowStart = resize(b.RowStart, rows+1)[:1]
	b.RowStart[0] = 0
	b.Index, b.Value = b.Index[:0], b.Value[:0]
	b.Label, b.Weight, b.Group = b.Label[:0], b.Weight[:0], b.Group[:0]
}

func (s *sparse) trim() {}

func (s *sparse) count(text []byte, n int) (int, *lineError) {
	s.reset(bytes.Count(text[:n], []byte{'\n'}))
	for p := 0; p < n; {
		next, fault := s.line(text, p)
		if fault != nil {
			return 0, fault
		}
		p = next
	}
	return s.batch.Rows, nil
}

func (s *sparse) blanks() string { return " \t\r" }

// scan counts rows and looks at the last index of each: indices ascend.
func (s *sparse) scan(text []byte, n int) (int, *lineError) {
	rows := 0
	for p := 0; p < n; {
		if text[p] <= ' ' {
			if next, blank := blankLine(text, p, s.blanks()); blank {
				p = next
				continue
			}
		}
		rows++
		end := p + bytes.IndexByte(text[p:n], '\n')
		if colon := bytes.LastIndexByte(text[p:end], ':'); colon > 0 {
			i := p + colon
			for i > p && text[i-1]-'0' <= 9 {
				i--
			}
			index, _, ok := s.index(text, i)
			if !ok || index >= s.limit && !s.drop {
				// An unusual line: read it all, as a full pass would.
				s.reset(1)
				if _, fault := s.line(text, p); fault != nil {
					return 0, fault
				}
			} else {
				s.width = max(s.width, min(index+1, s.limit))
			}
		}
		p = end + 1
	}
	return rows, nil
}

// index reads digits; it is negative where there are none, and never greater
// than what an int32 holds.
func (s *sparse) index(text []byte, p int) (index, next int, ok bool) {
	first := p
	for {
		d := int(text[p]) - '0'
		if d < 0 || d > 9 {
			break
		}
		if index < math.MaxInt32/10-1 {
			index = index*10 + d
		} else {
			index = math.MaxInt32
		}
		p++
	}
	if p == first {
		return -1, p, false
	}
	return index, p, true
}

// line reads one row.
func (s *sparse) line(text []byte, p int) (int, *lineError) {
	if text[p] <= ' ' {
		if next, blank := blankLine(text, p, s.blanks()); blank {
			return next, nil
		}
	}
	start := p
	next, fault := s.row(text, p)
	if fault != nil {
		fault.at = start
		fault.err.Table = s.t.src.Name
		return 0, fault
	}
	b := &s.batch
	b.RowStart = append(b.RowStart, len(b.Index))
	b.Rows++
	return next, nil
}

func (s *sparse) row(text []byte, p int) (int, *lineError) {
	b := &s.batch
	l := s.t.layout
	p = skipBlanks(text, p)
	if l.label >= 0 {
		var fault *lineError
		if p, fault = s.label(text, p); fault != nil {
			return 0, fault
		}
	}
	var weight, group float64
	previous := -1
	for {
		p = skipBlanks(text, p)
		if text[p] == '\n' {
			break
		}
		index, q, ok := s.index(text, p)
		q = skipBlanks(text, q)
		if !ok || text[q] != ':' {
			return 0, badPair(text, p)
		}
		if index <= previous {
			return 0, &lineError{err: &Error{
				Problem: fmt.Sprintf("the index %d follows %d: the indices of a line must ascend", index, previous),
				Hint:    "sort the pairs of each line by index and keep one of each",
			}}
		}
		previous = index
		if index >= s.limit && !s.drop && !(s.special && (index == l.weight || index == l.group)) {
			return 0, s.beyond(text[p : bytes.IndexByte(text[p:], ':')+p])
		}
		var value float64
		if digit := text[q+1] - '0'; digit <= 9 && isBlank(text[q+2]) {
			value, p = float64(digit), q+2 // as most counts and flags are
		} else {
			var fault *lineError
			if value, p, fault = s.value(text, skipBlanks(text, q+1), index); fault != nil {
				return 0, fault
			}
		}
		switch {
		case s.special && index == l.weight:
			weight = value
			s.width = max(s.width, index+1)
			continue
		case s.special && index == l.group:
			group = value
			s.width = max(s.width, index+1)
			continue
		case index >= s.limit:
			continue
		case s.special && l.ignore[index]:
			s.width = max(s.width, index+1)
			continue
		}
		b.Index = append(b.Index, int32(index))
		b.Value = append(b.Value, value)
	}
	s.width = max(s.width, min(previous+1, s.limit))
	if s.special {
		return p + 1, s.extras(weight, group)
	}
	return p + 1, nil
}

func (s *sparse) beyond(index []byte) *lineError {
	e := &Error{
		Problem: fmt.Sprintf("the index %s is too large: at most %d features are read", shorten(string(index)), s.limit),
		Hint:    "number the features without large gaps",
	}
	if s.limit < s.t.opt.MaxFeatures {
		e.Problem = fmt.Sprintf("the index %s is too large: there are %d features, counted from 0", shorten(string(index)), s.limit)
		e.Hint = "use the features that the model was trained with"
	}
	return &lineError{err: e}
}

func (s *sparse) extras(weight, group float64) *lineError {
	b, l := &s.batch, s.t.layout
	if l.weight >= 0 {
		b.Weight = append(b.Weight, float32(weight))
		if problem, hint := checkWeight(weight); problem != "" {
			return &lineError{err: &Error{Problem: problem, Hint: hint}}
		}
	}
	if l.group >= 0 {
		b.Group = append(b.Group, int64(group))
		if problem, hint := checkGroup(group); problem != "" {
			return &lineError{err: &Error{Problem: problem, Hint: hint}}
		}
	}
	return nil
}

func (s *sparse) label(text []byte, p int) (int, *lineError) {
	v, q, status := parseFloat(text, p)
	if status != floatOK || !isBlank(text[q]) {
		q = fieldEnd(text, p)
		if colon := bytes.IndexByte(text[p:q], ':'); colon >= 0 {
			return 0, &lineError{err: &Error{
				Problem: "the line has no label: it starts with " + quote(text[p:q]),
				Hint:    pairHint(text[p:q], "start every line with a label"),
			}}
		}
		var problem string
		if v, problem = value(text[p:q]); problem != "" {
			return 0, &lineError{err: &Error{Field: 1, Problem: fmt.Sprintf(problem, quote(text[p:q])), Hint: valueHint}}
		}
	}
	if problem, hint := checkLabel(v, s.t.opt.CheckLabel); problem != "" {
		return 0, &lineError{err: &Error{Field: 1, Problem: problem, Hint: hint}}
	}
	s.batch.Label = append(s.batch.Label, float32(v))
	return q, nil
}

func (s *sparse) value(text []byte, p, index int) (float64, int, *lineError) {
	v, q, status := parseFloat(text, p)
	if status == floatOK && isBlank(text[q]) {
		return v, q, nil
	}
	q = fieldEnd(text, p)
	v, problem := value(text[p:q])
	if problem == "" && math.IsInf(v, 0) {
		problem = "%s is infinite"
	}
	if problem != "" {
		return 0, 0, &lineError{err: &Error{
			Problem: fmt.Sprintf("the value of index %d: "+problem, index, quote(text[p:q])), Hint: valueHint,
		}}
	}
	return v, q, nil
}

func badPair(text []byte, p int) *lineError {
	field := text[p:fieldEnd(text, p)]
	return &lineError{err: &Error{
		Problem: quote(field) + " is not an index:value pair",
		Hint:    pairHint(field, "a LibSVM line is a label and pairs of an index from 0 and a number, separated by blanks"),
	}}
}

// pairHint guesses what a field that does not belong was meant to be.
func pairHint(field []byte, otherwise string) string {
	switch {
	case bytes.HasPrefix(field, []byte("qid:")):
		return "give the sizes of the queries in a .query file beside the table"
	case bytes.HasPrefix(field, []byte{'#'}):
		return "remove comments"
	case bytes.ContainsAny(field, ",;"):
		return "colons in its first lines make the table LibSVM: for CSV or TSV, remove them"
	}
	return otherwise
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skipBlanks goes to the next field or line end.
func skipBlanks(text []byte, p int) int {
	for text[p] == ' ' || text[p] == '\t' || text[p] == '\r' {
		p++
	}
	return p
}

func fieldEnd(text []byte, p int) int {
	for !isBlank(text[p]) {
		p++
	}
	return p
}
