package policy

import (
	"os"
	"testing"
)

// full is a policy with every field that there is.
func full(t testing.TB) *Policy {
	t.Helper()
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse("full.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	t.Logf("%s\n%s", full(t).Canonical(), full(t).Hash())
}
