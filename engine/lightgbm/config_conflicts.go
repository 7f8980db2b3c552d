package lightgbm

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"cloister/engine/lightgbm/parameter"
)

// tiny is the size below which LightGBM takes a sum of hessians for zero
// (kEpsilon), zeroThreshold that for other numbers (kZeroThreshold).
const (
	tiny          = 1e-15
	zeroThreshold = 1e-35
)

// names returns the values of an enum or a list of enums.
func (c *Config) names(name string) []string {
	switch v := c.field(name).(type) {
	case *string:
		return []string{*v}
	case *[]string:
		return *v
	default:
		return nil
	}
}

// meets says whether every number of the parameter meets the bound.
func (c *Config) meets(p *Parameter, b parameter.Bound) bool {
	switch v := c.field(p.Name).(type) {
	case *int:
		return b.Holds(float64(*v))
	case *float64:
		return b.Holds(*v)
	case *[]float64:
		return !slices.ContainsFunc(*v, func(x float64) bool { return !b.Holds(x) })
	case *[]int8:
		return !slices.ContainsFunc(*v, func(x int8) bool { return !b.Holds(float64(x)) })
	default:
		return false
	}
}

// effective says whether the setting is there without which a parameter has
// no effect: NAME=VALUE, or NAME for any value but the default.
func (r *resolver) effective(onlyWith string) bool {
	name, value, exact := strings.Cut(onlyWith, "=")
	switch {
	case onlyWith == "":
		return true
	case exact:
		return r.config.text(name) == value
	default:
		return r.config.text(name) != declared().defaults.text(name)
	}
}

// adapt completes values and changes those that others rule out, as LightGBM
// does (Config::Set and Config::CheckParamConflict).
func (r *resolver) adapt() {
	c := r.config
	if len(c.Metric) == 0 {
		if v, err := findValue(Lookup("metric"), c.Objective); err == nil {
			c.Metric = []string{v.Name}
		}
	}
	slices.Sort(c.EvalAt)
	c.TreeLearner = "serial"
	r.adaptValid()
	r.adaptTree()
	r.adaptSampling()
	if c.Task == "save_binary" {
		c.SaveBinary = true
	}
}

// adaptValid turns the training file among the validation files into
// is_provide_training_metric.
func (r *resolver) adaptValid() {
	c := r.config
	if c.Data == "" || !slices.Contains(c.Valid, c.Data) {
		return
	}
	c.Valid = slices.DeleteFunc(slices.Clone(c.Valid), func(name string) bool { return name == c.Data })
	c.IsProvideTrainingMetric = true
	r.changed("valid", "%s is the training file too: is_provide_training_metric=true instead", shorten(c.Data))
}

func (r *resolver) adaptTree() {
	c := r.config
	if c.MaxDepth > 0 && r.set != nil && !r.set["num_leaves"] {
		// A depth of 30 or more has more leaves than any num_leaves.
		full := 1 << min(c.MaxDepth, 30)
		if full > c.NumLeaves {
			r.notice(Doubtful, "max_depth", r.origins["max_depth"],
				"max_depth=%d%s allows more than the default of num_leaves=%d leaves: set num_leaves to use them",
				c.MaxDepth, at(r.origins["max_depth"]), c.NumLeaves)
		} else {
			c.NumLeaves = full
		}
	}
	if c.PathSmooth > tiny && c.MinDataInLeaf < 2 {
		c.MinDataInLeaf = 2
		r.changed("min_data_in_leaf", "path_smooth needs min_data_in_leaf=2 at least: set to 2")
	}
	if c.MinDataInLeaf <= 0 && c.MinSumHessianInLeaf <= tiny {
		c.MinDataInLeaf = 1
		r.changed("min_data_in_leaf", "min_data_in_leaf and min_sum_hessian_in_leaf cannot both be 0: min_data_in_leaf set to 1")
	}
	if c.FeatureFractionBynode < 1 && c.MonotoneConstraintsMethod != "basic" {
		c.MonotoneConstraintsMethod = "basic"
		r.changed("monotone_constraints_method", "feature_fraction_bynode below 1 allows only monotone_constraints_method=basic: set to basic")
	}
	if c.MaxDepth > 0 && c.MonotonePenalty >= float64(c.MaxDepth) {
		r.notice(Doubtful, "monotone_penalty", r.origins["monotone_penalty"],
			"monotone_penalty is not below max_depth: constrained features will not be used")
	}
}

func (r *resolver) adaptSampling() {
	c := r.config
	if c.Boosting == "goss" {
		c.Boosting, c.DataSampleStrategy = "gbdt", "goss"
		r.changed("boosting", "boosting=goss means boosting=gbdt with data_sample_strategy=goss: write that")
	}
	if c.BaggingByQuery && c.DataSampleStrategy != "bagging" {
		c.BaggingByQuery = false
		r.changed("bagging_by_query", "bagging_by_query works only with data_sample_strategy=bagging: set to false")
	}
}

func (r *resolver) changed(name, format string, args ...any) {
	r.notice(Changed, name, r.origins[name], format, args...)
}

// conflict reports settings that exclude each other.
func (r *resolver) conflict(problem string, names ...string) {
	e := &ConflictError{Parameters: names, Problem: problem}
	for _, name := range names {
		text := name + "=" + shorten(r.config.text(name))
		if origin, ok := r.origins[name]; ok {
			text += at(origin)
		}
		e.Settings = append(e.Settings, text)
	}
	r.errs = append(r.errs, e)
}

// checkConflicts refuses what LightGBM refuses (Config::CheckParamConflict and
// the constructors of its objectives and boostings), leaf indices together with
// contributions, and levels of gradients that overflow LightGBM's 8 bits.
func (r *resolver) checkConflicts() {
	c := r.config
	r.checkClasses()
	r.checkAUCMu()
	r.checkBoosting()
	if c.IsUnbalance && math.Abs(c.ScalePosWeight-1) > 1e-6 &&
		(c.Objective == "binary" || c.Objective == "multiclassova") {
		r.conflict("they exclude each other; leave one out", "is_unbalance", "scale_pos_weight")
	}
	if c.ForceColWise && c.ForceRowWise {
		r.conflict("they exclude each other; leave one out", "force_col_wise", "force_row_wise")
	}
	if c.Objective == "quantile" && c.Alpha >= 1 {
		r.conflict("the quantile must be below 1", "objective", "alpha")
	}
	if c.UseQuantizedGrad && (c.NumGradQuantBins < 2 || c.NumGradQuantBins > 127) {
		r.conflict("gradients take 2 to 127 levels", "use_quantized_grad", "num_grad_quant_bins")
	}
	if c.PredictLeafIndex && c.PredictContrib {
		r.conflict("they exclude each other; leave one out", "predict_leaf_index", "predict_contrib")
	}
	if c.LinearTree && c.ZeroAsMissing {
		r.conflict("linear trees need zeros as values; leave one out", "linear_tree", "zero_as_missing")
	}
	if c.LinearTree && c.Objective == "regression_l1" {
		r.conflict("linear trees cannot fit this objective; leave one out", "linear_tree", "objective")
	}
}

// checkClasses checks num_class against objective and metrics.
func (r *resolver) checkClasses() {
	c := r.config
	several := c.Objective == "multiclass" || c.Objective == "multiclassova" ||
		c.Objective == "custom" && c.NumClass > 1
	switch {
	case several && c.NumClass <= 1:
		r.conflict("set num_class to the number of classes, 2 or more", "objective", "num_class")
		return
	case !several && c.Task == "train" && c.NumClass != 1:
		r.conflict("num_class is only for objective=multiclass or multiclassova; leave it out", "objective", "num_class")
		return
	}
	for _, name := range c.Metric {
		forSeveral := name == "multi_logloss" || name == "multi_error" || name == "auc_mu" ||
			name == "custom" && c.NumClass > 1
		if forSeveral != several {
			r.conflict(fmt.Sprintf("the metric %s does not fit the objective; name a metric for %s", name,
				map[bool]string{true: "several classes", false: "one score a row"}[several]), "objective", "metric")
		}
	}
}

// checkAUCMu checks the cost matrix of auc_mu. The diagonal is not used.
func (r *resolver) checkAUCMu() {
	c := r.config
	n := c.NumClass
	if len(c.AUCMuWeights) == 0 {
		return
	}
	if n > len(c.AUCMuWeights) || n*n != len(c.AUCMuWeights) {
		r.conflict(fmt.Sprintf("auc_mu_weights has %d numbers and needs num_class × num_class", len(c.AUCMuWeights)),
			"auc_mu_weights", "num_class")
		return
	}
	for i, w := range c.AUCMuWeights {
		if i/n != i%n && math.Abs(w) < zeroThreshold {
			r.conflict(fmt.Sprintf("number %d is zero and not on the diagonal; give a cost", i+1), "auc_mu_weights")
			return
		}
	}
}

// checkBoosting checks sampling against the kind of boosting (RF::Init and
// GOSSStrategy::ResetSampleConfig).
func (r *resolver) checkBoosting() {
	c := r.config
	goss := c.DataSampleStrategy == "goss"
	bagging := c.BaggingFreq > 0 && c.BaggingFraction < 1
	if c.Boosting == "rf" && !goss && !bagging && (c.FeatureFraction <= 0 || c.FeatureFraction >= 1) {
		r.conflict("a random forest needs bagging_freq above 0 with bagging_fraction below 1, or feature_fraction below 1",
			"boosting", "bagging_freq", "bagging_fraction", "feature_fraction")
	}
	if goss && bagging {
		r.conflict("goss chooses the rows itself; leave bagging out", "data_sample_strategy", "bagging_freq", "bagging_fraction")
	}
	if goss && (c.TopRate <= 0 || c.OtherRate <= 0 || c.TopRate+c.OtherRate > 1) {
		r.conflict("both rates must be above 0 and their sum at most 1", "data_sample_strategy", "top_rate", "other_rate")
	}
}

// CheckFiles checks what only a run on files needs: data to read, a model to
// predict with, something to measure early stopping by. Errors are of type
// *ConflictError.
func (c *Config) CheckFiles() error {
	problem := func(text string, names ...string) error {
		e := &ConflictError{Parameters: names, Problem: text}
		for _, name := range names {
			if value := c.text(name); value != "" {
				e.Settings = append(e.Settings, name+"="+shorten(value))
			}
		}
		return e
	}
	switch {
	case c.Task != "convert_model" && c.Data == "":
		return problem("no data to read: set data to a file", "task", "data")
	case c.Task != "train" && c.Task != "save_binary" && c.InputModel == "":
		return problem("no model: set input_model to a file", "task", "input_model")
	case c.Task == "train" && c.EarlyStoppingRound > 0 && len(c.Valid) == 0:
		return problem("early stopping needs a validation file: set valid, or early_stopping_round=0",
			"early_stopping_round", "valid")
	case c.Task == "train" && c.EarlyStoppingRound > 0 && len(c.Metrics()) == 0:
		return problem("early stopping needs a metric: name one, or set early_stopping_round=0",
			"early_stopping_round", "metric")
	}
	return nil
}
