package gbdt_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

// TestTrainingMemory compares the estimate with the memory that is held during a
// training. It runs alone, as others' memory would count.
func TestTrainingMemory(t *testing.T) { //nolint:paralleltest // see above
	for _, c := range []struct {
		name           string
		rows, features int
		settings       map[string]string
		zeros          int // of seven values
	}{
		{"many rows", 200_000, 10, nil, 0},
		{"many features", 10_000, 400, map[string]string{"num_leaves": "127"}, 0},
		{"classes", 50_000, 10, map[string]string{"objective": "multiclass", "num_class": "7"}, 0},
		{"goss", 100_000, 10, map[string]string{"data_sample_strategy": "goss", "learning_rate": "1"}, 0},
		{"few leaves that the rows allow", 2_000, 100, map[string]string{"num_leaves": "100000"}, 0},
		{"sparse", 100_000, 100, nil, 6},
		{"linear trees", 100_000, 10, map[string]string{"linear_tree": "true"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := dataset.Matrix{Rows: c.rows, Features: c.features, Values: make([]float64, c.rows*c.features)}
			for i := range m.Values {
				if i*2654435761%1000003%7 < c.zeros {
					continue
				}
				m.Values[i] = math.Sqrt(float64(i * 2654435761 % 1000003))
			}
			m.Label = make([]float32, c.rows)
			for i := range m.Label {
				m.Label[i] = float32(i % 7)
			}
			cfg := lightgbm.NewConfig()
			cfg.NumIterations, cfg.NumThreads = 3, 2
			for name, value := range c.settings {
				if err := cfg.Set(name, value); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			d, _, err := dataset.FromMatrix(context.Background(), m, gbdt.DatasetOptions(cfg), nil)
			if err != nil {
				t.Fatal(err)
			}
			m.Values = nil
			before, held := heap(), int64(0)
			_, err = gbdt.Train(context.Background(), cfg, d, gbdt.Options{OnIteration: func(p *gbdt.Progress) error {
				if p.Iteration == 3 {
					held = heap() - before
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			estimate := gbdt.TrainingMemory(cfg, d, 2)
			text := fmt.Sprintf("held %.1f MB, estimate %.1f MB", float64(held)/1e6, float64(estimate)/1e6)
			// How many leaves keep a histogram depends on the shape of the trees.
			if low, high := float64(held)*0.8, float64(held)*4; float64(estimate) < low || float64(estimate) > high {
				t.Error(text)
			} else {
				t.Log(text)
			}
			runtime.KeepAlive(d)
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
