package issuer

import (
	"testing"

	"cloister/trust/internal/fipstest"
)

// TestFIPS runs issuing, revoking and talking again in Go's FIPS 140-3 mode.
func TestFIPS(t *testing.T) {
	t.Parallel()
	fipstest.Run(t, "TestIssue", "TestRevoke", "TestWorkersTalk")
}
