package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/lightgbm/parameter"
)

// TestGeneratedFilesAreCurrent compares what is committed with what the
// declaration gives now.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	t.Parallel()
	config, page := filepath.Join(t.TempDir(), "config.go"), filepath.Join(t.TempDir(), "page.md")
	if err := run(config, page); err != nil {
		t.Fatal(err)
	}
	for generated, committed := range map[string]string{
		config: "../config_fields.go",
		page:   "../../../docs/reference/parameters.md",
	} {
		want, err := os.ReadFile(generated)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(committed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not current, run go generate (-generated +committed):\n%s", committed, diff)
		}
	}
}

func TestRunErrors(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing", "file")
	for name, paths := range map[string][2]string{
		"no names":  {"", ""},
		"no folder": {missing, missing},
		"no page":   {filepath.Join(t.TempDir(), "config.go"), missing},
	} {
		if err := run(paths[0], paths[1]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBadDefaults(t *testing.T) {
	t.Parallel()
	for _, p := range []parameter.Parameter{
		{Name: "a", Type: parameter.Int, Default: "x"},
		{Name: "b", Type: parameter.Float, Default: "x"},
		{Name: "c", Type: parameter.Ints, Default: "1"},
	} {
		if _, err := configSource([]parameter.Parameter{p}); err == nil || !strings.Contains(err.Error(), "default of "+p.Name) {
			t.Errorf("%s: got %v", p.Name, err)
		}
	}
}
