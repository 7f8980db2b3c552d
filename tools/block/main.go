// Command block runs a command and puts what it prints into a Markdown file,
// between the lines
//
//	<!-- begin NAME -->
//	<!-- end NAME -->
//
// so that what a page shows was really printed. A block that differs only in
// what differs between runs and machines (times, sizes, thread counts, dates)
// is left alone, so that a second run changes nothing.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

func main() {
	dir := flag.String("dir", ".", "folder in which the command runs")
	file := flag.String("file", "", "the Markdown file, relative to the folder")
	name := flag.String("name", "", "the block's name")
	always := flag.Bool("always", false, "write the block even when only times and the like differ")
	flag.Parse()

	if err := run(*dir, *file, *name, *always, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "block:", err)
		os.Exit(1)
	}
}

func run(dir, file, name string, always bool, command []string) error {
	if file == "" || name == "" || len(command) == 0 {
		return errors.New("usage: block [-dir DIR] -file FILE -name NAME COMMAND [ARG…]")
	}
	root, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(root, file)
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if _, err := replace(page, name, nil, true); err != nil {
		return fmt.Errorf("%s: %w", file, err) // before a run that may take hours
	}

	var printed bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = root
	cmd.Stdout = io.MultiWriter(&printed, os.Stderr)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w; %s is as it was", command[0], err, file)
	}

	output := bytes.ReplaceAll(printed.Bytes(), []byte(root+"/"), nil)
	changed, err := replace(page, name, output, always)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if bytes.Equal(changed, page) {
		return nil
	}
	return os.WriteFile(path, changed, 0o644)
}

// replace returns the page with the named block holding the output as a text
// block. Unless always is set, a block that agrees but for times and the like
// stays.
func replace(page []byte, name string, output []byte, always bool) ([]byte, error) {
	begin, end := []byte("<!-- begin "+name+" -->\n"), []byte("<!-- end "+name+" -->\n")
	if bytes.Count(page, begin) != 1 || bytes.Count(page, end) != 1 {
		return nil, fmt.Errorf("want one line %q and one line %q", begin, end)
	}
	from := bytes.Index(page, begin) + len(begin)
	to := bytes.Index(page, end)
	if to < from {
		return nil, fmt.Errorf("%q stands before %q", end, begin)
	}

	block := fmt.Appendf(nil, "```text\n%s\n```\n", bytes.TrimRight(output, "\n"))
	if !always && bytes.Equal(mask(block), mask(page[from:to])) {
		return page, nil
	}
	return bytes.Join([][]byte{page[:from], block, page[to:]}, nil), nil
}

// What differs from run to run: durations, sizes, thread counts, dates.
var varying = []*regexp.Regexp{
	regexp.MustCompile(`\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?`),
	regexp.MustCompile(`\b\d+m\d+(?:\.\d+)?s\b`),
	regexp.MustCompile(`\b\d+(?:\.\d+)? ?(?:ns|µs|us|ms|s|min|h|seconds?)\b`),
	regexp.MustCompile(`\b\d+(?:\.\d+)? ?(?:kB|KB|KiB|MB|MiB|GB|GiB)\b`),
	regexp.MustCompile(`\b\d+ threads?\b|\bthreads?[=:] ?\d+`),
}

func mask(text []byte) []byte {
	for _, v := range varying {
		text = v.ReplaceAll(text, []byte("…"))
	}
	return text
}
