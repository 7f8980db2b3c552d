package objective

import (
	"fmt"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/portmath"
)

// logLink is a loss whose prediction is e^score.
type logLink struct {
	rows
	logOutput
	point func(score, label float64) (g, h float64)
}

func newLogLink(r rows) (*logLink, error) {
	sum := 0.
	if err := r.checkLabels(func(y float64) string {
		sum += y
		if y < 0 {
			return "is negative; this objective needs labels of at least 0"
		}
		return ""
	}); err != nil {
		return nil, err
	}
	if sum == 0 {
		return nil, &DataError{r.objective, "the sum of the labels is zero"}
	}
	return &logLink{rows: r, logOutput: newLogOutput(r.objective)}, nil
}

// BoostFromScore is the logarithm of the labels' mean.
func (o *logLink) BoostFromScore(int) float64 { return portmath.Log(o.mean()) }

// newPoisson is e^s - y·s for the score s and label y; hessians are enlarged
// by e^poisson_max_delta_step.
func newPoisson(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	o, err := newLogLink(r)
	if err != nil {
		return nil, err
	}
	safeguard := portmath.Exp(cfg.PoissonMaxDeltaStep)
	o.point = func(score, label float64) (g, h float64) {
		e := portmath.Exp(score)
		return e - label, float64(e * safeguard)
	}
	return o, nil
}

// newGamma is s + y·e^-s.
func newGamma(_ *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	o, err := newLogLink(r)
	if err != nil {
		return nil, err
	}
	o.point = func(score, label float64) (g, h float64) {
		h = float64(label * portmath.Exp(-score))
		return 1 - h, h
	}
	return o, nil
}

// newTweedie is -y·e^((1-p)s)/(1-p) + e^((2-p)s)/(2-p) for the power
// p = tweedie_variance_power.
func newTweedie(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	p := cfg.TweedieVariancePower
	if !(p >= 1 && p < 2) {
		return nil, fmt.Errorf("%w tweedie: tweedie_variance_power is %v; give a number from 1 to below 2", ErrObjective, p)
	}
	o, err := newLogLink(r)
	if err != nil {
		return nil, err
	}
	a, b := 1-p, 2-p
	o.point = func(score, label float64) (g, h float64) {
		x := float64(label * portmath.Exp(float64(a*score)))
		z := portmath.Exp(float64(b * score))
		return z - x, float64(b*z) - float64(a*x)
	}
	return o, nil
}

// Gradients implements Objective.
func (o *logLink) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	o.fill(pool, scores, grad, hess, o.point)
}
