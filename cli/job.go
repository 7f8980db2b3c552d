package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cloister/engine/lightgbm"
)

const trainLong = `Train a model as LightGBM's command line does, from the same arguments and
configuration files, and write it in LightGBM's format.

Parameters are given as KEY=VALUE; config=FILE reads more of them from a file,
one KEY = VALUE a line. The command line goes over the file. Paths are relative
to the working directory, "-" is standard input or output. task=predict in the
file makes a prediction, like "cloister predict"; task=refit fits the leaves of
input_model to data and leaves its trees as they are; task=save_binary stores
binned data for later runs; task=convert_model turns a model into C++ or Go
source code.`

const trainExample = `  cloister train config=train.conf
  cloister train data=train.csv header=true label_column=name:target objective=binary valid=test.csv
  cloister train config=train.conf num_threads=2 output_model=model.txt --json
  cloister train task=refit data=new.csv input_model=model.txt objective=binary output_model=refitted.txt
  cloister train task=convert_model input_model=model.txt convert_model_language=go convert_model=model.go`

const predictLong = `Apply a model to a table as LightGBM's command line does. The model is
LightGBM's model text, from Cloister or from LightGBM.

The table may have its label column or not; that is told by the number of
columns. With header=true columns are matched by name. The result has one line
for each row: the prediction, raw score (predict_raw_score=true), leaf indices
(predict_leaf_index=true) or contributions (predict_contrib=true), separated by
tabs. "-" is standard input or output.`

const predictExample = `  cloister predict data=test.csv input_model=LightGBM_model.txt
  zcat rows.csv.gz | cloister predict data=- input_model=model.txt output_result=-
  cloister predict config=predict.conf predict_contrib=true output_result=contributions.tsv`

func (a *app) newTrainCommand() *cobra.Command {
	return a.newJobCommand("", &cobra.Command{
		Use:     "train [KEY=VALUE]...",
		Short:   "Train gradient boosted trees with LightGBM's parameters",
		Long:    trainLong,
		Example: trainExample,
	})
}

func (a *app) newPredictCommand() *cobra.Command {
	return a.newJobCommand("predict", &cobra.Command{
		Use:     "predict [KEY=VALUE]...",
		Short:   "Apply a model to a table",
		Long:    predictLong,
		Example: predictExample,
	})
}

// newJobCommand completes a command that takes LightGBM's parameters. task is
// as in runJob.
func (a *app) newJobCommand(task string, cmd *cobra.Command) *cobra.Command {
	var flags configFlags
	flags.add(cmd)
	cmd.ValidArgsFunction = completeSettings
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.runJob(cmd.Context(), task, flags, args)
	}
	cmd.SetFlagErrorFunc(settingFlagError)
	return cmd
}

// settingFlagError tells those who write a parameter as a flag how to write it.
func settingFlagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := strings.ReplaceAll(unknown.GetSpecifiedName(), "-", "_")
		if p := lightgbm.Lookup(name); p != nil && unknown.GetSpecifiedShortnames() == "" {
			return inputError(fmt.Sprintf("parameters have no dashes: write %s=VALUE", name), "%w", err)
		}
	}
	return flagError(cmd, err)
}

// runJob runs what the parameters describe: task, or if that is empty the task
// that they name.
func (a *app) runJob(ctx context.Context, task string, flags configFlags, args []string) error {
	if flags.help {
		return a.printParameters()
	}
	cfg, err := a.configure(ctx, task, flags, args)
	if err != nil {
		return err
	}
	if err := cfg.CheckFiles(); err != nil {
		return err
	}
	if err := checkDataFiles(cfg); err != nil {
		return err
	}
	reads := append(tables(cfg), namedPath{"input_model", cfg.InputModel})
	if err := checkInputs(append(reads, forcedFiles(cfg)...)); err != nil {
		return err
	}
	switch cfg.Task {
	case "train":
		return a.train(ctx, cfg)
	case "save_binary":
		return a.saveBinaryOnly(ctx, cfg)
	case "predict":
		return a.predict(ctx, cfg)
	case "convert_model":
		return a.convert(cfg)
	case "refit":
		return a.refit(ctx, cfg)
	default:
		return inputError("use task=train, task=predict, task=refit, task=save_binary or task=convert_model",
			"task=%s is not supported yet", cfg.Task)
	}
}

// checkDataFiles refuses a list of files with what cannot be one of several.
func checkDataFiles(cfg *lightgbm.Config) error {
	files := dataFiles(cfg.Data)
	switch {
	case len(files) == 1:
		return nil
	case slices.Contains(files, ""):
		return inputError("leave out the comma that is too many", "data=%s: the name of a file is empty", cfg.Data)
	case slices.Contains(files, "-"):
		return inputError("give files, or - alone", "data=%s: standard input cannot be one of several files", cfg.Data)
	}
	return nil
}

// tables lists the tables that a job reads.
func tables(cfg *lightgbm.Config) []namedPath {
	var list []namedPath
	for _, path := range dataFiles(cfg.Data) {
		list = append(list, namedPath{"data", path})
	}
	if cfg.Task == "train" || cfg.Task == "save_binary" {
		for _, path := range cfg.Valid {
			list = append(list, namedPath{"valid", path})
		}
	}
	return list
}

// forcedFiles lists the files that a training takes splits and bins from.
func forcedFiles(cfg *lightgbm.Config) []namedPath {
	var list []namedPath
	for _, f := range []namedPath{
		{"forcedsplits_filename", cfg.ForcedsplitsFilename}, {"forcedbins_filename", cfg.ForcedbinsFilename},
	} {
		bins := f.name == "forcedbins_filename" && cfg.Task == "save_binary"
		if f.path != "" && (cfg.Task == "train" || bins) {
			list = append(list, f)
		}
	}
	return list
}

// inputs lists the files that a job reads, as far as they may not be written
// by it.
func inputs(cfg *lightgbm.Config) []namedPath {
	list := tables(cfg)
	for _, table := range tables(cfg) {
		for _, suffix := range []string{".weight", ".query", ".init", ".position"} {
			if table.path != "-" {
				list = append(list, namedPath{"the side file of " + table.name, table.path + suffix})
			}
		}
	}
	list = append(list, forcedFiles(cfg)...)
	if cfg.Config != "" {
		list = append(list, namedPath{"config", cfg.Config})
	}
	return list
}
