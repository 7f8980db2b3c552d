package lightgbm

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"cloister/engine/dataset"
	"cloister/engine/tree"
)

// WriteJSON writes the whole model as one JSON object with the keys and the
// values of Booster.dump_model() in LightGBM's Python package, and "parameters"
// besides: an object of texts by name, or null if the model has none.
//
// The values are those of the model text, which has 6 digits of gains and of
// the inner nodes' values; importances count splits. As in LightGBM, infinite
// thresholds and borders become ±1e300, infinite gains ±1e38, and those that are
// no number 0.
// Any other number that JSON cannot hold is null. A model that is not valid, or
// has a feature whose feature_infos entry is neither a range nor categories, is
// not written: the error is a *ModelError.
func (m *Model) WriteJSON(w io.Writer) error {
	if err := m.writeJSON(w); err != nil {
		return fmt.Errorf("write model as JSON: %w", err)
	}
	return nil
}

func (m *Model) writeJSON(w io.Writer) error {
	if err := m.Validate(); err != nil {
		return err
	}
	infos, err := m.appendFeatureInfos(nil)
	if err != nil {
		return err
	}
	parameters, err := m.appendParameters(nil)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(w, 1<<16)
	b.Write(m.appendJSONHead(nil))      //nolint:errcheck // Flush tells
	b.Write(infos)                      //nolint:errcheck // Flush tells
	b.WriteString(",\n\"tree_info\":[") //nolint:errcheck // Flush tells
	for i, t := range m.Trees {
		if i > 0 {
			b.WriteByte(',') //nolint:errcheck // Flush tells
		}
		if err := writeTreeJSON(b, i, t); err != nil {
			return err
		}
	}
	tail := m.appendImportances([]byte("],\n\"feature_importances\":"))
	tail = append(tail, ",\n\"pandas_categorical\":"...)
	if m.PandasCategorical == "" {
		tail = append(tail, "null"...)
	} else {
		tail = append(tail, m.PandasCategorical...)
	}
	tail = append(tail, ",\n\"parameters\":"...)
	tail = append(append(tail, parameters...), "}\n"...)
	b.Write(tail) //nolint:errcheck // Flush tells
	return b.Flush()
}

func (m *Model) appendJSONHead(b []byte) []byte {
	b = fmt.Appendf(b, "{\"name\":\"tree\",\n\"version\":\"v4\",\n\"num_class\":%d,\n\"num_tree_per_iteration\":%d,\n"+
		"\"label_index\":%d,\n\"max_feature_idx\":%d,\n", m.NumClass, m.TreesPerIteration, m.LabelIndex, m.MaxFeatureIndex)
	if m.Objective != "" {
		b = append(appendJSONText(append(b, "\"objective\":"...), m.Objective), ",\n"...)
	}
	b = strconv.AppendBool(append(b, "\"average_output\":"...), m.AverageOutput)
	b = append(b, ",\n\"feature_names\":["...)
	for i, name := range m.FeatureNames {
		b = appendJSONText(appendComma(b, i), name)
	}
	b = append(b, "],\n\"monotone_constraints\":["...)
	for i, c := range m.MonotoneConstraints {
		b = strconv.AppendInt(appendComma(b, i), int64(c), 10)
	}
	return append(b, "],\n\"feature_infos\":"...)
}

// appendFeatureInfos writes the ranges and categories of the features that are
// used.
func (m *Model) appendFeatureInfos(b []byte) ([]byte, error) {
	b = append(b, '{')
	written := 0
	for i, text := range m.FeatureInfos {
		if text == "none" {
			continue
		}
		info, err := ParseFeatureInfo(text)
		if err != nil {
			return nil, modelErrorf("feature_infos", "entry %d, %q, %v", i, shown(text), err)
		}
		b = appendJSONText(appendComma(b, written), m.FeatureNames[i])
		written++
		b = appendBounded(append(b, ":{\"min_value\":"...), info.Min, greatestDouble)
		b = appendBounded(append(b, ",\"max_value\":"...), info.Max, greatestDouble)
		b = append(b, ",\"values\":["...)
		for j, c := range info.Categories {
			b = strconv.AppendInt(appendComma(b, j), int64(c), 10)
		}
		b = append(b, "]}"...)
	}
	return append(b, '}'), nil
}

// FeatureInfo is what a model says of a feature's values in training.
type FeatureInfo struct {
	Min, Max float64
	// Categories are the integers that stand for a categorical feature's
	// categories, in the order of the file; nil for a numerical feature.
	Categories []int32
}

// ParseFeatureInfo reads an entry of Model.FeatureInfos: a range "[0.5:7]" or
// categories "1:2:5". An unused feature's "none" is an error as any other text.
func ParseFeatureInfo(text string) (FeatureInfo, error) {
	fail := fmt.Errorf("is neither a range [min:max] nor a list of categories")
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		low, high, two := strings.Cut(inner, ":")
		if !ok || !two {
			return FeatureInfo{}, fail
		}
		least, err := modelFloat64(low)
		if err != nil {
			return FeatureInfo{}, fail
		}
		greatest, err := modelFloat64(high)
		if err != nil {
			return FeatureInfo{}, fail
		}
		return FeatureInfo{Min: least, Max: greatest}, nil
	}
	var info FeatureInfo
	for word := range strings.SplitSeq(text, ":") {
		c, err := modelInteger[int32](word)
		if err != nil {
			return FeatureInfo{}, fail
		}
		info.Categories = append(info.Categories, c)
	}
	info.Min, info.Max = float64(slices.Min(info.Categories)), float64(slices.Max(info.Categories))
	return info, nil
}

func (m *Model) appendImportances(b []byte) []byte {
	b = append(b, '{')
	written := 0
	for i, v := range m.Importance(ImportanceSplit, 0) {
		if v > 0 {
			b = append(appendJSONText(appendComma(b, written), m.FeatureNames[i]), ':')
			b = strconv.AppendInt(b, int64(v), 10)
			written++
		}
	}
	return append(b, '}')
}

// ParameterText is a line of a model's parameters section.
type ParameterText struct{ Name, Value string }

// ParameterTexts are the lines of the parameters section, in their order. A
// line that is not [name: value] is a *ModelError.
func (m *Model) ParameterTexts() ([]ParameterText, error) {
	var list []ParameterText
	for line := range strings.Lines(m.Parameters) {
		line = strings.TrimRight(line, "\r\n")
		name, value, ok := splitModelLine(line)
		if !ok {
			return nil, modelErrorf("parameters", "%q is not of the form [name: value]", shown(line))
		}
		list = append(list, ParameterText{Name: name, Value: value})
	}
	return list, nil
}

func (m *Model) appendParameters(b []byte) ([]byte, error) {
	list, err := m.ParameterTexts()
	if err != nil || list == nil {
		return append(b, "null"...), err
	}
	b = append(b, '{')
	for i, p := range list {
		b = append(appendJSONText(appendComma(b, i), p.Name), ':')
		b = appendJSONText(b, p.Value)
	}
	return append(b, '}'), nil
}

// writeTreeJSON keeps its own stack: a tree may be as deep as it has leaves.
func writeTreeJSON(w *bufio.Writer, index int, t *tree.Tree) error {
	b := fmt.Appendf(nil, "{\"tree_index\":%d,\"num_leaves\":%d,\n\"num_cat\":%d,\n\"shrinkage\":", index, t.NumLeaves, t.NumCat())
	b = append(appendNumberOrNull(b, t.Shrinkage), ",\n\"tree_structure\":"...)
	if t.NumLeaves == 1 {
		b = appendNumberOrNull(append(b, "{\"leaf_value\":"...), t.LeafValue[0])
		_, err := w.Write(append(appendLeafEnd(b, t, 0), "}\n"...))
		return err
	}
	type step struct {
		node int32
		text string // instead of a node
	}
	stack := []step{{node: 0}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		switch {
		case at.text != "":
			b = append(b, at.text...)
		case at.node < 0:
			b = appendLeafJSON(b, t, int(^at.node))
		default:
			b = appendNodeJSON(b, t, int(at.node))
			stack = append(stack, step{text: "}"}, step{node: t.RightChild[at.node]},
				step{text: ",\n\"right_child\":"}, step{node: t.LeftChild[at.node]})
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	_, err := w.WriteString("}\n")
	return err
}

// appendNodeJSON writes an inner node up to its left child.
func appendNodeJSON(b []byte, t *tree.Tree, node int) []byte {
	b = fmt.Appendf(b, "{\n\"split_index\":%d,\n\"split_feature\":%d,\n\"split_gain\":", node, t.SplitFeature[node])
	b = append(appendBounded(b, float64(t.SplitGain[node]), float64(greatestFloat)), ",\n\"threshold\":"...)
	if t.IsCategorical(node) {
		b = append(b, '"')
		for i, c := range t.Categories(node) {
			if i > 0 {
				b = append(b, "||"...)
			}
			b = strconv.AppendInt(b, int64(c), 10)
		}
		b = append(b, "\",\n\"decision_type\":\"==\""...)
	} else {
		b = append(appendBounded(b, t.Threshold[node], greatestDouble), ",\n\"decision_type\":\"<=\""...)
	}
	b = strconv.AppendBool(append(b, ",\n\"default_left\":"...), t.DecisionType[node]&tree.DefaultLeftMask != 0)
	missing := "NaN"
	switch t.MissingType(node) {
	case dataset.MissingNone:
		missing = "None"
	case dataset.MissingZero:
		missing = "Zero"
	default:
	}
	b = append(b, ",\n\"missing_type\":\""+missing+"\",\n\"internal_value\":"...)
	b = append(appendNumberOrNull(b, t.InternalValue[node]), ",\n\"internal_weight\":"...)
	b = append(appendNumberOrNull(b, t.InternalWeight[node]), ",\n\"internal_count\":"...)
	return append(strconv.AppendInt(b, t.InternalCount[node], 10), ",\n\"left_child\":"...)
}

func appendLeafJSON(b []byte, t *tree.Tree, leaf int) []byte {
	b = fmt.Appendf(b, "{\n\"leaf_index\":%d,\n\"leaf_value\":", leaf)
	b = append(appendNumberOrNull(b, t.LeafValue[leaf]), ",\n\"leaf_weight\":"...)
	return appendLeafEnd(appendNumberOrNull(b, t.LeafWeight[leaf]), t, leaf)
}

// appendLeafEnd writes the leaf's count and what a linear tree has.
func appendLeafEnd(b []byte, t *tree.Tree, leaf int) []byte {
	b = strconv.AppendInt(append(b, ",\n\"leaf_count\":"...), t.LeafCount[leaf], 10)
	if t.IsLinear {
		b = appendNumberOrNull(append(b, ",\n\"leaf_const\":"...), t.LeafConst[leaf])
		b = append(b, ",\n\"leaf_features\":["...)
		for i, f := range t.LeafFeatures[leaf] {
			b = strconv.AppendInt(appendComma(b, i), int64(f), 10)
		}
		b = append(b, "],\n\"leaf_coeff\":["...)
		for i, c := range t.LeafCoeff[leaf] {
			b = appendNumberOrNull(appendComma(b, i), c)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendComma(b []byte, before int) []byte {
	if before > 0 {
		b = append(b, ',')
	}
	return b
}

// What LightGBM writes for infinite numbers.
const (
	greatestDouble float64 = 1e300
	greatestFloat  float32 = 1e38
)

// appendBounded writes a number with LightGBM's substitutes for what JSON
// cannot hold.
func appendBounded(b []byte, v, bound float64) []byte {
	if math.IsNaN(v) {
		v = 0
	}
	return appendNumberOrNull(b, min(max(v, -bound), bound))
}

func appendNumberOrNull(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

func appendJSONText(b []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string has a JSON form
	}
	return append(b, quoted...)
}
