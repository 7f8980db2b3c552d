package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// StopGrace is how long requests that run have when the broker stops.
const StopGrace = 20 * time.Second

// Serve serves the API over TLS 1.3 until ctx ends. Then it takes no more
// connections, and requests that run are answered.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, s.TLS(), s.Handler())
}

// ServeOperation serves Operation, without TLS, until ctx ends.
func (s *Server) ServeOperation(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, l, nil, s.Operation())
}

func (s *Server) serve(ctx context.Context, l net.Listener, config *tls.Config, handler http.Handler) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	half := &halfOpen{server: s, open: map[net.Conn]bool{}}
	server := &http.Server{
		Handler: half.handler(handler), TLSConfig: config, Protocols: protocols,
		ReadHeaderTimeout: s.limits.Header, ReadTimeout: s.limits.Read,
		WriteTimeout: s.limits.Read + s.limits.Release, IdleTimeout: s.limits.Idle,
		MaxHeaderBytes: 32 << 10,
		ConnState:      half.state,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// Requests outlive ctx for the grace that they are given.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	bounded := s.bounded(l)
	done := make(chan error, 1)
	go func() {
		if config == nil {
			done <- server.Serve(bounded)
			return
		}
		done <- server.ServeTLS(bounded, "", "")
	}()
	var damage error
	select {
	case err := <-done:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-s.damaged:
		damage = s.damage
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.events.close()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), StopGrace)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests still ran after %s: %w", StopGrace, err), server.Close())
	}
	if ended := <-done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return errors.Join(damage, err)
}

// bounded is a listener within the limits. What it refuses is counted beside it:
// the next connection does not wait for the disk.
func (s *Server) bounded(l net.Listener) *listener {
	return &listener{Listener: l, limits: &s.limits, count: map[string]int{}, refused: func(client string) {
		go s.tally.add(client, "connection", refuse(CodeTooMany, "too many connections"))
	}}
}

// halfOpen notices connections that end without a request: those that never end
// their handshake or whose handshake fails, and those whose header never ends.
type halfOpen struct {
	server *Server

	mu   sync.Mutex
	open map[net.Conn]bool // those that made no request yet
}

type connKey struct{}

func (h *halfOpen) state(c net.Conn, state http.ConnState) {
	h.mu.Lock()
	none := h.open[c]
	switch state {
	case http.StateNew:
		h.open[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(h.open, c)
	case http.StateActive, http.StateIdle:
	}
	h.mu.Unlock()
	if state == http.StateClosed && none {
		h.server.metrics.refused("connection", CodeMalformed)
		h.server.tally.add(clientOf(c.RemoteAddr().String()), "connection", refuse(CodeMalformed, "the connection ended before a request: no handshake of TLS 1.3 in time, or none after it"))
	}
}

func (h *halfOpen) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
			h.mu.Lock()
			delete(h.open, c)
			h.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}
