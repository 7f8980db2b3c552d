package vault

import (
	"testing"

	"cloister/trust/internal/fipstest"
)

// TestFIPS runs what keys go through again in Go's FIPS 140-3 mode.
func TestFIPS(t *testing.T) {
	t.Parallel()
	fipstest.Run(t, "TestKeysOutliveAStart", "TestBringKey", "TestRestore", "TestRecover", "TestHandOver", "TestRegister")
}
