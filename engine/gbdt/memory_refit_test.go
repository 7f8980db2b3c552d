package gbdt_test

import (
	"context"
	"runtime"
	"testing"

	"cloister/engine/gbdt"
	"cloister/engine/objective"
	"cloister/engine/parallel"
)

// weighed is an objective that notes how much memory is held when gradients are
// asked for.
type weighed struct {
	objective.Objective
	held int64
}

func (w *weighed) Gradients(pool *parallel.Pool, iteration int, scores []float64, grad, hess []float32) {
	w.Objective.Gradients(pool, iteration, scores, grad, hess)
	w.held = heap()
}

// TestRefitMemory compares the estimate with the memory that is held during a
// refit. It runs alone, as others' memory would count.
func TestRefitMemory(t *testing.T) { //nolint:paralleltest // see above
	for name, settings := range map[string][]string{ //nolint:paralleltest // see above
		"regression":   {"objective=regression"},
		"classes":      {"objective=multiclass", "num_class=3"},
		"many leaves":  {"objective=regression", "num_leaves=400", "min_data_in_leaf=1"},
		"linear trees": {"objective=regression", "linear_tree=true"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, append(settings, "num_iterations=40")...)
			m := train(t, cfg, load(t, cfg, labels(table(1, 2_000), cfg.Objective), nil), gbdt.Options{}).Model()
			data := labels(table(2, 60_000), cfg.Objective)
			before := heap()
			leaves := gbdt.NewLeaves(m)
			leaves.Grow(data.Rows)
			appendLeaves(t, leaves, m, data)
			loss, err := objective.New(cfg, &data.Metadata)
			if err != nil {
				t.Fatal(err)
			}
			w := &weighed{Objective: loss}
			cfg.Task = "refit"
			if _, err := gbdt.Refit(context.Background(), cfg, m, &data.Metadata, leaves, gbdt.RefitOptions{Objective: w}); err != nil {
				t.Fatal(err)
			}
			held, estimate := float64(w.held-before), float64(gbdt.RefitMemory(m, data.Rows))
			if estimate < 0.8*held || estimate > 1.5*held {
				t.Errorf("held %.1f MB, estimate %.1f MB", held/1e6, estimate/1e6)
			} else {
				t.Logf("held %.1f MB, estimate %.1f MB", held/1e6, estimate/1e6)
			}
			runtime.KeepAlive(data)
			runtime.KeepAlive(m)
		})
	}
}
