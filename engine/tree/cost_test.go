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
		t.Error("the first split on a column does not make others cheaper")
	}
	check([]uint32{1, 2, 99}, 2*(0.5*3+3))
	if c.pay(1, []uint32{1}) {
		t.Error("the second split on a column makes others cheaper")
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
