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

// forestConfig adds a forest's settings; of two the first counts.
func forestConfig(t *testing.T, settings ...string) *lightgbm.Config {
	t.Helper()
	return config(t, append(settings,
		"boosting=rf", "bagging_freq=1", "bagging_fraction=0.7", "is_provide_training_metric=true")...)
}

// withScores returns the table with a model's raw predictions, the trees' sums,
// as initial scores.
func withScores(t *testing.T, m *lightgbm.Model, data dataset.Matrix) dataset.Matrix {
	t.Helper()
	p, err := m.Predictor(0, -1)
	if err != nil {
		t.Fatal(err)
	}
	data.InitScore = make([]float64, data.Rows*m.TreesPerIteration)
	if err := p.RawRows(data.Values, data.InitScore); err != nil {
		t.Fatal(err)
	}
	return data
}

// averaged is the mean square error of a forest.
func averaged(t *testing.T, m *lightgbm.Model, data dataset.Matrix) float64 {
	t.Helper()
	data = withScores(t, m, data)
	sum := 0.0
	for i, v := range data.InitScore {
		d := v/float64(m.NumIterations()) - float64(data.Label[i])
		sum += d * d
	}
	return sum / float64(data.Rows)
}

func TestForest(t *testing.T) {
	t.Parallel()
	raw := table(30, 3000)
	for name, settings := range map[string]string{
		"bagging":         "",
		"columns":         "bagging_fraction=1 feature_fraction=0.5",
		"goss":            "bagging_fraction=1 data_sample_strategy=goss learning_rate=0.5",
		"from zero":       "boost_from_average=false",
		"absolute errors": "objective=regression_l1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := forestConfig(t, append(strings.Fields(settings), "metric=l2", "num_iterations=10")...)
			b := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{})
			m, err := lightgbm.ReadModel("model", strings.NewReader(text(t, b.Model())))
			if err != nil {
				t.Fatal(err)
			}
			if !m.AverageOutput || m.NumIterations() != 10 || m.Trees[9].Shrinkage != 1 {
				t.Fatalf("average output %v, %d iterations, shrinkage %g", m.AverageOutput, m.NumIterations(), m.Trees[9].Shrinkage)
			}
			got, want := averaged(t, m, raw), b.Evaluations()[0].Value
			if math.Abs(got-want) > 1e-9*want {
				t.Errorf("the model's l2 is %.15g, training said %.15g", got, want)
			}
			if v := variance(raw.Label); want > 0.4*v {
				t.Errorf("l2 %g, the labels' variance is %g", want, v)
			}
		})
	}
}

// TestForestTreesStandAlone checks that every tree predicts the labels, not
// what the trees before have left over.
func TestForestTreesStandAlone(t *testing.T) {
	t.Parallel()
	raw := table(31, 2000)
	cfg := forestConfig(t, "num_iterations=5")
	m := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model()
	for i := range m.Trees {
		one := *m
		one.Trees = m.Trees[i : i+1]
		if e := averaged(t, &one, raw); e > 0.5*variance(raw.Label) {
			t.Errorf("tree %d alone has an l2 of %g, the labels' variance is %g", i, e, variance(raw.Label))
		}
	}
}

func variance(label []float32) float64 {
	sum, squares := 0.0, 0.0
	for _, y := range label {
		sum += float64(y)
		squares += float64(y * y)
	}
	n := float64(len(label))
	return squares/n - sum/n*sum/n
}

func TestForestContinued(t *testing.T) {
	t.Parallel()
	raw := table(32, 2000)
	cfg := forestConfig(t, "num_iterations=6", "metric=l2")
	first := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model()
	d := load(t, cfg, withScores(t, first, raw), nil)
	b := train(t, cfg, d, gbdt.Options{InitModel: first})
	if n := b.Model().NumIterations(); n != 12 {
		t.Fatalf("%d iterations, want 12", n)
	}
	if got, want := averaged(t, b.Model(), raw), b.Evaluations()[0].Value; math.Abs(got-want) > 1e-9*want {
		t.Errorf("the model's l2 is %.15g, training said %.15g", got, want)
	}
	for name, test := range map[string]struct {
		cfg  *lightgbm.Config
		init *lightgbm.Model
		want string
	}{
		"boosting a forest": {config(t, "objective=regression"), first, "a random forest is continued by boosting=rf"},
		"initial scores":    {cfg, nil, "boosting=rf cannot start from initial scores"},
	} {
		_, err := gbdt.Train(context.Background(), test.cfg, d, gbdt.Options{InitModel: test.init})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

// Where no tree can be split the forest is the best constant.
func TestForestOfConstants(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"too few rows":  "min_data_in_leaf=1000",
		"rare classes":  "objective=multiclass num_class=3",
		"no columns":    "ignored",
		"from the mean": "min_data_in_leaf=1000 objective=poisson",
	} {
		raw := labels(table(33, 600), "multiclass")
		for i := range raw.Label {
			raw.Label[i] = min(raw.Label[i], 1) // class 2 has no rows
		}
		if settings == "ignored" {
			clear(raw.Values)
			settings = ""
		}
		cfg := forestConfig(t, append(strings.Fields(settings), "num_iterations=3")...)
		b := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{})
		if err := b.Model().Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name != "too few rows" {
			continue
		}
		mean := 0.0
		for _, y := range raw.Label {
			mean += float64(y) / float64(raw.Rows)
		}
		for _, tr := range b.Model().Trees {
			if math.Abs(tr.LeafValue[0]-mean) > 1e-6 {
				t.Errorf("constant %g, want the mean, %g", tr.LeafValue[0], mean)
			}
		}
	}
}
