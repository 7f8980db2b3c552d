package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"cloister/engine/dataset"
	"cloister/engine/dataset/read"
	"cloister/engine/lightgbm"
)

// binarySuffix is what save_binary adds to the name of a table.
const binarySuffix = ".bin"

// binarySummary is what "cloister train task=save_binary --json" prints.
type binarySummary struct {
	Task     string         `json:"task"`
	Data     string         `json:"data"`
	Files    []binaryFile   `json:"files"`
	Rows     int            `json:"rows"`
	Features int            `json:"features"`
	Seconds  map[string]num `json:"seconds"`
}

type binaryFile struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

// saveBinaryOnly is task=save_binary.
func (a *app) saveBinaryOnly(ctx context.Context, cfg *lightgbm.Config) error {
	start := time.Now()
	if err := a.checkBinaries(ctx, cfg); err != nil {
		return err
	}
	data, err := a.loadTraining(ctx, cfg)
	if err != nil {
		return err
	}
	if !a.json {
		return nil
	}
	return a.printJSON(binarySummary{
		Task: cfg.Task, Data: cfg.Data, Files: a.binaries, Rows: data.train.Rows, Features: len(data.train.FeatureNames),
		Seconds: map[string]num{"total": num(time.Since(start).Seconds())},
	})
}

// binaryPath is the file that a table's binary data set goes into, "" where it
// is one already.
func binaryPath(ctx context.Context, cfg *lightgbm.Config, path string, valid bool) string {
	files := dataFiles(path)
	switch {
	case !valid && cfg.SaveBinaryFilename != "":
		return cfg.SaveBinaryFilename
	case len(files) == 1 && path != "-" && dataset.IsBinary(ctx, read.File(path)):
		return ""
	}
	return path + binarySuffix
}

// checkBinaries finds out before long work whether save_binary can do what it
// should.
func (a *app) checkBinaries(ctx context.Context, cfg *lightgbm.Config) error {
	if !cfg.SaveBinary {
		a.mentionBinary(ctx, cfg)
		return nil
	}
	for i, in := range tables(cfg) {
		valid := in.name == "valid"
		path := in.path
		switch {
		case !valid && i > 0:
			continue // a further file of the training data
		case !valid:
			path = cfg.Data
		}
		if !valid && cfg.SaveBinaryFilename == "" && (path == "-" || len(dataFiles(path)) > 1) {
			return inputError("name it with save_binary_filename", "save_binary=true has no name for the file: data=%s is no single file", path)
		}
		if valid && path == "-" {
			return inputError("give a file", "save_binary=true has no name for the file: valid=- is standard input")
		}
		out := binaryPath(ctx, cfg, path, valid)
		if out == "" {
			continue
		}
		if err := a.checkBinary(ctx, cfg, out); err != nil {
			return err
		}
	}
	return nil
}

// checkBinary checks that a binary data set can be written and replaces nothing
// but another of its kind.
func (a *app) checkBinary(ctx context.Context, cfg *lightgbm.Config, out string) error {
	for _, in := range inputs(cfg) {
		if samePath(out, in.path) {
			return inputError("name another file with save_binary_filename", "save_binary=true would replace what %s=%s reads", in.name, in.path)
		}
	}
	if samePath(out, cfg.OutputModel) || out == cfg.OutputModel {
		return inputError("write to another file", "save_binary=true and output_model both want to write %s", out)
	}
	info, err := os.Stat(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err == nil && info.Mode().IsRegular() && info.Size() > 0 && !dataset.IsBinary(ctx, read.File(out)):
		return inputError("move it away, or name another file with save_binary_filename",
			"save_binary=true would replace %s, which is no binary data set of Cloister's", out)
	}
	return a.checkOutput(out, "save_binary_filename")
}

// mentionBinary tells those who know LightGBM, which reads such a file without
// being asked, that it is not read here.
func (a *app) mentionBinary(ctx context.Context, cfg *lightgbm.Config) {
	name := cfg.Data + binarySuffix
	if cfg.Data != "-" && dataset.IsBinary(ctx, read.File(name)) {
		a.log.Info(fmt.Sprintf("the binary data set %s may be older than the table and is not read; data=%s reads it", name, name))
	}
}

// saveBinary writes a data set for later runs.
func (a *app) saveBinary(ctx context.Context, cfg *lightgbm.Config, path string, valid bool, d *dataset.Dataset) error {
	name := binaryPath(ctx, cfg, path, valid)
	if name == "" {
		a.log.Warn("is a binary data set already, and is not saved again", "file", path)
		return nil
	}
	start := time.Now()
	out, err := a.createOutput(name)
	if err != nil {
		return err
	}
	defer out.abort()
	w := bufio.NewWriterSize(out, 1<<16)
	counted := &countingWriter{w: w}
	if err := d.WriteBinary(counted); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	a.binaries = append(a.binaries, binaryFile{File: name, Bytes: counted.n})
	a.log.Info("saved the binary data set", "file", name, "size", byteSize(float64(counted.n)), "took", time.Since(start))
	return nil
}

// adoptSettings takes the parameters that made a binary data set from it, so far
// as the user has not given them; those that he has are compared when it is
// loaded.
func (a *app) adoptSettings(ctx context.Context, cfg *lightgbm.Config) error {
	if cfg.Data == "-" || len(dataFiles(cfg.Data)) > 1 {
		return nil
	}
	src := read.File(cfg.Data)
	if !dataset.IsBinary(ctx, src) {
		return nil
	}
	settings, err := dataset.BinarySettings(ctx, src)
	if err != nil {
		return err
	}
	for _, s := range settings {
		switch {
		case a.given[s.Name], s.Name == "min_data_in_leaf", s.Name == "forcedbins_filename":
			continue // min_data_in_leaf is about learning too, and forced bins are in the data set
		}
		if err := cfg.Set(s.Name, s.Value); err != nil {
			return inputError("save it again from its table", "%s: is a damaged binary data set: %w", cfg.Data, err)
		}
	}
	return nil
}
