package main

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"cloister/test/bench/page"
)

func TestPageHasTheBlocks(t *testing.T) {
	t.Parallel()
	if err := page.CheckBlocks(filepath.Join("..", "..", "..", "docs", "benchmarks.md"), blocks); err != nil {
		t.Error(err)
	}
}

func TestArgumentsRefused(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"a part that is none": {"-only", "verify,sleep"},
		"no runs":             {"-repeat", "0"},
		"half of a page":      {"-only", "verify", "-write", "page.md"},
		"an argument":         {"verify"},
		"no such page":        {"-write", "no-such-page.md"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := run(t.Context(), args, &out, io.Discard); err == nil || out.Len() > 0 {
				t.Errorf("error %v, output %q", err, &out)
			}
		})
	}
}

// TestVerify measures a part that needs no other process.
func TestVerify(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-dir", t.TempDir(), "-only", "verify", "-repeat", "1", "-seconds", "0.05"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "ECDSA") {
		t.Errorf("got %s", &out)
	}
}
