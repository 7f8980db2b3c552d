package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/broker/policy"
)

// TestReferenceIsCurrent generates the committed files again.
func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("../../../../docs/reference", name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), string(want)); diff != "" {
			t.Errorf("docs/reference/%s is stale, run go generate ./trust/broker/policy (-committed +generated):\n%s", name, diff)
		}
	}
}

// TestExampleIsAPolicy reads the example of the page.
func TestExampleIsAPolicy(t *testing.T) {
	t.Parallel()
	_, rest, ok := strings.Cut(intro, "```yaml\n")
	text, _, end := strings.Cut(rest, "```\n")
	if !ok || !end {
		t.Fatal("there is no example")
	}
	p, err := policy.Parse("example", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Compare(nil, p); err != nil {
		t.Error(err)
	}
}

func TestRunWantsADirectory(t *testing.T) {
	t.Parallel()
	if err := run(nil); err == nil {
		t.Error("no error without a directory")
	}
}
