package page

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteBlock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	text := "# Page\n<!-- begin bench a -->\nold\n<!-- end bench a -->\nrest\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteBlock(path, "a", "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(text, "old", "new", 1); string(got) != want {
		t.Errorf("the page is\n%s", got)
	}
	if err := WriteBlock(path, "b", "new\n"); err == nil {
		t.Error("a block that is not there was written")
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	if got := Median([]float64{9, 1, 4}); got != 4 {
		t.Errorf("odd: %v", got)
	}
	if got := Median([]float64{9, 1, 4, 5}); got != 4.5 {
		t.Errorf("even: %v", got)
	}
}
