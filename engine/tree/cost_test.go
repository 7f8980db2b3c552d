package tree

import (
	"context"
	"math"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

func TestCosts(t *testing.T) {
	t.Parallel()
	c := newCosts(&CostOptions{Tradeoff: 2, Split: 0.5, Coupled: []float64{0, 7}, Lazy: []float64{0, 3}}, 2, 100)
	check := func(rows []uint32, want float64) {
		t.Helper()
		if got := c.of(1, 1, rows); math.Abs(got-want) > 1e-12 {
			t.Errorf("%d rows cost %g, want %g", len(rows), got, want)
		}
	}
	check([]uint32{1, 2, 99}, 2*(0.5*3+7+3*3))
	if !c.pay(1, []uint32{2, 99}) {
		t.Error("the first split on a column does not pay for it")
	}
	check([]uint32{1, 2, 99}, 2*(0.5*3+3))
	if c.pay(1, []uint32{1}) {
		t.Error("the second split on a column pays for it again")
	}
	check([]uint32{1, 2, 99}, 2*0.5*3)
	check([]uint32{3}, 2*(0.5+3))
}

// splitsWith grows trees with one grower and counts the splits on each feature.
func splitsWith(t *testing.T, d *dataset.Dataset, tab *table, opt Options) (counts []int, first float64) {
	t.Helper()
	pool := parallel.New(2)
	defer pool.Close()
	g := NewGrower(d, pool, opt)
	counts = make([]int, len(d.Columns))
	for i := range 3 {
		made, err := g.Grow(context.Background(), Gradients{Grad: tab.grad, Hess: tab.hess, Key: uint64(i)}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && made.Tree.NumLeaves > 1 {
			first = float64(made.Tree.SplitGain[0])
		}
		for _, f := range made.Tree.SplitFeature {
			counts[f]++
		}
	}
	return counts, first
}

func TestCostsShapeTrees(t *testing.T) {
	t.Parallel()
	tab := randomTable(12, 3000, 8)
	d := tab.dataSet(func(c int) storage { return storage(c % 3) })
	sum := func(counts []int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	plain, gain := splitsWith(t, d, tab, testOptions())
	with := func(change func(*CostOptions)) ([]int, float64) {
		opt := testOptions()
		opt.Costs = &CostOptions{Tradeoff: 1}
		change(opt.Costs)
		return splitsWith(t, d, tab, opt)
	}
	if _, got := with(func(c *CostOptions) { c.Split = 0.01 }); math.Abs(got-(gain-0.01*3000)) > 1e-3*gain {
		t.Errorf("gain of the first split %g, want %g", got, gain-0.01*3000)
	}
	if counts, _ := with(func(c *CostOptions) { c.Split = 1e9 }); sum(counts) != 0 {
		t.Errorf("%d splits in spite of a penalty beyond any gain", sum(counts))
	}
	dear := []float64{0, 0, 0, 0, 1e9, 1e9, 1e9, 1e9}
	for name, change := range map[string]func(*CostOptions){
		"coupled": func(c *CostOptions) { c.Coupled = dear },
		"lazy":    func(c *CostOptions) { c.Lazy = dear },
	} {
		counts, _ := with(change)
		if n := sum(counts[4:]); n != 0 || sum(plain[4:]) == 0 || sum(counts) == 0 {
			t.Errorf("%s: splits on features %v, without penalty %v", name, counts, plain)
		}
	}
	// Once paid for, features are as good as free.
	counts, _ := with(func(c *CostOptions) { c.Coupled = []float64{1, 1, 1, 1, 1, 1, 1, 1} })
	if sum(counts) < sum(plain)*3/4 {
		t.Errorf("%d splits with small penalties, %d without", sum(counts), sum(plain))
	}
}

// A column that was paid for is preferred in other leaves: the penalty is added
// to its gain there, so that it beats a greater gain.
func TestPaidColumnIsPreferred(t *testing.T) {
	t.Parallel()
	tab := &table{}
	for range 3 {
		tab.mappers = append(tab.mappers, &dataset.Mapper{NumBins: 2, UpperBound: []float64{0.5, math.Inf(1)}})
		tab.bins = append(tab.bins, nil)
	}
	sign := func(bit int) float32 { return float32(2*bit - 1) }
	for i := range 64 {
		a, b, c := i%2, i/2%2, i/4%2
		for column, bit := range []int{a, b, c} {
			tab.bins[column] = append(tab.bins[column], uint32(bit))
		}
		// Column 1 parts the tree in two. On the left column 0 gains 32, on
		// the right it gains 8 and column 2 gains 12.5.
		grad := 4*sign(b) + sign(a)
		if b == 1 {
			grad = 4*sign(b) + sign(a)/2 + sign(c)*0.625
		}
		tab.grad, tab.hess = append(tab.grad, grad), append(tab.hess, 1)
	}
	opt := testOptions()
	opt.L2, opt.NumLeaves = 0, 4
	for coupled, want := range map[float64]struct {
		feature int32
		gain    float64
	}{4: {2, 12.5}, 6: {0, 14}} {
		opt.Costs = &CostOptions{Tradeoff: 1, Coupled: []float64{coupled, 0, 0}}
		made, _ := grow(t, tab.dataSet(func(int) storage { return narrow }), 1, opt, Gradients{Grad: tab.grad, Hess: tab.hess}, nil)
		if made.NumLeaves != 4 {
			t.Fatalf("%d leaves, want 4", made.NumLeaves)
		}
		if f, gain := made.SplitFeature[2], float64(made.SplitGain[2]); f != want.feature || math.Abs(gain-want.gain) > 1e-4 {
			t.Errorf("penalty %g: third split on feature %d with gain %g, want %d with %g", coupled, f, gain, want.feature, want.gain)
		}
	}
}
