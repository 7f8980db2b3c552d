package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"cloister/durable"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/trust/broker/vault/protector"
)

// app is what the commands of one run share.
type app struct {
	stdin  io.Reader
	stdout io.Writer

	console *console
	log     *slog.Logger
	level   *slog.LevelVar

	json    bool // --json: the result goes to standard output as one JSON document
	quiet   bool // --quiet
	verbose bool // --verbose
	jsonLog bool // --log-format=json

	given    map[string]bool // parameters that were set, by their names
	binaries []binaryFile    // written by save_binary

	limits  memoryLimits
	reserve int64           // memory that the training will take later, in bytes
	refits  *lightgbm.Model // of task=refit

	system      func(keys string) evidenceMaker // where the program runs
	sealingKeys string                          // the directory of an enclave's sealing keys

	grace atomic.Int64 // how much longer than others the command may take to end, a time.Duration

	mu      sync.Mutex
	pending map[*durable.File]bool // outputs not yet committed
	left    bool                   // the run was abandoned
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	a := &app{
		system: thisSystem, sealingKeys: protector.GramineKeys,

		stdin:   stdin,
		stdout:  stdout,
		console: newConsole(stderr),
		level:   new(slog.LevelVar),
		pending: make(map[*durable.File]bool),
		limits:  machineLimits(),
	}
	a.log = slog.New(newTextHandler(a.console, a.level))
	return a
}

// run executes the command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	err := a.execute(ctx, args)
	a.console.setLine("")
	if err != nil && ctx.Err() != nil {
		// What failed, failed because of the interruption.
		err = errInterrupted
	}
	if a.abandoned() {
		return exitCode(err) // Main has reported already
	}
	return a.report(args, err)
}

func (a *app) execute(ctx context.Context, args []string) error {
	return parallel.Catch(func() error {
		root := a.newRootCommand()
		root.SetArgs(args)
		return root.ExecuteContext(ctx)
	})
}

// abandon gives up on a run that does not end: its unfinished outputs are
// removed.
func (a *app) abandon() {
	a.mu.Lock()
	a.left = true
	pending := a.pending
	a.pending = nil
	a.mu.Unlock()
	for f := range pending {
		f.Abort()
	}
	a.console.setLine("")
}

func (a *app) abandoned() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left
}

// printJSON writes a command's result.
func (a *app) printJSON(v any) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	return a.print(string(text))
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// print writes to standard output.
func (a *app) print(text string) error {
	if _, err := io.WriteString(a.stdout, text); err != nil {
		return &stdoutError{err}
	}
	return nil
}
