package metric

import (
	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
	"cloister/engine/parallel"
	"cloister/engine/portmath"
)

func (t *table) checkShares() error {
	return t.check(func(y float64) string {
		if y < 0 || y > 1 {
			return "is not between 0 and 1"
		}
		return ""
	})
}

// crossEntropyLoss is -y·ln p - (1-y)·ln(1-p) with both arguments of at least
// 1e-12.
func crossEntropyLoss(y, p float64) float64 {
	const smallest = 1e-12
	return -(float64(y*portmath.Log(max(p, smallest))) + float64((1-y)*portmath.Log(max(1-p, smallest))))
}

func newCrossEntropy(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	if err := t.checkShares(); err != nil {
		return nil, err
	}
	return &pointwise{table: t, loss: crossEntropyLoss}, nil
}

// newKullbackLeibler is cross entropy less the entropy of the labels.
func newKullbackLeibler(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	if err := t.checkShares(); err != nil {
		return nil, err
	}
	offset := 0.
	for i, y := range t.label {
		offset += float64((plogp(float64(y)) + plogp(float64(1-y))) * t.weightOf(i))
	}
	offset /= t.total
	return &pointwise{
		table:  t,
		loss:   crossEntropyLoss,
		finish: func(sum, total float64) float64 { return offset + sum/total },
	}, nil
}

func plogp(p float64) float64 {
	if p <= 0 {
		return 0
	}
	return float64(p * portmath.Log(p))
}

// crossEntropyLambda is the cross entropy of 1 - e^(-w·l) for a row's weight w
// and intensity l, the prediction of objective=cross_entropy_lambda.
type crossEntropyLambda struct{ table }

func newCrossEntropyLambda(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	if err := t.checkShares(); err != nil {
		return nil, err
	}
	for i, w := range t.weight {
		if w == 0 {
			return nil, &LabelError{t.name, "weight", i + 1, 0, "is not above 0"}
		}
	}
	return &crossEntropyLambda{t}, nil
}

// HigherIsBetter implements Metric.
func (*crossEntropyLambda) HigherIsBetter() bool { return false }

// Eval implements Metric. Scores without output, or of a custom objective, are
// turned into intensities.
func (m *crossEntropyLambda) Eval(pool *parallel.Pool, scores []float64, out objective.Output) []float64 {
	if out == nil || out.Name() == "custom" {
		out = intensity
	}
	s := sum(pool, len(m.label), chunk, func(lo, hi int) float64 {
		total := 0.
		var p [1]float64
		for i := lo; i < hi; i++ {
			p[0] = scores[i]
			out.Transform(p[:], p[:])
			total += crossEntropyLoss(float64(m.label[i]), 1-portmath.Exp(float64(-m.weightOf(i)*p[0])))
		}
		return total
	})
	return []float64{s / float64(len(m.label))}
}

var intensity = objective.Custom{Output: func(raw, out []float64) {
	out[0] = portmath.Log1p(portmath.Exp(raw[0]))
}}
