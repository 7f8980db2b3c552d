package gbdt_test

import (
	"fmt"
	"strings"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/gbdt"
	"cloister/engine/random"
)

// spelledOut adds to a table columns of categories that are spelled out, some of
// which are set in the same rows, and lets the label depend on them.
func spelledOut(m dataset.Matrix, seed uint64) dataset.Matrix {
	levels := []int{20, 40, 6, 3}
	old, width := m.Features, m.Features
	for _, n := range levels {
		width += n
	}
	values := make([]float64, m.Rows*width)
	r := random.New(seed)
	for i := range m.Rows {
		row := values[i*width : (i+1)*width]
		first := copy(row, m.Values[i*old:(i+1)*old])
		for _, n := range levels {
			for more := true; more; more = n == 40 && r.IntN(50) == 0 {
				at := r.IntN(n)
				row[first+at] = float64(1 + r.IntN(2))
				m.Label[i] += float32(at%4) / 4
			}
			first += n
		}
	}
	m.Values, m.Features = values, width
	return m
}

// TestReproducibleWithBundles trains the same model with bundles and without,
// but for the parameter in it.
func TestReproducibleWithBundles(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"regression":   "objective=regression",
		"binary":       "objective=binary bagging_fraction=0.6 bagging_freq=2 feature_fraction=0.7",
		"classes":      "objective=multiclass num_class=3 feature_fraction_bynode=0.5",
		"ranking":      "objective=lambdarank extra_trees=true",
		"monotone":     "objective=regression monotone_constraints_method=advanced",
		"quantized":    "objective=binary use_quantized_grad=true",
		"goss":         "objective=regression data_sample_strategy=goss learning_rate=0.4",
		"dart":         "objective=binary boosting=dart skip_drop=0.2 drop_rate=0.4",
		"forest":       "objective=regression boosting=rf bagging_freq=1 bagging_fraction=0.6",
		"linear":       "objective=regression linear_tree=true",
		"categories":   "objective=regression categorical_feature=5,9,10,30,60",
		"zero missing": "objective=regression zero_as_missing=true",
		"no missing":   "objective=regression use_missing=false max_bin=15",
		"cegb":         "objective=regression cegb_penalty_split=1e-4 path_smooth=3",
		"small pool":   "objective=regression histogram_pool_size=0.01 num_leaves=63",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := append(strings.Fields(settings), "num_iterations=6", "min_data_in_leaf=5")
			var want string
			for _, run := range []string{"enable_bundle=false num_threads=1", "enable_bundle=true num_threads=1", "enable_bundle=true num_threads=3"} {
				args := append(strings.Fields(run), list...)
				if name == "monotone" {
					args = append(args, "monotone_constraints=1,0,0,0,0,0,1,0,1,-1"+strings.Repeat(",0,1", 33)+",0")
				}
				cfg := config(t, args...)
				data := load(t, cfg, labels(spelledOut(table(1, 5000), 2), cfg.Objective), nil)
				valid := load(t, cfg, labels(spelledOut(table(3, 1000), 4), cfg.Objective), data)
				if bundled := len(data.Bundles) >= 3 && data.Sparse != nil; bundled != cfg.EnableBundle {
					t.Fatalf("%s: %v", run, data)
				}
				b := train(t, cfg, data, gbdt.Options{Valid: []gbdt.ValidSet{{Name: "valid", Data: valid}}})
				got := fmt.Sprint(b.Evaluations()) + strings.ReplaceAll(text(t, b.Model()), "[enable_bundle: 0]", "[enable_bundle: 1]")
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s: another model", run)
				}
			}
		})
	}
}
