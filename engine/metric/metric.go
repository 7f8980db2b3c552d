// Package metric has LightGBM's evaluation metrics: values, names and
// directions are those of LightGBM 4.7.0 (src/metric), with weights and query
// groups. Values are the same for any number of threads.
package metric

import (
	"errors"
	"fmt"
	"math"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
	"cloister/engine/parallel"
)

// Metric is a measure of raw scores against the labels of one dataset. It is
// safe for concurrent use. A metric of a program's own can stand beside
// LightGBM's by implementing this.
type Metric interface {
	// Names has the name of each value, such as "auc" or "ndcg@1", "ndcg@3".
	Names() []string
	// HigherIsBetter tells the direction of all values.
	HigherIsBetter() bool
	// Eval returns one value for each name. scores has row i of model k at
	// k·rows+i; out turns them into predictions, nil means that scores are
	// predictions already.
	Eval(pool *parallel.Pool, scores []float64, out objective.Output) []float64
}

// ErrMetric is matched by every error of New that comes from the configuration
// rather than from the data.
var ErrMetric = errors.New("metric")

// LabelError is a label or weight that does not fit a metric.
type LabelError struct {
	Metric string
	// Field is "label" or "weight".
	Field string
	// Row counts from 1.
	Row    int
	Value  float64
	Reason string
}

func (e *LabelError) Error() string {
	return fmt.Sprintf("metric %s: the %s %v of row %d %s", e.Metric, e.Field, float32(e.Value), e.Row, e.Reason)
}

// DataError says what is wrong with the data as a whole.
type DataError struct {
	Metric string
	Reason string
}

func (e *DataError) Error() string { return fmt.Sprintf("metric %s: %s", e.Metric, e.Reason) }

// New returns the metrics that cfg names, each once and in that order, for the
// rows that md describes. out is the objective's output or nil, as for Eval.
// Errors are *LabelError, *DataError, or match ErrMetric.
func New(cfg *lightgbm.Config, out objective.Output, md *dataset.Metadata) ([]Metric, error) {
	models := max(1, cfg.NumClass)
	if out != nil {
		models = out.Models()
	}
	var metrics []Metric
	seen := map[string]bool{}
	for _, name := range cfg.Metrics() {
		if seen[name] {
			continue
		}
		seen[name] = true
		kind, ok := kinds[name]
		if !ok {
			return nil, fmt.Errorf("%w: there is no %q", ErrMetric, name)
		}
		switch {
		case kind.classes && models < 2:
			return nil, fmt.Errorf("%w %s: needs an objective for several classes", ErrMetric, name)
		case !kind.classes && models > 1:
			return nil, fmt.Errorf("%w %s: does not fit an objective for several classes", ErrMetric, name)
		}
		t, err := newTable(name, models, md)
		if err != nil {
			return nil, err
		}
		m, err := kind.build(cfg, t, md)
		if err != nil {
			return nil, err
		}
		metrics = append(metrics, m)
	}
	return metrics, nil
}

type kind struct {
	// classes is for objectives with several models.
	classes bool
	build   func(cfg *lightgbm.Config, t table, md *dataset.Metadata) (Metric, error)
}

var kinds = map[string]kind{
	"l1":                   {build: newL1},
	"l2":                   {build: newL2},
	"rmse":                 {build: newRMSE},
	"quantile":             {build: newQuantile},
	"huber":                {build: newHuber},
	"fair":                 {build: newFair},
	"poisson":              {build: newPoisson},
	"mape":                 {build: newMAPE},
	"gamma":                {build: newGamma},
	"gamma_deviance":       {build: newGammaDeviance},
	"tweedie":              {build: newTweedie},
	"r2":                   {build: newR2},
	"binary_logloss":       {build: newBinaryLogloss},
	"binary_error":         {build: newBinaryError},
	"auc":                  {build: newAUC},
	"average_precision":    {build: newAveragePrecision},
	"cross_entropy":        {build: newCrossEntropy},
	"cross_entropy_lambda": {build: newCrossEntropyLambda},
	"kullback_leibler":     {build: newKullbackLeibler},
	"ndcg":                 {build: newNDCG},
	"map":                  {build: newMAP},
	"multi_logloss":        {classes: true, build: newMultiLogloss},
	"multi_error":          {classes: true, build: newMultiError},
	"auc_mu":               {classes: true, build: newAUCMu},
}

// chunk is the number of rows of one task.
const chunk = 1 << 13

// epsilon is LightGBM's kEpsilon, the float32 nearest 1e-15.
const epsilon = float64(float32(1e-15))

// table has what all metrics need of the rows.
type table struct {
	name   string
	models int
	label  []float32
	weight []float32
	// total is the sum of the weights, the number of rows without.
	total float64
}

func newTable(name string, models int, md *dataset.Metadata) (table, error) {
	t := table{name: name, models: models, label: md.Label, weight: md.Weight, total: float64(len(md.Label))}
	if len(t.label) == 0 {
		return t, &DataError{name, "there are no rows"}
	}
	if err := t.check(func(y float64) string {
		if math.IsNaN(y) || math.IsInf(y, 0) {
			return "is not a number; remove the row or mend the label"
		}
		return ""
	}); err != nil {
		return t, err
	}
	if t.weight == nil {
		return t, nil
	}
	if len(t.weight) != len(t.label) {
		return t, &DataError{name, fmt.Sprintf("%d weights for %d rows", len(t.weight), len(t.label))}
	}
	t.total = 0
	for i, w := range t.weight {
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return t, &LabelError{name, "weight", i + 1, float64(w), "is not a number of at least 0"}
		}
		t.total += float64(w)
	}
	if t.total == 0 {
		return t, &DataError{name, "the sum of the weights is zero"}
	}
	return t, nil
}

// check returns an error for the first label for which it gives a reason.
func (t *table) check(reason func(y float64) string) error {
	for i, y := range t.label {
		if why := reason(float64(y)); why != "" {
			return &LabelError{t.name, "label", i + 1, float64(y), why}
		}
	}
	return nil
}

// Names implements Metric.
func (t *table) Names() []string { return []string{t.name} }

// weightOf is the weight of row i.
func (t *table) weightOf(i int) float64 {
	if t.weight == nil {
		return 1
	}
	return float64(t.weight[i])
}

// sum adds up what part returns for fixed chunks of n items, in their order.
func sum(pool *parallel.Pool, n, size int, part func(lo, hi int) float64) float64 {
	parts := make([]float64, (n+size-1)/size)
	pool.Chunks(n, size, func(c, lo, hi int) { parts[c] = part(lo, hi) })
	total := 0.
	for _, p := range parts {
		total += p
	}
	return total
}
