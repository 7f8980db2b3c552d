package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"cloister/cli"
	"cloister/engine/dataset"
	"cloister/engine/dataset/read"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
	"cloister/engine/tree"
	"cloister/test/bench/page"
	"cloister/test/peers/peer"
)

// phase is a part of the work, and how its functions' names begin.
type phase struct {
	name  string
	funcs []string
}

// A moment belongs to the innermost function of Cloister's that a phase names.
// Functions of the pool have the loops that they run inside them: what they do
// themselves is to wait.
var (
	waiting     = phase{"waiting", []string{"engine/parallel."}}
	trainPhases = []phase{
		{"histograms", []string{"engine/tree.(*builder)", "engine/tree.add8", "engine/tree.add4", "engine/tree.flushBundle", "engine/tree.(*Grower).fill"}},
		{"split search", []string{
			"engine/tree.(*searcher)", "engine/tree.(*Grower).search", "engine/tree.(*Grower).complete", "engine/tree.subtract",
			"engine/tree.scanGroups", "engine/tree.(*scan)",
		}},
		{"partition", []string{"engine/tree.(*Grower).divide", "engine/tree.(*Grower).undivide", "engine/tree.(*worker)", "engine/tree.divideBytes"}},
		{"packing", []string{"engine/tree.quantize", "engine/tree.(*Grower).quantize", "engine/tree.absoluteSums", "engine/tree.(*Grower).totalOf", "engine/tree.(*Grower).resetRows"}},
		{"gradients", []string{"engine/objective."}},
		{"values and scores", []string{"engine/tree.(*Grown)"}},
		waiting,
	}
	loadPhases = []phase{
		{"reading", []string{"engine/dataset/read."}},
		{"binning", []string{"engine/dataset."}},
		waiting,
	}
	predictPhases = []phase{
		{"reading", []string{"engine/dataset/read."}},
		{"trees", []string{"engine/tree.(*Flat", "engine/tree.walk", "engine/lightgbm.(*Predictor)", "engine/tree."}},
		{"writing", []string{"cli.", "durable."}},
		waiting,
	}
)

// profiled is what a phase's share was computed from.
type profiled struct {
	seconds float64 // of one run
	busy    float64 // processor seconds of one run
	share   []float64
	other   float64
}

// leastProfile is how long a profile goes on: it has a sample each 10 ms of
// every thread.
const leastProfile = 2 * time.Second

// profileOf runs something again and again and divides its time among phases.
func profileOf(phases []phase, run func() error) (profiled, error) {
	var packed bytes.Buffer
	runtime.GC()
	if err := pprof.StartCPUProfile(&packed); err != nil {
		return profiled{}, err
	}
	start, runs := time.Now(), 0
	var failed error
	for failed == nil && time.Since(start) < leastProfile {
		failed = run()
		runs++
	}
	seconds := time.Since(start).Seconds() / float64(runs)
	pprof.StopCPUProfile()
	if failed != nil {
		return profiled{}, failed
	}
	samples, err := readProfile(packed.Bytes())
	if err != nil {
		return profiled{}, err
	}
	p := divideTime(phases, samples)
	p.seconds = seconds
	p.busy /= float64(runs)
	return p, nil
}

// divideTime finds the phases' shares of a profile.
func divideTime(phases []phase, samples []cpuSample) profiled {
	p := profiled{share: make([]float64, len(phases))}
	nanos, other, all := make([]int64, len(phases)), int64(0), int64(0)
	for _, s := range samples {
		all += s.nanos
		if i := phaseOf(phases, s.stack); i >= 0 {
			nanos[i] += s.nanos
		} else {
			other += s.nanos
		}
	}
	if all == 0 {
		return p
	}
	p.busy, p.other = float64(all)/1e9, float64(other)/float64(all)
	for i, n := range nanos {
		p.share[i] = float64(n) / float64(all)
	}
	return p
}

// phaseOf is the phase of a moment, or -1.
func phaseOf(phases []phase, stack []string) int {
	for _, name := range stack {
		name, own := strings.CutPrefix(name, "cloister/")
		if !own {
			continue
		}
		for i, p := range phases {
			for _, begin := range p.funcs {
				if strings.HasPrefix(name, begin) {
					return i
				}
			}
		}
	}
	return -1
}

// work counts what a training does to the rows.
type work struct {
	visits  int64 // of a row, to sum it
	updates int64 // of a bin
}

// workOf counts the visits of a model's trees: every row for the root, and for
// every split the rows of its smaller child.
func workOf(d *dataset.Dataset, trees []*tree.Tree) work {
	var w work
	for _, t := range trees {
		if len(t.InternalCount) == 0 {
			continue
		}
		w.visits += t.InternalCount[0]
		count := func(child int32) int64 {
			if child < 0 {
				return t.LeafCount[^child]
			}
			return t.InternalCount[child]
		}
		for i := range t.LeftChild {
			w.visits += min(count(t.LeftChild[i]), count(t.RightChild[i]))
		}
	}
	perRow := 0.0
	for i := range d.Blocks {
		perRow += float64(len(d.Blocks[i].Columns))
	}
	if d.Sparse != nil {
		perRow += float64(len(d.Sparse.Entry)) / float64(d.Rows)
	}
	w.updates = int64(float64(w.visits) * perRow)
	return w
}

// runProfiles prints where the time goes, in this process: it trains and
// predicts with the packages that the program is made of.
func runProfiles(ctx context.Context, o *options, m *page.Machine, stdout, progress io.Writer) error {
	head := fmt.Sprintf("%s. Parts of the processors' time, by a profile of at least %s each.\n", m, leastProfile)
	var load, train, predict strings.Builder
	heading(&load, loadPhases, "load, s")
	heading(&train, trainPhases, "train, s", "ns per row visit", "ns per bin update")
	heading(&predict, predictPhases, "predict, s")
	for _, s := range o.sets {
		t, err := s.prepare(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		for _, n := range o.threads {
			r := &profileRun{ctx: ctx, set: s, tables: t, threads: n}
			if err := r.all(); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			fmt.Fprintf(progress, "%s, %s: profiled\n", s.name, page.Counted(n, "thread"))
			r.loaded.row(&load, s.name, n)
			hist := r.trained.busy * r.trained.share[0] * 1e9
			r.trained.row(&train, s.name, n, fmt.Sprintf("%.2f", hist/float64(r.work.visits)), fmt.Sprintf("%.2f", hist/float64(r.work.updates)))
			r.predicted.row(&predict, s.name, n)
		}
	}
	text := head + "\nTraining:\n\n" + train.String() + "\nLoading:\n\n" + load.String() + "\nPredicting from text to text:\n\n" + predict.String()
	fmt.Fprintf(stdout, "## profile\n\n%s\n", text)
	if o.write == "" {
		return nil
	}
	return page.WriteBlock(o.write, profileBlock, text)
}

func heading(to *strings.Builder, phases []phase, seconds string, more ...string) {
	names := []string{"set", "threads", seconds}
	for _, p := range phases {
		names = append(names, p.name)
	}
	names = append(append(names, "other"), more...)
	fmt.Fprintf(to, "| %s |\n| ---%s |\n", strings.Join(names, " | "), strings.Repeat(" | ---:", len(names)-1))
}

func (p *profiled) row(to *strings.Builder, set string, threads int, more ...string) {
	cells := []string{set, strconv.Itoa(threads), fmt.Sprintf("%.3g", p.seconds)}
	for _, share := range append(p.share, p.other) {
		cells = append(cells, fmt.Sprintf("%.0f %%", 100*share))
	}
	fmt.Fprintf(to, "| %s |\n", strings.Join(append(cells, more...), " | "))
}

// profileRun profiles a set with a number of threads.
type profileRun struct {
	ctx     context.Context //nolint:containedctx // lives as long as one call
	set     *set
	tables  tables
	threads int

	data                       *dataset.Dataset
	work                       work
	loaded, trained, predicted profiled
}

func (r *profileRun) all() error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(r.threads))
	threads := peer.Config{"num_threads": strconv.Itoa(r.threads)}
	parsed, err := lightgbm.ParseArgs(r.set.config.With(threads).With(peer.Config{"data": r.tables.train}).Settings())
	if err != nil {
		return err
	}
	cfg, _, err := lightgbm.Resolve(parsed, nil)
	if err != nil {
		return err
	}
	if r.loaded, err = profileOf(loadPhases, func() error { return r.load(cfg) }); err != nil {
		return err
	}
	var booster *gbdt.Booster
	r.trained, err = profileOf(trainPhases, func() (err error) {
		booster, err = gbdt.Train(r.ctx, cfg, r.data, gbdt.Options{})
		return err
	})
	if err != nil {
		return err
	}
	r.work = workOf(r.data, booster.Model().Trees)
	r.data = nil
	return r.predict(booster.Model(), threads)
}

// writeModel writes a model to a file.
func writeModel(path string, m *lightgbm.Model) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(m.Write(f), f.Close())
}

func (r *profileRun) load(cfg *lightgbm.Config) error {
	in, err := dataset.FileInput(cfg.Data, read.Options{Header: cfg.Header, Threads: r.threads})
	if err != nil {
		return err
	}
	r.data, _, err = dataset.Load(r.ctx, in, gbdt.DatasetOptions(cfg), nil)
	return err
}

// predict predicts as the command does.
func (r *profileRun) predict(m *lightgbm.Model, threads peer.Config) error {
	model, result := r.tables.dir+"/profile.txt", r.tables.dir+"/profile.pred"
	if err := writeModel(model, m); err != nil {
		return err
	}
	c := threads.With(predictSettings).With(peer.Config{
		"data": r.tables.test, "input_model": model, "output_result": result, "header": strconv.FormatBool(r.set.header),
	})
	var err error
	r.predicted, err = profileOf(predictPhases, func() error {
		var out, messages bytes.Buffer
		if code := cli.Main(r.ctx, append([]string{"predict"}, c.Settings()...), nil, &out, &messages); code != cli.ExitDone {
			return errors.New(strings.TrimSpace(messages.String()))
		}
		return nil
	})
	return err
}
