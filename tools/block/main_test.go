package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const page = "# Title\n<!-- begin demo -->\n```text\nauc 0.99 after 1.2 s on 2 threads\n```\n<!-- end demo -->\nrest\n"

func TestRun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		print  string
		always bool
		want   string
	}{
		"the same":           {print: "auc 0.99 after 1.2 s on 2 threads", want: page},
		"another time":       {print: "auc 0.99 after 35ms on 1 thread", want: page},
		"another time, kept": {print: "auc 0.99 after 9 s on 2 threads", always: true, want: strings.Replace(page, "1.2 s", "9 s", 1)},
		"another result":     {print: "auc 0.98 after 1.2 s on 2 threads", want: strings.Replace(page, "0.99", "0.98", 1)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, page)
			if err := run(dir, "page.md", "demo", tt.always, []string{"echo", tt.print}); err != nil {
				t.Fatal(err)
			}
			if got := content(t, dir); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestRunStripsTheFolder(t *testing.T) {
	t.Parallel()
	dir := folder(t, page)
	if err := run(dir, "page.md", "demo", false, []string{"sh", "-c", `echo "wrote $PWD/model.txt"`}); err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir); !strings.Contains(got, "\nwrote model.txt\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		page    string
		command []string
		want    string
	}{
		"a command that fails": {page, []string{"false"}, "exit status 1"},
		"no command":           {page, nil, "usage"},
		"no block":             {"# Title\n", []string{"true"}, "page.md: want one line"},
		"two blocks":           {page + page, []string{"true"}, "page.md: want one line"},
		"end before begin":     {"<!-- end demo -->\n<!-- begin demo -->\n", []string{"true"}, "before"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, tt.page)
			err := run(dir, "page.md", "demo", false, tt.command)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
			if got := content(t, dir); got != tt.page {
				t.Errorf("the page changed to\n%s", got)
			}
		})
	}
}

func folder(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.md"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func content(t *testing.T, dir string) string {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "page.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}
