package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page := `# A page, of two parts
[here](other.md) and [there](sub/third.md#a-b-c) and [far](https://example.com/nothing)
[this page](#a-page-of-two-parts), [again](other.md#same-1), ` + "`[code](nothing.md)`" + `
` + "```sh\n[a block](nothing.md)\n```" + `
[lost](nothing.md) and [no heading](other.md#nothing)
![picture](missing.png "a title")
`
	for name, text := range map[string]string{
		"page.md":          page,
		"other.md":         "# Same\n\n## Same\n",
		"sub/third.md":     "## A: `b` [c](../page.md)!\n",
		".hidden/other.md": "[lost](nothing.md)\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	broken, err := check(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(strings.Join(broken, "\n"), dir+string(filepath.Separator), "")
	want := `page.md:7: nothing.md: there is no such file
page.md:7: other.md#nothing: there is no such heading
page.md:8: missing.png: there is no such file`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNothingToCheck(t *testing.T) {
	t.Parallel()
	if _, err := check(t.TempDir()); err == nil {
		t.Error("a folder without pages is fine")
	}
}
