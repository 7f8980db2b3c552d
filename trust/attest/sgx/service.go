package sgx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/fetch"
	"cloister/trust/attest/revocation"
)

// IntelService is the address of Intel's Provisioning Certification Service.
const IntelService = "https://" + intelHost

const intelHost = "api.trustedservices.intel.com"

// intelRootCRL is where Intel has the root's revocation list, which its service
// lacks and a PCCS has.
const intelRootCRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"

// ServiceOptions say how a Service is used. Only URL is needed.
type ServiceOptions struct {
	// URL is the address of Intel's service or of a PCCS, without the path that
	// starts with /sgx/ or /tdx/; it has to be https.
	URL string
	// RootCRL is the address of the root's revocation list, if it is elsewhere.
	RootCRL string
	// Client makes the requests; nil means one without settings of its own. Give
	// one for a PCCS whose certificate no public authority issued.
	Client *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Cache is a directory in which answers are kept, with the layout of Directory;
	// empty means in memory alone.
	Cache string
	// Refresh is how old an answer may be before it is asked for again; zero means
	// 12 hours. It is asked for again in any case when it expires.
	Refresh time.Duration
	// Grace is how long after it expired an answer is still used when the service is
	// out of reach. It should be that of the Verifier.
	Grace time.Duration
	// Timeout is of one request, zero means 10 seconds; Retries are how many follow
	// one that failed, zero means 2 and a negative number none, Pause is the time
	// before the first, zero means 200 ms; it doubles each time.
	Timeout time.Duration
	Retries int
	Pause   time.Duration
	// Log is told of answers that could not be renewed; nil means no one is.
	Log *slog.Logger
}

// Service is a source of collateral that asks Intel's service, version 4, or a
// PCCS. What it got it keeps. Make it with NewService.
type Service struct {
	options ServiceOptions
	base    *url.URL

	mu      sync.Mutex
	parts   map[string]*part
	joined  map[directoryKey]joined
	waiting map[string]*waiting
}

// part is one answer. It is not changed.
type part struct {
	body, chain []byte
	from, until time.Time // when it need not be asked for
	expires     time.Time
	err         error // of the service; then there is no body
}

// joined is what was last made of parts.
type joined struct {
	collateral  *Collateral
	from, until time.Time
}

// waiting is a part that someone asks for. The fields are set when done is closed.
type waiting struct {
	done chan struct{}
	part *part
	// gone says that who asked gave up, which says nothing about the service.
	gone bool
}

// After a failure the service is asked again a minute later if an older answer
// does until then, and otherwise soon.
const (
	askAgain     = time.Minute
	askAgainSoon = 5 * time.Second
)

// NewService returns a source that asks a service.
func NewService(o ServiceOptions) (*Service, error) {
	base, err := fetch.Address(o.URL)
	if err != nil {
		return nil, fmt.Errorf("address of the collateral service: %w", err)
	}
	if o.RootCRL == "" {
		o.RootCRL = base.JoinPath("sgx/certification/v4/rootcacrl").String()
		if strings.EqualFold(base.Host, intelHost) {
			o.RootCRL = intelRootCRL
		}
	} else if _, err := fetch.Address(o.RootCRL); err != nil {
		return nil, fmt.Errorf("address of the root's revocation list: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Refresh = orDefault(o.Refresh, 12*time.Hour)
	o.Timeout = orDefault(o.Timeout, 10*time.Second)
	o.Pause = orDefault(o.Pause, 200*time.Millisecond)
	if o.Retries == 0 {
		o.Retries = 2
	}
	o.Client = fetch.Client(o.Client)
	return &Service{
		options: o, base: base,
		parts: map[string]*part{}, joined: map[directoryKey]joined{}, waiting: map[string]*waiting{},
	}, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Collateral implements Source.
func (s *Service) Collateral(ctx context.Context, r *Request) (*Collateral, error) {
	if err := r.valid(); err != nil {
		return nil, err
	}
	key, now := directoryKey{r.TEE, r.FMSPC, r.CA}, s.options.Now()
	s.mu.Lock()
	last, ok := s.joined[key]
	s.mu.Unlock()
	if ok && within(now, last.from, last.until) {
		return last.collateral, nil
	}
	var parts [4]*part
	var next joined
	for i, w := range s.wanted(r) {
		p, err := s.part(ctx, w)
		if err != nil {
			return nil, err
		}
		parts[i] = p
		if i == 0 || p.from.After(next.from) {
			next.from = p.from
		}
		if i == 0 || p.until.Before(next.until) {
			next.until = p.until
		}
	}
	next.collateral = &Collateral{
		TCBInfo: parts[0].body, TCBInfoChain: parts[0].chain,
		QEIdentity: parts[1].body, QEIdentityChain: parts[1].chain,
		RootCRL: parts[2].body, PCKCRL: parts[3].body,
	}
	if ok && last.collateral.equal(next.collateral) {
		next.collateral = last.collateral
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok && len(s.joined) >= cachedCollateral {
		clear(s.joined)
	}
	s.joined[key] = next
	return next.collateral, nil
}

func within(now, from, until time.Time) bool { return !now.Before(from) && now.Before(until) }

// wanted is a part that is needed.
type wanted struct {
	file    string // its name in a Directory, and its key here
	url     string
	headers []string // those in which the chain may come; empty for revocation lists
	expires func(body []byte) (time.Time, error)
}

func (s *Service) wanted(r *Request) [4]wanted {
	address := func(tee attest.Platform, path, query string) string {
		u := s.base.JoinPath(string(tee), "certification/v4", path)
		u.RawQuery = query
		return u.String()
	}
	return [4]wanted{
		{
			fileTCBInfo(r.TEE, r.FMSPC), address(r.TEE, "tcb", fmt.Sprintf("fmspc=%X", r.FMSPC)),
			[]string{"TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"},
			expiryOfTCBInfo,
		},
		{
			fileQEIdentity(r.TEE), address(r.TEE, "qe/identity", ""),
			[]string{"SGX-Enclave-Identity-Issuer-Chain"},
			expiryOfQEIdentity,
		},
		{fileRootCRL, s.options.RootCRL, nil, expiryOfCRL},
		{filePCKCRL(r.CA), address(attest.SGX, "pckcrl", "ca="+string(r.CA)+"&encoding=der"), nil, expiryOfCRL},
	}
}

func expiryOfTCBInfo(body []byte) (time.Time, error) {
	t, err := ParseTCBInfo(body)
	if err != nil {
		return time.Time{}, err
	}
	return t.NextUpdate, nil
}

func expiryOfQEIdentity(body []byte) (time.Time, error) {
	q, err := ParseQEIdentity(body)
	if err != nil {
		return time.Time{}, err
	}
	return q.NextUpdate, nil
}

func expiryOfCRL(der []byte) (time.Time, error) {
	l, err := revocation.Parse(der)
	if err != nil {
		return time.Time{}, err
	}
	return l.NextUpdate, nil
}

// part returns one part, from memory, from the directory or from the service.
// Only one asks the service; others wait for it.
func (s *Service) part(ctx context.Context, w wanted) (*part, error) {
	for {
		s.mu.Lock()
		p, now := s.parts[w.file], s.options.Now()
		if p != nil && within(now, p.from, p.until) {
			s.mu.Unlock()
			return p, p.err
		}
		other, busy := s.waiting[w.file]
		if !busy {
			mine := &waiting{done: make(chan struct{})}
			s.waiting[w.file] = mine
			s.mu.Unlock()
			return s.ask(ctx, w, p, now, mine)
		}
		s.mu.Unlock()
		select {
		case <-other.done:
			if !other.gone {
				return other.part, other.part.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask renews a part for all who wait.
func (s *Service) ask(ctx context.Context, w wanted, old *part, now time.Time, mine *waiting) (*part, error) {
	mine.gone = true // should renewing panic
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, w.file)
		close(mine.done)
	}()
	mine.part = s.renew(ctx, w, old, now)
	if mine.gone = mine.part.err != nil && ctx.Err() != nil; !mine.gone {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.parts[w.file]; !ok && len(s.parts) >= 4*cachedCollateral {
			clear(s.parts)
		}
		s.parts[w.file] = mine.part
	}
	return mine.part, mine.part.err
}

// renew asks for a part. If the service is out of reach, an older one that has
// not expired, or not longer than the grace ago, does.
func (s *Service) renew(ctx context.Context, w wanted, old *part, now time.Time) *part {
	if old == nil || old.err != nil {
		old = s.load(w)
		if old != nil && within(now, old.from, old.until) {
			return old
		}
	}
	p, err := s.fetch(ctx, w)
	if err == nil {
		p.from, p.until = now, s.untilOf(now, p.expires)
		s.store(w, p)
		return p
	}
	if old == nil || errors.Is(err, ErrNoCollateral) || now.After(old.expires.Add(s.options.Grace)) {
		return &part{err: err, from: now, until: now.Add(askAgainSoon)}
	}
	s.options.Log.WarnContext(ctx, "collateral could not be renewed; the last is used until it expires",
		"file", w.file, "expires", old.expires, "error", err)
	again := *old
	again.from, again.until = now, now.Add(askAgain)
	return &again
}

// untilOf returns until when an answer is used: until it is old or expires. One
// that has expired already is asked for again soon.
func (s *Service) untilOf(fetched, expires time.Time) time.Time {
	until := fetched.Add(s.options.Refresh)
	if expires.Before(until) {
		until = expires
	}
	if !until.After(fetched) {
		until = fetched.Add(askAgain)
	}
	return until
}
