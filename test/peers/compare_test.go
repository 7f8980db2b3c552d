//go:build peers

package peers_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"cloister/test/peers/peer"
	"cloister/test/peers/score"
)

// How much worse than LightGBM's a held-out metric may be, relative to it: by
// small always, by one standard error where runs differ, never by large.
const (
	smallLoss = 0.005
	largeLoss = 0.02
	// leastSeeds are the runs that a standard error needs.
	leastSeeds = 10
)

// files are the tables of one run. Those that are not needed are empty.
type files struct {
	train, valid, test string
	header             bool
}

// task is one comparison: both programs train with the same configuration on
// the same files and predict the same held-out table.
type task struct {
	name   string
	metric score.Metric
	config peer.Config
	// tables makes the files of a run.
	tables func(e *env, seed int) files
	// seeds is the number of runs; 0 means one. With sampled set the programs
	// draw rows or columns by the run's seed; otherwise runs differ by their
	// tables.
	seeds   int
	sampled bool
	// base, if set, trains this configuration first, and the task continues
	// the model: LightGBM's, or with ours set Cloister's.
	base peer.Config
	ours bool
}

// env is what a task runs in.
type env struct {
	*testing.T
	worker *peer.Worker
	binary string
	dir    string // of the task
	shared string // of all tasks, filled before they start
}

func (e *env) path(parts ...string) string {
	return filepath.Join(append([]string{e.dir}, parts...)...)
}

// do asks LightGBM's process.
func (e *env) do(op string, args peer.Args, result any) {
	e.Helper()
	if err := e.worker.Do(op, args, result); err != nil {
		e.Fatal(err)
	}
}

// numbers reads predictions.
func (e *env) numbers(path string) (values []float64, width int) {
	e.Helper()
	values, width, err := score.ReadNumbers(path)
	if err != nil {
		e.Fatal(err)
	}
	return values, width
}

// trainTheirs trains with LightGBM. It runs on one thread and by columns, so
// that its sums, and with them its model, are the same every time.
func (e *env) trainTheirs(c peer.Config, f files, model string) {
	e.Helper()
	params := c.With(peer.Config{"num_threads": "1", "force_col_wise": "true", "verbosity": "-1"})
	rounds, err := strconv.Atoi(params["num_iterations"])
	if err != nil {
		e.Fatal(err)
	}
	args := peer.Args{"data": f.train, "model": model, "rounds": rounds, "params": params}
	if f.valid != "" {
		args["valid"] = f.valid
	}
	if init := params["input_model"]; init != "" {
		args["init_model"] = init
	}
	delete(params, "num_iterations")
	delete(params, "input_model")
	e.do("train", args, nil)
}

func (e *env) trainOurs(c peer.Config, f files, model string) {
	e.Helper()
	over := peer.Config{"data": f.train, "output_model": model, "num_threads": "2"}
	if f.valid != "" {
		over["valid"] = f.valid
	}
	if _, err := peer.Train(e.Context(), e.binary, c.With(over)); err != nil {
		e.Fatal(err)
	}
}

func (e *env) predictTheirs(model, data, result, kind string, header bool) {
	e.Helper()
	e.do("predict", peer.Args{"model": model, "data": data, "result": result, "kind": kind, "header": header}, nil)
}

var ourKinds = map[string]string{
	"raw": "predict_raw_score", "leaf": "predict_leaf_index", "contrib": "predict_contrib",
}

func (e *env) predictOurs(model, data, result, kind string, header bool) {
	e.Helper()
	c := peer.Config{"input_model": model, "data": data, "output_result": result, "header": strconv.FormatBool(header)}
	if name := ourKinds[kind]; name != "" {
		c[name] = "true"
	}
	if _, err := peer.Predict(e.Context(), e.binary, c); err != nil {
		e.Fatal(err)
	}
}

// outcome is a line of the table at the end.
type outcome struct {
	task         string
	metric       score.Metric
	ours, theirs []float64 // of each run
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// worse is the loss against LightGBM, relative, of the means over the runs.
func (o *outcome) worse() float64 { return o.metric.Worse(mean(o.ours), mean(o.theirs)) }

// standardError is that of the mean paired difference, relative as worse is, or
// 0 where there are too few runs to tell.
func (o *outcome) standardError() float64 {
	n := float64(len(o.ours))
	if n < leastSeeds {
		return 0
	}
	d := make([]float64, len(o.ours))
	for i := range d {
		d[i] = o.ours[i] - o.theirs[i]
	}
	m, squares := mean(d), 0.0
	for _, x := range d {
		squares += (x - m) * (x - m)
	}
	return math.Sqrt(squares/(n-1)/n) / math.Abs(mean(o.theirs))
}

// verdict is empty when the task is passed.
func (o *outcome) verdict() string {
	w, se := o.worse(), o.standardError()
	switch {
	case math.IsNaN(w):
		return "not a number"
	case w > largeLoss:
		return "worse by more than 2 %"
	case w > smallLoss && w > se:
		return "worse by more than 0.5 % and one standard error"
	}
	return ""
}

func table(list []outcome) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "task\tmetric\tcloister\tlightgbm\tworse by\tstd. error\truns\t")
	for _, o := range list {
		se := ""
		if len(o.ours) >= leastSeeds {
			se = fmt.Sprintf("%.3f %%", 100*o.standardError())
		}
		fmt.Fprintf(w, "%s\t%s\t%.6g\t%.6g\t%+.3f %%\t%s\t%d\t%s\n", o.task, o.metric.Name,
			mean(o.ours), mean(o.theirs), 100*o.worse(), se, len(o.ours), o.verdict())
	}
	w.Flush()
	return b.String()
}

// workers starts a Python process for each core, two at least.
func workers(t *testing.T) (pool chan *peer.Worker) {
	t.Helper()
	interpreter := os.Getenv("CLOISTER_PYTHON")
	if interpreter == "" {
		t.Fatal("CLOISTER_PYTHON is not set; run make test-peers")
	}
	const n = 2
	pool = make(chan *peer.Worker, n)
	for range n {
		w, err := peer.Start(context.Background(), interpreter)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
		pool <- w
	}
	return pool
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath(os.Getenv("CLOISTER_BINARY"))
	if err != nil {
		t.Fatalf("CLOISTER_BINARY: %v; run make test-peers", err)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Held-out metrics on every task are as good as LightGBM's, and models work in
// both programs.
func TestTasks(t *testing.T) {
	t.Parallel()
	bin, pool, shared := binary(t), workers(t), t.TempDir()
	w := <-pool
	prepare(&env{T: t, worker: w, binary: bin, dir: shared, shared: shared})
	pool <- w

	var mu sync.Mutex
	var outcomes []outcome
	t.Cleanup(func() { // when all are done
		slices.SortFunc(outcomes, func(a, b outcome) int { return cmp.Compare(a.task, b.task) })
		t.Logf("held-out metrics\n%s", table(outcomes))
	})
	for i := range tasks {
		k := &tasks[i]
		t.Run(k.dirName(), func(t *testing.T) {
			t.Parallel()
			w := <-pool
			defer func() { pool <- w }()
			o := k.run(&env{T: t, worker: w, binary: bin, dir: t.TempDir(), shared: shared})
			if v := o.verdict(); v != "" {
				t.Errorf("%s\n%s", v, table([]outcome{o}))
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes = append(outcomes, o)
		})
	}
}

// dirName is the task's name as a path that lists of files can hold.
func (k *task) dirName() string {
	return strings.NewReplacer(": ", "-", " ", "-", "'", "").Replace(k.name)
}

// run compares on every seed, and the models of the first both ways.
func (k *task) run(e *env) outcome {
	o := outcome{task: k.name, metric: k.metric}
	for seed := range max(1, k.seeds) {
		e.dir = filepath.Join(e.dir, strconv.Itoa(seed))
		if err := os.Mkdir(e.dir, 0o700); err != nil {
			e.Fatal(err)
		}
		f := k.tables(e, seed)
		c := k.configuration(e, f, seed)
		ours, theirs := e.path("ours.txt"), e.path("theirs.txt")
		e.trainTheirs(c, f, theirs)
		e.trainOurs(c, f, ours)
		held, err := score.ReadHeld(f.test, f.header)
		if err != nil {
			e.Fatal(err)
		}
		e.predictTheirs(theirs, f.test, e.path("theirs.pred"), "normal", f.header)
		e.predictOurs(ours, f.test, e.path("ours.pred"), "normal", f.header)
		o.theirs = append(o.theirs, e.measure(k.metric, held, "theirs.pred"))
		o.ours = append(o.ours, e.measure(k.metric, held, "ours.pred"))
		if seed == 0 {
			e.bothWays(f, ours, theirs, c["linear_tree"] == "true")
		}
		e.dir = filepath.Dir(e.dir)
	}
	return o
}

func (k *task) configuration(e *env, f files, seed int) peer.Config {
	c := k.config
	if k.sampled {
		c = c.With(peer.Config{"seed": strconv.Itoa(seed + 1)})
	}
	if f.header {
		c = c.With(peer.Config{"header": "true"})
	}
	if k.base != nil {
		model := e.path("base.txt")
		if k.ours {
			e.trainOurs(c.With(k.base), f, model)
		} else {
			e.trainTheirs(c.With(k.base), f, model)
		}
		c = c.With(peer.Config{"input_model": model})
	}
	return c
}

func (e *env) measure(m score.Metric, held score.Held, predictions string) float64 {
	e.Helper()
	values, _ := e.numbers(e.path(predictions))
	v, err := m.Compute(held, values)
	if err != nil {
		e.Fatalf("%s: %v", predictions, err)
	}
	return v
}
