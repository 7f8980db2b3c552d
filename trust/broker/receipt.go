package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
)

// Receipt proves that a decision is in the audit log.
type Receipt struct {
	Index int64  `json:"index"`
	Entry string `json:"entry"` // the line of the log
	// Checkpoint is co-signed and contains the entry, as Proof shows (RFC 6962
	// section 2.1.1).
	Checkpoint string   `json:"checkpoint"`
	Proof      [][]byte `json:"proof"`
	// Insecure is "insecure-no-witness" if nobody co-signs.
	Insecure string `json:"insecure,omitempty"`
}

// Check proves that the entry is in a checkpoint that the log signed. Whether
// enough witnesses did as well, CheckWitnessed says; whether the entry is about
// what was asked for, the client has checked that returns the receipt.
func (r *Receipt) Check(logKey string) error {
	_, err := r.open(logKey)
	return err
}

// open returns the checkpoint that the entry is proven to be in.
func (r *Receipt) open(logKey string) (*audit.Checkpoint, error) {
	key, err := note.NewVerifier(logKey)
	if err != nil {
		return nil, fmt.Errorf("the log's key %.120q: %w", logKey, err)
	}
	c, _, err := audit.OpenCheckpoint([]byte(r.Checkpoint), key)
	if err != nil {
		if !errors.Is(err, audit.ErrTampered) {
			err = fmt.Errorf("%w: %w", err, audit.ErrTampered)
		}
		return nil, fmt.Errorf("the receipt: %w", err)
	}
	proof := make(tlog.RecordProof, len(r.Proof))
	for i, h := range r.Proof {
		if len(h) != tlog.HashSize {
			return nil, fmt.Errorf("the receipt: a hash of %d bytes: %w", len(h), audit.ErrTampered)
		}
		proof[i] = tlog.Hash(h)
	}
	if r.Index < 0 || r.Index >= c.Size {
		return nil, fmt.Errorf("the receipt: entry %d of a log of %d: %w", r.Index, c.Size, audit.ErrTampered)
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, r.Index, tlog.RecordHash([]byte(r.Entry))); err != nil {
		return nil, fmt.Errorf("the receipt does not prove that entry %d is in the log: %w: %w", r.Index, audit.ErrTampered, err)
	}
	return c, nil
}

// time is when the decision was made, as the entry has it. The entry of a request
// with a fresh key is no older than the request.
func (r *Receipt) time() (time.Time, error) {
	e, err := audit.ParseEntry([]byte(r.Entry))
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("the receipt: %w: %w", audit.ErrTampered, err)
	case e.Time.IsZero():
		return time.Time{}, fmt.Errorf("the receipt's entry has no time: %w", audit.ErrTampered)
	}
	return e.Time, nil
}

// expected is what the entry of a receipt must say: that this very request was
// granted. A proof that something is in the log says nothing of whether that is
// what was asked for.
type expected struct {
	kind    string
	request string // the id in the answer
	// anyRequest is for answers without an id: the details tell the request.
	anyRequest bool
	subject    string
	// details are those that must be there with these values; a detail whose value
	// is "" must not be there.
	details map[string]string
}

// of fills in what an entry says.
func (w *expected) of(e *audit.Entry, request string) *expected {
	w.kind, w.request, w.subject, w.details = e.Type, request, e.Subject, e.Details
	return w
}

func (w *expected) check(line string) error {
	e, err := audit.ParseEntry([]byte(line))
	if err != nil {
		return fmt.Errorf("the receipt: %w: %w", audit.ErrTampered, err)
	}
	differs := func(what, got, want string) error {
		if got == want {
			return nil
		}
		return fmt.Errorf("the receipt's entry is about another request: its %s is %.120q, not %.120q: %w", what, got, want, audit.ErrTampered)
	}
	for _, f := range [][3]string{
		{"type", e.Type, w.kind}, {"decision", string(e.Decision), string(audit.Granted)}, {"subject", e.Subject, w.subject},
	} {
		if err := differs(f[0], f[1], f[2]); err != nil {
			return err
		}
	}
	if !w.anyRequest {
		if w.request == "" {
			return fmt.Errorf("the answer has no id of the request: %w", audit.ErrTampered)
		}
		if err := differs("request", e.Request, w.request); err != nil {
			return err
		}
	}
	for name, want := range w.details {
		if err := differs(name, e.Details[name], want); err != nil {
			return err
		}
	}
	return nil
}

// named is a hash as entries have it: nothing if there is none.
func named(d Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

func quoteHash(quote []byte) string {
	hash := sha256.Sum256(quote)
	return hex.EncodeToString(hash[:])
}

// expected is what the log says of a release.
func (q *ReleaseRequest) expected(a *ReleaseAnswer) *expected {
	return &expected{kind: "release", request: a.Request, subject: subject(q.Want), details: map[string]string{
		"key": Digest(sha256.Sum256(q.Key)).String(), "job": named(q.Job), "platform": fmt.Sprintf("%.20s", q.Evidence.Platform),
		"evidence": quoteHash(q.Evidence.Quote), "workload": a.Workload, "run": strconv.FormatUint(a.Run, 10),
	}}
}

// expected is what the log says of a certificate with a serial number.
func (q *CertificateRequest) expected(a *CertificateAnswer, serial string) (*expected, error) {
	names, err := q.names()
	return &expected{kind: "certificate", request: a.Request, subject: certificateSubject(names), details: map[string]string{
		"key": Digest(sha256.Sum256(q.Key)).String(), "job": named(q.Job), "evidence": quoteHash(q.Evidence.Quote), "serial": serial,
	}}, err
}

// newest is the last checkpoint that the client has seen, nil if it keeps none.
func (c *Client) newest() (*audit.Checkpoint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.options.Seen == nil {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return c.options.Seen.Last()
}

// logKey is the pinned key of the log or, if none is pinned, the one that the
// pinned broker says first.
func (c *Client) logKey(ctx context.Context) (string, error) {
	c.mu.Lock()
	key := c.log
	c.mu.Unlock()
	if key != "" {
		return key, nil
	}
	i, err := c.Info(ctx)
	if err != nil {
		return "", err
	}
	return i.Log, nil
}

// receipts checks the receipts of one request.
type receipts struct {
	client *Client
	log    string
	// before was the newest checkpoint when the request was made: no answer can be
	// older.
	before *audit.Checkpoint
}

// receipts is called before a request is made whose receipt is checked.
func (c *Client) receipts(ctx context.Context) (*receipts, error) {
	log, err := c.logKey(ctx)
	if err != nil {
		return nil, err
	}
	before, err := c.newest()
	return &receipts{c, log, before}, err
}

// check proves that a decision about the request is in the pinned log, and that
// this log goes on from what was seen.
func (k *receipts) check(ctx context.Context, r *Receipt, want *expected) error {
	checkpoint, err := r.open(k.log)
	if err != nil {
		return err
	}
	if err := want.check(r.Entry); err != nil {
		return err
	}
	if k.before != nil && checkpoint.Size < k.before.Size {
		return fmt.Errorf("the receipt is of a log of %d entries, and one of %d was seen before: %w", checkpoint.Size, k.before.Size, audit.ErrTampered)
	}
	return k.client.remember(ctx, checkpoint, r.Checkpoint)
}

// remember proves that a checkpoint is of the history that was seen, and keeps it
// if it is newer.
func (c *Client) remember(ctx context.Context, checkpoint *audit.Checkpoint, signed string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.options.Seen == nil {
		return nil
	}
	last, err := c.options.Seen.Last()
	if err != nil {
		return err
	}
	if last != nil && checkpoint.Size < last.Size {
		// Of a request that was answered at the same time.
		return c.follows(ctx, checkpoint, last)
	}
	if err := c.follows(ctx, last, checkpoint); err != nil {
		return err
	}
	c.options.Seen.Checkpoint = signed
	return nil
}

// certificateSubject is the subject of an entry about a certificate.
func certificateSubject[T ~string](names []T) string {
	return "certificate " + strings.Join(texts(names), ", ")
}
