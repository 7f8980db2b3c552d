// Command broker measures the key broker: verification beside the ECDSA in it,
// releases beside the arithmetic in them, latency, memory, idle connections and
// the time of a start.
//
//	go run ./test/bench/broker -write docs/benchmarks.md
//
// The broker serves in a process of its own, over TLS 1.3 on loopback, on a store
// on disk; programs show real SGX quotes of the test authority. What the broker
// costs is its own processor time (getrusage), so that the clients beside it do
// not count.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"cloister/test/bench/page"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == childCommand {
		if err := runChild(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench broker, server:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench broker:", err)
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	parts                       []part
	repeat                      int
	seconds                     float64
	requests, connections, keys int
	write, profile, dir         string
	progress                    io.Writer
	server                      string // the program, which serves as well
}

// blocks are the parts of a page that get results.
var blocks = []string{"broker speed", "broker memory"}

// part is something that is measured, for a block.
type part struct {
	name    string
	block   string
	measure func(ctx context.Context, o *options) ([]row, error)
}

// row is a line of the table.
type row struct{ what, measured, goal string }

var parts = []part{
	{"verify", blocks[0], measureVerify},
	{"release", blocks[0], measureRelease},
	{"latency", blocks[0], measureLatency},
	{"memory", blocks[1], measureMemory},
	{"idle", blocks[1], measureIdle},
	{"start", blocks[1], measureStart},
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{progress: stderr}
	flags := flag.NewFlagSet("bench broker", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	only := flags.String("only", strings.Join(names, ","), "`names` of the parts to measure, separated by commas")
	flags.IntVar(&o.repeat, "repeat", 5, "runs, whose median counts")
	flags.Float64Var(&o.seconds, "seconds", 3, "seconds of a run")
	flags.IntVar(&o.requests, "requests", 100_000, "releases over which the memory is watched")
	flags.IntVar(&o.connections, "connections", 10_000, "connections that are held")
	flags.IntVar(&o.keys, "keys", 100_000, "keys that a broker starts with")
	flags.StringVar(&o.dir, "dir", ".cache/bench/broker", "`folder` for the stores")
	flags.StringVar(&o.profile, "profile", "", "write a profile of the server's processor time under releases to `FILE`")
	flags.StringVar(&o.write, "write", "", "Markdown `file` whose block \"bench broker\" gets the results")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(*only, ",") {
		i := slices.Index(names, name)
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no part %q, only %s", name, strings.Join(names, ", "))
		}
		o.parts = append(o.parts, parts[i])
	}
	if o.repeat < 1 || o.seconds <= 0 || o.requests < 10 || o.connections < 1 || o.keys < 1 || flags.NArg() > 0 {
		return nil, errors.New("numbers must be positive, and there are no arguments")
	}
	for _, b := range blocks {
		if n := len(o.of(b)); o.write != "" && n > 0 && n != len(slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return p.block != b })) {
			return nil, fmt.Errorf("-write keeps whole blocks: -only leaves out a part of %q", b)
		}
	}
	return o, nil
}

// of returns the parts of a block that are measured.
func (o *options) of(block string) []part {
	return slices.DeleteFunc(slices.Clone(o.parts), func(p part) bool { return p.block != block })
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.write != "" { // before a run that takes long
		if err := page.CheckBlocks(o.write, blocks); err != nil {
			return err
		}
	}
	if o.server, err = os.Executable(); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp(o.dir, "run"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir) //nolint:errcheck // only a cache
	for _, b := range blocks {
		if len(o.of(b)) == 0 {
			continue
		}
		text, err := o.measure(ctx, b)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "## %s\n\n%s\n", b, text)
		if o.write == "" {
			continue
		}
		if err := page.WriteBlock(o.write, b, text); err != nil {
			return err
		}
	}
	return nil
}

// measure returns what stands in a block.
func (o *options) measure(ctx context.Context, block string) (string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "%s. Medians of %s.\n\n| | measured | goal |\n| --- | ---: | ---: |\n", page.ThisMachine(ctx), page.Counted(o.repeat, "run"))
	for _, p := range o.of(block) {
		rows, err := p.measure(ctx, o)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.name, err)
		}
		for _, r := range rows {
			line := fmt.Sprintf("| %s | %s | %s |\n", r.what, r.measured, r.goal)
			fmt.Fprint(o.progress, line)
			text.WriteString(line)
		}
	}
	return text.String(), nil
}
