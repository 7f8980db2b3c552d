package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"cloister/trust/approval"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
)

// The places of the audit log. Checkpoints and proofs are hashes, which anybody
// may have; the entries are for administrators and owners, who show a client
// certificate.
const (
	PathCheckpoint  = "/v1/audit/checkpoint"
	PathConsistency = "/v1/audit/consistency"
	PathInclusion   = "/v1/audit/inclusion"
	PathEntries     = "/v1/audit/entries"
	PathWatch       = "/v1/audit/watch"
)

// CheckpointAnswer is the newest co-signed checkpoint.
type CheckpointAnswer struct {
	Checkpoint string    `json:"checkpoint"`
	Size       int64     `json:"size"`
	Time       time.Time `json:"time"` // the witnesses' median
	Witnesses  []string  `json:"witnesses,omitempty"`
	Insecure   string    `json:"insecure,omitempty"`
}

// ProofAnswer is a proof of RFC 6962, section 2.1.
type ProofAnswer struct {
	Proof [][]byte `json:"proof"`
}

// EntriesAnswer are lines of the log.
type EntriesAnswer struct {
	From  int64    `json:"from"`
	Lines []string `json:"lines"`
	Size  int64    `json:"size"` // of the log that is witnessed
}

// maxLines is the most that one request gets.
const maxLines = 1000

func (s *Server) handleCheckpoint(w http.ResponseWriter, r *http.Request) {
	c := s.audit.Witnessed()
	if c == nil {
		s.refused(w, r, "checkpoint", refuse(CodeNotFound, "no checkpoint is co-signed yet"))
		return
	}
	s.answer(w, http.StatusOK, &CheckpointAnswer{c.Note, c.Size, c.Time, c.Witnesses, c.Insecure})
}

// numbers reads numbers of a query.
func numbers(r *http.Request, names ...string) ([]int64, error) {
	out := make([]int64, len(names))
	query := r.URL.Query()
	for i, name := range names {
		n, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil || n < 0 {
			return nil, refuse(CodeMalformed, "%s is %.40q; wanted is a number", name, query.Get(name))
		}
		out[i] = n
	}
	return out, nil
}

func (s *Server) handleConsistency(w http.ResponseWriter, r *http.Request) {
	a := &ProofAnswer{Proof: [][]byte{}}
	n, err := numbers(r, "from", "to")
	if err == nil && (n[0] < 1 || n[0] > n[1]) {
		err = refuse(CodeMalformed, "from is at least 1, and to not less")
	}
	if err == nil {
		proof, proofErr := s.audit.ProveConsistency(n[0], n[1])
		err = noEntry(proofErr)
		for _, h := range proof {
			a.Proof = append(a.Proof, h[:])
		}
	}
	s.answerOr(w, r, "consistency", a, err)
}

func (s *Server) handleInclusion(w http.ResponseWriter, r *http.Request) {
	a := &ProofAnswer{Proof: [][]byte{}}
	n, err := numbers(r, "index", "size")
	if err == nil && n[0] >= n[1] {
		err = refuse(CodeMalformed, "index is less than size")
	}
	if err == nil {
		proof, proofErr := s.audit.ProveInclusion(n[0], n[1])
		err = noEntry(proofErr)
		for _, h := range proof {
			a.Proof = append(a.Proof, h[:])
		}
	}
	s.answerOr(w, r, "inclusion", a, err)
}

func noEntry(err error) error {
	if errors.Is(err, audit.ErrNoEntry) {
		return refuse(CodeNotFound, "%w", err)
	}
	return err
}

func (s *Server) answerOr(w http.ResponseWriter, r *http.Request, what string, a any, err error) {
	if err != nil {
		s.refused(w, r, what, err)
		return
	}
	s.answer(w, http.StatusOK, a)
}

// reader makes sure that the peer is an administrator, or an owner by one of its
// keys. TLS has proven that the peer holds the certificate's key; who made the
// certificate and what it says does not count.
func (s *Server) reader(r *http.Request) error {
	p := s.inForce.Load()
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || p == nil {
		return refuse(CodeForbidden, "the entries are for administrators and owners, who show a client certificate")
	}
	cert := r.TLS.PeerCertificates[0]
	hash := policy.Hash(sha256.Sum256(cert.RawSubjectPublicKeyInfo))
	for _, a := range p.policy.Administrators {
		if a.Client == hash {
			return nil
		}
	}
	key, err := ssh.NewPublicKey(cert.PublicKey)
	if err == nil {
		public, err := approval.ParsePublicKey(ssh.MarshalAuthorizedKey(key))
		for _, o := range p.policy.Owners {
			for _, k := range o.Keys {
				if err == nil && k == public {
					return nil
				}
			}
		}
	}
	return refuse(CodeForbidden, "the client certificate with the key %s is neither an administrator's nor an owner's", hash)
}

// lines reads entries that are witnessed, at most maxLines.
func (s *Server) lines(ctx context.Context, from, to int64) (*EntriesAnswer, error) {
	a := &EntriesAnswer{From: from, Lines: []string{}}
	if c := s.audit.Witnessed(); c != nil {
		a.Size = c.Size
	}
	to = min(to, a.Size, from+maxLines)
	if from >= to {
		return a, nil
	}
	return a, s.audit.Entries(ctx, from, to, func(_ int64, line []byte) error {
		a.Lines = append(a.Lines, string(line))
		return nil
	})
}

func (s *Server) handleEntries(w http.ResponseWriter, r *http.Request) {
	var a *EntriesAnswer
	err := s.reader(r)
	if err == nil {
		var n []int64
		if n, err = numbers(r, "from", "to"); err == nil {
			a, err = s.lines(r.Context(), n[0], n[1])
		}
	}
	s.answerOr(w, r, "entries", a, err)
}

// handleWatch streams the entries from an index on, a line each, as they are
// witnessed. A stream ends after a while; the watcher goes on where it was.
func (s *Server) handleWatch(w http.ResponseWriter, r *http.Request) {
	err := s.reader(r)
	var n []int64
	if err == nil {
		n, err = numbers(r, "from")
	}
	if err != nil {
		s.refused(w, r, "watch", err)
		return
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.events.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	for from := n[0]; ; {
		a, err := s.lines(ctx, from, from+maxLines)
		if err != nil {
			return // the stream ends, which the watcher sees
		}
		for _, line := range a.Lines {
			if _, err := fmt.Fprintf(w, "%s\n", line); err != nil {
				return
			}
		}
		if control.Flush() != nil {
			return
		}
		from += int64(len(a.Lines))
		if _, err := s.audit.Wait(ctx, from); err != nil {
			return
		}
	}
}
