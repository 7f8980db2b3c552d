package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/clock"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

func (s *Server) handleNonce(w http.ResponseWriter, r *http.Request) {
	var q NonceRequest
	if err := s.readBody(w, r, 4<<10, &q); err != nil {
		s.refused(w, r, "nonce", err)
		return
	}
	if q.KeyHash.IsZero() {
		s.refused(w, r, "nonce", refuse(CodeMalformed, "key_hash is missing: the SHA-256 of the public key that the evidence will bind"))
		return
	}
	nonce, life, err := s.nonces.issue(clientOf(r.RemoteAddr), q.KeyHash)
	if err != nil {
		s.refused(w, r, "nonce", err)
		return
	}
	now := s.clock.Now()
	s.answer(w, http.StatusOK, &NonceAnswer{Nonce: nonce, Expires: now.Add(life), Time: now})
}

func (s *Server) handleRelease(w http.ResponseWriter, r *http.Request) {
	var q ReleaseRequest
	if err := s.readBody(w, r, s.limits.Body, &q); err != nil {
		s.refused(w, r, "release", err)
		return
	}
	one := requestOf(r)
	entry := &audit.Entry{Type: "release", Request: one.id, Client: clientOf(r.RemoteAddr)}
	answer, err := s.release(r.Context(), &q, entry)
	if err != nil {
		one.logged = true
		if entry.Decision != audit.Granted {
			err = s.logRefusal(r.Context(), entry, err)
		}
		s.refused(w, r, "release", err)
		return
	}
	s.metrics.released(len(answer.Items))
	s.log.InfoContext(r.Context(), "released", "request", one.id, "workload", answer.Workload, "items", len(answer.Items), "entry", answer.Receipt.Index)
	s.answer(w, http.StatusOK, answer)
}

// checkRelease checks the form of a request.
func (s *Server) checkRelease(q *ReleaseRequest) error {
	if n := len(q.Want); n == 0 || n > s.limits.Want {
		return refuse(CodeMalformed, "want has %d things; it has 1 to %d", n, s.limits.Want)
	}
	seen := map[Want]bool{}
	for _, w := range q.Want {
		if _, err := w.item(); err != nil {
			return refuse(CodeMalformed, "want: %v", err)
		}
		if seen[w] {
			return refuse(CodeMalformed, "want has %s twice", w)
		}
		seen[w] = true
	}
	return nil
}

// item is its name in the policy.
func (w Want) item() (policy.Item, error) {
	var item policy.Item
	if err := item.UnmarshalText([]byte(w.Owner + "/" + w.Name)); err != nil {
		return "", err
	}
	switch {
	case w.Kind != Key && w.Kind != Secret:
		return "", fmt.Errorf("kind %.40q is neither %s nor %s", w.Kind, Key, Secret)
	case w.Kind == Key && w.Version == 0:
		return "", fmt.Errorf("%s: the version is missing", w)
	}
	return item, nil
}

// release decides on a request and does what was decided.
func (s *Server) release(ctx context.Context, q *ReleaseRequest, entry *audit.Entry) (*ReleaseAnswer, error) {
	keyHash := Digest(sha256.Sum256(q.Key))
	entry.Details = map[string]string{"key": keyHash.String(), "platform": fmt.Sprintf("%.20s", q.Evidence.Platform)}
	if !q.Job.IsZero() {
		entry.Details["job"] = q.Job.String()
	}
	if err := s.nonces.take(q.Nonce, keyHash); err != nil {
		return nil, err
	}
	if err := s.checkRelease(q); err != nil {
		return nil, err
	}
	entry.Subject = subject(q.Want)
	kem, _, _ := suite()
	to, err := kem.NewPublicKey(q.Key)
	if err != nil {
		return nil, refuse(CodeMalformed, "key is no serialised HPKE public key of the suite MLKEM768-X25519")
	}
	p, v, err := s.verified(ctx, &q.Evidence, entry)
	if err != nil {
		return nil, err
	}
	binding := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}
	d, err := s.grant(ctx, p, q, binding, v, entry)
	if err != nil {
		return nil, err
	}
	defer zero(d.items)
	witnessed, err := s.effective(ctx, p, d, entry)
	if err != nil {
		return nil, err
	}
	a := &ReleaseAnswer{Request: entry.Request, Workload: d.workload, Run: d.run, Time: entry.Time}
	if a.Receipt, err = s.receipt(ctx, d.index, witnessed); err != nil {
		return nil, err
	}
	a.Encapsulated, a.Items, err = seal(to, releaseInfo(s.vault.Broker(), Digest(p.first), q), d.items)
	return a, err
}

func subject(wants []Want) string {
	text := ""
	for i, w := range wants {
		if i > 0 {
			text += ", "
		}
		if len(text) > 4000 {
			return text + fmt.Sprintf("and %d more", len(wants)-i)
		}
		text += w.String()
	}
	return text
}

// verified verifies evidence by the rules of the policy in force.
func (s *Server) verified(ctx context.Context, e *attest.Evidence, entry *audit.Entry) (*inForce, *attest.Verification, error) {
	p := s.inForce.Load()
	if p == nil {
		return nil, nil, refuse(CodePolicy, "no policy is in force: the first one waits for the approval of its owners")
	}
	entry.Details["policy"] = p.hash.String()
	entry.Details["evidence"] = quoteHash(e.Quote)
	ctx, cancel := context.WithTimeout(ctx, s.limits.Verify)
	defer cancel()
	v, err := p.verifiers.Verify(ctx, e)
	if err == nil && (v == nil || len(v.Checks) == 0 || len(v.Failed()) > 0) {
		err = fmt.Errorf("%w: not every check passed", attest.ErrRefused)
	}
	switch {
	case errors.Is(err, attest.ErrRefused):
		r := &refusal{code: CodeEvidence, err: err}
		if v != nil {
			r.checks = v.Checks
		}
		return nil, nil, r
	case err != nil:
		return nil, nil, refuse(CodeCollateral, "the evidence cannot be verified now: %v", err)
	}
	entry.Details["machine"] = v.Claims.Machine.String()
	return p, v, nil
}

// granted is a decision that is in the log.
type granted struct {
	workload string
	index    int64
	run      uint64
	items    []opened
	owners   []policy.Name
	// job is the one whose approval by the owners counted, or nothing.
	job Digest
}

// grant decides in a transaction that also counts the run and writes the line.
func (s *Server) grant(ctx context.Context, p *inForce, q *ReleaseRequest, b attest.Binding, v *attest.Verification, entry *audit.Entry) (*granted, error) {
	var g *granted
	err := s.store.Update(ctx, func(tx *store.Tx) (err error) {
		zeroGranted(g)
		g, err = s.decide(tx, p, q, b, v, entry)
		return err
	})
	if err != nil {
		zeroGranted(g)
		entry.Decision = ""
		return nil, err
	}
	return g, nil
}

func zeroGranted(g *granted) {
	if g != nil {
		zero(g.items)
	}
}

func (s *Server) decide(tx *store.Tx, p *inForce, q *ReleaseRequest, b attest.Binding, v *attest.Verification, entry *audit.Entry) (*granted, error) {
	if err := checkCurrent(tx, p); err != nil {
		return nil, err
	}
	if err := s.seenCollateral(tx, &v.Claims); err != nil {
		return nil, err
	}
	now := s.clock.Now()
	ask := &policy.Request{Binding: b}
	var err error
	if ask.Frozen, err = frozen(tx); err != nil {
		return nil, err
	}
	g := &granted{}
	if err := s.ask(tx, q, ask, g); err != nil {
		return nil, err
	}
	approvals, err := jobApprovals(tx, p, q.Job, now)
	if err != nil {
		return nil, err
	}
	ask.JobApprovedBy = approvals.owners
	d := p.policy.Appraise(&v.Claims, ask, now)
	g.workload = string(d.Workload)
	if d.Workload != "" {
		entry.Details["workload"] = g.workload
	}
	if !d.Allowed || len(d.Failed()) > 0 || len(d.Checks) == 0 {
		return nil, denied(d, g.owners, ask.Frozen, append(v.Checks, d.Checks...))
	}
	limited := p.policy.Workloads[d.Workload] != nil && p.policy.Workloads[d.Workload].OwnerApprovedJobs
	most := approvals.runs(g.owners)
	if limited {
		g.job = q.Job
	}
	if g.run, err = s.countRun(tx, "job/"+q.Job.String(), g.workload+"/"+entry.Details["key"], limited, most, now); err != nil {
		return nil, err
	}
	if g.items, err = s.openItems(tx, q.Want); err != nil {
		return g, err
	}
	entry.Decision, entry.Reason = audit.Granted, "policy "+strconv.FormatUint(p.policy.Version, 10)+", workload "+g.workload
	entry.Details["run"] = strconv.FormatUint(g.run, 10)
	g.index, err = s.audit.Append(tx, entry)
	return g, err
}

// denied is the refusal of a decision.
func denied(d *policy.Decision, owners, frozen []policy.Name, checks []attest.Check) error {
	code := CodePolicy
	if len(d.Failed()) == 1 {
		for _, o := range owners {
			for _, f := range frozen {
				if o == f {
					code = CodeFrozen
				}
			}
		}
	}
	return &refusal{code: code, err: fmt.Errorf("the policy refuses: %s", d.Reason()), checks: checks}
}

// ask fills in what the policy is asked for.
func (s *Server) ask(tx *store.Tx, q *ReleaseRequest, ask *policy.Request, g *granted) error {
	seen := map[policy.Name]bool{}
	for _, w := range q.Want {
		item, err := w.item()
		if err != nil {
			return err
		}
		if !seen[item.Owner()] {
			seen[item.Owner()] = true
			g.owners = append(g.owners, item.Owner())
		}
		if w.Kind == Secret {
			ask.Secrets = append(ask.Secrets, item)
			continue
		}
		terms, err := s.termsOf(tx, w.ref())
		if err != nil {
			return err
		}
		ask.Keys = append(ask.Keys, policy.DataSet{Item: item, Version: w.Version, Terms: terms})
	}
	return nil
}

// seenCollateral tells the clock of the dates that were verified.
func (s *Server) seenCollateral(tx *store.Tx, c *attest.Claims) error {
	if c.TCB.Latest.IsZero() {
		return nil
	}
	of := string(c.Platform)
	if s.clock.Seen(tx, of, c.TCB.Latest, c.TCB.EvaluationNumber) {
		return nil
	}
	return s.clock.Collateral(tx, of, c.TCB.Latest, c.TCB.EvaluationNumber)
}

// witnessed waits until an entry takes effect.
func (s *Server) witnessed(ctx context.Context, index int64) (*audit.Witnessed, error) {
	w, err := s.audit.Wait(ctx, index)
	switch {
	case err == nil:
		return w, nil
	case errors.Is(err, clock.ErrSkew):
		return nil, refuse(CodeClock, "nothing takes effect: %w", err)
	}
	return nil, refuse(CodeUnwitnessed, "the decision does not take effect: %w", err)
}

// effective waits until a decision takes effect, and logs why it does not, if it
// does not: its own line says that it was granted.
func (s *Server) effective(ctx context.Context, p *inForce, g *granted, entry *audit.Entry) (*audit.Witnessed, error) {
	w, err := s.witnessed(ctx, g.index)
	if err == nil {
		err = s.stillAllowed(p, g)
	}
	if err == nil {
		return w, nil
	}
	return nil, s.logRefusal(ctx, &audit.Entry{
		Type: entry.Type + ".withheld", Request: entry.Request, Client: entry.Client, Subject: entry.Subject,
		Details: map[string]string{"entry": strconv.FormatInt(g.index, 10)},
	}, err)
}

// stillAllowed looks once more, when witnesses have signed, whether what was
// decided before holds: an owner who froze, destroyed a key, revoked a job or
// changed the policy meanwhile was told that it is so from now on.
func (s *Server) stillAllowed(p *inForce, g *granted) error {
	return s.store.View(func(tx *store.Tx) error {
		if err := checkCurrent(tx, p); err != nil {
			return err
		}
		froze, err := frozen(tx)
		if err != nil {
			return err
		}
		approvals, err := jobApprovals(tx, p, g.job, s.clock.Now())
		if err != nil {
			return err
		}
		for _, o := range g.owners {
			if slices.Contains(froze, o) {
				return refuse(CodeFrozen, "%s has frozen all releases meanwhile", o)
			}
			if !g.job.IsZero() && approvals.of[o] == 0 {
				return refuse(CodePolicy, "job %s is not approved by %s any more", g.job, o)
			}
		}
		return s.stillThere(tx, g.items)
	})
}

// stillThere makes sure that keys which were opened before can be opened now.
func (s *Server) stillThere(tx *store.Tx, items []opened) error {
	for i := range items {
		it := &items[i]
		ref := vault.Ref{Owner: it.Owner, DataSet: it.Name, Version: it.Version}
		if s.vault.Mark(tx, ref).Equal(it.mark) {
			continue
		}
		key, info, err := s.vault.Key(tx, ref)
		key.Zero()
		if err == nil && info.ID != it.ID {
			err = refuse(CodeBusy, "the key of %s/%s version %d is another one meanwhile", it.Owner, it.Name, it.Version)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// receipt proves that an entry is in a witnessed checkpoint.
func (s *Server) receipt(ctx context.Context, index int64, w *audit.Witnessed) (Receipt, error) {
	r := Receipt{Index: index, Checkpoint: w.Note, Insecure: w.Insecure}
	proof, err := s.audit.ProveInclusion(index, w.Size)
	if err != nil {
		return r, err
	}
	for _, h := range proof {
		r.Proof = append(r.Proof, h[:])
	}
	err = s.audit.Entries(ctx, index, index+1, func(_ int64, line []byte) error {
		r.Entry = string(line)
		return nil
	})
	return r, err
}
