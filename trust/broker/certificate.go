package broker

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
)

// The places of the issuing authority.
const (
	PathCertificate = "/v1/certificate"
	PathAuthority   = "/v1/authority"
	PathCRL         = "/v1/crl"
)

// CertificateRequest asks for a certificate. The evidence binds Key, which is the
// SubjectPublicKeyInfo in DER of the key that is certified.
type CertificateRequest struct {
	Nonce    Digest          `json:"nonce"`
	Key      []byte          `json:"key"`
	Job      Digest          `json:"job,omitzero"`
	Evidence attest.Evidence `json:"evidence"`
	// CSR is a signing request in DER (issuer.CertificateRequest), signed by the
	// key.
	CSR []byte `json:"csr"`
	// Seconds is how long the certificate is wanted for; 0 is the authority's
	// choice.
	Seconds int64 `json:"seconds,omitempty"`
}

// CertificateAnswer is a certificate with its authority's, both in DER.
type CertificateAnswer struct {
	Request     string    `json:"request"`
	Workload    string    `json:"workload"`
	Certificate []byte    `json:"certificate"`
	Authority   []byte    `json:"authority"`
	Receipt     Receipt   `json:"receipt"`
	Time        time.Time `json:"time"`
}

func (s *Server) needIssuer() error {
	if s.issuer == nil {
		return refuse(CodeNotFound, "this broker issues no certificates")
	}
	return nil
}

// AuthorityAnswer is the authority's certificate in DER.
type AuthorityAnswer struct {
	Authority []byte `json:"authority"`
}

func (s *Server) handleAuthority(w http.ResponseWriter, r *http.Request) {
	if err := s.needIssuer(); err != nil {
		s.refused(w, r, "authority", err)
		return
	}
	s.answer(w, http.StatusOK, &AuthorityAnswer{s.issuer.Certificate().Raw})
}

func (s *Server) handleCRL(w http.ResponseWriter, r *http.Request) {
	err := s.needIssuer()
	var list []byte
	if err == nil {
		err = s.store.Update(r.Context(), func(tx *store.Tx) (err error) {
			list, err = s.issuer.CRL(tx)
			return err
		})
	}
	if err != nil {
		s.refused(w, r, "crl", err)
		return
	}
	w.Header().Set("Content-Type", "application/pkix-crl")
	w.Write(list) //nolint:errcheck // the peer may be gone
}

func (s *Server) handleCertificate(w http.ResponseWriter, r *http.Request) {
	var q CertificateRequest
	err := s.needIssuer()
	if err == nil {
		err = s.readBody(w, r, s.limits.Body, &q)
	}
	if err != nil {
		s.refused(w, r, "certificate", err)
		return
	}
	one := requestOf(r)
	entry := &audit.Entry{Type: "certificate", Request: one.id, Client: clientOf(r.RemoteAddr)}
	a, err := s.certify(r.Context(), &q, entry)
	if err != nil {
		one.logged = true
		if entry.Decision != audit.Granted {
			err = s.logRefusal(r.Context(), entry, err)
		}
		s.refused(w, r, "certificate", err)
		return
	}
	s.answer(w, http.StatusOK, a)
}

// certify decides on a request for a certificate, as release does on keys.
func (s *Server) certify(ctx context.Context, q *CertificateRequest, entry *audit.Entry) (*CertificateAnswer, error) {
	keyHash := Digest(sha256.Sum256(q.Key))
	entry.Details = map[string]string{"key": keyHash.String()}
	if !q.Job.IsZero() {
		entry.Details["job"] = q.Job.String()
	}
	if err := s.nonces.take(q.Nonce, keyHash); err != nil {
		return nil, err
	}
	names, err := q.names()
	if err != nil {
		return nil, err
	}
	entry.Subject = certificateSubject(names)
	p, v, err := s.verified(ctx, &q.Evidence, entry)
	if err != nil {
		return nil, err
	}
	a := &CertificateAnswer{Request: entry.Request, Authority: s.issuer.Certificate().Raw}
	var index int64
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		if err := checkCurrent(tx, p); err != nil {
			return err
		}
		// A restored broker may be an older copy, in which it does not stand that the
		// program has lost its name.
		if err := s.ready(tx); err != nil {
			return err
		}
		if err := s.seenCollateral(tx, &v.Claims); err != nil {
			return err
		}
		cert, workload, err := s.issue(tx, p, q, names, v)
		if err != nil {
			return err
		}
		a.Certificate, a.Workload = cert.Raw, workload
		entry.Decision, entry.Reason = audit.Granted, "workload "+workload
		entry.Details["serial"] = cert.SerialNumber.Text(16)
		index, err = s.audit.Append(tx, entry)
		return err
	})
	if err != nil {
		entry.Decision = ""
		return nil, err
	}
	w, err := s.effective(ctx, p, &granted{index: index}, entry)
	if err != nil {
		return nil, err
	}
	a.Time = s.clock.Now()
	a.Receipt, err = s.receipt(ctx, index, w)
	return a, err
}

// names are those that the request is for.
func (q *CertificateRequest) names() ([]policy.DNSName, error) {
	csr, err := x509.ParseCertificateRequest(q.CSR)
	if err != nil || len(csr.DNSNames) == 0 || q.Seconds < 0 || q.Seconds > int64(issuer.LongestLife/time.Second) {
		return nil, refuse(CodeMalformed, "csr is no signing request in DER for DNS names, or seconds is no lifetime")
	}
	var names []policy.DNSName
	for _, n := range csr.DNSNames {
		var name policy.DNSName
		if err := name.UnmarshalText([]byte(n)); err != nil {
			return nil, refuse(CodeMalformed, "csr: %v", err)
		}
		names = append(names, name)
	}
	return names, nil
}

func (s *Server) issue(tx *store.Tx, p *inForce, q *CertificateRequest, names []policy.DNSName, v *attest.Verification) (*x509.Certificate, string, error) {
	froze, err := frozen(tx)
	if err != nil {
		return nil, "", err
	}
	ask := &policy.Request{Binding: attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}, Certificates: names, Frozen: froze}
	d := p.policy.Appraise(&v.Claims, ask, s.clock.Now())
	if !d.Allowed || len(d.Failed()) > 0 || len(d.Checks) == 0 {
		return nil, "", denied(d, nil, froze, append(v.Checks, d.Checks...))
	}
	var allowed []string
	for _, n := range p.policy.Workloads[d.Workload].Certificates {
		allowed = append(allowed, string(n))
	}
	cert, err := s.issuer.Issue(tx, issuer.Request{
		CSR: q.CSR, Key: q.Key, Allowed: allowed, Life: time.Duration(q.Seconds) * time.Second,
		Workload: string(d.Workload), Policy: p.hash,
	})
	if errors.Is(err, issuer.ErrRefused) {
		return nil, "", refuse(CodePolicy, "%w", err)
	}
	return cert, string(d.Workload), err
}
