package issuer

import (
	"os"
	"os/exec"
	"testing"
)

// TestFIPS runs what matters again in Go's FIPS 140-3 mode, which is set at
// start.
func TestFIPS(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^(TestIssue$|TestRevoke|TestWorkersTalk)")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
