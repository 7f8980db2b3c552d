//go:build peers

package peers_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The benchmark runs, here with few rows, and finds models of equal quality.
func TestBenchmarkRuns(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "run", "../bench", "-cache", t.TempDir(),
		"-python", os.Getenv("CLOISTER_PYTHON"), "-cloister", binary(t),
		"-only", "flights,sparse", "-scale", "0.02", "-repeat", "1", "-threads", "1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if n := strings.Count(string(out), "| 1 | **ratio** | "); n != 2 {
		t.Errorf("%d ratios, want 2:\n%s", n, out)
	}
}
