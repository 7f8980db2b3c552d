package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"cloister/trust/approval"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/document"
)

// The places of owners' orders.
const (
	PathOrder    = "/v1/order"
	PathFreeze   = "/v1/freeze"
	PathOwners   = "/v1/owners"
	PathDataSets = "/v1/data-sets"
)

// ForOrder is the purpose of signatures of orders, but for those about jobs,
// which are approval.ForJob.
const ForOrder approval.Purpose = "order-v1@cloister"

// Operation is what an owner orders.
type Operation string

// The operations.
const (
	NewKey     Operation = "new-key"     // the broker makes the key of the next version
	BringKey   Operation = "bring-key"   // the owner's own key, as the next version
	DestroyKey Operation = "destroy-key" // of one version
	Register   Operation = "register"    // a version of a data set: digest and terms of use
	ApproveJob Operation = "approve-job"
	RevokeJob  Operation = "revoke-job"
	Recovery   Operation = "recovery" // names the recipients of recovery shares
)

// Order is what an owner has the broker do with what is the owner's. Each
// operation has its own fields; those of others stay empty.
type Order struct {
	Owner policy.Name `json:"owner"`
	// Number grows with each order of the owner, so that none is used twice.
	Number    uint64    `json:"number"`
	Operation Operation `json:"operation"`

	DataSet policy.Name `json:"data_set,omitempty"`
	Version uint64      `json:"version,omitempty"`
	Use     vault.Use   `json:"use,omitempty"`
	Wrapped []byte      `json:"wrapped,omitempty"` // vault.WrapKey

	KeyID  string        `json:"key_id,omitempty"`
	Digest Digest        `json:"digest,omitzero"` // SHA-256 of the sealed bytes
	Terms  []policy.Name `json:"terms,omitempty"` // the terms of use that a program must enforce

	Job     Digest    `json:"job,omitzero"`
	Runs    uint64    `json:"runs,omitempty"`
	Expires time.Time `json:"expires,omitzero"`

	Threshold  int      `json:"threshold,omitempty"`
	Recipients []string `json:"recipients,omitempty"` // age public keys
}

// Purpose is what the order is signed for.
func (o *Order) Purpose() approval.Purpose {
	if o.Operation == ApproveJob || o.Operation == RevokeJob {
		return approval.ForJob
	}
	return ForOrder
}

// Statement is what is signed, in printable ASCII: the purpose, the broker and
// its first policy, and every field that the operation has.
func (o *Order) Statement(broker string, firstPolicy Digest) []byte {
	var b bytes.Buffer
	text := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, document.Quote(value))
		}
	}
	number := func(name string, value uint64) {
		if value != 0 {
			fmt.Fprintf(&b, "%s: %d\n", name, value)
		}
	}
	hash := func(name string, value Digest) {
		if !value.IsZero() {
			fmt.Fprintf(&b, "%s: sha256:%s\n", name, value)
		}
	}
	b.WriteString("cloister owner order\n")
	text("purpose", string(o.Purpose()))
	text("broker", broker)
	hash("first policy", firstPolicy)
	text("owner", string(o.Owner))
	number("number", o.Number)
	text("operation", string(o.Operation))
	text("data set", string(o.DataSet))
	number("version", o.Version)
	text("use", string(o.Use))
	if len(o.Wrapped) > 0 {
		hash("wrapped key", sha256.Sum256(o.Wrapped))
	}
	text("key id", o.KeyID)
	hash("digest", o.Digest)
	for _, t := range o.Terms {
		text("terms", string(t))
	}
	hash("job", o.Job)
	number("runs", o.Runs)
	if !o.Expires.IsZero() {
		text("expires", o.Expires.UTC().Format(time.RFC3339))
	}
	number("threshold", uint64(max(o.Threshold, 0)))
	for _, r := range o.Recipients {
		text("recipient", r)
	}
	return b.Bytes()
}

// TermsHash is the hash of terms of use in the register.
func TermsHash(terms []policy.Name) Digest {
	parts := [][]byte{[]byte("cloister.terms.v1")}
	for _, t := range terms {
		parts = append(parts, []byte(t))
	}
	return sha256.Sum256(canonical(parts...))
}

// check checks that exactly the fields of the operation are set.
func (o *Order) check() error {
	set := map[string]bool{
		"data_set": o.DataSet != "", "version": o.Version != 0, "use": o.Use != "", "wrapped": len(o.Wrapped) > 0,
		"key_id": o.KeyID != "", "digest": !o.Digest.IsZero(), "terms": len(o.Terms) > 0, "job": !o.Job.IsZero(),
		"runs": o.Runs != 0, "expires": !o.Expires.IsZero(), "threshold": o.Threshold != 0, "recipients": len(o.Recipients) > 0,
	}
	fields, ok := map[Operation][]string{
		NewKey: {"data_set", "version", "use"}, BringKey: {"data_set", "version", "use", "wrapped"}, DestroyKey: {"data_set", "version"},
		Register: {"data_set", "version", "key_id", "digest"}, ApproveJob: {"job", "runs", "expires"}, RevokeJob: {"job"},
		Recovery: {"threshold", "recipients"},
	}[o.Operation]
	optional := map[Operation]string{Register: "terms"}[o.Operation]
	if !ok {
		return refuse(CodeMalformed, "operation %.40q is not known", o.Operation)
	}
	for name, is := range set {
		if want := slices.Contains(fields, name); want != is && name != optional {
			return refuse(CodeMalformed, "an order of operation %s needs %s and nothing else", o.Operation, strings.Join(fields, ", "))
		}
	}
	if o.Number == 0 || o.Threshold < 0 {
		return refuse(CodeMalformed, "number begins with 1, and threshold is not negative")
	}
	for _, n := range []policy.Name{o.Owner, o.DataSet} {
		if err := new(policy.Name).UnmarshalText([]byte(n)); err != nil && n != "" {
			return refuse(CodeMalformed, "%v", err)
		}
	}
	return nil
}

// OrderRequest hands in an order with as many signatures as the owner needs.
type OrderRequest struct {
	Order      Order    `json:"order"`
	Signatures []string `json:"signatures"`
}

// OrderAnswer says that an order was carried out.
type OrderAnswer struct {
	Request string         `json:"request"`
	Key     *vault.KeyInfo `json:"key,omitempty"`
	Receipt Receipt        `json:"receipt"`
}

// FreezeRequest stops all releases of an owner's keys, or allows them again. See
// policy.Freeze.
type FreezeRequest struct {
	Owner      policy.Name `json:"owner"`
	Number     uint64      `json:"number"`
	Thaw       bool        `json:"thaw,omitempty"`
	Signatures []string    `json:"signatures"`
}

func parseSignatures(texts []string) ([]*approval.Signature, error) {
	if len(texts) == 0 || len(texts) > 64 {
		return nil, refuse(CodeMalformed, "%d signatures; there are 1 to 64", len(texts))
	}
	var out []*approval.Signature
	for i, text := range texts {
		sig, err := approval.ParseSignature([]byte(text))
		if err != nil {
			return nil, refuse(CodeMalformed, "signature %d: %v", i+1, err)
		}
		out = append(out, sig)
	}
	return out, nil
}

// carryOut answers a request that changes something in one transaction.
func (s *Server) carryOut(w http.ResponseWriter, r *http.Request, entry *audit.Entry, change func(tx *store.Tx, p *inForce, a *OrderAnswer) error) {
	one := requestOf(r)
	entry.Request, entry.Client = one.id, clientOf(r.RemoteAddr)
	a, err := s.carry(r.Context(), entry, change)
	if err != nil {
		one.logged = true
		if entry.Decision != audit.Granted {
			err = s.logRefusal(r.Context(), entry, err)
		}
		s.refused(w, r, entry.Type, err)
		return
	}
	s.answer(w, http.StatusOK, a)
}

func (s *Server) carry(ctx context.Context, entry *audit.Entry, change func(tx *store.Tx, p *inForce, a *OrderAnswer) error) (*OrderAnswer, error) {
	p := s.inForce.Load()
	if p == nil {
		return nil, refuse(CodePolicy, "no policy is in force: the first one waits for the approval of its owners")
	}
	a := &OrderAnswer{Request: entry.Request}
	var index int64
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		if err := checkCurrent(tx, p); err != nil {
			return err
		}
		if err := change(tx, p, a); err != nil {
			return err
		}
		entry.Decision = audit.Granted
		var err error
		index, err = s.audit.Append(tx, entry)
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

func (s *Server) handleFreeze(w http.ResponseWriter, r *http.Request) {
	var q FreezeRequest
	err := s.readBody(w, r, s.limits.Body, &q)
	var signatures []*approval.Signature
	if err == nil {
		signatures, err = parseSignatures(q.Signatures)
	}
	if err != nil {
		s.refused(w, r, "freeze", err)
		return
	}
	entry := &audit.Entry{Type: "freeze", Subject: fmt.Sprintf("owner %.64q", q.Owner)}
	if q.Thaw {
		entry.Type = "unfreeze"
	}
	s.carryOut(w, r, entry, func(tx *store.Tx, p *inForce, _ *OrderAnswer) error {
		last, err := lastOrder(tx, q.Owner)
		if err != nil {
			return err
		}
		f := &policy.Freeze{Broker: p.policy.Broker, First: p.first, Owner: q.Owner, Number: q.Number, Thaw: q.Thaw}
		if err := p.policy.CheckFreeze(f, p.first, last, signatures); err != nil {
			return refuse(CodeForbidden, "%w", err)
		}
		if err := putJSON(tx, bucketOrders, string(q.Owner), q.Number); err != nil {
			return err
		}
		return putJSON(tx, bucketFrozen, string(q.Owner), &freezeRecord{Frozen: !q.Thaw, Since: s.clock.Now()})
	})
}

func lastOrder(tx *store.Tx, owner policy.Name) (last uint64, err error) {
	_, err = getJSON(tx, bucketOrders, string(owner), &last)
	return last, err
}

func (s *Server) handleOrder(w http.ResponseWriter, r *http.Request) {
	var q OrderRequest
	err := s.readBody(w, r, s.limits.Body, &q)
	var signatures []*approval.Signature
	if err == nil {
		signatures, err = parseSignatures(q.Signatures)
	}
	if err == nil {
		err = q.Order.check()
	}
	if err != nil {
		s.refused(w, r, "order", err)
		return
	}
	o := &q.Order
	entry := &audit.Entry{
		Type: "order." + string(o.Operation), Subject: fmt.Sprintf("owner %s", o.Owner),
		Details: map[string]string{"number": fmt.Sprint(o.Number)},
	}
	if o.DataSet != "" {
		entry.Subject = fmt.Sprintf("data set %s/%s version %d", o.Owner, o.DataSet, o.Version)
	}
	if !o.Job.IsZero() {
		entry.Details["job"] = o.Job.String()
		entry.Details["runs"] = fmt.Sprint(o.Runs)
	}
	s.carryOut(w, r, entry, func(tx *store.Tx, p *inForce, a *OrderAnswer) error {
		if err := s.authentic(tx, p, o, signatures); err != nil {
			return err
		}
		return s.order(tx, p, o, q.Signatures, a)
	})
}

// authentic proves that the owner gave an order, and gave it now.
func (s *Server) authentic(tx *store.Tx, p *inForce, o *Order, signatures []*approval.Signature) error {
	statement := o.Statement(string(p.policy.Broker), Digest(p.first))
	if !p.policy.Signed(o.Owner, o.Purpose(), statement, signatures) {
		return refuse(CodeForbidden, "owner %s did not sign the order with as many keys as it must", o.Owner)
	}
	froze, err := frozen(tx)
	if err != nil {
		return err
	}
	if slices.Contains(froze, o.Owner) {
		return refuse(CodeFrozen, "owner %s said that its keys are not its own alone; its orders count again once it has thawed", o.Owner)
	}
	last, err := lastOrder(tx, o.Owner)
	if err != nil {
		return err
	}
	if o.Number <= last {
		return refuse(CodeConflict, "the order has number %d, and %s has given number %d already", o.Number, o.Owner, last)
	}
	return putJSON(tx, bucketOrders, string(o.Owner), o.Number)
}

// order does what an owner ordered.
func (s *Server) order(tx *store.Tx, p *inForce, o *Order, signatures []string, a *OrderAnswer) error {
	ref := vault.Ref{Owner: string(o.Owner), DataSet: string(o.DataSet), Version: o.Version}
	job := o.Job.String() + "/" + string(o.Owner)
	switch o.Operation {
	case NewKey, BringKey:
		info, err := s.addKey(tx, o, ref)
		a.Key = info
		return err
	case DestroyKey:
		return s.vault.DestroyKey(tx, ref)
	case Register:
		return s.register(tx, o, ref, signatures)
	case ApproveJob:
		if !s.clock.Now().Before(o.Expires) {
			return refuse(CodeMalformed, "the approval has expired")
		}
		return putJSON(tx, bucketJobs, job, &jobRecord{Runs: o.Runs, Expires: o.Expires, Policy: p.hash.String()})
	case RevokeJob:
		if _, ok := tx.Get(bucketJobs, job); !ok {
			return refuse(CodeNotFound, "%s has not approved the job %s", o.Owner, o.Job)
		}
		return tx.Delete(bucketJobs, job)
	case Recovery:
		_, err := s.vault.SetRecovery(tx, string(o.Owner), vault.Recovery{Threshold: o.Threshold, Recipients: o.Recipients})
		return badRequest(err)
	}
	return refuse(CodeMalformed, "operation %.40q is not known", o.Operation)
}

// badRequest marks errors of the vault that are about what it was asked. What
// has a code of its own keeps it.
func badRequest(err error) error {
	if err == nil || classify(err).code != CodeInternal {
		return err
	}
	return refuse(CodeMalformed, "%w", err)
}

func (s *Server) addKey(tx *store.Tx, o *Order, ref vault.Ref) (*vault.KeyInfo, error) {
	next, err := s.vault.NextVersion(tx, ref.Owner, ref.DataSet)
	switch {
	case err != nil:
		return nil, err
	case next != ref.Version:
		return nil, refuse(CodeConflict, "the next version of %s/%s is %d, not %d", ref.Owner, ref.DataSet, next, ref.Version)
	}
	var info vault.KeyInfo
	if o.Operation == NewKey {
		info, err = s.vault.NewKey(tx, ref.Owner, ref.DataSet, o.Use)
	} else {
		info, err = s.vault.BringKey(tx, ref, o.Use, o.Wrapped)
	}
	return &info, badRequest(err)
}

func (s *Server) register(tx *store.Tx, o *Order, ref vault.Ref, signatures []string) error {
	terms := slices.Clone(o.Terms)
	hash := TermsHash(terms)
	err := s.vault.Register(tx, vault.Entry{
		Ref: ref, KeyID: o.KeyID, Digest: o.Digest[:], Terms: hash[:], TermsSignature: []byte(signatures[0]),
	})
	if err != nil {
		return badRequest(err)
	}
	if terms == nil {
		terms = []policy.Name{} // known, and none
	}
	return putJSON(tx, bucketTerms, ref.String(), terms)
}

// OwnerState is what is known of an owner.
type OwnerState struct {
	Owner policy.Name `json:"owner"`
	// Number is that of the last order.
	Number uint64 `json:"number"`
	Frozen bool   `json:"frozen"`
}

// OwnersAnswer are all owners, by name.
type OwnersAnswer struct {
	Owners []OwnerState `json:"owners"`
}

func (s *Server) handleOwners(w http.ResponseWriter, r *http.Request) {
	all := []OwnerState{}
	p := s.inForce.Load()
	err := s.store.View(func(tx *store.Tx) error {
		froze, err := frozen(tx)
		if err != nil || p == nil {
			return err
		}
		for name, owner := range p.policy.Owners {
			number, err := lastOrder(tx, name)
			if err != nil {
				return err
			}
			all = append(all, OwnerState{name, number, owner.Frozen || slices.Contains(froze, name)})
		}
		return nil
	})
	if err != nil {
		s.refused(w, r, "owners", err)
		return
	}
	slices.SortFunc(all, func(a, b OwnerState) int { return strings.Compare(string(a.Owner), string(b.Owner)) })
	s.answer(w, http.StatusOK, &OwnersAnswer{all})
}

// DataSetState is a data set in the register.
type DataSetState struct {
	Next       uint64          `json:"next"` // the next version of a key
	Keys       []vault.KeyInfo `json:"keys"`
	Registered []vault.Entry   `json:"registered"`
}

func (s *Server) handleDataSets(w http.ResponseWriter, r *http.Request) {
	owner, name := r.URL.Query().Get("owner"), r.URL.Query().Get("name")
	var item policy.Item
	if err := item.UnmarshalText([]byte(owner + "/" + name)); err != nil {
		s.refused(w, r, "data-sets", refuse(CodeMalformed, "%v", err))
		return
	}
	a := &DataSetState{}
	err := s.store.View(func(tx *store.Tx) (err error) {
		if a.Next, err = s.vault.NextVersion(tx, owner, name); err != nil {
			return err
		}
		if a.Keys, err = s.vault.Keys(tx, owner, name); err != nil {
			return err
		}
		a.Registered, err = s.vault.Registered(tx, owner, name)
		return err
	})
	if err != nil {
		s.refused(w, r, "data-sets", err)
		return
	}
	a.Keys, a.Registered = listed(a.Keys), listed(a.Registered)
	s.answer(w, http.StatusOK, a)
}

// listed is a list that is never null in JSON.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
