package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// PathHandOver is where an upgraded broker asks for the root key, which is sealed
// to the measurement of the one that answers.
const PathHandOver = "/v1/hand-over"

const (
	handOverDomain = "cloister.broker.hand-over.v1"
	handOverLife   = 15 * time.Minute
)

// handOverJob is what evidence binds in the place of a job, so that evidence for
// anything else cannot ask for a root key.
func handOverJob(broker string, firstPolicy Digest) Digest {
	return sha256.Sum256(canonical([]byte(handOverDomain), []byte(broker), firstPolicy[:]))
}

// HandOverRequest asks for the root key. The evidence binds nonce, key and
// handOverJob.
type HandOverRequest struct {
	Nonce    Digest          `json:"nonce"`
	Key      []byte          `json:"key"` // the serialised HPKE public key
	Evidence attest.Evidence `json:"evidence"`
}

// HandOverAnswer is the decision with the root key, encrypted to the program that
// asked.
type HandOverAnswer struct {
	Request     string    `json:"request"`
	Policy      Digest    `json:"policy"`
	Program     string    `json:"program"` // the entry of broker-programs
	Measurement []byte    `json:"measurement"`
	Approved    []string  `json:"approved"`
	Expires     time.Time `json:"expires"`
	Root        []byte    `json:"root"`
	Receipt     Receipt   `json:"receipt"`
}

// measurementOf is a program's measurement in one piece.
func measurementOf(c *attest.Claims) ([]byte, error) {
	switch {
	case c.Platform == attest.SGX && c.SGX != nil:
		return c.SGX.MREnclave, nil
	case c.Platform == attest.TDX && c.TDX != nil:
		parts := append([][]byte{c.TDX.MRTD}, hexes(c.TDX.RTMR[:])...)
		return canonical(parts...), nil
	case c.Platform == attest.SNP && c.SNP != nil:
		return c.SNP.Measurement, nil
	case c.Platform == attest.InsecureNone && c.InsecureNone != nil:
		return c.InsecureNone.Binary, nil
	}
	return nil, fmt.Errorf("evidence of platform %s has no measurement", c.Platform)
}

func hexes(all []attest.Hex) [][]byte {
	out := make([][]byte, len(all))
	for i, h := range all {
		out[i] = h
	}
	return out
}

func (s *Server) handleHandOver(w http.ResponseWriter, r *http.Request) {
	var q HandOverRequest
	if err := s.readBody(w, r, s.limits.Body, &q); err != nil {
		s.refused(w, r, "hand-over", err)
		return
	}
	one := requestOf(r)
	entry := &audit.Entry{Type: "hand-over", Request: one.id, Client: clientOf(r.RemoteAddr), Subject: "root key"}
	a, err := s.handOver(r.Context(), &q, entry)
	if err != nil {
		one.logged = true
		if entry.Decision != audit.Granted {
			err = s.logRefusal(r.Context(), entry, err)
		}
		s.refused(w, r, "hand-over", err)
		return
	}
	s.log.WarnContext(r.Context(), "the root key was handed over to another program", "program", a.Program, "entry", a.Receipt.Index)
	s.answer(w, http.StatusOK, a)
}

func (s *Server) handOver(ctx context.Context, q *HandOverRequest, entry *audit.Entry) (*HandOverAnswer, error) {
	keyHash := Digest(sha256.Sum256(q.Key))
	entry.Details = map[string]string{"key": keyHash.String(), "platform": fmt.Sprintf("%.20s", q.Evidence.Platform)}
	if err := s.nonces.take(q.Nonce, keyHash); err != nil {
		return nil, err
	}
	p, v, err := s.verified(ctx, &q.Evidence, entry)
	if err != nil {
		return nil, err
	}
	binding := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: handOverJob(s.vault.Broker(), Digest(p.first))}
	if !v.Claims.ReportData.Equal(binding.ReportData()) {
		return nil, &refusal{code: CodeEvidence, err: errors.New("the evidence binds another nonce or key, or was not made to ask for the root key"), checks: v.Checks}
	}
	d := p.policy.AppraiseBroker(&v.Claims, s.clock.Now())
	if !d.Allowed {
		return nil, &refusal{code: CodePolicy, err: fmt.Errorf("this program may not be the broker: %s", d.Reason()), checks: append(v.Checks, d.Checks...)}
	}
	measurement, err := measurementOf(&v.Claims)
	if err != nil {
		return nil, err
	}
	entry.Details["measurement"] = fmt.Sprintf("%x", measurement)
	a := &HandOverAnswer{
		Request: entry.Request, Policy: Digest(p.hash), Program: string(d.Workload), Measurement: measurement,
		Expires: s.clock.Now().Add(handOverLife).UTC().Truncate(time.Second),
	}
	var index int64
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		index, err = s.decideHandOver(tx, p, q, v, d.Workload, a, entry)
		return err
	})
	if err != nil {
		entry.Decision = ""
		return nil, err
	}
	witnessed, err := s.witnessed(ctx, index)
	if err != nil {
		return nil, err
	}
	a.Receipt, err = s.receipt(ctx, index, witnessed)
	return a, err
}

func (s *Server) decideHandOver(tx *store.Tx, p *inForce, q *HandOverRequest, v *attest.Verification, program policy.Name, a *HandOverAnswer, entry *audit.Entry) (int64, error) {
	if err := checkCurrent(tx, p); err != nil {
		return 0, err
	}
	if err := s.seenCollateral(tx, &v.Claims); err != nil {
		return 0, err
	}
	froze, err := frozen(tx)
	if err != nil {
		return 0, err
	}
	if len(froze) > 0 {
		return 0, refuse(CodeFrozen, "%s has frozen all releases: the root key opens its keys too", froze[0])
	}
	approved, err := approvedProgram(tx, p, program)
	if err != nil {
		return 0, err
	}
	a.Approved = texts(approved)
	for name := range p.policy.Owners {
		if !slices.Contains(approved, name) {
			return 0, refuse(CodePolicy, "owner %s has not signed the reference values of the program %s", name, program)
		}
	}
	a.Root, err = s.vault.HandOverRoot(tx, *a.decision(s.vault.Broker(), q))
	if err != nil {
		return 0, badRequest(err)
	}
	entry.Decision, entry.Reason = audit.Granted, fmt.Sprintf("program %s, signed by %s", program, strings.Join(a.Approved, ", "))
	return s.audit.Append(tx, entry)
}

// decision is what both sides bind the root key to.
func (a *HandOverAnswer) decision(broker string, q *HandOverRequest) *vault.HandOver {
	return &vault.HandOver{
		Broker: broker, Policy: a.Policy, Measurement: a.Measurement, Nonce: q.Nonce, RecipientKey: q.Key, Approved: a.Approved, Expires: a.Expires,
	}
}

// approvedProgram returns the owners who signed a policy with this very program:
// the version that brought it, or a later one in which it was the same.
func approvedProgram(tx *store.Tx, p *inForce, program policy.Name) ([]policy.Name, error) {
	var all []policy.Name
	want := p.policy.BrokerPrograms[program]
	for version := p.policy.Version; version > 0; version-- {
		var r policyRecord
		known, err := getJSON(tx, bucketPolicy, fmt.Sprintf("version/%020d", version), &r)
		if err != nil {
			return nil, err
		}
		if !known {
			break
		}
		then, err := policy.Parse("a policy in the store", []byte(r.Text))
		if err != nil {
			return nil, err
		}
		if then.Hash() != r.Hash || !reflect.DeepEqual(then.BrokerPrograms[program], want) {
			break
		}
		for _, name := range r.Approved {
			// Who left and came back signed as another owner of the name.
			if p.policy.Owners[name] != nil && reflect.DeepEqual(p.policy.Owners[name], then.Owners[name]) && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

// HandedOver is what a new broker's program got of the old one.
type HandedOver struct {
	Answer HandOverAnswer
	// Policy is the one in force, which names both programs.
	Policy *policy.Policy
}

// TakeOver has the old broker, which is pinned, hand over its root key, and seals
// it with the options' own protector. The pin must be in measured bytes: a host
// that could name another broker would give this program a root key of its own
// making. appraise verifies the old broker's evidence by its policy.
func (c *Client) TakeOver(ctx context.Context, p attest.Producer, appraise func(context.Context, *policy.Policy, *attest.Evidence) (*attest.Verification, error), o vault.RootOptions) (*vault.Root, *HandedOver, error) {
	text, err := c.PolicyText(ctx)
	if err != nil {
		return nil, nil, err
	}
	h := &HandedOver{}
	if h.Policy, err = policy.Parse("the policy in force", []byte(text.Text)); err != nil {
		return nil, nil, err
	}
	if _, _, err := c.Attest(ctx, func(ctx context.Context, e *attest.Evidence) (*attest.Verification, error) {
		return appraise(ctx, h.Policy, e)
	}); err != nil {
		return nil, nil, err
	}
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	q := &HandOverRequest{Key: key.PublicKey().Bytes()}
	var n NonceAnswer
	if err := c.retried(ctx, func() error { return c.Do(ctx, http.MethodPost, PathNonce, &NonceRequest{sha256.Sum256(q.Key)}, &n) }); err != nil {
		return nil, nil, err
	}
	q.Nonce = n.Nonce
	pin := &c.options.Pin
	b := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: handOverJob(pin.Broker, pin.FirstPolicy)}
	e, err := p.Produce(ctx, b.ReportData())
	if err != nil {
		return nil, nil, fmt.Errorf("make evidence: %w", err)
	}
	q.Evidence = *e
	receipts, err := c.receipts(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := c.Do(ctx, http.MethodPost, PathHandOver, q, &h.Answer); err != nil {
		return nil, nil, err
	}
	if err := receipts.check(ctx, &h.Answer.Receipt, &expected{
		kind: "hand-over", request: h.Answer.Request, subject: "root key", details: map[string]string{
			"key": hashOf(q.Key).String(), "evidence": quoteHash(e.Quote), "measurement": fmt.Sprintf("%x", h.Answer.Measurement),
		},
	}); err != nil {
		return nil, nil, err
	}
	if err := h.check(e); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	root, err := vault.AcceptRoot(ctx, key, *h.Answer.decision(pin.Broker, q), h.Answer.Root, o)
	return root, h, err
}

// check says whether the decision is about this program and this policy.
func (h *HandedOver) check(own *attest.Evidence) error {
	claims, err := platforms.Claims(own)
	if err != nil {
		return err
	}
	measurement, err := measurementOf(&claims)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(measurement, h.Answer.Measurement):
		return errors.New("the root key was handed over to another measurement")
	case h.Answer.Policy != Digest(h.Policy.Hash()):
		return errors.New("the root key was handed over under another policy than the one in force")
	}
	for name := range h.Policy.Owners {
		if !slices.Contains(h.Answer.Approved, string(name)) {
			return fmt.Errorf("owner %s has not signed this program", name)
		}
	}
	return nil
}
