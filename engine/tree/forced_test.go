package tree

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestForcedSplits(t *testing.T) {
	t.Parallel()
	tab := randomTable(8, 4000, 8)
	d := tab.dataSet(func(c int) storage { return storage(c % 3) })
	for name, test := range map[string]struct {
		forced   *ForcedSplit
		depth    int
		features []int32 // of the first nodes
		children []int32 // of node 0: left, right
	}{
		"none": {},
		"a path": {
			forced:   &ForcedSplit{Feature: 5, Threshold: 0.2, Right: &ForcedSplit{Feature: 4, Threshold: 1, Left: &ForcedSplit{Feature: 1, Threshold: 1}}},
			features: []int32{5, 4, 1},
		},
		"level by level": {
			forced: &ForcedSplit{
				Feature: 4, Threshold: 1,
				Left:  &ForcedSplit{Feature: 0, Threshold: 1, Left: &ForcedSplit{Feature: 2, Threshold: 1}},
				Right: &ForcedSplit{Feature: 1, Threshold: 1},
			},
			features: []int32{4, 0, 1, 2}, children: []int32{1, 2},
		},
		"all rows on one side ends it": {
			forced:   &ForcedSplit{Feature: 4, Threshold: 1, Left: &ForcedSplit{Feature: 4, Threshold: 1000, Left: &ForcedSplit{Feature: 6, Threshold: 0}}},
			features: []int32{4},
		},
		"deeper than max_depth": {
			forced: &ForcedSplit{Feature: 4, Threshold: 1, Left: &ForcedSplit{Feature: 0, Threshold: 1}},
			depth:  1, features: []int32{4},
		},
		"unknown feature":      {forced: &ForcedSplit{Feature: 99, Threshold: 1}},
		"category":             {forced: &ForcedSplit{Feature: 3, Threshold: 2}, features: []int32{3}},
		"category without bin": {forced: &ForcedSplit{Feature: 3, Threshold: -7}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt := testOptions()
			opt.L2 = 0 // so that any split gains
			opt.Forced, opt.MaxDepth = test.forced, test.depth
			made, _ := grow(t, d, 2, opt, Gradients{Grad: tab.grad, Hess: tab.hess}, nil)
			if diff := cmp.Diff(test.features, made.SplitFeature[:len(test.features)], cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("features of the first splits:\n%s", diff)
			}
			if test.children != nil && (made.LeftChild[0] != test.children[0] || made.RightChild[0] != test.children[1]) {
				t.Errorf("children of the root: %d and %d, want %v", made.LeftChild[0], made.RightChild[0], test.children)
			}
			if test.depth == 0 && made.NumLeaves != opt.NumLeaves {
				t.Errorf("%d leaves, want %d", made.NumLeaves, opt.NumLeaves)
			}
		})
	}
}

// More forced splits than leaves are cut off.
func TestForcedSplitsKeepNumLeaves(t *testing.T) {
	t.Parallel()
	tab := randomTable(8, 4000, 8)
	opt := testOptions()
	opt.NumLeaves = 3
	for i := range 6 {
		opt.Forced = &ForcedSplit{Feature: i % 3, Threshold: 1, Left: opt.Forced, Right: opt.Forced}
	}
	made, _ := grow(t, tab.dataSet(func(int) storage { return narrow }), 1, opt, Gradients{Grad: tab.grad, Hess: tab.hess}, nil)
	if made.NumLeaves > 3 {
		t.Errorf("%d leaves, want 3 at most", made.NumLeaves)
	}
}
