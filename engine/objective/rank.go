package objective

import (
	"fmt"
	"math"

	"cloister/engine/dataset"
	"cloister/engine/internal/dcg"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
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
		longest := int32(0)
		for q := first; q < last; q++ {
			longest = max(longest, o.start[q+1]-o.start[q])
		}
		s := newQueryScratch(int(longest))
		for q := first; q < last; q++ {
			lo, hi := int(o.start[q]), int(o.start[q+1])
			s.reset(hi - lo)
			if hi-lo > 1 {
				one(q, lo, hi, s)
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
	ranked                  []rankedRow
	sorter                  dcg.Sorter
}

func newQueryScratch(rows int) *queryScratch {
	numbers := make([]float64, 4*rows)
	next := func() (part []float64) {
		part, numbers = numbers[:rows:rows], numbers[rows:]
		return part
	}
	return &queryScratch{grad: next(), hess: next(), share: next(), term: next(), ranked: make([]rankedRow, rows)}
}

// reset makes room for a query of n rows, whose derivatives are 0.
func (s *queryScratch) reset(n int) {
	s.grad, s.hess = s.grad[:n], s.hess[:n]
	s.share, s.term, s.ranked = s.share[:n], s.term[:n], s.ranked[:n]
	clear(s.grad)
	clear(s.hess)
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
