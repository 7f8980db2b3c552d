package tree

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/parallel"

	"github.com/google/go-cmp/cmp"
)

// table is a small data set in plain form, from which data sets in every
// storage are made.
type table struct {
	bins    [][]uint32 // column, row
	mappers []*dataset.Mapper
	grad    []float32
	hess    []float32
}

func randomTable(seed uint64, rows, columns int) *table {
	r := rand.New(rand.NewPCG(seed, 7))
	t := &table{}
	for c := range columns {
		n := 2 + r.IntN(40)
		m := &dataset.Mapper{NumBins: n, Missing: dataset.MissingType(c % 3), Categorical: c%4 == 3}
		m.DefaultBin = uint32(r.IntN(n))
		m.MostFreqBin = uint32(r.IntN(n))
		for b := range n {
			m.UpperBound = append(m.UpperBound, float64(b)+0.5)
			m.Categories = append(m.Categories, int32(b)-1)
		}
		bins := make([]uint32, rows)
		for i := range bins {
			bins[i] = m.MostFreqBin
			if r.IntN(3) > 0 {
				bins[i] = uint32(r.IntN(n))
			}
		}
		t.mappers = append(t.mappers, m)
		t.bins = append(t.bins, bins)
	}
	for i := range rows {
		y := r.NormFloat64()
		for c := range min(columns, 4) {
			y += float64(t.bins[c][i]%uint32(3+c)) * float64(c+1)
		}
		t.grad = append(t.grad, float32(-y))
		t.hess = append(t.hess, float32(0.25+r.Float64()))
	}
	return t
}

// storage says how dataSet stores a column.
type storage int

const (
	narrow storage = iota
	wide
	sparse
)

func (t *table) dataSet(how func(column int) storage) *dataset.Dataset {
	d := &dataset.Dataset{Rows: len(t.grad), Mappers: t.mappers}
	lanes := map[storage]int{narrow: 8, wide: 4}
	open := map[storage]int{narrow: -1, wide: -1}
	for c, m := range t.mappers {
		col := dataset.Column{Feature: c, Mapper: m, Offset: uint32(d.TotalBins), Block: -1}
		d.TotalBins += m.NumBins
		if s := how(c); s == sparse {
			if d.Sparse == nil {
				d.Sparse = &dataset.SparseRows{}
			}
			d.Sparse.Columns = append(d.Sparse.Columns, c)
		} else {
			if b := open[s]; b < 0 || len(d.Blocks[b].Columns) == lanes[s] {
				open[s] = len(d.Blocks)
				d.Blocks = append(d.Blocks, dataset.Block{Bits: 64 / lanes[s]})
			}
			col.Block = open[s]
			b := &d.Blocks[col.Block]
			col.Lane = len(b.Columns)
			b.Columns = append(b.Columns, c)
		}
		d.Columns = append(d.Columns, col)
	}
	d.Words = make([]uint64, d.Rows*len(d.Blocks))
	for r := range d.Rows {
		if d.Sparse != nil {
			d.Sparse.RowStart = append(d.Sparse.RowStart, len(d.Sparse.Entry))
		}
		for c := range d.Columns {
			col, bin := &d.Columns[c], t.bins[c][r]
			if col.Block >= 0 {
				d.Words[r*len(d.Blocks)+col.Block] |= uint64(bin) << (d.Blocks[col.Block].Bits * col.Lane)
			} else if bin != col.Mapper.MostFreqBin {
				d.Sparse.Entry = append(d.Sparse.Entry, col.Offset+bin)
			}
		}
	}
	if d.Sparse != nil {
		d.Sparse.RowStart = append(d.Sparse.RowStart, len(d.Sparse.Entry))
	}
	return d
}

func testOptions() Options {
	return Options{
		NumLeaves: 31, MinDataInLeaf: 5, MinSumHessianInLeaf: 1e-3, L2: 0.1,
		CatSmooth: 2, CatL2: 1, MaxCatThreshold: 32, MaxCatToOnehot: 4, MinDataPerGroup: 5,
	}
}

// grow grows one tree and returns it with the leaf of every row.
func grow(t *testing.T, d *dataset.Dataset, threads int, opt Options, grad Gradients, rows []uint32) (*Tree, []int32) {
	t.Helper()
	pool := parallel.New(threads)
	defer pool.Close()
	made, err := NewGrower(d, pool, opt).Grow(context.Background(), grad, rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Tree.Validate(len(d.Mappers)); err != nil {
		t.Fatalf("invalid tree: %v", err)
	}
	leaves := make([]int32, d.Rows)
	for i := range leaves {
		leaves[i] = -1
	}
	for leaf := range made.Tree.NumLeaves {
		for _, r := range made.Rows(leaf) {
			leaves[r] = int32(leaf)
		}
	}
	steps := made.steps(d)
	for r, leaf := range leaves {
		if leaf < 0 || len(steps) == 0 {
			continue
		}
		if got := findLeaf(steps, uint32(r)); got != leaf {
			t.Fatalf("row %d is in leaf %d but is found in leaf %d", r, leaf, got)
		}
	}
	return made.Tree, leaves
}

func TestStorageThreadsAndMemoryDoNotChangeTheTree(t *testing.T) {
	t.Parallel()
	for name, change := range optionSets {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				opt := testOptions()
				change(&opt)
				compareStorages(t, seed, opt)
			}
		})
	}
}

func compareStorages(t *testing.T, seed uint64, opt Options) {
	t.Helper()
	tab := randomTable(seed, 20_000, 11)
	grad := Gradients{Grad: tab.grad, Hess: tab.hess, Key: seed}
	want, wantLeaves := grow(t, tab.dataSet(func(int) storage { return narrow }), 1, opt, grad, nil)
	if want.NumLeaves < 20 {
		t.Fatalf("seed %d: only %d leaves", seed, want.NumLeaves)
	}
	small := opt
	small.HistogramMemory = 1
	for name, got := range map[string]func() (*Tree, []int32){
		"3 threads": func() (*Tree, []int32) {
			return grow(t, tab.dataSet(func(int) storage { return narrow }), 3, opt, grad, nil)
		},
		"wide": func() (*Tree, []int32) {
			return grow(t, tab.dataSet(func(int) storage { return wide }), 2, opt, grad, nil)
		},
		"sparse": func() (*Tree, []int32) {
			return grow(t, tab.dataSet(func(int) storage { return sparse }), 8, opt, grad, nil)
		},
		"mixed": func() (*Tree, []int32) {
			return grow(t, tab.dataSet(func(c int) storage { return storage(c % 3) }), 2, opt, grad, nil)
		},
		"few histograms": func() (*Tree, []int32) {
			return grow(t, tab.dataSet(func(int) storage { return narrow }), 2, small, grad, nil)
		},
	} {
		tree, leaves := got()
		if diff := cmp.Diff(want, tree); diff != "" {
			t.Errorf("seed %d, %s: another tree:\n%s", seed, name, diff)
		}
		if diff := cmp.Diff(wantLeaves, leaves); diff != "" {
			t.Errorf("seed %d, %s: other leaves", seed, name)
		}
	}
}

// TestRootSplitIsTheBest compares the first split with an exhaustive search in
// floating point.
func TestRootSplitIsTheBest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		tab := randomTable(100+seed, 500, 3) // columns 0 to 2: no categories
		opt := testOptions()
		opt.NumLeaves = 2
		made, _ := grow(t, tab.dataSet(func(int) storage { return narrow }), 1, opt, Gradients{Grad: tab.grad, Hess: tab.hess, Key: seed}, nil)
		got, want := float64(made.SplitGain[0]), tab.bestGain(opt)
		if math.Abs(got-want) > 1e-4*want {
			t.Errorf("seed %d: gain %g, exhaustive search finds %g", seed, got, want)
		}
	}
}

// bestGain tries every threshold with both default directions.
func (t *table) bestGain(opt Options) float64 {
	best := 0.0
	for c, m := range t.mappers {
		missing := missingBin(m)
		for threshold := range m.NumBins - 1 {
			for _, defaultLeft := range []bool{true, false} {
				if m.NumBins <= 2 {
					missing = -1
				}
				if threshold == missing {
					continue
				}
				if gain := t.gainOf(opt, c, uint32(threshold), missing, defaultLeft); gain > best {
					best = gain
				}
			}
		}
	}
	return best
}

func (t *table) gainOf(opt Options, c int, threshold uint32, missing int, defaultLeft bool) float64 {
	var g, h [2]float64
	bins := make([]float64, t.mappers[c].NumBins)
	for r, bin := range t.bins[c] {
		side := 1
		if bin <= threshold && int(bin) != missing || int(bin) == missing && defaultLeft {
			side = 0
		}
		g[side] += float64(t.grad[r])
		h[side] += float64(t.hess[r])
		bins[bin] += float64(t.hess[r])
	}
	// Counts are estimated from the bins' hessians, as LightGBM does.
	var n [2]int
	gathered := 1 // the side whose bins are gone through
	if !defaultLeft && missing >= 0 {
		gathered = 0
	}
	for bin, sum := range bins {
		side := 1
		if uint32(bin) <= threshold && bin != missing || bin == missing && defaultLeft {
			side = 0
		}
		if side == gathered {
			n[side] += int(sum*float64(len(t.grad))/(h[0]+h[1]) + 0.5)
		}
	}
	n[1-gathered] = len(t.grad) - n[gathered]
	if n[0] < opt.MinDataInLeaf || n[1] < opt.MinDataInLeaf {
		return 0
	}
	gain := func(g, h float64) float64 { return g * g / (h + opt.L2) }
	return gain(g[0], h[0]) + gain(g[1], h[1]) - gain(g[0]+g[1], h[0]+h[1])
}

func TestLeafValuesComeFromExactSums(t *testing.T) {
	t.Parallel()
	tab := randomTable(3, 5000, 6)
	opt := testOptions()
	made, leaves := grow(t, tab.dataSet(func(int) storage { return narrow }), 2, opt, Gradients{Grad: tab.grad, Hess: tab.hess}, nil)
	g, h := make([]float64, made.NumLeaves), make([]float64, made.NumLeaves)
	count := make([]int64, made.NumLeaves)
	for r, leaf := range leaves {
		g[leaf] += float64(tab.grad[r])
		h[leaf] += float64(tab.hess[r])
		count[leaf]++
	}
	for leaf := range g {
		// A many-vs-many split above the leaf adds CatL2.
		plain, shrunk := -g[leaf]/(h[leaf]+opt.L2), -g[leaf]/(h[leaf]+opt.L2+opt.CatL2)
		if v := made.LeafValue[leaf]; math.Abs(v-plain) > 1e-12 && math.Abs(v-shrunk) > 1e-12 {
			t.Errorf("leaf %d: value %.17g, want %.17g or %.17g", leaf, v, plain, shrunk)
		}
		if made.LeafCount[leaf] != count[leaf] || math.Abs(made.LeafWeight[leaf]-h[leaf]) > 1e-9*h[leaf] {
			t.Errorf("leaf %d: count %d weight %g, want %d %g", leaf, made.LeafCount[leaf], made.LeafWeight[leaf], count[leaf], h[leaf])
		}
	}
}

// A column that gains nothing in a leaf may gain much in its children.
func TestColumnWithoutGainIsTriedBelow(t *testing.T) {
	t.Parallel()
	tab := &table{}
	for range 2 {
		tab.mappers = append(tab.mappers, &dataset.Mapper{NumBins: 2, UpperBound: []float64{0.5, math.Inf(1)}})
		tab.bins = append(tab.bins, nil)
	}
	for i := range 512 { // sums are powers of two, so that nothing is rounded
		a, b := uint32(i%2), uint32(i/2%2)
		tab.bins[0], tab.bins[1] = append(tab.bins[0], a), append(tab.bins[1], b)
		// Both sides of column 0 sum to zero: it gains nothing at first.
		tab.grad = append(tab.grad, [2][2]float32{{1, 3}, {-1, -3}}[b][a])
		tab.hess = append(tab.hess, 1)
	}
	opt := testOptions()
	opt.L2 = 0
	made, _ := grow(t, tab.dataSet(func(int) storage { return narrow }), 1, opt, Gradients{Grad: tab.grad, Hess: tab.hess}, nil)
	if made.NumLeaves != 4 {
		t.Errorf("%d leaves, want 4", made.NumLeaves)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	tab := randomTable(9, 4000, 8)
	d := tab.dataSet(func(int) storage { return narrow })
	constant := make([]float32, len(tab.grad))
	for i := range constant {
		constant[i] = 1
	}
	grad := Gradients{Grad: tab.grad, Hess: constant, ConstantHessian: true}
	tests := map[string]struct {
		change func(*Options)
		check  func(*Tree) bool
	}{
		"num_leaves":       {func(o *Options) { o.NumLeaves = 7 }, func(tr *Tree) bool { return tr.NumLeaves == 7 }},
		"max_depth":        {func(o *Options) { o.MaxDepth = 3 }, func(tr *Tree) bool { return tr.MaxDepth() == 3 && tr.NumLeaves <= 8 }},
		"min_data_in_leaf": {func(o *Options) { o.MinDataInLeaf = 300 }, func(tr *Tree) bool { return least(tr.LeafCount) >= 300 }},
		"min_sum_hessian":  {func(o *Options) { o.MinSumHessianInLeaf = 250 }, func(tr *Tree) bool { return least(tr.LeafCount) >= 250 }},
		"min_gain":         {func(o *Options) { o.MinGainToSplit = 1e9 }, func(tr *Tree) bool { return tr.NumLeaves == 1 }},
		"max_delta_step":   {func(o *Options) { o.MaxDeltaStep = 0.25 }, func(tr *Tree) bool { return greatest(tr.LeafValue) <= 0.25 }},
		"lambda_l1":        {func(o *Options) { o.L1 = 1e9 }, func(tr *Tree) bool { return tr.NumLeaves == 1 }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt := testOptions()
			test.change(&opt)
			made, _ := grow(t, d, 2, opt, grad, nil)
			if !test.check(made) {
				t.Errorf("limit not kept: %+v", made)
			}
		})
	}
}

func least(v []int64) int64 {
	m := v[0]
	for _, x := range v {
		m = min(m, x)
	}
	return m
}

func greatest(v []float64) (m float64) {
	for _, x := range v {
		m = max(m, math.Abs(x))
	}
	return m
}

func TestSomeRowsAndColumns(t *testing.T) {
	t.Parallel()
	tab := randomTable(4, 6000, 8)
	d := tab.dataSet(func(c int) storage { return storage(c % 3) })
	var rows []uint32
	for r := range d.Rows {
		if r%3 == 0 {
			rows = append(rows, uint32(r))
		}
	}
	pool := parallel.New(2)
	defer pool.Close()
	columns := []bool{false, true, false, true, false, false, false, false}
	made, err := NewGrower(d, pool, testOptions()).Grow(context.Background(), Gradients{Grad: tab.grad, Hess: tab.hess}, rows, columns)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, c := range made.Tree.LeafCount {
		n += c
	}
	if n != int64(len(rows)) {
		t.Errorf("leaves hold %d rows, want %d", n, len(rows))
	}
	for _, f := range made.Tree.SplitFeature {
		if f != 1 && f != 3 {
			t.Errorf("split on feature %d, which was not to be used", f)
		}
	}
}

func TestBadGradients(t *testing.T) {
	t.Parallel()
	tab := randomTable(4, 300, 3)
	d := tab.dataSet(func(int) storage { return narrow })
	pool := parallel.New(1)
	defer pool.Close()
	for name, bad := range map[string]float32{"NaN": float32(math.NaN()), "infinite": float32(math.Inf(-1))} {
		grad := append([]float32(nil), tab.grad...)
		grad[17] = bad
		if _, err := NewGrower(d, pool, testOptions()).Grow(context.Background(), Gradients{Grad: grad, Hess: tab.hess}, nil, nil); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%s: error %v, want %v", name, err, ErrNotFinite)
		}
	}
	zero := make([]float32, d.Rows)
	for name, g := range map[string]Gradients{
		"all zero":       {Grad: zero, Hess: zero},
		"no hessian":     {Grad: tab.grad, Hess: zero},
		"tiny gradients": {Grad: []float32{1e-45, -1e-45, 0}, Hess: zero},
	} {
		if name == "tiny gradients" {
			g.Grad = append(g.Grad, zero[3:]...)
		}
		made, err := NewGrower(d, pool, testOptions()).Grow(context.Background(), g, nil, nil)
		if err != nil || made.Tree.NumLeaves != 1 {
			t.Errorf("%s: %v, %d leaves; want one leaf", name, err, made.Tree.NumLeaves)
		}
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	tab := randomTable(4, 300, 3)
	pool := parallel.New(1)
	defer pool.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := NewGrower(tab.dataSet(func(int) storage { return narrow }), pool, testOptions()).Grow(ctx, Gradients{Grad: tab.grad, Hess: tab.hess}, nil, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
