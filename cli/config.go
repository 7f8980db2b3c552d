package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"cloister/engine/lightgbm"
)

// configFlags are those of a command that takes LightGBM's parameters.
type configFlags struct {
	config string
	help   bool
}

func (c *configFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.config, "config", "", "read parameters from `FILE`, like config=FILE")
	cmd.Flags().BoolVar(&c.help, "help-parameters", false, "list the parameters and exit")
}

// configure resolves the parameters of the command line and of the
// configuration file, sets the verbosity that they ask for, and logs what
// there is to say about them. task is the task that the command always runs,
// or "" if the parameter decides.
func (a *app) configure(ctx context.Context, task string, flags configFlags, args []string) (*lightgbm.Config, error) {
	cmdline, err := lightgbm.ParseArgs(args)
	if err != nil {
		return nil, &Error{Code: ExitInput, Err: err, Hint: argumentHint(args)}
	}
	if flags.config != "" {
		if also := lightgbm.ConfigFile(cmdline); also != "" {
			return nil, inputError("give one of them", "two configuration files: --config=%s and config=%s", flags.config, also)
		}
		cmdline = append(cmdline, lightgbm.Setting{Key: "config", Value: flags.config, Origin: lightgbm.CommandLine()})
	}
	var file []lightgbm.Setting
	if name := lightgbm.ConfigFile(cmdline); name != "" {
		if file, err = readConfig(name); err != nil {
			return nil, err
		}
	}
	if task != "" {
		if cmdline, file, err = setTask(task, cmdline, file); err != nil {
			return nil, err
		}
	}
	cfg, notices, err := lightgbm.Resolve(cmdline, file)
	if err != nil {
		return nil, err
	}
	a.given = map[string]bool{}
	for _, s := range slices.Concat(cmdline, file) {
		if p := lightgbm.Lookup(s.Key); p != nil && s.Value != "" {
			a.given[p.Name] = true
		}
	}
	a.setVerbosity(cfg.Verbosity)
	for _, n := range notices {
		a.log.Log(ctx, noticeLevel(n.Kind), n.Text)
	}
	a.log.Debug("resolved the parameters", "task", cfg.Task, "objective", cfg.Objective,
		"metric", strings.Join(cfg.Metrics(), ","), "num_threads", cfg.NumThreads, "seed", cfg.Seed)
	return cfg, nil
}

// argumentHint says what was probably meant by an argument without "=".
func argumentHint(args []string) string {
	i := slices.IndexFunc(args, func(arg string) bool { return !strings.Contains(arg, "=") })
	if i < 0 {
		return ""
	}
	if i+1 < len(args) && strings.HasPrefix(args[i+1], "=") {
		return fmt.Sprintf("leave no blanks around =, as in %s=VALUE", args[i])
	}
	if _, err := os.Stat(args[i]); err == nil {
		return fmt.Sprintf("config=%[1]s reads parameters from that file, data=%[1]s a table", args[i])
	}
	return ""
}

func noticeLevel(kind lightgbm.NoticeKind) slog.Level {
	switch kind {
	case lightgbm.Overridden: // what the command line is for
		return slog.LevelDebug
	case lightgbm.NoEffect, lightgbm.Ignored:
		return slog.LevelInfo
	default:
		return slog.LevelWarn
	}
}

func readConfig(name string) ([]lightgbm.Setting, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	return lightgbm.ParseFile(name, f)
}

// setTask makes a command's own task stand, whatever the file says; it may
// have been written for another command. On the command line a different task
// is a contradiction.
func setTask(task string, cmdline, file []lightgbm.Setting) (_, _ []lightgbm.Setting, _ error) {
	isTask := func(s lightgbm.Setting) bool {
		p := lightgbm.Lookup(s.Key)
		return p != nil && p.Name == "task"
	}
	for _, s := range cmdline {
		if isTask(s) {
			c := lightgbm.NewConfig()
			if err := c.Set("task", s.Value); err == nil && c.Task != task {
				return nil, nil, inputError(fmt.Sprintf("leave it out, or use \"cloister train\" for task=%s", c.Task),
					"\"cloister %s\" cannot run task=%s", task, c.Task)
			}
			return cmdline, slices.DeleteFunc(file, isTask), nil
		}
	}
	cmdline = append(cmdline, lightgbm.Setting{Key: "task", Value: task, Origin: lightgbm.CommandLine()})
	return cmdline, slices.DeleteFunc(file, isTask), nil
}

// setVerbosity applies the parameter unless a flag has decided.
func (a *app) setVerbosity(verbosity int) {
	if a.quiet || a.verbose {
		return
	}
	switch {
	case verbosity < 0:
		a.level.Set(slog.LevelError)
	case verbosity == 0:
		a.level.Set(slog.LevelWarn)
	case verbosity == 1:
		a.level.Set(slog.LevelInfo)
	default:
		a.level.Set(slog.LevelDebug)
	}
}

// printParameters is --help-parameters.
func (a *app) printParameters() error {
	var b strings.Builder
	if err := lightgbm.Help(&b); err != nil {
		return err
	}
	return a.print(b.String())
}

// checkPaths refuses a run whose output would replace one of its inputs, or
// that reads standard input twice. inputs has the name of the parameter of
// each path, for the message.
func checkPaths(output, outputName string, inputs []namedPath) error {
	stdin := ""
	for _, in := range inputs {
		if in.path == "-" {
			if stdin != "" {
				return inputError("give a file for one of them", "both %s and %s want standard input", stdin, in.name)
			}
			stdin = in.name
			continue
		}
		if samePath(output, in.path) {
			return inputError("write to another file", "%s=%s would replace what %s=%s reads", outputName, output, in.name, in.path)
		}
	}
	return nil
}

type namedPath struct{ name, path string }

// checkInputs finds out before long work whether the files that will be read
// are there.
func checkInputs(list []namedPath) error {
	for _, in := range list {
		if in.path == "" || in.path == "-" {
			continue
		}
		info, err := os.Stat(in.path)
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		switch {
		case err != nil:
			return fmt.Errorf("%s=%s: %w", in.name, in.path, err)
		case info.IsDir():
			return inputError("name a file in it", "%s=%s is a directory", in.name, in.path)
		}
	}
	return nil
}

// samePath says whether two paths lead to one existing file. What cannot be
// looked at is told by who opens it.
func samePath(a, b string) bool {
	if a == "-" {
		return false
	}
	x, err := os.Stat(a)
	if err != nil || !x.Mode().IsRegular() {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// completeSettings completes KEY= and, where it can, the value.
func completeSettings(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	key, value, hasValue := strings.Cut(word, "=")
	if !hasValue {
		var found []string
		for _, p := range lightgbm.Parameters() {
			if strings.HasPrefix(p.Name, key) {
				found = append(found, p.Name+"=\t"+firstSentence(p.Text))
			}
		}
		return found, directive
	}
	p := lightgbm.Lookup(key)
	if p == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	for _, v := range p.Values {
		if strings.HasPrefix(v.Name, value) {
			found = append(found, key+"="+v.Name+"\t"+v.Text)
		}
	}
	if isPath(p.Name) {
		if comma := strings.LastIndex(value, ","); comma >= 0 && (p.Name == "valid" || p.Name == "data") {
			key, value = word[:len(key)+1+comma]+",", value[comma+1:]
		} else {
			key += "="
		}
		paths, err := filepath.Glob(value + "*")
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				path += string(filepath.Separator)
			}
			found = append(found, key+path)
		}
		return found, directive
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// isPath says whether a parameter names a file.
func isPath(name string) bool {
	switch name {
	case "config", "data", "valid", "input_model", "output_model", "output_result":
		return true
	default:
		return strings.HasSuffix(name, "_filename") || strings.HasSuffix(name, "_file")
	}
}

func firstSentence(text string) string {
	sentence, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(sentence, ".")
}
