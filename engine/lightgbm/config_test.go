package lightgbm

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/lightgbm/parameter"
)

// args makes settings of the command line from KEY=VALUE texts.
func args(t *testing.T, texts ...string) []Setting {
	t.Helper()
	settings, err := ParseArgs(texts)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// file makes settings of a file with one KEY=VALUE text a line.
func file(t *testing.T, lines ...string) []Setting {
	t.Helper()
	settings, err := ParseFile("train.conf", strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

func TestResolveConfigurationFiles(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *Config){
		"binary": func(c *Config) {
			c.Objective, c.Metric, c.IsProvideTrainingMetric = "binary", []string{"binary_logloss", "auc"}, true
			c.LabelColumn, c.Data, c.Valid = "0", "churn.train", []string{"churn.test"}
			c.NumLeaves, c.FeatureFraction, c.BaggingFreq, c.BaggingFraction = 63, 0.8, 5, 0.8
			c.MinDataInLeaf, c.MinSumHessianInLeaf = 50, 5
			c.OutputModel, c.MachineListFilename = "churn_model.txt", "mlist.txt"
		},
		"regression": func(c *Config) {
			c.Metric, c.Data, c.Valid = []string{"l2", "l1"}, "rent.train", []string{"rent.test"}
			c.NumIterations, c.LearningRate, c.FeatureFraction = 250, 0.05, 0.9
			c.BaggingFraction, c.BaggingFreq, c.MinDataInLeaf, c.LambdaL2 = 0.8, 5, 100, 0.01
			c.Header, c.LabelColumn, c.EarlyStoppingRound = true, "name:rent", 20
			c.CategoricalFeature, c.IgnoreColumn = "name:district,heating", "name:id"
		},
		"multiclass": func(c *Config) {
			c.Objective, c.NumClass = "multiclass", 3
			c.Metric = []string{"multi_logloss", "multi_error", "auc_mu"}
			c.AUCMuWeights = []float64{0, 1, 2, 1, 0, 1, 2, 1, 0}
			c.Data, c.Valid, c.EarlyStoppingRound = "seeds.train", []string{"seeds.test"}, 10
			c.LearningRate = 0.05
		},
		"ranking": func(c *Config) {
			c.Objective, c.Metric, c.EvalAt = "lambdarank", []string{"ndcg"}, []int{1, 3, 5}
			c.LabelGain = []float64{0, 1, 3, 7, 15}
			c.Data, c.Valid, c.IsProvideTrainingMetric = "search.train", []string{"search.test"}, true
			c.GroupColumn, c.MinDataInLeaf, c.BaggingFreq, c.BaggingFraction = "0", 50, 1, 0.9
			c.LambdarankTruncationLevel = 8
		},
		"predict": func(c *Config) {
			c.Task, c.Data, c.InputModel = "predict", "churn.test", "churn_model.txt"
			c.OutputResult, c.PredictRawScore, c.Metric = "churn.predictions", true, []string{"l2"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := NewConfig()
			change(want)
			got, _, err := Resolve(nil, readConf(t, "testdata/conf/"+name+".conf"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("differs (-want +got):\n%s", diff)
			}
			if err := got.CheckFiles(); err != nil {
				t.Errorf("CheckFiles: %v", err)
			}
		})
	}
}

func TestDistributedNamesTrainers(t *testing.T) {
	t.Parallel()
	_, _, err := Resolve(nil, readConf(t, "testdata/conf/distributed.conf"))
	var refused *NotSupportedError
	if !errors.As(err, &refused) || refused.Status != parameter.Refused || refused.Parameter != "num_machines" ||
		!strings.Contains(err.Error(), "cloister trainers") || refused.Origin.Line != 5 {
		t.Errorf("got %v", err)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cmdline, file []string
		parameter     string
		want          string
		notices       []string
	}{
		"file": {nil, []string{"num_leaves=7"}, "num_leaves", "7", nil},
		"command line over file": {
			[]string{"num_leaves=5"},
			[]string{"num_leaves=7"},
			"num_leaves", "5",
			[]string{"num_leaves=7 (train.conf:1) is ignored: num_leaves=5 (command line) goes over it"},
		},
		"alias on the command line over the name in the file": {
			[]string{"max_leaf=5"},
			[]string{"num_leaves=7"},
			"num_leaves", "5",
			[]string{"num_leaves=7 (train.conf:1) is ignored: max_leaf=5 (command line) goes over it"},
		},
		"first of one name": {
			nil,
			[]string{"eta=0.2", "eta=0.3"},
			"learning_rate", "0.2",
			[]string{"eta=0.3 (train.conf:2) is ignored: eta=0.2 (train.conf:1) counts, it comes first"},
		},
		"name over alias": {
			nil,
			[]string{"eta=0.2", "learning_rate=0.3"},
			"learning_rate", "0.3",
			[]string{"eta=0.2 (train.conf:1) is ignored: learning_rate=0.3 (train.conf:2) counts, both are learning_rate"},
		},
		"shorter alias": {
			[]string{"num_boost_round=9", "n_iter=8"},
			nil,
			"num_iterations", "8",
			[]string{"num_boost_round=9 (command line) is ignored: n_iter=8 (command line) counts, both are num_iterations"},
		},
		"alias first in the alphabet": {
			nil,
			[]string{"num_tree=9", "max_iter=8"},
			"num_iterations", "8",
			[]string{"num_tree=9 (train.conf:1) is ignored: max_iter=8 (train.conf:2) counts, both are num_iterations"},
		},
		"empty value on the command line": {
			[]string{"num_leaves="},
			[]string{"num_leaves=7"},
			"num_leaves", "31",
			[]string{"num_leaves=7 (train.conf:1) is ignored: num_leaves= (command line) goes over it"},
		},
		"config in a file": {
			nil,
			[]string{"config=other.conf"},
			"config", "",
			[]string{"config=other.conf (train.conf:1) is ignored: a configuration file cannot name another"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, notices, err := Resolve(args(t, tc.cmdline...), file(t, tc.file...))
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := c.Value(tc.parameter); got != tc.want {
				t.Errorf("%s = %s, want %s", tc.parameter, got, tc.want)
			}
			var texts []string
			for _, n := range notices {
				texts = append(texts, n.Text)
			}
			if diff := cmp.Diff(tc.notices, texts); diff != "" {
				t.Errorf("notices differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBounds tries values on both sides of every bound of the table.
func TestBounds(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, p := range Parameters() {
		for _, b := range p.Bounds {
			step := 1.0
			if p.Type == parameter.Float || p.Type == parameter.Floats {
				step = 1e-9
			}
			inside, outside := b.Limit, b.Limit
			switch b.Op {
			case ">":
				inside += step
			case ">=":
				outside -= step
			case "<":
				inside -= step
			case "<=":
				outside += step
			}
			checked++
			if err := NewConfig().Set(p.Name, fmt.Sprintf("%.12g", inside)); err != nil {
				t.Errorf("%v, but the bound is %s", err, b)
			}
			err := NewConfig().Set(p.Name, fmt.Sprintf("%.12g", outside))
			var value *ValueError
			if !errors.As(err, &value) || !strings.Contains(err.Error(), "must be "+p.ShownBounds()) {
				t.Errorf("%s=%.12g: got %v, want the bounds %s", p.Name, outside, err, p.ShownBounds())
			}
		}
	}
	if checked < 60 {
		t.Errorf("checked only %d bounds", checked)
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		line, want string
	}{
		"unknown, near alias": {"num_leafs=3", `unknown parameter "num_leafs" (train.conf:1): did you mean num_leaf? (unknown_parameters=warn ignores it)`},
		"unknown, near":       {"max_dept=3", `unknown parameter "max_dept" (train.conf:1): did you mean max_depth? (unknown_parameters=warn ignores it)`},
		"unknown, nothing":    {"frobnicate=3", `unknown parameter "frobnicate" (train.conf:1): cloister train --help-parameters lists those that exist (unknown_parameters=warn ignores it)`},
		"out of bounds":       {"max_leaves=1", "num_leaves=1 (train.conf:1): must be > 1, <= 131072"},
		"no integer":          {"num_leaves=31.0", "num_leaves=31.0 (train.conf:1): must be an integer"},
		"integer too large":   {"num_leaves=99999999999", "num_leaves=99999999999 (train.conf:1): must be an integer of 32 bits"},
		"no number":           {"eta=fast", "learning_rate=fast (train.conf:1): must be a finite number"},
		"infinite":            {"lambda_l1=1e400", "lambda_l1=1e400 (train.conf:1): must be a finite number"},
		"not a number":        {"lambda_l1=nan", "lambda_l1=nan (train.conf:1): must be a finite number"},
		"hexadecimal":         {"lambda_l1=0x1p3", "lambda_l1=0x1p3 (train.conf:1): must be a finite number"},
		"no boolean":          {"header=yes", "header=yes (train.conf:1): must be true or false"},
		"list element":        {"eval_at=1,x", "eval_at=1,x (train.conf:1): element 2 (x): must be an integer"},
		"list bound":          {"eval_at=1,0", "eval_at=1,0 (train.conf:1): element 2 (0): must be > 0"},
		"empty element":       {"label_gain=0,,1", "label_gain=0,,1 (train.conf:1): element 2 of the list is empty: remove the comma"},
		"monotone":            {"mc=0,2", "monotone_constraints=0,2 (train.conf:1): element 2 (2): must be >= -1, <= 1"},
		"objective, near":     {"objective=binry", "objective=binry (train.conf:1): no such objective; did you mean binary?"},
		"objective":           {"objective=classification", "objective=classification (train.conf:1): must be one of regression, regression_l1, huber, fair, poisson, quantile, mape, gamma, tweedie, binary, multiclass, multiclassova, cross_entropy, cross_entropy_lambda, lambdarank, rank_xendcg, custom"},
		"metric":              {"metric=auc,logloss", "metric=auc,logloss (train.conf:1): element 2 (logloss): must be one of l1, l2, rmse, quantile, mape, huber, fair, poisson, gamma, gamma_deviance, tweedie, ndcg, map, auc, average_precision, r2, binary_logloss, binary_error, auc_mu, multi_logloss, multi_error, cross_entropy, cross_entropy_lambda, kullback_leibler, custom"},
		"column":              {"label_column=target", "label_column=target (train.conf:1): element 1 (target): must be column indices from 0 on, or name: with names from the header"},
		"two label columns":   {"label_column=1,2", "label_column=1,2 (train.conf:1): must be one column"},
		"negative column":     {"categorical_feature=0,-1", "categorical_feature=0,-1 (train.conf:1): element 2 (-1): must be column indices from 0 on, or name: with names from the header"},
		"nameless column":     {"ignore_column=name:a,", "ignore_column=name:a, (train.conf:1): element 2 of the list is empty: remove the comma"},
		"interaction":         {"interaction_constraints=[0,1],2", "interaction_constraints=[0,1],2 (train.conf:1): must be lists of feature indices, as in [0,1],[2,3]"},
		"unbalanced brackets": {"interaction_constraints=[0,1", "interaction_constraints=[0,1 (train.conf:1): must be lists of feature indices, as in [0,1],[2,3]"},
		"gpu":                 {"device=gpu", "device_type=gpu (train.conf:1): Cloister's engine runs on the processor only; use device_type=cpu"},
		"machines":            {"num_machine=4", "num_machines=4 (train.conf:1): Cloister's engine trains on one machine; set num_machines=1 (cloister trainers, which will run LightGBM on many machines over mutual TLS, is not part of this version)"},
		"parser":              {"parser_config_file=p.json", "parser_config_file=p.json (train.conf:1): Cloister loads no foreign code to read data; convert the data to CSV, TSV, LibSVM or Parquet first"},
		"classes missing":     {"objective=multiclass", "objective=multiclass (train.conf:1) with num_class=1: set num_class to the number of classes, 2 or more"},
		"classes not wanted":  {"num_class=3", "objective=regression with num_class=3 (train.conf:1): num_class is only for objective=multiclass or multiclassova; leave it out"},
		"metric for several":  {"metric=multi_error", "objective=regression with metric=multi_error (train.conf:1): the metric multi_error does not fit the objective; name a metric for one score a row"},
		"a very long value":   {"num_leaves=" + strings.Repeat("9", 1000), "num_leaves=" + strings.Repeat("9", 80) + "… (train.conf:1): must be an integer of 32 bits"},
		"unknown_parameters":  {"unknown_parameters=ignore", "unknown_parameters=ignore (train.conf:1): must be one of error, warn"},
		"boosting, near":      {"boosting=gdbt", "boosting=gdbt (train.conf:1): no such boosting; did you mean gbdt?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, err := Resolve(nil, file(t, tc.line))
			if err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if c != nil || !errors.Is(err, ErrParameters) {
				t.Errorf("got a configuration or an error that does not match ErrParameters: %v, %v", c, err)
			}
		})
	}
}

// TestAllErrors checks that one run names every bad setting.
func TestAllErrors(t *testing.T) {
	t.Parallel()
	_, _, err := Resolve(args(t, "nume_leaves=3"), file(t, "eta=x", "bagging_freq=1.5", "lambda=-1"))
	want := `unknown parameter "nume_leaves" (command line): did you mean num_leaves? (unknown_parameters=warn ignores it)
learning_rate=x (train.conf:1): must be a finite number
bagging_freq=1.5 (train.conf:2): must be an integer
lambda_l2=-1 (train.conf:3): must be >= 0`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestManyErrors(t *testing.T) {
	t.Parallel()
	var texts []string
	for i := range 25 {
		texts = append(texts, fmt.Sprintf("unknown_%d=1", i))
	}
	_, _, err := Resolve(args(t, texts...), nil)
	if err == nil || strings.Count(err.Error(), "\n") != 10 || !strings.HasSuffix(err.Error(), "\nand 15 more: bad parameters") {
		t.Errorf("got %v", err)
	}
}

func TestSeeds(t *testing.T) {
	t.Parallel()
	// The seeds that LightGBM 4.7.0 writes into the model for these.
	for seed, want := range map[int][6]int{
		0:             {38, 7719, 21238, 2437, 8855, 11797},
		1:             {41, 18467, 6334, 26500, 19169, 15724},
		-1:            {35, 29739, 3374, 11141, 31308, 7870},
		42:            {175, 400, 17869, 30056, 16083, 12879},
		123456789:     {13259, 26974, 13551, 30354, 18709, 15861},
		math.MaxInt32: {35, 29739, 3374, 11141, 31308, 7870},
		math.MinInt32: {38, 7719, 21238, 2437, 8855, 11797},
	} {
		c, _, err := Resolve(args(t, fmt.Sprintf("random_state=%d", seed)), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := [6]int{c.DataRandomSeed, c.BaggingSeed, c.DropSeed, c.FeatureFractionSeed, c.ObjectiveSeed, c.ExtraSeed}
		if got != want {
			t.Errorf("seed %d: got %v, want %v", seed, got, want)
		}
	}
	c, _, err := Resolve(args(t, "bagging_seed=7"), file(t, "seed=42"))
	if err != nil || c.BaggingSeed != 7 || c.FeatureFractionSeed != 30056 {
		t.Errorf("a seed of its own: got %d and %d, %v", c.BaggingSeed, c.FeatureFractionSeed, err)
	}
	if c, _, err := Resolve(args(t, "seed="), nil); err != nil || c.BaggingSeed != 3 {
		t.Errorf("an empty seed derives seeds: %v", err)
	}
}

func TestDerivedSeedsAreNobodysMistake(t *testing.T) {
	t.Parallel()
	c, notices, err := Resolve(args(t, "seed=1"), nil)
	if err != nil || len(notices) > 0 {
		t.Errorf("seed=1: notices %v, %v", notices, err)
	}
	if notices, err := c.Validate(); err != nil || len(notices) > 0 {
		t.Errorf("validated: notices %v, %v", notices, err)
	}
	_, notices, err = Resolve(args(t, "seed=1", "drop_seed=6334"), nil)
	if err != nil || len(notices) != 1 || notices[0].Parameter != "drop_seed" {
		t.Errorf("drop_seed=6334: notices %v, %v", notices, err)
	}
}

func TestMetricDefaults(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"objective=rmse":                        "l2",
		"objective=l1":                          "l1",
		"objective=quantile":                    "quantile",
		"objective=binary":                      "binary_logloss",
		"objective=softmax num_class=3":         "multi_logloss",
		"objective=ova num_class=3":             "multi_logloss",
		"objective=xendcg":                      "ndcg",
		"objective=lambdarank":                  "ndcg",
		"objective=xentlambda":                  "cross_entropy_lambda",
		"objective=binary metric=":              "binary_logloss",
		"objective=binary metric=None":          "custom",
		"objective=binary metric=auc,binary":    "auc,binary_logloss",
		"objective=regression metric=MSE,l2,l1": "l2,l1",
	} {
		c, _, err := Resolve(args(t, strings.Fields(settings)...), nil)
		if err != nil {
			t.Errorf("%s: %v", settings, err)
			continue
		}
		if got, _ := c.Value("metric"); got != want {
			t.Errorf("%s: metric=%s, want %s", settings, got, want)
		}
		if (len(c.Metrics()) == 0) != (want == "custom") {
			t.Errorf("%s: Metrics() = %v", settings, c.Metrics())
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	c.Objective, c.EvalAt, c.MaxDepth = "xendcg", []int{5, 1}, 3
	if _, err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	want := NewConfig()
	want.Objective, want.EvalAt, want.MaxDepth, want.Metric = "rank_xendcg", []int{1, 5}, 3, []string{"ndcg"}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	for name, tc := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"bounds":       {func(c *Config) { c.NumLeaves = 1 }, "num_leaves=1: must be > 1, <= 131072"},
		"too large":    {func(c *Config) { c.MaxDepth = math.MaxInt }, "max_depth=9223372036854775807: must be an integer of 32 bits"},
		"not a number": {func(c *Config) { c.LambdaL1 = math.NaN() }, "lambda_l1=NaN: must be a finite number"},
		"infinite":     {func(c *Config) { c.MaxDeltaStep = math.Inf(1) }, "max_delta_step=+Inf: must be a finite number"},
		"comma":        {func(c *Config) { c.Valid = []string{"a,b"} }, "valid=a,b: the name of a validation file cannot have a comma or be empty"},
		"control":      {func(c *Config) { c.Data = "a\nb" }, "data=a\nb: has a control character: remove it"},
		"enum":         {func(c *Config) { c.Task = "" }, "task=: must be one of train, predict, convert_model, refit, save_binary"},
		"status":       {func(c *Config) { c.DeviceType = "cuda" }, "device_type=cuda: Cloister's engine runs on the processor only; use device_type=cpu"},
		"conflict":     {func(c *Config) { c.NumClass = 2 }, "objective=regression with num_class=2: num_class is only for objective=multiclass or multiclassova; leave it out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := NewConfig()
			tc.change(c)
			before := fmt.Sprintf("%#v", *c)
			if _, err := c.Validate(); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
			if after := fmt.Sprintf("%#v", *c); after != before {
				t.Errorf("a refused configuration was changed to %s", after)
			}
		})
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	if err := c.Set("eta", "0.5"); err != nil || c.LearningRate != 0.5 {
		t.Errorf("by an alias: %v, %v", c.LearningRate, err)
	}
	if err := c.Set("eta", ""); err != nil || c.LearningRate != 0.1 {
		t.Errorf("to the default: %v, %v", c.LearningRate, err)
	}
	var unknown *UnknownError
	if err := c.Set("etaa", "1"); !errors.As(err, &unknown) || unknown.Nearest != "eta" {
		t.Errorf("unknown: %v", err)
	}
	var value *ValueError
	if err := c.Set("eta", "0"); !errors.As(err, &value) || c.LearningRate != 0.1 {
		t.Errorf("out of bounds: %v, %v", c.LearningRate, err)
	}
	for text, want := range map[string]bool{"true": true, "+": true, "1": true, "TRUE": true, "false": false, "-": false, "0": false} {
		if err := c.Set("header", text); err != nil || c.Header != want {
			t.Errorf("header=%s: %v, %v", text, c.Header, err)
		}
	}
	if _, ok := c.Value("nothing"); ok {
		t.Error("Value finds a parameter that does not exist")
	}
}

func TestEffectiveLists(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	gains := c.LabelGains()
	if !slices.Equal(c.EvalPositions(), []int{1, 2, 3, 4, 5}) || len(gains) != 31 || gains[3] != 7 || gains[30] != 1<<30-1 {
		t.Errorf("defaults: %v, %v", c.EvalPositions(), gains)
	}
	c.EvalAt, c.LabelGain = []int{3, 1}, []float64{0, 2}
	if !slices.Equal(c.EvalPositions(), []int{1, 3}) || !slices.Equal(c.LabelGains(), []float64{0, 2}) {
		t.Errorf("given: %v, %v", c.EvalPositions(), c.LabelGains())
	}
}

func TestParseColumns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ColumnList{
		"":              {},
		"0, 2":          {Indices: []int{0, 2}},
		"name:age, sex": {Names: []string{"age", "sex"}},
	} {
		got, err := ParseColumns(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q differs (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"name:", "-1", "1.5", "age", "0,,1", "name:a,,b", "0,name:a"} {
		if got, err := ParseColumns(text); err == nil {
			t.Errorf("%q gives %v", text, got)
		}
	}
}
