package broker

import (
	"bytes"
	"context"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"cloister/trust/attest"
)

// What a client's errors are of.
var (
	// ErrRefused is in the chain of errors which say that the broker refused, or
	// that it is not the right one: exit code 3.
	ErrRefused = errors.New("refused")
	// ErrNetwork is in the chain of errors which say that the broker could not be
	// reached, or could not answer now: exit code 4.
	ErrNetwork = errors.New("the broker cannot be reached")
	// ErrWrongBroker says that the peer is not the broker that is pinned. It is an
	// ErrRefused.
	ErrWrongBroker = fmt.Errorf("this is not the broker that is pinned: %w", ErrRefused)
)

// AnswerError is an answer of the broker that is not a success.
type AnswerError struct {
	Status int
	ProblemError
}

func (e *AnswerError) Error() string {
	text := fmt.Sprintf("the broker answers %s: %s", e.Code, e.Message)
	if e.Request != "" {
		text += " (request " + e.Request + ")"
	}
	return text
}

// Unwrap says of which kind it is.
func (e *AnswerError) Unwrap() error {
	switch {
	case e.Status == http.StatusForbidden || e.Status == http.StatusNotFound || e.Status == http.StatusConflict:
		return ErrRefused
	case e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests:
		return ErrNetwork
	}
	return nil
}

// ClientOptions say which broker is asked, and how.
type ClientOptions struct {
	// Address is HOST:PORT. It says where to look, never whom to trust.
	Address string
	Pin     Pin
	// Log is the verifier key of the broker's audit log, which its evidence binds.
	// Without it the client goes by the one that the pinned broker says first.
	Log string
	// Seen, if not nil, is the newest checkpoint of the log that was seen. What
	// the broker gives a receipt for must be in a log that goes on from it; the
	// client replaces it by newer ones, and nobody else may meanwhile.
	Seen *Seen
	// Certificates identify an administrator; workloads have none.
	Certificates []tls.Certificate
	// Attempts is how often a request is made in all, where the network fails or
	// the broker cannot answer now; 0 means 5. A refusal is never asked again.
	Attempts int
	// Timeout bounds one attempt; 0 means a minute.
	Timeout time.Duration
	// Dial replaces the dialer of net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client asks one broker. It is safe for concurrent use.
type Client struct {
	options ClientOptions
	http    *http.Client

	mu  sync.Mutex // guards log and options.Seen
	log string     // the log's verifier key, once it is known
}

// NewClient makes a client.
func NewClient(o ClientOptions) (*Client, error) {
	if err := o.Pin.check(); err != nil {
		return nil, err
	}
	if s := o.Seen; s != nil && (s.Broker != o.Pin.Broker || s.FirstPolicy != o.Pin.FirstPolicy) {
		return nil, fmt.Errorf("the last checkpoint that was seen is of broker %.80q with the first policy %s: %w", s.Broker, s.FirstPolicy, ErrWrongBroker)
	}
	return newClient(o, o.Pin.clientTLS(o.Certificates))
}

func newClient(o ClientOptions, config *tls.Config) (*Client, error) {
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return nil, fmt.Errorf("broker address %q: it is HOST:PORT: %w", o.Address, err)
	}
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	return &Client{options: o, log: o.Log, http: &http.Client{
		// No proxy of the environment, no redirects: the pinned broker itself.
		Transport: &http.Transport{
			DialContext: o.Dial, TLSClientConfig: config,
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: o.Timeout,
			IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 4, DisableCompression: true,
			MaxResponseHeaderBytes: 32 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       o.Timeout,
	}}, nil
}

// Close closes connections that are not used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// Do makes one request of the API and reads the answer, without another attempt.
func (c *Client) Do(ctx context.Context, method, path string, ask, answer any) error {
	var body io.Reader
	if ask != nil {
		text, err := json.Marshal(ask)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+c.options.Address+path, body)
	if err != nil {
		return err
	}
	if ask != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.failed(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return problemOf(resp.StatusCode, text)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the broker's answer does not decode: %w: %w", ErrNetwork, err)
	}
	return nil
}

// problemOf is the error that an answer is which is not a success.
func problemOf(status int, text []byte) error {
	var p Problem
	if err := json.Unmarshal(text, &p); err != nil || p.Error.Code == "" {
		p.Error = ProblemError{Code: CodeInternal, Message: fmt.Sprintf("status %d and no reason", status)}
	}
	return &AnswerError{Status: status, ProblemError: p.Error}
}

// failed says of which kind a failure to ask is.
func (c *Client) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case errors.Is(err, ErrRefused):
		return fmt.Errorf("broker %s: %w", c.options.Address, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrNetwork, c.options.Address, err)
}

// retried makes attempts until one does not fail of the network.
func (c *Client) retried(ctx context.Context, attempt func() error) error {
	wait := 200 * time.Millisecond
	for n := 1; ; n++ {
		err := attempt()
		if err == nil || !errors.Is(err, ErrNetwork) || n == c.options.Attempts {
			return err
		}
		// What waits for owners does not end by waiting here.
		var answer *AnswerError
		if errors.As(err, &answer) && answer.Code == CodeLocked {
			return err
		}
		// Between half of the wait and all of it, so that many clients do not
		// come back at once.
		half := big.NewInt(int64(wait / 2))
		extra, randErr := rand.Int(rand.Reader, half)
		if randErr != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(wait/2 + time.Duration(extra.Int64())):
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// Info asks what the broker says of itself, and checks it against the pin.
func (c *Client) Info(ctx context.Context) (*Info, error) {
	var i Info
	err := c.retried(ctx, func() error { return c.Do(ctx, http.MethodGet, PathBroker, nil, &i) })
	if err != nil {
		return nil, err
	}
	return &i, c.checkInfo(&i)
}

func (c *Client) checkInfo(i *Info) error {
	p := &c.options.Pin
	switch {
	case i.Broker != p.Broker:
		return fmt.Errorf("%w: it is %.80q, not %q", ErrWrongBroker, i.Broker, p.Broker)
	case i.FirstPolicy != p.FirstPolicy:
		return fmt.Errorf("%w: its first policy is %s, and %s is pinned", ErrWrongBroker, i.FirstPolicy, p.FirstPolicy)
	case i.TLSKey != p.TLSKey:
		return fmt.Errorf("%w: it says that its TLS key is %s, and shows %s", ErrWrongBroker, i.TLSKey, p.TLSKey)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.log {
	case "":
		c.log = i.Log
	case i.Log:
	default:
		return fmt.Errorf("%w: its log has the key %.120q, and %s is pinned", ErrWrongBroker, i.Log, c.log)
	}
	return nil
}

// Attest has the broker show evidence of itself, and verifies it. The caller
// appraises the claims before it trusts the broker with a key.
func (c *Client) Attest(ctx context.Context, verify VerifyEvidence) (*Info, *attest.Verification, error) {
	return c.attest(ctx, verify, c.checkInfo)
}

// VerifyEvidence verifies evidence, as platforms.Verifiers does.
type VerifyEvidence = func(context.Context, *attest.Evidence) (*attest.Verification, error)

func (c *Client) attest(ctx context.Context, verify VerifyEvidence, check func(*Info) error) (*Info, *attest.Verification, error) {
	var nonce Digest
	if _, err := io.ReadFull(rand.Reader, nonce[:]); err != nil {
		return nil, nil, err
	}
	var a AttestAnswer
	err := c.retried(ctx, func() error { return c.Do(ctx, http.MethodPost, PathAttest, &AttestRequest{nonce}, &a) })
	if err != nil {
		return nil, nil, err
	}
	if err := check(&a.Info); err != nil {
		return nil, nil, err
	}
	v, err := verify(ctx, &a.Evidence)
	if err != nil {
		return nil, v, fmt.Errorf("the broker's evidence: %w: %w", ErrRefused, err)
	}
	b := a.Info.Binding(nonce)
	if !v.Claims.ReportData.Equal(b.ReportData()) {
		return nil, v, fmt.Errorf("%w: the broker's evidence binds another nonce, key, identity or first policy", ErrWrongBroker)
	}
	return &a.Info, v, nil
}

// Release is what a program got.
type Release struct {
	Request  string
	Workload string
	Run      uint64
	Items    []Released
	Receipt  Receipt
	// Time is the broker's when it decided, as the receipt proves.
	Time time.Time
}

// Zero overwrites all keys.
func (r *Release) Zero() {
	for i := range r.Items {
		r.Items[i].Key.Zero()
	}
}

// Release shows evidence of the program and gets keys for a job. The key that
// they are encrypted to is made for this call; attempts after a lost answer are
// the same run.
func (c *Client) Release(ctx context.Context, p attest.Producer, job Digest, want []Want) (*Release, error) {
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, err
	}
	var r *Release
	err = c.retried(ctx, func() (err error) {
		r, err = c.release(ctx, p, key, job, want)
		return err
	})
	return r, err
}

// evidence has a program make evidence that binds a fresh nonce of the broker.
func (c *Client) evidence(ctx context.Context, p attest.Producer, key []byte, job Digest) (Digest, attest.Evidence, error) {
	var n NonceAnswer
	if err := c.Do(ctx, http.MethodPost, PathNonce, &NonceRequest{sha256.Sum256(key)}, &n); err != nil {
		return Digest{}, attest.Evidence{}, err
	}
	b := attest.Binding{Nonce: n.Nonce, Key: key, Job: job}
	e, err := p.Produce(ctx, b.ReportData())
	if err != nil {
		return Digest{}, attest.Evidence{}, fmt.Errorf("make evidence: %w", err)
	}
	return n.Nonce, *e, nil
}

func (c *Client) release(ctx context.Context, p attest.Producer, key hpke.PrivateKey, job Digest, want []Want) (*Release, error) {
	q := &ReleaseRequest{Key: key.PublicKey().Bytes(), Job: job, Want: want}
	var err error
	if q.Nonce, q.Evidence, err = c.evidence(ctx, p, q.Key, q.Job); err != nil {
		return nil, err
	}
	receipts, err := c.receipts(ctx)
	if err != nil {
		return nil, err
	}
	var a ReleaseAnswer
	if err := c.Do(ctx, http.MethodPost, PathRelease, q, &a); err != nil {
		return nil, err
	}
	if err := receipts.check(ctx, &a.Receipt, q.expected(&a)); err != nil {
		return nil, err
	}
	// The channel's word is not enough to pass on; the signed log's is.
	decided, err := a.Receipt.time()
	if err != nil {
		return nil, err
	}
	items, err := a.open(key, c.options.Pin.Broker, c.options.Pin.FirstPolicy, q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return &Release{
		Request: a.Request, Workload: a.Workload, Run: a.Run, Items: items, Receipt: a.Receipt,
		Time: decided,
	}, nil
}
