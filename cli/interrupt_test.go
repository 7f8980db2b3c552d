package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloister/cli"
)

// writeTable writes a CSV of rows with a label and ten features.
func writeTable(t *testing.T, path string, rows int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, uint64(rows)))
	var b bytes.Buffer
	for range rows {
		x := make([]float64, 10)
		for i := range x {
			x[i] = random.Float64()
		}
		fmt.Fprintf(&b, "%.4f", x[0]+x[1]*x[2]+random.Float64())
		for _, v := range x {
			fmt.Fprintf(&b, ",%.4f", v)
		}
		b.WriteByte('\n')
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command prepares a run of the program in dir.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cloister", args...)
	cmd.Dir = dir
	return cmd
}

// wantExit waits for the end of a command and compares its exit code.
func wantExit(t *testing.T, cmd *exec.Cmd, want int) {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("exit code %d, want %d", got, want)
	}
}

// wantNoLeftovers looks for files of unfinished writes.
func wantNoLeftovers(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".*.cloister-tmp"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestInterruptedTrainingEndsWithinASecond(t *testing.T) {
	t.Parallel()
	// A child inherits that a signal is ignored (as under nohup), but not that it
	// is caught.
	caught := make(chan os.Signal, 1)
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	signal.Notify(caught, signals...)
	t.Cleanup(func() { signal.Stop(caught) })
	for _, sent := range signals {
		t.Run(sent.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeTable(t, filepath.Join(dir, "train.csv"), 3000)
			model := filepath.Join(dir, "model.txt")
			if err := os.WriteFile(model, []byte("the previous model"), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := command(t, dir, "train", "data=train.csv", "output_model=model.txt", "num_iterations=1000000",
				"is_provide_training_metric=true", "min_data_in_leaf=1", "num_threads=2")
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stderr)
			for lines.Scan() && !strings.HasPrefix(lines.Text(), "[3]") {
			}
			if lines.Err() != nil || !strings.HasPrefix(lines.Text(), "[3]") {
				t.Fatalf("the third iteration never came (%v)", lines.Err())
			}
			start := time.Now()
			if err := cmd.Process.Signal(sent); err != nil {
				t.Fatal(err)
			}
			last := ""
			for lines.Scan() {
				last = lines.Text()
			}
			wantExit(t, cmd, cli.ExitInterrupted)
			if took := time.Since(start); took > time.Second {
				t.Errorf("it took %v to end", took)
			}
			if last != "cloister: interrupted" {
				t.Errorf("last line %q", last)
			}
			if text, err := os.ReadFile(model); err != nil || string(text) != "the previous model" {
				t.Errorf("the model is now %q (%v)", text, err)
			}
			wantNoLeftovers(t, dir)
		})
	}
}

func TestReaderOfStandardOutputIsGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, dir, "version")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, cmd, cli.ExitBrokenPipe)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if stderr.Len() > 0 {
		t.Errorf("it complains: %s", stderr.String())
	}
}

// TestMainReturnsFromACommandThatHangs interrupts a read that never ends.
func TestMainReturnsFromACommandThatHangs(t *testing.T) {
	t.Parallel()
	never, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var start time.Time
	time.AfterFunc(100*time.Millisecond, func() {
		start = time.Now()
		cancel()
	})
	var stderr bytes.Buffer
	model := filepath.Join(t.TempDir(), "model.txt")
	code := cli.Main(ctx, []string{"train", "data=-", "output_model=" + model}, never, io.Discard, &stderr)
	if took := time.Since(start); code != cli.ExitInterrupted || took > time.Second {
		t.Errorf("exit code %d after %v, want %d within a second", code, took, cli.ExitInterrupted)
	}
}

// TestKillsLeaveTheOldModelOrTheNew kills trainings at random moments: the model
// and each of its snapshots is the one before or the new one, never a part. With CLOISTER_SOAK (make soak) there are many; CLOISTER_SOAK_KILLS says how
// many.
func TestKillsLeaveTheOldModelOrTheNew(t *testing.T) {
	t.Parallel()
	kills := 10
	if os.Getenv("CLOISTER_SOAK") != "" {
		kills = 200
	}
	if text := os.Getenv("CLOISTER_SOAK_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	dir := t.TempDir()
	writeTable(t, filepath.Join(dir, "train.csv"), 1000)
	path := filepath.Join(dir, "model.txt")
	train := func(version int) *exec.Cmd {
		return command(t, dir, "train", "data=train.csv", "output_model=model.txt",
			"num_iterations=30", "snapshot_freq=10", fmt.Sprintf("num_leaves=%d", 30+version))
	}
	paths := []string{path}
	for _, iteration := range []string{"10", "20", "30"} {
		paths = append(paths, path+".snapshot_iter_"+iteration)
	}
	var versions [2]map[string]string // what is in each path
	var longest time.Duration
	for i := range versions {
		start := time.Now()
		if out, err := train(i).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		longest = max(longest, time.Since(start))
		versions[i] = map[string]string{}
		for _, p := range paths {
			versions[i][p] = readFile(t, p)
		}
	}
	for _, p := range paths {
		if versions[0][p] == versions[1][p] {
			t.Fatalf("both versions of %s are equal: nothing can be told apart", p)
		}
	}
	random := rand.New(rand.NewPCG(uint64(kills), 7))
	killed, between, runs := 0, 0, 0
	for ; killed < kills; runs++ {
		if runs > 10*kills {
			t.Fatalf("only %d of %d runs were killed: they are faster than at first", killed, runs)
		}
		version := runs % 2
		cmd := train(version)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Float64() * 1.1 * float64(longest)))
		cmd.Process.Kill() // an error where it has ended
		cmd.Wait()         // an error where it was killed
		if cmd.ProcessState.ExitCode() != cli.ExitDone {
			killed++
		}
		if readFile(t, paths[1]) == versions[version][paths[1]] && readFile(t, path) != versions[version][path] {
			between++
		}
		for _, p := range paths {
			text := readFile(t, p)
			if text != versions[0][p] && text != versions[1][p] {
				t.Fatalf("after kill %d %s has %d bytes and is neither the old one nor the new one", killed, p, len(text))
			}
		}
	}
	if out, err := train(0).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantNoLeftovers(t, dir)
	t.Logf("%d of %d runs were killed, %d of them between the first snapshot and the model", killed, runs, between)
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
