// Command cloister trains machine learning models on confidential data.
package main

import (
	"context"
	"os"

	"cloister/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
