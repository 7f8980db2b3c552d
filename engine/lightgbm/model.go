package lightgbm

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"cloister/engine/tree"
)

// Model is what LightGBM's model text says, version 4 (of LightGBM 4.x). A
// model that ReadModel gave is valid; one that is put together by hand can be
// checked with Validate.
type Model struct {
	NumClass int
	// TreesPerIteration is NumClass, or 1 where there are no classes: the
	// trees of an iteration stand together, one for each.
	TreesPerIteration int
	LabelIndex        int
	MaxFeatureIndex   int
	// Objective has the name and what the output depends on, such as
	// "binary sigmoid:1"; empty for a custom objective.
	Objective string
	// AverageOutput says that outputs are the mean of the iterations' (random
	// forests), not their sum.
	AverageOutput bool
	FeatureNames  []string
	// MonotoneConstraints is nil, or has -1, 0 or 1 for every feature.
	MonotoneConstraints []int8
	// FeatureInfos has for every feature its range "[min:max]", its categories
	// "1:2:5", or "none" if it is not used.
	FeatureInfos []string
	Trees        []*tree.Tree

	// Importances is the list at the end of the file, the greatest first. If
	// it is nil, Write computes it from the trees, as ImportanceKind says.
	Importances    []FeatureImportance
	ImportanceKind ImportanceKind

	// Parameters and Parser are the text of these sections, whole lines; empty
	// if there is no such section.
	Parameters string
	Parser     string
	// PandasCategorical is the JSON that LightGBM's Python package appends:
	// the categories of each categorical column; empty if there is none.
	PandasCategorical string
}

// FeatureImportance is a line of a model's list of importances, which has no
// fractions.
type FeatureImportance struct {
	Name  string
	Value uint64
}

// ImportanceKind says how a feature's importance is measured, with the numbers
// of LightGBM's saved_feature_importance_type.
type ImportanceKind int

// The kinds of importance.
const (
	ImportanceSplit ImportanceKind = 0 // the number of splits
	ImportanceGain  ImportanceKind = 1 // the sum of their gains
)

// NumFeatures is the number of values in a row.
func (m *Model) NumFeatures() int { return m.MaxFeatureIndex + 1 }

// NumIterations is the number of boosting iterations.
func (m *Model) NumIterations() int { return len(m.Trees) / m.TreesPerIteration }

// IterationRange gives the iterations [start, end) for LightGBM's
// start_iteration_predict and num_iteration_predict: start is moved into the
// model, and num ≤ 0 means all that follow.
func (m *Model) IterationRange(start, num int) (first, end int) {
	total := m.NumIterations()
	first = min(max(start, 0), total)
	if num <= 0 || num > total-first {
		return first, total
	}
	return first, first + num
}

// Truncate keeps the first iterations only, at most those that are there.
func (m *Model) Truncate(iterations int) {
	n := min(max(iterations, 0), m.NumIterations()) * m.TreesPerIteration
	if n == len(m.Trees) {
		return
	}
	m.Trees = m.Trees[:n:n]
	m.Importances = nil
}

// Importance is the importance of every feature in the first iterations; in
// all of them if iterations ≤ 0. Splits without gain do not count.
func (m *Model) Importance(kind ImportanceKind, iterations int) []float64 {
	_, end := m.IterationRange(0, iterations)
	importance := make([]float64, m.NumFeatures())
	for _, t := range m.Trees[:end*m.TreesPerIteration] {
		for node, gain := range t.SplitGain {
			if !(gain > 0) {
				continue
			}
			amount := 1.0
			if kind == ImportanceGain {
				amount = float64(gain)
			}
			importance[t.SplitFeature[node]] += amount
		}
	}
	return importance
}

// importances is the list that Write puts at the end of the file.
func (m *Model) importances() []FeatureImportance {
	if m.Importances != nil {
		return m.Importances
	}
	list := []FeatureImportance{}
	for i, v := range m.Importance(m.ImportanceKind, 0) {
		if v >= 1 {
			whole := uint64(math.MaxUint64)
			if v < math.MaxUint64 {
				whole = uint64(v)
			}
			list = append(list, FeatureImportance{Name: m.FeatureNames[i], Value: whole})
		}
	}
	slices.SortStableFunc(list, func(a, b FeatureImportance) int {
		switch {
		case a.Value > b.Value:
			return -1
		case a.Value < b.Value:
			return 1
		}
		return 0
	})
	return list
}

// Validate checks that the model is whole: counts that agree, valid trees, a
// known objective, texts that can stand in the file. The error is a
// *ModelError without name and line.
func (m *Model) Validate() error {
	if err := m.validateHead(); err != nil {
		return err
	}
	if err := m.validateTexts(); err != nil {
		return err
	}
	for i, t := range m.Trees {
		if err := t.Validate(m.NumFeatures()); err != nil {
			return treeError(i, err)
		}
	}
	return nil
}

func (m *Model) validateHead() error {
	if m.NumClass < 1 || m.NumClass > math.MaxInt32 {
		return modelErrorf("num_class", "%d is not between 1 and %d", m.NumClass, math.MaxInt32)
	}
	if m.TreesPerIteration != m.NumClass {
		return modelErrorf("num_tree_per_iteration", "%d does not go with num_class %d: they must be equal",
			m.TreesPerIteration, m.NumClass)
	}
	if len(m.Trees)%m.TreesPerIteration != 0 {
		return modelErrorf("num_tree_per_iteration", "%d trees are no whole number of iterations of %d trees",
			len(m.Trees), m.TreesPerIteration)
	}
	if m.MaxFeatureIndex < 0 || m.MaxFeatureIndex >= math.MaxInt32 {
		return modelErrorf("max_feature_idx", "%d is not between 0 and %d", m.MaxFeatureIndex, math.MaxInt32-1)
	}
	if m.LabelIndex < 0 || m.LabelIndex >= math.MaxInt32 {
		return modelErrorf("label_index", "%d is not between 0 and %d", m.LabelIndex, math.MaxInt32-1)
	}
	for _, list := range []struct {
		field string
		n     int
	}{{"feature_names", len(m.FeatureNames)}, {"feature_infos", len(m.FeatureInfos)}, {"monotone_constraints", len(m.MonotoneConstraints)}} {
		if list.n != m.NumFeatures() && !(list.field == "monotone_constraints" && list.n == 0) {
			return modelErrorf(list.field, "has %d entries, want %d by max_feature_idx", list.n, m.NumFeatures())
		}
	}
	for i, c := range m.MonotoneConstraints {
		if c < -1 || c > 1 {
			return modelErrorf("monotone_constraints", "entry %d is %d, want -1, 0 or 1", i, c)
		}
	}
	if _, err := parseObjective(m.Objective, m.NumClass); err != nil {
		return modelErrorf("objective", "%v", err)
	}
	return nil
}

func (m *Model) validateTexts() error {
	known := make(map[string]bool, len(m.FeatureNames))
	for i, name := range m.FeatureNames {
		known[name] = true
		if err := validateWord("feature_names", i, name); err != nil {
			return err
		}
		if err := validateWord("feature_infos", i, m.FeatureInfos[i]); err != nil {
			return err
		}
	}
	if strings.ContainsAny(m.Objective, "=\r\n\x00") {
		return modelErrorf("objective", "%q has a line break or an equals sign", m.Objective)
	}
	for _, im := range m.Importances {
		if !known[im.Name] {
			return modelErrorf("feature_importances", "%q is no feature", im.Name)
		}
	}
	for _, section := range []struct{ field, text string }{{"parameters", m.Parameters}, {"parser", m.Parser}} {
		for line := range strings.Lines(section.text) {
			if line == "\n" || !strings.HasSuffix(line, "\n") || strings.ContainsAny(line, "\r\x00") || line == "end of "+section.field+"\n" {
				return modelErrorf(section.field, "%q is no whole line of that section", line)
			}
		}
	}
	return validatePandas(m.PandasCategorical)
}

func validateWord(field string, i int, word string) error {
	if word == "" || strings.ContainsAny(word, " \r\n\x00") {
		return modelErrorf(field, "entry %d, %q, is empty or has a space or a line break", i, word)
	}
	return nil
}

func validatePandas(text string) error {
	if text == "" {
		return nil
	}
	var lists [][]json.RawMessage
	if strings.ContainsAny(text, "\r\n") || text != strings.TrimSpace(text) {
		return modelErrorf("pandas_categorical", "is not on one line")
	}
	if err := json.Unmarshal([]byte(text), &lists); err != nil {
		return modelErrorf("pandas_categorical", "is no JSON list of lists: %v", err)
	}
	return nil
}

// ModelError says what is wrong with a model.
type ModelError struct {
	// Name is what the model was read from; empty if it was not read.
	Name string
	// Line is the line in it, from 1; 0 if the problem has none.
	Line int
	// Tree is the tree's index, or -1.
	Tree int
	// Field is the name of the line's field, as in the model text.
	Field   string
	Problem string

	hint string
}

// Hint says what to do about it.
func (e *ModelError) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	if e.Name == "" {
		return ""
	}
	return "give a whole model text, such as the output_model of training"
}

// Error implements error.
func (e *ModelError) Error() string {
	var b strings.Builder
	if e.Name != "" {
		b.WriteString(e.Name + ": ")
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Tree >= 0 {
		fmt.Fprintf(&b, "tree %d: ", e.Tree)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Problem)
	return b.String()
}

func modelErrorf(field, format string, args ...any) *ModelError {
	return &ModelError{Tree: -1, Field: field, Problem: fmt.Sprintf(format, args...)}
}
