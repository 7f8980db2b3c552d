package gbdt

import (
	"math"

	"cloister/engine/lightgbm"
	"cloister/engine/metric"
)

// watch decides on early stopping as LightGBM does: training ends when any
// metric on any validation set has not improved for early_stopping_round
// iterations; the best iteration is that metric's.
type watch struct {
	rounds    int
	delta     float64
	firstOnly bool
	sets      [][]watched // by validation set and metric

	best            int
	bestEvaluations []Evaluation
}

// watched is one metric on one validation set.
type watched struct {
	score       float64
	iteration   int
	evaluations []Evaluation
}

func newWatch(cfg *lightgbm.Config, valid []validState) *watch {
	w := &watch{rounds: cfg.EarlyStoppingRound, delta: cfg.EarlyStoppingMinDelta, firstOnly: cfg.FirstMetricOnly}
	for i := range valid {
		set := make([]watched, len(valid[i].metrics))
		for j := range set {
			set[j].score = math.Inf(-1)
		}
		w.sets = append(w.sets, set)
	}
	return w
}

// evaluate computes the iteration's metrics where they are due and reports
// whether training should stop.
func (t *trainer) evaluate(b *Booster) bool {
	due := t.cfg.MetricFreq > 0 && t.iteration%t.cfg.MetricFreq == 0
	stopping := t.watch.rounds > 0
	last := t.iteration == t.cfg.NumIterations
	b.evaluations = nil
	if due || last {
		for _, m := range t.own {
			b.evaluations = append(b.evaluations, t.values("training", m, t.scores)...)
		}
	}
	if !due && !stopping && !last {
		return false
	}
	type score struct {
		of    *watched
		value float64
	}
	var watched []score
	for i := range t.valid {
		v := &t.valid[i]
		for j, m := range v.metrics {
			got := t.values(v.Name, m, v.scores)
			b.evaluations = append(b.evaluations, got...)
			if j > 0 && t.watch.firstOnly {
				continue
			}
			// Of a metric with several positions (ndcg@1,3,5) the last counts.
			e := got[len(got)-1]
			value := e.Value
			if !e.HigherIsBetter {
				value = -value
			}
			watched = append(watched, score{&t.watch.sets[i][j], value})
		}
	}
	if !stopping {
		return false
	}
	stop := false
	for _, s := range watched {
		stop = t.watch.see(s.of, s.value, t.iteration, b.evaluations) || stop
		if stop {
			break
		}
	}
	return stop
}

// see records a value and reports whether its metric has stalled.
func (w *watch) see(s *watched, value float64, iteration int, all []Evaluation) bool {
	if value-s.score > w.delta {
		s.score, s.iteration, s.evaluations = value, iteration, all
		return false
	}
	if iteration-s.iteration < w.rounds {
		return false
	}
	w.best, w.bestEvaluations = max(1, s.iteration), s.evaluations
	return true
}

func (t *trainer) values(set string, m metric.Metric, scores []float64) []Evaluation {
	values := m.Eval(t.pool, t.output(scores), t.loss)
	out := make([]Evaluation, len(values))
	for i, name := range m.Names() {
		out[i] = Evaluation{Set: set, Metric: name, Value: values[i], HigherIsBetter: m.HigherIsBetter()}
	}
	return out
}
