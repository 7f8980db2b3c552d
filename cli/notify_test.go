package cli

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNotify is the service manager of a server.
func TestNotify(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	next := func() string {
		t.Helper()
		if err := l.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 100)
		n, _, err := l.ReadFrom(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	env := map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "30000"}
	n := newNotifier(func(name string) string { return env[name] })
	if err := n.tell(t.Context(), "READY=1"); err != nil {
		t.Fatal(err)
	}
	if got := next(); got != "READY=1" {
		t.Errorf("got %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	alive := make(chan error, 1)
	alive <- errors.New("hangs") // the first beat is left out
	go func() {
		done <- n.watch(ctx, func() error {
			select {
			case err := <-alive:
				return err
			default:
				return nil
			}
		})
	}()
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("got %q", got)
	}
	cancel()
	got := next()
	for strings.HasPrefix(got, "WATCHDOG") {
		got = next()
	}
	if got != "STOPPING=1" {
		t.Errorf("got %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	none := newNotifier(func(string) string { return "" })
	if err := none.tell(t.Context(), "READY=1"); err != nil || none.watchdog != 0 {
		t.Errorf("without a manager: %v, %s", err, none.watchdog)
	}
	env["WATCHDOG_PID"] = "1"
	if other := newNotifier(func(name string) string { return env[name] }); other.watchdog != 0 {
		t.Error("another process's watchdog")
	}
}
