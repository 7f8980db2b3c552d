package tree

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/parallel"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// linearTable is a matrix whose label is given by its rows, and gradients of
// the squared error from a score of 0.
func linearTable(seed uint64, rows, features int, fill func(r *rand.Rand, row []float64) (label, weight float64)) (dataset.Matrix, Gradients) {
	r := rand.New(rand.NewPCG(seed, 3))
	m := dataset.Matrix{Rows: rows, Features: features, Values: make([]float64, rows*features), Metadata: dataset.Metadata{Label: make([]float32, rows)}}
	g := Gradients{Grad: make([]float32, rows), Hess: make([]float32, rows)}
	for i := range rows {
		y, w := fill(r, m.Values[i*features:(i+1)*features])
		g.Grad[i], g.Hess[i] = float32(-y*w), float32(w)
	}
	return m, g
}

// growLinear grows one linear tree.
func growLinear(t *testing.T, m dataset.Matrix, g Gradients, threads int, lambda float64, opt Options, categorical ...int) (*Grown, *LinearFitter) {
	t.Helper()
	o := dataset.DefaultOptions()
	o.KeepRaw, o.Categorical, o.Threads, o.FeaturePreFilter = true, categorical, threads, false
	d, _, err := dataset.FromMatrix(context.Background(), m, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := parallel.New(threads)
	t.Cleanup(pool.Close)
	if opt.NumLeaves == 0 {
		opt.NumLeaves = 2
	}
	opt.MinDataInLeaf = max(opt.MinDataInLeaf, 1)
	made, err := NewGrower(d, pool, opt).Grow(context.Background(), g, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := NewLinearFitter(d, pool, lambda)
	f.Fit(made, &g)
	if err := made.Tree.Validate(m.Features); err != nil {
		t.Fatal(err)
	}
	return made, f
}

// A tree of a step and slopes finds both: also where the values lie far from
// 0, other columns are constant or say the same, and rows have weights.
func TestLinearFindsSlopes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at, scale float64
		weighted  bool
	}{
		"plain":    {0, 1, false},
		"weighted": {0, 1, true},
		"large":    {0, 1e15, true},
		"small":    {0, 1e-15, true},
		"far off":  {1 << 20, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slope := func(x float64) float64 { // of the parts of single precision
				return 2 * (float64(float32(x)) - c.at) / c.scale
			}
			m, g := linearTable(1, 30_000, 3, func(r *rand.Rand, row []float64) (float64, float64) {
				x := r.Float64()*2 - 1
				row[0], row[1], row[2] = c.at+c.scale*x, float64(r.IntN(2)), 7
				y := 10 + slope(row[0])
				if row[1] == 1 {
					y = -30 - slope(row[0])
				}
				if c.weighted {
					return y, 0.5 + r.Float64()
				}
				return y, 1
			})
			made, f := growLinear(t, m, g, 2, 0, Options{NumLeaves: 4})
			scores := make([]float64, m.Rows)
			made.AddScores(f.data, nil, scores)
			for i := range scores {
				want := float64(-g.Grad[i]) / float64(g.Hess[i])
				if math.Abs(scores[i]-want) > 1e-4 {
					t.Fatalf("row %d gets %g, want %g\n%+v", i, scores[i], want, made.Tree)
				}
			}
		})
	}
}

// The fit is that of the plain normal equations, ridge term and all.
func TestLinearRidge(t *testing.T) {
	t.Parallel()
	m, g := linearTable(2, 400, 2, func(r *rand.Rand, row []float64) (float64, float64) {
		row[0], row[1] = math.Floor(r.Float64()*8), 5+r.Float64()
		return row[0] + 3*row[1] + r.NormFloat64(), 0.5 + r.Float64()
	})
	for _, lambda := range []float64{0, 0.5, 100} {
		made, _ := growLinear(t, m, g, 1, lambda, Options{NumLeaves: 5, MinDataInLeaf: 30})
		for leaf := range made.Tree.NumLeaves {
			features := made.Tree.LeafFeatures[leaf]
			k := len(features)
			a, b := newSymmetric(k+1), make([]float64, k+1)
			for _, row := range made.Rows(leaf) {
				x := []float64{}
				for _, f := range features {
					x = append(x, float64(float32(m.Values[int(row)*2+int(f)])))
				}
				x = append(x, 1)
				for i := range x {
					b[i] -= float64(g.Grad[row]) * x[i]
					for j := range x {
						a.v[i*(k+1)+j] += float64(g.Hess[row]) * x[i] * x[j]
					}
				}
			}
			for i := range k {
				a.v[i*(k+1)+i] += lambda
			}
			want := a.solve(b, 0)
			got := append(append([]float64{}, made.Tree.LeafCoeff[leaf]...), made.Tree.LeafConst[leaf])
			if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-8, 1e-9)); diff != "" {
				t.Errorf("linear_lambda=%g, leaf %d (-plain +got):\n%s", lambda, leaf, diff)
			}
		}
	}
}

// Columns that say the same as others, or nothing in a leaf, do not spoil the
// fit; nor do values beyond single precision, whose column is left out.
func TestLinearOddColumns(t *testing.T) {
	t.Parallel()
	m, g := linearTable(3, 3000, 6, func(r *rand.Rand, row []float64) (float64, float64) {
		x := r.NormFloat64()
		row[0], row[1], row[2] = x, -3*x+1, float64(r.IntN(2))*1e6
		row[3], row[4], row[5] = 1+float64(r.IntN(3)), math.Pow(10, float64(r.IntN(60))), float64(r.IntN(5))
		return x*x + row[2]/1e6 + row[3] + math.Log10(row[4])/10 + row[5], 1
	})
	made, f := growLinear(t, m, g, 2, 0, Options{NumLeaves: 60, MinDataInLeaf: 5}, 5)
	tr := made.Tree
	used := map[int32]bool{}
	for leaf, features := range tr.LeafFeatures {
		for i, f := range features {
			used[f] = true
			if c := math.Abs(tr.LeafCoeff[leaf][i]); c > 1e6 {
				t.Errorf("leaf %d of %d rows has a coefficient of %g for feature %d", leaf, tr.LeafCount[leaf], c, f)
			}
		}
	}
	if !used[0] || used[4] || used[5] {
		t.Errorf("features of the leaves: %v, want 0 and neither 4 (out of range) nor 5 (categories)", used)
	}
	scores := make([]float64, m.Rows)
	made.AddScores(f.data, nil, scores)
	for i, s := range scores {
		if want := float64(-g.Grad[i]); math.Abs(s-want) > 5 {
			t.Fatalf("row %d gets %g, want about %g", i, s, want)
		}
	}
}

// Rows with missing values get the leaf's value and do not spoil the others'
// fit. A leaf of few rows that have all values is constant for them.
func TestLinearMissing(t *testing.T) {
	t.Parallel()
	m, g := linearTable(4, 4000, 2, func(r *rand.Rand, row []float64) (float64, float64) {
		row[0], row[1] = r.Float64(), float64(r.IntN(2))
		if row[1] == 1 && r.IntN(100) > 0 { // few of these are complete
			row[0] = math.NaN()
		}
		if math.IsNaN(row[0]) || row[1] == 0 && r.IntN(5) == 0 {
			row[0] = math.NaN()
			return -50 - 100*row[1], 1
		}
		return 4*float64(float32(row[0])) + 1000*row[1], 1
	})
	made, f := growLinear(t, m, g, 3, 0, Options{NumLeaves: 3})
	tr := made.Tree
	scores := make([]float64, m.Rows)
	made.AddScores(f.data, nil, scores)
	for i, s := range scores {
		row := m.Values[2*i : 2*i+2]
		leaf := tr.Leaf(row)
		want := tr.LeafValue[leaf]
		if !math.IsNaN(row[0]) || len(tr.LeafFeatures[leaf]) == 0 {
			want = tr.Predict(row)
		}
		if math.Abs(s-want) > 1e-6*math.Abs(want) {
			t.Fatalf("row %d, %v, gets %g, want %g", i, row, s, want)
		}
		if !math.IsNaN(row[0]) && row[1] == 0 && math.Abs(s-4*row[0]) > 1e-4 {
			t.Fatalf("row %d, %v, gets %g, want %g", i, row, s, 4*row[0])
		}
	}
}

// A leaf with too few complete rows for a model gets a constant from these, or
// 0 if there are none; without missing values its own.
func TestLinearFewRows(t *testing.T) {
	t.Parallel()
	m, g := linearTable(5, 100, 1, func(r *rand.Rand, row []float64) (float64, float64) {
		row[0] = r.Float64()
		return row[0], 1
	})
	for name, c := range map[string]struct {
		sums linearSums
		want float64
	}{
		"none":             {linearSums{}, 0},
		"two":              {linearSums{rows: 2, grad: -6, hess: 2}, 2},
		"no hessian":       {linearSums{rows: 2, grad: -6}, 6},
		"all rows":         {linearSums{rows: 3, grad: -6, hess: 3}, 0.25},
		"too few hessians": {linearSums{rows: 5, grad: -6, hess: 0}, 0.25},
	} {
		made, f := growLinear(t, m, g, 1, 0, Options{L2: 1})
		made.Tree.LeafValue[0], made.Tree.LeafConst[0] = 0.25, 0.25
		made.Tree.LeafFeatures[0], made.Tree.LeafCoeff[0] = nil, nil
		rows := make([]uint32, max(3, c.sums.rows))
		c.sums.gradX, c.sums.hessX, c.sums.hessXX = []float64{0}, []float64{0}, []float64{0}
		f.set(made, 0, &linearLeaf{rows: rows, columns: []int{0}, places: []int32{0}, shift: []float64{0}, parts: []linearSums{c.sums}})
		if got := made.Tree.LeafConst[0]; math.Abs(got-c.want) > 1e-12 || made.Tree.LeafFeatures[0] != nil {
			t.Errorf("%s: constant %g, features %v; want %g and none", name, got, made.Tree.LeafFeatures[0], c.want)
		}
	}
}

func TestLinearSolveNeedsRows(t *testing.T) {
	t.Parallel()
	sums := func(rows int) linearSums {
		s := newLinearSums(1)
		for i := range rows {
			x := float64(i)
			s.rows++
			s.hess++
			s.grad -= 2*x + 1
			s.gradX[0] -= (2*x + 1) * x
			s.hessX[0] += x
			s.hessXX[0] += x * x
		}
		return s
	}
	for rows, want := range map[int]bool{0: false, 1: false, 2: false, 3: false, 4: true, 50: true} {
		s := sums(rows)
		coeff, constant, ok := s.solve([]float64{0}, 0)
		if ok != want {
			t.Errorf("%d rows: solved %t, want %t", rows, ok, want)
		}
		if ok && (math.Abs(coeff[0]-2) > 1e-12 || math.Abs(constant-1) > 1e-12) {
			t.Errorf("%d rows: %g + %g x", rows, constant, coeff[0])
		}
	}
	flat := sums(10)
	flat.hess = 0
	if _, _, ok := flat.solve([]float64{0}, 0); ok {
		t.Error("solved without hessians")
	}
	wild := sums(10)
	wild.gradX[0] = math.MaxFloat64
	wild.grad = -math.MaxFloat64
	if coeff, constant, ok := wild.solve([]float64{0}, 0); ok && (!finite(coeff[0]) || !finite(constant)) {
		t.Errorf("%g + %g x", constant, coeff[0])
	}
}

// TestReproducibleLinear fits leaves of many chunks and of few rows on
// different numbers of threads.
func TestReproducibleLinear(t *testing.T) {
	t.Parallel()
	m, g := linearTable(6, 60_000, 5, func(r *rand.Rand, row []float64) (float64, float64) {
		y := r.NormFloat64()
		for f := range row {
			row[f] = r.NormFloat64() * float64(f+1)
			y += row[f] * row[max(0, f-1)]
		}
		if r.IntN(4) == 0 {
			row[r.IntN(len(row))] = math.NaN()
		}
		return y, 0.25 + r.Float64()
	})
	var want *Tree
	for _, threads := range []int{1, 2, 3, 8} {
		made, f := growLinear(t, m, g, threads, 0.1, Options{NumLeaves: 12, MinDataInLeaf: 20})
		if want == nil {
			want = made.Tree
			if n := made.Tree.LeafCount; max(n[0], n[1], n[2], n[3]) <= linearChunk {
				t.Fatalf("no leaf of several chunks: %v", n)
			}
		}
		if diff := cmp.Diff(want, made.Tree); diff != "" {
			t.Fatalf("%d threads (-1 thread):\n%s", threads, diff)
		}
		byLeaf, looked, scored := make([]float64, m.Rows), make([]float64, m.Rows), make([]float64, m.Rows)
		f.AddScores(made, byLeaf)
		made.AddScores(f.data, nil, looked)
		made.Scorer().AddScores(f.data, scored)
		if diff := cmp.Diff(byLeaf, looked); diff != "" {
			t.Fatalf("scores by leaf and looked up differ:\n%s", diff)
		}
		if diff := cmp.Diff(byLeaf, scored); diff != "" {
			t.Fatalf("scores by leaf and by the scorer differ:\n%s", diff)
		}
	}
}
