package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "go.mod", "module example\n\ngo 1.26\n")
	write(t, dir, "a/a_test.go", source("a", "FuzzGood", "")+"\nfunc TestOther(*testing.T) {}\n")
	write(t, dir, "b/b_test.go", source("b", "FuzzBad", `if string(b) != "x" { t.Fatal("not x") }`))

	var out bytes.Buffer
	f := fuzzer{dir: dir, out: &out, least: 3 * time.Second} // time enough on a busy machine: any other input fails
	targets, err := f.list()
	if err != nil {
		t.Fatal(err)
	}
	if want := []target{{"example/a", "FuzzGood"}, {"example/b", "FuzzBad"}}; !slices.Equal(targets, want) {
		t.Errorf("got targets %v, want %v", targets, want)
	}

	err = f.all(2 * time.Second)
	if err == nil || !strings.Contains(err.Error(), "1 of 2 targets failed: example/b FuzzBad") {
		t.Errorf("got error %v", err)
	}
	for _, want := range []string{"ok   example/a FuzzGood", "FAIL example/b FuzzBad", "not x", "git add testdata/fuzz/FuzzBad/"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the output:\n%s", want, &out)
		}
	}
}

func TestListRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ source, want string }{
		"no target":    {"package a\n", "no fuzz target of this name"},
		"broken tests": {"package a\n\nfunc {\n", "exit status 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "go.mod", "module example\n\ngo 1.26\n")
			write(t, dir, "a/a_test.go", tt.source)
			_, err := fuzzer{dir: dir}.list()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestOnlyLate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		output string
		want   bool
	}{
		"late":           {"--- FAIL: FuzzX (3.01s)\n    context deadline exceeded\nFAIL\n", true},
		"an input fails": {"--- FAIL: FuzzX (3.01s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzX/12\n", false},
		"a panic":        {"panic: context deadline exceeded\n", false},
		"another error":  {"--- FAIL: FuzzX (3.01s)\n    seed fails\n", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := onlyLate([]byte(tt.output)); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func source(pkg, name, body string) string {
	return "package " + pkg + "\n\nimport \"testing\"\n\nfunc " + name +
		"(f *testing.F) {\n\tf.Add([]byte(\"x\"))\n\tf.Fuzz(func(t *testing.T, b []byte) {\n" + body + "\n})\n}\n"
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
