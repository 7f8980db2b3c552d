// Command gen writes the reference of the policy file and its JSON schema from
// the declaration of the policy.
//
//	go run ./gen ../../../docs/reference
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cloister/trust/broker/policy"
	"cloister/trust/document"
)

//go:embed intro.md
var intro string

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("the one argument is the directory to write to")
	}
	files, err := generate()
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(args[0], name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the files by their names.
func generate() (map[string][]byte, error) {
	schema, err := document.Schema(new(policy.Policy), "https://cloister.invalid/policy.schema.json", "Policy of a Cloister key broker")
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	page.WriteString("<!-- Written by trust/broker/policy/gen. Do not edit. -->\n")
	page.WriteString(strings.TrimSpace(intro))
	page.WriteString("\n\n")
	page.Write(document.Reference(new(policy.Policy)))
	return map[string][]byte{"policy.md": page.Bytes(), "policy.schema.json": schema}, nil
}
