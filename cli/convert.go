package cli

import (
	"bufio"
	"time"

	"cloister/engine/lightgbm"
)

// convertSummary is what task=convert_model prints with --json.
type convertSummary struct {
	Task     string `json:"task"`
	Model    string `json:"model"`
	Result   string `json:"result"`
	Language string `json:"language"`
	Trees    int    `json:"trees"`
	Bytes    int64  `json:"bytes"`
}

// conversion is what convert_model and convert_model_language ask for.
type conversion struct {
	language lightgbm.Language
	path     string
}

// conversionFor checks the parameters before long work. The default file gets
// the ending of the language.
func (a *app) conversionFor(cfg *lightgbm.Config, reads []namedPath) (*conversion, error) {
	language, err := lightgbm.ParseLanguage(cfg.ConvertModelLanguage)
	if err != nil {
		return nil, err
	}
	c := &conversion{language: language, path: cfg.ConvertModel}
	if c.path == lightgbm.NewConfig().ConvertModel && language == lightgbm.Go {
		c.path = "gbdt_prediction.go"
	}
	if err := checkPaths(c.path, "convert_model", reads); err != nil {
		return nil, err
	}
	return c, a.checkOutput(c.path, "convert_model")
}

// conversionAfter is the conversion that a training ends with, or nil.
func (a *app) conversionAfter(cfg *lightgbm.Config) (*conversion, error) {
	if cfg.ConvertModelLanguage == "" {
		return nil, nil //nolint:nilnil // none is asked for
	}
	c, err := a.conversionFor(cfg, inputs(cfg))
	if err == nil && (c.path == cfg.OutputModel || samePath(c.path, cfg.OutputModel)) {
		return nil, inputError("write to another file", "convert_model=%s is output_model too", c.path)
	}
	return c, err
}

// convert turns input_model into source code.
func (a *app) convert(cfg *lightgbm.Config) error {
	c, err := a.conversionFor(cfg, []namedPath{{"input_model", cfg.InputModel}})
	if err != nil {
		return err
	}
	model, err := a.loadModel(cfg.InputModel)
	if err != nil {
		return err
	}
	size, err := a.saveSource(c, model)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(convertSummary{
			Task: "convert_model", Model: cfg.InputModel, Result: c.path, Language: string(c.language),
			Trees: len(model.Trees), Bytes: size,
		})
	}
	return nil
}

// saveSource writes the source code, if a conversion is asked for, and returns
// its size in bytes.
func (a *app) saveSource(c *conversion, model *lightgbm.Model) (int64, error) {
	if c == nil {
		return 0, nil
	}
	start := time.Now()
	out, err := a.createOutput(c.path)
	if err != nil {
		return 0, err
	}
	defer out.abort()
	w := bufio.NewWriterSize(out, 1<<16)
	counted := &countingWriter{w: w}
	if err := model.WriteSource(counted, c.language); err != nil {
		return 0, err
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	if err := out.commit(); err != nil {
		return 0, err
	}
	a.log.Info("wrote the source code", "file", c.path, "language", string(c.language), "trees", len(model.Trees),
		"size", byteSize(float64(counted.n)), "time", time.Since(start))
	return counted.n, nil
}
