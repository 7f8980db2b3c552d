package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
)

// Checkpoint asks for the newest co-signed checkpoint, and verifies nothing of
// it.
func (c *Client) Checkpoint(ctx context.Context) (*CheckpointAnswer, error) {
	a := new(CheckpointAnswer)
	return a, c.retried(ctx, func() error { return c.Do(ctx, http.MethodGet, PathCheckpoint, nil, a) })
}

// PolicyText asks for the policy in force.
func (c *Client) PolicyText(ctx context.Context) (*PolicyText, error) {
	a := new(PolicyText)
	return a, c.retried(ctx, func() error { return c.Do(ctx, http.MethodGet, PathPolicy, nil, a) })
}

func (c *Client) proof(ctx context.Context, path string) ([]tlog.Hash, error) {
	var a ProofAnswer
	if err := c.retried(ctx, func() error { return c.Do(ctx, http.MethodGet, path, nil, &a) }); err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(a.Proof))
	for i, h := range a.Proof {
		if len(h) != tlog.HashSize {
			return nil, fmt.Errorf("a proof with a hash of %d bytes: %w", len(h), audit.ErrTampered)
		}
		out[i] = tlog.Hash(h)
	}
	return out, nil
}

// Consistency asks for a proof that the log of a size is the beginning of that
// of another. The caller checks it.
func (c *Client) Consistency(ctx context.Context, from, to int64) (tlog.TreeProof, error) {
	return c.proof(ctx, fmt.Sprintf("%s?from=%d&to=%d", PathConsistency, from, to))
}

// Inclusion asks for a proof that an entry is in the log of a size. The caller
// checks it.
func (c *Client) Inclusion(ctx context.Context, index, size int64) (tlog.RecordProof, error) {
	return c.proof(ctx, fmt.Sprintf("%s?index=%d&size=%d", PathInclusion, index, size))
}

// Entries calls fn with the lines of entries, from one index up to but without
// another. The client shows an administrator's or an owner's certificate.
func (c *Client) Entries(ctx context.Context, from, to int64, fn func(index int64, line string) error) error {
	for from < to {
		var a EntriesAnswer
		path := fmt.Sprintf("%s?from=%d&to=%d", PathEntries, from, to)
		if err := c.retried(ctx, func() error { return c.Do(ctx, http.MethodGet, path, nil, &a) }); err != nil {
			return err
		}
		if len(a.Lines) == 0 || a.From != from || int64(len(a.Lines)) > to-from {
			return fmt.Errorf("entries %d up to %d: the broker has %d of them: %w", from, to, len(a.Lines), audit.ErrTampered)
		}
		for _, line := range a.Lines {
			if err := fn(from, line); err != nil {
				return err
			}
			from++
		}
	}
	return nil
}

// watchRetry bounds the wait before a stream that ended is opened again.
const (
	minWatchRetry = 200 * time.Millisecond
	maxWatchRetry = 15 * time.Second
)

// Watch calls fn with the entries from an index on as they are co-signed, until
// ctx ends. It opens the stream again where it was, after whatever ends it except
// a refusal; each says why a stream ended, and may be nil.
func (c *Client) Watch(ctx context.Context, from int64, fn func(index int64, line []byte) error, ended func(error)) error {
	wait := minWatchRetry
	for {
		next, err := c.watch(ctx, from, fn)
		if next > from {
			wait = minWatchRetry
		}
		from = next
		var own *callbackError
		switch {
		case errors.As(err, &own):
			return own.error
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrRefused):
			return err
		}
		if ended != nil {
			ended(err)
		}
		// A stream that ended in its time is opened again at once.
		if err == nil {
			wait = minWatchRetry
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, maxWatchRetry)
	}
}

// callbackError is an error of who watches.
type callbackError struct{ error }

func (e *callbackError) Unwrap() error { return e.error }

// watch reads one stream, and returns the index that it came to.
func (c *Client) watch(ctx context.Context, from int64, fn func(int64, []byte) error) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://%s%s?from=%d", c.options.Address, PathWatch, from), nil)
	if err != nil {
		return from, err
	}
	// The stream has no end in time; the broker ends it.
	endless := *c.http
	endless.Timeout = 0
	resp, err := endless.Do(req)
	if err != nil {
		return from, c.failed(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return from, c.failed(ctx, err)
		}
		return from, problemOf(resp.StatusCode, text)
	}
	lines := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF):
			return from, nil // without a newline it is half a line, which comes again
		case err != nil:
			return from, c.failed(ctx, err)
		case len(line) > audit.MaxEntry+1:
			return from, fmt.Errorf("entry %d: a line of %d bytes: %w", from, len(line), audit.ErrTampered)
		}
		if err := fn(from, line[:len(line)-1]); err != nil {
			return from, &callbackError{err}
		}
		from++
	}
}
