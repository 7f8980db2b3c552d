package broker

import (
	"context"
	"fmt"
	"net/http"

	"cloister/trust/approval"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
)

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
	a := &OrderAnswer{Request: requestID(r)}
	s.carryOutAs(w, r, entry, func(tx *store.Tx, p *inForce) error {
		*a = OrderAnswer{Request: a.Request}
		return change(tx, p, a)
	}, func(receipt Receipt) any {
		a.Receipt = receipt
		return a
	})
}

// carryOutAs does so for any form of an answer.
func (s *Server) carryOutAs(w http.ResponseWriter, r *http.Request, entry *audit.Entry, change func(tx *store.Tx, p *inForce) error, answer func(Receipt) any) {
	one := requestOf(r)
	entry.Request, entry.Client = one.id, clientOf(r.RemoteAddr)
	receipt, err := s.carry(r.Context(), entry, change)
	if err != nil {
		one.logged = true
		if entry.Decision != audit.Granted {
			err = s.logRefusal(r.Context(), entry, err)
		}
		s.refused(w, r, entry.Type, err)
		return
	}
	s.answer(w, http.StatusOK, answer(receipt))
}

func (s *Server) carry(ctx context.Context, entry *audit.Entry, change func(tx *store.Tx, p *inForce) error) (Receipt, error) {
	p := s.inForce.Load()
	if p == nil {
		return Receipt{}, refuse(CodePolicy, "no policy is in force: the first one waits for the approval of its owners")
	}
	var index int64
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		if err := checkCurrent(tx, p); err != nil {
			return err
		}
		if err := change(tx, p); err != nil {
			return err
		}
		entry.Decision = audit.Granted
		var err error
		index, err = s.audit.Append(tx, entry)
		return err
	})
	if err != nil {
		entry.Decision = ""
		return Receipt{}, err
	}
	witnessed, err := s.witnessed(ctx, index)
	if err != nil {
		return Receipt{}, err
	}
	return s.receipt(ctx, index, witnessed)
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
	s.carryOut(w, r, q.entry(), func(tx *store.Tx, p *inForce, _ *OrderAnswer) error {
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

// entry is what the log says of it.
func (q *FreezeRequest) entry() *audit.Entry {
	e := &audit.Entry{Type: "freeze", Subject: fmt.Sprintf("owner %.64q", q.Owner), Details: map[string]string{"number": fmt.Sprint(q.Number)}}
	if q.Thaw {
		e.Type = "unfreeze"
	}
	return e
}

func lastOrder(tx *store.Tx, owner policy.Name) (last uint64, err error) {
	_, err = getJSON(tx, bucketOrders, string(owner), &last)
	return last, err
}
