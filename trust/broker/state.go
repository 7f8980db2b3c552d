package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"cloister/trust/approval"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
)

// The broker's buckets of the store.
const (
	bucketPolicy  = "broker.policy"  // current and first; versions by number
	bucketPending = "broker.pending" // changes of the policy that wait, by hash
	bucketFrozen  = "broker.frozen"  // by owner
	bucketOrders  = "broker.orders"  // the number of the last order, by owner
	bucketJobs    = "broker.jobs"    // approvals, by job/owner
	bucketRuns    = "broker.runs"    // counts, by job
	bucketAgain   = "broker.again"   // the last runs, by job/key that asked
	bucketLast    = "broker.last"    // the keys that asked, by job/run
	bucketTerms   = "broker.terms"   // names of the terms of use, by version of a data set
)

const (
	keyCurrent = "current"
	keyFirst   = "first"
)

// policyRecord is a version of the policy in the store.
type policyRecord struct {
	Hash       policy.Hash           `json:"hash"`
	Version    uint64                `json:"version"`
	Text       string                `json:"text"`
	Signatures []*approval.Signature `json:"signatures"`
	Approved   []policy.Name         `json:"approved,omitempty"`
	// By is the owner who brought a change that waits, at the time Proposed.
	By       policy.Name `json:"by,omitempty"`
	Proposed time.Time   `json:"proposed,omitzero"`
	// Complete is when the last signature that is needed came in, Applied when
	// the version took effect.
	Complete time.Time `json:"complete,omitzero"`
	Applied  time.Time `json:"applied,omitzero"`
}

func getJSON(tx *store.Tx, bucket, key string, into any) (bool, error) {
	value, ok := tx.Get(bucket, key)
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(value, into); err != nil {
		return false, fmt.Errorf("record %.100q of %s in the store: %w", key, bucket, err)
	}
	return true, nil
}

func putJSON(tx *store.Tx, bucket, key string, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return tx.Put(bucket, key, value)
}

// readCurrent reads the policy in force, or returns nil if there is none yet.
func (s *Server) readCurrent() (p *inForce, err error) {
	var r policyRecord
	var first policy.Hash
	var known bool
	err = s.store.View(func(tx *store.Tx) (err error) {
		if known, err = getJSON(tx, bucketPolicy, keyCurrent, &r); err != nil || !known {
			return err
		}
		_, err = getJSON(tx, bucketPolicy, keyFirst, &first)
		return err
	})
	if err != nil || !known {
		return nil, err
	}
	return s.force(&r, first)
}

// force makes a stored policy ready to decide.
func (s *Server) force(r *policyRecord, first policy.Hash) (*inForce, error) {
	parsed, err := policy.Parse("the policy in the store", []byte(r.Text))
	if err != nil {
		return nil, err
	}
	p := &inForce{policy: parsed, hash: parsed.Hash(), first: first}
	if p.hash != r.Hash {
		return nil, fmt.Errorf("the policy in the store has the hash %s, and %s took effect", p.hash, r.Hash)
	}
	if p.verifiers, err = s.verify(parsed); err != nil {
		return nil, fmt.Errorf("verifiers of policy version %d: %w", parsed.Version, err)
	}
	return p, nil
}

// checkCurrent makes sure that a transaction decides by the policy that is in
// force in it.
func checkCurrent(tx *store.Tx, p *inForce) error {
	var r policyRecord
	value, known := tx.Get(bucketPolicy, keyCurrent)
	if before := p.record.Load(); known && before != nil && bytes.Equal(*before, value) {
		return nil
	}
	if known {
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("record %q of %s in the store: %w", keyCurrent, bucketPolicy, err)
		}
	}
	if !known || r.Hash != p.hash {
		return refuse(CodeBusy, "the policy changed meanwhile; ask again")
	}
	p.record.Store(&value)
	return nil
}

// freezeRecord is an owner's last order to freeze or to thaw.
type freezeRecord struct {
	Frozen bool      `json:"frozen"`
	Since  time.Time `json:"since"`
}

// frozen returns the owners who froze by an order of their own.
func frozen(tx *store.Tx) ([]policy.Name, error) {
	var names []policy.Name
	for owner, value := range tx.Range(bucketFrozen, "", "") {
		var r freezeRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return nil, fmt.Errorf("record %.100q of %s in the store: %w", owner, bucketFrozen, err)
		}
		if r.Frozen {
			names = append(names, policy.Name(owner))
		}
	}
	return names, nil
}

// jobRecord is an owner's approval of a job.
type jobRecord struct {
	Runs    uint64    `json:"runs"`
	Expires time.Time `json:"expires"`
	Policy  string    `json:"policy"`
}

// approvals are those of a job which count now.
type approvals struct {
	owners []policy.Name
	of     map[policy.Name]uint64
}

// runs is the least number of runs that owners allow, who all approved.
func (a *approvals) runs(owners []policy.Name) uint64 {
	least := uint64(math.MaxUint64)
	for _, o := range owners {
		least = min(least, a.of[o])
	}
	if len(owners) == 0 {
		return 0
	}
	return least
}

// jobApprovals reads the approvals of a job by those who are still owners.
func jobApprovals(tx *store.Tx, p *inForce, job Digest, now time.Time) (*approvals, error) {
	a := &approvals{of: map[policy.Name]uint64{}}
	if job.IsZero() {
		return a, nil
	}
	prefix := job.String() + "/"
	for key, value := range tx.Prefix(bucketJobs, prefix) {
		var r jobRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return nil, fmt.Errorf("record %.100q of %s in the store: %w", key, bucketJobs, err)
		}
		owner := policy.Name(key[len(prefix):])
		if p.policy.Owners[owner] == nil || !now.Before(r.Expires) || r.Runs == 0 {
			continue
		}
		a.owners = append(a.owners, owner)
		a.of[owner] = r.Runs
	}
	return a, nil
}
