// Package page has what programs that measure write into a page: on which machine,
// and blocks between marks.
package page

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine is what a measurement was made on. Fields that are empty are not
// written.
type Machine struct {
	CPU, System  string
	Cores        int
	Memory       string
	Go, Library  string
	Commit, Date string
}

// ThisMachine is this one, with the commit of the working directory.
func ThisMachine(ctx context.Context) *Machine {
	m := &Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Date: time.Now().UTC().Format(time.DateOnly), Go: runtime.Version(),
	}
	var kib float64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%g kB", &kib); err == nil {
		m.Memory = fmt.Sprintf("%.0f GB", kib*1024/1e9)
	}
	m.Commit = git(ctx, "rev-parse", "--short=12", "HEAD")
	if m.Commit != "" && git(ctx, "status", "--porcelain", "--untracked-files=no") != "" {
		m.Commit += " with changes"
	}
	return m
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

// String is the line that stands above results.
func (m *Machine) String() string {
	var parts []string
	for _, p := range []string{m.CPU, Counted(m.Cores, "core"), m.Memory, m.System, m.Go, m.Library, m.Date} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	if m.Commit != "" {
		parts = append(parts, "commit "+m.Commit)
	}
	return strings.Join(parts, "; ")
}

// Counted is a number with what it counts.
func Counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Median is the middle value, or the mean of the two middle ones.
func Median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

func marks(name string) (begin, end []byte) {
	return []byte("<!-- begin bench " + name + " -->\n"), []byte("<!-- end bench " + name + " -->\n")
}

// CheckBlocks checks that a page has the blocks, before a run that takes long.
func CheckBlocks(path string, names []string) error {
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

// WriteBlock puts a text into its place on a page.
func WriteBlock(path, name, text string) error {
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
