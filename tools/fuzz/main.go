// Command fuzz runs every fuzz target of a module, one after the other, so that
// all of them together end in a given time, building included.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	dir := flag.String("dir", ".", "root of the module")
	total := flag.Duration("total", 8*time.Minute, "time for all targets together")
	least := flag.Duration("least", 3*time.Second, "time that every target gets, even when the total is used up")
	runs := flag.Int("runs", 0, "run this many inputs of each target instead of sharing a time")
	only := flag.String("only", "", "run only the targets whose package and name match this regular expression")
	recordFile := flag.String("record", "", "put what -runs found nothing with into this Markdown file")
	flag.Parse()

	if err := run(*dir, *only, *recordFile, *total, *least, *runs); err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(dir, only, recordFile string, total, least time.Duration, runs int) error {
	f := fuzzer{dir: dir, out: os.Stdout, least: least, runs: runs}
	var err error
	if f.only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if recordFile != "" {
		if runs == 0 {
			return errors.New("-record needs -runs")
		}
		if f.record, err = newRecord(context.Background(), dir, recordFile); err != nil {
			return err
		}
	}
	return f.all(total)
}

type fuzzer struct {
	dir   string
	out   io.Writer
	least time.Duration
	runs  int
	only  *regexp.Regexp

	record *record // or nil
}

// A target is one fuzz function of a package.
type target struct{ pkg, name string }

func (f fuzzer) all(total time.Duration) error {
	end := time.Now().Add(total)
	targets, err := f.list()
	if err != nil {
		return err
	}
	if err := f.build(targets); err != nil {
		return err
	}
	var failed []string
	for i, t := range targets {
		limit := fmt.Sprintf("%dx", f.runs)
		if f.runs == 0 {
			limit = max(share(time.Until(end), len(targets)-i), f.least).String()
		}
		started := time.Now()
		err := f.run(t, limit)
		result := "ok"
		if err != nil {
			result = "FAIL"
			failed = append(failed, t.pkg+" "+t.name)
		}
		took := time.Since(started)
		fmt.Fprintf(f.out, "%-4s %s %s (%s, limit %s)\n", result, t.pkg, t.name, took.Round(time.Second/10), limit)
		if err == nil && f.record != nil {
			if err := f.record.passed(t, f.runs, took); err != nil {
				return err
			}
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d targets failed: %s", len(failed), len(targets), strings.Join(failed, ", "))
	}
	fmt.Fprintf(f.out, "%d fuzz targets found nothing\n", len(targets))
	return nil
}

// share is what one of n targets may use of what is left.
func share(left time.Duration, n int) time.Duration {
	return (left / time.Duration(n)).Truncate(time.Second / 10)
}

// list returns the fuzz targets of the module ordered by package and name.
func (f fuzzer) list() ([]target, error) {
	cmd := exec.Command("go", "test", "-json", "-list", "^Fuzz", "./...")
	cmd.Dir = f.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	events, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s%s", cmd, err, stderr.Bytes(), events)
	}
	targets, err := parseList(bytes.NewReader(events))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(targets, func(a, b target) int {
		return cmp.Or(strings.Compare(a.pkg, b.pkg), strings.Compare(a.name, b.name))
	})
	targets = slices.DeleteFunc(targets, func(t target) bool {
		return f.only != nil && !f.only.MatchString(t.pkg+" "+t.name)
	})
	if len(targets) == 0 {
		return nil, errors.New("there is no fuzz target of this name")
	}
	return targets, nil
}

func parseList(events io.Reader) ([]target, error) {
	var targets []target
	decoder := json.NewDecoder(events)
	for {
		var event struct{ Action, Package, Output string }
		err := decoder.Decode(&event)
		if errors.Is(err, io.EOF) {
			return targets, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the list of tests: %w", err)
		}
		name := strings.TrimSpace(event.Output)
		if event.Action == "output" && strings.HasPrefix(name, "Fuzz") && !strings.ContainsAny(name, " \t") {
			targets = append(targets, target{pkg: event.Package, name: name})
		}
	}
}

// build fills the build cache with the instrumented packages, so that what is
// left of the time can be shared evenly.
func (f fuzzer) build(targets []target) error {
	var built string
	for _, t := range targets {
		if t.pkg == built {
			continue
		}
		cmd := exec.Command("go", "test", "-vet", "off", "-c", "-fuzz", "^Fuzz", "-o", os.DevNull, t.pkg)
		cmd.Dir = f.dir
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, output)
		}
		built = t.pkg
	}
	return nil
}

// run fuzzes one target up to the limit, a duration or a count such as 1000x.
func (f fuzzer) run(t target, limit string) error {
	cmd := exec.Command("go", "test", "-vet", "off", "-run", "^$", "-fuzz", "^"+t.name+"$",
		"-fuzztime", limit, "-fuzzminimizetime", "20x", "-timeout", "0", t.pkg)
	cmd.Dir = f.dir
	output, err := cmd.CombinedOutput()
	// A count of inputs has no end of time that excuses a run that fell short.
	if err == nil || f.runs == 0 && onlyLate(output) {
		return nil
	}
	fmt.Fprintf(f.out, "%s\n", output)
	if saved := savedInput(output); saved != "" {
		fmt.Fprintf(f.out, "keep the input as a test: git add %s in %s\n", saved, t.pkg)
	}
	return err
}

// onlyLate tells whether the run failed only because its time was up while a
// worker was busy, which the go command reports as a failure
// (https://go.dev/issue/75804); an input that fails is always saved.
func onlyLate(output []byte) bool {
	return bytes.Contains(output, []byte("context deadline exceeded")) &&
		savedInput(output) == "" && !bytes.Contains(output, []byte("panic:"))
}

// savedInput returns the file, relative to the package, in which the go command
// saved an input that fails.
func savedInput(output []byte) string {
	const mark = "Failing input written to "
	_, rest, ok := bytes.Cut(output, []byte(mark))
	if !ok {
		return ""
	}
	name, _, _ := bytes.Cut(rest, []byte("\n"))
	return filepath.ToSlash(string(bytes.TrimSpace(name)))
}
