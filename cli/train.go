package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cloister/engine/dataset"
	"cloister/engine/dataset/read"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

// trainSummary is what "cloister train --json" prints.
type trainSummary struct {
	Task          string         `json:"task"`
	Data          string         `json:"data"`
	Model         string         `json:"model"`
	Objective     string         `json:"objective"`
	Rows          int            `json:"rows"`
	Features      int            `json:"features"`
	Iterations    int            `json:"iterations"`
	BestIteration int            `json:"best_iteration,omitempty"`
	Trees         int            `json:"trees"`
	Metrics       []metricValue  `json:"metrics"`
	ModelBytes    int64          `json:"model_bytes"`
	Seconds       map[string]num `json:"seconds"`
}

type metricValue struct {
	Set    string `json:"set"`
	Metric string `json:"metric"`
	Value  num    `json:"value"`
}

// num is a number that JSON can hold; what it cannot is null.
type num float64

// MarshalJSON implements json.Marshaler.
func (n num) MarshalJSON() ([]byte, error) {
	v := float64(n)
	if v-v != 0 {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, v, 'g', -1, 64), nil
}

// train learns a model from data and writes output_model.
func (a *app) train(ctx context.Context, cfg *lightgbm.Config) error {
	start := time.Now()
	if err := checkPaths(cfg.OutputModel, "output_model", inputs(cfg)); err != nil {
		return err
	}
	if err := a.checkOutput(cfg.OutputModel, "output_model"); err != nil {
		return err
	}
	if err := checkSnapshots(cfg); err != nil {
		return err
	}
	conversion, err := a.conversionAfter(cfg)
	if err != nil {
		return err
	}
	if err := a.checkBinaries(ctx, cfg); err != nil {
		return err
	}
	data, err := a.loadTraining(ctx, cfg)
	if err != nil {
		return err
	}
	loaded := time.Now()
	booster, err := a.boost(ctx, cfg, data)
	if err != nil {
		return err
	}
	trained := time.Now()
	model := booster.Model()
	size, err := a.saveModel(cfg.OutputModel, model)
	if err != nil {
		return err
	}
	if _, err := a.saveSource(conversion, model); err != nil {
		return err
	}
	summary := trainSummary{
		Task: "train", Data: cfg.Data, Model: cfg.OutputModel, Objective: model.Objective,
		Rows: data.train.Rows, Features: len(data.train.FeatureNames),
		Iterations: model.NumIterations(), BestIteration: booster.BestIteration(), Trees: len(model.Trees),
		Metrics: metricValues(booster.Evaluations()), ModelBytes: size,
		Seconds: map[string]num{
			"load":  num(loaded.Sub(start).Seconds()),
			"train": num(trained.Sub(loaded).Seconds()),
			"total": num(time.Since(start).Seconds()),
		},
	}
	a.log.Info("wrote the model", "file", cfg.OutputModel, "iterations", summary.Iterations, "trees", summary.Trees,
		"size", byteSize(float64(size)), "took", time.Since(start))
	if a.json {
		return a.printJSON(summary)
	}
	return nil
}

func metricValues(list []gbdt.Evaluation) []metricValue {
	values := make([]metricValue, len(list))
	for i, e := range list {
		values[i] = metricValue{e.Set, e.Metric, num(e.Value)}
	}
	return values
}

// trainingData is what a training reads.
type trainingData struct {
	train *dataset.Dataset
	valid []gbdt.ValidSet
	init  *lightgbm.Model // of input_model, or nil
}

func (a *app) loadTraining(ctx context.Context, cfg *lightgbm.Config) (*trainingData, error) {
	data := &trainingData{}
	var err error
	if cfg.InputModel != "" {
		if data.init, err = a.loadModel(cfg.InputModel); err != nil {
			return nil, err
		}
	}
	if err := a.adoptSettings(ctx, cfg); err != nil {
		return nil, err
	}
	if data.train, err = a.loadTable(ctx, cfg, cfg.Data, nil, data.init); err != nil {
		return nil, err
	}
	if len(cfg.Metrics()) == 0 && cfg.Task == "train" {
		return data, nil // as in LightGBM nothing is then asked of them
	}
	for i, path := range cfg.Valid {
		d, err := a.loadTable(ctx, cfg, path, data.train, data.init)
		if err != nil {
			return nil, err
		}
		data.valid = append(data.valid, gbdt.ValidSet{Name: validName(i), Data: d})
	}
	return data, nil
}

// loadTable reads and bins a table: the training data, or with train given a
// validation set.
func (a *app) loadTable(
	ctx context.Context, cfg *lightgbm.Config, path string, train *dataset.Dataset, init *lightgbm.Model,
) (*dataset.Dataset, error) {
	start := time.Now()
	show := a.startProgress(readingText(path), unit{bytes: true}, 0)
	defer show.stop()
	opt, err := readOptions(cfg)
	if err != nil {
		return nil, err
	}
	opt.Progress = show.set
	in, err := a.tableInput(path, opt)
	if err != nil {
		return nil, err
	}
	if init != nil {
		if in.Table.Once {
			return nil, inputError("give a file", "%s: input_model needs data that can be read twice", in.Table.Name)
		}
		if in.Init != nil {
			a.log.Warn("initial scores come from input_model; the side file is not used", "file", in.Init.Name)
			in.Init = nil
			for i := range in.More {
				in.More[i].Init = nil
			}
		}
	}
	bins := gbdt.DatasetOptions(cfg)
	if bins.ForcedBins, err = gbdt.ForcedBins(cfg); err != nil {
		return nil, err
	}
	bins.Admit = a.admission(cfg, read.JoinedName(in.Tables()), train != nil)
	d, notices, err := dataset.Load(ctx, in, bins, train)
	if err != nil {
		return nil, err
	}
	for _, n := range notices {
		a.log.Warn(string(n))
	}
	if cfg.SaveBinary {
		// Before scores of a model take the place of those of the data.
		if err := a.saveBinary(ctx, cfg, path, train != nil, d); err != nil {
			return nil, err
		}
	}
	if init != nil {
		if d.InitScore, err = rawScores(ctx, in.Tables(), opt, init); err != nil {
			return nil, err
		}
	}
	attrs := []any{"file", read.JoinedName(in.Tables()), "rows", d.Rows, "features", len(d.FeatureNames), "took", time.Since(start)}
	if train == nil {
		a.log.Info("read the training data", attrs...)
	} else {
		a.log.Info("read validation data", attrs...)
	}
	return d, nil
}

// tableInput is a table with its side files.
func (a *app) tableInput(path string, opt read.Options) (dataset.Input, error) {
	if path == "-" {
		return dataset.Input{Table: read.Stdin(a.stdin), Read: opt}, nil
	}
	return dataset.FilesInput(dataFiles(path), opt)
}

// boost trains and reports every iteration.
func (a *app) boost(ctx context.Context, cfg *lightgbm.Config, data *trainingData) (*gbdt.Booster, error) {
	if err := setColumns(cfg, data.train); err != nil {
		return nil, err
	}
	show := a.startProgress("training", unit{name: "iterations"}, int64(cfg.NumIterations))
	defer show.stop()
	rounds := 0
	booster, err := gbdt.Train(ctx, cfg, data.train, gbdt.Options{
		Logger: a.log, Valid: data.valid, InitModel: data.init,
		OnIteration: func(p *gbdt.Progress) error {
			rounds = p.Iteration
			show.add(1)
			if cfg.MetricFreq > 0 && p.Iteration%cfg.MetricFreq == 0 {
				a.printEvaluations(ctx, p)
			}
			return ctx.Err()
		},
		OnSnapshot: func(iteration int, m *lightgbm.Model) error {
			path := snapshotPrefix(cfg) + strconv.Itoa(iteration)
			size, err := a.saveModel(path, m)
			if err == nil {
				a.log.Info("wrote a snapshot of the model", "file", path, "iterations", m.NumIterations(), "size", byteSize(float64(size)))
			}
			return err
		},
	})
	if err != nil {
		return nil, inFile(cfg, err)
	}
	if best := booster.BestIteration(); best > 0 {
		a.log.Info("early stopping", "iteration", rounds, "best_iteration", best)
	}
	if list := booster.Evaluations(); a.jsonLog {
		a.logEvaluations("the model's metric", booster.Model().NumIterations(), list)
	} else if len(list) > 0 {
		attrs := make([]any, 0, 2*len(list))
		for _, e := range list {
			attrs = append(attrs, e.Set+" "+e.Metric, e.Value)
		}
		a.log.Info("the model's metrics", attrs...)
	}
	return booster, nil
}

// validName is what the metrics of a validation file are called.
func validName(i int) string { return "valid_" + strconv.Itoa(i+1) }

// inFile names the file that an error of the engine is about.
func inFile(cfg *lightgbm.Config, err error) error {
	var of *gbdt.SetError
	if !errors.As(err, &of) {
		return err
	}
	path := cfg.Data
	for i := range cfg.Valid {
		if of.Set == validName(i) {
			path = cfg.Valid[i]
		}
	}
	return fmt.Errorf("%s: %w", sourceName(path), of.Err)
}

// snapshotPrefix is the path of snapshots up to the iteration.
func snapshotPrefix(cfg *lightgbm.Config) string { return cfg.OutputModel + ".snapshot_iter_" }

// checkSnapshots finds out before long work whether snapshots have a place and
// replace no input.
func checkSnapshots(cfg *lightgbm.Config) error {
	if cfg.SnapshotFreq <= 0 {
		return nil
	}
	if cfg.OutputModel == "-" {
		return inputError("name a file in output_model, or leave snapshot_freq out",
			"snapshot_freq=%d writes files beside the model, but output_model=- is standard output", cfg.SnapshotFreq)
	}
	for _, in := range inputs(cfg) {
		number, ok := strings.CutPrefix(filepath.Clean(in.path), filepath.Clean(snapshotPrefix(cfg)))
		if n, err := strconv.Atoi(number); ok && err == nil && n <= cfg.NumIterations && n%cfg.SnapshotFreq == 0 {
			return inputError("name another output_model", "snapshot_freq=%d would replace what %s=%s reads", cfg.SnapshotFreq, in.name, in.path)
		}
	}
	return nil
}

// printEvaluations writes an iteration's metrics as LightGBM's users know
// them: one line, [10] and then each set, metric and value.
func (a *app) printEvaluations(ctx context.Context, p *gbdt.Progress) {
	if len(p.Metrics) == 0 || !a.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	if a.jsonLog {
		a.logEvaluations("evaluation", p.Iteration, p.Metrics)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[%d]", p.Iteration)
	for _, e := range p.Metrics {
		fmt.Fprintf(&b, "\t%s %s: %.6g", e.Set, e.Metric, e.Value)
	}
	a.console.printf("%s\n", b.String())
}

// logEvaluations is printEvaluations for programs.
func (a *app) logEvaluations(message string, iteration int, list []gbdt.Evaluation) {
	for _, e := range list {
		a.log.Info(message, "iteration", iteration, "set", e.Set, "metric", e.Metric, "value", num(e.Value))
	}
}

// saveModel writes the model and returns its size in bytes.
func (a *app) saveModel(path string, model *lightgbm.Model) (int64, error) {
	out, err := a.createOutput(path)
	if err != nil {
		return 0, err
	}
	defer out.abort()
	w := bufio.NewWriterSize(out, 1<<16)
	counted := &countingWriter{w: w}
	if err := model.Write(counted); err != nil {
		return 0, err
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return counted.n, out.commit()
}

type countingWriter struct {
	w *bufio.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
