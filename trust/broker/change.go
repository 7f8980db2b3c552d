package broker

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloister/trust/approval"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
)

// PathPolicy is where the policy in force is read, and changes are handed in;
// those that wait are at PathPending.
const (
	PathPolicy  = "/v1/policy"
	PathPending = "/v1/policy/pending"
)

// PolicyRequest hands in a new version of the policy, with signatures over what
// policy.Change.Statement shows. Owners sign one by one: signatures of the same
// text add up.
type PolicyRequest struct {
	Policy     string   `json:"policy"` // the YAML text
	Signatures []string `json:"signatures"`
}

// PolicyAnswer says how far a change is.
type PolicyAnswer struct {
	Hash      policy.Hash   `json:"hash"`
	Version   uint64        `json:"version"`
	Statement string        `json:"statement"` // what owners sign
	Approved  []policy.Name `json:"approved"`
	Missing   []string      `json:"missing,omitempty"`
	// Until is when a complete change takes effect, Applied that it has.
	Until   time.Time `json:"until,omitzero"`
	Applied bool      `json:"applied"`
	Receipt *Receipt  `json:"receipt,omitempty"`
}

// PolicyText is the policy in force.
type PolicyText struct {
	Hash       policy.Hash `json:"hash"`
	Version    uint64      `json:"version"`
	Text       string      `json:"text"`
	Signatures []string    `json:"signatures"`
	Applied    time.Time   `json:"applied"`
}

const (
	maxPolicy     = 1 << 20
	maxSignatures = 256
	maxPending    = 32
)

func (s *Server) handlePolicyText(w http.ResponseWriter, r *http.Request) {
	var record policyRecord
	err := s.store.View(func(tx *store.Tx) error {
		known, err := getJSON(tx, bucketPolicy, keyCurrent, &record)
		if err == nil && !known {
			err = refuse(CodeNotFound, "no policy is in force: the first one waits for the approval of its owners")
		}
		return err
	})
	if err != nil {
		s.refused(w, r, "policy", err)
		return
	}
	a := &PolicyText{Hash: record.Hash, Version: record.Version, Text: record.Text, Applied: record.Applied}
	for _, sig := range record.Signatures {
		text, err := sig.MarshalText()
		if err != nil {
			s.refused(w, r, "policy", err)
			return
		}
		a.Signatures = append(a.Signatures, string(text))
	}
	s.answer(w, http.StatusOK, a)
}

func (s *Server) handlePolicy(w http.ResponseWriter, r *http.Request) {
	var q PolicyRequest
	if err := s.readBody(w, r, 4<<20, &q); err != nil {
		s.refused(w, r, "policy", err)
		return
	}
	one := requestOf(r)
	entry := &audit.Entry{Type: "policy.proposed", Request: one.id, Client: clientOf(r.RemoteAddr)}
	a, err := s.submit(r.Context(), &q, entry)
	if err != nil {
		one.logged = true
		s.refused(w, r, "policy", s.logRefusal(r.Context(), entry, err))
		return
	}
	s.answer(w, http.StatusOK, a)
}

// propose enters the first policy, which nobody has signed yet.
func (s *Server) propose(ctx context.Context, text []byte) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		hash := s.first.Hash()
		if _, known := tx.Get(bucketPending, hash.String()); known {
			return nil
		}
		return putJSON(tx, bucketPending, hash.String(), &policyRecord{Hash: hash, Version: s.first.Version, Text: string(text)})
	})
}

// readChange parses what was handed in.
func (s *Server) readChange(q *PolicyRequest, entry *audit.Entry) (*policy.Policy, []*approval.Signature, error) {
	if len(q.Policy) > maxPolicy || len(q.Signatures) > maxSignatures {
		return nil, nil, refuse(CodeTooLarge, "a policy of %d bytes with %d signatures; at most %d and %d", len(q.Policy), len(q.Signatures), maxPolicy, maxSignatures)
	}
	next, err := policy.Parse("policy", []byte(q.Policy))
	if err != nil {
		return nil, nil, refuse(CodeMalformed, "%w", err)
	}
	hash := next.Hash()
	entry.Subject = fmt.Sprintf("policy version %d", next.Version)
	entry.Details = map[string]string{"policy": hash.String()}
	var signatures []*approval.Signature
	for i, text := range q.Signatures {
		sig, err := approval.ParseSignature([]byte(text))
		if err != nil {
			return nil, nil, refuse(CodeMalformed, "signature %d: %v", i+1, err)
		}
		signatures = append(signatures, sig)
	}
	return next, signatures, nil
}

// submit adds signatures to a change, and applies it if it is complete.
func (s *Server) submit(ctx context.Context, q *PolicyRequest, entry *audit.Entry) (*PolicyAnswer, error) {
	next, signatures, err := s.readChange(q, entry)
	if err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	current := s.inForce.Load()
	var old *policy.Policy
	switch {
	case current != nil:
		old = current.policy
	case next.Hash() != s.first.Hash():
		return nil, refuse(CodePolicy, "the broker was started to wait for the policy %s, and this is %s", s.first.Hash(), next.Hash())
	}
	change, err := policy.Compare(old, next)
	if err != nil {
		return nil, refuse(CodePolicy, "%w", err)
	}
	a := &PolicyAnswer{Hash: next.Hash(), Version: next.Version, Statement: string(change.Statement())}
	record, err := s.collect(ctx, q.Policy, change, signatures, a, entry)
	if err != nil || !a.complete() {
		return a, err
	}
	a.Until = record.Complete.Add(change.Waits())
	if s.clock.Now().Before(a.Until) {
		return a, nil
	}
	return a, s.apply(ctx, old, next, record, a, entry)
}

func (a *PolicyAnswer) complete() bool { return len(a.Missing) == 0 }

// collect stores the signatures that count.
func (s *Server) collect(ctx context.Context, text string, change *policy.Change, signatures []*approval.Signature, a *PolicyAnswer, entry *audit.Entry) (*policyRecord, error) {
	record := &policyRecord{Hash: a.Hash, Version: a.Version, Text: text}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		known, err := getJSON(tx, bucketPending, a.Hash.String(), record)
		if err != nil {
			return err
		}
		if !known && tx.Len(bucketPending) >= maxPending {
			return refuse(CodeTooMany, "%d changes of the policy wait already", maxPending)
		}
		froze, err := frozen(tx)
		if err != nil {
			return err
		}
		before := len(record.Signatures)
		statement := change.Statement()
		for _, sig := range signatures {
			if err := sig.Verify(approval.ForPolicy, statement); err != nil {
				return refuse(CodeForbidden, "%w", err)
			}
			if !slices.ContainsFunc(record.Signatures, func(o *approval.Signature) bool { return o.Key() == sig.Key() }) {
				record.Signatures = append(record.Signatures, sig)
			}
		}
		said := change.Check(record.Signatures, froze)
		a.Approved, a.Missing = said.Approved, said.Missing
		// A change that nobody concerned signed is nobody's, and takes no room.
		if len(said.Approved) == 0 && !known {
			return refuse(CodeForbidden, "no owner has signed the change: %s", strings.Join(said.Missing, "; "))
		}
		if len(record.Signatures) > maxSignatures || len(record.Signatures) == before && !known {
			return refuse(CodeForbidden, "%d signatures", len(record.Signatures))
		}
		if said.Complete() && record.Complete.IsZero() {
			record.Complete = s.clock.Now()
		}
		if len(record.Signatures) == before {
			return nil
		}
		if err := putJSON(tx, bucketPending, a.Hash.String(), record); err != nil {
			return err
		}
		e := *entry
		e.Decision, e.Reason = audit.Granted, "signed by "+strings.Join(texts(said.Approved), ", ")
		_, err = s.audit.Append(tx, &e)
		return err
	})
	return record, err
}

func texts[T ~string](names []T) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}

// apply makes a complete change take effect.
func (s *Server) apply(ctx context.Context, old, next *policy.Policy, record *policyRecord, a *PolicyAnswer, entry *audit.Entry) error {
	verifiers, err := s.verify(next)
	if err != nil {
		return refuse(CodePolicy, "the verifiers that the policy asks for: %w", err)
	}
	var witnesses audit.Quorum
	if s.quorum != nil {
		if witnesses, err = s.quorum.prepare(old, next); err != nil {
			return refuse(CodePolicy, "the witnesses that the policy names: %w", err)
		}
	}
	forced := &inForce{policy: next, hash: a.Hash, verifiers: verifiers}
	var index int64
	var applied *policy.Applied
	err = s.store.Update(ctx, func(tx *store.Tx) (err error) {
		froze, err := frozen(tx)
		if err != nil {
			return err
		}
		now := s.clock.Now()
		if applied, err = policy.Apply(old, next, record.Signatures, froze, record.Complete, now); err != nil {
			return refuse(CodePolicy, "%w", err)
		}
		record.Applied, record.Approved = now, applied.Approved
		if forced.first, err = s.putPolicy(tx, record); err != nil {
			return err
		}
		if err := s.changeOwners(tx, old, applied); err != nil {
			return err
		}
		if err := s.revoke(tx, next); err != nil {
			return err
		}
		index, err = s.audit.Append(tx, &audit.Entry{
			Type: "policy", Request: entry.Request, Client: entry.Client, Subject: fmt.Sprintf("policy version %d", next.Version),
			Decision: audit.Granted, Reason: "approved by " + strings.Join(texts(applied.Approved), ", "),
			Details: map[string]string{"policy": a.Hash.String(), "destroyed": strings.Join(texts(applied.Destroy), ", ")},
		})
		return err
	})
	if err != nil {
		return err
	}
	s.inForce.Store(forced)
	a.Applied = true
	s.log.InfoContext(ctx, "the policy changed", "version", next.Version, "hash", a.Hash.String(), "entry", index)
	s.reseal(ctx)
	s.forget(ctx)
	// The witnesses of before sign that there are others.
	w, err := s.witnessed(ctx, index)
	if err != nil {
		return err
	}
	if s.quorum != nil {
		s.quorum.use(witnesses)
	}
	r, err := s.receipt(ctx, index, w)
	a.Receipt = &r
	return err
}

// putPolicy stores a version as the one in force, and forgets what waited for
// the one before.
func (s *Server) putPolicy(tx *store.Tx, record *policyRecord) (first policy.Hash, err error) {
	known, err := getJSON(tx, bucketPolicy, keyFirst, &first)
	if err != nil {
		return first, err
	}
	if !known {
		first = record.Hash
		if err := putJSON(tx, bucketPolicy, keyFirst, first); err != nil {
			return first, err
		}
	}
	for _, key := range []string{keyCurrent, fmt.Sprintf("version/%020d", record.Version)} {
		if err := putJSON(tx, bucketPolicy, key, record); err != nil {
			return first, err
		}
	}
	var waiting []string
	for hash := range tx.Range(bucketPending, "", "") {
		waiting = append(waiting, hash)
	}
	for _, hash := range waiting {
		if err := tx.Delete(bucketPending, hash); err != nil {
			return first, err
		}
	}
	return first, nil
}

// changeOwners makes the roots of those who join, and destroys those of who
// leave, with all that they ordered.
func (s *Server) changeOwners(tx *store.Tx, old *policy.Policy, applied *policy.Applied) error {
	if len(applied.Destroy) > 0 {
		if err := tx.Put(bucketPolicy, keyForget, []byte("{}")); err != nil {
			return err
		}
	}
	for _, name := range applied.Destroy {
		if err := forgetUnlocker(tx, string(name)); err != nil {
			return err
		}
		if err := s.vault.RemoveOwner(tx, string(name)); err != nil {
			return err
		}
		if err := tx.Delete(bucketFrozen, string(name)); err != nil {
			return err
		}
		var gone [][2]string
		for key := range tx.Prefix(bucketTerms, string(name)+"/") {
			gone = append(gone, [2]string{bucketTerms, key})
		}
		for key := range tx.Range(bucketJobs, "", "") {
			if strings.HasSuffix(key, "/"+string(name)) {
				gone = append(gone, [2]string{bucketJobs, key})
			}
		}
		for _, g := range gone {
			if err := tx.Delete(g[0], g[1]); err != nil {
				return err
			}
		}
	}
	for name := range applied.Policy.Owners {
		if old != nil && old.Owners[name] != nil {
			continue
		}
		if err := s.vault.AddOwner(tx, string(name)); err != nil {
			return err
		}
	}
	return nil
}

// revoke revokes the certificates that a new policy does not allow.
func (s *Server) revoke(tx *store.Tx, next *policy.Policy) error {
	if s.issuer == nil {
		return nil
	}
	_, err := s.issuer.Revoke(tx, issuer.ReasonPrivilegeWithdrawn, func(c *issuer.Issued) bool {
		if c.Workload == provisionWorkload {
			return false // the broker's own
		}
		w := next.Workloads[policy.Name(c.Workload)]
		if w == nil {
			return true
		}
		for _, name := range c.Names {
			if !slices.Contains(w.Certificates, policy.DNSName(name)) {
				return true
			}
		}
		return false
	})
	return err
}

// keyForget marks that an owner left whose keys older files of the store may
// still hold.
const keyForget = "forget"

// forget makes destroyed keys unreadable in older files of the store too: under a
// new root key nothing of before opens, and compacting removes the files. It ends
// what was begun before a kill.
func (s *Server) forget(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	due := false
	err := s.store.View(func(tx *store.Tx) error {
		_, due = tx.Get(bucketPolicy, keyForget)
		return nil
	})
	if err != nil || !due {
		return
	}
	err = s.vault.RotateRoot(ctx, s.store)
	if err == nil {
		err = s.store.Compact(ctx)
	}
	if err == nil {
		err = s.store.Update(ctx, func(tx *store.Tx) error { return tx.Delete(bucketPolicy, keyForget) })
	}
	if err != nil {
		s.log.ErrorContext(ctx, "the keys of a removed owner are destroyed, but older files may still hold them wrapped; the next start tries again", "error", err)
	}
}

// applyWaiting applies changes whose delay has passed, until ctx ends.
func (s *Server) applyWaiting(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.applyDue(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "a change of the policy that waited is not applied", "error", err)
			}
		}
	}
}

func (s *Server) applyDue(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	current := s.inForce.Load()
	if current == nil {
		return nil
	}
	var due []*policyRecord
	err := s.store.View(func(tx *store.Tx) error {
		for hash := range tx.Range(bucketPending, "", "") {
			r := new(policyRecord)
			if _, err := getJSON(tx, bucketPending, hash, r); err != nil {
				return err
			}
			if !r.Complete.IsZero() {
				due = append(due, r)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range due {
		next, err := policy.Parse("policy version "+strconv.FormatUint(r.Version, 10), []byte(r.Text))
		if err != nil {
			return err
		}
		change, err := policy.Compare(current.policy, next)
		if err != nil || s.clock.Now().Before(r.Complete.Add(change.Waits())) {
			continue // another version took its place, or it waits
		}
		// The first that is due is the next version; the others follow none.
		return s.apply(ctx, current.policy, next, r, &PolicyAnswer{Hash: r.Hash, Version: r.Version}, &audit.Entry{})
	}
	return nil
}
