package objective

import (
	"fmt"
	"math"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/portmath"
)

// logistic is the log loss of one label against all others.
type logistic struct {
	label  []float32
	weight []float32
	// positive is the label of the positive class.
	positive float32
	sigmoid  float64
	// factor has the weights of the negative and the positive class.
	factor [2]float64
	// mean is the weighted share of positive rows.
	mean float64
	// trainable is false where all rows are of one class.
	trainable bool
}

func newLogistic(cfg *lightgbm.Config, r rows, positive float32) (*logistic, error) {
	if !(cfg.Sigmoid > 0) || math.IsInf(cfg.Sigmoid, 0) {
		return nil, fmt.Errorf("%w %s: sigmoid is %v; give a number above 0", ErrObjective, r.objective, cfg.Sigmoid)
	}
	if cfg.IsUnbalance && math.Abs(cfg.ScalePosWeight-1) > 1e-6 {
		return nil, fmt.Errorf("%w %s: is_unbalance and scale_pos_weight exclude each other; set one", ErrObjective, r.objective)
	}
	l := &logistic{label: r.label, weight: r.weight, positive: positive, sigmoid: cfg.Sigmoid, factor: [2]float64{1, 1}}
	count := 0
	sum, total := 0., 0.
	for i, y := range r.label {
		w := 1.
		if r.weight != nil {
			w = float64(r.weight[i])
		}
		total += w
		if y == positive {
			count++
			sum += w
		}
	}
	others := len(r.label) - count
	l.trainable = count > 0 && others > 0
	l.mean = sum / total
	if cfg.IsUnbalance && l.trainable {
		if count > others {
			l.factor[0] = float64(count) / float64(others)
		} else {
			l.factor[1] = float64(others) / float64(count)
		}
	}
	l.factor[1] *= cfg.ScalePosWeight
	return l, nil
}

// start is the raw score whose sigmoid is the share of positive rows.
func (l *logistic) start() float64 {
	p := max(min(l.mean, 1-epsilon), epsilon)
	return portmath.Log(p/(1-p)) / l.sigmoid
}

// gradients writes the derivatives for the rows lo … hi-1 of one model.
func (l *logistic) gradients(lo, hi int, scores []float64, grad, hess []float32) {
	s, y := scores[lo:hi], l.label[lo:hi]
	g, h := grad[lo:hi], hess[lo:hi]
	if !l.trainable {
		clear(g)
		clear(h)
		return
	}
	// The class picks numbers from tables: a branch on it would be guessed
	// wrong for half of the rows.
	slope := [2]float64{-l.sigmoid, l.sigmoid}
	positive, sigmoid, factor := l.positive, l.sigmoid, l.factor
	if l.weight == nil {
		for i := range s {
			class := 0
			if y[i] == positive {
				class = 1
			}
			k, f := slope[class], factor[class]
			r := -k / (1 + portmath.Exp(float64(k*s[i])))
			a := math.Abs(r)
			g[i] = float32(r * f)
			h[i] = float32(float64(a*(sigmoid-a)) * f)
		}
		return
	}
	w := l.weight[lo:hi]
	for i := range s {
		class := 0
		if y[i] == positive {
			class = 1
		}
		k, f := slope[class], float64(factor[class]*float64(w[i]))
		r := -k / (1 + portmath.Exp(float64(k*s[i])))
		a := math.Abs(r)
		g[i] = float32(r * f)
		h[i] = float32(float64(a*(sigmoid-a)) * f)
	}
}

// binaryLoss is log loss of the labels 0 and 1.
type binaryLoss struct {
	rows
	sigmoidOutput
	*logistic
}

func newBinary(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	if err := r.checkLabels(func(y float64) string {
		if y != 0 && y != 1 {
			return "is not 0 or 1; use objective=multiclass for more classes, cross_entropy for shares"
		}
		return ""
	}); err != nil {
		return nil, err
	}
	l, err := newLogistic(cfg, r, 1)
	if err != nil {
		return nil, err
	}
	return &binaryLoss{r, newSigmoidOutput(r.objective, cfg.Sigmoid), l}, nil
}

// BoostFromScore implements Objective.
func (o *binaryLoss) BoostFromScore(int) float64 { return o.start() }

// ClassNeedsTraining implements Objective.
func (o *binaryLoss) ClassNeedsTraining(int) bool { return o.trainable }

// Gradients implements Objective.
func (o *binaryLoss) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	o.each(pool, func(lo, hi int) { o.gradients(lo, hi, scores, grad, hess) })
}
