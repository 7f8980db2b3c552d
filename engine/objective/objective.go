// Package objective has LightGBM's losses: their gradients, starting scores
// and leaf values, and how raw scores become predictions.
//
// Formulas are those of LightGBM 4.7.0 (src/objective); everything is computed
// in double precision with package portmath, so that results are the same on
// every architecture and any number of threads.
package objective

import (
	"errors"
	"fmt"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
)

// Output turns raw scores into predictions. It is the part of an objective
// that a model text keeps.
type Output interface {
	// Name is the canonical name, such as "binary".
	Name() string
	// String is the objective's line in a model text, such as
	// "binary sigmoid:1"; empty if the model text has no such line.
	String() string
	// Models is the number of trees per iteration, raw scores and predictions
	// per row.
	Models() int
	// Transform writes the predictions for one row's raw scores to out. Both
	// have Models() numbers; they may be the same slice.
	Transform(raw, out []float64)
	// NeedsAccuratePrediction tells that a prediction may not stop early: a
	// raw score's size matters, not only which side or rank it has.
	NeedsAccuratePrediction() bool
}

// Objective is a loss over the rows of one dataset. All methods are safe for
// concurrent use, but for those of Biased. Scores, gradients and hessians are stored model after model:
// row i of model k is at k·rows+i.
type Objective interface {
	Output
	// ConstantHessian tells that every hessian is 1, so that histograms may
	// count rows instead.
	ConstantHessian() bool
	// BoostFromScore is the best constant raw score of a model, where training
	// starts with boost_from_average.
	BoostFromScore(model int) float64
	// ClassNeedsTraining is false for a model whose class has no rows or all:
	// its trees are constants.
	ClassNeedsTraining(model int) bool
	// Gradients writes the loss's first and second derivative by each score.
	// hess may be nil if ConstantHessian. Where a score or weight is so large
	// that a derivative leaves float32's range, it is infinite.
	Gradients(pool *parallel.Pool, iteration int, scores []float64, grad, hess []float32)
}

// Renewer is an objective whose leaf values are not Newton steps but
// percentiles of what is left over in the leaf (RenewTreeOutput in LightGBM).
type Renewer interface {
	// RenewLeaf returns the value of the leaf that has the given rows, before
	// the learning rate. scores are the raw scores without the tree. Leaves
	// may be renewed concurrently.
	RenewLeaf(rows []uint32, scores []float64) float64
}

// ErrObjective is matched by every error of New that comes from the
// configuration rather than from the data.
var ErrObjective = errors.New("objective")

// LabelError is a label or weight that does not fit the objective.
type LabelError struct {
	Objective string
	// Field is "label" or "weight".
	Field string
	// Row counts from 1.
	Row   int
	Value float64
	// Reason says what is wrong and what to do.
	Reason string
}

func (e *LabelError) Error() string {
	return fmt.Sprintf("objective %s: the %s %v of row %d %s", e.Objective, e.Field, float32(e.Value), e.Row, e.Reason)
}

// DataError says what is wrong with the data as a whole.
type DataError struct {
	Objective string
	Reason    string
}

func (e *DataError) Error() string {
	return fmt.Sprintf("objective %s: %s", e.Objective, e.Reason)
}

// New returns the objective that cfg names, for the rows that md describes.
// Errors are *LabelError, *DataError, or match ErrObjective.
func New(cfg *lightgbm.Config, md *dataset.Metadata) (Objective, error) {
	build, ok := builders[cfg.Objective]
	if !ok {
		if cfg.Objective == "custom" {
			return nil, fmt.Errorf("%w: custom is a Go value of type objective.Custom, given to the trainer", ErrObjective)
		}
		return nil, fmt.Errorf("%w: there is no %q", ErrObjective, cfg.Objective)
	}
	rows, err := newRows(cfg.Objective, md)
	if err != nil {
		return nil, err
	}
	return build(cfg, rows, md)
}

// CheckLabels returns the *LabelError for the first label of other rows, such as
// those of a validation set, that the objective of cfg cannot have; nil if there
// is none.
func CheckLabels(cfg *lightgbm.Config, md *dataset.Metadata) error {
	var label *LabelError
	if _, err := New(cfg, md); errors.As(err, &label) && label.Field == "label" {
		return label
	}
	return nil
}

type builder func(cfg *lightgbm.Config, r rows, md *dataset.Metadata) (Objective, error)

var builders = map[string]builder{
	"regression":           newL2,
	"regression_l1":        newL1,
	"huber":                newHuber,
	"fair":                 newFair,
	"quantile":             newQuantile,
	"mape":                 newMAPE,
	"poisson":              newPoisson,
	"gamma":                newGamma,
	"tweedie":              newTweedie,
	"binary":               newBinary,
	"multiclass":           newMulticlass,
	"multiclassova":        newMulticlassOVA,
	"cross_entropy":        newCrossEntropy,
	"cross_entropy_lambda": newCrossEntropyLambda,
	"lambdarank":           newLambdarank,
	"rank_xendcg":          newXENDCG,
}
