package gbdt_test

import (
	"math"
	"strings"
	"testing"

	"cloister/engine/gbdt"
)

// TestDart checks that the scores of training and validation follow the trees
// as these are dropped and given back, and what weights the trees have.
func TestDart(t *testing.T) {
	t.Parallel()
	raw, other := table(40, 2000), table(41, 1000)
	for name, settings := range map[string]string{
		"defaults":     "",
		"often":        "skip_drop=0 drop_rate=0.5",
		"uniform":      "skip_drop=0 drop_rate=0.5 uniform_drop=true max_drop=3",
		"as xgboost":   "skip_drop=0 drop_rate=0.5 xgboost_dart_mode=true",
		"with bagging": "skip_drop=0.1 bagging_freq=1 bagging_fraction=0.5",
		"absolute":     "objective=regression_l1 skip_drop=0 drop_rate=0.5",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(settings), "boosting=dart", "metric=l2", "num_iterations=25", "learning_rate=0.3", "is_provide_training_metric=true")...)
			d := load(t, cfg, raw, nil)
			b := train(t, cfg, d, gbdt.Options{Valid: []gbdt.ValidSet{{Name: "valid", Data: load(t, cfg, other, d)}}})
			for i, want := range []float64{meanSquare(t, b.Model(), raw), meanSquare(t, b.Model(), other)} {
				if got := b.Evaluations()[i]; math.Abs(got.Value-want) > 1e-9*want {
					t.Errorf("training said an l2 of %.15g on %s, the model has %.15g", got.Value, got.Set, want)
				}
			}
			// With half of the trees dropped each time, and the first with the
			// base among them, little is learned; LightGBM's is no better.
			if e, v := b.Evaluations()[0].Value, variance(raw.Label); name == "defaults" && e > 0.1*v {
				t.Errorf("l2 %g, the labels' variance is %g", e, v)
			}
		})
	}
}

// TestDartWeights drops all trees but as many as max_drop allows.
func TestDartWeights(t *testing.T) {
	t.Parallel()
	const rate = 0.4
	for name, test := range map[string]struct {
		settings string
		want     []float64 // shrinkage after four iterations, of all but the first, which has the base
	}{
		"none": {"skip_drop=1", []float64{rate, rate, rate}},
		// Iteration 2 drops tree 1, iteration 3 both, iteration 4 all three.
		"all": {"skip_drop=0 drop_rate=1 uniform_drop=true max_drop=-1", []float64{
			rate / 2 * 2 / 3 * 3 / 4, rate / 3 * 3 / 4, rate / 4,
		}},
		// The first tree is always the one.
		"one": {"skip_drop=0 drop_rate=1 uniform_drop=true max_drop=1", nil},
		"xgboost": {"skip_drop=0 drop_rate=1 uniform_drop=true xgboost_dart_mode=true max_drop=0", []float64{
			rate / (rate + 1) * 2 / (2 + rate) * 3 / (3 + rate), rate / (rate + 2) * 3 / (3 + rate), rate / (rate + 3),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(test.settings), "boosting=dart", "num_iterations=4", "learning_rate=0.4")...)
			m := train(t, cfg, load(t, cfg, table(42, 1000), nil), gbdt.Options{}).Model()
			for i, want := range test.want {
				if got := m.Trees[i+1].Shrinkage; math.Abs(got-want) > 1e-12 {
					t.Errorf("tree %d has a weight of %g, want %g", i+2, got, want)
				}
			}
			if test.want != nil {
				return
			}
			// max_drop/n bounds the probability: at most one tree is dropped.
			for i, tr := range m.Trees[1:] {
				if s := tr.Shrinkage; s > rate || s < rate/2*math.Pow(0.5, float64(2-i))-1e-12 {
					t.Errorf("tree %d has a weight of %g", i+2, s)
				}
			}
		})
	}
}

func TestDartGoesOnWhereItWouldStop(t *testing.T) {
	t.Parallel()
	cfg := config(t, "boosting=dart", "metric=l2", "num_iterations=60", "learning_rate=0.5", "early_stopping_round=2", "min_data_in_leaf=1")
	d := load(t, cfg, table(43, 300), nil)
	b := train(t, cfg, d, gbdt.Options{Valid: []gbdt.ValidSet{{Name: "valid", Data: load(t, cfg, table(44, 300), d)}}})
	if n := b.Model().NumIterations(); n != 60 || b.BestIteration() != 0 {
		t.Errorf("%d iterations, best %d, want all 60", n, b.BestIteration())
	}
}

// A training that ends because nothing can be split gives back what it dropped.
func TestDartEnds(t *testing.T) {
	t.Parallel()
	raw := table(45, 300)
	cfg := config(t, "boosting=dart", "metric=l2", "num_iterations=100", "learning_rate=1", "skip_drop=0.9", "drop_rate=1",
		"min_gain_to_split=10", "is_provide_training_metric=true", "min_data_in_leaf=1")
	var last []gbdt.Evaluation
	b := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{OnIteration: func(p *gbdt.Progress) error {
		last = p.Metrics
		return nil
	}})
	if n := b.Model().NumIterations(); n == 100 {
		t.Fatal("the training did not end early")
	}
	if got, want := meanSquare(t, b.Model(), raw), last[0].Value; math.Abs(got-want) > 1e-9*want {
		t.Errorf("the model's l2 is %.15g, training said %.15g", got, want)
	}
}
