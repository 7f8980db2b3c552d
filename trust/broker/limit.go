package broker

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits bound what clients can have of a broker. Zero fields take the values of
// DefaultLimits.
type Limits struct {
	Body int64 // bytes of a request
	Want int   // things that one request asks for

	Rate       float64 // requests per second and client, in the long run
	Burst      int     // requests at once
	Concurrent int     // requests of one client that run
	Running    int     // requests that run

	Connections          int // open at once
	ConnectionsPerClient int

	NonceLife       time.Duration
	NoncesPerClient int
	Nonces          int

	// Header and Read bound how long a request may take to arrive, the TLS
	// handshake as well; Verify how long collateral may take, Release the whole
	// answer, with its wait for witnesses; Idle a connection without a request.
	Header, Read, Verify, Release, Idle time.Duration
}

// DefaultLimits are the limits of a broker.
func DefaultLimits() Limits {
	return Limits{
		Body: 1 << 20, Want: 256,
		Rate: 50, Burst: 200, Concurrent: 64, Running: 512,
		Connections: 20_000, ConnectionsPerClient: 12_000,
		NonceLife: 2 * time.Minute, NoncesPerClient: 256, Nonces: 1 << 16,
		Header: 10 * time.Second, Read: 20 * time.Second, Verify: 20 * time.Second,
		Release: 45 * time.Second, Idle: 2 * time.Minute,
	}
}

func orDefault[T int | int64 | float64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (l *Limits) fill() {
	d := DefaultLimits()
	orDefault(&l.Body, d.Body)
	orDefault(&l.Want, d.Want)
	orDefault(&l.Rate, d.Rate)
	orDefault(&l.Burst, d.Burst)
	orDefault(&l.Concurrent, d.Concurrent)
	orDefault(&l.Running, d.Running)
	orDefault(&l.Connections, d.Connections)
	orDefault(&l.ConnectionsPerClient, d.ConnectionsPerClient)
	orDefault(&l.NonceLife, d.NonceLife)
	orDefault(&l.NoncesPerClient, d.NoncesPerClient)
	orDefault(&l.Nonces, d.Nonces)
	orDefault(&l.Header, d.Header)
	orDefault(&l.Read, d.Read)
	orDefault(&l.Verify, d.Verify)
	orDefault(&l.Release, d.Release)
	orDefault(&l.Idle, d.Idle)
}

// clientOf names who a request comes from, as far as limits go: its address, of
// IPv6 the network of 64 bits that one host can choose from.
func clientOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		p, err := addr.Prefix(64)
		if err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// gate lets a client's requests in as far as the limits go.
type gate struct {
	now    func() time.Time
	limits *Limits

	mu      sync.Mutex
	running int
	clients map[string]*bucket
	swept   time.Time
}

// bucket is a token bucket, and the count of what runs.
type bucket struct {
	tokens  float64
	at      time.Time
	running int
}

func newGate(now func() time.Time, l *Limits) *gate {
	return &gate{now: now, limits: l, clients: map[string]*bucket{}, swept: now()}
}

// enter returns what ends the request's stay, or why it may not come in.
func (g *gate) enter(client string) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.sweep(now)
	b := g.clients[client]
	if b == nil {
		b = &bucket{tokens: float64(g.limits.Burst), at: now}
		g.clients[client] = b
	}
	b.tokens = min(float64(g.limits.Burst), b.tokens+max(0, now.Sub(b.at).Seconds())*g.limits.Rate)
	b.at = now
	switch {
	case b.tokens < 1:
		return nil, refuse(CodeTooMany, "more than %g requests per second", g.limits.Rate)
	case b.running >= g.limits.Concurrent:
		return nil, refuse(CodeTooMany, "more than %d requests at once", g.limits.Concurrent)
	case g.running >= g.limits.Running:
		return nil, refuse(CodeBusy, "the broker is busy with %d requests", g.running)
	}
	b.tokens--
	b.running++
	g.running++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		b.running--
		g.running--
	}, nil
}

// sweep forgets clients whose buckets are full again.
func (g *gate) sweep(now time.Time) {
	if now.Sub(g.swept) < time.Minute {
		return
	}
	g.swept = now
	full := time.Duration(float64(g.limits.Burst) / g.limits.Rate * float64(time.Second))
	for client, b := range g.clients {
		if b.running == 0 && now.Sub(b.at) > full {
			delete(g.clients, client)
		}
	}
}

// listener bounds the connections that are open, in all and of each client.
type listener struct {
	net.Listener
	limits  *Limits
	refused func(client string)

	mu    sync.Mutex
	open  int
	count map[string]int
}

// Accept implements net.Listener: what is over a limit is closed at once.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client := clientOf(c.RemoteAddr().String())
		if l.enter(client) {
			return &conn{Conn: c, leave: sync.OnceFunc(func() { l.leave(client) })}, nil
		}
		c.Close() //nolint:errcheck // it was refused
		l.refused(client)
	}
}

func (l *listener) enter(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.limits.Connections || l.count[client] >= l.limits.ConnectionsPerClient {
		return false
	}
	l.open++
	l.count[client]++
	return true
}

func (l *listener) leave(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.count[client]--; l.count[client] == 0 {
		delete(l.count, client)
	}
}

// conn hides ReadFrom and WriteTo of what it wraps: splice hangs under Gramine.
type conn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// limited is the handler that the gate stands before.
func (s *Server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, err := s.gate.enter(clientOf(r.RemoteAddr))
		if err != nil {
			w.Header().Set("Retry-After", "1")
			s.refused(w, r, "limit", err)
			return
		}
		defer leave()
		next.ServeHTTP(w, r)
	})
}
