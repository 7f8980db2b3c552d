package lightgbm_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"cloister/engine/lightgbm"
)

// TestPredictionAllocatesNothing counts the allocations of every way to predict,
// with memory that the caller has.
func TestPredictionAllocatesNothing(t *testing.T) {
	for _, f := range fixtures(t) {
		p, err := f.model.Predictor(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		stopping, _, err := f.model.EarlyStop(p, 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		const many = 100
		row, rows := make([]float64, p.Features()), make([]float64, many*p.Features())
		index, value, start := []int32{0, 1}, []float64{1, 2}, make([]int, many+1)
		out, outs := make([]float64, p.Models()), make([]float64, many*p.Models())
		leaves, leavesOfMany := make([]int32, p.Trees()), make([]int32, many*p.Trees())
		ways := map[string]func() error{
			"Raw":              func() error { return p.Raw(row, out) },
			"RawSparse":        func() error { return p.RawSparse(index, value, out) },
			"Output":           func() error { return p.Output(row, out) },
			"Leaves":           func() error { return p.Leaves(row, leaves) },
			"RawRows":          func() error { return p.RawRows(rows, outs) },
			"RawSparseRows":    func() error { return p.RawSparseRows(start, index, value, outs) },
			"OutputRows":       func() error { return p.OutputRows(rows, outs) },
			"OutputSparseRows": func() error { return p.OutputSparseRows(start, index, value, outs) },
			"LeavesRows":       func() error { return p.LeavesRows(rows, leavesOfMany) },
			"stopping":         func() error { return stopping.Output(row, out) },
			"stopping, rows":   func() error { return stopping.OutputRows(rows, outs) },
		}
		if x, err := p.Explainer(); err == nil {
			phi := make([]float64, x.Width())
			ways["Contributions"] = func() error { return x.Contributions(row, phi) }
			few := make([]float64, 3*x.Width())
			ways["ContributionsRows"] = func() error { return x.ContributionsRows(rows[:3*p.Features()], few) }
		}
		for way, predict := range ways {
			// A call for many rows takes scratch memory from a pool, which a
			// collection, and at random the race detector, empties.
			limit := 1.0
			if strings.Contains(way, "ows") {
				limit = many / 10
			}
			if n := testing.AllocsPerRun(20, func() {
				if err := predict(); err != nil {
					t.Fatalf("%s: %s: %v", f.name, way, err)
				}
			}); n >= limit {
				t.Errorf("%s: %s: %v allocations", f.name, way, n)
			}
		}
	}
}

// TestBitsOfManyRows compares predictions of many rows with those of each.
func TestBitsOfManyRows(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		p, err := f.model.Predictor(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		stopping, _, err := f.model.EarlyStop(p, 3, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		for name, p := range map[string]*lightgbm.Predictor{"all trees": p, "stopping": stopping} {
			var values, entries []float64
			start, index := []int{0}, []int32{}
			for _, row := range f.want.Rows {
				values = append(values, row...)
				for i, v := range row {
					if v != 0 {
						index, entries = append(index, int32(i)), append(entries, v)
					}
				}
				start = append(start, len(index))
			}
			n, width := len(f.want.Rows), p.Models()
			dense, sparse, one := make([]float64, n*width), make([]float64, n*width), make([]float64, width)
			leaves, oneLeaves := make([]int32, n*p.Trees()), make([]int32, p.Trees())
			for _, err := range []error{
				p.OutputRows(values, dense), p.OutputSparseRows(start, index, entries, sparse), p.LeavesRows(values, leaves),
			} {
				if err != nil {
					t.Fatalf("%s: %s: %v", f.name, name, err)
				}
			}
			for i, row := range f.want.Rows {
				if err := p.Output(row, one); err != nil {
					t.Fatal(err)
				}
				if err := p.Leaves(row, oneLeaves); err != nil {
					t.Fatal(err)
				}
				if !sameBits(one, dense[i*width:(i+1)*width]) || !sameBits(one, sparse[i*width:(i+1)*width]) {
					t.Fatalf("%s: %s: row %d gives %v, among others %v or sparse %v", f.name, name, i, one,
						dense[i*width:(i+1)*width], sparse[i*width:(i+1)*width])
				}
				if !slices.Equal(oneLeaves, leaves[i*p.Trees():(i+1)*p.Trees()]) {
					t.Fatalf("%s: %s: row %d falls into other leaves", f.name, name, i)
				}
			}
		}
	}
}

func sameBits(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}
