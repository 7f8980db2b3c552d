// Command gendocs writes the command reference: a Markdown page and a manual
// page for every command, the same bytes on every run.
//
//	go run ./cli/gendocs docs/reference
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cloister/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("the one argument is the directory to write to")
	}
	return generate(args[0])
}

// generate writes DIR/commands/*.md and DIR/man/*.1 and removes pages of
// commands that are gone.
func generate(dir string) error {
	root := cli.NewCommand()
	root.InitDefaultHelpFlag()
	for _, kind := range []struct {
		dir, ext string
		page     func(*cobra.Command) string
	}{
		{"commands", ".md", markdown},
		{"man", ".1", manual},
	} {
		target := filepath.Join(dir, kind.dir)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		old, err := filepath.Glob(filepath.Join(target, "cloister*"+kind.ext))
		if err != nil {
			return err
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		for _, cmd := range commands(root) {
			path := filepath.Join(target, pageName(cmd)+kind.ext)
			if err := os.WriteFile(path, []byte(kind.page(cmd)), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// commands lists cmd and all below it, parents first.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			all = append(all, commands(child)...)
		}
	}
	return all
}

// pageName is cloister-train for "cloister train".
func pageName(cmd *cobra.Command) string {
	return strings.ReplaceAll(cmd.CommandPath(), " ", "-")
}

// related lists the pages that a page should mention: the parent, then the
// children.
func related(cmd *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	if cmd.HasParent() {
		all = append(all, cmd.Parent())
	}
	for _, child := range cmd.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			all = append(all, child)
		}
	}
	return all
}

func description(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}
	return cmd.Short + "."
}
