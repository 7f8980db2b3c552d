package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cloister/engine/dataset/read"
	"cloister/engine/lightgbm"
)

// predictSummary is what "cloister predict --json" prints.
type predictSummary struct {
	Task       string  `json:"task"`
	Data       string  `json:"data"`
	Model      string  `json:"model"`
	Result     string  `json:"result"`
	Kind       string  `json:"kind"`
	Rows       int     `json:"rows"`
	Columns    int     `json:"columns"`
	Iterations int     `json:"iterations"`
	Seconds    float64 `json:"seconds"`
}

// predict applies input_model to data and writes output_result.
func (a *app) predict(ctx context.Context, cfg *lightgbm.Config) error {
	start := time.Now()
	reads := append(inputs(cfg), namedPath{"input_model", cfg.InputModel})
	if err := checkPaths(cfg.OutputResult, "output_result", reads); err != nil {
		return err
	}
	if err := a.checkOutput(cfg.OutputResult, "output_result"); err != nil {
		return err
	}
	model, err := a.loadModel(cfg.InputModel)
	if err != nil {
		return err
	}
	if n := model.NumIterations(); n > 0 && cfg.StartIterationPredict >= n {
		a.log.Warn("no tree takes part: the model ends before start_iteration_predict", "start", cfg.StartIterationPredict, "iterations", n)
	}
	s, err := scorerFor(cfg, model)
	if err != nil {
		return err
	}
	rows, err := a.scoreFile(ctx, cfg, model, s)
	if err != nil {
		return err
	}
	first, end := model.IterationRange(cfg.StartIterationPredict, cfg.NumIterationPredict)
	summary := predictSummary{
		Task: "predict", Data: cfg.Data, Model: cfg.InputModel, Result: cfg.OutputResult, Kind: s.kind,
		Rows: rows, Columns: s.width, Iterations: end - first, Seconds: time.Since(start).Seconds(),
	}
	a.log.Info("predicted", "rows", rows, "kind", s.kind, "result", cfg.OutputResult, "took", time.Since(start))
	if a.json {
		return a.printJSON(summary)
	}
	return nil
}

// loadModel reads a model; "-" is standard input.
func (a *app) loadModel(path string) (*lightgbm.Model, error) {
	if path == "-" {
		return lightgbm.ReadModel("standard input", a.stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the model: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	model, err := lightgbm.ReadModel(path, f)
	if err != nil {
		return nil, err
	}
	a.log.Debug("read the model", "file", path, "iterations", model.NumIterations(),
		"features", model.NumFeatures(), "objective", model.Objective)
	return model, nil
}

// scoreFile predicts for the whole table and returns the number of its rows.
func (a *app) scoreFile(ctx context.Context, cfg *lightgbm.Config, model *lightgbm.Model, s *scorer) (int, error) {
	show := a.startProgress(readingText(cfg.Data), unit{bytes: true}, 0)
	defer show.stop()
	opt := read.Options{
		Header:        cfg.Header,
		NoLabel:       cfg.Header,
		Label:         read.ByIndex(model.LabelIndex),
		LabelOptional: true,
		Features:      model.NumFeatures(),
		DropExtra:     cfg.PredictDisableShapeCheck,
		Threads:       cfg.NumThreads,
		Progress:      show.set,
	}
	table, err := read.OpenAll(ctx, a.sources(cfg.Data), opt)
	if err != nil {
		return 0, err
	}
	defer table.Close() //nolint:errcheck // only read
	columns, absent, err := mapColumns(table, model, !cfg.PredictDisableShapeCheck)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", sourceName(cfg.Data), err)
	}
	if len(absent) > 0 {
		a.log.Warn("columns of the model are missing and taken as 0", "file", sourceName(cfg.Data), "columns", someNames(absent))
	}
	out, err := a.createOutput(cfg.OutputResult)
	if err != nil {
		return 0, err
	}
	defer out.abort()
	rows := 0
	type lines struct {
		text []byte
		rows int
	}
	err = read.InOrder(ctx, table, func(b *read.Batch) (lines, error) {
		text, err := s.format(b, columns)
		return lines{text, b.Rows}, err
	}, func(l lines) error {
		rows += l.rows
		_, err := out.Write(l.text)
		return err
	})
	if err != nil {
		return 0, err
	}
	return rows, out.commit()
}

// readingText is what the progress of reading a table is called.
func readingText(path string) string { return "reading " + joinedName(path, filepath.Base) }

// sourceName is what messages call a table.
func sourceName(path string) string {
	return joinedName(path, func(file string) string { return file })
}

func joinedName(path string, name func(file string) string) string {
	if path == "-" {
		return "standard input"
	}
	var list []read.Source
	for _, file := range dataFiles(path) {
		list = append(list, read.Source{Name: name(file)})
	}
	return read.JoinedName(list)
}

// scorerFor chooses what the parameters ask for.
func scorerFor(cfg *lightgbm.Config, model *lightgbm.Model) (*scorer, error) {
	p, err := model.Predictor(cfg.StartIterationPredict, cfg.NumIterationPredict)
	if err != nil {
		return nil, err
	}
	if cfg.PredEarlyStop {
		if p, _, err = model.EarlyStop(p, cfg.PredEarlyStopFreq, cfg.PredEarlyStopMargin); err != nil {
			return nil, err
		}
	}
	switch {
	case cfg.PredictLeafIndex:
		return leafScorer(p, nil), nil
	case cfg.PredictContrib:
		x, err := p.Explainer()
		if err != nil {
			return nil, err
		}
		return contributionScorer(p, x.Width()), nil
	}
	s := rawScorer(p, !cfg.PredictRawScore)
	if cfg.PredEarlyStop {
		s.sparse = nil // that is for all trees
	}
	return s, nil
}
