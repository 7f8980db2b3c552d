// Command links checks the relative links of a project's Markdown files: the
// file must be there and, where the link names a heading, the heading too.
// Links to other sites are not followed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

func main() {
	dir := flag.String("dir", ".", "folder with the Markdown files")
	flag.Parse()

	broken, err := check(*dir)
	for _, b := range broken {
		fmt.Fprintln(os.Stderr, b)
	}
	if err == nil && len(broken) > 0 {
		err = fmt.Errorf("%d broken links", len(broken))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "links:", err)
		os.Exit(1)
	}
}

// check returns a line for each broken link of the files below dir.
func check(dir string) (broken []string, err error) {
	pages := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".md":
			return nil
		}
		pages++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, l := range links(string(text)) {
			if problem := l.problem(path); problem != "" {
				broken = append(broken, fmt.Sprintf("%s:%d: %s: %s", path, l.line, l.target, problem))
			}
		}
		return nil
	})
	if err == nil && pages == 0 {
		err = errors.New("no Markdown file in " + dir)
	}
	return broken, err
}

type link struct {
	line   int
	target string
}

var (
	inline = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)`)
	code   = regexp.MustCompile("`[^`]*`")
	mark   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// links finds the links outside of code.
func links(text string) (found []link) {
	for i, line := range prose(text) {
		for _, m := range inline.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
			found = append(found, link{i + 1, m[1]})
		}
	}
	return found
}

// prose is the lines of a text, those of code blocks empty.
func prose(text string) []string {
	lines := strings.Split(text, "\n")
	fence := ""
	for i, line := range lines {
		trimmed := strings.TrimLeft(line, " >")
		switch {
		case fence == "" && (strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")):
			fence = trimmed[:3]
		case fence == "":
			continue
		case strings.HasPrefix(trimmed, fence):
			fence = ""
		}
		lines[i] = ""
	}
	return lines
}

// problem says what is wrong with a link in the file at path, or nothing.
func (l link) problem(path string) string {
	u, err := url.Parse(l.target)
	if err != nil {
		return "not a link"
	}
	if u.Scheme != "" || u.Host != "" {
		return ""
	}
	to := path
	if u.Path != "" {
		to = filepath.Join(filepath.Dir(path), filepath.FromSlash(u.Path))
	}
	if _, err := os.Stat(to); err != nil {
		return "there is no such file"
	}
	if u.Fragment == "" {
		return ""
	}
	text, err := os.ReadFile(to)
	if err != nil {
		return err.Error()
	}
	if filepath.Ext(to) != ".md" || !anchors(string(text))[u.Fragment] {
		return "there is no such heading"
	}
	return ""
}

// anchors are the names that GitHub gives to headings: lower case, blanks as
// hyphens, no punctuation, a number behind one that comes again.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	times := map[string]int{}
	for _, line := range prose(text) {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		title = mark.ReplaceAllString(strings.TrimSpace(title), "$1")
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			default:
				return -1
			}
		}, title)
		if n := times[name]; n > 0 {
			found[fmt.Sprintf("%s-%d", name, n)] = true
		}
		times[name]++
		found[name] = true
	}
	return found
}
