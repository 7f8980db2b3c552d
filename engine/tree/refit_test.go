package tree

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// refitTree has the leaves 0 and 1 below one node, and 2 beside it.
func refitTree() *Tree {
	return &Tree{
		NumLeaves: 3, LeftChild: []int32{1, ^0}, RightChild: []int32{^2, ^1},
		LeafValue: []float64{1, 2, 3}, Shrinkage: 0.5,
	}
}

func TestRefitValues(t *testing.T) {
	t.Parallel()
	leaf := []int32{0, 1, 0, 1, 1}
	grad := []float32{-2, 4, -6, 1, 1}
	hess := []float32{1, 2, 3, 1, 1}
	for name, test := range map[string]struct {
		fit  Refit
		want []float64
	}{
		"plain":       {Refit{Decay: 0.5}, []float64{1*0.5 + 2*0.25, 2*0.5 - 1.5*0.25, 1.5}},
		"new only":    {Refit{}, []float64{1, -0.75, 0}},
		"old only":    {Refit{Decay: 1}, []float64{1, 2, 3}},
		"lambda":      {Refit{Options: Options{L1: 2, L2: 4}}, []float64{0.375, -0.25, 0}},
		"bounded":     {Refit{Options: Options{MaxDeltaStep: 0.5}}, []float64{0.25, -0.25, 0}},
		"path_smooth": {Refit{Options: Options{PathSmooth: 2}}, []float64{(1 + 0.125) / 2, (-1.5*0.6 + 0.25*0.4) / 2, 0.125}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := refitTree()
			made, err := test.fit.Tree(before, leaf, grad, hess)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range made.LeafValue {
				if math.Abs(v-test.want[i]) > 1e-12 {
					t.Errorf("leaf %d has %v, want %v", i, v, test.want[i])
				}
			}
			if diff := cmp.Diff(refitTree(), before); diff != "" {
				t.Errorf("the tree itself changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefitOfInfiniteGradients(t *testing.T) {
	t.Parallel()
	_, err := (&Refit{}).Tree(refitTree(), []int32{0}, []float32{float32(math.Inf(1))}, []float32{1})
	if !errors.Is(err, ErrNotFinite) {
		t.Errorf("error %v, want %v", err, ErrNotFinite)
	}
}
