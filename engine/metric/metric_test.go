package metric_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/metric"
	"cloister/engine/objective"
	"cloister/engine/parallel"
	"cloister/engine/random"
)

// one is the value of a metric with one score a row and no output.
func one(t *testing.T, name string, label, weight []float32, scores []float64, change func(*lightgbm.Config, *dataset.Metadata)) []float64 {
	t.Helper()
	cfg := lightgbm.NewConfig()
	cfg.Metric = []string{name}
	md := &dataset.Metadata{Label: label, Weight: weight}
	if change != nil {
		change(cfg, md)
	}
	metrics, err := metric.New(cfg, nil, md)
	if err != nil {
		t.Fatal(err)
	}
	pool := parallel.New(1)
	t.Cleanup(pool.Close)
	return metrics[0].Eval(pool, scores, nil)
}

func TestValues(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	tests := map[string]struct {
		metric        string
		label, weight []float32
		scores        []float64
		change        func(*lightgbm.Config, *dataset.Metadata)
		want          []float64
	}{
		"auc of a perfect order":  {metric: "auc", label: []float32{0, 1, 0, 1}, scores: []float64{1, 3, 2, 4}, want: []float64{1}},
		"auc of a wrong order":    {metric: "auc", label: []float32{1, 0}, scores: []float64{1, 2}, want: []float64{0}},
		"auc of ties":             {metric: "auc", label: []float32{0, 1, 0, 1}, scores: []float64{5, 5, 5, 5}, want: []float64{0.5}},
		"auc of zeros":            {metric: "auc", label: []float32{1, 0}, scores: []float64{0, math.Copysign(0, -1)}, want: []float64{0.5}},
		"auc of one class":        {metric: "auc", label: []float32{1, 1}, scores: []float64{5, 6}, want: []float64{1}},
		"auc with weights":        {metric: "auc", label: []float32{1, 0, 0}, weight: []float32{1, 3, 1}, scores: []float64{2, 1, 3}, want: []float64{0.75}},
		"auc without a number":    {metric: "auc", label: []float32{1, 0}, scores: []float64{nan, nan}, want: []float64{0.5}},
		"average precision":       {metric: "average_precision", label: []float32{1, 0, 1}, scores: []float64{3, 2, 1}, want: []float64{(1 + 2./3) / 2}},
		"rmse":                    {metric: "rmse", label: []float32{0, 0}, scores: []float64{3, 4}, want: []float64{math.Sqrt(12.5)}},
		"r2 of the mean":          {metric: "r2", label: []float32{1, 3}, scores: []float64{2, 2}, want: []float64{0}},
		"r2 of constants, right":  {metric: "r2", label: []float32{2, 2}, scores: []float64{2, 2}, want: []float64{1}},
		"r2 of constants, wrong":  {metric: "r2", label: []float32{2, 2}, scores: []float64{2, 3}, want: []float64{0}},
		"logloss of wrong":        {metric: "binary_logloss", label: []float32{1}, scores: []float64{0}, want: []float64{34.538776355}},
		"lambda of raw scores":    {metric: "cross_entropy_lambda", label: []float32{0}, scores: []float64{0}, want: []float64{math.Ln2}},
		"ndcg of a perfect order": {metric: "ndcg", label: []float32{2, 1, 0}, scores: []float64{3, 2, 1}, change: group(3), want: []float64{1, 1, 1, 1, 1}},
		"ndcg of the worst order": {metric: "ndcg", label: []float32{0, 1}, scores: []float64{3, 2}, change: group(2), want: []float64{0, 0.63092975357, 0.63092975357, 0.63092975357, 0.63092975357}},
		"map without relevance":   {metric: "map", label: []float32{0, 0}, scores: []float64{3, 2}, change: group(2), want: []float64{1, 1, 1, 1, 1}},
		"empty queries":           {metric: "map", label: []float32{1}, scores: []float64{3}, change: group(0, 1, 0), want: []float64{1, 1, 1, 1, 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := one(t, test.metric, test.label, test.weight, test.scores, test.change)
			if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-6 })); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
		})
	}
}

func group(sizes ...int32) func(*lightgbm.Config, *dataset.Metadata) {
	return func(_ *lightgbm.Config, md *dataset.Metadata) { md.QueryStart = starts(sizes) }
}

// TestAUCCountsPairs compares with the definition on random data with ties.
func TestAUCCountsPairs(t *testing.T) {
	t.Parallel()
	for round := range uint64(30) {
		src := random.New(11, round)
		n := 2 + src.IntN(60)
		label, weight, scores := make([]float32, n), make([]float32, n), make([]float64, n)
		for i := range n {
			label[i] = float32(src.IntN(2))
			weight[i] = float32(src.IntN(4)) + 0.5
			scores[i] = float64(src.IntN(20))*1e-300 - 1e-299
		}
		label[0], label[1] = 0, 1
		right, all := 0., 0.
		for i := range n {
			for j := range n {
				if label[i] == 1 && label[j] == 0 {
					w := float64(weight[i] * weight[j])
					all += w
					switch {
					case scores[i] > scores[j]:
						right += w
					case scores[i] == scores[j]:
						right += w / 2
					}
				}
			}
		}
		if got := one(t, "auc", label, weight, scores, nil)[0]; math.Abs(got-right/all) > 1e-12 {
			t.Errorf("round %d: auc is %v, want %v", round, got, right/all)
		}
	}
}

func TestReproducibleOverThreads(t *testing.T) {
	t.Parallel()
	hash := func(threads int) string {
		pool := parallel.New(threads)
		defer pool.Close()
		sum := sha256.New()
		var buffer [8]byte
		for _, m := range largeMetrics(t) {
			for _, v := range m.metric.Eval(pool, m.scores, m.out) {
				binary.LittleEndian.PutUint64(buffer[:], math.Float64bits(v))
				sum.Write(buffer[:])
			}
		}
		return hex.EncodeToString(sum.Sum(nil)[:8])
	}
	const want = "0085cbcfc36f07bb"
	for _, threads := range []int{1, 2, 3, 8} {
		if got := hash(threads); got != want {
			t.Errorf("hash of the values with %d threads is %s, want %s", threads, got, want)
		}
	}
}

type large struct {
	metric metric.Metric
	scores []float64
	out    objective.Output
}

// largeMetrics has every metric over rows that make several chunks.
func largeMetrics(t *testing.T) []large {
	t.Helper()
	const rows, classes = 20_000, 3
	src := random.New(5)
	md := &dataset.Metadata{QueryStart: []int32{0}}
	scores := make([]float64, rows*classes)
	for i := range rows {
		md.Label = append(md.Label, float32(src.IntN(2)))
		md.Weight = append(md.Weight, float32(src.Float64())+0.1)
		if i%37 == 36 || i == rows-1 {
			md.QueryStart = append(md.QueryStart, int32(i+1))
		}
	}
	for i := range scores {
		scores[i] = math.Trunc(src.Float64()*4096)/512 - 4
	}
	positive := *md
	positive.Label = make([]float32, rows)
	for i, y := range md.Label {
		positive.Label[i] = y + 0.25
	}
	threeClasses := *md
	threeClasses.Label = slices.Clone(md.Label)
	for i := range rows / 3 {
		threeClasses.Label[i*3] = 2
	}
	var all []large
	add := func(objectiveName string, md *dataset.Metadata, scores []float64, names ...string) {
		cfg := lightgbm.NewConfig()
		cfg.Objective, cfg.Metric, cfg.NumClass = objectiveName, names, len(scores)/rows
		obj, err := objective.New(cfg, md)
		if err != nil {
			t.Fatal(err)
		}
		metrics, err := metric.New(cfg, obj, md)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range metrics {
			all = append(all, large{m, scores, obj})
		}
	}
	add("regression", md, scores[:rows], "l1", "l2", "rmse", "quantile", "huber", "fair", "mape", "r2")
	add("poisson", &positive, scores[:rows], "poisson", "gamma", "gamma_deviance", "tweedie")
	add("binary", md, scores[:rows], "binary_logloss", "binary_error", "auc", "average_precision", "kullback_leibler")
	add("cross_entropy_lambda", md, scores[:rows], "cross_entropy_lambda")
	add("lambdarank", md, scores[:rows], "ndcg", "map")
	add("multiclass", &threeClasses, scores, "multi_logloss", "multi_error", "auc_mu")
	return all
}

func TestErrors(t *testing.T) {
	t.Parallel()
	nan := float32(math.NaN())
	tests := map[string]struct {
		metric string
		change func(*lightgbm.Config, *dataset.Metadata)
		want   string
	}{
		"unknown":            {"precision", nil, `metric: there is no "precision"`},
		"no rows":            {"l2", func(_ *lightgbm.Config, md *dataset.Metadata) { md.Label = nil }, "metric l2: there are no rows"},
		"label no number":    {"l2", labels(1, nan), "metric l2: the label NaN of row 2 is not a number"},
		"weight negative":    {"l2", weights(1, -2), "metric l2: the weight -2 of row 2 is not a number of at least 0"},
		"weights zero":       {"l2", weights(0, 0), "metric l2: the sum of the weights is zero"},
		"weights missing":    {"l2", weights(1), "metric l2: 1 weights for 2 rows"},
		"gamma of zero":      {"gamma", labels(1, 0), "metric gamma: the label 0 of row 2 is not above 0"},
		"deviance of zero":   {"gamma_deviance", labels(-1, 1), "metric gamma_deviance: the label -1 of row 1 is not above 0"},
		"no share":           {"cross_entropy", labels(1, 1.5), "the label 1.5 of row 2 is not between 0 and 1"},
		"no share, kl":       {"kullback_leibler", labels(-1, 1), "the label -1 of row 1 is not between 0 and 1"},
		"lambda weight zero": {"cross_entropy_lambda", weights(1, 0), "the weight 0 of row 2 is not above 0"},
		"classes":            {"multi_logloss", nil, "metric multi_logloss: needs an objective for several classes"},
		"no classes": {
			"auc", func(cfg *lightgbm.Config, _ *dataset.Metadata) { cfg.NumClass = 3 },
			"metric auc: does not fit an objective for several classes",
		},
		"class out of range": {"multi_error", func(cfg *lightgbm.Config, md *dataset.Metadata) {
			cfg.NumClass, md.Label = 3, []float32{0, 3}
		}, "metric multi_error: the label 3 of row 2 is not a whole number from 0 to num_class-1 = 2"},
		"class is empty": {
			"auc_mu", func(cfg *lightgbm.Config, _ *dataset.Metadata) { cfg.NumClass = 3 },
			"metric auc_mu: class 2 has no rows with a weight",
		},
		"costs": {"auc_mu", func(cfg *lightgbm.Config, _ *dataset.Metadata) {
			cfg.NumClass, cfg.AUCMuWeights = 3, []float64{1}
		}, "auc_mu_weights has 1 numbers, not num_class² = 9"},
		"no queries":        {"ndcg", nil, "metric ndcg: the data has no query groups"},
		"queries too short": {"map", group(1), "metric map: the query groups end at row 1 but the data has 2 rows"},
		"relevance":         {"ndcg", labels(0.5, 1), "metric ndcg: the label 0.5 of row 1 is not a whole number"},
		"gain":              {"ndcg", labels(0, 31), "metric ndcg: the label 31 of row 2 has no gain"},
		"position": {"ndcg", func(cfg *lightgbm.Config, md *dataset.Metadata) {
			cfg.EvalAt, md.QueryStart = []int{3, 0}, []int32{0, 2}
		}, "metric ndcg: eval_at has 0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := lightgbm.NewConfig()
			cfg.Metric = []string{test.metric}
			md := &dataset.Metadata{Label: []float32{0, 1}}
			if test.change != nil {
				test.change(cfg, md)
			}
			_, err := metric.New(cfg, nil, md)
			var label *metric.LabelError
			var data *metric.DataError
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error is %v, want %s", err, test.want)
			}
			if !errors.As(err, &label) && !errors.As(err, &data) && !errors.Is(err, metric.ErrMetric) {
				t.Errorf("error %v has none of the package's types", err)
			}
		})
	}
}

func labels(label ...float32) func(*lightgbm.Config, *dataset.Metadata) {
	return func(_ *lightgbm.Config, md *dataset.Metadata) { md.Label = label }
}

func weights(weight ...float32) func(*lightgbm.Config, *dataset.Metadata) {
	return func(_ *lightgbm.Config, md *dataset.Metadata) { md.Weight = weight }
}

func TestNewTakesEachMetricOnce(t *testing.T) {
	t.Parallel()
	cfg := lightgbm.NewConfig()
	cfg.Metric = []string{"l2", "custom", "rmse", "l2"}
	metrics, err := metric.New(cfg, nil, &dataset.Metadata{Label: []float32{1}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range metrics {
		names = append(names, m.Names()...)
	}
	if diff := cmp.Diff([]string{"l2", "rmse"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func BenchmarkMetrics(b *testing.B) {
	const rows = 1_000_000
	src := random.New(5)
	md := &dataset.Metadata{}
	scores := make([]float64, rows)
	for i := range rows {
		md.Label = append(md.Label, float32(src.IntN(2)))
		scores[i] = src.Float64() - 0.5
	}
	cfg := lightgbm.NewConfig()
	cfg.Objective, cfg.Metric = "binary", []string{"binary_logloss", "auc"}
	obj, err := objective.New(cfg, md)
	if err != nil {
		b.Fatal(err)
	}
	metrics, err := metric.New(cfg, obj, md)
	if err != nil {
		b.Fatal(err)
	}
	pool := parallel.New(1)
	defer pool.Close()
	for _, m := range metrics {
		b.Run(m.Names()[0], func(b *testing.B) {
			for range b.N {
				m.Eval(pool, scores, obj)
			}
		})
	}
}
