package broker

import (
	"context"
	"crypto/hpke"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/clock"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
)

// Options are what a broker is made of. The caller opened store, log, clock and
// vault, and closes them after the server.
type Options struct {
	Store *store.Store
	Log   *audit.Log
	// LogKey verifies the log's checkpoints: a verifier key of C2SP signed-note.
	LogKey string
	Clock  *clock.Clock
	Vault  *vault.Vault
	// Issuer certifies programs; nil if the broker issues no certificates.
	Issuer *issuer.Issuer
	// FirstPolicy is the text of the policy that a new broker waits to have
	// approved by all its owners. It is ignored once there is one.
	FirstPolicy []byte
	// Verifiers makes the verifiers that a policy asks for.
	Verifiers func(*policy.Policy) (platforms.Verifiers, error)
	// Producer makes evidence of the broker itself.
	Producer attest.Producer
	// Unlock protects the root key by shares of all owners; nil if something else
	// does. The vault's root is under it, or still under protector.Pending.
	Unlock *protector.OwnersSeal
	// Monotonic is the clock of nonces and limits, which the host does not set
	// back while the broker runs; nil means time.Now.
	Monotonic func() time.Time
	// Random makes nonces and ids; nil means crypto/rand.
	Random io.Reader
	Limits Limits
	Logger *slog.Logger

	quorum *quorum // nil if it does not change with the policy
}

// Server is a broker. It is safe for concurrent use.
type Server struct {
	store    *store.Store
	audit    *audit.Log
	logKey   string
	clock    *clock.Clock
	vault    *vault.Vault
	issuer   *issuer.Issuer
	first    *policy.Policy // not yet approved; nil once there is a policy
	verify   func(*policy.Policy) (platforms.Verifiers, error)
	producer attest.Producer
	random   io.Reader
	limits   Limits
	log      *slog.Logger

	session Digest // drawn at every start
	hpke    hpke.PrivateKey
	tlsCert tls.Certificate
	tlsKey  Digest

	nonces  *nonces
	gate    *gate
	tally   *tally
	metrics *metrics
	events  *events
	quorum  *quorum

	unlock   *protector.OwnersSeal   // nil if owners do not unlock
	sealing  sync.Mutex              // of the root key: one at a time
	changing sync.Mutex              // of the policy: one at a time
	inForce  atomic.Pointer[inForce] // nil before the first is approved
	stopping atomic.Bool
	damaged  chan struct{} // closed when damage was found in the store
	damage   error         // readable then
	wg       sync.WaitGroup
	cancel   context.CancelFunc
}

// inForce is a policy with the verifiers that it asks for.
type inForce struct {
	policy    *policy.Policy
	hash      policy.Hash
	first     policy.Hash
	verifiers platforms.Verifiers
	record    atomic.Pointer[[]byte] // as it was last read from the store, to be compared and not parsed again
}

// New makes a broker of its parts and begins what it does by itself. Close ends
// it.
func New(ctx context.Context, o Options) (*Server, error) {
	o.Limits.fill()
	if o.Monotonic == nil {
		o.Monotonic = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Store == nil || o.Log == nil || o.LogKey == "" || o.Clock == nil || o.Vault == nil || o.Verifiers == nil {
		return nil, errors.New("a broker needs a store, a log with its key, a clock, a vault and verifiers")
	}
	s := &Server{
		store: o.Store, audit: o.Log, logKey: o.LogKey, clock: o.Clock, vault: o.Vault, issuer: o.Issuer,
		verify: o.Verifiers, producer: o.Producer, random: o.Random, limits: o.Limits, log: o.Logger,
	}
	s.quorum = o.quorum
	if s.unlock = o.Unlock; s.unlock != nil {
		s.unlock.SetDeliver(s.deliver)
	}
	if _, err := io.ReadFull(o.Random, s.session[:]); err != nil {
		return nil, fmt.Errorf("read random bytes: %w", err)
	}
	s.nonces = newNonces(o.Monotonic, o.Random, &s.limits)
	s.gate = newGate(o.Monotonic, &s.limits)
	s.tally = newTally(o.Monotonic, s.writeEntry)
	s.metrics = newMetrics()
	s.events = newEvents()
	if err := s.open(ctx, o.FirstPolicy); err != nil {
		return nil, err
	}
	// What a broker that was killed did not finish.
	s.reseal(ctx)
	s.forget(ctx)
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.wg.Go(func() { s.tally.run(ctx) })
	s.wg.Go(func() { s.applyWaiting(ctx) })
	return s, nil
}

var errNoPolicy = errors.New("the broker has no policy yet, and none was given for its owners to approve")

// open reads the broker's keys and its policy.
func (s *Server) open(ctx context.Context, first []byte) error {
	err := s.store.Update(ctx, func(tx *store.Tx) (err error) {
		if s.hpke, err = s.vault.HPKEKey(tx); err != nil {
			return err
		}
		if s.tlsCert, s.tlsKey, err = s.ownCertificate(tx); err != nil {
			return err
		}
		_, err = s.audit.Append(tx, &audit.Entry{Type: "start", Details: map[string]string{"tls_key": s.tlsKey.String()}})
		return err
	})
	if err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	current, err := s.readCurrent()
	switch {
	case err != nil:
		return err
	case current != nil:
		s.inForce.Store(current)
		return nil
	}
	if len(first) == 0 {
		return errNoPolicy
	}
	if s.first, err = policy.Parse("the first policy", first); err != nil {
		return err
	}
	if _, err := policy.Compare(nil, s.first); err != nil {
		return err
	}
	if string(s.first.Broker) != s.vault.Broker() {
		return fmt.Errorf("the first policy is for the broker %q, and this is %q", s.first.Broker, s.vault.Broker())
	}
	return s.propose(ctx, first)
}

// Close ends what the broker does by itself. Serve has returned before.
func (s *Server) Close() {
	s.stopping.Store(true)
	s.cancel()
	s.events.close()
	s.wg.Wait()
}

// Alive returns nil if the broker can read its state: whether it can release is
// another matter.
func (s *Server) Alive() error {
	_, err := s.audit.Size()
	return err
}

// Ready returns nil if the broker can release, or why it cannot.
func (s *Server) Ready() error {
	if s.stopping.Load() {
		return errors.New("the broker is stopping")
	}
	if s.inForce.Load() == nil {
		return errors.New("the first policy waits for the approval of its owners")
	}
	return s.store.View(s.ready)
}

// TLSKey is the SHA-256 of the SubjectPublicKeyInfo of the broker's certificate.
func (s *Server) TLSKey() Digest { return s.tlsKey }

// Handler is the API.
func (s *Server) Handler() http.Handler {
	return s.handler(s.routes(), s.handleReady)
}

func (s *Server) handler(routes map[string]http.HandlerFunc, ready http.HandlerFunc) http.Handler {
	api := http.NewServeMux()
	for pattern, handle := range routes {
		api.HandleFunc(pattern, handle)
	}
	api.HandleFunc("/", s.unknown(routes))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, http.StatusOK, &Health{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", ready)
	mux.Handle("/", s.limited(api))
	return s.identified(mux, routes)
}

func (s *Server) routes() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET " + PathOpenAPI:   s.handleOpenAPI,
		"GET " + PathBroker:    s.handleBroker,
		"POST " + PathAttest:   s.handleAttest,
		"POST " + PathNonce:    s.handleNonce,
		"POST " + PathRelease:  s.handleRelease,
		"GET " + PathPolicy:    s.handlePolicyText,
		"POST " + PathPolicy:   s.handlePolicy,
		"GET " + PathPending:   s.handlePending,
		"POST " + PathOrder:    s.handleOrder,
		"POST " + PathFreeze:   s.handleFreeze,
		"GET " + PathOwners:    s.handleOwners,
		"GET " + PathDataSets:  s.handleDataSets,
		"GET " + PathRestore:   s.handleRestoreState,
		"POST " + PathRestore:  s.handleConfirm,
		"POST " + PathUnseal:   s.handleUnseal,
		"POST " + PathHandOver: s.handleHandOver,

		"GET " + PathCheckpoint:  s.handleCheckpoint,
		"GET " + PathConsistency: s.handleConsistency,
		"GET " + PathInclusion:   s.handleInclusion,
		"GET " + PathEntries:     s.handleEntries,
		"GET " + PathWatch:       s.handleWatch,
		"POST " + PathTime:       s.handleTime,
		"POST " + PathBackup:     s.handleBackup,

		"POST " + PathCertificate: s.handleCertificate,
		"GET " + PathAuthority:    s.handleAuthority,
		"GET " + PathCRL:          s.handleCRL,
	}
}

func (s *Server) handleReady(w http.ResponseWriter, _ *http.Request) {
	if err := s.Ready(); err != nil {
		s.answer(w, http.StatusServiceUnavailable, &Health{Status: "not ready", Reason: err.Error()})
		return
	}
	s.answer(w, http.StatusOK, &Health{Status: "ready"})
}

// unknown refuses what is none of the routes.
func (s *Server) unknown(routes map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var methods []string
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if routes[method+" "+r.URL.Path] != nil {
				methods = append(methods, method)
			}
		}
		if len(methods) == 0 {
			s.refused(w, r, "path", refuse(CodeNotFound, "%.100q is no place of this API", r.URL.Path))
			return
		}
		allow := strings.Join(methods, ", ")
		w.Header().Set("Allow", allow)
		s.refused(w, r, "path", refuse(CodeMethod, "%.20q is not a method of %.100q: it has %s", r.Method, r.URL.Path, allow))
	}
}

// placeOf is a request's place in the API, and "other" for all that are none.
func placeOf(r *http.Request, routes map[string]http.HandlerFunc) string {
	if routes[r.Method+" "+r.URL.Path] != nil {
		return r.URL.Path
	}
	return "other"
}

// request is what is known of a request on its way.
type request struct {
	id     string
	logged bool // there is a line in the audit log
}

type requestKey struct{}

func requestOf(r *http.Request) *request {
	if one, ok := r.Context().Value(requestKey{}).(*request); ok {
		return one
	}
	return &request{}
}

func requestID(r *http.Request) string { return requestOf(r).id }
func isLogged(r *http.Request) bool    { return requestOf(r).logged }

// identified gives each request an id, which answer and log carry, and keeps a
// panic from ending the others.
func (s *Server) identified(next http.Handler, routes map[string]http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id [8]byte
		if _, err := io.ReadFull(s.random, id[:]); err != nil {
			s.problem(w, r, classify(err))
			return
		}
		one := &request{id: hex.EncodeToString(id[:])}
		w.Header().Set("X-Request-Id", one.id)
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestKey{}, one), s.limits.Release)
		defer cancel()
		// What is not written plainly is no place: nothing is cleaned and tried.
		if r.URL.RawPath != "" || path.Clean(r.URL.Path) != r.URL.Path {
			s.refused(w, r.WithContext(ctx), "path", refuse(CodeNotFound, "%.100q is no place of this API", r.URL.EscapedPath()))
			return
		}
		r = r.WithContext(ctx)
		begin := time.Now()
		defer func() { s.metrics.took(placeOf(r, routes), time.Since(begin)) }()
		defer func() {
			switch v := recover(); {
			case v == http.ErrAbortHandler: //nolint:errorlint,err113 // as net/http compares it
				panic(v)
			case v != nil:
				s.refused(w, r, "panic", fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			}
		}()
		next.ServeHTTP(w, r)
	})
}
