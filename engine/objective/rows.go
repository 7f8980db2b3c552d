package objective

import (
	"fmt"
	"math"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

// chunk is the number of rows of one task: enough to pay for the task, few
// enough to share.
const chunk = 1 << 13

// epsilon is LightGBM's kEpsilon, the float32 nearest 1e-15.
const epsilon = float64(float32(1e-15))

// rows has what objectives of one model share: labels and weights.
type rows struct {
	objective string
	label     []float32
	weight    []float32
}

// newRows checks what every objective asks of labels and weights.
func newRows(name string, md *dataset.Metadata) (rows, error) {
	r := rows{objective: name, label: md.Label, weight: md.Weight}
	if len(r.label) == 0 {
		return r, &DataError{name, "there are no rows"}
	}
	if r.weight != nil && len(r.weight) != len(r.label) {
		return r, &DataError{name, fmt.Sprintf("%d weights for %d rows", len(r.weight), len(r.label))}
	}
	if err := r.checkLabels(func(y float64) string {
		if math.IsNaN(y) || math.IsInf(y, 0) {
			return "is not a number; remove the row or mend the label"
		}
		return ""
	}); err != nil {
		return r, err
	}
	sum := 0.
	for i, w := range r.weight {
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return r, &LabelError{name, "weight", i + 1, float64(w), "is not a number of at least 0"}
		}
		sum += float64(w)
	}
	if r.weight != nil && sum == 0 {
		return r, &DataError{name, "the sum of the weights is zero"}
	}
	return r, nil
}

// checkLabels returns an error for the first label for which check gives a
// reason.
func (r *rows) checkLabels(check func(y float64) string) error {
	for i, y := range r.label {
		if reason := check(float64(y)); reason != "" {
			return &LabelError{r.objective, "label", i + 1, float64(y), reason}
		}
	}
	return nil
}

// ConstantHessian implements Objective.
func (r *rows) ConstantHessian() bool { return false }

// ClassNeedsTraining implements Objective.
func (r *rows) ClassNeedsTraining(int) bool { return true }

// mean is the weighted mean of the labels.
func (r *rows) mean() float64 {
	sum := 0.
	if r.weight == nil {
		for _, y := range r.label {
			sum += float64(y)
		}
		return sum / float64(len(r.label))
	}
	total := 0.
	for i, y := range r.label {
		w := float64(r.weight[i])
		sum += float64(float64(y) * w)
		total += w
	}
	return sum / total
}

// each calls run for fixed parts of the rows.
func (r *rows) each(pool *parallel.Pool, run func(lo, hi int)) {
	pool.Chunks(len(r.label), chunk, func(_, lo, hi int) { run(lo, hi) })
}

// fill writes derivatives that point computes from a row's score and label,
// times the row's weight.
func (r *rows) fill(pool *parallel.Pool, scores []float64, grad, hess []float32, point func(score, label float64) (g, h float64)) {
	r.each(pool, func(lo, hi int) {
		s, y, g := scores[lo:hi], r.label[lo:hi], grad[lo:hi]
		if hess == nil {
			for i := range s {
				d, _ := point(s[i], float64(y[i]))
				g[i] = float32(d)
			}
			return
		}
		h := hess[lo:hi]
		if r.weight == nil {
			for i := range s {
				d, dd := point(s[i], float64(y[i]))
				g[i], h[i] = float32(d), float32(dd)
			}
			return
		}
		w := r.weight[lo:hi]
		for i := range s {
			d, dd := point(s[i], float64(y[i]))
			g[i], h[i] = float32(d*float64(w[i])), float32(dd*float64(w[i]))
		}
	})
}
