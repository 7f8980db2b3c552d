package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/clock"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// refusal is an error with what the answer says of it.
type refusal struct {
	code   Code
	err    error
	checks []attest.Check
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(code Code, format string, args ...any) *refusal {
	return &refusal{code: code, err: fmt.Errorf(format, args...)}
}

var statuses = map[Code]int{
	CodeMalformed: http.StatusBadRequest, CodeForbidden: http.StatusForbidden, CodeNonce: http.StatusForbidden,
	CodeEvidence: http.StatusForbidden, CodePolicy: http.StatusForbidden, CodeRuns: http.StatusForbidden,
	CodeFrozen: http.StatusForbidden, CodeNotFound: http.StatusNotFound, CodeMethod: http.StatusMethodNotAllowed,
	CodeConflict: http.StatusConflict, CodeTooLarge: http.StatusRequestEntityTooLarge,
	CodeMediaType: http.StatusUnsupportedMediaType, CodeTooMany: http.StatusTooManyRequests,
	CodeInternal: http.StatusInternalServerError, CodeBusy: http.StatusServiceUnavailable,
	CodeUnwitnessed: http.StatusServiceUnavailable, CodeClock: http.StatusServiceUnavailable,
	CodeCollateral: http.StatusServiceUnavailable, CodeLocked: http.StatusServiceUnavailable,
}

// classify turns any error into one that has a code. What it does not know is
// the broker's own trouble: its text goes to the log alone.
func classify(err error) *refusal {
	var r *refusal
	code := CodeInternal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, attest.ErrRefused):
		code = CodeEvidence
	case errors.Is(err, clock.ErrOlder):
		code = CodeEvidence
	case errors.Is(err, clock.ErrSkew):
		code = CodeClock
	case errors.Is(err, vault.ErrRestored), errors.Is(err, vault.ErrUnrecovered):
		code = CodeLocked
	case errors.Is(err, vault.ErrDestroyed), errors.Is(err, vault.ErrNotFound):
		code = CodeNotFound
	case errors.Is(err, vault.ErrExists):
		code = CodeConflict
	case errors.Is(err, vault.ErrRotated), errors.Is(err, store.ErrClosed):
		code = CodeBusy
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		code = CodeBusy
	}
	return &refusal{code: code, err: err}
}

// message is what the peer is told.
func (r *refusal) message() string {
	if r.code == CodeInternal {
		return "the broker has an error of its own; its operator finds it in the log"
	}
	return fmt.Sprintf("%.2000s", r.err.Error())
}

// refused answers a request that was refused, and logs why. Requests that did
// not come to a decision are logged together: see tally.
func (s *Server) refused(w http.ResponseWriter, r *http.Request, what string, err error) {
	p := classify(err)
	client := clientOf(r.RemoteAddr)
	s.metrics.refused(what, p.code)
	if p.code == CodeInternal {
		s.log.ErrorContext(r.Context(), "a request failed", "request", requestID(r), "path", r.URL.Path, "error", err)
	} else {
		s.log.InfoContext(r.Context(), "refused", "request", requestID(r), "what", what, "client", client, "code", p.code, "reason", p.message())
	}
	if !isLogged(r) {
		s.tally.add(client, what, p)
	}
	s.problem(w, r, p)
}

func (s *Server) problem(w http.ResponseWriter, r *http.Request, p *refusal) {
	s.answer(w, statuses[p.code], &Problem{ProblemError{Code: p.code, Message: p.message(), Request: requestID(r), Checks: p.checks}})
}

func (s *Server) answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		s.log.Error("an answer does not encode", "error", err)
		status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer does not encode"}}`)
	}
	text = append(text, '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(text) //nolint:errcheck // the peer may be gone
}

// logRefusal enters a decision against a request in the audit log.
func (s *Server) logRefusal(ctx context.Context, e *audit.Entry, err error) error {
	p := classify(err)
	e.Decision = audit.Refused
	e.Reason = fmt.Sprintf("%.8000s", p.message())
	if e.Details == nil {
		e.Details = map[string]string{}
	}
	e.Details["code"] = string(p.code)
	// What a transaction that failed had given.
	delete(e.Details, "run")
	delete(e.Details, "serial")
	// The client may have gone; the line is written all the same.
	logErr := s.store.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		_, err := s.audit.Append(tx, e)
		return err
	})
	if logErr != nil {
		return fmt.Errorf("the refusal is not logged: %w (it was: %w)", logErr, err)
	}
	return err
}
