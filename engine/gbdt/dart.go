package gbdt

import (
	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/random"
	"cloister/engine/tree"
)

// dart drops trees at random while the next ones are grown, which then share
// their weight with those dropped (Rashmi and Gilad-Bachrach, "DART: Dropouts
// meet Multiple Additive Regression Trees", AISTATS 2015; boosting=dart in
// LightGBM). Only trees of this training are dropped, not those of a model
// that is continued.
type dart struct {
	cfg     *lightgbm.Config
	trees   []scoredTree // of all iterations, as in the trainer
	weight  []float64    // of each iteration
	dropped []int        // iterations
	rate    float64      // of the next trees
}

// scoredTree is a tree that can be added to scores later on.
type scoredTree struct {
	tree   *tree.Tree
	scorer *tree.Scorer // nil for constants
}

func newScoredTree(made *tree.Grown) scoredTree {
	return scoredTree{tree: made.Tree, scorer: made.Scorer()}
}

// addTo adds the tree to the scores of model k.
func (s scoredTree) addTo(d *dataset.Dataset, k int, scores []float64) {
	scores = scores[k*d.Rows : (k+1)*d.Rows]
	if s.scorer != nil {
		s.scorer.AddScores(d, scores)
		return
	}
	for i := range scores {
		scores[i] += s.tree.LeafValue[0]
	}
}

// choose draws the iterations to drop and sets the rate.
func (d *dart) choose() {
	d.dropped = d.dropped[:0]
	n := len(d.weight)
	r := random.New(uint64(d.cfg.DropSeed), streamDropping, uint64(n))
	if skip := r.Float64() < d.cfg.SkipDrop; !skip && n > 0 {
		d.draw(r)
	}
	k := float64(len(d.dropped))
	switch {
	case !d.cfg.XGBoostDartMode:
		d.rate = d.cfg.LearningRate / (1 + k)
	case k == 0:
		d.rate = d.cfg.LearningRate
	default:
		d.rate = d.cfg.LearningRate / (d.cfg.LearningRate + k)
	}
}

func (d *dart) draw(r *random.Source) {
	n, sum := float64(len(d.weight)), 0.0
	for _, w := range d.weight {
		sum += w
	}
	rate, most := d.cfg.DropRate, d.cfg.MaxDrop
	switch {
	case most > 0 && d.cfg.UniformDrop:
		rate = min(rate, float64(most)/n)
	case most > 0:
		rate = min(rate, float64(most)*n/(sum*sum))
	}
	for i, w := range d.weight {
		p := rate
		if !d.cfg.UniformDrop {
			p *= w * n / sum
		}
		if r.Float64() < p {
			d.dropped = append(d.dropped, i)
			if most > 0 && len(d.dropped) >= most {
				return
			}
		}
	}
}

// each calls f for every tree that is dropped.
func (d *dart) each(models int, f func(s scoredTree, k int)) {
	for _, i := range d.dropped {
		for k := range models {
			f(d.trees[i*models+k], k)
		}
	}
}

// drop takes trees out of the training scores; their values are then negative.
func (t *trainer) drop() {
	t.dart.choose()
	t.dart.each(t.models, func(s scoredTree, k int) {
		s.tree.Shrink(-1)
		s.addTo(t.data, k, t.scores)
	})
}

// restore undoes drop.
func (t *trainer) restore() {
	t.dart.each(t.models, func(s scoredTree, k int) {
		s.tree.Shrink(-1)
		s.addTo(t.data, k, t.scores)
	})
}

// normalize takes in the iteration's trees and gives those dropped back with
// less weight: k / (k + 1) of what they had, if k were dropped.
func (t *trainer) normalize(made []scoredTree) {
	d := t.dart
	k := float64(len(d.dropped))
	change, back, keep := 1/(k+1), -k, k/(k+1)
	if d.cfg.XGBoostDartMode {
		lr := d.cfg.LearningRate
		change, back, keep = d.rate, -k/lr, k/(k+lr)
	}
	d.each(t.models, func(s scoredTree, model int) {
		// The validation scores still have the whole tree.
		s.tree.Shrink(change)
		for i := range t.valid {
			s.addTo(t.valid[i].Data, model, t.valid[i].scores)
		}
		s.tree.Shrink(back)
		s.addTo(t.data, model, t.scores)
	})
	for _, i := range d.dropped {
		d.weight[i] *= keep
	}
	d.trees = append(d.trees, made...)
	d.weight = append(d.weight, d.rate)
}
