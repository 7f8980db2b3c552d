package tree

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/parallel"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// rawOf has all values of a matrix.
func rawOf(m dataset.Matrix) *dataset.RawValues {
	raw := &dataset.RawValues{Width: m.Features}
	for f := range m.Features {
		raw.Place = append(raw.Place, int32(f))
	}
	for _, v := range m.Values {
		raw.Values = append(raw.Values, float32(v))
	}
	return raw
}

// TestRefitLinearIsFit refits to what the tree was grown from, where only new
// values count: the result is that of the first fit, with missing values too and
// leaves of many chunks.
func TestRefitLinearIsFit(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]int{"few": 600, "many": 40_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, g := linearTable(8, rows, 3, func(r *rand.Rand, row []float64) (float64, float64) {
				y := 0.0
				for f := range row {
					row[f] = r.NormFloat64()
					y += row[f] * row[0]
				}
				if r.IntN(4) == 0 {
					row[r.IntN(3)] = math.NaN()
				}
				return y, 0.5 + r.Float64()
			})
			opt := Options{NumLeaves: 6, MinDataInLeaf: 30, L2: 2}
			made, fitter := growLinear(t, m, g, 2, 0.25, opt)
			want := made.Tree
			leaf := make([]int32, rows)
			for i := range leaf {
				leaf[i] = int32(want.Leaf(m.Values[i*3 : i*3+3]))
			}
			before := *want
			before.LeafValue = make([]float64, want.NumLeaves)
			before.LeafConst = make([]float64, want.NumLeaves)
			before.LeafCoeff = make([][]float64, want.NumLeaves)
			for i := range before.LeafCoeff {
				before.LeafCoeff[i] = make([]float64, len(want.LeafCoeff[i]))
			}
			raw := rawOf(m)
			var got *Tree
			for _, threads := range []int{1, 3} {
				pool := parallel.New(threads)
				defer pool.Close()
				refitted, err := (&Refit{Options: opt, Lambda: 0.25}).Linear(pool, &before, leaf, &g, raw)
				if err != nil {
					t.Fatal(err)
				}
				if got != nil {
					if diff := cmp.Diff(got, refitted); diff != "" {
						t.Errorf("%d threads give another tree (-1 thread):\n%s", threads, diff)
					}
				}
				got = refitted
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-6, 1e-6)); diff != "" {
				t.Errorf("(-fitted +refitted):\n%s", diff)
			}
			pool := parallel.New(2)
			defer pool.Close()
			scores, wantScores := make([]float64, rows), make([]float64, rows)
			want.AddLinear(pool, leaf, raw, scores)
			made.AddScores(fitter.data, nil, wantScores)
			if diff := cmp.Diff(wantScores, scores); diff != "" {
				t.Errorf("scores (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefitLinearMixes has leaves with enough rows, few, few without missing
// values, and none.
func TestRefitLinearMixes(t *testing.T) {
	t.Parallel()
	before := &Tree{
		NumLeaves: 4, LeftChild: []int32{1, ^0, ^2}, RightChild: []int32{2, ^1, ^3}, Shrinkage: 0.5,
		LeafValue: []float64{8, 8, 8, 8}, IsLinear: true, LeafConst: []float64{4, 4, 4, 4},
		LeafFeatures: [][]int32{{0}, {0}, nil, {0}}, LeafCoeff: [][]float64{{2}, {2}, nil, {2}},
	}
	nan := float32(math.NaN())
	raw := &dataset.RawValues{Width: 1, Place: []int32{0}, Values: []float32{0, 1, 2, 3, nan, 1, 1, nan}}
	g := &Gradients{Grad: []float32{-1, -3, -5, -7, 100, -6, -6, 3}, Hess: []float32{1, 1, 1, 1, 1, 1, 1, 1}}
	leaf := []int32{0, 0, 0, 0, 0, 1, 1, 2}
	pool := parallel.New(1)
	defer pool.Close()
	for name, test := range map[string]struct {
		decay  float64
		change func(leaf []int32)
		consts []float64
		coeff  []float64
	}{
		"mixed":      {0.5, nil, []float64{0.5*4 + 0.25*1, 0.5*4 + 0.25*6, 0.5*4 - 0.25*3, 2}, []float64{1 + 0.25*2, 1, 1}},
		"incomplete": {0, func(leaf []int32) { leaf[7] = 1 }, []float64{0.5, 3, 0, 0}, []float64{1, 0, 0}},
		"missing":    {0, func(leaf []int32) { leaf[7] = 3 }, []float64{0.5, 3, 0, 0}, []float64{1, 0, 0}},
		"old":        {1, nil, []float64{4, 4, 4, 4}, []float64{2, 2, 2}},
	} {
		of := append([]int32{}, leaf...)
		if test.change != nil {
			test.change(of)
		}
		made, err := (&Refit{Decay: test.decay}).Linear(pool, before, of, g, raw)
		if err != nil {
			t.Fatal(err)
		}
		coeff := [][]float64{test.coeff[:1], test.coeff[1:2], {}, test.coeff[2:]}
		if diff := cmp.Diff(test.consts, made.LeafConst, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
			t.Errorf("%s: constants (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(coeff, made.LeafCoeff, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
			t.Errorf("%s: coefficients (-want +got):\n%s", name, diff)
		}
	}
	g.Grad[0] = float32(math.Inf(1))
	if _, err := (&Refit{}).Linear(pool, before, leaf, g, raw); !errors.Is(err, ErrNotFinite) {
		t.Errorf("error %v, want %v", err, ErrNotFinite)
	}
}
