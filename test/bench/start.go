package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloister/test/bench/page"
	"cloister/test/peers/peer"
	"cloister/test/peers/synth"
)

// startRuns is the number of processes whose time is taken.
const startRuns = 101

// starter is a model with which one row is predicted by a process of its own.
type starter struct {
	about  string
	header bool
	// prepare writes the model and the row.
	prepare func(ctx context.Context, o *options, model, row string) error
}

var starters = []starter{
	{"the example (breast cancer), 30 features", true, exampleModel},
	{"100 trees of 255 leaves, 28 features", false, largeModel},
}

// exampleModel trains the example's model; the row is the first of its test
// table.
func exampleModel(ctx context.Context, o *options, model, row string) error {
	const dir = "examples/breast_cancer/"
	cmd := exec.CommandContext(ctx, o.binary, "train", "config="+dir+"train.conf", "output_model="+model)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cloister train: %w\n%s", err, out)
	}
	text, err := os.ReadFile(dir + "test.csv")
	if err != nil {
		return err
	}
	lines := bytes.SplitAfterN(text, []byte{'\n'}, 3)
	if len(lines) < 3 {
		return fmt.Errorf("%stest.csv has no row", dir)
	}
	return os.WriteFile(row, slices.Concat(lines[:2]...), 0o600)
}

func largeModel(ctx context.Context, o *options, model, row string) error {
	table := &synth.Dense{Seed: 1, Columns: 28, Kind: synth.Binary}
	train := model + ".train"
	if err := synth.Write(train, table, 0, 50_000); err != nil {
		return err
	}
	defer os.Remove(train) //nolint:errcheck // only a cache
	if err := synth.Write(row, table, 50_000, 1); err != nil {
		return err
	}
	_, err := peer.Train(ctx, o.binary, peer.Config{
		"data": train, "output_model": model, "objective": "binary", "num_leaves": "255", "num_iterations": "100",
	})
	return err
}

// runStarts measures how long a process takes, from its start to its end, that
// predicts one row.
func runStarts(ctx context.Context, o *options, m *page.Machine, stdout, progress io.Writer) error {
	dir := filepath.Join(o.cache, "start")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s. %d processes each.\n\n", m, startRuns)
	text.WriteString("| model | size, kB | median, ms | nine of ten within, ms | greatest, ms |\n| --- | ---: | ---: | ---: | ---: |\n")
	for i, s := range starters {
		model, row := filepath.Join(dir, strconv.Itoa(i)+".txt"), filepath.Join(dir, strconv.Itoa(i)+".row")
		if err := s.prepare(ctx, o, model, row); err != nil {
			return fmt.Errorf("%s: %w", s.about, err)
		}
		info, err := os.Stat(model)
		if err != nil {
			return err
		}
		times, err := timeStarts(ctx, o.binary, peer.Config{
			"data": row, "input_model": model, "output_result": filepath.Join(dir, "result"), "verbosity": "-1",
			"header": strconv.FormatBool(s.header),
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(progress, "%s: %.1f ms\n", s.about, page.Median(times))
		fmt.Fprintf(&text, "| %s | %d | %.1f | %.1f | %.1f |\n", s.about, info.Size()/1000,
			page.Median(times), times[len(times)*9/10], times[len(times)-1])
	}
	fmt.Fprintf(stdout, "## start\n\n%s\n", &text)
	if o.write == "" {
		return nil
	}
	return page.WriteBlock(o.write, startBlock, text.String())
}

// timeStarts gives milliseconds, ascending.
func timeStarts(ctx context.Context, binary string, c peer.Config) ([]float64, error) {
	times := make([]float64, 0, startRuns)
	for range startRuns {
		cmd := exec.CommandContext(ctx, binary, append([]string{"predict"}, c.Settings()...)...)
		start := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("cloister predict: %w\n%s", err, out)
		}
		times = append(times, time.Since(start).Seconds()*1000)
	}
	slices.Sort(times)
	return times, nil
}
