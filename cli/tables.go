package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"

	"cloister/engine/dataset"
	"cloister/engine/dataset/read"
	"cloister/engine/lightgbm"
)

// readOptions say how the parameters want training and validation tables to be
// read.
func readOptions(cfg *lightgbm.Config) (read.Options, error) {
	opt := read.Options{Header: cfg.Header, Threads: cfg.NumThreads}
	for _, c := range []struct {
		name, value string
		to          *read.ColumnRef
	}{
		{"label_column", cfg.LabelColumn, &opt.Label},
		{"weight_column", cfg.WeightColumn, &opt.Weight},
		{"group_column", cfg.GroupColumn, &opt.Group},
	} {
		list, err := columnRefs(c.name, c.value)
		if err != nil {
			return opt, err
		}
		if len(list) > 0 {
			*c.to = list[0]
		}
	}
	var err error
	opt.Ignore, err = columnRefs("ignore_column", cfg.IgnoreColumn)
	return opt, err
}

func columnRefs(name, value string) ([]read.ColumnRef, error) {
	list, err := lightgbm.ParseColumns(value)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", name, value, err)
	}
	var refs []read.ColumnRef
	for _, n := range list.Names {
		refs = append(refs, read.ByName(n))
	}
	for _, i := range list.Indices {
		refs = append(refs, read.ByIndex(i))
	}
	return refs, nil
}

// dataFiles are the files that make one table: those of a list with commas,
// unless there is a file of that whole name.
func dataFiles(path string) []string {
	if !strings.Contains(path, ",") {
		return []string{path}
	}
	if _, err := os.Stat(path); err == nil {
		return []string{path}
	}
	files := strings.Split(path, ",")
	for i, f := range files {
		files[i] = strings.TrimSpace(f)
	}
	return files
}

// sources are the files of a table, or standard input.
func (a *app) sources(path string) []read.Source {
	var list []read.Source
	for _, f := range dataFiles(path) {
		if f == "-" {
			list = append(list, read.Stdin(a.stdin))
		} else {
			list = append(list, read.File(f))
		}
	}
	return list
}

// setColumns replaces names by indices in the parameters that the model will
// show, as LightGBM's Python package demands.
func setColumns(cfg *lightgbm.Config, d *dataset.Dataset) error {
	var indices [2][]int
	for i, c := range []struct{ name, value string }{
		{"ignore_column", cfg.IgnoreColumn},
		{"categorical_feature", cfg.CategoricalFeature},
	} {
		list, err := lightgbm.ParseColumns(c.value)
		if err != nil {
			return fmt.Errorf("%s=%s: %w", c.name, c.value, err)
		}
		indices[i] = list.Indices
		for _, n := range list.Names {
			// A name may have been the label's, which is no feature.
			if at := slices.Index(d.FeatureNames, modelName(n)); at >= 0 {
				indices[i] = append(indices[i], at)
			}
		}
	}
	cfg.SetColumns(indices[0], indices[1])
	return nil
}

// modelName is a column's name as a model has it: LightGBM replaces blanks.
func modelName(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return '_'
		}
		return r
	}, name)
}

// rawScores are a model's raw scores of a table's rows, model after model.
func rawScores(ctx context.Context, sources []read.Source, opt read.Options, model *lightgbm.Model) ([]float64, error) {
	p, err := model.Predictor(0, 0)
	if err != nil {
		return nil, err
	}
	s := newScorer(p, "raw_score", p.Models(), func(_ *scratch, rows, out []float64) error {
		return p.RawRows(rows, out)
	})
	var byRow []float64
	err = eachScored(ctx, sources, opt, model, s, slices.Clone[[]float64], func(scores []float64) error {
		byRow = append(byRow, scores...)
		return nil
	})
	if err != nil || p.Models() == 1 {
		return byRow, err
	}
	rows := len(byRow) / p.Models()
	byModel := make([]float64, len(byRow))
	for i, v := range byRow {
		byModel[i%p.Models()*rows+i/p.Models()] = v
	}
	return byModel, nil
}

// eachScored scores the rows of a training table by a model, some at a time,
// and passes on, in their order, what keep makes of the scores.
func eachScored[T any](
	ctx context.Context, sources []read.Source, opt read.Options, model *lightgbm.Model, s *scorer,
	keep func(scores []float64) []T, pass func([]T) error,
) error {
	opt.Features = model.NumFeatures()
	table, err := read.OpenAll(ctx, sources, opt)
	if err != nil {
		return err
	}
	defer table.Close() //nolint:errcheck // only read
	if got, want := table.Features(), model.NumFeatures(); got != want {
		return inputError("give data of the same columns", "%s has %s, but input_model was trained on %d",
			read.JoinedName(sources), counted(got, "feature"), want)
	}
	columns := &columnMap{features: model.NumFeatures()}
	return read.InOrder(ctx, table, func(b *read.Batch) ([][]T, error) {
		var parts [][]T
		err := s.each(b, columns, func(scores []float64) { parts = append(parts, keep(scores)) })
		return parts, err
	}, func(parts [][]T) error {
		for _, p := range parts {
			if err := pass(p); err != nil {
				return err
			}
		}
		return nil
	})
}
