package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func pages(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, pattern := range []string{"commands/*", "man/*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			text, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(dir, p)
			if err != nil {
				t.Fatal(err)
			}
			found[name] = string(text)
		}
	}
	return found
}

// TestReferenceIsCurrent regenerates the committed pages.
func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := generate(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pages(t, "../../docs/reference"), pages(t, dir)); diff != "" {
		t.Errorf("docs/reference is stale, run go run ./cli/gendocs docs/reference (-committed +generated):\n%s", diff)
	}
}

func TestPagesOfGoneCommandsAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "man"), 0o755); err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(dir, "man", "cloister-gone.1")
	if err := os.WriteFile(gone, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := generate(dir); err != nil {
		t.Fatal(err)
	}
	for name := range pages(t, dir) {
		if strings.Contains(name, "gone") {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestRunWantsADirectory(t *testing.T) {
	t.Parallel()
	if err := run(nil); err == nil {
		t.Error("no error without a directory")
	}
}

func TestRoff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain":      "plain",
		".dot":       `\&.dot`,
		"'quote":     `\&'quote`,
		`back\slash`: `back\eslash`,
		"--json":     `\-\-json`,
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}
