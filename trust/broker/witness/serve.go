package witness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what clients can have of a witness. Zero fields take the values
// of DefaultLimits.
type Limits struct {
	// Running is how many requests run at once, Connections how many
	// connections are open, ConnectionsPerClient how many of one address.
	Running, Connections, ConnectionsPerClient int
	// Rate is how many requests per second a client may make in the long run,
	// Burst how many at once.
	Rate  float64
	Burst int
	// Header and Request bound how long a request may take to arrive and to be
	// answered, Idle a connection without one, Grace what runs at the end.
	Header, Request, Idle, Grace time.Duration
}

// DefaultLimits are the limits of a witness, which a few brokers ask, each again
// and again.
func DefaultLimits() Limits {
	return Limits{
		Running: 64, Connections: 1024, ConnectionsPerClient: 64, Rate: 50, Burst: 200,
		Header: 10 * time.Second, Request: 20 * time.Second, Idle: 5 * time.Minute, Grace: 10 * time.Second,
	}
}

func (l *Limits) fill() {
	d := DefaultLimits()
	for _, n := range []struct{ v, d *int }{
		{&l.Running, &d.Running}, {&l.Connections, &d.Connections}, {&l.ConnectionsPerClient, &d.ConnectionsPerClient}, {&l.Burst, &d.Burst},
	} {
		if *n.v <= 0 {
			*n.v = *n.d
		}
	}
	for _, n := range []struct{ v, d *time.Duration }{{&l.Header, &d.Header}, {&l.Request, &d.Request}, {&l.Idle, &d.Idle}, {&l.Grace, &d.Grace}} {
		if *n.v <= 0 {
			*n.v = *n.d
		}
	}
	if l.Rate <= 0 {
		l.Rate = d.Rate
	}
}

// Server serves a witness.
type Server struct {
	witness *Witness
	limits  Limits
	log     *slog.Logger
	running chan struct{}
	clients clients

	stopping atomic.Bool
	mu       sync.Mutex
	answers  map[int]uint64 // by status
}

// NewServer returns a server of a witness.
func NewServer(w *Witness, l Limits, log *slog.Logger) *Server {
	l.fill()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		witness: w, limits: l, log: log, running: make(chan struct{}, l.Running), answers: map[int]uint64{},
		clients: clients{limits: l, now: time.Now, all: map[string]*caller{}},
	}
}

// Serve serves add-checkpoint and /healthz over TLS 1.3 until ctx ends. Then
// requests that run are answered.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	config, err := s.witness.signer.ServerTLS()
	if err != nil {
		return err
	}
	return s.serve(ctx, l, config, http.HandlerFunc(s.limited))
}

// ServeOperation serves /healthz, /readyz and /metrics without TLS, on an
// address of the operator's own.
func (s *Server) ServeOperation(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	healthz := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s.stopping.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		healthz(w, r)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		s.metrics(w)
	})
	return s.serve(ctx, l, nil, mux)
}

func (s *Server) serve(ctx context.Context, l net.Listener, config *tls.Config, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, TLSConfig: config,
		ReadHeaderTimeout: s.limits.Header, ReadTimeout: s.limits.Request, WriteTimeout: 2 * s.limits.Request, IdleTimeout: s.limits.Idle,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:    func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	bounded := &boundedListener{Listener: l, limits: &s.limits, count: map[string]int{}}
	done := make(chan error, 1)
	go func() {
		if config == nil {
			done <- server.Serve(bounded)
			return
		}
		done <- server.ServeTLS(bounded, "", "")
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.Grace)
	defer cancel()
	err := server.Shutdown(stop)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests still ran after %s: %w", s.limits.Grace, err), server.Close())
	}
	if ended := <-done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// limited lets requests in as far as the limits go, and counts the answers.
func (s *Server) limited(w http.ResponseWriter, r *http.Request) {
	counted := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers[counted.status]++
	}()
	if !s.clients.enter(hostOf(r.RemoteAddr)) {
		counted.Header().Set("Retry-After", "1")
		http.Error(counted, "too many requests", http.StatusTooManyRequests)
		return
	}
	select {
	case s.running <- struct{}{}:
	default:
		counted.Header().Set("Retry-After", "1")
		http.Error(counted, "the witness is busy", http.StatusServiceUnavailable)
		return
	}
	defer func() { <-s.running }()
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.Request)
	defer cancel()
	s.witness.ServeHTTP(counted, r.WithContext(ctx))
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// metrics writes what Prometheus reads (text exposition format 0.0.4).
func (s *Server) metrics(w io.Writer) {
	fmt.Fprint(w, "# HELP cloister_witness_answers_total Requests answered, by status: 200 is a co-signature, 409 another size, 422 two histories.\n# TYPE cloister_witness_answers_total counter\n")
	s.mu.Lock()
	var statuses []int
	for status := range s.answers {
		statuses = append(statuses, status)
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		fmt.Fprintf(w, "cloister_witness_answers_total{status=%q} %d\n", strconv.Itoa(status), s.answers[status])
	}
	s.mu.Unlock()
	fmt.Fprint(w, "# HELP cloister_witness_size Entries of the latest checkpoint that was co-signed.\n# TYPE cloister_witness_size gauge\n")
	for _, origin := range s.witness.Origins() {
		c, _, err := s.witness.Latest(origin)
		if err == nil && c != nil {
			fmt.Fprintf(w, "cloister_witness_size{log=%q} %d\n", origin, c.Size)
		}
	}
}

// clients are token buckets of those who ask.
type clients struct {
	limits Limits
	now    func() time.Time

	mu    sync.Mutex
	all   map[string]*caller
	swept time.Time
}

type caller struct {
	tokens float64
	at     time.Time
}

// mostCallers bounds what is remembered between two sweeps.
const mostCallers = 1 << 14

func (c *clients) enter(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	full := time.Duration(float64(c.limits.Burst) / c.limits.Rate * float64(time.Second))
	if now.Sub(c.swept) > time.Minute || len(c.all) > mostCallers {
		c.swept = now
		for name, one := range c.all {
			if now.Sub(one.at) > full {
				delete(c.all, name)
			}
		}
		if len(c.all) > mostCallers {
			return false
		}
	}
	one := c.all[host]
	if one == nil {
		one = &caller{tokens: float64(c.limits.Burst), at: now}
		c.all[host] = one
	}
	one.tokens = min(float64(c.limits.Burst), one.tokens+max(0, now.Sub(one.at).Seconds())*c.limits.Rate)
	one.at = now
	if one.tokens < 1 {
		return false
	}
	one.tokens--
	return true
}

func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// boundedListener bounds the connections that are open, in all and of each
// client: what is over is closed at once.
type boundedListener struct {
	net.Listener
	limits *Limits

	mu    sync.Mutex
	open  int
	count map[string]int
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host := hostOf(c.RemoteAddr().String())
		if l.enter(host) {
			return &boundedConn{c, sync.OnceFunc(func() { l.leave(host) })}, nil
		}
		c.Close() //nolint:errcheck // it was refused
	}
}

func (l *boundedListener) enter(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.limits.Connections || l.count[host] >= l.limits.ConnectionsPerClient {
		return false
	}
	l.open++
	l.count[host]++
	return true
}

func (l *boundedListener) leave(host string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.count[host]--; l.count[host] == 0 {
		delete(l.count, host)
	}
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
