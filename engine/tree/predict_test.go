package tree_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"cloister/engine/tree"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// stump is a tree of one split: leaf 0 is left, leaf 1 right.
func stump(decision uint8, threshold float64, words ...uint32) *tree.Tree {
	t := &tree.Tree{
		NumLeaves: 2, SplitFeature: []int32{0}, SplitGain: []float32{1}, Threshold: []float64{threshold},
		DecisionType: []uint8{decision}, LeftChild: []int32{^0}, RightChild: []int32{^1},
		InternalValue: []float64{0}, InternalWeight: []float64{3}, InternalCount: []int64{3},
		LeafValue: []float64{-1, 1}, LeafWeight: []float64{1, 2}, LeafCount: []int64{1, 2}, Shrinkage: 1,
	}
	if len(words) > 0 {
		t.CatBoundaries, t.CatThreshold = []int32{0, int32(len(words))}, words
	}
	return t
}

// TestDecisions has LightGBM's rules, of its Tree::NumericalDecision and
// Tree::CategoricalDecision.
func TestDecisions(t *testing.T) {
	t.Parallel()
	const (
		none        = 0 << 2
		zero        = 1 << 2
		nan         = 2 << 2
		left        = 2
		categorical = 1
	)
	missing := math.NaN()
	for name, c := range map[string]struct {
		tree     *tree.Tree
		lefts    []float64
		rights   []float64
		sparsely int // the leaf of a row without entries
	}{
		"none":                {stump(none, 0.5), []float64{0.5, -3, math.Inf(-1), missing}, []float64{0.6, math.Inf(1)}, 0},
		"none below zero":     {stump(none, -0.5), []float64{-0.5}, []float64{missing, 0}, 1},
		"none, default left":  {stump(none|left, -0.5), []float64{-0.5}, []float64{missing, 0}, 1},
		"zero, right":         {stump(zero, 0.5), []float64{0.5, 1e-34, -1e-34}, []float64{0, math.Copysign(0, -1), 1e-36, -1e-36, missing, 0.6}, 1},
		"zero, left":          {stump(zero|left, -0.5), []float64{-0.5, 0, 1e-36, missing}, []float64{1e-34, -0.4}, 0},
		"nan, right":          {stump(nan, 0.5), []float64{0.5, 0, 1e-36}, []float64{missing, 0.6}, 0},
		"nan, left":           {stump(nan|left, -0.5), []float64{-0.5, missing}, []float64{0, -0.4}, 1},
		"categories":          {stump(categorical, 0, 0b1001, 0b1), []float64{0, -0.5, 3, 3.9, 32, 32.99}, []float64{1, 4, 33, 64, 1e6, -1, missing, 3e9, -3e9, 1e300, math.Inf(1), math.Inf(-1)}, 0},
		"categories, missing": {stump(categorical|nan|left, 0, 0b10), []float64{1}, []float64{0, missing}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.tree.Validate(1); err != nil {
				t.Fatal(err)
			}
			for leaf, values := range [][]float64{c.lefts, c.rights} {
				for _, v := range values {
					if got := c.tree.Leaf([]float64{v}); got != leaf {
						t.Errorf("%v falls into leaf %d, want %d", v, got, leaf)
					}
					if got := c.tree.LeafSparse([]int32{0}, []float64{v}); got != leaf {
						t.Errorf("%v, sparse, falls into leaf %d, want %d", v, got, leaf)
					}
				}
			}
			if got := c.tree.LeafSparse(nil, nil); got != c.sparsely {
				t.Errorf("an empty row falls into leaf %d, want %d", got, c.sparsely)
			}
		})
	}
}

func TestSparseRowsPredictAsDenseOnes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 2))
		const features = 8
		tr := randomTree(r, 1+r.IntN(40), features, true, r.IntN(2) == 0)
		for range 50 {
			row := make([]float64, features)
			var index []int32
			var value []float64
			for i := range row {
				if r.IntN(2) == 0 {
					row[i] = randomValue(r)
					index, value = append(index, int32(i)), append(value, row[i])
				}
			}
			dense, sparse := tr.Predict(row), tr.PredictSparse(index, value)
			if dense != sparse && !(math.IsNaN(dense) && math.IsNaN(sparse)) {
				t.Fatalf("seed %d: %v dense, %v sparse", seed, dense, sparse)
			}
		}
	}
}

func TestShrinkAndAddBias(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	tr := stump(0, 0)
	tr.IsLinear, tr.LeafConst = true, []float64{4, 1e-35}
	tr.LeafFeatures, tr.LeafCoeff = [][]int32{{0}, nil}, [][]float64{{2}, nil}
	tr.Shrink(0.5)
	tr.AddBias(1)
	want := stump(0, 0)
	want.LeafValue, want.InternalValue = []float64{0.5, 1.5}, []float64{1}
	want.IsLinear, want.LeafConst = true, []float64{3, 1}
	want.LeafFeatures, want.LeafCoeff = [][]int32{{0}, nil}, [][]float64{{1}, nil}
	if diff := cmp.Diff(want, tr, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after Shrink and AddBias (-want +got):\n%s", diff)
	}
	other := randomTree(r, 9, 2, false, false)
	other.Shrink(0.1)
	other.Shrink(0.5)
	if math.Abs(other.Shrinkage-0.05) > 1e-17 {
		t.Errorf("shrinkage %v, want 0.05", other.Shrinkage)
	}
}

func TestMaxDepth(t *testing.T) {
	t.Parallel()
	if got := (&tree.Tree{NumLeaves: 1}).MaxDepth(); got != 0 {
		t.Errorf("depth of one leaf is %d, want 0", got)
	}
	if got := stump(0, 0).MaxDepth(); got != 1 {
		t.Errorf("depth of a stump is %d, want 1", got)
	}
	if got := chain(50, 3).MaxDepth(); got != 49 {
		t.Errorf("depth of a chain of 50 leaves is %d, want 49", got)
	}
}

// chain is the deepest tree: every right child is a leaf.
func chain(leaves, features int) *tree.Tree {
	t := randomTree(rand.New(rand.NewPCG(1, 1)), leaves, features, false, false)
	for node := range t.LeftChild {
		t.LeftChild[node], t.RightChild[node] = int32(node+1), int32(^(node + 1))
		t.InternalCount[node] = int64(leaves - node)
	}
	t.LeftChild[leaves-2] = ^0
	for i := range t.LeafCount {
		t.LeafCount[i] = 1
	}
	return t
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*tree.Tree)
		want  string
	}{
		"no leaves":            {func(t *tree.Tree) { t.NumLeaves = 0 }, "num_leaves: 0 is not between"},
		"a short list":         {func(t *tree.Tree) { t.SplitGain = t.SplitGain[1:] }, "split_gain: has 7 entries, want 8 for 9 leaves"},
		"no weights":           {func(t *tree.Tree) { t.LeafWeight = nil }, "leaf_weight: has 0 entries, want 9"},
		"linear parts":         {func(t *tree.Tree) { t.LeafConst = make([]float64, 9) }, "leaf_const: has 9 entries, want 0"},
		"a leaf beyond":        {func(t *tree.Tree) { t.RightChild[3] = ^9 }, "leads to leaf 9, but there are 9"},
		"a node beyond":        {func(t *tree.Tree) { t.LeftChild[0] = 8 }, "node 0 leads to node 8, but there are 8"},
		"the least child":      {func(t *tree.Tree) { t.LeftChild[0] = math.MinInt32 }, "leads to leaf 2147483647"},
		"a node leads to root": {func(t *tree.Tree) { t.RightChild[7] = 0 }, "leads to node 0, which is the root"},
		"a leaf twice":         {func(t *tree.Tree) { t.LeftChild[7] = t.RightChild[7] }, "another node leads to"},
		"a cycle apart":        {cycleApart, "left_child: only 5 of 8 inner nodes can be reached"},
		"feature":              {func(t *tree.Tree) { t.SplitFeature[2] = 4 }, "split_feature: node 2 splits feature 4, but there are 4"},
		"negative feature":     {func(t *tree.Tree) { t.SplitFeature[2] = -1 }, "split_feature: node 2 splits feature -1"},
		"missing type":         {func(t *tree.Tree) { t.DecisionType[2] = 3 << 2 }, "decision_type: node 2 has 12"},
		"threshold":            {func(t *tree.Tree) { t.Threshold[2] = math.NaN() }, "threshold: node 2 has no number"},
		"category":             {func(t *tree.Tree) { t.DecisionType[2] = 1 }, "threshold: node 2 uses the categories of split"},
		"count":                {func(t *tree.Tree) { t.InternalCount[2] = -1 }, "internal_count: node 2 has -1 rows"},
		"leaf's count":         {func(t *tree.Tree) { t.LeafCount[2] = -1 }, "leaf_count: leaf 2 has -1 rows"},
		"leaf's value":         {func(t *tree.Tree) { t.LeafValue[2] = math.NaN() }, "leaf_value: leaf 2 has no number"},
		"sets without borders": {func(t *tree.Tree) { t.CatThreshold = []uint32{1} }, "cat_threshold: has 1 entries without cat_boundaries"},
		"borders fall":         {func(t *tree.Tree) { t.CatBoundaries = []int32{0, 2, 1}; t.CatThreshold = []uint32{1} }, "cat_boundaries: entry 2 is 1"},
		"borders start late":   {func(t *tree.Tree) { t.CatBoundaries = []int32{1, 1}; t.CatThreshold = []uint32{1} }, "cat_boundaries: starts with 1"},
		"borders end late":     {func(t *tree.Tree) { t.CatBoundaries = []int32{0, 2}; t.CatThreshold = []uint32{1} }, "cat_threshold: has 1 entries, want 2"},
	} {
		tr := chain(9, 4)
		if err := tr.Validate(4); err != nil {
			t.Fatal(err)
		}
		c.spoil(tr)
		err := tr.Validate(4)
		var fe *tree.FieldError
		if !errors.As(err, &fe) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a *FieldError with %q", name, err, c.want)
		}
	}
}

// cycleApart lets the last three nodes lead to each other and none of the
// others to them.
func cycleApart(t *tree.Tree) {
	t.LeftChild[4], t.LeftChild[7] = ^0, 5
}

// FuzzValidate spoils trees: what is accepted must be safe to predict with.
func FuzzValidate(f *testing.F) {
	f.Add(uint64(1), uint16(0), uint16(3), int64(-5), uint8(10))
	f.Add(uint64(2), uint16(4), uint16(0), int64(1), uint8(40))
	f.Fuzz(func(t *testing.T, seed uint64, field, place uint16, value int64, leaves uint8) {
		r := rand.New(rand.NewPCG(seed, 3))
		const features = 3
		tr := randomTree(r, 2+int(leaves)%64, features, seed%2 == 0, seed%3 == 0)
		spoil(tr, int(field), int(place), value)
		if tr.Validate(features) != nil {
			return
		}
		e := tree.NewEnsemble([]*tree.Tree{tr}, 1)
		x, err := tree.NewExplainer([]*tree.Tree{tr}, 1, features)
		for range 20 {
			row, out := randomRow(r, features), []float64{0}
			if err := e.AddScores(row, features, 0, 1, out); err != nil {
				t.Fatal(err)
			}
			if want := tr.Predict(row); out[0] != want && !math.IsNaN(want) {
				t.Fatalf("%v flat, %v simple", out[0], want)
			}
			if err == nil {
				x.Add(row, 0, 1, make([]float64, features+1))
			}
		}
	})
}

// spoil sets one number of a tree.
func spoil(t *tree.Tree, field, place int, value int64) {
	ints := [][]int32{t.SplitFeature, t.LeftChild, t.RightChild, t.CatBoundaries}
	floats := [][]float64{t.Threshold, t.LeafValue}
	counts := [][]int64{t.InternalCount, t.LeafCount}
	switch field %= len(ints) + len(floats) + len(counts) + 1; {
	case field < len(ints):
		if list := ints[field]; len(list) > 0 {
			list[place%len(list)] = int32(value)
		}
	case field < len(ints)+len(floats):
		list := floats[field-len(ints)]
		list[place%len(list)] = math.Float64frombits(uint64(value))
	case field < len(ints)+len(floats)+len(counts):
		list := counts[field-len(ints)-len(floats)]
		list[place%len(list)] = value
	default:
		t.DecisionType[place%len(t.DecisionType)] = uint8(value)
	}
}
