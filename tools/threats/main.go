// Command threats checks the threat model of a project: every test that it names
// must exist, and every row of a table whose last column is "shown by" must name
// one, or say "not defended".
//
// A test is named in code marks as PACKAGE.TestName, where PACKAGE is the folder
// below the project, or as the path of a script that tests the commands.
// PACKAGE.TestName/case names a case: its name must stand in a test file of the
// package.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	dir := flag.String("dir", ".", "folder of the project")
	page := flag.String("page", "docs/threat-model.md", "the threat model, below the folder")
	flag.Parse()

	wrong, err := check(*dir, *page)
	for _, w := range wrong {
		fmt.Fprintln(os.Stderr, w)
	}
	if err == nil && len(wrong) > 0 {
		err = fmt.Errorf("%d lines are not shown by a test", len(wrong))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "threats:", err)
		os.Exit(1)
	}
}

// undefended is what the last column says where nothing is defended.
const undefended = "not defended"

var (
	marked   = regexp.MustCompile("`([^`]+)`")
	testName = regexp.MustCompile(`^([a-z0-9/]+)\.((?:Test|Fuzz)[A-Za-z0-9]+)(?:/(.+))?$`)
	script   = regexp.MustCompile(`^[a-z0-9/_]+\.txtar$`)
)

// check returns a line for each thing that is wrong with the page.
func check(dir, page string) (wrong []string, err error) {
	text, err := os.ReadFile(filepath.Join(dir, page))
	if err != nil {
		return nil, err
	}
	named, shown := 0, false
	for i, line := range strings.Split(string(text), "\n") {
		complain := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("%s:%d: ", page, i+1)+fmt.Sprintf(format, args...))
		}
		found := 0
		for _, m := range marked.FindAllStringSubmatch(line, -1) {
			is, problem := one(dir, m[1])
			if problem != "" {
				complain("%s: %s", m[1], problem)
			}
			if is {
				found++
			}
		}
		named += found
		cells := row(line)
		switch {
		case cells == nil:
			shown = false
		case strings.Trim(strings.Join(cells, ""), "-: ") == "":
		case strings.EqualFold(cells[len(cells)-1], "shown by"):
			shown = true
		case shown && found == 0 && !strings.Contains(cells[len(cells)-1], undefended):
			complain("names no test, and does not say %q", undefended)
		}
	}
	if named == 0 {
		return wrong, errors.New("the page names no test")
	}
	return wrong, nil
}

// row is the cells of a row of a table, or nil.
func row(line string) []string {
	line = strings.TrimSpace(line)
	if len(line) < 2 || line[0] != '|' || line[len(line)-1] != '|' {
		return nil
	}
	cells := strings.Split(line[1:len(line)-1], "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// one says whether a name is one of a test, and what is wrong with it.
func one(dir, name string) (is bool, problem string) {
	if script.MatchString(name) {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return true, "there is no such script"
		}
		return true, ""
	}
	m := testName.FindStringSubmatch(name)
	if m == nil {
		return false, ""
	}
	files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(m[1]), "*_test.go"))
	if err != nil || len(files) == 0 {
		return true, "the folder has no tests"
	}
	var test, named bool
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return true, err.Error()
		}
		test = test || strings.Contains(string(text), "\nfunc "+m[2]+"(")
		named = named || m[3] != "" && strings.Contains(string(text), `"`+m[3]+`"`)
	}
	switch {
	case !test:
		return true, "there is no such test"
	case m[3] != "" && !named:
		return true, "the test has no such case"
	}
	return true, ""
}
