package lightgbm

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"cloister/engine/tree"
)

// Write writes the model as LightGBM does, version 4 of its text: what LightGBM
// wrote and ReadModel read comes out with the same bytes. A model that is not
// valid is not written; the error is a *ModelError then.
func (m *Model) Write(w io.Writer) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	var trees []byte
	sizes := make([]int, len(m.Trees))
	for i, t := range m.Trees {
		before := len(trees)
		trees = appendTree(trees, i, t)
		sizes[i] = len(trees) - before
	}
	for _, part := range [][]byte{m.appendHead(nil, sizes), trees, m.appendTail(nil)} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write model: %w", err)
		}
	}
	return nil
}

func (m *Model) appendHead(b []byte, sizes []int) []byte {
	b = append(b, "tree\nversion=v4\n"...)
	for _, f := range []struct {
		name  string
		value int
	}{
		{"num_class", m.NumClass},
		{"num_tree_per_iteration", m.TreesPerIteration},
		{"label_index", m.LabelIndex},
		{"max_feature_idx", m.MaxFeatureIndex},
	} {
		b = append(b, f.name...)
		b = append(b, '=')
		b = strconv.AppendInt(b, int64(f.value), 10)
		b = append(b, '\n')
	}
	if m.Objective != "" {
		b = append(b, "objective="+m.Objective+"\n"...)
	}
	if m.AverageOutput {
		b = append(b, "average_output\n"...)
	}
	b = append(b, "feature_names="+strings.Join(m.FeatureNames, " ")+"\n"...)
	if len(m.MonotoneConstraints) > 0 {
		b = append(b, "monotone_constraints="...)
		b = append(appendIntegers(b, m.MonotoneConstraints), '\n')
	}
	b = append(b, "feature_infos="+strings.Join(m.FeatureInfos, " ")+"\n"...)
	b = append(b, "tree_sizes="...)
	return append(appendIntegers(b, sizes), "\n\n"...)
}

func appendTree(b []byte, index int, t *tree.Tree) []byte {
	b = append(b, "Tree="...)
	b = strconv.AppendInt(b, int64(index), 10)
	b = append(b, "\nnum_leaves="...)
	b = strconv.AppendInt(b, int64(t.NumLeaves), 10)
	b = append(b, "\nnum_cat="...)
	b = strconv.AppendInt(b, int64(t.NumCat()), 10)
	b = appendIntegers(append(b, "\nsplit_feature="...), t.SplitFeature)
	b = appendNumbers(append(b, "\nsplit_gain="...), t.SplitGain, shortDigits)
	b = appendNumbers(append(b, "\nthreshold="...), t.Threshold, exactDigits)
	b = appendIntegers(append(b, "\ndecision_type="...), t.DecisionType)
	b = appendIntegers(append(b, "\nleft_child="...), t.LeftChild)
	b = appendIntegers(append(b, "\nright_child="...), t.RightChild)
	b = appendNumbers(append(b, "\nleaf_value="...), t.LeafValue, exactDigits)
	b = appendNumbers(append(b, "\nleaf_weight="...), t.LeafWeight, exactDigits)
	b = appendIntegers(append(b, "\nleaf_count="...), t.LeafCount)
	b = appendNumbers(append(b, "\ninternal_value="...), t.InternalValue, shortDigits)
	b = appendNumbers(append(b, "\ninternal_weight="...), t.InternalWeight, shortDigits)
	b = appendIntegers(append(b, "\ninternal_count="...), t.InternalCount)
	if t.NumCat() > 0 {
		b = appendIntegers(append(b, "\ncat_boundaries="...), t.CatBoundaries)
		b = appendIntegers(append(b, "\ncat_threshold="...), t.CatThreshold)
	}
	if t.IsLinear {
		b = appendLinear(append(b, "\nis_linear=1"...), t)
	} else {
		b = append(b, "\nis_linear=0"...)
	}
	b = appendNumber(append(b, "\nshrinkage="...), t.Shrinkage, shortDigits)
	return append(b, "\n\n\n"...)
}

func appendLinear(b []byte, t *tree.Tree) []byte {
	b = appendNumbers(append(b, "\nleaf_const="...), t.LeafConst, exactDigits)
	sizes := make([]int, t.NumLeaves)
	for i, f := range t.LeafFeatures {
		sizes[i] = len(f)
	}
	b = appendIntegers(append(b, "\nnum_features="...), sizes)
	b = append(b, "\nleaf_features="...)
	for _, f := range t.LeafFeatures {
		if len(f) > 0 {
			b = append(appendIntegers(b, f), ' ')
		}
		b = append(b, ' ')
	}
	b = append(b, "\nleaf_coeff="...)
	for _, c := range t.LeafCoeff {
		if len(c) > 0 {
			b = append(appendNumbers(b, c, exactDigits), ' ')
		}
		b = append(b, ' ')
	}
	return b
}

func (m *Model) appendTail(b []byte) []byte {
	b = append(b, "end of trees\n\nfeature_importances:\n"...)
	for _, im := range m.importances() {
		b = append(b, im.Name...)
		b = append(b, '=')
		b = strconv.AppendUint(b, im.Value, 10)
		b = append(b, '\n')
	}
	for _, section := range []struct{ name, text string }{{"parameters", m.Parameters}, {"parser", m.Parser}} {
		if section.text != "" {
			b = slices.Concat(b, []byte("\n"+section.name+":\n"+section.text+"\nend of "+section.name+"\n"))
		}
	}
	if m.PandasCategorical != "" {
		b = append(b, "\npandas_categorical:"+m.PandasCategorical+"\n"...)
	}
	return b
}
