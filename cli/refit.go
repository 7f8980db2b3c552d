package cli

import (
	"context"
	"errors"
	"time"

	"cloister/engine/dataset"
	"cloister/engine/dataset/read"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

// refitSummary is what task=refit prints with --json.
type refitSummary struct {
	Task       string         `json:"task"`
	Data       string         `json:"data"`
	InputModel string         `json:"input_model"`
	Model      string         `json:"model"`
	Objective  string         `json:"objective"`
	Rows       int            `json:"rows"`
	Iterations int            `json:"iterations"`
	Trees      int            `json:"trees"`
	ModelBytes int64          `json:"model_bytes"`
	Seconds    map[string]num `json:"seconds"`
}

// refit fits the leaves of input_model to data and writes output_model.
func (a *app) refit(ctx context.Context, cfg *lightgbm.Config) error {
	start := time.Now()
	if err := checkPaths(cfg.OutputModel, "output_model", inputs(cfg)); err != nil {
		return err
	}
	if err := a.checkOutput(cfg.OutputModel, "output_model"); err != nil {
		return err
	}
	if cfg.Data == "-" {
		return inputError("give a file", "data=-: task=refit needs data that can be read twice")
	}
	if len(dataFiles(cfg.Data)) == 1 && dataset.IsBinary(ctx, read.File(cfg.Data)) {
		return inputError("give the table it was made from",
			"%s: is a binary data set, which has bins and no values: they lead to the leaves", cfg.Data)
	}
	if err := a.checkBinaries(ctx, cfg); err != nil {
		return err
	}
	model, err := a.loadModel(cfg.InputModel)
	if err != nil {
		return err
	}
	if err := gbdt.CheckRefit(cfg, model); err != nil {
		return err
	}
	a.refits = model
	rows, err := a.loadRows(ctx, cfg)
	if err != nil {
		return err
	}
	leaves, err := a.leavesOf(ctx, cfg, model, len(rows.Label))
	if err != nil {
		return err
	}
	loaded := time.Now()
	refitted, err := gbdt.Refit(ctx, cfg, model, rows, leaves, gbdt.RefitOptions{Logger: a.log})
	if err != nil {
		return inFile(cfg, err)
	}
	size, err := a.saveModel(cfg.OutputModel, refitted)
	if err != nil {
		return err
	}
	a.log.Info("wrote the refitted model", "file", cfg.OutputModel, "rows", leaves.Rows(), "trees", len(refitted.Trees),
		"size", byteSize(float64(size)), "took", time.Since(start))
	if a.json {
		return a.printJSON(refitSummary{
			Task: "refit", Data: cfg.Data, InputModel: cfg.InputModel, Model: cfg.OutputModel, Objective: refitted.Objective,
			Rows: leaves.Rows(), Iterations: refitted.NumIterations(), Trees: len(refitted.Trees),
			ModelBytes: size,
			Seconds: map[string]num{
				"load":  num(loaded.Sub(start).Seconds()),
				"refit": num(time.Since(loaded).Seconds()),
				"total": num(time.Since(start).Seconds()),
			},
		})
	}
	return nil
}

// loadRows reads what is known of the rows of data besides their features. The
// bins, which also say whether the features are good, are not kept.
func (a *app) loadRows(ctx context.Context, cfg *lightgbm.Config) (*dataset.Metadata, error) {
	data, err := a.loadTable(ctx, cfg, cfg.Data, nil, nil)
	if err != nil {
		return nil, err
	}
	rows := data.Metadata
	return &rows, setColumns(cfg, data)
}

// leavesOf finds the leaves that the rows of data fall into, and the values that
// linear trees need.
func (a *app) leavesOf(ctx context.Context, cfg *lightgbm.Config, model *lightgbm.Model, rows int) (*gbdt.Leaves, error) {
	opt, err := readOptions(cfg)
	if err != nil {
		return nil, err
	}
	p, err := model.Predictor(0, 0)
	if err != nil {
		return nil, err
	}
	leaves := gbdt.NewLeaves(model)
	leaves.Grow(rows)
	s := leafScorer(p, leaves.Features())
	trees := p.Trees()
	err = eachScored(ctx, a.sources(cfg.Data), opt, model, s, func(lines []float64) []placedRows {
		var rows placedRows
		for ; len(lines) > 0; lines = lines[s.width:] {
			for _, v := range lines[:trees] {
				rows.leaves = append(rows.leaves, int32(v))
			}
			rows.values = append(rows.values, lines[trees:s.width]...)
		}
		return []placedRows{rows}
	}, func(parts []placedRows) error {
		for _, rows := range parts {
			if err := errors.Join(leaves.Append(rows.leaves), leaves.AppendValues(rows.values)); err != nil {
				return inFile(cfg, err)
			}
		}
		return nil
	})
	return leaves, err
}

// placedRows are rows by what gbdt.Leaves wants of them.
type placedRows struct {
	leaves []int32
	values []float64
}
