package read

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Slots of columns that are no features.
const (
	slotLabel = -1 - iota
	slotWeight
	slotGroup
	slotIgnore
)

// layout says what each column of a table is.
type layout struct {
	names    []string // the columns' names, or nil
	label    int      // the label's column, or -1
	features int      // the number of features (0 for LibSVM: unknown)
	// slots has, for each column, the feature's index or what else it is.
	slots []int32
	// feature slots that are filled with 0
	weight, group int
	ignore        map[int]bool
}

// resolve finds the columns that the options name among width columns.
func resolve(table string, names []string, width int, noLabel bool, opt *Options) (*layout, error) {
	l := &layout{names: names, label: -1, weight: -1, group: -1}
	if !noLabel {
		i, err := find(table, "label_column", opt.Label, names, width, -1)
		if err != nil {
			return nil, err
		}
		l.label = max(i, 0)
	}
	l.features = width
	if l.label >= 0 {
		l.features--
	}
	if l.features < 1 {
		return nil, &Error{
			Table: table, Problem: fmt.Sprintf("has no features: %s is all there is", columns(width)),
			Hint: "check label_column and the separator",
		}
	}
	if l.features > opt.MaxFeatures {
		return nil, tooManyFeatures(table, 0, l.features, opt.MaxFeatures)
	}
	var err error
	if l.weight, err = find(table, "weight_column", opt.Weight, names, width, l.label); err != nil {
		return nil, err
	}
	if l.group, err = find(table, "group_column", opt.Group, names, width, l.label); err != nil {
		return nil, err
	}
	if l.weight >= 0 && l.weight == l.group {
		return nil, &Error{
			Table: table, Problem: "weight_column and group_column name the same column",
			Hint: "columns are counted from 0 without the label's",
		}
	}
	l.slots = make([]int32, width)
	for c := range l.slots {
		switch {
		case c == l.label:
			l.slots[c] = slotLabel
		case l.label >= 0 && c > l.label:
			l.slots[c] = int32(c - 1)
		default:
			l.slots[c] = int32(c)
		}
	}
	for _, ref := range opt.Ignore {
		i, err := find(table, "ignore_column", ref, names, width, l.label)
		if err != nil {
			return nil, err
		}
		if i >= 0 {
			l.slots[l.column(i)] = slotIgnore
		}
	}
	if l.weight >= 0 {
		l.slots[l.column(l.weight)] = slotWeight
	}
	if l.group >= 0 {
		l.slots[l.column(l.group)] = slotGroup
	}
	return l, nil
}

// column is the column of a feature's index.
func (l *layout) column(feature int) int {
	if l.label >= 0 && feature >= l.label {
		return feature + 1
	}
	return feature
}

// name is the header's name of a column, or empty.
func (l *layout) name(column int) string {
	if column < len(l.names) {
		return l.names[column]
	}
	return ""
}

func columns(n int) string {
	if n == 1 {
		return "1 column"
	}
	return strconv.Itoa(n) + " columns"
}

func tooManyFeatures(table string, line, n, limit int) *Error {
	return &Error{
		Table: table, Line: line, Problem: fmt.Sprintf("%d features are more than the limit of %d", n, limit),
		Hint: "number the features without large gaps",
	}
}

// find gives the index of the column that ref names: among all columns where
// label is -1, else among those without the label's; -1 where ref names none.
func find(table, parameter string, ref ColumnRef, names []string, width, label int) (int, error) {
	if !ref.Set {
		return -1, nil
	}
	fail := func(problem, hint string) (int, error) {
		return 0, &Error{Table: table, Problem: parameter + " " + problem, Hint: hint}
	}
	if ref.Name == "" {
		if label >= 0 {
			width--
		}
		if ref.Index < 0 || ref.Index >= width {
			besides := ""
			if label >= 0 {
				besides = " besides the label's"
			}
			return fail(fmt.Sprintf("is %d, but the table has %s%s", ref.Index, columns(width), besides),
				fmt.Sprintf("these columns are counted from 0 to %d", width-1))
		}
		return ref.Index, nil
	}
	if names == nil {
		return fail(fmt.Sprintf("is name:%s, but the table has no header", shorten(ref.Name)), "set header=true or give the column's number")
	}
	at := -1
	for i, n := range names {
		if n != ref.Name {
			continue
		}
		if at >= 0 {
			return fail(fmt.Sprintf("is name:%s, but columns %d and %d both have that name", shorten(ref.Name), at, i), "give the column's number")
		}
		at = i
	}
	switch {
	case at < 0:
		hint := "the columns are " + shorten(strings.Join(names[:min(len(names), shortLength)], ", "))
		if n := nearestName(ref.Name, names); n != "" {
			hint = "did you mean " + shorten(n) + "?"
		}
		return fail(fmt.Sprintf("is name:%s, but no column has that name", shorten(ref.Name)), hint)
	case label >= 0 && at == label:
		return fail(fmt.Sprintf("is name:%s, which is the label's column", shorten(ref.Name)), "name another column or leave it out")
	case label >= 0 && at > label:
		at--
	}
	return at, nil
}

// nearestName is the name with the smallest edit distance, if that is small.
func nearestName(name string, names []string) string {
	best, least := "", max(2, len(name)/2)+1
	for _, n := range names {
		if len(n) > 200 {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is Levenshtein's, over bytes.
func distance(a, b string) int {
	if len(a) > 200 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// splitHeader cuts a header into names; a name between quotation marks may
// hold the delimiter, and a doubled mark stands for one.
func splitHeader(line []byte, delim byte) []string {
	var names []string
	for {
		text, rest, more := cutField(line, delim)
		names = append(names, text)
		if !more {
			return names
		}
		line = rest
	}
}

func cutField(line []byte, delim byte) (text string, rest []byte, more bool) {
	trimmed := bytes.TrimLeft(line, " ")
	if len(trimmed) > 0 && trimmed[0] == '"' {
		var b []byte
		for i := 1; i < len(trimmed); i++ {
			if trimmed[i] != '"' {
				b = append(b, trimmed[i])
				continue
			}
			if i+1 < len(trimmed) && trimmed[i+1] == '"' {
				b = append(b, '"')
				i++
				continue
			}
			after := bytes.TrimLeft(trimmed[i+1:], " ")
			if len(after) == 0 {
				return string(b), nil, false
			}
			if after[0] == delim {
				return string(b), after[1:], true
			}
			break // text behind the closing mark: take the field as it is
		}
	}
	field, rest, more := bytes.Cut(line, []byte{delim})
	return string(bytes.TrimSpace(field)), rest, more
}
