package objective

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/portmath"
)

// leastClasses may be set however few rows there are.
const leastClasses = 1000

// checkClasses returns an error for the first label that is no class.
func (r *rows) checkClasses(classes int) error {
	if classes < 2 {
		return fmt.Errorf("%w %s: num_class is %d; give the number of classes, at least 2", ErrObjective, r.objective, classes)
	}
	if err := r.checkLabels(func(y float64) string {
		if y != math.Trunc(y) || y < 0 || y >= float64(classes) {
			return fmt.Sprintf("is not a whole number from 0 to num_class-1 = %d", classes-1)
		}
		return ""
	}); err != nil {
		return err
	}
	// Every class costs a tree in each iteration and three numbers for each row.
	if classes > max(len(r.label), leastClasses) {
		return &DataError{r.objective, fmt.Sprintf("num_class is %d, but there are only %d rows and the greatest label is %v; set it to the number of classes",
			classes, len(r.label), slices.Max(r.label))}
	}
	return nil
}

// multiclass is the cross entropy of softmax. Hessians are enlarged by
// K/(K-1) for K classes (J. H. Friedman, "Greedy function approximation: a
// gradient boosting machine", Annals of Statistics 29, 2001, section 4.6).
type multiclass struct {
	rows
	softmaxOutput
	// share is the weighted share of each class.
	share []float64
	// scratch holds *[]float64 of classBlock·(classes+1) numbers.
	scratch sync.Pool
}

// classBlock is the number of rows whose probabilities are in the cache at
// once.
const classBlock = 128

func newMulticlass(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	classes := cfg.NumClass
	if err := r.checkClasses(classes); err != nil {
		return nil, err
	}
	o := &multiclass{rows: r, softmaxOutput: softmaxOutput{several{r.objective, classes}}, share: make([]float64, classes)}
	total := 0.
	for i, y := range r.label {
		w := 1.
		if r.weight != nil {
			w = float64(r.weight[i])
		}
		o.share[int(y)] += w
		total += w
	}
	for k := range o.share {
		o.share[k] /= total
	}
	o.scratch.New = func() any {
		s := make([]float64, classBlock*(classes+1))
		return &s
	}
	return o, nil
}

// BoostFromScore is the logarithm of the class's share.
func (o *multiclass) BoostFromScore(model int) float64 {
	return portmath.Log(max(epsilon, o.share[model]))
}

// ClassNeedsTraining implements Objective.
func (o *multiclass) ClassNeedsTraining(model int) bool {
	return o.share[model] > epsilon && o.share[model] < 1-epsilon
}

// Gradients implements Objective.
func (o *multiclass) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	o.each(pool, func(lo, hi int) {
		scratch := o.scratch.Get().(*[]float64)
		defer o.scratch.Put(scratch)
		for ; lo < hi; lo += classBlock {
			o.block(lo, min(lo+classBlock, hi), *scratch, scores, grad, hess)
		}
	})
}

// block writes the derivatives of the rows lo … hi-1, class after class.
func (o *multiclass) block(lo, hi int, scratch, scores []float64, grad, hess []float32) {
	n, all := hi-lo, len(o.label)
	top, sums := scratch[:n], scratch[:n]
	copy(top, scores[lo:hi])
	for k := 1; k < o.classes; k++ {
		for i, s := range scores[k*all+lo : k*all+hi] {
			top[i] = max(top[i], s)
		}
	}
	for k := range o.classes {
		p := scratch[(k+1)*classBlock:][:n]
		for i, s := range scores[k*all+lo : k*all+hi] {
			p[i] = portmath.Exp(s - top[i])
		}
	}
	clear(sums)
	for k := range o.classes {
		for i, p := range scratch[(k+1)*classBlock:][:n] {
			sums[i] += p
		}
	}
	factor := float64(o.classes) / float64(o.classes-1)
	for k := range o.classes {
		label, probability := float32(k), scratch[(k+1)*classBlock:][:n]
		g, h := grad[k*all+lo:k*all+hi], hess[k*all+lo:k*all+hi]
		for i := range probability {
			p := probability[i] / sums[i]
			d := p
			if o.label[lo+i] == label {
				d = p - 1
			}
			dd := float64(float64(factor*p) * (1 - p))
			if o.weight != nil {
				w := float64(o.weight[lo+i])
				d, dd = float64(d*w), float64(dd*w)
			}
			g[i], h[i] = float32(d), float32(dd)
		}
	}
}

// oneVersusAll is the log loss of each class against all others.
type oneVersusAll struct {
	rows
	sigmoidsOutput
	model []*logistic
}

func newMulticlassOVA(cfg *lightgbm.Config, r rows, _ *dataset.Metadata) (Objective, error) {
	if err := r.checkClasses(cfg.NumClass); err != nil {
		return nil, err
	}
	o := &oneVersusAll{rows: r, sigmoidsOutput: sigmoidsOutput{several{r.objective, cfg.NumClass}, cfg.Sigmoid}}
	for k := range cfg.NumClass {
		l, err := newLogistic(cfg, r, float32(k))
		if err != nil {
			return nil, err
		}
		o.model = append(o.model, l)
	}
	return o, nil
}

// BoostFromScore implements Objective.
func (o *oneVersusAll) BoostFromScore(model int) float64 { return o.model[model].start() }

// ClassNeedsTraining implements Objective.
func (o *oneVersusAll) ClassNeedsTraining(model int) bool { return o.model[model].trainable }

// Gradients implements Objective.
func (o *oneVersusAll) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	n := len(o.label)
	o.each(pool, func(lo, hi int) {
		for k, l := range o.model {
			a, b := k*n, (k+1)*n
			l.gradients(lo, hi, scores[a:b], grad[a:b], hess[a:b])
		}
	})
}
