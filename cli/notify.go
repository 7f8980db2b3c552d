package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// notifier tells the service manager, if there is one, how a server is
// (sd_notify(3)): it sends to the socket that NOTIFY_SOCKET names.
type notifier struct {
	socket   string
	watchdog time.Duration // how often it wants to be told that the server lives; 0 is never
}

// newNotifier reads what the service manager says in the environment.
func newNotifier(getenv func(string) string) *notifier {
	n := &notifier{socket: getenv("NOTIFY_SOCKET")}
	if strings.HasPrefix(n.socket, "@") {
		n.socket = "\x00" + n.socket[1:] // an abstract socket
	}
	pid := getenv("WATCHDOG_PID")
	limit, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err == nil && limit > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(limit) * time.Microsecond
	}
	return n
}

// tell sends a state, and nothing where nobody listens.
func (n *notifier) tell(ctx context.Context, state string) error {
	if n.socket == "" {
		return nil
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unixgram", n.socket)
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	defer c.Close() //nolint:errcheck // it was sent, or not
	_, err = c.Write([]byte(state))
	return err
}

// watch tells that the server lives, as long as it does, until ctx ends; and then
// that it is stopping.
func (n *notifier) watch(ctx context.Context, alive func() error) error {
	var beat <-chan time.Time
	if n.watchdog > 0 {
		ticker := time.NewTicker(n.watchdog / 3)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return n.tell(context.WithoutCancel(ctx), "STOPPING=1")
		case <-beat:
			if alive() == nil {
				if err := n.tell(ctx, "WATCHDOG=1"); err != nil && ctx.Err() == nil {
					return err
				}
			}
		}
	}
}
