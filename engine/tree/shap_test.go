package tree_test

import (
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"

	"cloister/engine/tree"
)

// expectation is a tree's output if only the features in known are: at splits
// by others, the mean of both sides by their row counts.
func expectation(t *tree.Tree, node int32, row []float64, known uint) float64 {
	if node < 0 {
		return t.LeafValue[^node]
	}
	l, r := t.LeftChild[node], t.RightChild[node]
	f := t.SplitFeature[node]
	if known>>uint(f)&1 != 0 {
		single := stump(t.DecisionType[node], t.Threshold[node])
		single.CatBoundaries, single.CatThreshold = t.CatBoundaries, t.CatThreshold
		if single.Leaf(row[f:]) == 0 {
			return expectation(t, l, row, known)
		}
		return expectation(t, r, row, known)
	}
	n := float64(t.InternalCount[node])
	return (rows(t, l)*expectation(t, l, row, known) + rows(t, r)*expectation(t, r, row, known)) / n
}

func rows(t *tree.Tree, node int32) float64 {
	if node < 0 {
		return float64(t.LeafCount[^node])
	}
	return float64(t.InternalCount[node])
}

// shapley computes the values by their definition, over all subsets.
func shapley(t *tree.Tree, row []float64) []float64 {
	m := len(row)
	phi := make([]float64, m+1)
	phi[m] = expectation(t, 0, row, 0)
	for subset := range uint(1) << m {
		size := bits.OnesCount(subset)
		weight := factorial(size) * factorial(m-size-1) / factorial(m)
		for f := range m {
			if subset>>f&1 == 0 {
				phi[f] += weight * (expectation(t, 0, row, subset|1<<f) - expectation(t, 0, row, subset))
			}
		}
	}
	return phi
}

func factorial(n int) float64 {
	f := 1.0
	for i := 2; i <= n; i++ {
		f *= float64(i)
	}
	return f
}

func TestContributionsAreShapleyValues(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 4))
		features := 1 + r.IntN(6)
		tr := randomTree(r, 2+r.IntN(20), features, seed%2 == 0, false)
		for range 3 {
			row := randomRow(r, features)
			got := make([]float64, features+1)
			if err := tr.Contributions(row, got); err != nil {
				t.Fatal(err)
			}
			for i, want := range shapley(tr, row) {
				if math.Abs(got[i]-want) > 1e-9 {
					t.Fatalf("seed %d: contribution of feature %d is %v, want %v", seed, i, got[i], want)
				}
			}
		}
	}
}

func TestContributionsSumToTheScore(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 4))
	const features, models = 20, 2
	var trees []*tree.Tree
	for range 6 {
		trees = append(trees, randomTree(r, 1+r.IntN(200), features, true, false))
	}
	x, err := tree.NewExplainer(trees, models, features)
	if err != nil {
		t.Fatal(err)
	}
	row := randomRow(r, features)
	phi := make([]float64, models*(features+1))
	x.Add(row, 1, 3, phi)
	for k := range models {
		got := 0.0
		for _, v := range phi[k*(features+1) : (k+1)*(features+1)] {
			got += v
		}
		want := trees[models+k].Predict(row) + trees[2*models+k].Predict(row)
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("contributions to model %d sum to %v, the score is %v", k, got, want)
		}
	}
}

// TestContributionsWithoutRows shows that a side that no row of the training
// set went to gives numbers, where LightGBM gives NaN.
func TestContributionsWithoutRows(t *testing.T) {
	t.Parallel()
	tr := stump(0, 0.5)
	tr.LeafCount = []int64{3, 0}
	for _, v := range []float64{0, 1} {
		phi := make([]float64, 2)
		if err := tr.Contributions([]float64{v}, phi); err != nil {
			t.Fatal(err)
		}
		if want := tr.Predict([]float64{v}); math.Abs(phi[0]+phi[1]-want) > 1e-12 {
			t.Errorf("contributions %v of %v do not sum to %v", phi, v, want)
		}
	}
}

func TestContributionsThatCannotBe(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 4))
	linear := randomTree(r, 4, 2, false, true)
	if err := linear.Contributions(make([]float64, 2), make([]float64, 3)); !errors.Is(err, tree.ErrLinear) {
		t.Errorf("linear tree: error %v, want ErrLinear", err)
	}
	uncounted := stump(0, 0)
	uncounted.InternalCount[0] = 0
	for name, c := range map[string]struct {
		tree *tree.Tree
		phi  int
		want string
	}{
		"no counts":   {uncounted, 2, "need row counts"},
		"short phi":   {stump(0, 0), 1, "phi has 1 values, want 2"},
		"a long way":  {chain(20_000, 1), 2, "too deep"},
		"a wide path": {chain(10_000, 5_000), 5_001, "too deep"},
	} {
		if err := c.tree.Contributions(make([]float64, max(1, c.phi-1)), make([]float64, c.phi)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestContributionsOfDeepTree(t *testing.T) {
	t.Parallel()
	tr := chain(400, 7)
	r := rand.New(rand.NewPCG(3, 4))
	row, phi := randomRow(r, 7), make([]float64, 8)
	if err := tr.Contributions(row, phi); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, v := range phi {
		sum += v
	}
	if want := tr.Predict(row); math.Abs(sum-want) > 1e-6 {
		t.Errorf("contributions sum to %v, the score is %v", sum, want)
	}
}
