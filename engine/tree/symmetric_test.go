package tree

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Systems of a known solution, of full rank and less: the equations hold, and
// the unknowns that others determine are 0.
func TestSymmetricSolve(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		n := 1 + r.IntN(12)
		rank := 1 + r.IntN(n)
		m, want := newSymmetric(n), newSymmetric(n)
		for range rank {
			v := make([]float64, n)
			for i := range v {
				v[i] = r.NormFloat64()
			}
			for i := range n {
				for j := range n {
					m.v[i*n+j] += v[i] * v[j]
				}
			}
		}
		copy(want.v, m.v)
		x0, b := make([]float64, n), make([]float64, n)
		for i := range x0 {
			x0[i] = r.NormFloat64()
		}
		for i := range n {
			for j := range n {
				b[i] += m.get(i, j) * x0[j]
			}
		}
		right := append([]float64{}, b...)
		x := m.solve(b, 1e-10)
		zeros := 0
		for i := range n {
			sum := 0.0
			for j := range n {
				sum += want.get(i, j) * x[j]
			}
			if math.Abs(sum-right[i]) > 1e-5 {
				t.Fatalf("%d unknowns, rank %d: equation %d gives %g, want %g", n, rank, i, sum, right[i])
			}
			if x[i] == 0 {
				zeros++
			}
		}
		if zeros != n-rank {
			t.Errorf("%d unknowns, rank %d: %d are 0", n, rank, zeros)
		}
	}
}
