package broker

import (
	"fmt"
	"net/http"
	"slices"

	"cloister/trust/approval"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
)

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
	entry := o.entry()
	a := &OrderAnswer{Request: requestID(r)}
	s.carryOutAs(w, r, entry, func(tx *store.Tx, p *inForce) error {
		*a = OrderAnswer{Request: a.Request}
		if err := s.authentic(tx, p, o, signatures); err != nil {
			return err
		}
		return s.order(tx, p, o, q.Signatures, a)
	}, func(receipt Receipt) any {
		if o.Operation == Unlock {
			s.reseal(r.Context())
			a.Delivery = s.delivered(o.Owner)
		}
		a.Receipt = receipt
		return a
	})
}

// entry is what the log says of an order.
func (o *Order) entry() *audit.Entry {
	e := &audit.Entry{
		Type: "order." + string(o.Operation), Subject: fmt.Sprintf("owner %s", o.Owner),
		Details: map[string]string{"number": fmt.Sprint(o.Number)},
	}
	if o.DataSet != "" {
		e.Subject = fmt.Sprintf("data set %s/%s version %d", o.Owner, o.DataSet, o.Version)
	}
	if !o.Job.IsZero() {
		e.Details["job"] = o.Job.String()
		e.Details["runs"] = fmt.Sprint(o.Runs)
	}
	return e
}

// authentic proves that the owner gave an order, and gave it now.
func (s *Server) authentic(tx *store.Tx, p *inForce, o *Order, signatures []*approval.Signature) error {
	statement := o.Statement(string(p.policy.Broker), Digest(p.first))
	if !p.policy.Signed(o.Owner, o.Purpose(), statement, signatures) {
		return refuse(CodeForbidden, "owner %s did not sign the order with as many keys as it must", o.Owner)
	}
	return s.count(tx, o.Owner, o.Number)
}

// count uses up the number of an order, of an owner who has not frozen.
func (s *Server) count(tx *store.Tx, owner policy.Name, number uint64) error {
	froze, err := frozen(tx)
	if err != nil {
		return err
	}
	if slices.Contains(froze, owner) {
		return refuse(CodeFrozen, "owner %s said that its keys are not its own alone; its orders count again once it has thawed", owner)
	}
	last, err := lastOrder(tx, owner)
	if err != nil {
		return err
	}
	if number <= last {
		return refuse(CodeConflict, "the order has number %d, and %s has given number %d already", number, owner, last)
	}
	return putJSON(tx, bucketOrders, string(owner), number)
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
		tx.OnCommit(s.compact)
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
		record, err := s.vault.SetRecovery(tx, string(o.Owner), vault.Recovery{Threshold: o.Threshold, Recipients: o.Recipients})
		if err != nil {
			return badRequest(err)
		}
		a.Delivery = &protector.Delivery{Set: record.Set, Recipients: record.Recipients, Sealed: record.Sealed}
		return nil
	case Recover:
		return s.recover(tx, o)
	case Unlock:
		return s.nameUnlockers(tx, o)
	case UnlockShares:
		var err error
		a.Delivery, err = s.unlockShares(tx, o.Owner)
		return err
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
	if err := s.sealedFor(tx, o.Owner); err != nil {
		return nil, err
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
