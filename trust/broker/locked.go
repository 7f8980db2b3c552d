package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/broker/vault/shares"
)

// PathUnlock is where owners give their shares to a broker whose root key waits
// for them.
const PathUnlock = "/v1/unlock"

// Lock is a broker whose root key waits for its owners: none of its own keys is
// there yet, so that it has keys of its own making, for this start alone, which
// its evidence binds. It does nothing but show evidence and take shares.
type Lock struct {
	Broker string
	Seal   *protector.OwnersSeal
	// Open opens the root key; its error has protector.ErrWaiting in its chain as
	// long as owners are missing.
	Open     func(context.Context) (*vault.Root, error)
	Producer attest.Producer
	Limits   Limits
	Logger   *slog.Logger
}

// lockServer serves a Lock.
type lockServer struct {
	*Server
	lock *Lock
	info Info

	mu   sync.Mutex
	root *vault.Root
	err  error
	done chan struct{}

	closed chan struct{} // once no more connections are taken
}

// closing tells when a listener was closed.
type closing struct {
	net.Listener
	once   sync.Once
	closed chan struct{}
}

// Close implements net.Listener.
func (c *closing) Close() error {
	err := c.Listener.Close()
	c.once.Do(func() { close(c.closed) })
	return err
}

// UnlockRequest gives an owner's share. It says which owner speaks; that the
// share is the owner's is proven by what it opens.
type UnlockRequest struct {
	Owner string `json:"owner"`
	Share []byte `json:"share"` // WrapShare
}

// UnlockAnswer says who is missing.
type UnlockAnswer struct {
	Open    bool   `json:"open"`
	Waiting string `json:"waiting,omitempty"`
}

// Serve serves until the root key is open, and returns it.
func (l *Lock) Serve(ctx context.Context, listener net.Listener) (*vault.Root, error) {
	s, err := l.server()
	if err != nil {
		return nil, err
	}
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	listener = &closing{Listener: listener, closed: s.closed}
	go func() { served <- s.serve(serving, listener, s.TLS(), s.handler(s.allRoutes(), s.handleNotReady)) }()
	select {
	case <-s.done:
	case err := <-served:
		return nil, err
	case <-ctx.Done():
		return nil, errors.Join(<-served, ctx.Err())
	}
	cancel()
	if err := <-served; err != nil {
		l.Logger.WarnContext(ctx, "a request did not end before the broker was unlocked", "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.root, s.err
}

// server makes the keys of this start.
func (l *Lock) server() (*lockServer, error) {
	if l.Logger == nil {
		l.Logger = slog.New(slog.DiscardHandler)
	}
	if l.Producer == nil || l.Seal == nil || l.Open == nil {
		return nil, errors.New("a locked broker needs evidence of itself and a seal of its owners")
	}
	s := &Server{producer: l.Producer, random: rand.Reader, limits: l.Limits, log: l.Logger, metrics: newMetrics(), events: newEvents()}
	s.limits.fill()
	s.gate = newGate(time.Now, &s.limits)
	// There is no audit log to write to yet.
	s.tally = newTally(time.Now, func(e *audit.Entry) {
		l.Logger.Info("refused", "what", e.Subject, "client", e.Client, "reason", e.Reason)
	})
	kem, _, _ := suite()
	var err error
	if s.hpke, err = kem.GenerateKey(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if s.tlsCert, s.tlsKey, err = selfSignedCertificate(l.Broker, key); err != nil {
		return nil, err
	}
	return &lockServer{
		Server: s, lock: l, done: make(chan struct{}), closed: make(chan struct{}),
		info: Info{Broker: l.Broker, HPKE: s.hpke.PublicKey().Bytes(), TLSKey: s.tlsKey, Locked: true},
	}, nil
}

// routes are what a locked broker serves.
func (s *lockServer) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET " + PathBroker:  func(w http.ResponseWriter, _ *http.Request) { s.answer(w, http.StatusOK, &s.info) },
		"POST " + PathAttest: s.handleAttestLocked,
		"POST " + PathUnlock: s.handleUnlock,
	}
}

const lockedReason = "the broker waits for its owners to unlock it"

// allRoutes are those of a broker, of which it refuses what it does not serve yet.
func (s *lockServer) allRoutes() map[string]http.HandlerFunc {
	all := s.Server.routes()
	for pattern := range all {
		all[pattern] = func(w http.ResponseWriter, r *http.Request) {
			s.refused(w, r, "path", refuse(CodeLocked, lockedReason))
		}
	}
	maps.Copy(all, s.routes())
	return all
}

func (s *lockServer) handleNotReady(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusServiceUnavailable, &Health{Status: "not ready", Reason: lockedReason})
}

func (s *lockServer) handleAttestLocked(w http.ResponseWriter, r *http.Request) {
	var q AttestRequest
	err := s.readBody(w, r, 4<<10, &q)
	if err == nil && q.Nonce.IsZero() {
		err = refuse(CodeMalformed, "nonce is missing")
	}
	if err != nil {
		s.refused(w, r, "attest", err)
		return
	}
	b := s.info.Binding(q.Nonce)
	e, err := s.producer.Produce(r.Context(), b.ReportData())
	if err != nil {
		s.refused(w, r, "attest", fmt.Errorf("evidence of the broker: %w", err))
		return
	}
	s.answer(w, http.StatusOK, &AttestAnswer{Info: s.info, Evidence: *e})
}

func (s *lockServer) handleUnlock(w http.ResponseWriter, r *http.Request) {
	var q UnlockRequest
	err := s.readBody(w, r, 16<<10, &q)
	var a *UnlockAnswer
	if err == nil {
		a, err = s.give(r.Context(), &q)
	}
	if err != nil {
		s.refused(w, r, "unlock", err)
		return
	}
	if a.Open {
		close(s.done) // once: it is open once
		// Whoever is told that it is open no longer finds the one that was locked.
		select {
		case <-s.closed:
		case <-r.Context().Done():
		}
	}
	s.answer(w, http.StatusOK, a)
}

// give takes a share and tries to open the root key.
func (s *lockServer) give(ctx context.Context, q *UnlockRequest) (*UnlockAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil || s.err != nil {
		return nil, refuse(CodeConflict, "the broker is unlocked and starts")
	}
	share, err := openShare(s.hpke, s.lock.Broker, q.Owner, shares.Unlock, q.Share)
	if err != nil {
		return nil, err
	}
	if err := s.lock.Seal.Give(q.Owner, share); err != nil {
		share.Value.Zero()
		return nil, refuse(CodeForbidden, "%w", err)
	}
	root, err := s.lock.Open(ctx)
	switch {
	case errors.Is(err, protector.ErrWaiting):
		s.log.InfoContext(ctx, "a share was given", "owner", q.Owner, "state", err)
		return &UnlockAnswer{Waiting: err.Error()}, nil
	case err != nil:
		s.err = err
	}
	s.root = root
	return &UnlockAnswer{Open: true}, nil
}

// LockedBroker is a broker whose root key waits for its owners, and whose
// evidence was verified.
type LockedBroker struct {
	Info         Info
	Verification *attest.Verification
	client       *Client
}

// MeetLocked attests a broker that waits to be unlocked. It cannot be known by its
// pin, as its TLS key is under the root key: that it is one which may have the
// share follows from its evidence alone, which the caller appraises.
func MeetLocked(ctx context.Context, o ClientOptions, verify VerifyEvidence) (*LockedBroker, error) {
	seen := &meetingTLS{}
	c, err := newClient(o, &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The key counts, which the evidence binds.
		InsecureSkipVerify: true,
		VerifyConnection:   seen.verify,
	})
	if err != nil {
		return nil, err
	}
	info, v, err := c.attest(ctx, verify, func(i *Info) error {
		switch {
		case i.Broker != o.Pin.Broker || o.Pin.Broker == "":
			return fmt.Errorf("%w: it is %.80q, not %q", ErrWrongBroker, i.Broker, o.Pin.Broker)
		case !i.Locked || i.Log != "" || !i.FirstPolicy.IsZero():
			return fmt.Errorf("the broker does not wait to be unlocked: %w", ErrRefused)
		}
		return seen.check(i.TLSKey)
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return &LockedBroker{Info: *info, Verification: v, client: c}, nil
}

// Close closes connections that are not used.
func (b *LockedBroker) Close() { b.client.Close() }

// Give gives an owner's share.
func (b *LockedBroker) Give(ctx context.Context, s *shares.Share) (*UnlockAnswer, error) {
	wrapped, err := WrapShare(b.Info.HPKE, s)
	if err != nil {
		return nil, err
	}
	var a UnlockAnswer
	q := &UnlockRequest{Owner: s.Set.Owner, Share: wrapped}
	return &a, b.client.retried(ctx, func() error { return b.client.Do(ctx, http.MethodPost, PathUnlock, q, &a) })
}
