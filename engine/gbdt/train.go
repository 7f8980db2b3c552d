package gbdt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/metric"
	"cloister/engine/objective"
	"cloister/engine/parallel"
	"cloister/engine/tree"
)

// trainer is the state of one training.
type trainer struct {
	cfg    *lightgbm.Config
	opt    Options
	log    *slog.Logger
	pool   *parallel.Pool
	data   *dataset.Dataset
	loss   objective.Objective
	models int // trees per iteration

	grower     *tree.Grower
	linear     *tree.LinearFitter // of linear_tree, else nil
	sampler    sampler
	columns    *columnSampler
	scores     []float64 // of the training set, model after model
	grad, hess []float32
	valid      []validState
	own        []metric.Metric // on the training set
	watch      *watch
	forest     *forest // of boosting=rf, else nil
	dart       *dart   // of boosting=dart, else nil

	trees     []*tree.Tree
	iteration int
}

type validState struct {
	ValidSet
	scores  []float64
	metrics []metric.Metric
}

// Train trains on the data set. The model is the same for any number of
// threads. It returns ctx's error when ctx ends.
func Train(ctx context.Context, cfg *lightgbm.Config, train *dataset.Dataset, opt Options) (*Booster, error) {
	t, err := newTrainer(cfg, train, opt)
	if err != nil {
		return nil, err
	}
	if err := checkSplits(cfg, train, t.loss); err != nil {
		return nil, err
	}
	if err := t.checkLinear(); err != nil {
		return nil, err
	}
	options := treeOptions(cfg)
	if options.Forced, err = forcedSplits(cfg, train); err != nil {
		return nil, err
	}
	t.pool = parallel.New(cfg.NumThreads)
	defer t.pool.Close()
	t.grower = tree.NewGrower(train, t.pool, options)
	if cfg.LinearTree {
		t.linear = tree.NewLinearFitter(train, t.pool, cfg.LinearLambda)
	}
	return t.run(ctx)
}

func newTrainer(cfg *lightgbm.Config, train *dataset.Dataset, opt Options) (*trainer, error) {
	t := &trainer{cfg: cfg, opt: opt, data: train, log: opt.Logger, loss: opt.Objective}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.opt.Now == nil {
		t.opt.Now = time.Now
	}
	if train.Rows == 0 {
		return nil, errors.New("the training data has no rows")
	}
	if t.loss == nil {
		loss, err := objective.New(cfg, &train.Metadata)
		if err != nil {
			return nil, &SetError{trainingSet, err}
		}
		t.loss = loss
	}
	t.models = t.loss.Models()
	t.warnOfOneClass()
	if err := t.checkInitModel(); err != nil {
		return nil, err
	}
	scores, err := initialScores(train, t.models)
	if err != nil {
		return nil, &SetError{trainingSet, err}
	}
	t.scores = scores
	if err := t.addMetrics(); err != nil {
		return nil, err
	}
	t.grad = make([]float32, len(scores))
	t.hess = make([]float32, len(scores))
	if t.sampler, err = newSampler(cfg, train); err != nil {
		return nil, err
	}
	t.columns = newColumnSampler(cfg, len(train.Columns))
	switch cfg.Boosting {
	case "rf":
		if t.forest, err = t.newForest(); err != nil {
			return nil, err
		}
	case "dart":
		t.dart = &dart{cfg: cfg}
		if t.watch.rounds > 0 {
			t.watch.rounds = 0
			t.log.Warn("early stopping is not for boosting=dart, which changes trees after the best iteration: it is off")
		}
	}
	return t, nil
}

// warnOfOneClass tells that no tree can tell classes apart.
func (t *trainer) warnOfOneClass() {
	for k := range t.models {
		if t.loss.ClassNeedsTraining(k) {
			return
		}
	}
	t.log.Warn("all labels are of one class: the model will be a constant", "label", t.data.Label[0])
}

func (t *trainer) checkInitModel() error {
	m := t.opt.InitModel
	if m == nil {
		return nil
	}
	if m.TreesPerIteration != t.models {
		return advise("use the same objective and num_class", "input_model has %s per iteration, this training %d",
			counted(m.TreesPerIteration, "tree"), t.models)
	}
	if m.MaxFeatureIndex+1 != len(t.data.FeatureNames) {
		return fmt.Errorf("input_model was trained on %s, the training data has %d",
			counted(m.MaxFeatureIndex+1, "feature"), len(t.data.FeatureNames))
	}
	if forest := t.cfg.Boosting == "rf"; m.AverageOutput != forest {
		return fmt.Errorf("input_model and boosting=%s do not fit: a random forest is continued by boosting=rf, and only such", t.cfg.Boosting)
	}
	if err := sameMeaning(m, t.loss); err != nil {
		return err
	}
	if t.data.InitScore == nil {
		return errors.New("input_model needs the initial scores of the training data")
	}
	return nil
}

// counted is "1 tree", "2 trees".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// trainingSet is what a SetError calls the training data.
const trainingSet = "training"

func initialScores(d *dataset.Dataset, models int) ([]float64, error) {
	scores := make([]float64, d.Rows*models)
	if d.InitScore != nil {
		if len(d.InitScore) != len(scores) {
			return nil, advise("give one for each row and class", "there are %d initial scores, but %d rows × %d models need %d",
				len(d.InitScore), d.Rows, models, len(scores))
		}
		copy(scores, d.InitScore)
	}
	return scores, nil
}

func (t *trainer) addMetrics() error {
	if t.cfg.IsProvideTrainingMetric {
		own, err := metric.New(t.cfg, t.loss, &t.data.Metadata)
		if err != nil {
			return &SetError{trainingSet, err}
		}
		t.own = own
	}
	for _, v := range t.opt.Valid {
		if len(v.Data.FeatureNames) != len(t.data.FeatureNames) {
			return fmt.Errorf("%s has %d features, the training data %d", v.Name, len(v.Data.FeatureNames), len(t.data.FeatureNames))
		}
		if t.opt.Objective == nil {
			if err := objective.CheckLabels(t.cfg, &v.Data.Metadata); err != nil {
				return &SetError{v.Name, err}
			}
		}
		metrics, err := metric.New(t.cfg, t.loss, &v.Data.Metadata)
		if err != nil {
			return &SetError{v.Name, err}
		}
		scores, err := initialScores(v.Data, t.models)
		if err != nil {
			return &SetError{v.Name, err}
		}
		t.valid = append(t.valid, validState{ValidSet: v, scores: scores, metrics: metrics})
	}
	t.watch = newWatch(t.cfg, t.valid)
	return nil
}

func (t *trainer) run(ctx context.Context) (*Booster, error) {
	start := t.opt.Now()
	b := &Booster{}
	for t.iteration < t.cfg.NumIterations {
		grown, err := t.boost(ctx)
		if err != nil {
			return nil, err
		}
		if !grown {
			t.log.Warn("training stopped: no leaf can be split any further", "iteration", t.iteration+1)
			break
		}
		t.iteration++
		stop := t.evaluate(b)
		if t.opt.OnIteration != nil {
			p := Progress{Iteration: t.iteration, Total: t.cfg.NumIterations, Metrics: b.evaluations, Elapsed: t.opt.Now().Sub(start)}
			if err := t.opt.OnIteration(&p); err != nil {
				return nil, err
			}
		}
		if stop {
			b.best = t.watch.best
			b.evaluations = t.watch.bestEvaluations
			t.trees = t.trees[:b.best*t.models]
			break
		}
		if err := t.snapshot(); err != nil {
			return nil, err
		}
	}
	t.logBias(ctx)
	b.model = t.model()
	return b, nil
}

// logBias tells what was learned of the positions of rows.
func (t *trainer) logBias(ctx context.Context) {
	biased, ok := t.loss.(objective.Biased)
	if !ok || !t.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	names, bias := biased.Bias()
	for p, v := range bias {
		name := strconv.Itoa(p)
		if names != nil {
			name = names[p]
		}
		t.log.Debug("learned a bias", "position", name, "bias", v)
	}
}

func (t *trainer) snapshot() error {
	freq := t.cfg.SnapshotFreq
	if t.opt.OnSnapshot == nil || freq <= 0 || t.iteration%freq != 0 {
		return nil
	}
	return t.opt.OnSnapshot(t.iteration, t.model())
}

// boost runs one iteration and reports whether any tree could be grown.
func (t *trainer) boost(ctx context.Context) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if t.forest != nil {
		return t.growForest(ctx)
	}
	base := t.baseScores()
	rate := t.cfg.LearningRate
	if t.dart != nil {
		t.drop()
		rate = t.dart.rate
	}
	t.loss.Gradients(t.pool, t.iteration, t.scores, t.grad, t.hess)
	if biased, ok := t.loss.(objective.Biased); ok {
		biased.UpdateBias(t.grad, t.hess)
	}
	rows := t.sampler.sample(t.pool, t.iteration, t.grad, t.hess)
	grown := false
	trees := make([]*tree.Tree, t.models)
	scored := make([]scoredTree, t.models)
	for k := range trees {
		if !t.loss.ClassNeedsTraining(k) || len(t.data.Columns) == 0 {
			continue
		}
		made, err := t.grow(ctx, k, rows)
		if err != nil {
			return false, err
		}
		if made.Tree.NumLeaves <= 1 {
			continue
		}
		grown = true
		t.renew(made, t.scores[k*t.data.Rows:(k+1)*t.data.Rows])
		made.Tree.Shrink(rate)
		t.addScores(made, k, rows)
		if math.Abs(base[k]) > minBase {
			made.Tree.AddBias(base[k])
		}
		trees[k], scored[k] = made.Tree, newScoredTree(made)
	}
	if !grown && t.iteration > 0 {
		if t.dart != nil {
			t.restore()
		}
		return false, nil
	}
	t.fillConstant(trees, base)
	t.trees = append(t.trees, trees...)
	if t.dart != nil {
		for k := range scored {
			scored[k].tree = trees[k]
		}
		t.normalize(scored)
	}
	return grown, nil
}

func (t *trainer) grow(ctx context.Context, k int, rows []uint32) (*tree.Grown, error) {
	n := t.data.Rows
	grad := tree.Gradients{
		Grad: t.grad[k*n : (k+1)*n], Hess: t.hess[k*n : (k+1)*n],
		ConstantHessian: t.loss.ConstantHessian() && !t.sampler.amplifies(t.iteration), Key: roundingKey(t.iteration, k),
	}
	made, err := t.grower.Grow(ctx, grad, rows, t.columns.sample(t.iteration, k))
	if errors.Is(err, tree.ErrNotFinite) {
		return nil, &SetError{trainingSet, advise("lower learning_rate, or look for labels, weights or initial scores that are far too large",
			"iteration %d: %w", t.iteration+1, err)}
	}
	if err == nil && t.linear != nil {
		t.fitLinear(made, &grad)
	}
	return made, err
}

// minBase is LightGBM's kEpsilon: a base score nearer to zero is dropped.
const minBase = 1e-15

// fillConstant puts a tree of one leaf where a class has none. In the first
// iteration it carries the base score.
func (t *trainer) fillConstant(trees []*tree.Tree, base []float64) {
	for k := range trees {
		if trees[k] != nil {
			continue
		}
		value := 0.0
		if t.fresh() {
			value = base[k]
			if !t.cfg.BoostFromAverage && len(t.data.Columns) > 0 {
				value = t.loss.BoostFromScore(k)
				t.shift(k, value)
			}
		}
		trees[k] = tree.Constant(value, int64(t.data.Rows))
	}
}

// fresh reports whether training starts here from nothing.
func (t *trainer) fresh() bool {
	return t.iteration == 0 && t.opt.InitModel == nil && t.data.InitScore == nil
}

// baseScores starts the first iteration from the objective's best constant.
func (t *trainer) baseScores() []float64 {
	base := make([]float64, t.models)
	if !t.fresh() || (!t.cfg.BoostFromAverage && len(t.data.Columns) > 0) {
		return base
	}
	for k := range base {
		v := t.loss.BoostFromScore(k)
		if math.Abs(v) <= minBase {
			continue
		}
		base[k] = v
		t.shift(k, v)
		t.log.Debug("training starts from a constant", "model", k, "score", v)
	}
	return base
}

// shift adds a constant to all scores of a model.
func (t *trainer) shift(k int, v float64) {
	add := func(scores []float64, rows int) {
		for i := range scores[k*rows : (k+1)*rows] {
			scores[k*rows+i] += v
		}
	}
	add(t.scores, t.data.Rows)
	for i := range t.valid {
		add(t.valid[i].scores, t.valid[i].Data.Rows)
	}
}

// renew replaces leaf values where the loss has a better one than Newton's
// step (the median for absolute errors). Scores are the model's, without the
// tree.
func (t *trainer) renew(made *tree.Grown, scores []float64) {
	r, ok := t.loss.(objective.Renewer)
	if !ok {
		return
	}
	made.EachLeaf(func(leaf int) {
		made.Tree.LeafValue[leaf] = r.RenewLeaf(made.Rows(leaf), scores)
	})
}

// addScores adds a new tree to the scores of all data sets. Rows that took
// part in growing it are known by leaf; the others are looked up.
func (t *trainer) addScores(made *tree.Grown, k int, rows []uint32) {
	n := t.data.Rows
	scores := t.scores[k*n : (k+1)*n]
	if t.linear != nil {
		t.linear.AddScores(made, scores)
	} else {
		made.AddLeafScores(scores)
	}
	if rows != nil {
		made.AddScores(t.data, t.sampler.left(), scores)
	}
	for i := range t.valid {
		v := &t.valid[i]
		made.AddScores(v.Data, nil, v.scores[k*v.Data.Rows:(k+1)*v.Data.Rows])
	}
}
