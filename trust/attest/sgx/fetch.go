package sgx

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"cloister/durable"
	"cloister/trust/attest/revocation"
)

// errFinal is in the chain of errors which asking again would not mend.
var errFinal = errors.New("the service refuses the request")

// fetch asks the service for a part, again if it fails in a way that may pass.
func (s *Service) fetch(ctx context.Context, w wanted) (*part, error) {
	pause := s.options.Pause
	for attempt := 0; ; attempt++ {
		p, err := s.once(ctx, w)
		switch {
		case err == nil:
			return p, nil
		case attempt >= s.options.Retries || errors.Is(err, ErrNoCollateral) || errors.Is(err, errFinal):
			return nil, fmt.Errorf("collateral service: %w", err)
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return nil, fmt.Errorf("collateral service: %w", errors.Join(ctx.Err(), err))
		}
	}
}

func (s *Service) once(ctx context.Context, w wanted) (*part, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := s.options.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	switch c := answer.StatusCode; {
	case c == http.StatusOK:
	case c == http.StatusNotFound:
		return nil, fmt.Errorf("%w at %s", ErrNoCollateral, w.url)
	case c >= 500 || c == http.StatusTooManyRequests || c == http.StatusRequestTimeout:
		return nil, fmt.Errorf("%s answers %s", w.url, answer.Status)
	default:
		return nil, fmt.Errorf("%w: %s answers %s", errFinal, w.url, answer.Status)
	}
	limit := maxDocument
	if len(w.headers) == 0 {
		limit = revocation.MaxSize
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(limit)+1))
	if err == nil {
		// A server that sees the connection close may end its answer in time to have
		// what was read look whole.
		err = ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.url, err)
	}
	if len(body) > limit {
		return nil, fmt.Errorf("%w: %s answers with more than %d bytes", errFinal, w.url, limit)
	}
	return w.read(body, answer.Header)
}

// read makes a part of an answer. That it can be parsed is checked here so that
// an error page of a proxy is a failure of the network and not kept.
func (w *wanted) read(body []byte, header http.Header) (*part, error) {
	p := &part{body: body}
	if len(w.headers) == 0 {
		p.body = unhex(body)
	}
	for _, name := range w.headers {
		if value := header.Get(name); value != "" {
			text, err := url.PathUnescape(value)
			if err != nil {
				return nil, fmt.Errorf("%w: %s answers with header %s, which is not escaped: %w", errFinal, w.url, name, err)
			}
			p.chain = []byte(text)
			break
		}
	}
	if len(w.headers) > 0 && len(p.chain) == 0 {
		return nil, fmt.Errorf("%w: %s answers without header %s", errFinal, w.url, w.headers[0])
	}
	var err error
	if p.expires, err = w.expires(p.body); err != nil {
		return nil, fmt.Errorf("%w: answer of %s: %w", errFinal, w.url, err)
	}
	return p, nil
}

// unhex decodes a revocation list that a PCCS writes in hexadecimal digits.
func unhex(body []byte) []byte {
	text := bytes.TrimSpace(body)
	if len(text) == 0 || text[0] == 0x30 && len(text) > 1 && text[1] >= 0x80 {
		return body // DER: a sequence with a long length
	}
	if der, err := hex.AppendDecode(nil, text); err == nil {
		return der
	}
	return body
}

// load reads a part from the directory, or returns nil if it is not there whole.
// The time at which it was fetched is that of the file.
func (s *Service) load(w wanted) *part {
	if s.options.Cache == "" {
		return nil
	}
	limit := maxDocument
	if len(w.headers) == 0 {
		limit = revocation.MaxSize
	}
	path := filepath.Join(s.options.Cache, w.file)
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	p := &part{from: info.ModTime()}
	if p.body, err = readLimited(path, limit); err != nil {
		return nil
	}
	if len(w.headers) > 0 {
		if p.chain, err = readLimited(fileChain(path), maxDocument); err != nil {
			return nil
		}
	}
	if p.expires, err = w.expires(p.body); err != nil {
		return nil
	}
	p.until = s.untilOf(p.from, p.expires)
	return p
}

// store writes a part into the directory. What cannot be stored is asked for
// again by the next process, no more.
func (s *Service) store(w wanted, p *part) {
	if s.options.Cache == "" {
		return
	}
	path := filepath.Join(s.options.Cache, w.file)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil && len(w.headers) > 0 {
		err = writeFile(fileChain(path), p.chain)
	}
	if err == nil {
		err = writeFile(path, p.body)
	}
	if err == nil {
		err = os.Chtimes(path, p.from, p.from)
	}
	if err != nil {
		s.options.Log.Warn("collateral could not be kept", "file", path, "error", err)
	}
}

func writeFile(path string, b []byte) error {
	f, err := durable.Create(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		f.Abort()
		return err
	}
	return f.Commit()
}
