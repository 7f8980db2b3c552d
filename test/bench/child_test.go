package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestChild(t *testing.T) {
	t.Parallel()
	note := filepath.Join(t.TempDir(), "peak")
	if code := runChild(t.Context(), []string{note, "sh", "-c", "exit 3"}); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	if peak, err := strconv.Atoi(string(text)); err != nil || peak < 100_000 || peak > 1<<30 {
		t.Errorf("a shell took %s bytes: %v", text, err)
	}
	if code := runChild(t.Context(), []string{note, filepath.Join(t.TempDir(), "no-such-program")}); code == 0 {
		t.Error("a program that is not there ended well")
	}
}
