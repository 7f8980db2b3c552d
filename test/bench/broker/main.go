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

// block is the name of the block that gets the results.
const block = "broker"

// options are the command line's.
type options struct {
	parts                       []string
	repeat                      int
	seconds                     float64
	requests, connections, keys int
	write, profile, dir         string
	progress                    io.Writer
	server                      string // the program, which serves as well
}

// part is something that is measured.
type part struct {
	name    string
	measure func(ctx context.Context, o *options) ([]row, error)
}

// row is a line of the table.
type row struct{ what, measured, goal string }

var parts = []part{
	{"verify", measureVerify},
	{"release", measureRelease},
	{"latency", measureLatency},
	{"memory", measureMemory},
	{"idle", measureIdle},
	{"start", measureStart},
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
	o.parts = strings.Split(*only, ",")
	for _, name := range o.parts {
		if !strings.Contains(","+strings.Join(names, ",")+",", ","+name+",") {
			return nil, fmt.Errorf("-only: there is no part %q, only %s", name, strings.Join(names, ", "))
		}
	}
	if o.repeat < 1 || o.seconds <= 0 || o.requests < 10 || o.connections < 1 || o.keys < 1 || flags.NArg() > 0 {
		return nil, errors.New("numbers must be positive, and there are no arguments")
	}
	if o.write != "" && len(o.parts) != len(parts) {
		return nil, errors.New("-write keeps whole results: leave -only out")
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.write != "" { // before a run that takes long
		if err := page.CheckBlocks(o.write, []string{block}); err != nil {
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
	var text strings.Builder
	fmt.Fprintf(&text, "%s. Medians of %s.\n\n| | measured | goal |\n| --- | ---: | ---: |\n", page.ThisMachine(ctx), page.Counted(o.repeat, "run"))
	for _, p := range parts {
		if !strings.Contains(","+strings.Join(o.parts, ",")+",", ","+p.name+",") {
			continue
		}
		rows, err := p.measure(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for _, r := range rows {
			line := fmt.Sprintf("| %s | %s | %s |\n", r.what, r.measured, r.goal)
			fmt.Fprint(stderr, line)
			text.WriteString(line)
		}
	}
	fmt.Fprint(stdout, text.String())
	if o.write == "" {
		return nil
	}
	return page.WriteBlock(o.write, block, text.String())
}
