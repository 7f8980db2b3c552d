package broker

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"cloister/trust/approval"
	"cloister/trust/broker/audit"
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
	maxPending    = 8 // of each owner
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
	a, took, err := s.enter(ctx, q, next, signatures, entry)
	if err != nil || took == nil {
		return a, err
	}
	// Not with the lock held: while witnesses are out of reach owners can hand in
	// what ends that.
	w, err := s.witnessed(ctx, took.index)
	if err != nil {
		return a, err
	}
	s.quorum.use(took.witnesses, took.index)
	r, err := s.receipt(ctx, took.index, w)
	a.Receipt = &r
	return a, err
}

// enter adds signatures to a change and, if it is complete and has waited, makes
// it the policy in force.
func (s *Server) enter(ctx context.Context, q *PolicyRequest, next *policy.Policy, signatures []*approval.Signature, entry *audit.Entry) (*PolicyAnswer, *took, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	current := s.inForce.Load()
	var old *policy.Policy
	switch {
	case current != nil:
		old = current.policy
	case next.Hash() != s.first.Hash():
		return nil, nil, refuse(CodePolicy, "the broker was started to wait for the policy %s, and this is %s", s.first.Hash(), next.Hash())
	}
	change, err := policy.Compare(old, next)
	if err != nil {
		return nil, nil, refuse(CodePolicy, "%w", err)
	}
	a := &PolicyAnswer{Hash: next.Hash(), Version: next.Version, Statement: string(change.Statement())}
	record, err := s.collect(ctx, q.Policy, change, signatures, a, entry)
	if err != nil || !a.complete() {
		return a, nil, err
	}
	a.Until = record.Complete.Add(change.Waits())
	if s.clock.Now().Before(a.Until) {
		return a, nil, nil
	}
	took, err := s.apply(ctx, old, next, record, entry)
	a.Applied = err == nil
	return a, took, err
}

// took is a change that took effect.
type took struct {
	index     int64        // of its line in the log
	witnesses audit.Quorum // nil if they are those of before
}

func (a *PolicyAnswer) complete() bool { return len(a.Missing) == 0 }

// collect stores the signatures that count.
func (s *Server) collect(ctx context.Context, text string, change *policy.Change, signatures []*approval.Signature, a *PolicyAnswer, entry *audit.Entry) (*policyRecord, error) {
	// Before the transaction, which others wait for.
	statement := change.Statement()
	for _, sig := range signatures {
		if !concerns(change, sig.Key()) {
			return nil, refuse(CodeForbidden, "the key %s signed, which is no owner's, neither before the change nor after it", sig.Key().Fingerprint())
		}
		if err := sig.Verify(approval.ForPolicy, statement); err != nil {
			return nil, refuse(CodeForbidden, "%w", err)
		}
	}
	record := &policyRecord{Hash: a.Hash, Version: a.Version, Text: text}
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		known, err := getJSON(tx, bucketPending, a.Hash.String(), record)
		if err != nil {
			return err
		}
		froze, err := frozen(tx)
		if err != nil {
			return err
		}
		before := len(record.Signatures)
		for _, sig := range signatures {
			if !slices.ContainsFunc(record.Signatures, func(o *approval.Signature) bool { return o.Key() == sig.Key() }) {
				record.Signatures = append(record.Signatures, sig)
			}
		}
		said := change.Check(record.Signatures, froze)
		a.Approved, a.Missing = listed(said.Approved), said.Missing
		if !known {
			if err := s.makeRoom(tx, change, said, record); err != nil {
				return err
			}
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

// concerns says whether a key is of an owner before or after a change. What
// others sign is not kept: nobody else may fill what is kept for owners.
func concerns(change *policy.Change, key approval.PublicKey) bool {
	return change.Old != nil && change.Old.OwnerOf(key) != "" || change.New.OwnerOf(key) != ""
}

// makeRoom enters a change under the name of the owner who brought it, one of the
// policy in force: who only means to join cannot bring one. Each owner has room
// for a few, and loses the oldest that is not complete to a new one, so that a
// stolen key keeps neither the others nor its owner from changing the policy.
func (s *Server) makeRoom(tx *store.Tx, change *policy.Change, said *policy.Approval, record *policyRecord) error {
	for _, name := range said.Approved {
		if change.Old != nil && change.Old.Owners[name] != nil {
			record.By = name
			break
		}
	}
	if record.By == "" {
		return refuse(CodeForbidden, "no owner has signed the change: %s", strings.Join(said.Missing, "; "))
	}
	record.Proposed = s.clock.Now()
	count, oldest := 0, ""
	var since time.Time
	for hash := range tx.Range(bucketPending, "", "") {
		var r policyRecord
		if _, err := getJSON(tx, bucketPending, hash, &r); err != nil {
			return err
		}
		if r.By != record.By {
			continue
		}
		count++
		if r.Complete.IsZero() && (oldest == "" || r.Proposed.Before(since)) {
			oldest, since = hash, r.Proposed
		}
	}
	switch {
	case count < maxPending:
		return nil
	case oldest == "":
		return refuse(CodeTooMany, "%d changes of the policy by %s are complete and wait already", count, record.By)
	}
	return tx.Delete(bucketPending, oldest)
}

func texts[T ~string](names []T) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return out
}
