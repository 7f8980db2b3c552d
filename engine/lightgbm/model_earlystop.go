package lightgbm

import (
	"fmt"
	"math"
	"sync"

	"cloister/engine/tree"
)

// earlyStop leaves out the later trees of rows whose prediction is clear.
type earlyStop struct {
	freq    int // iterations between looks
	margin  float64
	scratch sync.Pool // of *stopScratch
}

// stopScratch has the rows of a block that are not clear yet.
type stopScratch struct {
	rows   []float64
	scores []float64
	at     []int // their places in the block
}

// stopBlock is the number of values of rows that are predicted together.
const stopBlock = 1 << 15

// stoppable are the objectives of which only the order of scores matters.
func stoppable(objective string) bool {
	fields := words(objective)
	if len(fields) == 0 {
		return false
	}
	name := fields[0]
	if original, ok := objectiveAliases[name]; ok {
		name = original
	}
	switch name {
	case "binary", "multiclass", "multiclassova", "lambdarank", "rank_xendcg":
		return true
	}
	return false
}

// EarlyStop returns a predictor with LightGBM's pred_early_stop: every freq
// iterations (pred_early_stop_freq, at least 1) it leaves out the later trees of
// a row whose margin is above margin (pred_early_stop_margin, at least 0): twice
// the absolute raw score, or with classes the distance of the two greatest.
// Scores and outputs may change by that; leaves and contributions do not.
//
// As in LightGBM it has no effect on objectives whose values matter, only on
// binary, multiclass, multiclassova, lambdarank and rank_xendcg, and none on
// averaged outputs (random forests): stops then is false.
func (m *Model) EarlyStop(p *Predictor, freq int, margin float64) (stopping *Predictor, stops bool, err error) {
	if freq < 1 {
		return nil, false, fmt.Errorf("pred_early_stop_freq: %d iterations are less than 1", freq)
	}
	if !(margin >= 0) {
		return nil, false, fmt.Errorf("pred_early_stop_margin: %v is less than 0", margin)
	}
	if m.AverageOutput || !stoppable(m.Objective) {
		return p, false, nil
	}
	with := *p
	with.stop = &earlyStop{freq: freq, margin: margin}
	return &with, true, nil
}

// isClear tells whether a row with these raw scores needs no more trees.
func (s *earlyStop) isClear(scores []float64) bool {
	if len(scores) == 1 {
		return 2*math.Abs(scores[0]) > s.margin
	}
	first, second := math.Inf(-1), math.Inf(-1)
	for _, x := range scores {
		if x > first {
			first, second = x, first
		} else if x > second {
			second = x
		}
	}
	return first-second > s.margin
}

// isDue tells whether to look at the margin after tree i.
func (s *earlyStop) isDue(i, models int) bool { return (i+1)%models == 0 && (i+1)/models%s.freq == 0 }

// addRows adds the scores of rows to out, which is 0, as RawRows does.
func (s *earlyStop) addRows(e *tree.Ensemble, values []float64, features, models int, out []float64) error {
	if features == 0 || len(out)%models != 0 || len(values) != len(out)/models*features {
		return e.AddScores(values, features, 0, 0, out) // tells what is wrong
	}
	w, _ := s.scratch.Get().(*stopScratch)
	if w == nil {
		w = new(stopScratch)
	}
	defer s.scratch.Put(w)
	block := max(1, stopBlock/features)
	for len(out) > 0 {
		rows := min(block, len(out)/models)
		if err := s.addBlock(w, e, values[:rows*features], features, models, out[:rows*models]); err != nil {
			return err
		}
		values, out = values[rows*features:], out[rows*models:]
	}
	return nil
}

func (s *earlyStop) addBlock(w *stopScratch, e *tree.Ensemble, values []float64, features, models int, out []float64) error {
	w.rows = append(w.rows[:0], values...)
	w.scores = append(w.scores[:0], out...)
	w.at = w.at[:0]
	for i := range len(out) / models {
		w.at = append(w.at, i)
	}
	for start := 0; start < e.Iterations() && len(w.at) > 0; start += s.freq {
		end := e.Iterations()
		if s.freq < end-start {
			end = start + s.freq
		}
		n := len(w.at)
		if err := e.AddScores(w.rows[:n*features], features, start, end, w.scores[:n*models]); err != nil {
			return err
		}
		left := 0
		for i, at := range w.at {
			scores := w.scores[i*models : (i+1)*models]
			if end == e.Iterations() || s.isClear(scores) {
				copy(out[at*models:], scores)
				continue
			}
			if left < i {
				copy(w.scores[left*models:], scores)
				copy(w.rows[left*features:], w.rows[i*features:(i+1)*features])
			}
			w.at[left] = at
			left++
		}
		w.at = w.at[:left]
		if s.freq >= e.Iterations()-start {
			break // start+freq could overflow
		}
	}
	return nil
}
