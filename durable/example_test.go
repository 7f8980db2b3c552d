package durable_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"cloister/durable"
)

func ExampleWriteFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.txt")

	err = durable.WriteFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "tree\n")
		return err
	})
	fmt.Println(err)

	// A version that could not be finished changes nothing.
	err = durable.WriteFile(path, func(io.Writer) error {
		return io.ErrUnexpectedEOF
	})
	text, _ := os.ReadFile(path)
	fmt.Printf("%v: %s", err, text)
	// Output:
	// <nil>
	// unexpected EOF: tree
}
