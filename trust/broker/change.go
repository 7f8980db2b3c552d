package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
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

// apply makes a complete change take effect.
func (s *Server) apply(ctx context.Context, old, next *policy.Policy, record *policyRecord, entry *audit.Entry) (*took, error) {
	verifiers, err := s.verify(next)
	if err != nil {
		return nil, refuse(CodePolicy, "the verifiers that the policy asks for: %w", err)
	}
	t := &took{}
	if t.witnesses, err = s.quorum.prepare(old, next); err != nil {
		return nil, refuse(CodePolicy, "the witnesses that the policy names: %w", err)
	}
	forced := &inForce{policy: next, hash: record.Hash, verifiers: verifiers}
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
		if err := s.revoke(tx, old, next); err != nil {
			return err
		}
		t.index, err = s.audit.Append(tx, &audit.Entry{
			Type: "policy", Request: entry.Request, Client: entry.Client, Subject: fmt.Sprintf("policy version %d", next.Version),
			Decision: audit.Granted, Reason: "approved by " + strings.Join(texts(applied.Approved), ", "),
			Details: map[string]string{"policy": record.Hash.String(), "destroyed": strings.Join(texts(applied.Destroy), ", ")},
		})
		return err
	})
	if err != nil {
		closeQuorum(t.witnesses)
		return nil, err
	}
	s.inForce.Store(forced)
	s.log.InfoContext(ctx, "the policy changed", "version", next.Version, "hash", record.Hash.String(), "entry", t.index)
	s.reseal(ctx)
	s.forget(ctx)
	s.goOver(ctx, t)
	return t, nil
}

// goOver goes over to other witnesses once those of before have signed that there
// are others, whether or not who handed in the change still waits.
func (s *Server) goOver(ctx context.Context, t *took) {
	if t.witnesses == nil {
		return
	}
	s.wg.Go(func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-s.events.done:
				cancel()
			case <-stop:
			}
		}()
		for ctx.Err() == nil {
			if _, err := s.audit.Wait(ctx, t.index); err == nil {
				s.quorum.use(t.witnesses, t.index)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		closeQuorum(t.witnesses)
	})
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

// revoke revokes the certificates that a new policy does not allow: of a name that
// it does not grant any more, or of a program that it describes in another way
// than the one before did. Who still is the program asks for another.
func (s *Server) revoke(tx *store.Tx, old, next *policy.Policy) error {
	if s.issuer == nil {
		return nil
	}
	_, err := s.issuer.Revoke(tx, issuer.ReasonPrivilegeWithdrawn, func(c *issuer.Issued) bool {
		if c.Workload == provisionWorkload {
			return false // the broker's own
		}
		name := policy.Name(c.Workload)
		w := next.Workloads[name]
		if w == nil || old == nil || !sameProgram(old, next, name) {
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

// sameProgram says that all evidence of a workload that an older policy accepted
// is accepted by the next: platforms and programs are described in the same way,
// and no job has gone.
func sameProgram(old, next *policy.Policy, name policy.Name) bool {
	was, is := old.Workloads[name], next.Workloads[name]
	if was == nil || is == nil || was.OwnerApprovedJobs != is.OwnerApprovedJobs ||
		!reflect.DeepEqual(was.Program, is.Program) || !reflect.DeepEqual(old.Platforms, next.Platforms) {
		return false
	}
	for _, job := range was.Jobs {
		if !slices.Contains(is.Jobs, job) {
			return false
		}
	}
	return true
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
	var failed error
	for _, r := range due {
		next, err := policy.Parse("policy version "+strconv.FormatUint(r.Version, 10), []byte(r.Text))
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		change, err := policy.Compare(current.policy, next)
		if err != nil || s.clock.Now().Before(r.Complete.Add(change.Waits())) {
			continue // another version took its place, or it waits
		}
		// The first that is due and holds is the next version; the others follow
		// none. One that does not, since an owner froze, holds up no other.
		_, err = s.apply(ctx, current.policy, next, r, &audit.Entry{})
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}
