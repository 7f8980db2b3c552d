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
}

func (s *queryScratch) reset(n int) {
	if cap(s.grad) < n {
		s.grad, s.hess = make([]float64, n), make([]float64, n)
		s.share, s.term = make([]float64, n), make([]float64, n)
		s.order = make([]int32, n)
	}
	s.grad, s.hess, s.order = s.grad[:n], s.hess[:n], s.order[:n]
	s.share, s.term = s.share[:n], s.term[:n]
	clear(s.grad)
	clear(s.hess)
}

// lambdarank weights pairs by the NDCG that swapping them changes (C. J. C.
// Burges, "From RankNet to LambdaRank to LambdaMART: an overview", MSR-TR-2010-82).
type lambdarank struct {
	ranking
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
		o.query(o.inverseMax[q], o.label[lo:hi], scores[lo:hi], s)
	})
}

// query sums the lambdas of all pairs of which one is above the truncation
// level.
func (o *lambdarank) query(inverseMax float64, label []float32, scores []float64, s *queryScratch) {
	order := s.order
	dcg.Order(order, scores)
	n := len(order)
	spread := scores[order[0]] != scores[order[n-1]]
	total := 0.
	for i := range min(n-1, o.truncation) {
		a := order[i]
		scoreA, discountA := scores[a], o.gains.Discount(i)
		for j := i + 1; j < n; j++ {
			b := order[j]
			if label[a] == label[b] {
				continue
			}
			high, low, distance := a, b, scoreA-scores[b]
			if label[a] < label[b] {
				high, low, distance = b, a, -distance
			}
			// Negative where label_gain does not ascend, as in LightGBM.
			gap := o.gains.Label(label[high]) - o.gains.Label(label[low])
			change := float64(gap * (discountA - o.gains.Discount(j)) * inverseMax)
			if o.norm && spread {
				change /= float64(float32(0.01)) + math.Abs(distance)
			}
			p := 1 / (1 + portmath.Exp(float64(distance*o.sigmoid)))
			lambda := float64(o.sigmoid * change * p)
			curvature := float64(float64(o.sigmoid*lambda) * (1 - p))
			s.grad[high] -= lambda
			s.grad[low] += lambda
			s.hess[high] += curvature
			s.hess[low] += curvature
			total += float64(2 * lambda)
		}
	}
	if o.norm && total > 0 {
		factor := portmath.Log2(1+total) / total
		for i := range s.grad {
			s.grad[i] = float64(s.grad[i] * factor)
			s.hess[i] = float64(s.hess[i] * factor)
		}
	}
}

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
