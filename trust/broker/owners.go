package broker

import (
	"net/http"
	"slices"
	"strings"

	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// OwnerState is what is known of an owner.
type OwnerState struct {
	Owner policy.Name `json:"owner"`
	// Number is that of the last order.
	Number uint64 `json:"number"`
	Frozen bool   `json:"frozen"`
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

// OwnersAnswer are all owners, by name.
type OwnersAnswer struct {
	Owners []OwnerState `json:"owners"`
}

// DataSetState is a data set in the register. Where no name was asked for, it
// has all keys of an owner, and nothing else.
type DataSetState struct {
	Next       uint64          `json:"next,omitempty"` // the next version of a key
	Keys       []vault.KeyInfo `json:"keys"`
	Registered []vault.Entry   `json:"registered"`
}

func (s *Server) handleDataSets(w http.ResponseWriter, r *http.Request) {
	owner, name := r.URL.Query().Get("owner"), r.URL.Query().Get("name")
	var item policy.Item
	text := owner + "/" + name
	if name == "" {
		text = owner + "/any" // all of an owner's
	}
	if err := item.UnmarshalText([]byte(text)); err != nil {
		s.refused(w, r, "data-sets", refuse(CodeMalformed, "%v", err))
		return
	}
	a := &DataSetState{Keys: []vault.KeyInfo{}, Registered: []vault.Entry{}}
	err := s.store.View(func(tx *store.Tx) (err error) {
		if name == "" {
			a.Keys, err = s.vault.Keys(tx, owner, "")
			return err
		}
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
