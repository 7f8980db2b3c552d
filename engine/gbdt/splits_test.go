package gbdt_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"cloister/engine/gbdt"
)

// TestMonotonePredictions trains a whole model and changes one feature of
// random rows.
func TestMonotonePredictions(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"basic":                 "monotone_constraints_method=basic",
		"intermediate":          "monotone_constraints_method=intermediate",
		"advanced":              "monotone_constraints_method=advanced",
		"intermediate, goss":    "monotone_constraints_method=intermediate data_sample_strategy=goss learning_rate=0.3 lambda_l1=0.5",
		"advanced, bagging":     "monotone_constraints_method=advanced bagging_fraction=0.5 bagging_freq=1 max_delta_step=0.3 path_smooth=3",
		"advanced, forest":      "monotone_constraints_method=advanced boosting=rf bagging_fraction=0.5 bagging_freq=1 num_leaves=63",
		"advanced, dart":        "monotone_constraints_method=advanced boosting=dart monotone_penalty=1.2",
		"advanced, extra trees": "monotone_constraints_method=advanced extra_trees=true min_data_in_leaf=3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(settings), "objective=binary", "num_iterations=30", "monotone_constraints=1,-1,0,0,0,0,1,0")...)
			raw := labels(table(11, 3000), "binary")
			m := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model()
			if !strings.Contains(text(t, m), "monotone_constraints=1 -1 0 0 0 0 1 0\n") {
				t.Error("the model text does not have the constraints")
			}
			p, err := m.Predictor(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			out := make([]float64, 1)
			for i := range 300 {
				row := append([]float64(nil), raw.Values[i*raw.Features:][:raw.Features]...)
				for f, sign := range []float64{0: 1, 1: -1, 6: 1} {
					if sign == 0 {
						continue
					}
					kept, last := row[f], math.Inf(-1)
					for step := range 21 {
						row[f] = float64(step) / 20
						if err := p.Raw(row, out); err != nil {
							t.Fatal(err)
						}
						if sign*out[0] < last {
							t.Fatalf("row %d, feature %d: the score is not monotone", i, f)
						}
						last = sign * out[0]
					}
					row[f] = kept
				}
			}
		})
	}
}

func TestSplitParametersFitTheData(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ settings, want string }{
		"feature_contri":          {"feature_contri=1,2", "feature_contri has 2 values, but the training data has 8 features"},
		"cegb":                    {"cegb_penalty_feature_lazy=1", "cegb_penalty_feature_lazy has 1 values"},
		"interaction_constraints": {"interaction_constraints=[0,1],[2,8]", "interaction_constraints: group 2 names feature 8, but the training data has features 0 to 7"},
		"monotone_constraints":    {"monotone_constraints=1,0,-1", "monotone_constraints has 3 values, but the training data has 8 features"},
		"monotone category":       {"monotone_constraints=1,0,0,0,0,1,0,0", "monotone_constraints: feature 5 (Column_5) is categorical"},
		"monotone percentiles":    {"objective=l1 monotone_constraints=1,0,0,0,0,0,0,0", "monotone_constraints cannot be kept with objective=regression_l1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, strings.Fields(test.settings)...)
			_, err := gbdt.Train(context.Background(), cfg, load(t, cfg, table(1, 300), nil), gbdt.Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
