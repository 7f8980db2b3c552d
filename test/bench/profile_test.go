package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset"
	"cloister/engine/tree"
	"cloister/test/peers/peer"
	"cloister/test/peers/synth"
)

//go:noinline
func burn(until time.Time) (n int) {
	for time.Now().Before(until) {
		n++
	}
	return n
}

// TestReadProfile reads a profile that Go has just written. It runs alone, as a
// process has one profile.
func TestReadProfile(t *testing.T) { //nolint:paralleltest // see above
	var packed bytes.Buffer
	if err := pprof.StartCPUProfile(&packed); err != nil {
		t.Fatal(err)
	}
	burn(time.Now().Add(300 * time.Millisecond))
	pprof.StopCPUProfile()
	samples, err := readProfile(packed.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var nanos int64
	for _, s := range samples {
		if slices.ContainsFunc(s.stack, func(name string) bool { return strings.HasSuffix(name, ".burn") }) {
			nanos += s.nanos
		}
	}
	if nanos < 2e7 || nanos > 1e9 {
		t.Errorf("%d ns in a loop of 300 ms", nanos)
	}
}

func TestPhases(t *testing.T) {
	t.Parallel()
	sample := func(nanos int64, stack ...string) cpuSample { return cpuSample{stack, nanos} }
	const run, grow = "cloister/engine/parallel.(*Pool).Run", "cloister/engine/tree.(*Grower).Grow"
	p := divideTime(trainPhases, []cpuSample{
		sample(40, "cloister/engine/internal/prefetch.stride", "cloister/engine/tree.(*builder).addList", run, grow),
		sample(20, "runtime.memmove", "cloister/engine/tree.(*Grower).divide", grow),
		sample(30, "runtime.chanlen", "cloister/engine/parallel.(*Pool).Pause", grow),
		sample(10, "runtime.mallocgc", grow),
	})
	want := map[string]float64{"histograms": 0.4, "partition": 0.2, "waiting": 0.3, "other": 0.1}
	got := map[string]float64{"other": p.other}
	for i, ph := range trainPhases {
		if p.share[i] > 0 {
			got[ph.name] = p.share[i]
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWork(t *testing.T) {
	t.Parallel()
	d := &dataset.Dataset{Rows: 10, Blocks: []dataset.Block{{Columns: []int{0, 1, 2}}}}
	got := workOf(d, []*tree.Tree{
		{LeafCount: []int64{10}},
		{InternalCount: []int64{10, 7}, LeafCount: []int64{3, 5, 2}, LeftChild: []int32{^0, ^1}, RightChild: []int32{1, ^2}},
	})
	if want := (work{visits: 10 + 3 + 2, updates: 3 * (10 + 3 + 2)}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestProfileRun profiles a small table from end to end.
func TestProfileRun(t *testing.T) { //nolint:paralleltest // a process has one profile
	dir := t.TempDir()
	s := &set{name: "tiny", config: peer.Config{"objective": "binary", "num_iterations": "5", "num_leaves": "7"}}
	files := tables{dir: dir, train: filepath.Join(dir, "train.txt"), test: filepath.Join(dir, "test.txt")}
	table := &synth.Dense{Seed: 1, Columns: 5, Kind: synth.Binary}
	for path, rows := range map[string]int{files.train: 2000, files.test: 200} {
		if err := synth.Write(path, table, 0, rows); err != nil {
			t.Fatal(err)
		}
	}
	r := &profileRun{ctx: context.Background(), set: s, tables: files, threads: 1}
	if err := r.all(); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]profiled{"load": r.loaded, "train": r.trained, "predict": r.predicted} {
		if sum := p.busy; p.seconds <= 0 || sum <= 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if r.work.visits < 5*2000 {
		t.Errorf("%d visits of 2000 rows in 5 trees", r.work.visits)
	}
	if _, err := os.Stat(filepath.Join(dir, "profile.pred")); err != nil {
		t.Error(err)
	}
}
