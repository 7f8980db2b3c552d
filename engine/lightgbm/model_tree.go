package lightgbm

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"cloister/engine/tree"
)

var treeFields = []string{
	"num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child",
	"leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count",
	"cat_boundaries", "cat_threshold", "is_linear", "leaf_const", "num_features", "leaf_features", "leaf_coeff",
	"shrinkage",
}

// treeReader has the lines of one tree.
type treeReader struct {
	fields map[string]textField
	index  int
	line   int // of "Tree="
	t      *tree.Tree
}

// finish reads the tree's numbers and checks it.
func (tr *treeReader) finish(features int) error {
	err := tr.read()
	var me *ModelError
	if errors.As(err, &me) {
		me.Tree = tr.index
		return err
	}
	if err := tr.t.Validate(features); err != nil {
		return treeError(tr.index, err)
	}
	return nil
}

// treeLines takes the lines from "Tree=" to the next empty one.
func (r *modelReader) treeLines(index int) (*treeReader, error) {
	tr := &treeReader{t: new(tree.Tree), index: index}
	err := r.takeLines(tr)
	var me *ModelError
	if errors.As(err, &me) {
		me.Tree = index
		return nil, err
	}
	return tr, nil
}

func (r *modelReader) takeLines(tr *treeReader) error {
	line, _ := r.next()
	if line != "Tree="+strconv.Itoa(tr.index) {
		return r.errorf("", "%q stands where the line %q or %q should", shown(line), "Tree="+strconv.Itoa(tr.index), "end of trees")
	}
	tr.line = r.line
	tr.fields = make(map[string]textField, len(treeFields))
	for {
		line, ok := r.next()
		if !ok || line == "" {
			return nil
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return r.errorf("", "%q has no equals sign", shown(line))
		}
		if _, twice := tr.fields[name]; twice {
			return r.errorf(name, "stands twice in the tree")
		}
		if !slices.Contains(treeFields, name) {
			if r.v4 {
				return r.errorf(shown(name), "is no field of a tree")
			}
			continue
		}
		tr.fields[name] = textField{name: name, value: value, line: r.line}
	}
}

func (tr *treeReader) missing(name string) error {
	return textField{name: name, line: tr.line}.errorf("is missing")
}

func (tr *treeReader) integer(name string) (int, error) {
	f, ok := tr.fields[name]
	if !ok {
		return 0, tr.missing(name)
	}
	v, err := modelInteger[int32](f.value)
	if err != nil {
		return 0, f.errorf("%q %v", shown(f.value), err)
	}
	return int(v), nil
}

// list reads a field of n numbers into list. A field that is not there is an
// error if it is needed, and else n zeros; n must be bounded by a list that was
// read then.
func list[T any](tr *treeReader, name string, n int, needed bool, into *[]T, parse func(string) (T, error)) error {
	f, ok := tr.fields[name]
	switch {
	case !ok && needed:
		return tr.missing(name)
	case !ok:
		*into = make([]T, n)
		return nil
	}
	var err error
	*into, err = numbers(f, n, parse)
	return err
}

func (tr *treeReader) read() error {
	leaves, err := tr.integer("num_leaves")
	if err != nil {
		return err
	}
	if leaves < 1 {
		return tr.fields["num_leaves"].errorf("%d is less than 1", leaves)
	}
	tr.t.NumLeaves = leaves
	for _, part := range []func() error{tr.readLeaves, tr.readNodes, tr.readCategories, tr.readLinear, tr.readShrinkage} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (tr *treeReader) readLeaves() error {
	t, n := tr.t, tr.t.NumLeaves
	// The values come first: no other list is longer than they are.
	if err := list(tr, "leaf_value", n, true, &t.LeafValue, modelFloat64); err != nil {
		return err
	}
	if err := list(tr, "leaf_count", n, false, &t.LeafCount, modelInteger[int64]); err != nil {
		return err
	}
	if n == 1 && strings.Trim(tr.fields["leaf_weight"].value, " ") == "" {
		return nil // LightGBM leaves it out when it writes what it read
	}
	return list(tr, "leaf_weight", n, false, &t.LeafWeight, modelFloat64)
}

func (tr *treeReader) readNodes() error {
	t, n := tr.t, tr.t.NumLeaves-1
	needed := n > 0
	return firstError(
		list(tr, "split_feature", n, needed, &t.SplitFeature, modelInteger[int32]),
		list(tr, "split_gain", n, false, &t.SplitGain, modelFloat32),
		list(tr, "threshold", n, needed, &t.Threshold, modelFloat64),
		list(tr, "decision_type", n, false, &t.DecisionType, modelInteger[uint8]),
		list(tr, "left_child", n, needed, &t.LeftChild, modelInteger[int32]),
		list(tr, "right_child", n, needed, &t.RightChild, modelInteger[int32]),
		list(tr, "internal_value", n, false, &t.InternalValue, modelFloat64),
		list(tr, "internal_weight", n, false, &t.InternalWeight, modelFloat64),
		list(tr, "internal_count", n, false, &t.InternalCount, modelInteger[int64]),
	)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (tr *treeReader) readCategories() error {
	t := tr.t
	n, err := tr.integer("num_cat")
	if err != nil {
		return err
	}
	if n < 0 || n >= t.NumLeaves {
		return tr.fields["num_cat"].errorf("%d categorical splits in a tree of %d leaves", n, t.NumLeaves)
	}
	if n == 0 {
		for _, name := range []string{"cat_boundaries", "cat_threshold"} {
			if f, ok := tr.fields[name]; ok {
				return f.errorf("stands in a tree with num_cat=0")
			}
		}
		return nil
	}
	if err := list(tr, "cat_boundaries", n+1, true, &t.CatBoundaries, modelInteger[int32]); err != nil {
		return err
	}
	return list(tr, "cat_threshold", -1, true, &t.CatThreshold, modelInteger[uint32])
}

func (tr *treeReader) readLinear() error {
	t := tr.t
	if f, ok := tr.fields["is_linear"]; ok {
		if f.value != "0" && f.value != "1" {
			return f.errorf("%q is neither 0 nor 1", shown(f.value))
		}
		t.IsLinear = f.value == "1"
	}
	if !t.IsLinear {
		return nil
	}
	var sizes, features []int32
	var coeff []float64
	err := firstError(
		list(tr, "leaf_const", t.NumLeaves, true, &t.LeafConst, modelFloat64),
		list(tr, "num_features", t.NumLeaves, true, &sizes, modelInteger[int32]),
		list(tr, "leaf_features", -1, true, &features, modelInteger[int32]),
		list(tr, "leaf_coeff", -1, true, &coeff, modelFloat64),
	)
	if err != nil {
		return err
	}
	if len(features) != len(coeff) {
		return tr.fields["leaf_coeff"].errorf("has %d entries, but leaf_features has %d", len(coeff), len(features))
	}
	t.LeafFeatures, t.LeafCoeff = make([][]int32, t.NumLeaves), make([][]float64, t.NumLeaves)
	for i, n := range sizes {
		if n < 0 || int(n) > len(features) {
			return tr.fields["num_features"].errorf("entry %d is %d, but %d features are left in leaf_features", i, n, len(features))
		}
		if n > 0 {
			t.LeafFeatures[i], features = features[:n:n], features[n:]
			t.LeafCoeff[i], coeff = coeff[:n:n], coeff[n:]
		}
	}
	if len(features) > 0 {
		return tr.fields["num_features"].errorf("leaves %d entries of leaf_features over", len(features))
	}
	return nil
}

func (tr *treeReader) readShrinkage() error {
	tr.t.Shrinkage = 1
	f, ok := tr.fields["shrinkage"]
	if !ok {
		return nil
	}
	v, err := modelFloat64(f.value)
	if err != nil {
		return f.errorf("%q %v", shown(f.value), err)
	}
	tr.t.Shrinkage = v
	return nil
}
