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
