package lightgbm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cloister/engine/portmath"
)

// Transform turns the raw scores of a row into the outputs that LightGBM's
// predict gives: probabilities, expected counts, ….
type Transform struct {
	link    link
	sigmoid float64
	// divisor is the number of iterations where outputs are averaged, else 1.
	divisor float64
}

type link int

const (
	identity link = iota
	signedSquare
	exponential
	logistic
	softmax
	softplus
)

// links has what each of LightGBM's objectives does with raw scores.
var links = map[string]link{
	"regression": identity, "regression_l1": identity, "huber": identity, "fair": identity,
	"quantile": identity, "mape": identity,
	"poisson": exponential, "gamma": exponential, "tweedie": exponential,
	"binary": logistic, "multiclassova": logistic, "cross_entropy": logistic,
	"multiclass": softmax, "cross_entropy_lambda": softplus,
	"lambdarank": identity, "rank_xendcg": identity, "custom": identity,
}

// objectiveAliases are the other names that objectives have in model texts of
// old versions or of other programs.
var objectiveAliases = map[string]string{
	"": "custom", "none": "custom", "null": "custom", "na": "custom",
	"regression_l2": "regression", "mean_squared_error": "regression", "mse": "regression", "l2": "regression",
	"mean_absolute_error": "regression_l1", "mae": "regression_l1", "l1": "regression_l1",
	"mean_absolute_percentage_error": "mape",
	"softmax":                        "multiclass",
	"multiclass_ova":                 "multiclassova", "ova": "multiclassova", "ovr": "multiclassova",
	"xentropy": "cross_entropy", "xentlambda": "cross_entropy_lambda",
	"xendcg": "rank_xendcg", "xe_ndcg": "rank_xendcg", "xe_ndcg_mart": "rank_xendcg", "xendcg_mart": "rank_xendcg",
	"rank_xendcg_mart": "rank_xendcg",
}

// parseObjective reads a model's objective: its name, then "sqrt" or
// "name:value" for what the output depends on.
func parseObjective(text string, classes int) (Transform, error) {
	t := Transform{sigmoid: 1, divisor: 1}
	fields := append(words(text), "")
	name := fields[0]
	if original, ok := objectiveAliases[name]; ok {
		name = original
	}
	var known bool
	t.link, known = links[name]
	if !known {
		return t, fmt.Errorf("%q is no objective of LightGBM", shown(fields[0]))
	}
	isMulti := name == "multiclass" || name == "multiclassova"
	if classes > 1 && !isMulti && name != "custom" {
		return t, fmt.Errorf("%s has one class, but num_class is %d", name, classes)
	}
	usesSigmoid := name == "binary" || name == "multiclassova"
	var hasClasses bool
	for _, f := range fields[1:] {
		key, value, _ := strings.Cut(f, ":")
		switch {
		case key == "sqrt" && t.link == identity:
			t.link = signedSquare
		case key == "sigmoid" && usesSigmoid:
			v, err := modelFloat64(value)
			if err != nil || !(v > 0) {
				return t, fmt.Errorf("sigmoid %q is no positive number", shown(value))
			}
			t.sigmoid = v
		case key == "num_class" && isMulti:
			if value != strconv.Itoa(classes) {
				return t, fmt.Errorf("says num_class:%s, but num_class is %d", shown(value), classes)
			}
			hasClasses = true
		}
	}
	if isMulti && !hasClasses {
		return t, errors.New(name + " has no num_class")
	}
	return t, nil
}

// Transform is the step from raw scores, summed over a number of iterations,
// to outputs.
func (m *Model) Transform(iterations int) (Transform, error) {
	t, err := parseObjective(m.Objective, m.NumClass)
	if err != nil {
		return t, modelErrorf("objective", "%v", err)
	}
	if m.AverageOutput && iterations > 0 {
		t.divisor = float64(iterations)
	}
	return t, nil
}

// Apply replaces the raw scores of one row, one per class, by its outputs.
func (t Transform) Apply(scores []float64) {
	for i, x := range scores {
		x /= t.divisor
		switch t.link {
		case signedSquare:
			if x < 0 {
				x = -(x * x)
			} else {
				x *= x
			}
		case exponential:
			x = portmath.Exp(x)
		case logistic:
			x = 1 / (1 + portmath.Exp(-t.sigmoid*x))
		case softplus:
			x = log1pExp(x)
		case identity, softmax: // softmax needs all of them
		}
		scores[i] = x
	}
	if t.link == softmax {
		toShares(scores)
	}
}

// applyRows is Apply for many rows of so many scores each.
func (t Transform) applyRows(scores []float64, models int) {
	if t.link == identity && t.divisor == 1 {
		return
	}
	for ; len(scores) > 0; scores = scores[models:] {
		t.Apply(scores[:models])
	}
}

// log1pExp is log(1+exp(x)). Where exp(x) is beyond the range of numbers,
// LightGBM gives infinity; the value is x there.
func log1pExp(x float64) float64 {
	const large = 700
	if x > large {
		return x
	}
	return portmath.Log1p(portmath.Exp(x))
}

// toShares is softmax.
func toShares(scores []float64) {
	greatest := slices.Max(scores)
	sum := 0.0
	for i, x := range scores {
		scores[i] = portmath.Exp(x - greatest)
		sum += scores[i]
	}
	for i := range scores {
		scores[i] /= sum
	}
}
