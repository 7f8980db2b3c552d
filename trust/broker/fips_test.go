package broker

import (
	"testing"

	"cloister/trust/internal/fipstest"
)

// TestFIPS runs what owners, programs and administrators do with a broker again in Go's FIPS 140-3 mode.
func TestFIPS(t *testing.T) {
	t.Parallel()
	fipstest.Run(t, "TestRelease", "TestBring", "TestRuns", "TestPolicyChange", "TestCertificate", "TestProvisioning", "TestAudit")
}
