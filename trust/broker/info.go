package broker

import (
	"crypto/sha256"
	"fmt"
	"net/http"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
)

const identityDomain = "cloister.broker.identity.v1"

// Identity is what the broker's evidence binds in the place of a job: who it is
// and what it is known by.
func (i *Info) Identity() Digest {
	return sha256.Sum256(canonical([]byte(identityDomain), []byte(i.Broker), i.TLSKey[:], []byte(i.Log), i.FirstPolicy[:]))
}

// Binding is what the broker's evidence binds.
func (i *Info) Binding(nonce Digest) attest.Binding {
	return attest.Binding{Nonce: nonce, Key: i.HPKE, Job: i.Identity()}
}

// Info is what the broker says of itself.
func (s *Server) Info() *Info {
	i := &Info{
		Broker: s.vault.Broker(), HPKE: s.hpke.PublicKey().Bytes(), TLSKey: s.tlsKey,
		Log: s.logKey, Time: s.clock.Now(),
	}
	p := s.inForce.Load()
	switch {
	case p != nil:
		i.FirstPolicy, i.Policy, i.PolicyVersion = Digest(p.first), Digest(p.hash), p.policy.Version
		if p.policy.InsecureNoWitness {
			i.Insecure = append(i.Insecure, audit.InsecureNoWitness)
		}
		if p.policy.Platforms.InsecureNone != nil {
			i.Insecure = append(i.Insecure, string(attest.InsecureNone))
		}
	case s.first != nil:
		// Owners pin it before they approve it.
		i.FirstPolicy = Digest(s.first.Hash())
	}
	return i
}

// Health says whether the broker lives, or whether it is ready and why not.
type Health struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

func (s *Server) handleBroker(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, s.Info())
}

func (s *Server) handleAttest(w http.ResponseWriter, r *http.Request) {
	var q AttestRequest
	err := s.readBody(w, r, 4<<10, &q)
	if err == nil && q.Nonce.IsZero() {
		err = refuse(CodeMalformed, "nonce is missing")
	}
	if err == nil && s.producer == nil {
		err = refuse(CodeNotFound, "this broker has no evidence of itself")
	}
	if err != nil {
		s.refused(w, r, "attest", err)
		return
	}
	i := s.Info()
	b := i.Binding(q.Nonce)
	e, err := s.producer.Produce(r.Context(), b.ReportData())
	if err != nil {
		s.refused(w, r, "attest", fmt.Errorf("evidence of the broker: %w", err))
		return
	}
	s.answer(w, http.StatusOK, &AttestAnswer{Info: *i, Evidence: *e})
}
