package gbdt

import (
	"context"
	"errors"
	"math"

	"cloister/engine/tree"
)

// forest is what a random forest needs besides the trainer's state: every tree
// is grown from the same scores, a constant, and the output is the trees' mean
// (Breiman, "Random Forests", Machine Learning 45, 2001; boosting=rf in
// LightGBM). The trainer's scores are the trees' sums.
type forest struct {
	base   []float64 // of each model
	scores []float64 // the base of each row, model after model
	before int       // iterations of the model that is continued
	ready  bool      // the gradients have been computed
	mean   []float64
}

func (t *trainer) newForest() (*forest, error) {
	f := &forest{base: make([]float64, t.models), scores: make([]float64, len(t.scores))}
	if t.opt.InitModel != nil {
		f.before = t.opt.InitModel.NumIterations()
	} else if t.data.InitScore != nil {
		return nil, errors.New("boosting=rf cannot start from initial scores: leave them out or use boosting=gbdt")
	}
	if !t.cfg.BoostFromAverage && len(t.data.Columns) > 0 {
		return f, nil
	}
	for k := range f.base {
		v := t.loss.BoostFromScore(k)
		if math.Abs(v) <= minBase {
			continue
		}
		f.base[k] = v
		for i := k * t.data.Rows; i < (k+1)*t.data.Rows; i++ {
			f.scores[i] = v
		}
	}
	return f, nil
}

// growForest runs one iteration and reports whether there is anything to split
// on.
func (t *trainer) growForest(ctx context.Context) (bool, error) {
	f := t.forest
	if !f.ready || t.sampler.amplifies(t.iteration) {
		t.loss.Gradients(t.pool, 0, f.scores, t.grad, t.hess)
		f.ready = true
	}
	rows := t.sampler.sample(t.pool, t.iteration, t.grad, t.hess)
	for k := range t.models {
		made, err := t.growForestTree(ctx, k, rows)
		if err != nil {
			return false, err
		}
		t.trees = append(t.trees, made)
	}
	return len(t.data.Columns) > 0, nil
}

func (t *trainer) growForestTree(ctx context.Context, k int, rows []uint32) (*tree.Tree, error) {
	f := t.forest
	if t.loss.ClassNeedsTraining(k) && len(t.data.Columns) > 0 {
		made, err := t.grow(ctx, k, rows)
		if err != nil {
			return nil, err
		}
		if made.Tree.NumLeaves > 1 {
			t.renew(made, f.scores[k*t.data.Rows:(k+1)*t.data.Rows])
			if math.Abs(f.base[k]) > minBase {
				made.Tree.AddBias(f.base[k])
			}
			t.addScores(made, k, rows)
			return made.Tree, nil
		}
	}
	value := f.base[k]
	if !t.loss.ClassNeedsTraining(k) {
		value = t.loss.BoostFromScore(k)
	}
	t.shift(k, value)
	return tree.Constant(value, int64(t.data.Rows)), nil
}

// output returns the raw scores that the model gives: the sums, or a forest's
// means. They are valid until the next call.
func (t *trainer) output(scores []float64) []float64 {
	f := t.forest
	if f == nil {
		return scores
	}
	f.mean = append(f.mean[:0], scores...)
	n := float64(f.before + t.iteration)
	for i := range f.mean {
		f.mean[i] /= n
	}
	return f.mean
}
