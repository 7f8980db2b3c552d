package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
)

// errConflict says that a witness saw another history. It is one witness's word.
var errConflict = errors.New("it has seen another history of this log")

// Peer is a witness to ask.
type Peer struct {
	// Key is the witness's verifier key.
	Key *Verifier
	// URL is what add-checkpoint is appended to (the submission prefix).
	URL string
	// Client is what the witness is asked with. Nil is a client that speaks
	// TLS 1.3 and knows the server by the witness's own key (see Certificate).
	Client *http.Client
}

// maxWaiting bounds what is kept for a witness that does not answer.
const maxWaiting = 8

// client asks one witness.
type client struct {
	Peer
	turn chan struct{} // one request at a time
	wait atomic.Int32  // how many have or await the turn
	size int64         // the latest size that it is known to have; guarded by turn
}

func newClient(p Peer) (*client, error) {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("witness %s: %q is not a URL", p.Key.Name(), p.URL)
	}
	if p.Client == nil {
		if u.Scheme != "https" {
			return nil, fmt.Errorf("witness %s: %s: a witness is asked over https", p.Key.Name(), p.URL)
		}
		p.Client = &http.Client{Transport: &http.Transport{
			TLSClientConfig: ClientTLS(p.Key), ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 5 * time.Minute, TLSHandshakeTimeout: 5 * time.Second,
		}}
	}
	return &client{Peer: p, turn: make(chan struct{}, 1)}, nil
}

// cosignature is a verified answer.
type cosignature struct {
	witness string
	line    string
	at      time.Time
}

// cosign has a checkpoint co-signed.
func (c *client) cosign(ctx context.Context, cp *audit.Checkpoint, signed []byte, prove func(int64) (tlog.TreeProof, error)) (*cosignature, error) {
	defer c.wait.Add(-1)
	if c.wait.Add(1) > maxWaiting {
		return nil, errors.New("it has not answered several earlier requests")
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.turn }()
	// The first attempt rests on a guess, which the second corrects; another
	// round may have moved it meanwhile.
	for range 4 {
		old := min(c.size, cp.Size)
		var proof tlog.TreeProof
		if old < cp.Size {
			var err error
			if proof, err = prove(old); err != nil {
				return nil, err
			}
		}
		status, body, err := c.post(ctx, (&request{oldSize: old, proof: proof, signed: signed}).bytes())
		if err != nil {
			return nil, err
		}
		switch status {
		case http.StatusOK:
			sig, err := c.check(signed, body)
			if err != nil {
				return nil, err
			}
			c.size = cp.Size
			return sig, nil
		case http.StatusConflict:
			size, err := parseSize(strings.TrimSuffix(string(body), "\n"))
			switch {
			case old == cp.Size && (err != nil || size == old):
				// It has this very size, and says so for the root's sake, perhaps
				// in words: that a size comes with this is not asked of it.
				return nil, fmt.Errorf("%w: one of %d entries with another root", errConflict, cp.Size)
			case err != nil:
				return nil, fmt.Errorf("its answer %d does not parse: %w", status, err)
			case size > cp.Size:
				c.size = size
				return nil, fmt.Errorf("%w: one of %d entries, where this one has %d", errConflict, size, cp.Size)
			}
			c.size = size
		case http.StatusUnprocessableEntity:
			return nil, fmt.Errorf("%w: %s", errConflict, quote(body))
		default:
			return nil, fmt.Errorf("it answers %d: %s", status, quote(body))
		}
	}
	return nil, errors.New("it names another size each time")
}

// quote shows the beginning of what a peer said.
func quote(body []byte) string {
	return fmt.Sprintf("%.200q", strings.TrimSpace(string(body)))
}

func (c *client) post(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	resp, err := c.Client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	return resp.StatusCode, answer, err
}

// check finds the witness's signature of the checkpoint in an answer.
func (c *client) check(signed, answer []byte) (*cosignature, error) {
	// Signatures of others in the checkpoint do not count here.
	n, err := note.Open(append(bytes.Clone(signed), answer...), note.VerifierList(c.Key))
	if err != nil {
		return nil, fmt.Errorf("its co-signature is not valid: %w", err)
	}
	sig := n.Sigs[0]
	at, err := signedAt(sig.Base64)
	if err != nil {
		return nil, err
	}
	return &cosignature{witness: sig.Name, line: fmt.Sprintf("— %s %s\n", sig.Name, sig.Base64), at: at}, nil
}
