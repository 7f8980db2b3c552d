// Command fma fails when the compiler fuses a product and a sum of the engine
// into one instruction, which rounds once instead of twice: such code gives
// other bits on arm64 than on amd64. An explicit conversion, float64(a*b) + c,
// forbids it.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

func main() {
	dir := flag.String("dir", ".", "root of the module")
	packages := flag.String("packages", "./engine/...", "packages to compile, relative to the root")
	flag.Parse()

	found, err := check(*dir, *packages)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fma:", err)
		os.Exit(2)
	}
	for _, f := range found {
		fmt.Printf("%s: a fused %s rounds differently from amd64: write float64(a*b) + c\n", f.position, f.instruction)
	}
	if len(found) > 0 {
		os.Exit(1)
	}
}

// A finding is one fused instruction, at file:line.
type finding struct{ position, instruction string }

// check compiles the packages for arm64, the tests left out, and returns the
// fused instructions in the order of their positions, each once.
func check(dir, packages string) ([]finding, error) {
	listing := exec.Command("go", "list", "-f", "{{.ImportPath}}", packages)
	listing.Dir = dir
	listing.Stderr = os.Stderr
	names, err := listing.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w", packages, err)
	}
	if len(bytes.TrimSpace(names)) == 0 {
		return nil, fmt.Errorf("no package matches %s", packages)
	}

	args := []string{"build", "-trimpath"}
	for name := range strings.FieldsSeq(string(names)) {
		args = append(args, "-gcflags="+name+"=-S")
	}
	build := exec.Command("go", append(args, packages)...)
	build.Dir = dir
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	assembly, err := build.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", build, err, tail(assembly, 4096))
	}
	if !bytes.Contains(assembly, []byte("\tTEXT\t")) {
		return nil, errors.New("the compiler printed no assembly")
	}
	return parse(bytes.NewReader(assembly))
}

// The listing has lines as
//
//	0x0010 00016 (cloister/engine/tree/sum.go:9)	FMADDD	F2, F0, F1, F0
var fused = regexp.MustCompile(`\(([^()\s]+:\d+)\)\s+(FN?M(?:ADD|SUB)[DS])\s`)

func parse(assembly io.Reader) ([]finding, error) {
	var found []finding
	lines := bufio.NewScanner(assembly)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if m := fused.FindSubmatch(lines.Bytes()); m != nil {
			found = append(found, finding{position: strings.TrimPrefix(string(m[1]), "./"), instruction: string(m[2])})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the assembly: %w", err)
	}
	slices.SortFunc(found, func(a, b finding) int {
		return strings.Compare(a.position+a.instruction, b.position+b.instruction)
	})
	return slices.Compact(found), nil
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
