package objective

import (
	"errors"
	"fmt"
	"math"

	"cloister/engine/dataset"
	"cloister/engine/internal/dcg"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/portmath"
)

// lambdarank weights pairs by the NDCG that swapping them changes (C. J. C.
// Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82).
type lambdarank struct {
	ranking
	position   *positionBias // nil where nothing is known of positions
	gains      *dcg.Gains
	orders     *dcg.Orders
	inverseMax []float64
	sigmoid    float64
	truncation int
	norm       bool
}

func newLambdarank(cfg *lightgbm.Config, r rows, md *dataset.Metadata) (Objective, error) {
	base, err := newRanking(r, md)
	if err != nil {
		return nil, err
	}
	if !(cfg.Sigmoid > 0) || math.IsInf(cfg.Sigmoid, 0) {
		return nil, fmt.Errorf("%w lambdarank: sigmoid is %v; give a number above 0", ErrObjective, cfg.Sigmoid)
	}
	if cfg.LambdarankTruncationLevel < 1 {
		return nil, fmt.Errorf("%w lambdarank: lambdarank_truncation_level is %d; give a number above 0",
			ErrObjective, cfg.LambdarankTruncationLevel)
	}
	o := &lambdarank{
		ranking: base, gains: dcg.New(cfg.LabelGain), orders: dcg.NewOrders(md.QueryStart), sigmoid: cfg.Sigmoid,
		truncation: cfg.LambdarankTruncationLevel, norm: cfg.LambdarankNorm,
	}
	if o.position, err = newPositionBias(cfg, r, md); err != nil {
		return nil, err
	}
	if err := o.gains.Check(r.label); err != nil {
		var label *dcg.LabelError
		if !errors.As(err, &label) {
			return nil, err
		}
		return nil, &LabelError{r.objective, "label", label.Row + 1, float64(r.label[label.Row]), label.Reason}
	}
	o.inverseMax = make([]float64, len(o.start)-1)
	for q := range o.inverseMax {
		if m := o.gains.Max(o.truncation, r.label[o.start[q]:o.start[q+1]]); m > 0 {
			o.inverseMax[q] = 1 / m
		}
	}
	return o, nil
}

// Gradients implements Objective.
func (o *lambdarank) Gradients(pool *parallel.Pool, _ int, scores []float64, grad, hess []float32) {
	orders, giveBack := o.orders.Borrow(o.start)
	defer giveBack()
	o.queries(pool, grad, hess, func(q, lo, hi int, s *queryScratch) {
		if o.inverseMax[q] == 0 {
			return // no order is better than another
		}
		o.query(o.inverseMax[q], o.label[lo:hi], o.position.adjust(scores, lo, hi, s.term), orders[lo:hi], s)
	})
}

// rankedRow is a row of a query, in the order of scores.
type rankedRow struct {
	odds     float64 // e^(sigmoid·score), over that of the first row
	score    float64 // that pairs are apart by; 0 if it does not count
	gain     float64
	discount float64
	label    int64
	grad     float64
	hess     float64
	_        float64 // a size that rows are found quickly by
}

// query sums the lambdas of all pairs of which one is above the truncation
// level.
func (o *lambdarank) query(inverseMax float64, label []float32, scores []float64, order []int32, s *queryScratch) {
	s.sorter.Sort(order, scores)
	rows := s.ranked
	top, bottom := scores[order[0]], scores[order[len(order)-1]]
	// With norm, a pair counts less the farther apart its scores are.
	apart, near := 0., 1.
	if o.norm && top != bottom {
		apart, near = 1, normDistance
	}
	// The rows' odds give those of all pairs while they are in range.
	wide := !(float64(o.sigmoid*(top-bottom)) < maxOddsExponent)
	for i, r := range order {
		d := scores[r] - top
		rows[i] = rankedRow{
			odds: o.odds(d), score: float64(apart * max(-maxApart, d)),
			gain: o.gains.Label(label[r]), discount: o.gains.Discount(i), label: int64(label[r]),
		}
	}
	total := 0.
	for i := range min(len(rows)-1, o.truncation) {
		if wide {
			for j := i; j < len(rows); j++ {
				rows[j].odds = o.odds(scores[order[j]] - scores[order[i]])
			}
		}
		total += pairs(rows[i:], near)
	}
	size := float64(o.sigmoid * inverseMax)
	total = float64(2 * size * total)
	if o.norm && total > 0 {
		size = size * portmath.Log2(1+total) / total
	}
	curvature := float64(o.sigmoid * size)
	for i, r := range order {
		s.grad[r] = float64(rows[i].grad * size)
		s.hess[r] = float64(rows[i].hess * curvature)
	}
}

// maxApart keeps the distances of scores finite.
const maxApart = 1e300

// maxOddsExponent keeps the products of two rows' odds, and their inverse, far
// from the ends of what a float64 can be.
const maxOddsExponent = 300

func (o *lambdarank) odds(below float64) float64 {
	return portmath.Exp(max(-maxOddsExponent, float64(o.sigmoid*below)))
}

// pairs adds the lambdas of the pairs of rows[0] with each row below it, and
// returns the sum of their sizes. All are to be multiplied by the sigmoid's
// factor and the inverse of the greatest DCG, and hess by the former once more.
//
// There are as many pairs of equal labels, which have no lambda, as are hard to
// foresee for a processor; to compute that 0 takes less time than a wrong guess.
func pairs(rows []rankedRow, near float64) (total float64) {
	const sign = 1 << 63
	first := &rows[0]
	odds, score, gain, discount, label := first.odds, first.score, first.gain, first.discount, first.label
	oddsBits := math.Float64bits(odds)
	var grad, hess float64
	below := rows[1:]
	for j := range below {
		r := &below[j]
		sum := odds + r.odds
		distance := near + (score - r.score)
		inverse := 1 / float64(sum*distance)
		// Positive where the upper row should be up.
		change := float64(float64((gain-r.gain)*(discount-r.discount)) * inverse)
		// All ones where the lower row should be up.
		wrong := (label - r.label) >> 63
		// The chance that the pair is in the wrong order, times sum: the odds of
		// the row that should be below.
		other := math.Float64bits(r.odds)
		chance := math.Float64frombits(other ^ (other^oddsBits)&uint64(wrong))
		lambda := float64(change * chance)
		flip := uint64(wrong) & sign
		total += math.Float64frombits(math.Float64bits(lambda) ^ flip)
		// The chance times its complement is the product of both odds over sum².
		curvature := float64(float64(change*odds) * float64(r.odds*float64(inverse*distance)))
		curvature = math.Float64frombits(math.Float64bits(curvature) ^ flip)
		grad -= lambda
		hess += curvature
		r.grad += lambda
		r.hess += curvature
	}
	first.grad += grad
	first.hess += hess
	return total
}

// normDistance keeps the weight of pairs with equal scores finite.
const normDistance = float64(float32(0.01))
