package lightgbm

import (
	"errors"
	"io"
	"slices"
	"strings"

	"cloister/engine/tree"
)

// modelVersions are the versions of the model text that LightGBM 4.7 reads.
var modelVersions = []string{"v2", "v3", "v4"}

// ReadModel reads LightGBM's model text: version 4, and 2 and 3 as far as
// LightGBM 4.7 reads them. It is stricter than LightGBM: the model that it
// gives is valid, and a text that is cut off or was changed so that it does not
// agree with itself is an error, always a *ModelError unless reading from r
// fails. Name is what errors call the text.
//
// Memory grows with the size of the text only, not with the numbers in it.
func ReadModel(name string, r io.Reader) (*Model, error) {
	var text strings.Builder
	if _, err := io.Copy(&text, r); err != nil {
		return nil, readError("model", name, err)
	}
	mr := modelReader{text: text.String()}
	m, err := mr.read()
	if err != nil {
		var me *ModelError
		if errors.As(err, &me) {
			me.Name = name
			if me.Line == 0 {
				me.Line = mr.lineOf(me)
			}
		}
		return nil, err
	}
	return m, nil
}

// textField is a line "name=value".
type textField struct {
	name, value string
	line        int
}

type modelReader struct {
	text string
	pos  int // start of the next line
	line int // number of the line last read
	m    Model

	v4   bool
	head map[string]textField
	tree *treeReader    // the last
	tail map[string]int // lines of sections
}

// lineOf finds the line that an error of Validate is about.
func (r *modelReader) lineOf(e *ModelError) int {
	if e.Tree >= 0 {
		if f, ok := r.tree.fields[e.Field]; ok {
			return f.line
		}
		return r.tree.line
	}
	if line, ok := r.tail[e.Field]; ok {
		return line
	}
	return r.head[e.Field].line
}

// next gives the next line, without its end; at the end of the text ok is
// false.
func (r *modelReader) next() (line string, ok bool) {
	if r.pos >= len(r.text) {
		return "", false
	}
	line, rest, _ := strings.Cut(r.text[r.pos:], "\n")
	r.pos = len(r.text) - len(rest)
	r.line++
	return strings.TrimSuffix(line, "\r"), true
}

// peek gives the next line that is not empty without taking it; the empty
// lines before it are taken.
func (r *modelReader) peek() (line string, ok bool) {
	for {
		pos, number := r.pos, r.line
		line, ok = r.next()
		if !ok || line != "" {
			r.pos, r.line = pos, number
			return line, ok
		}
	}
}

func (r *modelReader) errorf(field, format string, args ...any) error {
	e := modelErrorf(field, format, args...)
	e.Line = max(1, r.line)
	return e
}

func (f textField) errorf(format string, args ...any) error {
	e := modelErrorf(f.name, format, args...)
	e.Line = f.line
	return e
}

func (r *modelReader) read() (*Model, error) {
	for _, k := range []struct{ magic, name string }{{"\x1f\x8b", "gzip"}, {"\x28\xb5\x2f\xfd", "zstd"}} {
		if strings.HasPrefix(r.text, k.magic) {
			return nil, &ModelError{Tree: -1, Line: 1, Problem: "the text is compressed by " + k.name, hint: "decompress it: models are read as plain text"}
		}
	}
	if line, _ := r.next(); line != "tree" {
		return nil, r.errorf("", "a model of LightGBM begins with the line %q, this text with %q", "tree", shown(line))
	}
	if !strings.HasSuffix(r.text, "\n") {
		r.line = strings.Count(r.text, "\n") + 1
		return nil, r.errorf("", "the last line has no end: the model is cut off")
	}
	for _, part := range []func() error{r.readHead, r.readTrees, r.readTail, r.m.validateTexts} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return &r.m, nil
}

var headFields = []string{
	"version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective",
	"average_output", "feature_names", "monotone_constraints", "feature_infos", "tree_sizes",
}

func (r *modelReader) readHead() error {
	r.head = make(map[string]textField)
	for {
		line, ok := r.peek()
		if !ok || strings.HasPrefix(line, "Tree=") || endsTrees(line) {
			break
		}
		r.next()
		name, value, equals := strings.Cut(line, "=")
		if _, twice := r.head[name]; twice {
			return r.errorf(name, "stands twice before the trees")
		}
		if equals == (name == "average_output") {
			return r.errorf("", "%q is no line of a model's head", shown(line))
		}
		r.head[name] = textField{name: name, value: value, line: r.line}
	}
	if err := r.readVersion(); err != nil {
		return err
	}
	if f, ok := r.unknownField(); ok && r.v4 {
		return f.errorf("is no field of a model's head")
	}
	return r.readHeadFields()
}

// unknownField is the first field of the head that LightGBM does not write.
func (r *modelReader) unknownField() (first textField, ok bool) {
	for name, f := range r.head {
		if !slices.Contains(headFields, name) && (!ok || f.line < first.line) {
			first, ok = f, true
		}
	}
	return first, ok
}

func (r *modelReader) readVersion() error {
	f, ok := r.head["version"]
	if !ok {
		return r.errorf("version", "is missing before the trees")
	}
	if !slices.Contains(modelVersions, f.value) {
		return f.errorf("%q is not among those that can be read: %s", shown(f.value), strings.Join(modelVersions, ", "))
	}
	r.v4 = f.value == "v4"
	return nil
}

func (r *modelReader) readHeadFields() error {
	m := &r.m
	if _, ok := r.head["num_tree_per_iteration"]; !ok {
		f := r.head["num_class"]
		r.head["num_tree_per_iteration"] = textField{name: "num_tree_per_iteration", value: f.value, line: f.line}
	}
	for _, f := range []struct {
		name string
		into *int
	}{
		{"num_class", &m.NumClass},
		{"num_tree_per_iteration", &m.TreesPerIteration},
		{"label_index", &m.LabelIndex},
		{"max_feature_idx", &m.MaxFeatureIndex},
	} {
		head, ok := r.head[f.name]
		if !ok {
			return r.errorf(f.name, "is missing before the trees")
		}
		v, err := modelInteger[int32](head.value)
		if err != nil {
			return head.errorf("%q %v", shown(head.value), err)
		}
		*f.into = int(v)
	}
	if f := r.head["num_class"]; m.NumClass < 1 || m.NumClass > len(r.text) {
		return f.errorf("%d classes are not possible in a model of %d bytes", m.NumClass, len(r.text))
	}
	for _, f := range []struct {
		name string
		into *[]string
	}{{"feature_names", &m.FeatureNames}, {"feature_infos", &m.FeatureInfos}} {
		head, ok := r.head[f.name]
		if !ok {
			return r.errorf(f.name, "is missing before the trees")
		}
		*f.into = words(head.value)
	}
	m.Objective = strings.Join(words(r.head["objective"].value), " ")
	_, m.AverageOutput = r.head["average_output"]
	if f, ok := r.head["monotone_constraints"]; ok {
		list, err := numbers(f, -1, modelInteger[int8])
		if err != nil {
			return err
		}
		m.MonotoneConstraints = list
	}
	return m.validateHead()
}

// endsTrees tells whether a line comes after the last tree. Old versions have
// no line that says so.
func endsTrees(line string) bool {
	return line == "end of trees" || line == "feature_importances:" || line == "feature importances:" || line == "parameters:"
}

func (r *modelReader) readTrees() error {
	sizes, err := numbers(r.head["tree_sizes"], -1, modelInteger[int])
	if err != nil {
		return err
	}
	for {
		line, ok := r.peek()
		if !ok {
			r.line++
			return r.errorf("", "the model is cut off: %d trees, but no line %q", len(r.m.Trees), "end of trees")
		}
		if endsTrees(line) {
			break
		}
		index := len(r.m.Trees)
		start := r.pos
		t, err := r.readTree(index)
		if err != nil {
			return err
		}
		r.m.Trees = append(r.m.Trees, t)
		r.peek()
		if r.v4 && index < len(sizes) && sizes[index] != r.pos-start {
			e := modelErrorf("tree_sizes", "the tree has %d bytes, but tree_sizes says %d: was the text changed, or its line ends?",
				r.pos-start, sizes[index])
			e.Tree, e.Line = index, r.tree.line
			return e
		}
	}
	f, ok := r.head["tree_sizes"]
	if !ok && r.v4 && len(r.m.Trees) > 0 {
		e := modelErrorf("tree_sizes", "is missing before the trees")
		e.Line = r.head["version"].line
		return e
	}
	if ok && len(sizes) != len(r.m.Trees) {
		return f.errorf("has %d entries, but there are %d trees", len(sizes), len(r.m.Trees))
	}
	return r.m.validateHead() // now that the number of trees is known
}

func (r *modelReader) readTail() error {
	r.tail = make(map[string]int)
	for {
		line, ok := r.peek()
		if !ok {
			break
		}
		r.next()
		name := line
		if text, ok := strings.CutPrefix(line, "pandas_categorical:"); ok {
			name = "pandas_categorical"
			r.m.PandasCategorical = strings.TrimSpace(text)
			if r.m.PandasCategorical == "" {
				return r.errorf(name, "is empty")
			}
		}
		if _, twice := r.tail[strings.TrimSuffix(name, ":")]; twice {
			return r.errorf(strings.TrimSuffix(name, ":"), "stands twice after the trees")
		}
		r.tail[strings.TrimSuffix(name, ":")] = r.line
		var err error
		switch name {
		case "end of trees", "pandas_categorical":
		case "feature_importances:", "feature importances:":
			err = r.readImportances()
		case "parameters:":
			r.m.Parameters, err = r.readSection("parameters")
		case "parser:":
			r.m.Parser, err = r.readSection("parser")
		default:
			err = r.errorf("", "%q is not expected after the trees", shown(line))
		}
		if err != nil {
			return err
		}
	}
	return r.checkTail()
}

func (r *modelReader) checkTail() error {
	if !r.v4 {
		return nil
	}
	for _, name := range []string{"end of trees", "feature_importances"} {
		if _, ok := r.tail[name]; !ok {
			return r.errorf("", "the model is cut off: no line %q", name)
		}
	}
	return nil
}

// readImportances reads lines "name=value" up to an empty one.
func (r *modelReader) readImportances() error {
	r.m.Importances = []FeatureImportance{}
	for {
		line, ok := r.next()
		if !ok || line == "" {
			return nil
		}
		cut := strings.LastIndexByte(line, '=')
		if cut < 0 {
			return r.errorf("feature_importances", "%q has no equals sign", shown(line))
		}
		v, err := modelInteger[int64](line[cut+1:])
		if err != nil || v < 0 {
			return r.errorf("feature_importances", "%q is no importance", shown(line[cut+1:]))
		}
		r.m.Importances = append(r.m.Importances, FeatureImportance{Name: line[:cut], Value: uint64(v)})
	}
}

// readSection reads lines up to "end of" the section; empty lines are left
// out.
func (r *modelReader) readSection(name string) (string, error) {
	var text strings.Builder
	for {
		line, ok := r.next()
		if !ok {
			return "", r.errorf(name, "the model is cut off: no line %q", "end of "+name)
		}
		if line == "end of "+name {
			return text.String(), nil
		}
		if line != "" {
			text.WriteString(line + "\n")
		}
	}
}

// numbers reads a list of want numbers; of any number of them if want < 0.
func numbers[T any](f textField, want int, parse func(string) (T, error)) ([]T, error) {
	var list []T
	if want >= 0 {
		// A number and a space take two bytes at least.
		list = make([]T, 0, min(want, len(f.value)/2+1))
	}
	rest := f.value
	for {
		rest = strings.TrimLeft(rest, " ")
		if rest == "" {
			break
		}
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		v, err := parse(word)
		if err != nil {
			return nil, f.errorf("entry %d, %q, %v", len(list), shown(word), err)
		}
		list = append(list, v)
	}
	if want >= 0 && len(list) != want {
		return nil, f.errorf("has %d entries, want %d", len(list), want)
	}
	return list, nil
}

// shown is a text that is short enough for an error.
func shown(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// treeError puts a tree's index to an error of tree.Validate.
func treeError(index int, err error) error {
	e := &ModelError{Tree: index, Problem: err.Error()}
	var field *tree.FieldError
	if errors.As(err, &field) {
		e.Field, e.Problem = field.Field, field.Problem
	}
	return e
}
