package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/test/bench/page"
	"cloister/test/peers/score"
)

func TestMarkdown(t *testing.T) {
	t.Parallel()
	r := &result{
		set: &set{name: "tiny", about: "Ten rows.", metric: score.RMSE}, repeat: 3, scale: 1,
		threads: []threadResult{{
			threads: 2, setting: "force_row_wise",
			theirs: runs{
				load: []float64{4, 1, 2}, train: []float64{3, 3, 3}, predict: []float64{0.5, 0.5, 0.1},
				trainPeak: []float64{2e8, 2e8, 3e8}, predictPeak: []float64{5e7, 5e7, 5e7}, metric: 0.25, leaves: 31,
			},
			ours: runs{
				load: []float64{1, 1, 9}, train: []float64{6, 6, 6}, predict: []float64{0.25, 0.25, 0.25},
				trainPeak: []float64{1e8, 1e8, 1e8}, predictPeak: []float64{1e7, 1e7, 1e7}, metric: 0.25, leaves: 31,
			},
		}},
	}
	want := `Ten rows.

CPU; 2 cores; linux/amd64; 2030-01-02; commit abc. Medians of 3 runs.

| threads | | load, s | train, s | predict, s | memory, MB | memory of predict, MB | rmse | leaves |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 2 | LightGBM, ` + "`force_row_wise`" + ` | 2 | 3 | 0.5 | 200 | 50 | 0.25 | 31 |
| 2 | Cloister | 1 | 6 | 0.25 | 100 | 10 | 0.25 | 31 |
| 2 | **ratio** | 2.00 × | 0.50 × | 2.00 × | 0.50 × | 0.20 × | | |
`
	got := r.markdown(&page.Machine{CPU: "CPU", Cores: 2, System: "linux/amd64", Date: "2030-01-02", Commit: "abc"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPageHasABlockForEveryRun(t *testing.T) {
	t.Parallel()
	for _, o := range []*options{{sets: sets}, {curves: true}, {starts: true}} {
		if err := page.CheckBlocks(filepath.Join("..", "..", "docs", "benchmarks.md"), o.blocks()); err != nil {
			t.Error(err)
		}
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	made := func(train float64) *result {
		one := []float64{1}
		r := runs{load: one, train: one, predict: one, trainPeak: one, predictPeak: one}
		quick := r
		quick.train = []float64{train}
		return &result{threads: []threadResult{{threads: 2, theirs: r, ours: quick}}}
	}
	want := `Geometric means of the ratios over the 2 sets. CPU; 2 cores; linux/amd64; 2030-01-02.

| threads | load | train | predict | memory | memory of predict |
| --- | ---: | ---: | ---: | ---: | ---: |
| 2 | 1.00 × | 4.00 × | 1.00 × | 1.00 × | 1.00 × |
`
	got := summary([]*result{made(0.5), made(0.125)}, &page.Machine{CPU: "CPU", Cores: 2, System: "linux/amd64", Date: "2030-01-02"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBadArguments(t *testing.T) {
	t.Parallel()
	programs := []string{"-python", "python", "-cloister", "cloister"}
	for name, args := range map[string][]string{
		"no programs":       {"-python", "", "-cloister", ""},
		"an unknown set":    append([]string{"-only", "dense,moon"}, programs...),
		"no threads":        append([]string{"-threads", "0"}, programs...),
		"two runs at once":  append([]string{"-curves", "-starts"}, programs...),
		"curves of a set":   append([]string{"-curves", "-only", "dense"}, programs...),
		"an argument":       append(programs[:len(programs):len(programs)], "dense"),
		"a scaled page":     append([]string{"-scale", "0.5", "-write", "page.md"}, programs...),
		"a page not there":  append([]string{"-write", filepath.Join(t.TempDir(), "page.md")}, programs...),
		"a negative repeat": append([]string{"-repeat", "-1"}, programs...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout bytes.Buffer
			if err := run(context.Background(), args, &stdout, io.Discard); err == nil || stdout.Len() > 0 {
				t.Errorf("error %v, output %q", err, &stdout)
			}
		})
	}
}
