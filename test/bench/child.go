package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

// childCommand is the first argument with which this program runs another and
// notes the most memory that it held. A process of its own does that because
// Linux counts the memory of a process that starts another as the other's.
const childCommand = "measure-child"

// runChild runs args[1:], writes the peak of its memory in bytes to the file
// args[0], and returns its exit code.
func runChild(ctx context.Context, args []string) int {
	cmd := exec.CommandContext(ctx, args[1], args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		fmt.Fprintln(os.Stderr, "bench: this system does not tell how much memory a process used")
		return 1
	}
	peak := usage.Maxrss
	if runtime.GOOS != "darwin" {
		peak *= 1024
	}
	if err := os.WriteFile(args[0], strconv.AppendInt(nil, peak, 10), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}
