package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"cloister/test/peers/peer"
)

// machine is what a measurement was made on.
type machine struct {
	cpu, system      string
	cores            int
	memory           string
	commit, date     string
	goTools, library string
}

func newMachine(ctx context.Context, o *options) (*machine, error) {
	w, err := peer.Start(ctx, o.python)
	if err != nil {
		return nil, err
	}
	var v struct{ LightGBM, Python string }
	err = w.Do("versions", nil, &v)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	m := &machine{
		cpu: field("/proc/cpuinfo", "model name"), cores: runtime.NumCPU(), system: runtime.GOOS + "/" + runtime.GOARCH,
		date: time.Now().UTC().Format(time.DateOnly), goTools: runtime.Version(),
		library: "LightGBM " + v.LightGBM + " (PyPI)",
	}
	var kib float64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%g kB", &kib); err == nil {
		m.memory = fmt.Sprintf("%.0f GB", kib*1024/1e9)
	}
	m.commit = git(ctx, "rev-parse", "--short=12", "HEAD")
	if m.commit != "" && git(ctx, "status", "--porcelain", "--untracked-files=no") != "" {
		m.commit += " with changes"
	}
	return m, nil
}

// field reads a "name: value" line of a file of /proc, or nothing elsewhere.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// git asks Git about the source; nothing where there is none.
func git(ctx context.Context, args ...string) string {
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (m *machine) String() string {
	var parts []string
	for _, p := range []string{m.cpu, counted(m.cores, "core"), m.memory, m.system, m.goTools, m.library, m.date} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if m.commit != "" {
		parts = append(parts, "commit "+m.commit)
	}
	return strings.Join(parts, "; ")
}

// markdown is what stands in the page.
func (r *result) markdown(m *machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.set.about)
	if r.scale != 1 {
		fmt.Fprintf(&b, "**A trial with %g of the rows: these figures say nothing of the whole.**\n\n", r.scale)
	}
	fmt.Fprintf(&b, "%s. Medians of %s.\n\n", m, counted(r.repeat, "run"))
	fmt.Fprintf(&b, "| threads | | load, s | train, s | predict, s | memory, MB | memory of predict, MB | %s | leaves |\n", r.set.metric.Name)
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, t := range r.threads {
		row := func(name string, v *runs) {
			fmt.Fprintf(&b, "| %d | %s | %.3g | %.3g | %.3g | %.0f | %.0f | %.6g | %d |\n", t.threads, name,
				median(v.load), median(v.train), median(v.predict), median(v.trainPeak)/1e6, median(v.predictPeak)/1e6, v.metric, v.leaves)
		}
		row("LightGBM, `"+t.setting+"`", &t.theirs)
		row("Cloister", &t.ours)
		fmt.Fprintf(&b, "| %d | **ratio** | %s | %s | %s | %s | %s | | |\n", t.threads,
			times(t.theirs.load, t.ours.load), times(t.theirs.train, t.ours.train), times(t.theirs.predict, t.ours.predict),
			times(t.ours.trainPeak, t.theirs.trainPeak), times(t.ours.predictPeak, t.theirs.predictPeak))
	}
	return b.String()
}

// times is the ratio of two medians.
func times(a, b []float64) string { return fmt.Sprintf("%.2f ×", median(a)/median(b)) }

// summary has the geometric means of the ratios over all sets.
func summary(results []*result, m *machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Geometric means of the ratios over the %s. %s.\n\n", counted(len(results), "set"), m)
	b.WriteString("| threads | load | train | predict | memory | memory of predict |\n| --- | ---: | ---: | ---: | ---: | ---: |\n")
	for i, t := range results[0].threads {
		fmt.Fprintf(&b, "| %d ", t.threads)
		for _, ratio := range []func(t *threadResult) float64{
			func(t *threadResult) float64 { return median(t.theirs.load) / median(t.ours.load) },
			func(t *threadResult) float64 { return median(t.theirs.train) / median(t.ours.train) },
			func(t *threadResult) float64 { return median(t.theirs.predict) / median(t.ours.predict) },
			func(t *threadResult) float64 { return median(t.ours.trainPeak) / median(t.theirs.trainPeak) },
			func(t *threadResult) float64 { return median(t.ours.predictPeak) / median(t.theirs.predictPeak) },
		} {
			sum := 0.0
			for _, r := range results {
				sum += math.Log(ratio(&r.threads[i]))
			}
			fmt.Fprintf(&b, "| %.2f × ", math.Exp(sum/float64(len(results))))
		}
		b.WriteString("|\n")
	}
	return b.String()
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func marks(name string) (begin, end []byte) {
	return []byte("<!-- begin bench " + name + " -->\n"), []byte("<!-- end bench " + name + " -->\n")
}

func checkBlocks(path string, names []string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := replaceBlock(page, name, ""); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// writeBlock puts a text into its place on a page.
func writeBlock(path, name, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page, err = replaceBlock(page, name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, page, 0o644)
}

func replaceBlock(page []byte, name, text string) ([]byte, error) {
	begin, end := marks(name)
	from, to := bytes.Index(page, begin), bytes.Index(page, end)
	if from < 0 || to < from {
		return nil, fmt.Errorf("want the lines %q and %q", begin, end)
	}
	return bytes.Join([][]byte{page[:from+len(begin)], []byte(text), page[to:]}, nil), nil
}
