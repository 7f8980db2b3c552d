// Package cli is Cloister's command line: one file for each subcommand, which
// turns flags and arguments into a struct and calls a package. What all of
// them share is decided here: messages, hints, exit codes, logging, progress,
// interruption and the writing of results.
package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience is how long a command may take to end after an interruption before
// it is left behind.
const patience = 500 * time.Millisecond

// errInterrupted is the cause of a context that a signal cancelled.
var errInterrupted = errors.New("interrupted")

// Main runs one command line, without the program's name, and returns the
// process's exit code (see the Exit constants). SIGINT, SIGTERM and SIGHUP
// cancel the context of what runs, and Main returns within a second of them,
// or of the cancellation of ctx, even if the command has not ended by then,
// unless it asked for longer (a server that answers what it was asked); a second
// signal ends the process at once.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := withSignals(ctx)
	defer stop()

	a := newApp(stdin, stdout, stderr)
	done := make(chan int, 1)
	go func() { done <- a.run(ctx, args) }()
	select {
	case code := <-done:
		return code
	case <-ctx.Done():
	}
	select {
	case code := <-done:
		return code
	case <-time.After(patience + time.Duration(a.grace.Load())):
		a.abandon()
		return a.report(args, errInterrupted)
	}
}

// withSignals returns a context that the first signal cancels. After it the
// signals have their default effect again. A write to a pipe that nobody reads
// becomes an error instead of a signal.
func withSignals(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		watched = append(watched, syscall.SIGHUP)
	}
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, watched...)
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	go func() {
		select {
		case <-caught:
			signal.Stop(caught)
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		signal.Stop(broken)
		cancel(nil)
	}
}
