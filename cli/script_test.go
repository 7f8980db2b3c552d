package cli_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cloister/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"age-keygen": ageKeygen,
		"cloister": func() {
			os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) //nolint:forbidigo // a main function
		},
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               vectors,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"machines": machines,
			"serves":   serves,
		},
	})
}

// brokers counts the addresses that were given out.
var brokers atomic.Uint32

// brokerAddress is an address of this machine's own that no other test of the
// process uses, nor one of another process: the network 127.0.0.0/8 is large.
func brokerAddress() string {
	n := brokers.Add(1)
	return fmt.Sprintf("127.%d.%d.%d:7443", 1+os.Getpid()>>8%250, os.Getpid()%256, 1+n%250)
}

// serves is a script command: it waits until the broker, which runs in the
// background, takes connections. A slow machine takes long to open its root key.
func serves(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: serves")
	}
	address := ts.Getenv("BROKER")
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
		if err == nil {
			ts.Check(c.Close())
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%v", err)
		}
	}
}

// exits is a script command: "exits CODE program arguments…" runs the program
// and demands its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE program arguments…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}
