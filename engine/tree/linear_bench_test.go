package tree

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

// BenchmarkLinear fits the leaves of a tree and adds it to the scores.
func BenchmarkLinear(b *testing.B) {
	d, grad := binnedTable(300_000, 28, 255)
	r := rand.New(rand.NewPCG(1, 1))
	d.Raw = &dataset.RawValues{Width: len(d.Columns), Values: make([]float32, d.Rows*len(d.Columns))}
	for c := range d.Columns {
		d.Raw.Place = append(d.Raw.Place, int32(c))
	}
	for i := range d.Raw.Values {
		d.Raw.Values[i] = r.Float32()
	}
	hess := make([]float32, len(grad))
	for i := range hess {
		hess[i] = 1
	}
	g := Gradients{Grad: grad, Hess: hess}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			pool := parallel.New(threads)
			defer pool.Close()
			opt := Options{NumLeaves: 255, MinDataInLeaf: 20, MinSumHessianInLeaf: 1e-3}
			t, err := NewGrower(d, pool, opt).Grow(context.Background(), g, nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			f := NewLinearFitter(d, pool, 0.1)
			scores := make([]float64, d.Rows)
			for name, run := range map[string]func(){"fit": func() { f.Fit(t, &g) }, "scores": func() { f.AddScores(t, scores) }} {
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						run()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*d.Rows), "ns/row")
				})
			}
		})
	}
}
