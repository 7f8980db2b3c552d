package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"cloister/test/bench/page"
	"cloister/test/peers/peer"
	"cloister/test/peers/score"
)

// runs are those of one program: seconds, bytes, and what came out.
type runs struct {
	load, train, predict   []float64
	trainPeak, predictPeak []float64
	metric                 float64
	leaves                 int
}

// result is what was measured on a set.
type result struct {
	set     *set
	repeat  int
	scale   float64
	threads []threadResult
}

type threadResult struct {
	threads      int
	setting      string // of LightGBM, the faster one
	theirs, ours runs
}

// The ways in which LightGBM builds histograms; which is faster depends on the
// table.
var settings = []string{"force_col_wise", "force_row_wise"}

// predictSettings let LightGBM predict sparse tables in which the last features
// do not occur.
var predictSettings = peer.Config{"predict_disable_shape_check": "true"}

// measure runs both programs alternately. The first round tries both settings
// of LightGBM; the one that trains faster goes on.
func measure(ctx context.Context, o *options, s *set, t tables, progress io.Writer) (*result, error) {
	held, err := score.ReadHeld(t.test, s.header)
	if err != nil {
		return nil, err
	}
	r := &result{set: s, repeat: o.repeat, scale: o.scale, threads: make([]threadResult, len(o.threads))}
	for round := range o.repeat {
		for i, n := range o.threads {
			h := &r.threads[i]
			h.threads = n
			b := &bench{options: o, set: s, tables: t, held: held, threads: n}
			if round == 0 {
				err = b.tryLightGBM(ctx, h)
			} else {
				err = b.lightGBM(ctx, h.setting, &h.theirs)
			}
			if err == nil {
				err = b.cloister(ctx, &h.ours)
			}
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(progress, "%s: round %d of %d, %s: train %.2f s, lightgbm %.2f s\n", s.name, round+1, o.repeat,
				page.Counted(n, "thread"), h.ours.train[round], h.theirs.train[round])
		}
	}
	return r, nil
}

// bench is one run's surroundings.
type bench struct {
	*options
	*set
	tables
	held    score.Held
	threads int
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) tryLightGBM(ctx context.Context, h *threadResult) error {
	for _, setting := range settings {
		var r runs
		if err := b.lightGBM(ctx, setting, &r); err != nil {
			return err
		}
		if h.setting == "" || r.train[0] < h.theirs.train[0] {
			h.setting, h.theirs = setting, r
		}
	}
	return nil
}

// ask starts Python for one request, so that its peak memory is the request's.
func (b *bench) ask(ctx context.Context, op string, args peer.Args, result any) error {
	w, err := peer.Start(ctx, b.python)
	if err != nil {
		return err
	}
	err = w.Do(op, args, result)
	return errors.Join(err, w.Close())
}

// trainLightGBM loads and trains.
func (b *bench) trainLightGBM(ctx context.Context, setting string, r *runs) error {
	params := b.config.With(peer.Config{setting: "true", "num_threads": strconv.Itoa(b.threads), "verbosity": "-1"})
	rounds, err := strconv.Atoi(params["num_iterations"])
	if err != nil {
		return err
	}
	delete(params, "num_iterations")
	var trained peer.Trained
	args := peer.Args{"data": b.train, "params": params, "rounds": rounds, "model": b.file("lightgbm.txt")}
	if err := b.ask(ctx, "train", args, &trained); err != nil {
		return err
	}
	r.load = append(r.load, trained.Load)
	r.train = append(r.train, trained.Train)
	r.trainPeak = append(r.trainPeak, float64(trained.Peak-trained.Imported))
	return nil
}

func (b *bench) lightGBM(ctx context.Context, setting string, r *runs) error {
	if err := b.trainLightGBM(ctx, setting, r); err != nil {
		return err
	}
	model, predictions := b.file("lightgbm.txt"), b.file("lightgbm.pred")
	var predicted peer.Predicted
	args := peer.Args{
		"model": model, "data": b.test, "result": predictions, "header": b.header,
		"params": predictSettings.With(peer.Config{"num_threads": strconv.Itoa(b.threads)}),
	}
	if err := b.ask(ctx, "predict", args, &predicted); err != nil {
		return err
	}
	r.predict = append(r.predict, predicted.Predict)
	r.predictPeak = append(r.predictPeak, float64(predicted.Peak-predicted.Imported))
	return b.judge(r, model, predictions)
}

// trainCloister loads and trains.
func (b *bench) trainCloister(ctx context.Context, r *runs) error {
	var trained peer.TrainSummary
	c := b.config.With(peer.Config{"data": b.train, "output_model": b.file("cloister.txt")})
	peak, err := b.command(ctx, "train", c, &trained)
	if err != nil {
		return err
	}
	r.load = append(r.load, trained.Seconds.Load)
	r.train = append(r.train, trained.Seconds.Train)
	r.trainPeak = append(r.trainPeak, float64(peak))
	return nil
}

func (b *bench) cloister(ctx context.Context, r *runs) error {
	if err := b.trainCloister(ctx, r); err != nil {
		return err
	}
	model, predictions := b.file("cloister.txt"), b.file("cloister.pred")
	var predicted peer.PredictSummary
	c := peer.Config{"data": b.test, "input_model": model, "output_result": predictions, "header": strconv.FormatBool(b.header)}
	peak, err := b.command(ctx, "predict", c.With(predictSettings), &predicted)
	if err != nil {
		return err
	}
	r.predict = append(r.predict, predicted.Seconds)
	r.predictPeak = append(r.predictPeak, float64(peak))
	return b.judge(r, model, predictions)
}

// command runs Cloister and returns the most memory that it held, in bytes. Go
// too gets no more threads than LightGBM.
func (b *bench) command(ctx context.Context, command string, c peer.Config, summary any) (int64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	note := b.file("peak")
	args := []string{childCommand, note, b.binary, command, "--json"}
	args = append(args, c.With(peer.Config{"num_threads": strconv.Itoa(b.threads)}).Settings()...)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(b.threads))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("cloister %s: %w\n%s", command, err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(out, summary); err != nil {
		return 0, fmt.Errorf("cloister %s --json: %w", command, err)
	}
	text, err := os.ReadFile(note)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// judge notes how good a model is and how large.
func (b *bench) judge(r *runs, model, predictions string) error {
	values, _, err := score.ReadNumbers(predictions)
	if err != nil {
		return err
	}
	if r.metric, err = b.metric.Compute(b.held, values); err != nil {
		return err
	}
	r.leaves, err = leaves(model)
	return err
}

// leaves counts those of a model's trees.
func leaves(model string) (int, error) {
	text, err := os.ReadFile(model)
	if err != nil {
		return 0, err
	}
	sum := 0
	for line := range strings.Lines(string(text)) {
		if number, ok := strings.CutPrefix(line, "num_leaves="); ok {
			n, err := strconv.Atoi(strings.TrimSpace(number))
			if err != nil {
				return 0, fmt.Errorf("%s: %w", model, err)
			}
			sum += n
		}
	}
	return sum, nil
}
