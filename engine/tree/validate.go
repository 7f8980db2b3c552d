package tree

import (
	"fmt"
	"math"

	"cloister/engine/dataset"
)

// FieldError says which part of a tree is wrong.
type FieldError struct {
	// Field is the part's name in LightGBM's model text: left_child, …
	Field string
	// Problem is what is wrong with it.
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

func fieldError(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// Validate checks that the tree is whole, so that prediction for rows of
// numFeatures values ends and stays within its slices: all sizes agree, every
// node and leaf is reached exactly once from the root, features, categories
// and counts are in range, thresholds and leaf values are numbers, linear models
// finite. The error is a *FieldError.
func (t *Tree) Validate(numFeatures int) error {
	for _, check := range []func() error{
		t.checkSizes, t.checkShape,
		func() error { return t.checkNodes(numFeatures) },
		t.checkLeaves, t.checkCategories,
		func() error { return t.checkLinear(numFeatures) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tree) checkSizes() error {
	if t.NumLeaves < 1 || t.NumLeaves > math.MaxInt32 {
		return fieldError("num_leaves", "%d is not between 1 and %d", t.NumLeaves, math.MaxInt32)
	}
	inner, leaves := t.NumLeaves-1, t.NumLeaves
	leafWeights := leaves
	if t.NumLeaves == 1 && len(t.LeafWeight) == 0 {
		leafWeights = 0
	}
	linear := 0
	if t.IsLinear {
		linear = leaves
	}
	for _, s := range []struct {
		field     string
		got, want int
	}{
		{"split_feature", len(t.SplitFeature), inner},
		{"split_gain", len(t.SplitGain), inner},
		{"threshold", len(t.Threshold), inner},
		{"decision_type", len(t.DecisionType), inner},
		{"left_child", len(t.LeftChild), inner},
		{"right_child", len(t.RightChild), inner},
		{"internal_value", len(t.InternalValue), inner},
		{"internal_weight", len(t.InternalWeight), inner},
		{"internal_count", len(t.InternalCount), inner},
		{"leaf_value", len(t.LeafValue), leaves},
		{"leaf_weight", len(t.LeafWeight), leafWeights},
		{"leaf_count", len(t.LeafCount), leaves},
		{"leaf_const", len(t.LeafConst), linear},
		{"leaf_features", len(t.LeafFeatures), linear},
		{"leaf_coeff", len(t.LeafCoeff), linear},
	} {
		if s.got != s.want {
			return fieldError(s.field, "has %d entries, want %d for %d leaves", s.got, s.want, t.NumLeaves)
		}
	}
	return nil
}

// checkShape walks from the root; a node or leaf that is met twice, or never,
// means a cycle or a part that hangs loose.
func (t *Tree) checkShape() error {
	inner := t.NumLeaves - 1
	if inner == 0 {
		return nil
	}
	seenNode, seenLeaf := make([]bool, inner), make([]bool, t.NumLeaves)
	seenNode[0] = true
	met := 1
	stack := []int32{0}
	visit := func(field string, node, child int32) error {
		if child < 0 {
			leaf := ^child
			if int(leaf) >= t.NumLeaves {
				return fieldError(field, "node %d leads to leaf %d, but there are %d leaves", node, leaf, t.NumLeaves)
			}
			if seenLeaf[leaf] {
				return fieldError(field, "node %d leads to leaf %d, which another node leads to", node, leaf)
			}
			seenLeaf[leaf] = true
			return nil
		}
		if int(child) >= inner {
			return fieldError(field, "node %d leads to node %d, but there are %d inner nodes", node, child, inner)
		}
		if seenNode[child] {
			return fieldError(field, "node %d leads to node %d, which is the root or another node leads to", node, child)
		}
		seenNode[child] = true
		met++
		stack = append(stack, child)
		return nil
	}
	for len(stack) > 0 {
		node := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if err := visit("left_child", node, t.LeftChild[node]); err != nil {
			return err
		}
		if err := visit("right_child", node, t.RightChild[node]); err != nil {
			return err
		}
	}
	if met != inner {
		return fieldError("left_child", "only %d of %d inner nodes can be reached from the root", met, inner)
	}
	return nil
}

func (t *Tree) checkNodes(numFeatures int) error {
	for i, d := range t.DecisionType {
		if f := t.SplitFeature[i]; f < 0 || int(f) >= numFeatures {
			return fieldError("split_feature", "node %d splits feature %d, but there are %d features", i, f, numFeatures)
		}
		if d>>MissingTypeShift > uint8(dataset.MissingNaN) {
			return fieldError("decision_type", "node %d has %d, which is no decision type", i, d)
		}
		if math.IsNaN(t.Threshold[i]) {
			return fieldError("threshold", "node %d has no number", i)
		}
		if d&CategoricalMask != 0 {
			if k := t.Threshold[i]; k < 0 || k >= float64(t.NumCat()) || k != math.Floor(k) {
				return fieldError("threshold", "node %d uses the categories of split %v, but there are %d", i, k, t.NumCat())
			}
		}
		if n := t.InternalCount[i]; n < 0 {
			return fieldError("internal_count", "node %d has %d rows", i, n)
		}
	}
	return nil
}

func (t *Tree) checkLeaves() error {
	for i, v := range t.LeafValue {
		if math.IsNaN(v) {
			return fieldError("leaf_value", "leaf %d has no number", i)
		}
	}
	if t.Shrinkage-t.Shrinkage != 0 {
		return fieldError("shrinkage", "%v is not a finite number", t.Shrinkage)
	}
	for i, n := range t.LeafCount {
		if n < 0 {
			return fieldError("leaf_count", "leaf %d has %d rows", i, n)
		}
	}
	return nil
}

func (t *Tree) checkCategories() error {
	b := t.CatBoundaries
	if len(b) == 0 {
		if len(t.CatThreshold) > 0 {
			return fieldError("cat_threshold", "has %d entries without cat_boundaries", len(t.CatThreshold))
		}
		return nil
	}
	if b[0] != 0 {
		return fieldError("cat_boundaries", "starts with %d, want 0", b[0])
	}
	for i := 1; i < len(b); i++ {
		if b[i] < b[i-1] {
			return fieldError("cat_boundaries", "entry %d is %d, less than the one before", i, b[i])
		}
	}
	if last := int(b[len(b)-1]); last != len(t.CatThreshold) {
		return fieldError("cat_threshold", "has %d entries, want %d by cat_boundaries", len(t.CatThreshold), last)
	}
	return nil
}

func (t *Tree) checkLinear(numFeatures int) error {
	for i, features := range t.LeafFeatures {
		if len(features) != len(t.LeafCoeff[i]) {
			return fieldError("leaf_coeff", "leaf %d has %d coefficients for %d features", i, len(t.LeafCoeff[i]), len(features))
		}
		for j, f := range features {
			if f < 0 || int(f) >= numFeatures {
				return fieldError("leaf_features", "leaf %d uses feature %d, but there are %d features", i, f, numFeatures)
			}
			if c := t.LeafCoeff[i][j]; !finite(c) {
				return fieldError("leaf_coeff", "leaf %d has %v for feature %d, want a finite number", i, c, f)
			}
		}
		if c := t.LeafConst[i]; !finite(c) {
			return fieldError("leaf_const", "leaf %d has %v, want a finite number", i, c)
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
