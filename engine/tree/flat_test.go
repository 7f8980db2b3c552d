package tree_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"cloister/engine/tree"
)

func TestEnsembleAddsTheBitsOfPredict(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		features, models, iterations := 1+r.IntN(12), 1+r.IntN(3), r.IntN(5)
		trees := make([]*tree.Tree, models*iterations)
		for i := range trees {
			trees[i] = randomTree(r, 1+r.IntN(1+r.IntN(60)), features, r.IntN(3) == 0, r.IntN(5) == 0)
			if err := trees[i].Validate(features); err != nil {
				t.Fatalf("seed %d: random tree: %v", seed, err)
			}
		}
		rows := r.IntN(1200)
		values := randomRow(r, rows*features)
		start := r.IntN(iterations + 1)
		end := start + r.IntN(iterations-start+1)
		got, want := make([]float64, rows*models), make([]float64, rows*models)
		for i := range got {
			got[i] = r.NormFloat64()
			want[i] = got[i]
		}
		for i := start * models; i < end*models; i++ {
			for row := range rows {
				want[row*models+i%models] += trees[i].Predict(values[row*features : (row+1)*features])
			}
		}
		e := tree.NewEnsemble(trees, models)
		if err := e.AddScores(values, features, start, end, got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i := range got {
			if math.Float64bits(got[i]) != math.Float64bits(want[i]) && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
				t.Fatalf("seed %d: score %d is %v, want %v", seed, i, got[i], want[i])
			}
		}
	}
}

func TestEnsembleLeaves(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 4))
		features, models, iterations, rows := 1+r.IntN(12), 1+r.IntN(3), 1+r.IntN(5), r.IntN(700)
		trees := make([]*tree.Tree, models*iterations)
		for i := range trees {
			trees[i] = randomTree(r, 1+r.IntN(60), features, r.IntN(3) == 0, r.IntN(5) == 0)
		}
		values := randomRow(r, rows*features)
		start := r.IntN(iterations)
		width := (iterations - start) * models
		got := make([]int32, rows*width)
		if err := tree.NewEnsemble(trees, models).Leaves(values, features, start, iterations, got); err != nil {
			t.Fatal(err)
		}
		for i, leaf := range got {
			row := i / width
			if want := trees[start*models+i%width].Leaf(values[row*features : (row+1)*features]); int(leaf) != want {
				t.Fatalf("seed %d: row %d: leaf %d, want %d", seed, row, leaf, want)
			}
		}
	}
}

// TestBitsOfSparseScores compares sparse rows with the same rows in full.
func TestBitsOfSparseScores(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		features, models, iterations := 1+r.IntN(30), 1+r.IntN(3), 1+r.IntN(5)
		trees := make([]*tree.Tree, models*iterations)
		for i := range trees {
			trees[i] = randomTree(r, 1+r.IntN(1+r.IntN(60)), features, r.IntN(3) == 0, r.IntN(5) == 0)
		}
		rows := r.IntN(300)
		values := make([]float64, rows*features)
		start := []int{0}
		var index []int32
		var value []float64
		for row := range rows {
			for f := range features {
				if r.IntN(3) == 0 {
					v := randomValue(r)
					values[row*features+f] = v
					index, value = append(index, int32(f)), append(value, v)
				}
			}
			if r.IntN(2) == 0 { // unknown to the trees
				index, value = append(index, int32(features+r.IntN(3))), append(value, 1)
			}
			start = append(start, len(index))
		}
		e := tree.NewEnsemble(trees, models)
		got, want := make([]float64, rows*models), make([]float64, rows*models)
		if err := e.AddScores(values, features, 0, iterations, want); err != nil {
			t.Fatal(err)
		}
		if err := e.AddSparseScores(start, index, value, 0, iterations, got); err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if math.Float64bits(got[i]) != math.Float64bits(want[i]) && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
				t.Fatalf("seed %d: score %d is %v, want %v", seed, i, got[i], want[i])
			}
		}
	}
}

// TestBitsOfManyColumns has trees that need many segments, features with more
// thresholds than a byte counts, wide tables of categories, and trees that are
// too large to be laid out.
func TestBitsOfManyColumns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ trees, leaves, features, category int }{
		"many features":        {12, 1500, 20000, 40},
		"many thresholds":      {20, 700, 2, 0},
		"distant categories":   {10, 50, 3, 1 << 20},
		"a huge tree":          {3, 30000, 100, 100},
		"a tree beyond bounds": {3, 70000, 100000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(uint64(c.leaves), 1))
			trees := make([]*tree.Tree, c.trees)
			for i := range trees {
				trees[i] = wideTree(r, c.leaves, c.features, c.category)
				if err := trees[i].Validate(c.features); err != nil {
					t.Fatal(err)
				}
			}
			rows := 43
			values := make([]float64, rows*c.features)
			for i := range values {
				values[i] = float64(r.IntN(max(c.category, 50))) + r.Float64()
			}
			got := make([]float64, rows)
			if err := tree.NewEnsemble(trees, 1).AddScores(values, c.features, 0, len(trees), got); err != nil {
				t.Fatal(err)
			}
			for row, v := range got {
				want := 0.0
				for _, tr := range trees {
					want += tr.Predict(values[row*c.features : (row+1)*c.features])
				}
				if v != want {
					t.Fatalf("row %d: %v, want %v", row, v, want)
				}
			}
		})
	}
}

// wideTree splits at random places, a third of its nodes by categories below a
// bound.
func wideTree(r *rand.Rand, leaves, features, category int) *tree.Tree {
	t := randomTree(r, leaves, features, false, false)
	t.CatBoundaries = []int32{0}
	for i := range t.Threshold {
		t.Threshold[i] = float64(r.IntN(50)) + r.Float64()
		if category == 0 || r.IntN(3) > 0 {
			continue
		}
		t.Threshold[i], t.DecisionType[i] = float64(t.NumCat()), tree.CategoricalMask
		words := make([]uint32, 1+r.IntN(category)/32)
		for k := range words {
			words[k] = r.Uint32()
		}
		t.CatThreshold = append(t.CatThreshold, words...)
		t.CatBoundaries = append(t.CatBoundaries, int32(len(t.CatThreshold)))
	}
	return t
}

func TestEnsembleRefusesWrongShapes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	trees := []*tree.Tree{randomTree(r, 20, 3, false, false), randomTree(r, 20, 3, false, false)}
	e := tree.NewEnsemble(trees, 1)
	for name, c := range map[string]struct{ values, features, start, end, out int }{
		"narrow rows":       {4, 1, 0, 2, 4},
		"missing values":    {5, 3, 0, 2, 2},
		"too many values":   {9, 3, 0, 2, 2},
		"negative start":    {6, 3, -1, 2, 2},
		"end after the end": {6, 3, 0, 3, 2},
		"start after end":   {6, 3, 2, 1, 2},
	} {
		if err := e.AddScores(make([]float64, c.values), c.features, c.start, c.end, make([]float64, c.out)); !errors.Is(err, tree.ErrShape) {
			t.Errorf("%s: error %v, want ErrShape", name, err)
		}
	}
}

func TestEnsembleAllocatesNothingPerRow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	e := tree.NewEnsemble([]*tree.Tree{randomTree(r, 31, 5, true, false), randomTree(r, 31, 5, false, false)}, 1)
	values, out := randomRow(r, 500), make([]float64, 100)
	allocs := testing.AllocsPerRun(50, func() {
		if err := e.AddScores(values, 5, 0, 2, out); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations for a block of rows, want none", allocs)
	}
}

func BenchmarkPredict(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const features, rows = 28, 2000
	for _, c := range []struct {
		leaves      int
		categorical bool
	}{{31, false}, {255, false}, {255, true}} {
		trees := make([]*tree.Tree, 30)
		for i := range trees {
			trees[i] = balancedTree(r, c.leaves, features, c.categorical)
		}
		values := make([]float64, rows*features)
		for i := range values {
			values[i] = r.NormFloat64()
		}
		out := make([]float64, rows)
		name := fmt.Sprintf("leaves=%d/categorical=%t", c.leaves, c.categorical)
		b.Run(name+"/flat", func(b *testing.B) {
			e := tree.NewEnsemble(trees, 1)
			for b.Loop() {
				if err := e.AddScores(values, features, 0, len(trees), out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows*len(trees)), "ns/row/tree")
		})
		b.Run(name+"/simple", func(b *testing.B) {
			for b.Loop() {
				for row := range out {
					for _, t := range trees {
						out[row] += t.Predict(values[row*features : (row+1)*features])
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows*len(trees)), "ns/row/tree")
		})
	}
}

// balancedTree splits normal values near their middle, so that rows spread
// over its leaves as in grown trees.
func balancedTree(r *rand.Rand, leaves, features int, categorical bool) *tree.Tree {
	t := randomTree(r, leaves, features, categorical, false)
	for i := range t.Threshold {
		if !t.IsCategorical(i) {
			t.Threshold[i] = r.NormFloat64() / 2
			t.DecisionType[i] = 2 << 2
		}
	}
	return t
}
