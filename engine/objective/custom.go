package objective

import "cloister/engine/parallel"

// Custom is an objective made of Go functions, for losses that LightGBM does
// not have. Only Derivatives is required; the model text has no objective
// line, and its predictions are raw scores, unless Output is set. Example:
//
//	objective.Custom{Derivatives: func(iteration int, scores []float64, grad, hess []float32) {
//		for i, s := range scores {
//			grad[i], hess[i] = float32(s-label[i]), 1
//		}
//	}}
type Custom struct {
	// NumModels is the number of trees per iteration; 0 means 1.
	NumModels int
	// Derivatives writes the loss's first and second derivative by each score,
	// model after model. To get the same model on any number of threads it
	// must not depend on them.
	Derivatives func(iteration int, scores []float64, grad, hess []float32)
	// Start has the raw score that each model starts with; nil means 0.
	Start []float64
	// Output, if not nil, turns one row's raw scores into predictions.
	Output func(raw, out []float64)
}

var _ Objective = Custom{}

// Name implements Output.
func (Custom) Name() string { return "custom" }

// String implements Output: a model text of a custom objective has no
// objective line.
func (Custom) String() string { return "" }

// Models implements Output.
func (c Custom) Models() int { return max(1, c.NumModels) }

// Transform implements Output.
func (c Custom) Transform(raw, out []float64) {
	if c.Output == nil {
		copy(out, raw)
		return
	}
	c.Output(raw, out)
}

// NeedsAccuratePrediction implements Output.
func (Custom) NeedsAccuratePrediction() bool { return true }

// ConstantHessian implements Objective.
func (Custom) ConstantHessian() bool { return false }

// BoostFromScore implements Objective.
func (c Custom) BoostFromScore(model int) float64 {
	if model >= len(c.Start) {
		return 0
	}
	return c.Start[model]
}

// ClassNeedsTraining implements Objective.
func (Custom) ClassNeedsTraining(int) bool { return true }

// Gradients implements Objective.
func (c Custom) Gradients(_ *parallel.Pool, iteration int, scores []float64, grad, hess []float32) {
	c.Derivatives(iteration, scores, grad, hess)
}
