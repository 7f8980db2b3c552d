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
	"cloister/engine/random"
)

// queryChunk is the number of queries of one task.
const queryChunk = 16

// ranking is what objectives over queries share.
type ranking struct {
	rows
	rankOutput
	start []int32
}

func newRanking(r rows, md *dataset.Metadata) (ranking, error) {
	o := ranking{rows: r, rankOutput: newRankOutput(r.objective), start: md.QueryStart}
	if err := dcg.CheckQueries(md.QueryStart, len(r.label)); err != nil {
		return o, &DataError{r.objective, err.Error()}
	}
	return o, nil
}

// BoostFromScore is 0: a constant does not change a ranking.
func (o *ranking) BoostFromScore(int) float64 { return 0 }

// queries calls one for each query with room for its derivatives, and writes
// these times the rows' weights.
func (o *ranking) queries(pool *parallel.Pool, grad, hess []float32, one func(q, lo, hi int, s *queryScratch)) {
	pool.Chunks(len(o.start)-1, queryChunk, func(_, first, last int) {
		var s queryScratch
		for q := first; q < last; q++ {
			lo, hi := int(o.start[q]), int(o.start[q+1])
			s.reset(hi - lo)
			if hi-lo > 1 {
				one(q, lo, hi, &s)
			}
			for i := range s.grad {
				g, h := float32(s.grad[i]), float32(s.hess[i])
				if o.weight != nil {
					g, h = g*o.weight[lo+i], h*o.weight[lo+i]
				}
				grad[lo+i], hess[lo+i] = g, h
			}
		}
	})
}

// queryScratch is room for one query's rows.
type queryScratch struct {
	grad, hess, share, term []float64
	order                   []int32
	ranked                  []rankedRow
}

func (s *queryScratch) reset(n int) {
	if cap(s.grad) < n {
		s.grad, s.hess = make([]float64, n), make([]float64, n)
		s.share, s.term = make([]float64, n), make([]float64, n)
		s.order, s.ranked = make([]int32, n), make([]rankedRow, n)
	}
	s.grad, s.hess, s.order = s.grad[:n], s.hess[:n], s.order[:n]
	s.share, s.term, s.ranked = s.share[:n], s.term[:n], s.ranked[:n]
	clear(s.grad)
	clear(s.hess)
}

// lambdarank weights pairs by the NDCG that swapping them changes (C. J. C.
// Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82).
type lambdarank struct {
	ranking
	position   *positionBias // nil where nothing is known of positions
	gains      *dcg.Gains
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
		ranking: base, gains: dcg.New(cfg.LabelGain), sigmoid: cfg.Sigmoid,
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
	o.queries(pool, grad, hess, func(q, lo, hi int, s *queryScratch) {
		o.query(o.inverseMax[q], o.label[lo:hi], o.position.adjust(scores, lo, hi, s.term), s)
	})
}

// query sums the lambdas of all pairs of which one is above the truncation
// level.
func (o *lambdarank) query(inverseMax float64, label []float32, scores []float64, s *queryScratch) {
	dcg.Order(s.order, scores)
	ranked := s.ranked
	for i, r := range s.order {
		ranked[i] = rankedRow{score: scores[r], label: float64(label[r]), gain: o.gains.Label(label[r]), discount: o.gains.Discount(i)}
	}
	// With norm, a pair counts less the farther apart its scores are.
	norm := o.norm && ranked[0].score != ranked[len(ranked)-1].score
	total := 0.
	for i := range min(len(ranked)-1, o.truncation) {
		total += o.pairs(inverseMax, norm, ranked[i:])
	}
	factor := 1.
	if o.norm && total > 0 {
		factor = portmath.Log2(1+total) / total
	}
	for i, r := range s.order {
		s.grad[r] = float64(ranked[i].grad * factor)
		s.hess[r] = float64(ranked[i].hess * factor)
	}
}

// rankedRow is a row of a query, in the order of scores.
type rankedRow struct{ score, label, gain, discount, grad, hess float64 }

// pairs adds the lambdas of the pairs of rows[0] with each row below it, and
// returns the sum of their sizes.
func (o *lambdarank) pairs(inverseMax float64, norm bool, rows []rankedRow) float64 {
	first := rows[0]
	below := rows[1:]
	total := 0.
	for j := range below {
		r := &below[j]
		order := first.label - r.label
		if order == 0 {
			continue
		}
		distance := first.score - r.score
		// The chance that the pair is in the wrong order.
		p := 1 / (1 + portmath.Exp(math.Copysign(float64(o.sigmoid*distance), order)))
		change := float64((first.gain - r.gain) * (first.discount - r.discount) * inverseMax)
		if norm {
			change /= normDistance + distance
		}
		// Positive where the upper row should be up.
		lambda := float64(o.sigmoid * change * p)
		size := float64(math.Copysign(1, order) * lambda)
		curvature := float64(float64(o.sigmoid*size) * (1 - p))
		first.grad -= lambda
		r.grad += lambda
		first.hess += curvature
		r.hess += curvature
		total += float64(2 * size)
	}
	rows[0] = first
	return total
}

// normDistance keeps the weight of pairs with equal scores finite.
const normDistance = float64(float32(0.01))

// xendcg is a cross entropy whose target is drawn anew for each row and
// iteration (S. Bruch, "An alternative cross entropy loss for learning-to-rank",
// WWW 2021).
type xendcg struct {
	ranking
	seed uint64
}

// maxXENDCGLabel keeps 2^label and its sums finite.
const maxXENDCGLabel = 1000

func newXENDCG(cfg *lightgbm.Config, r rows, md *dataset.Metadata) (Objective, error) {
	base, err := newRanking(r, md)
	if err != nil {
		return nil, err
	}
	if err := r.checkLabels(func(y float64) string {
		if y < 0 || y != math.Trunc(y) || y > maxXENDCGLabel {
			return fmt.Sprintf("is not a whole number from 0 to %d", maxXENDCGLabel)
		}
		return ""
	}); err != nil {
		return nil, err
	}
	return &xendcg{base, uint64(cfg.ObjectiveSeed)}, nil
}

// Gradients implements Objective.
func (o *xendcg) Gradients(pool *parallel.Pool, iteration int, scores []float64, grad, hess []float32) {
	draw := random.Hash1(o.seed, uint64(iteration))
	o.queries(pool, grad, hess, func(_, lo, hi int, s *queryScratch) {
		for i := range s.term {
			s.term[i] = random.Float64(random.Extend(draw, uint64(lo+i)))
		}
		xendcgQuery(o.label[lo:hi], scores[lo:hi], s)
	})
}

// xendcgQuery approximates the gradient to the third order as the paper does.
// s.term has a random number from 0 to 1 for each row.
func xendcgQuery(label []float32, scores []float64, s *queryScratch) {
	share, term := s.share, s.term
	softmax(scores, share)
	total := 0.
	for i := range term {
		term[i] = math.Ldexp(1, int(label[i])) - term[i]
		total += term[i]
	}
	inverse := 1 / max(epsilon, total)
	first := 0.
	for i := range term {
		t := share[i] - float64(term[i]*inverse)
		s.grad[i] = t
		term[i] = t / rest(share[i])
		first += term[i]
	}
	second := 0.
	for i := range term {
		t := float64(share[i] * (first - term[i]))
		s.grad[i] += t
		term[i] = t / rest(share[i])
		second += term[i]
	}
	for i := range term {
		s.grad[i] += float64(share[i] * (second - term[i]))
		s.hess[i] = float64(share[i] * (1 - share[i]))
	}
}

// rest is 1-p, kept above zero for a row that has all of the probability.
func rest(p float64) float64 { return max(1-p, epsilon) }
