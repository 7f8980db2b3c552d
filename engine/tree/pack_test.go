package tree

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/random"
)

// TestBitsOfPacking packs rows eight at a time, where the processor can, and one
// by one.
func TestBitsOfPacking(t *testing.T) {
	t.Parallel()
	const rows = 1000
	grad, hess := make([]float32, rows), make([]float32, rows)
	r := random.New(1)
	for i := range grad {
		grad[i] = float32(math.Ldexp(r.Float64()-0.5, r.IntN(60)-40))
		hess[i] = float32(math.Ldexp(r.Float64(), r.IntN(40)-30))
	}
	copy(grad, []float32{0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, -1, 1, 1 << 20, -1 << 20, 0.5})
	hess[3] = -hess[3]
	for name, p := range map[string]packing{
		"plain":        {gradInv: 1 << 9, hessInv: 1 << 16, key: 0x123456789abcdef, bits: 32},
		"no hessians":  {gradInv: 12345.678, key: math.MaxUint64, bits: 10},
		"coarse":       {gradInv: 1e-3, hessInv: 1e-3, key: 7, bits: 32},
		"out of range": {gradInv: 1e300, hessInv: 1e300, key: 7, bits: 32},
	} {
		for _, hess := range [][]float32{hess, nil} {
			for _, n := range []int{0, 1, 7, 8, 9, 500, rows} {
				of := hess
				if hess != nil {
					of = hess[:n]
				}
				want, got := make([]int64, rows), make([]int64, rows)
				p.packEach(grad[:n], of, want[:n], 0)
				p.pack(grad[:n], of, got[:n])
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s, %d rows, constant %v:\n%s", name, n, hess == nil, diff)
				}
			}
		}
	}
}

func BenchmarkPack(b *testing.B) {
	grad, packed := make([]float32, 1<<14), make([]int64, 1<<14)
	for i := range grad {
		grad[i] = float32(i)
	}
	p := packing{gradInv: 3.14, hessInv: 2.71, key: 1, bits: 32}
	for name, pack := range map[string]func(){
		"each":   func() { p.packEach(grad, grad, packed, 0) },
		"groups": func() { p.pack(grad, grad, packed) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				pack()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(grad)), "ns/row")
		})
	}
}
