package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		want []finding
	}{
		"fused sum": {
			body: "return a*b + c",
			want: []finding{{"example/engine/sum/sum.go:4", "FMADDD"}},
		},
		"fused difference": {
			body: "return c - a*b",
			want: []finding{{"example/engine/sum/sum.go:4", "FMSUBD"}},
		},
		"converted":      {body: "return float64(a*b) + c"},
		"across a name":  {body: "p := a * b; return p + c", want: []finding{{"example/engine/sum/sum.go:4", "FMADDD"}}},
		"sum of factors": {body: "return (a + b) * c"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "go.mod"), "module example\n\ngo 1.26\n")
			write(t, filepath.Join(dir, "engine", "sum", "sum.go"),
				"package sum\n\nfunc Sum(a, b, c float64) float64 {\n"+tt.body+"\n}\n")

			for _, run := range []string{"first", "cached"} {
				got, err := check(dir, "./engine/...")
				if err != nil {
					t.Fatalf("%s run: %v", run, err)
				}
				if len(got) != len(tt.want) || len(got) == 1 && got[0] != tt.want[0] {
					t.Errorf("%s run: got %v, want %v", run, got, tt.want)
				}
			}
		})
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ source, packages, want string }{
		"no folder":      {"package sum\n", "./other/...", "go list"},
		"no package":     {"package sum\n", "./testdata/...", "no package"},
		"a syntax error": {"package sum\n\nfunc {\n", "./engine/...", "exit status"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "go.mod"), "module example\n\ngo 1.26\n")
			write(t, filepath.Join(dir, "engine", "sum", "sum.go"), tt.source)
			write(t, filepath.Join(dir, "testdata", "note.txt"), "no Go here\n")
			if _, err := check(dir, tt.packages); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
