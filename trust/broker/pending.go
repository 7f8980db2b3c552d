package broker

import (
	"net/http"
	"slices"
	"time"

	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
)

// PendingPolicy is a version of the policy that waits: for signatures, or for
// its delay.
type PendingPolicy struct {
	Hash      policy.Hash   `json:"hash"`
	Version   uint64        `json:"version"`
	Text      string        `json:"text"`
	Statement string        `json:"statement"` // what owners sign
	Approved  []policy.Name `json:"approved"`
	Missing   []string      `json:"missing,omitempty"`
	// Until is when a complete change takes effect.
	Until time.Time `json:"until,omitzero"`
}

// PendingAnswer lists what waits.
type PendingAnswer struct {
	Pending []PendingPolicy `json:"pending"`
}

func (s *Server) handlePending(w http.ResponseWriter, r *http.Request) {
	a := &PendingAnswer{Pending: []PendingPolicy{}}
	var old *policy.Policy
	if p := s.inForce.Load(); p != nil {
		old = p.policy
	}
	err := s.store.View(func(tx *store.Tx) error {
		froze, err := frozen(tx)
		if err != nil {
			return err
		}
		for hash := range tx.Range(bucketPending, "", "") {
			var record policyRecord
			if _, err := getJSON(tx, bucketPending, hash, &record); err != nil {
				return err
			}
			one, err := record.pending(old, froze)
			if err != nil {
				return err
			}
			if one != nil {
				a.Pending = append(a.Pending, *one)
			}
		}
		return nil
	})
	slices.SortFunc(a.Pending, func(x, y PendingPolicy) int { return slices.Compare(x.Hash[:], y.Hash[:]) })
	s.answerOr(w, r, "policy", a, err)
}

// pending is what is still missing, or nil if the policy changed meanwhile, so
// that this version follows none.
func (r *policyRecord) pending(old *policy.Policy, froze []policy.Name) (*PendingPolicy, error) {
	next, err := policy.Parse("a policy that waits, in the store", []byte(r.Text))
	if err != nil {
		return nil, err
	}
	change, err := policy.Compare(old, next)
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // it follows another version
	}
	said := change.Check(r.Signatures, froze)
	one := &PendingPolicy{
		Hash: r.Hash, Version: r.Version, Text: r.Text, Statement: string(change.Statement()),
		Approved: listed(said.Approved), Missing: said.Missing,
	}
	if said.Complete() && !r.Complete.IsZero() {
		one.Until = r.Complete.Add(change.Waits())
	}
	return one, nil
}
