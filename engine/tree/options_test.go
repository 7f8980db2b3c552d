package tree

import (
	"math"
	"slices"
	"testing"

	"cloister/engine/parallel"
)

// optionSets are the ways to grow a tree in which storage, threads and memory
// must not matter.
var optionSets = map[string]func(*Options){
	"plain":                   func(*Options) {},
	"extra_trees":             func(o *Options) { o.ExtraTrees, o.ExtraSeed = true, 6 },
	"feature_fraction_bynode": func(o *Options) { o.FeatureFractionByNode, o.FeatureFractionSeed = 0.4, 2 },
	"interaction_constraints": func(o *Options) { o.InteractionConstraints = [][]int{{0, 1, 2, 3}, {3, 4, 5, 8}, {0, 10}} },
	"feature_contri": func(o *Options) {
		o.FeatureContri = []float64{0.1, 0.2, 0.3, 0.4, 1, 1, 1, 1, 2, 2, 0}
	},
	"path_smooth": func(o *Options) { o.PathSmooth, o.L1, o.MaxDeltaStep = 20, 1, 20 },
	"cegb": func(o *Options) {
		o.Costs = &CostOptions{
			Tradeoff: 0.8, Split: 0.01, Coupled: []float64{9, 90, 900, 9, 90, 900, 9, 90, 900, 9, 90},
			Lazy: []float64{0.01, 0.02, 0, 0.01, 0.02, 0, 0.01, 0.02, 0, 0.01, 0.02},
		}
	},
	"forced": func(o *Options) {
		o.Forced = &ForcedSplit{
			Feature: 4, Threshold: 1, Left: &ForcedSplit{Feature: 3, Threshold: 2},
			Right: &ForcedSplit{Feature: 2, Threshold: 3, Left: &ForcedSplit{Feature: 5, Threshold: 1}},
		}
	},
	"quantized": func(o *Options) { o.Quantize = &QuantizeOptions{Bins: 4, Stochastic: true, Seed: 5} },
	"quantized, renewed": func(o *Options) {
		o.Quantize, o.PathSmooth = &QuantizeOptions{Bins: 16, Renew: true}, 2
	},
	"monotone basic": func(o *Options) {
		o.Monotone, o.MonotonePenalty = []int8{1, -1, 1, 0, 0, -1, 1, 0, 1, 0, 0}, 0.5
	},
	"monotone intermediate": func(o *Options) {
		o.Monotone, o.MonotoneMethod = []int8{1, 0, -1, 0, 0, -1, 1, 0, 1, 0, 0}, MonotoneIntermediate
		o.PathSmooth = 3
	},
	"monotone advanced": func(o *Options) {
		o.Monotone, o.MonotoneMethod = []int8{1, 0, -1, 0, 0, -1, 1, 0, 1, 0, 0}, MonotoneAdvanced
	},
}

// paths calls visit with the features on the path to each leaf.
func paths(tr *Tree, visit func(leaf int, features []int)) {
	var down func(at int32, features []int)
	down = func(at int32, features []int) {
		if at < 0 {
			visit(int(^at), features)
			return
		}
		features = append(slices.Clone(features), int(tr.SplitFeature[at]))
		down(tr.LeftChild[at], features)
		down(tr.RightChild[at], features)
	}
	if tr.NumLeaves > 1 {
		down(0, nil)
	}
}

func TestInteractionConstraints(t *testing.T) {
	t.Parallel()
	groups := [][]int{{0, 1}, {1, 2, 3}, {4, 5, 7}}
	for seed := range uint64(10) {
		tab := randomTable(20+seed, 4000, 8)
		opt := testOptions()
		opt.InteractionConstraints = groups
		if seed%2 == 1 {
			opt.FeatureFractionByNode = 0.7
		}
		made, _ := grow(t, tab.dataSet(func(c int) storage { return storage(c % 3) }), 2, opt, Gradients{Grad: tab.grad, Hess: tab.hess, Key: seed}, nil)
		leaves := 0
		paths(made, func(_ int, features []int) {
			leaves++
			if !slices.ContainsFunc(groups, func(group []int) bool {
				return !slices.ContainsFunc(features, func(f int) bool { return !slices.Contains(group, f) })
			}) {
				t.Errorf("seed %d: a path uses features %v, which are in no group together", seed, features)
			}
		})
		if leaves < 10 {
			t.Errorf("seed %d: only %d leaves", seed, leaves)
		}
	}
}

// A column is drawn for a node as often as the others, and a node never has
// more than its part.
func TestFeatureFractionByNode(t *testing.T) {
	t.Parallel()
	tab := randomTable(1, 100, 10)
	opt := testOptions()
	opt.FeatureFractionByNode = 0.3
	pool := parallel.New(1)
	defer pool.Close()
	g := NewGrower(tab.dataSet(func(int) storage { return narrow }), pool, opt)
	g.rootUsage(nil)
	const draws = 20_000
	counts := make([]int, 10)
	for i := range draws {
		g.key = uint64(i / 50)
		l := leaf{id: uint64(i % 50)}
		g.drawColumns(&l)
		n := 0
		for c, in := range l.drawn {
			if in {
				counts[c]++
				n++
			}
		}
		if n != 3 {
			t.Fatalf("%d columns drawn, want 3", n)
		}
	}
	for c, n := range counts {
		if math.Abs(float64(n)-0.3*draws) > 5*math.Sqrt(draws*0.3*0.7) {
			t.Errorf("column %d was drawn %d times of %d", c, n, draws)
		}
	}
}

// With extra_trees the thresholds of a column at the root are spread over its
// bins instead of being the best ones.
func TestExtraTrees(t *testing.T) {
	t.Parallel()
	tab := randomTable(1, 1000, 1)
	opt := testOptions()
	opt.NumLeaves, opt.MinDataInLeaf, opt.ExtraTrees = 2, 1, true
	d := tab.dataSet(func(int) storage { return narrow })
	seen := make(map[float64]int)
	for key := range uint64(300) {
		made, _ := grow(t, d, 1, opt, Gradients{Grad: tab.grad, Hess: tab.hess, Key: key}, nil)
		if made.NumLeaves == 2 {
			seen[made.Threshold[0]]++
		}
	}
	if bins := tab.mappers[0].NumBins; len(seen) < bins/2 {
		t.Errorf("300 trees have %d thresholds, want at least half of the %d bins", len(seen), bins)
	}
}

func TestFeatureContri(t *testing.T) {
	t.Parallel()
	tab := randomTable(5, 3000, 6)
	d := tab.dataSet(func(int) storage { return narrow })
	grad := Gradients{Grad: tab.grad, Hess: tab.hess}
	opt := testOptions()
	plain, _ := grow(t, d, 1, opt, grad, nil)
	first := plain.SplitFeature[0]
	opt.FeatureContri = []float64{1, 1, 1, 1, 1, 1}
	opt.FeatureContri[first] = 0
	without, _ := grow(t, d, 1, opt, grad, nil)
	if slices.Contains(without.SplitFeature, first) {
		t.Errorf("feature %d is split on in spite of a factor of 0", first)
	}
	opt.FeatureContri = []float64{0, 0, 0, 0, 0, 0}
	opt.FeatureContri[first] = 0.5
	only, _ := grow(t, d, 1, opt, grad, nil)
	if got, want := only.SplitGain[0], plain.SplitGain[0]/2; math.Abs(float64(got-want)) > 1e-5*float64(want) {
		t.Errorf("gain %g with a factor of 0.5, want %g", got, want)
	}
}

// TestPathSmooth computes every value from its node's rows and its parent's
// value.
func TestPathSmooth(t *testing.T) {
	t.Parallel()
	tab := randomTable(6, 5000, 3) // no categories
	for i := range tab.hess {
		tab.hess[i] = 1 // estimated counts are exact
	}
	opt := testOptions()
	opt.PathSmooth = 50
	made, leaves := grow(t, tab.dataSet(func(int) storage { return narrow }), 2, opt, Gradients{Grad: tab.grad, Hess: tab.hess, ConstantHessian: true}, nil)
	sums := make([]float64, made.NumLeaves)
	for r, leaf := range leaves {
		sums[leaf] += float64(tab.grad[r])
	}
	var check func(at int32, parent float64)
	check = func(at int32, parent float64) {
		value, n := valueOf(made, at)
		want := -nodeSum(made, sums, at) / (n + opt.L2)
		if at != 0 {
			want = (want*n + parent*opt.PathSmooth) / (n + opt.PathSmooth)
		}
		if math.Abs(value-want) > 1e-9*(1+math.Abs(want)) {
			t.Errorf("node %d: value %.15g, want %.15g", at, value, want)
		}
		if at >= 0 {
			check(made.LeftChild[at], value)
			check(made.RightChild[at], value)
		}
	}
	check(0, 0)
}

// valueOf returns the value and the number of rows of a node, or of leaf ^at.
func valueOf(tr *Tree, at int32) (value, rows float64) {
	if at < 0 {
		return tr.LeafValue[^at], float64(tr.LeafCount[^at])
	}
	return tr.InternalValue[at], float64(tr.InternalCount[at])
}

// nodeSum is the sum of the gradients of a node, or of leaf ^at.
func nodeSum(tr *Tree, leaves []float64, at int32) float64 {
	if at < 0 {
		return leaves[^at]
	}
	return nodeSum(tr, leaves, tr.LeftChild[at]) + nodeSum(tr, leaves, tr.RightChild[at])
}
