package tree

import (
	"context"
	"math/rand/v2"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

// binnedTable makes a data set of uniform bins whose first columns carry a
// signal, and matching gradients of a squared loss.
func binnedTable(rows, columns, bins int) (*dataset.Dataset, []float32) {
	d := &dataset.Dataset{Rows: rows}
	r := rand.New(rand.NewPCG(1, 2))
	blocks := (columns + 7) / 8
	d.Words = make([]uint64, rows*blocks)
	for c := range columns {
		if c%8 == 0 {
			d.Blocks = append(d.Blocks, dataset.Block{Bits: 8})
		}
		b := &d.Blocks[c/8]
		b.Columns = append(b.Columns, c)
		m := &dataset.Mapper{NumBins: bins, UpperBound: make([]float64, bins)}
		for i := range m.UpperBound {
			m.UpperBound[i] = float64(i) + 0.5
		}
		d.Mappers = append(d.Mappers, m)
		d.Columns = append(d.Columns, dataset.Column{Feature: c, Mapper: m, Offset: uint32(d.TotalBins), Block: c / 8, Lane: c % 8})
		d.TotalBins += bins
	}
	grad := make([]float32, rows)
	for i := range rows {
		var y float64
		for c := range columns {
			v := r.IntN(bins)
			d.Words[i*blocks+c/8] |= uint64(v) << (8 * (c % 8))
			if c < 6 {
				y += float64(v*(c+1)) / float64(bins)
			}
			if c == 6 && v > bins/2 {
				y *= 2
			}
		}
		grad[i] = float32(y + r.NormFloat64())
	}
	return d, grad
}

func BenchmarkGrow(b *testing.B) {
	d, grad := binnedTable(1_000_000, 28, 255)
	hess := make([]float32, len(grad))
	for i := range hess {
		hess[i] = 1
	}
	for _, threads := range []int{1, 2} {
		b.Run(map[int]string{1: "1", 2: "2"}[threads], func(b *testing.B) {
			pool := parallel.New(threads)
			defer pool.Close()
			g := NewGrower(d, pool, Options{NumLeaves: 255, MinDataInLeaf: 20, MinSumHessianInLeaf: 1e-3})
			for b.Loop() {
				t, err := g.Grow(context.Background(), Gradients{Grad: grad, Hess: hess}, nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				if t.Tree.NumLeaves != 255 {
					b.Fatal(t.Tree.NumLeaves)
				}
			}
		})
	}
}
