package objective

import (
	"errors"
	"math"
	"strings"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
)

func TestErrors(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	type change = func(*lightgbm.Config, *dataset.Metadata)
	labels := func(l ...float32) change {
		return func(_ *lightgbm.Config, md *dataset.Metadata) { md.Label = l }
	}
	weights := func(w ...float32) change {
		return func(_ *lightgbm.Config, md *dataset.Metadata) { md.Weight = w }
	}
	settings := func(f func(cfg *lightgbm.Config)) change {
		return func(cfg *lightgbm.Config, _ *dataset.Metadata) { f(cfg) }
	}
	queries := func(start []int32, l ...float32) change {
		return func(_ *lightgbm.Config, md *dataset.Metadata) { md.Label, md.QueryStart = l, start }
	}
	tests := map[string]struct {
		objective string
		change    change
		want      string
	}{
		"unknown":             {"hinge", nil, `objective: there is no "hinge"`},
		"custom":              {"custom", nil, "objective: custom is a Go value"},
		"no rows":             {"regression", labels(), "objective regression: there are no rows"},
		"label missing":       {"regression", labels(1, nan), "objective regression: the label NaN of row 2 is not a number"},
		"label infinite":      {"regression", labels(inf), "objective regression: the label +Inf of row 1 is not a number"},
		"weight negative":     {"regression", weights(1, -1), "the weight -1 of row 2 is not a number of at least 0"},
		"weight missing":      {"regression", weights(nan, 1), "the weight NaN of row 1 is not a number of at least 0"},
		"weights zero":        {"regression", weights(0, 0), "the sum of the weights is zero"},
		"weights short":       {"regression", weights(1), "1 weights for 2 rows"},
		"binary label":        {"binary", labels(0, 1, 2), "objective binary: the label 2 of row 3 is not 0 or 1"},
		"binary label -1":     {"binary", labels(-1, 1), "objective binary: the label -1 of row 1 is not 0 or 1"},
		"sigmoid":             {"binary", settings(func(c *lightgbm.Config) { c.Sigmoid = 0 }), "objective binary: sigmoid is 0"},
		"unbalance and scale": {"binary", settings(func(c *lightgbm.Config) { c.IsUnbalance, c.ScalePosWeight = true, 2 }), "exclude each other"},
		"one class":           {"multiclass", settings(func(c *lightgbm.Config) { c.NumClass = 1 }), "num_class is 1"},
		"class too great":     {"multiclass", labels(0, 3), "the label 3 of row 2 is not a whole number from 0 to num_class-1 = 2"},
		"class negative":      {"multiclassova", labels(0, -1), "the label -1 of row 2 is not a whole number"},
		"class no integer":    {"multiclassova", labels(0.5), "the label 0.5 of row 1 is not a whole number"},
		"ova sigmoid":         {"multiclassova", settings(func(c *lightgbm.Config) { c.Sigmoid = -1 }), "sigmoid is -1"},
		"poisson negative":    {"poisson", labels(1, -1), "the label -1 of row 2 is negative"},
		"poisson zero":        {"poisson", labels(0, 0), "the sum of the labels is zero"},
		"gamma negative":      {"gamma", labels(-1), "the label -1 of row 1 is negative"},
		"tweedie negative":    {"tweedie", labels(-1), "the label -1 of row 1 is negative"},
		"tweedie power":       {"tweedie", settings(func(c *lightgbm.Config) { c.TweedieVariancePower = 2 }), "tweedie_variance_power is 2"},
		"quantile":            {"quantile", settings(func(c *lightgbm.Config) { c.Alpha = 1 }), "alpha is 1"},
		"share":               {"cross_entropy", labels(1.5), "the label 1.5 of row 1 is not between 0 and 1"},
		"lambda share":        {"cross_entropy_lambda", labels(-0.5), "the label -0.5 of row 1 is not between 0 and 1"},
		"lambda weight":       {"cross_entropy_lambda", weights(1, 0), "the weight 0 of row 2 is not above 0"},
		"no queries":          {"lambdarank", nil, "the data has no query groups"},
		"queries end early":   {"lambdarank", queries([]int32{0, 1}, 1, 2), "the query groups end at row 1 but the data has 2 rows"},
		"queries go back":     {"rank_xendcg", queries([]int32{0, 2, 1, 2}, 1, 2), "query 2 begins after its end"},
		"query too long":      {"lambdarank", queries([]int32{0, 10001}, make([]float32, 10001)...), "query 1 has 10001 rows"},
		"relevance":           {"lambdarank", queries([]int32{0, 2}, 1, 0.5), "the label 0.5 of row 2 is not a whole number"},
		"no gain":             {"lambdarank", queries([]int32{0, 2}, 1, 31), "the label 31 of row 2 has no gain"},
		"xendcg relevance":    {"rank_xendcg", queries([]int32{0, 2}, 1, 1001), "the label 1001 of row 2 is not a whole number from 0 to 1000"},
		"truncation": {"lambdarank", func(cfg *lightgbm.Config, md *dataset.Metadata) {
			md.QueryStart, cfg.LambdarankTruncationLevel = []int32{0, 2}, 0
		}, "lambdarank_truncation_level is 0"},
		"rank sigmoid": {"lambdarank", func(cfg *lightgbm.Config, md *dataset.Metadata) {
			md.QueryStart, cfg.Sigmoid = []int32{0, 2}, math.NaN()
		}, "sigmoid is NaN"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := lightgbm.NewConfig()
			cfg.Objective, cfg.NumClass = test.objective, 3
			md := &dataset.Metadata{Label: []float32{0, 1}}
			if test.change != nil {
				test.change(cfg, md)
			}
			_, err := New(cfg, md)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error is %v, want %s", err, test.want)
			}
			var label *LabelError
			var data *DataError
			if !errors.As(err, &label) && !errors.As(err, &data) && !errors.Is(err, ErrObjective) {
				t.Errorf("error %v has none of the package's types", err)
			}
		})
	}
}

func TestParseOutputErrors(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                              "the line is empty",
		"hinge":                         `there is no "hinge"`,
		"binary":                        "the line has no sigmoid",
		"binary sigmoid:0":              `sigmoid "0" is not a number above 0`,
		"binary sigmoid:x":              `sigmoid "x" is not a number above 0`,
		"binary sigmoid:inf":            `sigmoid "inf" is not a number above 0`,
		"multiclass":                    "the line has no num_class",
		"multiclass num_class:0":        `num_class "0" is not a number from 1 to`,
		"multiclass num_class:99999999": `num_class "99999999" is not a number from 1 to`,
		"multiclassova num_class:3":     "the line has no sigmoid",
		"multiclassova sigmoid:1":       "the line has no num_class",
	} {
		if _, err := ParseOutput(line); !errors.Is(err, ErrObjective) || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseOutput(%q): error is %v, want %s", line, err, want)
		}
	}
}

func FuzzParseOutput(f *testing.F) {
	for _, line := range []string{
		"regression sqrt", "binary sigmoid:0.5", "multiclass num_class:3", "multiclassova num_class:2 sigmoid:1e-3",
		"lambdarank", "tweedie", "cross_entropy_lambda x:y", "binary sigmoid:nan", " ", "multiclass num_class:-1",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		o, err := ParseOutput(line)
		if err != nil {
			if !errors.Is(err, ErrObjective) {
				t.Errorf("error %v does not match ErrObjective", err)
			}
			return
		}
		out := make([]float64, o.Models())
		o.Transform(make([]float64, o.Models()), out)
		again, err := ParseOutput(o.String())
		if err != nil || again.String() != o.String() {
			t.Errorf("%q is written as %q, which gives %v, %v", line, o, again, err)
		}
	})
}
