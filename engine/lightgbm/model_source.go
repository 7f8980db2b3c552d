package lightgbm

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"cloister/engine/tree"
)

// Language is a programming language that a model can be turned into.
type Language string

// The languages, by their names in convert_model_language.
const (
	Go  Language = "go"
	CPP Language = "cpp"
)

// ParseLanguage reads convert_model_language; empty is C++, as in LightGBM.
func ParseLanguage(name string) (Language, error) {
	switch strings.ToLower(name) {
	case "", "cpp":
		return CPP, nil
	case "go":
		return Go, nil
	}
	return "", fmt.Errorf("convert_model_language: %q is neither cpp nor go", shown(name))
}

// WriteSource writes a source file that predicts as the model does and needs
// nothing but the language's standard library: in Go a package model with
// PredictRaw and Predict, in C++17 the same functions in a namespace
// gbdt_model. Raw scores have the bits of Predictor.Raw (in C++ if the compiler
// does not contract products and sums); outputs go through the language's own
// exp and log1p.
//
// The model is data there, not code, so the compiler's work grows with its size
// alone. No text of the model but the features' names comes into the source,
// and these as escaped strings. A model that is not valid is not written; the
// error is a *ModelError then.
func (m *Model) WriteSource(w io.Writer, language Language) error {
	if err := m.writeSource(w, language); err != nil {
		return fmt.Errorf("write model as source code: %w", err)
	}
	return nil
}

func (m *Model) writeSource(w io.Writer, language Language) error {
	if err := m.Validate(); err != nil {
		return err
	}
	transform, err := m.Transform(m.NumIterations())
	if err != nil {
		return err
	}
	d, ok := dialects[language]
	if !ok {
		return fmt.Errorf("%q is no language", shown(string(language)))
	}
	s := &sourceWriter{w: bufio.NewWriterSize(w, 1<<16), dialect: d}
	s.text(d.head)
	s.constants(m, transform)
	s.trees(m.Trees)
	s.text(d.predict)
	s.text(d.outputs[transform.link])
	s.text(d.tail)
	return s.w.Flush()
}

// dialect is how a language writes what the model fills in.
type dialect struct {
	head, predict, tail string
	outputs             map[link]string // scores of a row to outputs
	constant            string          // a format of type, name and value
	list                string          // a format of type, name and length: before the elements
	listEnd             string
	types               map[string]string // by Go's names
	quote               func(string) string
	infinity, nan       string
}

type sourceWriter struct {
	*dialect
	w *bufio.Writer
}

func (s *sourceWriter) text(text string) {
	s.w.WriteString(text) //nolint:errcheck // Flush tells
}

func (s *sourceWriter) constants(m *Model, t Transform) {
	for _, c := range []struct {
		name  string
		value int
	}{{"NumFeatures", m.NumFeatures()}, {"NumClasses", m.NumClass}, {"NumTrees", len(m.Trees)}} {
		fmt.Fprintf(s.w, s.constant, s.types["int"], c.name, strconv.Itoa(c.value))
	}
	for _, c := range []struct {
		name  string
		value float64
	}{{"sigmoid", t.sigmoid}, {"divisor", t.divisor}, {"zeroThreshold", float64(float32(1e-35))}} {
		fmt.Fprintf(s.w, s.constant, s.types["float64"], c.name, s.number(c.value))
	}
	writeList(s, "string", "FeatureNames", m.FeatureNames, s.quote)
}

// number writes a number so that compilers read the same.
func (s *sourceWriter) number(v float64) string {
	switch {
	case math.IsNaN(v):
		return s.nan
	case math.IsInf(v, 1):
		return s.infinity
	case math.IsInf(v, -1):
		return "-" + s.infinity
	}
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0" // a long integer has no type in C++
	}
	return text
}

// writeList writes an array. C++ has no empty ones, so there is an element more.
func writeList[T any](s *sourceWriter, kind, name string, list []T, format func(T) string) {
	fmt.Fprintf(s.w, s.list, s.types[kind], name, max(1, len(list)))
	for i, v := range list {
		s.text(format(v))
		if i%8 == 7 || i == len(list)-1 {
			s.text(",\n")
		} else {
			s.text(", ")
		}
	}
	s.text(s.listEnd)
}

func decimal[T int32 | uint32 | uint8](v T) string { return strconv.FormatInt(int64(v), 10) }

// forest has the trees one after another: children are nodes, or leaves as in
// tree.Tree, of all trees together.
type forest struct {
	root, feature, left, right []int32
	decision                   []uint8
	threshold, value, constant []float64
	sets                       []int32 // borders of the bit sets in words
	words                      []uint32
	linearStart, linearFeature []int32 // the features of leaf i are those from linearStart[i] on
	linearCoeff                []float64
}

func (s *sourceWriter) trees(trees []*tree.Tree) {
	f := new(forest)
	for _, t := range trees {
		f.add(t)
	}
	f.linearStart = append(f.linearStart, int32(len(f.linearFeature)))
	f.sets = append(f.sets, int32(len(f.words)))
	for _, l := range []struct {
		name string
		list []int32
	}{
		{"root", f.root},
		{"feature", f.feature},
		{"left", f.left},
		{"right", f.right},
		{"sets", f.sets},
		{"linearStart", f.linearStart},
		{"linearFeature", f.linearFeature},
	} {
		writeList(s, "int32", l.name, l.list, decimal[int32])
	}
	writeList(s, "uint8", "decision", f.decision, decimal[uint8])
	writeList(s, "uint32", "words", f.words, decimal[uint32])
	for _, l := range []struct {
		name string
		list []float64
	}{{"threshold", f.threshold}, {"value", f.value}, {"constant", f.constant}, {"linearCoeff", f.linearCoeff}} {
		writeList(s, "float64", l.name, l.list, s.number)
	}
}

func (f *forest) add(t *tree.Tree) {
	nodes, leaves, sets, words := int32(len(f.feature)), int32(len(f.value)), len(f.sets), int32(len(f.words))
	child := func(c int32) int32 {
		if c < 0 {
			return ^(^c + leaves)
		}
		return c + nodes
	}
	if t.NumLeaves == 1 {
		f.root = append(f.root, ^leaves)
	} else {
		f.root = append(f.root, nodes)
	}
	for node := range t.NumLeaves - 1 {
		f.left = append(f.left, child(t.LeftChild[node]))
		f.right = append(f.right, child(t.RightChild[node]))
		threshold := t.Threshold[node]
		if t.IsCategorical(node) {
			threshold = float64(sets + int(threshold))
		}
		f.threshold = append(f.threshold, threshold)
	}
	f.feature = append(f.feature, t.SplitFeature...)
	f.decision = append(f.decision, t.DecisionType...)
	for _, b := range t.CatBoundaries {
		f.sets = append(f.sets, words+b)
	}
	f.words = append(f.words, t.CatThreshold...)
	f.value = append(f.value, t.LeafValue...)
	if !t.IsLinear {
		f.constant = append(f.constant, t.LeafValue...)
		f.linearStart = append(f.linearStart, slices.Repeat([]int32{int32(len(f.linearFeature))}, t.NumLeaves)...)
		return
	}
	f.constant = append(f.constant, t.LeafConst...)
	for leaf, features := range t.LeafFeatures {
		f.linearStart = append(f.linearStart, int32(len(f.linearFeature)))
		f.linearFeature = append(f.linearFeature, features...)
		f.linearCoeff = append(f.linearCoeff, t.LeafCoeff[leaf]...)
	}
}
