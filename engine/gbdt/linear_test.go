package gbdt_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

// The scores of training and validation follow the models in the leaves, with
// every way to sample rows and to combine trees. Training has the values in
// single precision.
func TestLinearScoresAreTheModels(t *testing.T) {
	t.Parallel()
	raw, other := table(50, 3000), table(51, 1000)
	for name, settings := range map[string]string{
		"plain":         "",
		"bagging":       "bagging_fraction=0.5 bagging_freq=2",
		"goss":          "data_sample_strategy=goss",
		"dart":          "boosting=dart skip_drop=0 drop_rate=0.5",
		"forest":        "boosting=rf bagging_fraction=0.5 bagging_freq=1",
		"monotone":      "monotone_constraints=1,1,0,0,0,0,1,0",
		"quantile":      "objective=quantile",
		"no average":    "boost_from_average=false",
		"use_missing":   "use_missing=false",
		"dense storage": "is_enable_sparse=false",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(settings), "linear_tree=true", "linear_lambda=0.01", "metric=l2", "num_iterations=12", "is_provide_training_metric=true")...)
			d := load(t, cfg, raw, nil)
			b := train(t, cfg, d, gbdt.Options{Valid: []gbdt.ValidSet{{Name: "valid", Data: load(t, cfg, other, d)}}})
			m, err := lightgbm.ReadModel("model", strings.NewReader(text(t, b.Model())))
			if err != nil {
				t.Fatal(err)
			}
			features := 0
			for _, tr := range m.Trees {
				for _, f := range tr.LeafFeatures {
					features += len(f)
				}
			}
			if features < 100 {
				t.Errorf("the leaves have %d coefficients", features)
			}
			for i, data := range []dataset.Matrix{raw, other} {
				want := meanSquareOfOutputs(t, m, data)
				if got := b.Evaluations()[i]; math.Abs(got.Value-want) > 1e-5*want {
					t.Errorf("training said an l2 of %.15g on %s, the model has %.15g", got.Value, got.Set, want)
				}
			}
		})
	}
}

func meanSquareOfOutputs(t *testing.T, m *lightgbm.Model, data dataset.Matrix) float64 {
	t.Helper()
	p, err := m.Predictor(0, -1)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, data.Rows)
	if err := p.OutputRows(data.Values, out); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, v := range out {
		d := v - float64(data.Label[i])
		sum += float64(d * d)
	}
	return sum / float64(data.Rows)
}

// The first trees of a training have constants only, as LightGBM's; those that
// continue a model and those of a forest do not.
func TestLinearFirstTrees(t *testing.T) {
	t.Parallel()
	raw := table(52, 2000)
	features := func(m *lightgbm.Model, i int) (n int) {
		tr := m.Trees[i]
		if !tr.IsLinear {
			t.Errorf("tree %d is not linear", i)
		}
		for _, f := range tr.LeafFeatures {
			n += len(f)
		}
		return n
	}
	cfg := config(t, "linear_tree=true", "num_iterations=3")
	first := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model()
	if a, b := features(first, 0), features(first, 1); a != 0 || b == 0 {
		t.Errorf("%d and %d coefficients in the first trees", a, b)
	}
	p, err := first.Predictor(0, -1)
	if err != nil {
		t.Fatal(err)
	}
	more := raw
	more.InitScore = make([]float64, raw.Rows)
	if err := p.RawRows(raw.Values, more.InitScore); err != nil {
		t.Fatal(err)
	}
	both := train(t, cfg, load(t, cfg, more, nil), gbdt.Options{InitModel: first}).Model()
	if features(both, 3) == 0 {
		t.Error("no coefficients in the tree that continues a model")
	}
	cfg = config(t, "linear_tree=true", "num_iterations=3", "boosting=rf", "feature_fraction=0.7")
	if m := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model(); features(m, 0) == 0 {
		t.Error("no coefficients in the first tree of a forest")
	}
	cfg = config(t, "linear_tree=true", "num_iterations=2", "objective=multiclass", "num_class=3")
	m := train(t, cfg, load(t, cfg, labels(table(53, 2000), "multiclass"), nil), gbdt.Options{}).Model()
	for i := range m.Trees {
		if n := features(m, i); (n > 0) != (i >= 3) {
			t.Errorf("classes: tree %d has %d coefficients", i, n)
		}
	}
}

// A table of a few straight lines is learned better than by constants.
func TestLinearLearnsLines(t *testing.T) {
	t.Parallel()
	l2 := map[string]float64{}
	for _, linear := range []string{"true", "false"} {
		cfg := config(t, "linear_tree="+linear, "num_iterations=30", "num_leaves=7")
		raw := table(54, 4000)
		for i := range raw.Rows {
			row := raw.Values[i*raw.Features:]
			raw.Label[i] = float32(3*row[0] - 2*row[1])
			if row[5] > 5 {
				raw.Label[i] = float32(5 * row[3])
			}
		}
		l2[linear] = meanSquare(t, train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model(), raw)
	}
	if l2["true"] > 0.3*l2["false"] {
		t.Errorf("l2 of linear trees and others: %v", l2)
	}
}

func TestLinearNeedsValues(t *testing.T) {
	t.Parallel()
	plain, linear := config(t), config(t, "linear_tree=true", "metric=l2", "num_iterations=2")
	raw := table(55, 500)
	if _, err := gbdt.Train(context.Background(), linear, load(t, plain, raw, nil), gbdt.Options{}); err == nil ||
		!strings.Contains(err.Error(), "linear_tree needs the values of the training data: build") {
		t.Errorf("error %v", err)
	}
	d := load(t, linear, raw, nil)
	valid := []gbdt.ValidSet{{Name: "valid_1", Data: load(t, plain, raw, load(t, plain, raw, nil))}}
	if _, err := gbdt.Train(context.Background(), linear, d, gbdt.Options{Valid: valid}); err == nil ||
		!strings.Contains(err.Error(), "linear_tree needs the values of valid_1") {
		t.Errorf("error %v", err)
	}
	// The reference decides: options of the validation set do not matter.
	valid[0].Data = load(t, plain, raw, d)
	if _, err := gbdt.Train(context.Background(), linear, d, gbdt.Options{Valid: valid}); err != nil {
		t.Error(err)
	}
}

// Values that single precision cannot hold leave their column out of the
// models, and the training's scores stay finite.
func TestLinearHugeValues(t *testing.T) {
	t.Parallel()
	raw := table(56, 2000)
	for i := range raw.Rows {
		raw.Values[i*raw.Features] *= 1e300
		raw.Values[i*raw.Features+1] *= 1e-300
	}
	cfg := config(t, "linear_tree=true", "num_iterations=10", "metric=l2", "is_provide_training_metric=true")
	b := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{})
	for i, tr := range b.Model().Trees {
		for leaf, features := range tr.LeafFeatures {
			for _, f := range features {
				if f == 0 {
					t.Fatalf("tree %d: leaf %d uses feature 0", i, leaf)
				}
			}
		}
	}
	if v := b.Evaluations()[0].Value; !(v < variance(raw.Label)) {
		t.Errorf("l2 %g, the labels' variance is %g", v, variance(raw.Label))
	}
}
