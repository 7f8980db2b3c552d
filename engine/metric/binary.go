package metric

import (
	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
	"cloister/engine/parallel"
)

// ranked is the area under a curve that follows the rows from the greatest raw
// score down; 1 where all labels are of one class.
type ranked struct {
	table
	// step adds the rows that share a score to the curve.
	step func(c *curve, positive, negative float64)
	// norm is what the area is divided by.
	norm func(positive, negative float64) float64
}

// curve is what is known of the rows so far.
type curve struct{ area, positive, negative float64 }

// HigherIsBetter implements Metric.
func (*ranked) HigherIsBetter() bool { return true }

// Eval implements Metric.
func (m *ranked) Eval(_ *parallel.Pool, scores []float64, _ objective.Output) []float64 {
	order := descending(scores[:len(m.label)])
	var c curve
	positive, negative := 0., 0.
	for n, it := range order {
		if n > 0 && it.key != order[n-1].key {
			m.add(&c, positive, negative)
			positive, negative = 0, 0
		}
		if w := m.weightOf(int(it.index)); m.label[it.index] > 0 {
			positive += w
		} else {
			negative += w
		}
	}
	m.add(&c, positive, negative)
	if c.positive == 0 || c.negative == 0 {
		return []float64{1}
	}
	return []float64{c.area / m.norm(c.positive, c.negative)}
}

func (m *ranked) add(c *curve, positive, negative float64) {
	m.step(c, positive, negative)
	c.positive += positive
	c.negative += negative
}

// newAUC is the area under the ROC curve.
func newAUC(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	return &ranked{
		table: t,
		step: func(c *curve, positive, negative float64) {
			c.area += float64(negative * (float64(positive*0.5) + c.positive))
		},
		norm: func(positive, negative float64) float64 { return float64(positive * negative) },
	}, nil
}

// newAveragePrecision is the area under the precision-recall curve.
func newAveragePrecision(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	return &ranked{
		table: t,
		step: func(c *curve, positive, negative float64) {
			if positive > 0 {
				hits := c.positive + positive
				c.area += float64(positive * (hits / (hits + c.negative + negative)))
			}
		},
		norm: func(positive, _ float64) float64 { return positive },
	}, nil
}
