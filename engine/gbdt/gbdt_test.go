package gbdt_test

import (
	"bytes"
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
	"cloister/engine/objective"
	"cloister/engine/random"
)

// table makes a matrix in which the label follows from the first features:
// some values are missing, one feature is a category, one is mostly zero.
func table(seed uint64, rows int) dataset.Matrix {
	const features = 8
	r := random.New(seed)
	m := dataset.Matrix{Rows: rows, Features: features, Values: make([]float64, rows*features)}
	for i := range rows {
		row := m.Values[i*features:][:features]
		for f := range row {
			row[f] = r.Float64()
		}
		row[5] = float64(r.IntN(12))
		if r.IntN(10) > 0 {
			row[6] = 0
		}
		y := row[0] + float64(2*row[1]*row[1]) + float64(0.3*row[6])
		if int(row[5])%3 == 0 {
			y++
		}
		if r.IntN(8) == 0 {
			row[2] = math.NaN()
			y -= 0.5
		}
		m.Label = append(m.Label, float32(y+float64(0.1*r.Float64())))
	}
	return m
}

func config(t *testing.T, settings ...string) *lightgbm.Config {
	t.Helper()
	args, err := lightgbm.ParseArgs(append(settings, "categorical_feature=5"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := lightgbm.Resolve(args, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func load(t *testing.T, cfg *lightgbm.Config, m dataset.Matrix, ref *dataset.Dataset) *dataset.Dataset {
	t.Helper()
	d, _, err := dataset.FromMatrix(context.Background(), m, gbdt.DatasetOptions(cfg), ref)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func train(t *testing.T, cfg *lightgbm.Config, d *dataset.Dataset, opt gbdt.Options) *gbdt.Booster {
	t.Helper()
	b, err := gbdt.Train(context.Background(), cfg, d, opt)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func text(t *testing.T, m *lightgbm.Model) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// labels rewrites a regression's labels for an objective.
func labels(m dataset.Matrix, objective string) dataset.Matrix {
	for i, y := range m.Label {
		switch objective {
		case "binary":
			m.Label[i] = 0
			if y > 1.5 {
				m.Label[i] = 1
			}
		case "multiclass":
			m.Label[i] = float32(max(0, min(2, int(y))))
		case "lambdarank":
			m.Label[i] = float32(max(0, min(4, int(2*y))))
		case "poisson":
			m.Label[i] = float32(max(0, int(3*y)))
		}
	}
	if objective == "lambdarank" {
		m.QueryStart = []int32{0}
		for at := 0; at < m.Rows; {
			at = min(m.Rows, at+10+at%7)
			m.QueryStart = append(m.QueryStart, int32(at))
		}
	}
	return m
}

// positions gives the rows of a query the places 0, 1, …
func positions(m dataset.Matrix) dataset.Matrix {
	for q := range len(m.QueryStart) - 1 {
		for i := m.QueryStart[q]; i < m.QueryStart[q+1]; i++ {
			m.Position = append(m.Position, i-m.QueryStart[q])
		}
	}
	return m
}

// TestReproducibleModels holds the models' bytes on every architecture and
// number of threads, with every way to sample.
func TestReproducibleModels(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ settings, want string }{
		"regression":     {"objective=regression", "4e3e272038c65a83"},
		"regression_l1":  {"objective=regression_l1 lambda_l1=0.5", "446ab409d6873bdf"},
		"poisson":        {"objective=poisson max_depth=4", "ea45f700e7def107"},
		"binary":         {"objective=binary bagging_fraction=0.6 bagging_freq=2 feature_fraction=0.7", "a772201fd2ad7df6"},
		"multiclass":     {"objective=multiclass num_class=3 bagging_fraction=0.5 bagging_freq=1", "a2d6cba2b1e85da2"},
		"lambdarank":     {"objective=lambdarank feature_fraction=0.5 max_cat_to_onehot=20", "a141957f1d570185"},
		"extra_trees":    {"extra_trees=true feature_fraction_bynode=0.6", "ef4da617cf6d2fcc"},
		"path_smooth":    {"objective=regression path_smooth=30 feature_contri=1,.5,1,1,2,1,.1,1", "bf39f60280836fda"},
		"monotone":       {"objective=regression monotone_constraints=1,1,0,-1,0,0,1,0 monotone_penalty=0.3", "41f286b877b3bc14"},
		"intermediate":   {"objective=regression monotone_constraints=1,1,0,-1,0,0,1,0 monotone_constraints_method=intermediate", "56837aedf864e880"},
		"advanced":       {"objective=binary monotone_constraints=1,1,0,-1,0,0,1,0 monotone_constraints_method=advanced bagging_fraction=0.7 bagging_freq=1", "1a35765331949814"},
		"quantized":      {"objective=binary use_quantized_grad=true bagging_fraction=0.7 bagging_freq=1", "98fe9951f2472e43"},
		"levels renewed": {"objective=lambdarank use_quantized_grad=true num_grad_quant_bins=16 quant_train_renew_leaf=true stochastic_rounding=false", "8922c916bef15368"},
		"cegb":           {"objective=regression cegb_penalty_split=1e-4 cegb_penalty_feature_coupled=1,2,3,4,5,6,7,8 cegb_penalty_feature_lazy=.001,.002,.001,.001,0,0,0,0", "c121d51be1ea180a"},
		"interactions":   {"objective=regression interaction_constraints=[0,1,5],[1,2,3],[6,7] lambda_l1=0.1", "efd31f5125481aa3"},
		"balanced":       {"objective=binary pos_bagging_fraction=0.9 neg_bagging_fraction=0.3 bagging_freq=1", "da980031b3b0234d"},
		"queries":        {"objective=lambdarank bagging_by_query=true bagging_fraction=0.5 bagging_freq=2", "f4fb267a5f7638da"},
		"positions":      {"objective=lambdarank lambdarank_position_bias_regularization=0.1", "780728e0d7b4be07"},
		"goss":           {"objective=regression data_sample_strategy=goss learning_rate=0.4", "3a1cfa7a01e0c496"},
		"goss classes":   {"objective=multiclass num_class=3 data_sample_strategy=goss learning_rate=0.5 top_rate=0.1 other_rate=0.3", "5583fc1a32f22c84"},
		"forest":         {"objective=regression boosting=rf bagging_freq=1 bagging_fraction=0.6 feature_fraction=0.8", "5ae21da971246e2a"},
		"forest classes": {"objective=multiclass num_class=3 boosting=rf feature_fraction=0.6", "7e10a6f35d74ff9a"},
		"forest goss":    {"objective=huber boosting=rf data_sample_strategy=goss learning_rate=0.5", "a38fd71a48ba498a"},
		"linear":         {"objective=regression linear_tree=true", "a3af7e427ae00202"},
		"linear binary":  {"objective=binary linear_tree=true linear_lambda=0.5 bagging_fraction=0.6 bagging_freq=1 feature_fraction=0.7", "1e39e848846c0aab"},
		"linear classes": {"objective=multiclass num_class=3 linear_tree=true data_sample_strategy=goss learning_rate=0.5", "c82edbd9c61c7344"},
		"linear forest":  {"objective=regression linear_tree=true boosting=rf bagging_freq=1 bagging_fraction=0.6", "522b4774423b3c13"},
		"linear dart":    {"objective=poisson linear_tree=true boosting=dart drop_rate=0.5 skip_drop=0.1 num_leaves=5", "cf149a071082f10d"},
		"dart":           {"objective=binary boosting=dart skip_drop=0.2 drop_rate=0.4", "6b43deafecb0f746"},
		"dart classes":   {"objective=multiclass num_class=3 boosting=dart uniform_drop=true max_drop=2 drop_rate=0.8 skip_drop=0", "edc9c1b0f92f09f5"},
		"dart xgboost":   {"objective=regression boosting=dart xgboost_dart_mode=true drop_rate=0.7 skip_drop=0 data_sample_strategy=goss learning_rate=0.5", "91f521a9b25886fd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, threads := range []string{"1", "2", "3", "8"} {
				cfg := config(t, append(strings.Fields(test.settings), "num_iterations=8", "num_threads="+threads)...)
				data := labels(table(1, 20_000), cfg.Objective)
				if name == "positions" {
					data = positions(data)
				}
				m := train(t, cfg, load(t, cfg, data, nil), gbdt.Options{}).Model()
				sum := sha256.Sum256([]byte(text(t, m)))
				if got := hex.EncodeToString(sum[:8]); got != test.want {
					t.Errorf("%s threads: SHA-256 of the model begins with %s, want %s", threads, got, test.want)
				}
			}
		})
	}
}

// TestLearns checks that every objective beats the constant it starts from.
func TestLearns(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{
		"regression":    "objective=regression metric=l2",
		"regression_l1": "objective=regression_l1 metric=l1",
		"poisson":       "objective=poisson metric=poisson",
		"binary":        "objective=binary metric=binary_logloss",
		"multiclass":    "objective=multiclass num_class=3 metric=multi_logloss",
		"lambdarank":    "objective=lambdarank metric=ndcg eval_at=3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t, append(strings.Fields(settings), "num_iterations=30", "is_provide_training_metric=true")...)
			d := load(t, cfg, labels(table(2, 3000), name), nil)
			valid := load(t, cfg, labels(table(3, 1000), name), d)
			first := map[string]float64{}
			var last []gbdt.Evaluation
			train(t, cfg, d, gbdt.Options{
				Valid: []gbdt.ValidSet{{Name: "valid", Data: valid}},
				OnIteration: func(p *gbdt.Progress) error {
					if p.Iteration == 1 {
						for _, e := range p.Metrics {
							first[e.Set] = e.Value
						}
					}
					last = p.Metrics
					return nil
				},
			})
			if len(last) != 2 {
				t.Fatalf("metrics of the last iteration: %v", last)
			}
			for _, e := range last {
				better := e.Value < first[e.Set]
				if e.HigherIsBetter {
					better = e.Value > first[e.Set]
				}
				if !better {
					t.Errorf("%s %s went from %g to %g", e.Set, e.Metric, first[e.Set], e.Value)
				}
			}
		})
	}
}

// TestScoresAreTheModels checks that the metric seen in training is that of
// the saved model's predictions: with bagging, a base score, shrinkage.
func TestScoresAreTheModels(t *testing.T) {
	t.Parallel()
	cfg := config(t, "objective=regression", "metric=l2", "num_iterations=12", "bagging_fraction=0.5", "bagging_freq=3", "is_provide_training_metric=true")
	raw := table(4, 4000)
	b := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{})
	m, err := lightgbm.ReadModel("model", strings.NewReader(text(t, b.Model())))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := meanSquare(t, m, raw), b.Evaluations()[0].Value; math.Abs(got-want) > 1e-9*want {
		t.Errorf("the model's l2 is %.15g, training said %.15g", got, want)
	}
}

func meanSquare(t *testing.T, m *lightgbm.Model, data dataset.Matrix) float64 {
	t.Helper()
	p, err := m.Predictor(0, -1)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float64, data.Rows)
	if err := p.RawRows(data.Values, out); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, v := range out {
		d := v - float64(data.Label[i])
		sum += float64(d * d)
	}
	return sum / float64(data.Rows)
}

func TestEarlyStoppingKeepsTheBestIteration(t *testing.T) {
	t.Parallel()
	cfg := config(t, "objective=regression", "metric=l2", "num_iterations=400", "learning_rate=0.3", "early_stopping_round=7", "min_data_in_leaf=1")
	d := load(t, cfg, table(5, 500), nil)
	valid := load(t, cfg, table(6, 500), d)
	best, at, rounds := math.Inf(1), 0, 0
	b := train(t, cfg, d, gbdt.Options{
		Valid: []gbdt.ValidSet{{Name: "valid", Data: valid}},
		OnIteration: func(p *gbdt.Progress) error {
			rounds = p.Iteration
			if v := p.Metrics[0].Value; v < best {
				best, at = v, p.Iteration
			}
			return nil
		},
	})
	if rounds == 400 || rounds != at+7 {
		t.Fatalf("stopped after %d iterations, the best was %d", rounds, at)
	}
	if b.BestIteration() != at || b.Model().NumIterations() != at {
		t.Errorf("best iteration %d, model of %d; want %d", b.BestIteration(), b.Model().NumIterations(), at)
	}
	if got := b.Evaluations()[0].Value; got != best {
		t.Errorf("metric %g, want the best, %g", got, best)
	}
}

func TestContinuedTraining(t *testing.T) {
	t.Parallel()
	raw := table(7, 2000)
	cfg := config(t, "objective=regression", "num_iterations=10")
	first := train(t, cfg, load(t, cfg, raw, nil), gbdt.Options{}).Model()
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
	if n := both.NumIterations(); n != 20 {
		t.Fatalf("%d iterations, want 20", n)
	}
	if a, b := meanSquare(t, first, raw), meanSquare(t, both, raw); b > 0.8*a {
		t.Errorf("ten more iterations took l2 from %g to %g", a, b)
	}
	if _, err := gbdt.Train(context.Background(), cfg, load(t, cfg, raw, nil), gbdt.Options{InitModel: first}); err == nil {
		t.Error("no error without initial scores")
	}
}

// TestSnapshots checks that a snapshot is the model that training would have
// ended with, also where trees are changed afterwards.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	for _, boosting := range []string{"gbdt", "dart", "rf"} {
		settings := []string{"boosting=" + boosting, "bagging_fraction=0.5", "bagging_freq=1", "skip_drop=0", "drop_rate=0.5"}
		cfg := config(t, append(settings, "num_iterations=7", "snapshot_freq=3")...)
		d := load(t, cfg, table(10, 800), nil)
		snapshots := map[int]string{}
		train(t, cfg, d, gbdt.Options{OnSnapshot: func(iteration int, m *lightgbm.Model) error {
			snapshots[iteration] = trees(t, m)
			return nil
		}})
		if len(snapshots) != 2 {
			t.Errorf("%s: %d snapshots, want 2", boosting, len(snapshots))
		}
		for iteration, got := range snapshots {
			short := *cfg
			short.NumIterations = iteration
			if got != trees(t, train(t, &short, d, gbdt.Options{}).Model()) {
				t.Errorf("%s: the snapshot after %d iterations is not the model of so many", boosting, iteration)
			}
		}
		full := errors.New("the disk is full")
		_, err := gbdt.Train(context.Background(), cfg, d, gbdt.Options{OnSnapshot: func(int, *lightgbm.Model) error { return full }})
		if !errors.Is(err, full) {
			t.Errorf("%s: error %v of OnSnapshot", boosting, err)
		}
	}
}

// trees is the model's text without the parameters.
func trees(t *testing.T, m *lightgbm.Model) string {
	t.Helper()
	text, _, found := strings.Cut(text(t, m), "\nparameters:")
	if !found {
		t.Fatal("the model has no parameters")
	}
	return text
}

func TestNothingToSplit(t *testing.T) {
	t.Parallel()
	cfg := config(t, "objective=binary", "categorical_feature=0", "num_iterations=5")
	m := dataset.Matrix{Rows: 100, Features: 2, Values: make([]float64, 200)}
	for i := range m.Rows {
		m.Label = append(m.Label, float32(i%4/3))
	}
	got := train(t, cfg, load(t, cfg, m, nil), gbdt.Options{}).Model()
	if got.NumIterations() != 1 || got.Trees[0].NumLeaves != 1 {
		t.Fatalf("%d iterations", got.NumIterations())
	}
	// A quarter of the labels is 1: the log-odds are -log 3.
	if v := got.Trees[0].LeafValue[0]; math.Abs(v+math.Log(3)) > 1e-12 {
		t.Errorf("constant %g, want %g", v, -math.Log(3))
	}
}

func TestStops(t *testing.T) {
	t.Parallel()
	cfg := config(t, "objective=regression", "num_iterations=50")
	d := load(t, cfg, table(8, 500), nil)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := gbdt.Train(ctx, cfg, d, gbdt.Options{OnIteration: func(p *gbdt.Progress) error {
		if p.Iteration == 3 {
			cancel()
		}
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
	enough := errors.New("enough")
	_, err = gbdt.Train(context.Background(), cfg, d, gbdt.Options{OnIteration: func(*gbdt.Progress) error { return enough }})
	if !errors.Is(err, enough) {
		t.Errorf("error of OnIteration: %v", err)
	}
	wrong := *d
	wrong.InitScore = make([]float64, 7)
	if _, err = gbdt.Train(context.Background(), cfg, &wrong, gbdt.Options{}); err == nil || !strings.Contains(err.Error(), "7 initial scores") {
		t.Errorf("initial scores of another length: error %v", err)
	}
}

func TestDivergedLossIsAnError(t *testing.T) {
	t.Parallel()
	cfg := config(t, "objective=regression", "num_iterations=5")
	d := load(t, cfg, table(9, 300), nil)
	loss := objective.Custom{Derivatives: func(_ int, _ []float64, grad, hess []float32) {
		for i := range grad {
			grad[i], hess[i] = float32(math.NaN()), 1
		}
	}}
	_, err := gbdt.Train(context.Background(), cfg, d, gbdt.Options{Objective: loss})
	if err == nil || !strings.Contains(err.Error(), "iteration 1: gradients are not finite") {
		t.Errorf("error %v", err)
	}
}
