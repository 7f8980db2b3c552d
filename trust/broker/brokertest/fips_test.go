package brokertest_test

import (
	"testing"

	"cloister/trust/internal/fipstest"
)

// TestFIPS runs the whole way of a release, with a quote and with witnesses, again in Go's FIPS 140-3 mode.
func TestFIPS(t *testing.T) {
	t.Parallel()
	fipstest.Run(t, "TestRelease")
}
