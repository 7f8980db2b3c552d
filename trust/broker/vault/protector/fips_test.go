package protector

import (
	"testing"

	"cloister/trust/internal/fipstest"
)

// TestFIPS runs all protectors again in Go's FIPS 140-3 mode.
func TestFIPS(t *testing.T) {
	t.Parallel()
	fipstest.Run(t, "TestProtectors", "TestOwners")
}
