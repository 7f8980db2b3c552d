// Command bench measures Cloister beside LightGBM, alternately in one run, on
// tables that it makes: loading a text file, training, predicting from text to
// text, and peak memory.
//
//	go run ./test/bench -python .venv/bin/python -cloister bin/cloister -only dense
//
// With -curves it measures tables of growing size instead, and plots them; with
// -starts, processes that predict one row; with -profile it shows what part of
// the time each phase of the work takes.
//
// LightGBM runs as a library in Python; the start of Python is not counted. The
// result is written to standard output and, with -write, into the blocks of a
// Markdown file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"cloister/test/bench/page"
)

func main() {
	if len(os.Args) > 3 && os.Args[1] == childCommand {
		os.Exit(runChild(context.Background(), os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	python, binary string
	cache          string
	sets           []*set
	repeat         int
	scale          float64
	threads        []int
	write          string
	curves, starts bool
	profile        bool
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.python, "python", os.Getenv("CLOISTER_PYTHON"), "Python with LightGBM; the default is CLOISTER_PYTHON")
	flags.StringVar(&o.binary, "cloister", os.Getenv("CLOISTER_BINARY"), "the program; the default is CLOISTER_BINARY")
	flags.StringVar(&o.cache, "cache", ".cache/bench", "`folder` for the tables")
	only := flags.String("only", "", "`names` of the sets to run, separated by commas; all if empty")
	threads := flags.String("threads", "1,2", "`numbers` of threads")
	flags.IntVar(&o.repeat, "repeat", 3, "runs of each program")
	flags.Float64Var(&o.scale, "scale", 1, "part of the rows to use, to try the program")
	flags.BoolVar(&o.curves, "curves", false, "measure tables of growing size instead of the sets; with the last of -threads")
	flags.BoolVar(&o.starts, "starts", false, "measure processes that predict one row instead of the sets")
	flags.BoolVar(&o.profile, "profile", false, "show where Cloister's time goes instead of measuring it beside LightGBM's")
	flags.StringVar(&o.write, "write", "", "Markdown `file` whose blocks \"bench NAME\" get the results")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if o.python == "" || o.binary == "" {
		return nil, errors.New("-python and -cloister are needed; run make bench")
	}
	if o.repeat < 1 || o.scale <= 0 || flags.NArg() > 0 {
		return nil, errors.New("-repeat and -scale must be positive, and there are no arguments")
	}
	if o.curves && o.starts || (o.curves || o.starts) && *only != "" {
		return nil, errors.New("-curves, -starts and -only exclude each other")
	}
	if o.profile && (o.curves || o.starts) {
		return nil, errors.New("-profile, -curves and -starts exclude each other")
	}
	if o.profile && o.write != "" && *only != "" {
		return nil, errors.New("-write keeps profiles of all sets only: leave -only out")
	}
	if o.write != "" && o.scale != 1 {
		return nil, errors.New("-write keeps results of whole tables only: leave -scale out")
	}
	for text := range strings.SplitSeq(*threads, ",") {
		var n int
		if _, err := fmt.Sscanf(text, "%d", &n); err != nil || n < 1 {
			return nil, fmt.Errorf("-threads: %q is no number of threads", text)
		}
		o.threads = append(o.threads, n)
	}
	return o, o.choose(*only)
}

func (o *options) choose(names string) error {
	if names == "" {
		o.sets = sets
		return nil
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(sets, func(s *set) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("-only: there is no set %q, only %s", name, strings.Join(setNames(), ", "))
		}
		o.sets = append(o.sets, sets[i])
	}
	return nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.write != "" { // before a run that takes long
		if err := page.CheckBlocks(o.write, o.blocks()); err != nil {
			return err
		}
	}
	m, err := newMachine(ctx, o)
	switch {
	case err != nil:
		return err
	case o.curves:
		return runCurves(ctx, o, m, stdout, stderr)
	case o.starts:
		return runStarts(ctx, o, m, stdout, stderr)
	case o.profile:
		return runProfiles(ctx, o, m, stdout, stderr)
	}
	return runSets(ctx, o, m, stdout, stderr)
}

// The blocks of a page besides those of the sets.
const (
	summaryBlock = "summary"
	curvesBlock  = "curves"
	startBlock   = "start"
	profileBlock = "profile"
)

// whole says that all sets are measured.
func (o *options) whole() bool { return len(o.sets) == len(sets) }

// blocks are those that a run writes.
func (o *options) blocks() []string {
	switch {
	case o.curves:
		return []string{curvesBlock}
	case o.starts:
		return []string{startBlock}
	case o.profile:
		return []string{profileBlock}
	}
	var names []string
	for _, s := range o.sets {
		names = append(names, s.name)
	}
	if o.whole() {
		names = append(names, summaryBlock)
	}
	return names
}

func runSets(ctx context.Context, o *options, m *page.Machine, stdout, stderr io.Writer) error {
	var results []*result
	for _, s := range o.sets {
		start := time.Now()
		t, err := s.prepare(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(stderr, "%s: tables ready after %s\n", s.name, time.Since(start).Round(time.Second))
		r, err := measure(ctx, o, s, t, stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		results = append(results, r)
		text := r.markdown(m)
		fmt.Fprintf(stdout, "## %s\n\n%s\n", s.name, text)
		if o.write != "" {
			if err := page.WriteBlock(o.write, s.name, text); err != nil {
				return err
			}
		}
	}
	if !o.whole() {
		return nil
	}
	text := summary(results, m)
	fmt.Fprintf(stdout, "## summary\n\n%s\n", text)
	if o.write == "" {
		return nil
	}
	return page.WriteBlock(o.write, summaryBlock, text)
}
