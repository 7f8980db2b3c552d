package gbdt_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
	"cloister/engine/tree"
)

// leavesOf finds the leaves of a matrix's rows.
func leavesOf(t *testing.T, m *lightgbm.Model, data dataset.Matrix) *gbdt.Leaves {
	t.Helper()
	leaves := gbdt.NewLeaves(m)
	appendLeaves(t, leaves, m, data)
	return leaves
}

// appendLeaves adds a matrix's rows to leaves.
func appendLeaves(t *testing.T, leaves *gbdt.Leaves, m *lightgbm.Model, data dataset.Matrix) {
	t.Helper()
	p, err := m.Predictor(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]int32, p.Trees())
	features := leaves.Features()
	for i := range data.Rows {
		all := data.Values[i*data.Features : (i+1)*data.Features]
		if err := p.Leaves(all, row); err != nil {
			t.Fatal(err)
		}
		values := make([]float64, len(features))
		for j, f := range features {
			values[j] = all[f]
		}
		if err := errors.Join(leaves.Append(row), leaves.AppendValues(values)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReproducibleRefits holds the bytes of refitted models on every
// architecture and number of threads.
func TestReproducibleRefits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ train, refit, want string }{
		"regression":     {"objective=regression", "objective=regression refit_decay_rate=0.5", "bc97ae9b487bab0a"},
		"regularised":    {"objective=regression", "objective=huber lambda_l1=3 lambda_l2=5 path_smooth=20 max_delta_step=0.7", "73abea244bc25d63"},
		"binary":         {"objective=binary", "objective=binary", "2f9c2d3a7b7fd8d6"},
		"multiclass":     {"objective=multiclass num_class=3", "objective=multiclass num_class=3", "b99c205c085be0f8"},
		"positions":      {"objective=lambdarank", "objective=lambdarank", "6b0277bf66d83072"},
		"forest classes": {"objective=multiclass num_class=3 boosting=rf feature_fraction=0.6", "objective=multiclass num_class=3 boosting=rf feature_fraction=0.6", "4bbf9eb5c4c25341"},
		"linear":         {"objective=regression linear_tree=true num_leaves=7", "objective=regression linear_lambda=0.5 refit_decay_rate=0.5", "3e7d686a5882dcb9"},
		"linear classes": {"objective=multiclass num_class=3 linear_tree=true", "objective=multiclass num_class=3", "ae42173070cc2380"},
		"linear forest":  {"objective=binary boosting=rf feature_fraction=0.6 linear_tree=true", "objective=binary", "62e243048e6ccaea"},
		"dart":           {"objective=binary boosting=dart", "objective=binary boosting=dart", "7ca2770728ee3e7e"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(test.train), "num_iterations=6")...)
			m := train(t, cfg, load(t, cfg, labels(table(1, 5_000), cfg.Objective), nil), gbdt.Options{}).Model()
			before := text(t, m)
			data := labels(table(2, 9_000), cfg.Objective)
			if name == "positions" {
				data = positions(data)
			}
			leaves := leavesOf(t, m, data)
			for _, threads := range []string{"1", "2", "3", "8"} {
				cfg := config(t, append(strings.Fields(test.refit), "num_threads="+threads, "task=refit")...)
				refitted, err := gbdt.Refit(context.Background(), cfg, m, &data.Metadata, leaves, gbdt.RefitOptions{})
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256([]byte(text(t, refitted)))
				if got := hex.EncodeToString(sum[:8]); got != test.want {
					t.Errorf("%s threads: SHA-256 of the model begins with %s, want %s", threads, got, test.want)
				}
			}
			if text(t, m) != before {
				t.Error("the model itself has changed")
			}
		})
	}
}

// TestRefitLearns moves a model to a population whose labels are higher.
func TestRefitLearns(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"gbdt": "objective=regression", "forest": "objective=regression boosting=rf feature_fraction=0.7",
		"linear": "objective=regression linear_tree=true",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(settings), "num_iterations=30", "refit_decay_rate=0", "task=train")...)
			m := train(t, cfg, load(t, cfg, table(1, 3_000), nil), gbdt.Options{}).Model()
			data := table(2, 3_000)
			for i := range data.Label {
				data.Label[i] = 2*data.Label[i] + 10
			}
			refitted, err := gbdt.Refit(context.Background(), cfg, m, &data.Metadata, leavesOf(t, m, data), gbdt.RefitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if before, after := squaredError(t, m, data), squaredError(t, refitted, data); !(after < before/100) {
				t.Errorf("the squared error went from %v to %v only", before, after)
			}
		})
	}
}

func squaredError(t *testing.T, m *lightgbm.Model, data dataset.Matrix) float64 {
	t.Helper()
	p, err := m.Predictor(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, data.Rows)
	if err := p.OutputRows(data.Values, out); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, v := range out {
		sum += math.Pow(v-float64(data.Label[i]), 2)
	}
	return sum / float64(data.Rows)
}

func TestRefitErrors(t *testing.T) {
	t.Parallel()
	cfg := config(t, "objective=binary", "num_iterations=2")
	data := labels(table(1, 500), "binary")
	m := train(t, cfg, load(t, cfg, data, nil), gbdt.Options{}).Model()
	full := leavesOf(t, m, data)
	other := config(t, "objective=binary", "num_iterations=2", "num_leaves=3")
	small := leavesOf(t, train(t, other, load(t, other, data, nil), gbdt.Options{}).Model(), data)
	for name, test := range map[string]struct {
		settings string
		change   func(m *lightgbm.Model, md *dataset.Metadata)
		leaves   *gbdt.Leaves
		want     string
	}{
		"classes":     {"objective=multiclass num_class=2", nil, full, "input_model has 1 tree per iteration, objective=multiclass 2"},
		"link":        {"objective=poisson", nil, full, `objective=poisson is not that of input_model, "binary sigmoid:1"`},
		"sigmoid":     {"objective=binary sigmoid=2", nil, full, `is not that of input_model, "binary sigmoid:1"`},
		"labels":      {"objective=binary", func(_ *lightgbm.Model, md *dataset.Metadata) { md.Label = []float32{3} }, full, "the label 3 of row 1"},
		"rows":        {"objective=binary", nil, gbdt.NewLeaves(m), "leaves of 0 rows in 2 trees do not fit 500 labels"},
		"other model": {"objective=binary", nil, small, "leaves must be of this model"},
		"no trees":    {"objective=binary", func(m *lightgbm.Model, _ *dataset.Metadata) { m.Trees = nil }, full, "has no trees"},
		"scores":      {"objective=binary", func(_ *lightgbm.Model, md *dataset.Metadata) { md.InitScore = []float64{1} }, full, "there are 1 initial scores"},
		"forest": {"objective=binary", func(m *lightgbm.Model, md *dataset.Metadata) {
			m.AverageOutput, md.InitScore = true, make([]float64, 500)
		}, full, "a random forest cannot start from initial scores"},
		"linear": {"objective=regression_l1", func(m *lightgbm.Model, _ *dataset.Metadata) {
			linear := *m.Trees[1]
			linear.IsLinear = true
			m.Trees[1] = &linear
		}, full, "input_model has linear trees: linear_tree=true with objective=regression_l1: "},
		"cancelled": {"objective=binary", nil, full, "context canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(test.settings), "task=refit")...)
			model, md := *m, data.Metadata
			model.Trees = append(model.Trees[:0:0], m.Trees...)
			if test.change != nil {
				test.change(&model, &md)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if name == "cancelled" {
				cancel()
			}
			_, err := gbdt.Refit(ctx, cfg, &model, &md, test.leaves, gbdt.RefitOptions{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want …%s…", err, test.want)
			}
		})
	}
}

// TestRefitOfLinearNeedsValues leaves out what linear trees need, or gives what
// they cannot have.
func TestRefitOfLinearNeedsValues(t *testing.T) {
	t.Parallel()
	cfg := config(t, "objective=regression", "linear_tree=true", "num_iterations=2", "num_leaves=5")
	data := table(1, 500)
	m := train(t, cfg, load(t, cfg, data, nil), gbdt.Options{}).Model()
	leaves := gbdt.NewLeaves(m)
	width := len(leaves.Features())
	if width == 0 {
		t.Fatal("the model has no linear leaves")
	}
	if err := leaves.AppendValues(make([]float64, width+1)); width > 1 && err == nil {
		t.Error("no error of values that are no row")
	}
	wide := make([]float64, width)
	wide[width-1] = 1e39
	if err := leaves.AppendValues(wide); err == nil || !strings.Contains(err.Error(), "is 1e+39") {
		t.Errorf("error of a value beyond single precision: %v", err)
	}
	leaves = gbdt.NewLeaves(m)
	for range data.Rows {
		if err := leaves.Append(make([]int32, len(m.Trees))); err != nil {
			t.Fatal(err)
		}
	}
	_, err := gbdt.Refit(context.Background(), cfg, m, &data.Metadata, leaves, gbdt.RefitOptions{})
	if err == nil || !strings.Contains(err.Error(), "0 values of features do not fit 500 rows") {
		t.Errorf("error of a refit without values: %v", err)
	}
}

func TestLeavesThatAreNone(t *testing.T) {
	t.Parallel()
	cfg := config(t, "objective=regression", "num_iterations=2", "num_leaves=5")
	m := train(t, cfg, load(t, cfg, table(1, 200), nil), gbdt.Options{}).Model()
	for name, leaves := range map[string][]int32{
		"odd length": {0, 0, 0}, "too great": {0, 5}, "negative": {-1, 0},
	} {
		if err := gbdt.NewLeaves(m).Append(leaves); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestRefitOfManyLeaves has leaves whose numbers take two and four bytes.
func TestRefitOfManyLeaves(t *testing.T) {
	t.Parallel()
	for _, n := range []int{256, 257, 1<<16 + 1} {
		chain := &tree.Tree{NumLeaves: n, LeafValue: make([]float64, n), Shrinkage: 1}
		m := &lightgbm.Model{NumClass: 1, TreesPerIteration: 1, Trees: []*tree.Tree{chain}}
		leaves, md := gbdt.NewLeaves(m), &dataset.Metadata{}
		for i := range n {
			if err := leaves.Append([]int32{int32(i)}); err != nil {
				t.Fatal(err)
			}
			md.Label = append(md.Label, float32(i))
		}
		cfg := config(t, "objective=regression", "task=refit", "refit_decay_rate=0")
		refitted, err := gbdt.Refit(context.Background(), cfg, m, md, leaves, gbdt.RefitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range refitted.Trees[0].LeafValue {
			if math.Abs(v-float64(i)) > 1e-6 {
				t.Fatalf("of %d leaves, leaf %d has %v", n, i, v)
			}
		}
	}
}
