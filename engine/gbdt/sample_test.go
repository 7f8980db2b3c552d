package gbdt_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

// rootRows are the numbers of rows that the trees were grown on.
func rootRows(m *lightgbm.Model) []int64 {
	var rows []int64
	for _, t := range m.Trees {
		rows = append(rows, t.InternalCount[0])
	}
	return rows
}

func TestBalancedBagging(t *testing.T) {
	t.Parallel()
	raw := labels(table(20, 6000), "binary")
	positive := 0.0
	for _, y := range raw.Label {
		positive += float64(y)
	}
	negative := float64(raw.Rows) - positive
	for name, test := range map[string]struct {
		settings string
		want     float64
		draws    int // different ones within three iterations
	}{
		"both":         {"pos_bagging_fraction=0.8 neg_bagging_fraction=0.1 bagging_freq=1", 0.8*positive + 0.1*negative, 3},
		"one":          {"neg_bagging_fraction=0.25 bagging_freq=3", positive + 0.25*negative, 1},
		"replaces":     {"pos_bagging_fraction=0.5 bagging_fraction=0.1 bagging_freq=1", 0.5*positive + negative, 3},
		"no frequency": {"pos_bagging_fraction=0.5", positive + negative, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(test.settings), "objective=binary", "num_iterations=3")...)
			rows := rootRows(train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model())
			draws := map[int64]bool{}
			for _, n := range rows {
				draws[n] = true
				// Four standard deviations of a sum of draws, at the most.
				if math.Abs(float64(n)-test.want) > 2*math.Sqrt(float64(raw.Rows)) {
					t.Errorf("a tree has %d rows, want about %.0f", n, test.want)
				}
			}
			if len(draws) != test.draws {
				t.Errorf("trees have %v rows, want %d different draws", rows, test.draws)
			}
		})
	}
	t.Run("no positive rows", func(t *testing.T) {
		t.Parallel()
		none := raw
		none.Label = make([]float32, raw.Rows)
		cfg := config(t, "objective=binary", "pos_bagging_fraction=0.5", "bagging_freq=1", "num_iterations=2")
		if n := train(t, cfg, load(t, cfg, none, nil), gbdt.Options{}).Model().Trees[0].LeafCount[0]; n != 6000 {
			t.Errorf("the constant stands for %d rows, want 6000", n)
		}
	})
}

func TestBaggingByQuery(t *testing.T) {
	t.Parallel()
	raw := labels(table(21, 5000), "lambdarank")
	raw.QueryStart = nil
	for at := 0; at <= raw.Rows; at += 50 {
		raw.QueryStart = append(raw.QueryStart, int32(at))
	}
	raw.QueryStart = append(raw.QueryStart, int32(raw.Rows)) // an empty query
	for fraction, want := range map[string]struct{ least, most int64 }{
		"0.4": {1000, 3000}, "0.0001": {50, 50},
	} {
		cfg := config(t, "objective=lambdarank", "bagging_by_query=true", "bagging_fraction="+fraction, "bagging_freq=1", "num_iterations=3")
		for _, n := range rootRows(train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model()) {
			if n%50 != 0 || n < want.least || n > want.most {
				t.Errorf("fraction %s: a tree has %d rows, want whole queries of 50, %d to %d", fraction, n, want.least, want.most)
			}
		}
	}
	cfg := config(t, "objective=regression", "bagging_by_query=true", "bagging_fraction=0.5", "bagging_freq=1")
	_, err := gbdt.Train(context.Background(), cfg, load(t, cfg, table(21, 500), nil), gbdt.Options{})
	if err == nil || !strings.Contains(err.Error(), "bagging_by_query needs queries") {
		t.Errorf("no queries: error %v", err)
	}
}

// TestGOSSScoresAreTheModels checks that rows left out are scored too, with all
// rows as large as each other (absolute errors) and not.
func TestGOSSScoresAreTheModels(t *testing.T) {
	t.Parallel()
	for _, objective := range []string{"regression", "regression_l1"} {
		cfg := config(t, "objective="+objective, "data_sample_strategy=goss", "learning_rate=0.5", "metric=l2", "num_iterations=8", "is_provide_training_metric=true")
		raw := table(22, 3000)
		b := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{})
		if got, want := meanSquare(t, b.Model(), raw), b.Evaluations()[0].Value; math.Abs(got-want) > 1e-9*want {
			t.Errorf("%s: the model's l2 is %.15g, training said %.15g", objective, got, want)
		}
		rows := rootRows(b.Model())
		if want := int64(900); rows[0] != 3000 || objective == "regression" && rows[2] != want {
			t.Errorf("%s: trees have %v rows, want 3000 while warming up, then %d", objective, rows, want)
		}
	}
}
