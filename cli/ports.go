package cli

import (
	"context"
	"errors"
	"net"
	"os"
)

// port is an address that a command serves at.
type port struct {
	address string
	bound   *string // is told the address that it became
	serve   func(context.Context, net.Listener) error
}

// servePorts serves all ports until the first fails or ctx ends. When all are
// bound, ready is called, and the service manager is told; as long as alive
// returns nil it is told so again.
func servePorts(ctx context.Context, ports []port, ready, alive func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var listeners []net.Listener
	for _, p := range ports {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.address)
		if err != nil {
			for _, other := range listeners {
				other.Close() //nolint:errcheck // nothing was accepted
			}
			return err
		}
		*p.bound = l.Addr().String()
		listeners = append(listeners, l)
	}
	done := make(chan error, len(ports))
	for i, p := range ports {
		go func() { done <- p.serve(ctx, listeners[i]) }()
	}
	n := newNotifier(os.Getenv)
	all := ready()
	if all == nil {
		all = n.tell(ctx, "READY=1")
	}
	if all != nil {
		cancel()
	}
	told := make(chan error, 1)
	go func() { told <- n.watch(ctx, alive) }()
	for range ports {
		all = errors.Join(all, <-done)
		cancel()
	}
	return errors.Join(all, <-told)
}
