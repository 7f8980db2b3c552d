package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A record is a table in a Markdown file, between two lines, with a row for each
// target that ran a number of inputs and found nothing. Targets may be run on
// different days: a row is replaced when its target has run again.
type record struct {
	path   string
	commit string
	now    func() time.Time
}

const (
	recordBegin = "<!-- begin fuzz record -->\n"
	recordEnd   = "<!-- end fuzz record -->\n"
	recordHead  = "| target | inputs | took | date | commit |\n| --- | ---: | ---: | --- | --- |\n"
)

// newRecord checks the file before hours of work, and asks git for the commit of
// the module in dir.
func newRecord(ctx context.Context, dir, path string) (*record, error) {
	r := &record{path: path, now: time.Now}
	if _, _, _, err := r.read(); err != nil {
		return nil, err
	}
	commit, err := git(ctx, dir, "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return nil, err
	}
	// The record itself may have changed since.
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	changes, err := git(ctx, dir, "status", "--porcelain", "--", ":/", ":(exclude,top)"+relative(ctx, dir, absolute))
	if err != nil {
		return nil, err
	}
	if changes != "" {
		commit += " with changes"
	}
	r.commit = commit
	return r, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", cmd, err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// relative is a path as seen from the top of dir's repository.
func relative(ctx context.Context, dir, path string) string {
	top, err := git(ctx, dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(top, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// read returns what stands before the rows, the rows, and what stands after.
func (r *record) read() (before string, rows []string, after string, err error) {
	page, err := os.ReadFile(r.path)
	if err != nil {
		return "", nil, "", err
	}
	before, rest, ok := strings.Cut(string(page), recordBegin)
	inner, after, ended := strings.Cut(rest, recordEnd)
	if !ok || !ended {
		return "", nil, "", fmt.Errorf("%s: want the lines %q and %q", r.path, recordBegin, recordEnd)
	}
	if inner != "" {
		table, ok := strings.CutPrefix(inner, recordHead)
		if !ok {
			return "", nil, "", fmt.Errorf("%s: the record does not start with %q", r.path, recordHead)
		}
		rows = strings.SplitAfter(table, "\n")
		rows = rows[:len(rows)-1]
	}
	return before + recordBegin, rows, recordEnd + after, nil
}

// passed puts a target's run into the record.
func (r *record) passed(t target, inputs int, took time.Duration) error {
	before, rows, after, err := r.read()
	if err != nil {
		return err
	}
	key := fmt.Sprintf("| `%s` %s |", strings.TrimPrefix(t.pkg, "cloister/"), t.name)
	row := fmt.Sprintf("%s %d | %s | %s | %s |\n", key, inputs, took.Round(time.Second), r.now().UTC().Format(time.DateOnly), r.commit)
	if i := slices.IndexFunc(rows, func(s string) bool { return strings.HasPrefix(s, key) }); i >= 0 {
		rows[i] = row
	} else {
		rows = append(rows, row)
	}
	slices.Sort(rows)
	page := before + recordHead + strings.Join(rows, "") + after
	beside := r.path + ".new"
	if err := os.WriteFile(beside, []byte(page), 0o644); err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return os.Rename(beside, r.path)
}
