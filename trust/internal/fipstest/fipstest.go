// Package fipstest runs tests again in Go's FIPS 140-3 mode.
package fipstest

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// isOn is what the process in the mode says.
const isOn = "this process is in FIPS 140-3 mode"

// Run runs tests of the calling package by their names, each of which must pass,
// in a process that is in FIPS 140-3 mode from its start.
func Run(t *testing.T, names ...string) {
	t.Helper()
	if fips140.Enabled() {
		t.Log(isOn)
		return // this is the process that Run started, or all tests run so
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.v", "-test.run=^("+strings.Join(append(names, t.Name()), "|")+")$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=on")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), isOn) {
		t.Errorf("the tests did not run in FIPS 140-3 mode:\n%s", out)
	}
	for _, name := range names {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not run and pass in FIPS 140-3 mode", name)
		}
	}
}
