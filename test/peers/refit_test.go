//go:build peers

package peers_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cloister/engine/lightgbm"
	"cloister/engine/tree"
	"cloister/test/peers/peer"
	"cloister/test/peers/synth"
)

// refits are models that are refitted to other tables than they were trained
// on. The settings of both programs' refit are those of the objective and refit.
// refitCase is a model to refit.
type refitCase struct {
	tables func(*env, int) files // train to learn, test to refit
	train  peer.Config
	refit  peer.Config
	decay  string
	// forest asks Python's refit for the kind of boosting; the command line's
	// adds the trees of a forest up.
	forest peer.Config
	// tolerance is that of leaf values, relative to the largest of their tree.
	tolerance float64
}

var refits = map[string]refitCase{
	"regression": {
		tables: made(&synth.Dense{Seed: 81, Columns: 10, Missing: 0.1}, 4_000),
		train:  peer.Config{"objective": "regression"}, decay: "0.9", tolerance: 1e-12,
	},
	"regularised": {
		tables: made(&synth.Dense{Seed: 82, Columns: 10, Weighted: true}, 4_000),
		train:  peer.Config{"objective": "regression"}, decay: "0.3", tolerance: 1e-12,
		refit: peer.Config{"lambda_l1": "3", "lambda_l2": "10", "max_delta_step": "0.6"},
	},
	"new values only": {
		tables: made(&synth.Dense{Seed: 83, Columns: 10, Kind: synth.Binary}, 4_000),
		train:  peer.Config{"objective": "binary", "sigmoid": "1.5", "is_unbalance": "true"}, decay: "0", tolerance: 1e-9,
	},
	"nothing new": {
		tables: made(&synth.Dense{Seed: 84, Columns: 10}, 2_000),
		train:  peer.Config{"objective": "regression"}, decay: "1", tolerance: 1e-12,
	},
	"absolute": {
		tables: made(&synth.Dense{Seed: 85, Columns: 10, Tails: true}, 4_000),
		train:  peer.Config{"objective": "regression_l1"}, decay: "0.5", tolerance: 1e-12,
	},
	"quantile": {
		tables: made(&synth.Dense{Seed: 86, Columns: 10, Weighted: true}, 4_000),
		train:  peer.Config{"objective": "quantile", "alpha": "0.8"}, decay: "0.5", tolerance: 1e-12,
	},
	"another loss": {
		tables: made(&synth.Dense{Seed: 86, Columns: 10, Tails: true}, 4_000),
		train:  peer.Config{"objective": "regression"}, decay: "0.5", tolerance: 1e-12,
		refit: peer.Config{"objective": "huber", "alpha": "2"},
	},
	"poisson": {
		tables: made(&synth.Dense{Seed: 87, Columns: 10, Kind: synth.Poisson}, 4_000),
		train:  peer.Config{"objective": "poisson", "poisson_max_delta_step": "0.5"}, decay: "0.5", tolerance: 1e-9,
	},
	"categories": {
		tables: made(&synth.Dense{Seed: 88, Columns: 8, Kind: synth.Binary, Categories: 3, Levels: 60, Missing: 0.1}, 4_000),
		train:  peer.Config{"objective": "binary", "categorical_feature": "0,1,2"}, decay: "0.7", tolerance: 1e-9,
	},
	"classes": {
		tables: made(&synth.Dense{Seed: 89, Columns: 10, Kind: synth.Multiclass, Classes: 4}, 4_000),
		train:  peer.Config{"objective": "multiclass", "num_class": "4"}, decay: "0.5", tolerance: 1e-9,
	},
	"classes one by one": {
		tables: made(&synth.Dense{Seed: 90, Columns: 10, Kind: synth.Multiclass, Classes: 3}, 4_000),
		train:  peer.Config{"objective": "multiclassova", "num_class": "3"}, decay: "0.5", tolerance: 1e-9,
	},
	"ranking": { // LightGBM takes the sigmoid from a table
		tables: ranked(&synth.Ranking{Seed: 91, Columns: 12}, 150),
		train:  peer.Config{"objective": "lambdarank"}, decay: "0.5", tolerance: 1e-4,
	},
	"ranking: positions": {
		tables: shownLater(&synth.Ranking{Seed: 96, Columns: 12}, 150),
		train:  peer.Config{"objective": "lambdarank"}, decay: "0.5", tolerance: 1e-4,
		refit: peer.Config{"lambdarank_position_bias_regularization": "0.2", "learning_rate": "0.3"},
	},
	"initial scores": {
		tables: withScores(made(&synth.Dense{Seed: 97, Columns: 10, Kind: synth.Binary}, 4_000)),
		train:  peer.Config{"objective": "binary"}, decay: "0.5", tolerance: 1e-9,
	},
	"sparse": {
		tables: made(&synth.Bag{Seed: 92, Columns: 200, PerRow: 20}, 3_000),
		train:  peer.Config{"objective": "binary"}, decay: "0.5", tolerance: 1e-9,
	},
	"dart": {
		tables: made(&synth.Dense{Seed: 93, Columns: 10}, 4_000),
		train:  peer.Config{"objective": "regression", "boosting": "dart", "skip_drop": "0.2"}, decay: "0.5", tolerance: 1e-12,
	},
	"forest": {
		tables: made(&synth.Dense{Seed: 94, Columns: 10}, 4_000),
		train:  peer.Config{"objective": "regression", "boosting": "rf", "feature_fraction": "0.6"}, decay: "0.5", tolerance: 1e-12,
		forest: peer.Config{"boosting": "rf", "feature_fraction": "0.6"},
	},
	"forest: classes": {
		tables: made(&synth.Dense{Seed: 95, Columns: 10, Kind: synth.Multiclass, Classes: 3}, 4_000),
		train:  peer.Config{"objective": "multiclass", "num_class": "3", "boosting": "rf", "feature_fraction": "0.6"}, decay: "0.5", tolerance: 1e-9,
		forest: peer.Config{"boosting": "rf", "feature_fraction": "0.6"},
	},
}

// linearRefits have models with linear leaves of so many rows that both programs
// fit them: with few they differ on purpose. Where values are missing only new
// values count, since LightGBM mixes in the old ones twice in leaves that have no
// features. Zeros are others' values in LightGBM, see linearTasks.
func linearRefits() map[string]refitCase {
	cases := map[string]refitCase{}
	for name, r := range map[string]struct {
		data         synth.Dense
		train, refit peer.Config
		decay        string
	}{
		"linear":          {data: synth.Dense{Seed: 98, Columns: 6}, decay: "0.5"},
		"linear: ridge":   {data: synth.Dense{Seed: 99, Columns: 6, Weighted: true}, decay: "0.9", refit: peer.Config{"linear_lambda": "10"}},
		"linear: binary":  {data: synth.Dense{Seed: 100, Columns: 6, Kind: synth.Binary}, decay: "0.3", train: peer.Config{"objective": "binary"}},
		"linear: classes": {data: synth.Dense{Seed: 101, Columns: 6, Kind: synth.Multiclass, Classes: 3}, decay: "0.5", train: peer.Config{"objective": "multiclass", "num_class": "3"}},
		"linear: missing": {data: synth.Dense{Seed: 102, Columns: 6, Missing: 0.05}, decay: "0"},
	} {
		c := peer.Config{"objective": "regression"}.With(r.train)
		c = c.With(peer.Config{"linear_tree": "true", "num_iterations": "10", "num_leaves": "7", "min_data_in_leaf": "300"})
		k := refits["regression"]
		k.tables, k.train, k.refit, k.decay, k.tolerance = withoutZeros(made(&r.data, 8_000)), c, r.refit, r.decay, 1e-6
		cases[name] = k
	}
	return cases
}

// TestRefit refits LightGBM's models and Cloister's in both programs: the leaves
// get the same values.
func TestRefit(t *testing.T) {
	t.Parallel()
	bin, pool, shared := binary(t), workers(t), t.TempDir()
	cases := linearRefits()
	maps.Copy(cases, refits)
	for name, k := range cases {
		t.Run(strings.NewReplacer(": ", "-", " ", "-").Replace(name), func(t *testing.T) {
			t.Parallel()
			w := <-pool
			defer func() { pool <- w }()
			e := &env{T: t, worker: w, binary: bin, dir: t.TempDir(), shared: shared}
			f := k.tables(e, 0)
			c := peer.Config{"num_iterations": "30", "num_leaves": "15"}.With(k.train)
			models := map[string]string{"ours": e.path("ours.txt"), "theirs": e.path("theirs.txt")}
			e.trainOurs(c, f, models["ours"])
			e.trainTheirs(c, f, models["theirs"])
			c = peer.Config{}
			for _, key := range []string{"objective", "num_class", "sigmoid", "is_unbalance", "alpha", "poisson_max_delta_step"} {
				if v, ok := k.train[key]; ok {
					c[key] = v
				}
			}
			c = c.With(k.refit)
			decay, err := strconv.ParseFloat(k.decay, 64)
			if err != nil {
				t.Fatal(err)
			}
			for of, model := range models {
				byOurs, byTheirs := e.path(of+".by-ours"), e.path(of+".by-theirs")
				over := peer.Config{
					"task": "refit", "input_model": model, "data": f.test, "output_model": byOurs,
					"refit_decay_rate": k.decay, "num_threads": "2",
				}
				if _, err := peer.Train(e.Context(), bin, c.With(over)); err != nil {
					t.Fatal(err)
				}
				theirs := c.With(k.forest).With(peer.Config{"num_threads": "1", "verbosity": "-1"})
				e.do("refit", peer.Args{"model": model, "data": f.test, "result": byTheirs, "decay": decay, "params": theirs}, nil)
				if err := sameLeaves(byOurs, byTheirs, model, k.tolerance, decay == 1); err != nil {
					t.Errorf("model %s: %v", of, err)
				}
				e.samePredictions("refitted "+of, byOurs, e.head(f.test, rowsBothWays), f.header)
			}
		})
	}
}

// shownLater has judged queries to train on, and what people chose from where it
// stood to refit to.
func shownLater(table *synth.Ranking, queries int) func(*env, int) files {
	later := shown(table, queries)
	return func(e *env, seed int) files {
		f := later(e, seed)
		return files{train: f.test, test: f.train}
	}
}

// withScores gives the rows that models are refitted to scores to start from.
func withScores(tables func(*env, int) files) func(*env, int) files {
	return func(e *env, seed int) files {
		f := tables(e, seed)
		lines := readLines(e, f.test)
		for i := range lines {
			lines[i] = append(strconv.AppendFloat(nil, float64(i%7-3)/4, 'g', -1, 64), '\n')
		}
		writeLines(e, f.test+".init", lines)
		return f
	}
}

// withoutZeros replaces values that are 0, by some that differ: a feature that
// is constant in a leaf has no coefficient of its own.
func withoutZeros(tables func(*env, int) files) func(*env, int) files {
	return func(e *env, seed int) files {
		f := tables(e, seed)
		for _, path := range []string{f.train, f.test} {
			lines := readLines(e, path)
			for i, line := range lines {
				label, features, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
				fields := bytes.Split(features, []byte("\t"))
				for j := range fields {
					if v, err := strconv.ParseFloat(string(fields[j]), 64); err == nil && v == 0 {
						fields[j] = strconv.AppendInt(nil, int64(16+i%5), 10)
					}
				}
				lines[i] = slices.Concat(label, []byte("\t"), bytes.Join(fields, []byte("\t")), []byte("\n"))
			}
			writeLines(e, path, lines)
		}
		return f
	}
}

// sameLeaves compares leaf values. Unless still is set they must differ from
// those of the model before.
func sameLeaves(got, want, before string, tolerance float64, still bool) error {
	var models [3]*lightgbm.Model
	for i, path := range []string{got, want, before} {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if models[i], err = lightgbm.ReadModel(path, bytes.NewReader(text)); err != nil {
			return err
		}
	}
	if len(models[0].Trees) != len(models[1].Trees) || models[0].Objective != models[1].Objective {
		return fmt.Errorf("%d trees of %q, want %d of %q",
			len(models[0].Trees), models[0].Objective, len(models[1].Trees), models[1].Objective)
	}
	changed := false
	for i, t := range models[0].Trees {
		other, old := models[1].Trees[i], models[2].Trees[i]
		if t.NumLeaves != other.NumLeaves {
			return fmt.Errorf("tree %d: %d leaves, want %d", i, t.NumLeaves, other.NumLeaves)
		}
		largest := 0.0
		for _, v := range other.LeafValue {
			largest = max(largest, math.Abs(v))
		}
		for leaf, v := range t.LeafValue {
			if d := math.Abs(v - other.LeafValue[leaf]); !(d <= tolerance*largest) {
				return fmt.Errorf("tree %d, leaf %d: %v, want %v: apart by %.1e of the largest, more than %.1e",
					i, leaf, v, other.LeafValue[leaf], d/largest, tolerance)
			}
			changed = changed || v != old.LeafValue[leaf]
		}
		if err := sameModels(t, other, tolerance); err != nil {
			return fmt.Errorf("tree %d, %w", i, err)
		}
	}
	if changed == still {
		return fmt.Errorf("leaves changed: %v", changed)
	}
	return nil
}

// sameModels compares the linear models of leaves.
func sameModels(got, want *tree.Tree, tolerance float64) error {
	if got.IsLinear != want.IsLinear {
		return fmt.Errorf("linear: %v, want %v", got.IsLinear, want.IsLinear)
	}
	if !got.IsLinear {
		return nil
	}
	largest := 0.0
	for leaf, c := range want.LeafConst {
		largest = max(largest, math.Abs(c))
		for _, c := range want.LeafCoeff[leaf] {
			largest = max(largest, math.Abs(c))
		}
	}
	for leaf := range got.NumLeaves {
		a := append([]float64{got.LeafConst[leaf]}, got.LeafCoeff[leaf]...)
		b := append([]float64{want.LeafConst[leaf]}, want.LeafCoeff[leaf]...)
		if !slices.Equal(got.LeafFeatures[leaf], want.LeafFeatures[leaf]) || len(a) != len(b) {
			return fmt.Errorf("leaf %d: features %v, want %v", leaf, got.LeafFeatures[leaf], want.LeafFeatures[leaf])
		}
		for i := range a {
			if d := math.Abs(a[i] - b[i]); !(d <= tolerance*largest) {
				return fmt.Errorf("leaf %d: constant and coefficients %v, want %v: apart by %.1e of the largest", leaf, a, b, d/largest)
			}
		}
	}
	return nil
}
