//go:build peers

// Package peers_test compares Cloister with the programs whose files and
// commands it takes. The tests want the environment that make test-peers sets.
package peers_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python runs the pinned Python, whose packages are those of requirements.txt,
// and returns what it writes to standard output.
func python(t *testing.T, args ...string) []byte {
	t.Helper()
	interpreter := os.Getenv("CLOISTER_PYTHON")
	if interpreter == "" {
		t.Fatal("CLOISTER_PYTHON is not set; run make test-peers")
	}
	cmd := exec.CommandContext(t.Context(), interpreter, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python %q: %v\n%s", args, err, &stderr)
	}
	return out
}

// The figures of a comparison hold for these versions alone.
func TestPeersArePinned(t *testing.T) {
	t.Parallel()
	file, err := os.Open("requirements.in")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	pinned := 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, want, ok := strings.Cut(lines.Text(), "==")
		if !ok {
			continue
		}
		pinned++
		got := python(t, "-c", "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))", name)
		if version := strings.TrimSpace(string(got)); version != want {
			t.Errorf("%s is %s, want %s", name, version, want)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if pinned == 0 {
		t.Error("requirements.in pins nothing")
	}
}

// The committed tables are those that make.py takes out of scikit-learn.
func TestExampleTablesAreMadeAgain(t *testing.T) {
	t.Parallel()
	example := filepath.Join("..", "..", "examples", "breast_cancer")
	made := t.TempDir()
	python(t, filepath.Join(example, "make.py"), made)
	for _, name := range []string{"train.csv", "test.csv"} {
		want, err := os.ReadFile(filepath.Join(made, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(example, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what make.py writes", name)
		}
	}
}
