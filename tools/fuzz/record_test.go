package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	page := "# Page\n\n" + recordBegin + recordEnd + "\nmore\n"
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &record{path: path, commit: "0123", now: func() time.Time { return time.Unix(1e9, 0) }}
	for _, run := range []struct {
		name   string
		inputs int
	}{{"FuzzB", 10}, {"FuzzA", 20}, {"FuzzB", 30}} {
		if err := r.passed(target{"cloister/p", run.name}, run.inputs, 90*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	want := "# Page\n\n" + recordBegin + recordHead +
		"| `p` FuzzA | 20 | 1m30s | 2001-09-09 | 0123 |\n| `p` FuzzB | 30 | 1m30s | 2001-09-09 | 0123 |\n" +
		recordEnd + "\nmore\n"
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("the page is\n%s\nwant\n%s", got, want)
	}

	if err := os.WriteFile(path, []byte("# Page\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := newRecord(t.Context(), ".", path); err == nil {
		t.Error("no error of a page without a record")
	}
}
