// Package score computes held-out metrics of predictions, whoever made them, so
// that two programs are compared by one measure. The metrics are the textbook
// ones; where LightGBM's differ in detail, a comment says so.
package score

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Held is what the predictions of a held-out table are compared with.
type Held struct {
	Label   []float64
	Weight  []float64 // nil: all 1
	Queries []int     // rows of each query, for ranking
}

// Metric is a measure of predictions.
type Metric struct {
	Name           string
	HigherIsBetter bool
	// Compute takes one prediction per row, or for classes one for each class,
	// row after row.
	Compute func(h Held, predicted []float64) (float64, error)
}

// The metrics.
var (
	RMSE = Metric{Name: "rmse", Compute: rmse}
	MAE  = Metric{Name: "mae", Compute: mean(func(y, p float64) float64 { return math.Abs(y - p) })}
	// MAPE is relative to the label, or to 1 where that is larger, as in LightGBM.
	MAPE = Metric{Name: "mape", Compute: mean(func(y, p float64) float64 { return math.Abs(y-p) / max(1, math.Abs(y)) })}
	// LogLoss takes probabilities of class 1.
	LogLoss = Metric{Name: "logloss", Compute: mean(logLoss)}
	Error   = Metric{Name: "error", Compute: mean(wrong)}
	AUC     = Metric{Name: "auc", HigherIsBetter: true, Compute: auc}
	// PoissonDeviance takes expected counts. It is twice the log-likelihood
	// lost against a perfect prediction, so unlike LightGBM's poisson metric it
	// is not negative and a relative difference of it has a meaning.
	PoissonDeviance = Metric{Name: "poisson deviance", Compute: mean(poissonDeviance)}
	// MultiLogLoss takes the probabilities of all classes.
	MultiLogLoss = Metric{Name: "multi_logloss", Compute: multiLogLoss}
	// NDCG10 is the mean over the queries of the normalised discounted gain of
	// the first ten rows, gains 2^label - 1; a query without any relevant row
	// counts 1, as in LightGBM.
	NDCG10 = Metric{Name: "ndcg@10", HigherIsBetter: true, Compute: func(h Held, p []float64) (float64, error) { return ndcg(h, p, 10) }}
)

// Quantile is the loss that the alpha-quantile makes small.
func Quantile(alpha float64) Metric {
	return Metric{Name: fmt.Sprintf("quantile %g", alpha), Compute: mean(func(y, p float64) float64 {
		return max(alpha*(y-p), (alpha-1)*(y-p))
	})}
}

// ErrShape says that labels, weights, queries and predictions do not fit.
var ErrShape = errors.New("labels and predictions differ in number")

func (h Held) weight(i int) float64 {
	if h.Weight == nil {
		return 1
	}
	return h.Weight[i]
}

func (h Held) check(predictions int) error {
	rows := len(h.Label)
	if rows == 0 || predictions != rows || (h.Weight != nil && len(h.Weight) != rows) {
		return fmt.Errorf("%w: %d labels, %d weights, %d predictions", ErrShape, rows, len(h.Weight), predictions)
	}
	return nil
}

// mean is the weighted mean of a loss over the rows.
func mean(loss func(label, predicted float64) float64) func(Held, []float64) (float64, error) {
	return func(h Held, predicted []float64) (float64, error) {
		if err := h.check(len(predicted)); err != nil {
			return 0, err
		}
		var sum, weights float64
		for i, y := range h.Label {
			sum += h.weight(i) * loss(y, predicted[i])
			weights += h.weight(i)
		}
		return sum / weights, nil
	}
}

func rmse(h Held, predicted []float64) (float64, error) {
	mse, err := mean(func(y, p float64) float64 { return (y - p) * (y - p) })(h, predicted)
	return math.Sqrt(mse), err
}

// Probabilities nearer to 0 and 1 than this count as this, as in LightGBM.
const leastProbability = 1e-15

func logLoss(y, p float64) float64 {
	if y == 0 {
		p = 1 - p
	}
	return -math.Log(max(p, leastProbability))
}

func wrong(y, p float64) float64 {
	if (p > 0.5) == (y > 0) {
		return 0
	}
	return 1
}

func poissonDeviance(y, p float64) float64 {
	d := p - y
	if y > 0 {
		d += y * math.Log(y/p)
	}
	return 2 * d
}

// auc is the probability that a row of class 1 is ranked before one of class 0,
// ties counting half.
func auc(h Held, predicted []float64) (float64, error) {
	if err := h.check(len(predicted)); err != nil {
		return 0, err
	}
	order := make([]int, len(predicted))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(predicted[a], predicted[b]) })

	var below, positives, area float64 // below: negatives ranked lower
	for lo := 0; lo < len(order); {
		var pos, neg float64
		hi := lo
		for ; hi < len(order) && predicted[order[hi]] == predicted[order[lo]]; hi++ {
			if w := h.weight(order[hi]); h.Label[order[hi]] > 0 {
				pos += w
			} else {
				neg += w
			}
		}
		area += pos * (below + neg/2)
		below += neg
		positives += pos
		lo = max(hi, lo+1) // a NaN equals nothing
	}
	if below == 0 || positives == 0 {
		return 0, errors.New("auc needs rows of both classes")
	}
	return area / (below * positives), nil
}

func multiLogLoss(h Held, predicted []float64) (float64, error) {
	rows := len(h.Label)
	if rows == 0 || len(predicted)%rows != 0 {
		return 0, fmt.Errorf("%w: %d labels, %d predictions", ErrShape, rows, len(predicted))
	}
	classes := len(predicted) / rows
	var sum, weights float64
	for i, y := range h.Label {
		if y != math.Trunc(y) || y < 0 || int(y) >= classes {
			return 0, fmt.Errorf("label %v is none of %d classes", y, classes)
		}
		sum -= h.weight(i) * math.Log(max(predicted[i*classes+int(y)], leastProbability))
		weights += h.weight(i)
	}
	return sum / weights, nil
}

func ndcg(h Held, predicted []float64, first int) (float64, error) {
	if err := h.check(len(predicted)); err != nil {
		return 0, err
	}
	at, total := 0, 0.0
	for _, rows := range h.Queries {
		if rows <= 0 || at+rows > len(predicted) {
			return 0, fmt.Errorf("%w: the queries do not cover the rows", ErrShape)
		}
		total += queryNDCG(h.Label[at:at+rows], predicted[at:at+rows], first)
		at += rows
	}
	if at != len(predicted) {
		return 0, fmt.Errorf("%w: the queries cover %d of %d rows", ErrShape, at, len(predicted))
	}
	return total / float64(len(h.Queries)), nil
}

func queryNDCG(label, predicted []float64, first int) float64 {
	best := slices.Clone(label)
	slices.SortFunc(best, func(a, b float64) int { return cmp.Compare(b, a) })
	most := discounted(best, first)
	if most == 0 {
		return 1
	}
	order := make([]int, len(label))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(predicted[b], predicted[a]) })
	ranked := make([]float64, len(label))
	for i, o := range order {
		ranked[i] = label[o]
	}
	return discounted(ranked, first) / most
}

func discounted(label []float64, first int) float64 {
	sum := 0.0
	for i, y := range label[:min(first, len(label))] {
		sum += (math.Exp2(y) - 1) / math.Log2(float64(i)+2)
	}
	return sum
}

// Worse is by how much ours is worse than theirs, relative to theirs: the
// difference of the metric's own values (of an AUC too, not of 1-AUC), negative
// where ours is better.
func (m Metric) Worse(ours, theirs float64) float64 {
	d := ours - theirs
	if m.HigherIsBetter {
		d = -d
	}
	if d == 0 {
		return 0
	}
	return d / math.Abs(theirs)
}
