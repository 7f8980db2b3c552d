package gbdt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
	"cloister/engine/parallel"
	"cloister/engine/tree"
)

// RefitOptions are what Refit needs besides parameters and data.
type RefitOptions struct {
	// Logger gets what a user may want to know; nil discards it.
	Logger *slog.Logger
	// Objective replaces the parameter's, for losses of one's own.
	Objective objective.Objective
}

// Refit fits the leaves of a model to the rows that md describes and leaves
// knows the places of, as LightGBM's task=refit does: tree by tree, a leaf's
// value becomes refit_decay_rate times the old one plus the rest times Newton's
// step on what the refitted trees before leave, regularised as cfg says. The
// trees of a random forest are refitted each by itself. The linear models in
// leaves are mixed in the same way with new models of the same features. The
// structure of the trees, and the rows they count, stay. The model itself is
// not changed.
//
// The result does not depend on the number of threads.
func Refit(
	ctx context.Context, cfg *lightgbm.Config, m *lightgbm.Model, md *dataset.Metadata, leaves *Leaves, opt RefitOptions,
) (*lightgbm.Model, error) {
	r, err := newRefitter(cfg, m, md, leaves, opt)
	if err != nil {
		return nil, err
	}
	r.pool = parallel.New(cfg.NumThreads)
	defer r.pool.Close()
	for first := 0; first < len(m.Trees); first += r.loss.Models() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.iteration(first); err != nil {
			return nil, err
		}
	}
	return r.to, nil
}

type refitter struct {
	from, to   *lightgbm.Model
	leaves     *Leaves
	loss       objective.Objective
	fit        tree.Refit
	pool       *parallel.Pool
	rows       int
	scores     []float64 // model after model
	grad, hess []float32
	leaf       []int32 // of the trees of an iteration, tree after tree
}

func newRefitter(
	cfg *lightgbm.Config, m *lightgbm.Model, md *dataset.Metadata, leaves *Leaves, opt RefitOptions,
) (*refitter, error) {
	r := &refitter{from: m, leaves: leaves, loss: opt.Objective, rows: len(md.Label)}
	r.fit = tree.Refit{Options: treeOptions(cfg), Decay: cfg.RefitDecayRate, Lambda: cfg.LinearLambda}
	if err := CheckRefit(cfg, m); err != nil {
		return nil, err
	}
	if r.loss == nil {
		loss, err := objective.New(cfg, md)
		if err != nil {
			return nil, &SetError{trainingSet, err}
		}
		r.loss = loss
	}
	if m.TreesPerIteration != r.loss.Models() {
		return nil, advise("use the objective and num_class of the model", "input_model has %s per iteration, objective=%s %d",
			counted(m.TreesPerIteration, "tree"), r.loss.Name(), r.loss.Models())
	}
	if len(leaves.of) != len(m.Trees) || leaves.Rows() != r.rows {
		return nil, fmt.Errorf("leaves of %d rows in %d trees do not fit %d labels and %d trees",
			leaves.Rows(), len(leaves.of), r.rows, len(m.Trees))
	}
	if !slices.Equal(leaves.features, NewLeaves(m).features) {
		return nil, errors.New("leaves are of a model whose linear trees have other features: they must be of this model")
	}
	if n := len(leaves.raw.Values); n != r.rows*leaves.raw.Width {
		return nil, fmt.Errorf("%d values of features do not fit %d rows, each with %d that linear trees need",
			n, r.rows, leaves.raw.Width)
	}
	if m.AverageOutput && md.InitScore != nil {
		return nil, advise("move them elsewhere", "a random forest cannot start from initial scores")
	}
	r.scores = make([]float64, r.rows*r.loss.Models())
	if md.InitScore != nil {
		if len(md.InitScore) != len(r.scores) {
			return nil, &SetError{trainingSet, advise("give one for each row and class",
				"there are %d initial scores, but %d rows × %d models need %d", len(md.InitScore), r.rows, r.loss.Models(), len(r.scores))}
		}
		copy(r.scores, md.InitScore)
	}
	r.grad, r.hess = make([]float32, len(r.scores)), make([]float32, len(r.scores))
	r.leaf = make([]int32, len(r.scores))
	return r, r.newModel(cfg, opt.Logger)
}

// CheckRefit finds what in a model keeps it from being refitted so, before data
// is read.
func CheckRefit(cfg *lightgbm.Config, m *lightgbm.Model) error {
	if len(m.Trees) == 0 {
		return errors.New("input_model has no trees, so that there is nothing to refit")
	}
	if !hasLinear(m.Trees) {
		return nil
	}
	linear := *cfg
	linear.LinearTree = true
	if _, err := linear.Validate(); err != nil {
		return fmt.Errorf("input_model has linear trees: %w", err)
	}
	return nil
}

func hasLinear(trees []*tree.Tree) bool {
	return slices.ContainsFunc(trees, func(t *tree.Tree) bool { return t.IsLinear })
}

// newModel is the model without its new trees.
func (r *refitter) newModel(cfg *lightgbm.Config, log *slog.Logger) error {
	to := *r.from
	r.to = &to
	to.Trees = slices.Clone(r.from.Trees)
	to.Objective = r.loss.String()
	shown := *cfg
	shown.LinearTree = hasLinear(r.from.Trees)
	to.Parameters = shown.ModelText()
	to.Importances, to.ImportanceKind = nil, lightgbm.ImportanceKind(cfg.SavedFeatureImportanceType)
	if r.from.Objective == to.Objective {
		return nil
	}
	if err := sameMeaning(r.from, r.loss); err != nil {
		return err
	}
	if log != nil {
		log.Warn("the model was trained with another objective; the leaves now get the values of this one",
			"model", r.from.Objective, "objective", to.Objective)
	}
	return nil
}

// sameMeaning finds an objective under which the trees of a model would mean
// something else: another link from scores to predictions. Of a model without an
// objective nothing is known.
func sameMeaning(m *lightgbm.Model, loss objective.Objective) error {
	if m.Objective == "" || m.Objective == loss.String() {
		return nil
	}
	before, err := m.Transform(1)
	if err != nil {
		return err
	}
	other := lightgbm.Model{NumClass: m.NumClass, AverageOutput: m.AverageOutput, Objective: loss.String()}
	after, err := other.Transform(1)
	if err != nil {
		return err
	}
	if before != after {
		return advise("set objective and its parameters as for the model",
			"objective=%s is not that of input_model, %q, and gives predictions another meaning", loss.String(), m.Objective)
	}
	return nil
}

// iteration refits the trees of one iteration.
func (r *refitter) iteration(first int) error {
	if first == 0 || !r.from.AverageOutput {
		r.loss.Gradients(r.pool, first/r.loss.Models(), r.scores, r.grad, r.hess)
		if biased, ok := r.loss.(objective.Biased); ok {
			biased.UpdateBias(r.grad, r.hess)
		}
	}
	models := r.loss.Models()
	faults := make([]error, models)
	if hasLinear(r.from.Trees[first : first+models]) {
		for k := range models { // the leaves of each are fitted side by side
			faults[k] = r.tree(first+k, k)
		}
	} else {
		r.pool.Run(models, func(k int) { faults[k] = r.tree(first+k, k) })
	}
	return errors.Join(faults...)
}

func (r *refitter) tree(i, k int) error {
	old, column := r.from.Trees[i], &r.leaves.of[i]
	if column.leaves != old.NumLeaves {
		return fmt.Errorf("tree %d has %d leaves, not %d: leaves must be of this model", i, old.NumLeaves, column.leaves)
	}
	lo, hi := k*r.rows, (k+1)*r.rows
	leaf := r.leaf[lo:hi]
	column.expand(leaf)
	var made *tree.Tree
	var err error
	if old.IsLinear {
		g := tree.Gradients{Grad: r.grad[lo:hi], Hess: r.hess[lo:hi]}
		made, err = r.fit.Linear(r.pool, old, leaf, &g, &r.leaves.raw)
	} else {
		made, err = r.fit.Tree(old, leaf, r.grad[lo:hi], r.hess[lo:hi])
	}
	if err != nil {
		return advise("set lambda_l2 or max_delta_step above 0", "tree %d: %w", i, err)
	}
	r.to.Trees[i] = made
	if r.from.AverageOutput {
		return nil
	}
	scores := r.scores[lo:hi]
	if made.IsLinear {
		made.AddLinear(r.pool, leaf, &r.leaves.raw, scores)
		return nil
	}
	for j, l := range leaf {
		scores[j] += made.LeafValue[l]
	}
	return nil
}
