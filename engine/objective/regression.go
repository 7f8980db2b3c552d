package objective

import (
	"fmt"
	"math"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
)

// regression is what the objectives with a direct output share: with reg_sqrt
// they learn the signed root of the label, and predictions are squared.
type regression struct {
	rows
	sqrtOutput
}

func newRegression(cfg *lightgbm.Config, r rows) regression {
	o := regression{rows: r, sqrtOutput: newSqrtOutput(r.objective, cfg.RegSqrt)}
	if cfg.RegSqrt {
		o.label = make([]float32, len(r.label))
		for i, y := range r.label {
			o.label[i] = float32(math.Copysign(math.Sqrt(math.Abs(float64(y))), float64(y)))
		}
	}
	return o
}

// ConstantHessian implements Objective.
func (o *regression) ConstantHessian() bool { return o.weight == nil }

// BoostFromScore implements Objective.
func (o *regression) BoostFromScore(int) float64 { return o.mean() }

// sign is -1, 0 or 1.
func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// l2 is squared error, (score-label)²/2.
type l2 struct{ regression }

func newL2(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	return &l2{newRegression(cfg, r)}, nil
}

// Gradients implements Objective.
func (o *l2) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	o.each(pool, func(lo, hi int) {
		s, y, g := scores[lo:hi], o.label[lo:hi], grad[lo:hi]
		if o.weight == nil {
			for i := range s {
				g[i] = float32(s[i] - float64(y[i]))
			}
			if hess != nil {
				ones(hess[lo:hi])
			}
			return
		}
		w := o.weight[lo:hi]
		for i := range s {
			g[i] = float32(s[i]-float64(y[i])) * w[i]
		}
		copy(hess[lo:hi], w)
	})
}

func ones(h []float32) {
	for i := range h {
		h[i] = 1
	}
}

// direct is a loss of score and label alone whose derivatives point computes.
type direct struct {
	regression
	constantHessian bool
	point           func(score, label float64) (g, h float64)
}

// ConstantHessian implements Objective.
func (o *direct) ConstantHessian() bool { return o.constantHessian }

// Gradients implements Objective.
func (o *direct) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	o.fill(pool, scores, grad, hess, o.point)
}

// newHuber is squared error up to alpha, absolute error beyond. reg_sqrt has
// no effect, as in LightGBM.
func newHuber(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	alpha := cfg.Alpha
	o := &direct{regression: regression{rows: r, sqrtOutput: newSqrtOutput(r.objective, false)}, constantHessian: r.weight == nil}
	o.point = func(score, label float64) (g, h float64) {
		d := score - label
		if math.Abs(d) <= alpha {
			return d, 1
		}
		return float64(sign(d) * alpha), 1
	}
	return o, nil
}

// newFair is c²(|d|/c - ln(1+|d|/c)) for the difference d and c = fair_c
// (Z. Zhang, "Parameter estimation techniques: a tutorial with application to
// conic fitting", 1997, section 9).
func newFair(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	c := cfg.FairC
	o := &direct{regression: newRegression(cfg, r)}
	o.point = func(score, label float64) (g, h float64) {
		d := score - label
		a := math.Abs(d) + c
		return float64(c*d) / a, float64(c*c) / float64(a*a)
	}
	return o, nil
}

// percentileLoss is a loss whose best constant is a percentile.
type percentileLoss struct {
	direct
	renewer
}

// BoostFromScore implements Objective.
func (o *percentileLoss) BoostFromScore(int) float64 { return o.ofLabels() }

// newL1 is absolute error.
func newL1(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	o := &percentileLoss{direct: direct{regression: newRegression(cfg, r), constantHessian: r.weight == nil}}
	o.renewer = renewer{o.regression.label, r.weight, 0.5}
	o.point = func(score, label float64) (g, h float64) { return sign(score - label), 1 }
	return o, nil
}

// newQuantile is the loss of the alpha-quantile (R. Koenker and G. Bassett,
// "Regression quantiles", Econometrica 46, 1978).
func newQuantile(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	if !(cfg.Alpha > 0 && cfg.Alpha < 1) {
		return nil, fmt.Errorf("%w quantile: alpha is %v; give a number between 0 and 1", ErrObjective, cfg.Alpha)
	}
	alpha := float32(cfg.Alpha)
	o := &percentileLoss{direct: direct{regression: newRegression(cfg, r), constantHessian: r.weight == nil}}
	o.renewer = renewer{o.regression.label, r.weight, float64(alpha)}
	above, below := float64(1-alpha), float64(-alpha)
	o.point = func(score, label float64) (g, h float64) {
		if float32(score-label) >= 0 {
			return above, 1
		}
		return below, 1
	}
	return o, nil
}

// mape is absolute error relative to the label, whose size counts as at least
// 1. Hessians are the weights.
type mape struct{ percentileLoss }

func newMAPE(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	o := &mape{percentileLoss{direct: direct{regression: newRegression(cfg, r), constantHessian: r.weight == nil}}}
	label := o.regression.label
	relative := make([]float32, len(label))
	for i, y := range label {
		relative[i] = 1 / max(1, float32(math.Abs(float64(y))))
		if r.weight != nil {
			relative[i] *= r.weight[i]
		}
	}
	o.renewer = renewer{label, relative, 0.5}
	return o, nil
}

// Gradients implements Objective.
func (o *mape) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	label, relative := o.renewer.label, o.renewer.weight
	o.each(pool, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			grad[i] = float32(sign(scores[i]-float64(label[i])) * float64(relative[i]))
		}
		switch {
		case o.regression.weight != nil:
			copy(hess[lo:hi], o.regression.weight[lo:hi])
		case hess != nil:
			ones(hess[lo:hi])
		}
	})
}
