package broker

import (
	"encoding/json"
	"fmt"

	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/secret"
)

func (w Want) ref() vault.Ref { return vault.Ref{Owner: w.Owner, DataSet: w.Name, Version: w.Version} }

// openItems opens what was granted. The caller zeroes it, after an error as
// well.
func (s *Server) openItems(tx *store.Tx, wants []Want) ([]opened, error) {
	var items []opened
	for _, w := range wants {
		one, err := s.openItem(tx, w)
		if err != nil {
			return items, err
		}
		items = append(items, one)
	}
	return items, nil
}

func (s *Server) openItem(tx *store.Tx, w Want) (opened, error) {
	if w.Version == 0 {
		next, err := s.vault.NextVersion(tx, w.Owner, w.Name)
		if err != nil {
			return opened{}, err
		}
		if w.Version = next - 1; w.Version == 0 {
			return opened{}, fmt.Errorf("%s: %w", w, vault.ErrNotFound)
		}
	}
	key, info, entries, err := s.openKey(tx, w)
	if err != nil {
		return opened{}, err
	}
	o := opened{Item: Item{Kind: w.Kind, Owner: w.Owner, Name: w.Name, Version: w.Version, ID: info.ID, Use: string(info.Use)}, key: key, mark: s.vault.Mark(tx, w.ref())}
	// A name is a data set or a secret, and the policy's word about one is none
	// about the other.
	if (info.Use == vault.Opaque) != (w.Kind == Secret) {
		key.Zero()
		return opened{}, refuse(CodeNotFound, "%s: what is there is of use %s", w, info.Use)
	}
	if w.Kind == Secret {
		return o, nil
	}
	for _, e := range entries {
		o.Newest = e.Version
		if e.Version == w.Version {
			o.Digest, o.Terms = e.Digest, e.Terms
		}
	}
	return o, nil
}

func (s *Server) openKey(tx *store.Tx, w Want) (key secret.Bytes, info vault.KeyInfo, entries []vault.Entry, err error) {
	if w.Kind == Secret {
		key, info, err = s.vault.Key(tx, w.ref())
		return key, info, nil, err
	}
	return s.vault.KeyAndRegister(tx, w.ref())
}

// termsOf returns the terms of use that a program must enforce, or nil if the
// version is not registered.
func (s *Server) termsOf(tx *store.Tx, ref vault.Ref) ([]policy.Name, error) {
	value, ok := tx.Get(bucketTerms, ref.String())
	if !ok {
		return nil, nil
	}
	terms := []policy.Name{}
	if err := json.Unmarshal(value, &terms); err != nil {
		return nil, fmt.Errorf("terms of %s in the store: %w", ref, err)
	}
	return terms, nil
}
