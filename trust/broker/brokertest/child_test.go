package brokertest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"cloister/trust/broker"
	"cloister/trust/broker/brokertest"
)

// The environment of a child: what it does, and the file of its setup.
const (
	childMode  = "CLOISTER_BROKERTEST_CHILD"
	childSetup = "CLOISTER_BROKERTEST_SETUP"
)

// modes are what children do.
var modes = map[string]func(*brokertest.Setup) error{"serve": serveChild}

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		m.Run()
		return
	}
	text, err := os.ReadFile(os.Getenv(childSetup))
	s := new(brokertest.Setup)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err == nil {
		err = modes[mode](s)
	}
	if err != nil {
		panic(err)
	}
}

// child is a process of this test that does something else.
func child(t *testing.T, mode string, s *brokertest.Setup) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	path := s.Dir + ".json"
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childMode+"="+mode, childSetup+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// serveChild serves until the process is killed, and says on standard output what
// the broker is known by.
func serveChild(s *brokertest.Setup) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	return s.Serve(context.Background(), log, func(_ *broker.Broker, r *brokertest.Ready) {
		text, err := json.Marshal(r)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n", text)
	})
}

// process is a broker in a process of its own.
type process struct {
	cmd   *exec.Cmd
	ready *brokertest.Ready
}

// start starts a broker's process. Kill is called meanwhile, if it is not nil, and
// may end it; then there is no process.
func start(t *testing.T, s *brokertest.Setup, kill func(*exec.Cmd)) *process {
	t.Helper()
	p := &process{cmd: child(t, "serve", s), ready: new(brokertest.Ready)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if kill != nil {
		kill(p.cmd)
		p.wait(t)
		return nil
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, p.ready)
	}
	if err != nil {
		t.Fatalf("the broker does not start by itself: %v, %v", err, p.cmd.Wait())
	}
	return p
}

// wait waits for the end of a process that was killed.
func (p *process) wait(t *testing.T) {
	t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the broker ended by itself: %v", err)
	}
}
