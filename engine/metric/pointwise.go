package metric

import (
	"math"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
	"cloister/engine/parallel"
	"cloister/engine/portmath"
)

// pointwise is a weighted mean of a loss of label and prediction.
type pointwise struct {
	table
	loss func(label, prediction float64) float64
	// finish, if not nil, replaces the division of the sum by the weights'.
	finish func(sum, total float64) float64
}

// HigherIsBetter implements Metric.
func (*pointwise) HigherIsBetter() bool { return false }

// Eval implements Metric.
func (m *pointwise) Eval(pool *parallel.Pool, scores []float64, out objective.Output) []float64 {
	s := m.sumLoss(pool, scores, out, m.loss)
	if m.finish != nil {
		return []float64{m.finish(s, m.total)}
	}
	return []float64{s / m.total}
}

// sumLoss is the weighted sum of loss over all rows.
func (t *table) sumLoss(pool *parallel.Pool, scores []float64, out objective.Output, loss func(label, prediction float64) float64) float64 {
	return sum(pool, len(t.label), chunk, func(lo, hi int) float64 {
		total := 0.
		var p [1]float64
		for i := lo; i < hi; i++ {
			p[0] = scores[i]
			if out != nil {
				out.Transform(p[:], p[:])
			}
			l := loss(float64(t.label[i]), p[0])
			if t.weight != nil {
				l = float64(l * float64(t.weight[i]))
			}
			total += l
		}
		return total
	})
}

func square(x float64) float64 { return float64(x * x) }

// safeLog is the logarithm, -Inf for what has none.
func safeLog(x float64) float64 {
	if x > 0 {
		return portmath.Log(x)
	}
	return math.Inf(-1)
}

func newL1(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	return &pointwise{table: t, loss: func(y, p float64) float64 { return math.Abs(p - y) }}, nil
}

func newL2(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	return &pointwise{table: t, loss: func(y, p float64) float64 { return square(p - y) }}, nil
}

func newRMSE(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	return &pointwise{
		table:  t,
		loss:   func(y, p float64) float64 { return square(p - y) },
		finish: func(sum, total float64) float64 { return math.Sqrt(sum / total) },
	}, nil
}

func newQuantile(cfg *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	alpha := cfg.Alpha
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		if d := y - p; d < 0 {
			return float64((alpha - 1) * d)
		}
		return float64(alpha * (y - p))
	}}, nil
}

func newHuber(cfg *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	alpha := cfg.Alpha
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		d := math.Abs(p - y)
		if d <= alpha {
			return float64(0.5 * square(d))
		}
		return float64(alpha * (d - float64(0.5*alpha)))
	}}, nil
}

func newFair(cfg *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	c := cfg.FairC
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		d := math.Abs(p - y)
		return float64(c*d) - float64(square(c)*portmath.Log1p(d/c))
	}}, nil
}

// least is the smallest prediction that poisson and tweedie take a logarithm
// of.
const least = float64(float32(1e-10))

func newPoisson(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		p = max(p, least)
		return p - float64(y*portmath.Log(p))
	}}, nil
}

func newMAPE(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		return math.Abs(y-p) / max(1, math.Abs(y))
	}}, nil
}

func (t *table) checkPositive() error {
	return t.check(func(y float64) string {
		if y <= 0 {
			return "is not above 0"
		}
		return ""
	})
}

// newGamma is the negative log-likelihood with shape 1.
func newGamma(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	if err := t.checkPositive(); err != nil {
		return nil, err
	}
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		theta := -1 / p
		return -(float64(y*theta) + safeLog(-theta))
	}}, nil
}

// newGammaDeviance is a sum, not a mean, as in LightGBM.
func newGammaDeviance(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	if err := t.checkPositive(); err != nil {
		return nil, err
	}
	return &pointwise{
		table: t,
		loss: func(y, p float64) float64 {
			r := y / (p + 1e-9)
			return r - safeLog(r) - 1
		},
		finish: func(sum, _ float64) float64 { return float64(sum * 2) },
	}, nil
}

func newTweedie(cfg *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	a, b := 1-cfg.TweedieVariancePower, 2-cfg.TweedieVariancePower
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		l := portmath.Log(max(p, least))
		return float64(portmath.Exp(float64(b*l))/b) - float64(y*portmath.Exp(float64(a*l)))/a
	}}, nil
}

func newBinaryLogloss(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	worst := -portmath.Log(epsilon)
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		if y <= 0 {
			p = 1 - p
		}
		if p > epsilon {
			return -portmath.Log(p)
		}
		return worst
	}}, nil
}

func newBinaryError(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	return &pointwise{table: t, loss: func(y, p float64) float64 {
		if (p <= 0.5) == (y > 0) {
			return 1
		}
		return 0
	}}, nil
}

// r2 is the coefficient of determination.
type r2 struct {
	table
	// squares is the weighted sum of the labels' squared differences from
	// their mean.
	squares float64
}

func newR2(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	m := &r2{table: t}
	s := 0.
	for i, y := range t.label {
		s += float64(float64(y) * t.weightOf(i))
	}
	mean := s / t.total
	for i, y := range t.label {
		m.squares += float64(square(float64(y)-mean) * t.weightOf(i))
	}
	return m, nil
}

// HigherIsBetter implements Metric.
func (*r2) HigherIsBetter() bool { return true }

// Eval implements Metric.
func (m *r2) Eval(pool *parallel.Pool, scores []float64, out objective.Output) []float64 {
	const zero = float64(float32(1e-35))
	residual := m.sumLoss(pool, scores, out, func(y, p float64) float64 { return square(y - p) })
	switch {
	case m.squares >= zero:
		return []float64{1 - residual/m.squares}
	case residual < zero:
		return []float64{1}
	}
	return []float64{0}
}
