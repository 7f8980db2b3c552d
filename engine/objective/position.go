package objective

import (
	"fmt"
	"math"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
)

// Biased is an objective that learns, beside the trees, how much the place at
// which a row was shown made people choose it.
type Biased interface {
	// UpdateBias learns from the derivatives that Gradients gave, before they
	// are sampled. No other method may run meanwhile.
	UpdateBias(grad, hess []float32)
	// Bias returns what was learned of each position, and the positions' names
	// if they have any; nil where the data has no positions.
	Bias() (names []string, bias []float32)
}

// positionBias is an additive bias of each position, learned by Newton steps
// on the same utility as the trees, as in LightGBM; the trees are to explain
// what the positions do not.
type positionBias struct {
	position []int32 // of each row
	names    []string
	bias     []float32
	rate     float64
	decay    float64 // the penalty of squared biases, times the rows of the position
}

// newPositionBias returns nil where the data has no positions.
func newPositionBias(cfg *lightgbm.Config, r rows, md *dataset.Metadata) (*positionBias, error) {
	if md.Position == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	if len(md.Position) != len(r.label) {
		return nil, &DataError{r.objective, fmt.Sprintf("%d positions for %d rows", len(md.Position), len(r.label))}
	}
	count := len(md.PositionNames)
	for i, p := range md.Position {
		if p < 0 || md.PositionNames != nil && int(p) >= count || int(p) >= len(r.label) {
			return nil, &DataError{r.objective, fmt.Sprintf("row %d has position %d: number them from 0 and give each a name, or none", i+1, p)}
		}
		count = max(count, int(p)+1)
	}
	return &positionBias{
		position: md.Position, names: md.PositionNames, bias: make([]float32, count),
		rate: cfg.LearningRate, decay: cfg.LambdarankPositionBiasRegularization,
	}, nil
}

// adjust returns the scores of the rows lo to hi with the positions' biases,
// in room unless there are no positions.
func (b *positionBias) adjust(scores []float64, lo, hi int, room []float64) []float64 {
	if b == nil {
		return scores[lo:hi]
	}
	for i, s := range scores[lo:hi] {
		room[i] = s + float64(b.bias[b.position[lo+i]])
	}
	return room
}

// update makes one Newton step for each position. It sums over the rows in
// their order, so that the result does not depend on the number of threads;
// this takes a small part of the time that the derivatives take.
func (b *positionBias) update(grad, hess []float32) {
	type sums struct {
		first, second float64
		rows          int
	}
	of := make([]sums, len(b.bias))
	for i, p := range b.position {
		s := &of[p]
		s.first -= float64(grad[i])
		s.second -= float64(hess[i])
		s.rows++
	}
	for p, s := range of {
		bias, rows := float64(b.bias[p]), float64(s.rows)
		first := s.first - float64(float64(bias*b.decay)*rows)
		second := s.second - float64(b.decay*rows)
		// The constant keeps a step finite where there is no curvature.
		b.bias[p] = float32(bias + float64(b.rate*first)/(math.Abs(second)+0.001))
	}
}

// UpdateBias implements Biased.
func (o *lambdarank) UpdateBias(grad, hess []float32) {
	if o.position != nil {
		o.position.update(grad, hess)
	}
}

// Bias implements Biased.
func (o *lambdarank) Bias() (names []string, bias []float32) {
	if o.position == nil {
		return nil, nil
	}
	return o.position.names, o.position.bias
}
