package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThreatModel checks the project's own.
func TestThreatModel(t *testing.T) {
	t.Parallel()
	wrong, err := check(filepath.Join("..", ".."), "docs/threat-model.md")
	if err != nil || len(wrong) > 0 {
		t.Errorf("%v\n%s", err, strings.Join(wrong, "\n"))
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/b/some_test.go": "package b\n\nfunc TestThere(t *testing.T) {\n\tcases(\"one case\")\n}\n\nfunc FuzzIt(f *testing.F) {}\n",
		"a/script.txtar":   "exec true\n",
		"page.md": `# Threats
Some text with ` + "`code`" + ` and ` + "`a/b.TestThere`" + `.

| attack | what holds | shown by |
| --- | --- | --- |
| good | it holds | ` + "`a/b.TestThere`, `a/b.FuzzIt`" + ` |
| a case | it holds | ` + "`a/b.TestThere/one case`" + ` |
| a script | it holds | ` + "`a/script.txtar`" + ` |
| open | it does not | not defended |
| nothing | it holds | |
| gone | it holds | ` + "`a/b.TestGone`" + ` |
| gone case | it holds | ` + "`a/b.TestThere/no case`" + ` |
| gone folder | it holds | ` + "`a/c.TestThere`" + ` |
| gone script | it holds | ` + "`a/none.txtar`" + ` |

| other | table |
| --- | --- |
| needs | nothing |
`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wrong, err := check(dir, "page.md")
	if err != nil {
		t.Fatal(err)
	}
	want := `page.md:10: names no test, and does not say "not defended"
page.md:11: a/b.TestGone: there is no such test
page.md:12: a/b.TestThere/no case: the test has no such case
page.md:13: a/c.TestThere: the folder has no tests
page.md:14: a/none.txtar: there is no such script`
	if got := strings.Join(wrong, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNothingNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := check(dir, "page.md"); err == nil {
		t.Error("no page is fine")
	}
	if err := os.WriteFile(filepath.Join(dir, "page.md"), []byte("# Nothing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := check(dir, "page.md"); err == nil {
		t.Error("a page that names no test is fine")
	}
}
