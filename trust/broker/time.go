package broker

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
)

// PathTime is where a program asks for the time, which its host must not tell it.
const PathTime = "/v1/time"

// TimeRequest asks for the time. The nonce is fresh, so that no older answer
// stands for a new one.
type TimeRequest struct {
	Nonce Digest `json:"nonce"`
}

// TimeAnswer is the broker's time. docs/reference/audit-log.md has the form of
// the statement.
type TimeAnswer struct {
	Time   time.Time `json:"time"`
	Signed string    `json:"signed"`
}

func (s *Server) handleTime(w http.ResponseWriter, r *http.Request) {
	var q TimeRequest
	err := s.readBody(w, r, 4<<10, &q)
	if err == nil && q.Nonce.IsZero() {
		err = refuse(CodeMalformed, "nonce is missing: 32 random bytes in hexadecimal")
	}
	if err == nil {
		err = s.timely(r.Context(), requestID(r))
	}
	a := &TimeAnswer{}
	if err == nil {
		a.Time, a.Signed, err = s.signTime(q.Nonce)
	}
	s.answerOr(w, r, "time", a, err)
}

func (s *Server) signTime(nonce Digest) (time.Time, string, error) {
	now := s.clock.Now().Truncate(time.Microsecond)
	signed, err := s.audit.SignTime(nonce, now)
	return now, signed, err
}

// timely makes sure that the broker's time is the witnesses': that they co-signed
// a checkpoint a short while ago, or do so now.
func (s *Server) timely(ctx context.Context, request string) error {
	if s.inForce.Load() == nil {
		return refuse(CodePolicy, "no policy is in force: the first one waits for the approval of its owners")
	}
	if c := s.audit.Witnessed(); c != nil && s.clock.Near(c.Time) {
		return nil
	}
	var index int64
	err := s.store.Update(ctx, func(tx *store.Tx) (err error) {
		index, err = s.audit.Append(tx, &audit.Entry{Type: "time", Request: request, Reason: "no checkpoint was co-signed lately"})
		return err
	})
	if err != nil {
		return err
	}
	_, err = s.witnessed(ctx, index)
	return err
}

// Time asks for the broker's time, and says how long the answer took: it may be
// that much later by now.
func (c *Client) Time(ctx context.Context) (now time.Time, late time.Duration, err error) {
	info, err := c.Info(ctx)
	if err != nil {
		return now, 0, err
	}
	err = c.retried(ctx, func() error {
		var q TimeRequest
		if _, err := io.ReadFull(rand.Reader, q.Nonce[:]); err != nil {
			return err
		}
		asked := time.Now()
		var a TimeAnswer
		if err := c.Do(ctx, http.MethodPost, PathTime, &q, &a); err != nil {
			return err
		}
		late = time.Since(asked)
		now, err = openTime(a.Signed, info.Log, q.Nonce)
		return err
	})
	return now, late, err
}

// openTime verifies a statement of the time by the log's key in text.
func openTime(signed, logKey string, nonce Digest) (time.Time, error) {
	key, err := note.NewVerifier(logKey)
	if err != nil {
		return time.Time{}, fmt.Errorf("the log's key %.120q: %w", logKey, err)
	}
	return audit.OpenTime(signed, key, nonce)
}
