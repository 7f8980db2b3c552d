package objective

import (
	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/portmath"
)

func (r *rows) checkShares() error {
	return r.checkLabels(func(y float64) string {
		if y < 0 || y > 1 {
			return "is not between 0 and 1"
		}
		return ""
	})
}

// crossEntropy is -y·ln p - (1-y)·ln(1-p) for labels from 0 to 1 and p the
// logistic function of the score.
type crossEntropy struct {
	rows
	logisticOutput
}

func newCrossEntropy(_ *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	if err := r.checkShares(); err != nil {
		return nil, err
	}
	return &crossEntropy{r, newLogisticOutput(r.objective)}, nil
}

// BoostFromScore implements Objective.
func (o *crossEntropy) BoostFromScore(int) float64 {
	p := max(min(o.mean(), 1-epsilon), epsilon)
	return portmath.Log(p / (1 - p))
}

// Gradients implements Objective.
func (o *crossEntropy) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	o.fill(pool, scores, grad, hess, crossEntropyPoint)
}

func crossEntropyPoint(score, label float64) (g, h float64) {
	if score <= -37 {
		// 1 + e^score is 1 in double precision.
		e := portmath.Exp(score)
		return e - label, e
	}
	e := portmath.Exp(-score)
	d := 1 + e
	return (1 - label - float64(label*e)) / d, e / float64(d*d)
}

// crossEntropyLambda is the cross entropy of 1 - (1-p)^w for the row's weight
// w: the label is what w trials at p would have given.
type crossEntropyLambda struct {
	rows
	lambdaOutput
}

func newCrossEntropyLambda(_ *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	if err := r.checkShares(); err != nil {
		return nil, err
	}
	for i, w := range r.weight {
		if w == 0 {
			return nil, &LabelError{r.objective, "weight", i + 1, 0, "is not above 0"}
		}
	}
	return &crossEntropyLambda{r, newLambdaOutput(r.objective)}, nil
}

// BoostFromScore implements Objective.
func (o *crossEntropyLambda) BoostFromScore(int) float64 {
	return portmath.Log(portmath.Expm1(max(o.mean(), epsilon)))
}

// Gradients implements Objective.
func (o *crossEntropyLambda) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	if o.weight == nil {
		o.fill(pool, scores, grad, hess, crossEntropyPoint)
		return
	}
	o.each(pool, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			g, h := lambdaPoint(scores[i], float64(o.label[i]), float64(o.weight[i]))
			grad[i], hess[i] = float32(g), float32(h)
		}
	})
}

// lambdaPoint has LightGBM's formulas in a form that stays finite for scores
// of any size.
func lambdaPoint(score, y, w float64) (g, h float64) {
	score = max(min(score, 500), -300)
	e := portmath.Exp(score)
	rate := softplus(score)
	total := float64(w * rate)
	// z = 1 - e^-total is the expected label, c = 1/(1-z).
	z := -portmath.Expm1(-total)
	logistic := 1 / (1 + portmath.Exp(-score))
	g = float64((1 - y/z) * float64(w*logistic))
	d := 1 + e
	a := float64(w*logistic) / d
	var b float64
	switch {
	case total > 40:
		b = float64((1+float64(w*e))*portmath.Exp(-total)) - 1
	case total < 1e-5 && e < 1e-5:
		// The limit: both terms of the difference below vanish.
		b = (1 - w) / (2 * w)
	default:
		c := portmath.Exp(total)
		m := portmath.Expm1(total)
		b = float64(c / float64(m*m) * (float64(w*e) - m))
	}
	return g, float64(a * (1 + float64(y*b)))
}
