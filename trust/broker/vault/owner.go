package vault

import (
	"fmt"
	"slices"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/secret"
)

// ownerRecord is an owner's sub-root.
type ownerRecord struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"` // of the sub-root
	Created time.Time `json:"created"`
	Root    string    `json:"root,omitempty"`    // wraps it
	Wrapped []byte    `json:"wrapped,omitempty"` // absent once destroyed
	// Destroyed is when the owner was removed.
	Destroyed time.Time       `json:"destroyed,omitzero"`
	Recovery  *RecoveryRecord `json:"recovery,omitempty"`
}

// OwnerInfo is what is known of an owner's keys.
type OwnerInfo struct {
	Name      string          `json:"name"`
	ID        string          `json:"id"`
	Created   time.Time       `json:"created"`
	Destroyed time.Time       `json:"destroyed,omitzero"`
	Recovery  *RecoveryRecord `json:"recovery,omitempty"`
}

func (v *Vault) subRootLabel(owner, id string) label {
	return label{broker: v.Broker(), purpose: purposeSubRoot, owner: owner, id: id}
}

// AddOwner makes an owner's sub-root. A removed owner who comes back gets
// another one, which does not open what was before.
func (v *Vault) AddOwner(tx *store.Tx, owner string) error {
	if err := v.ready(tx); err != nil {
		return err
	}
	if err := checkName("owner", owner); err != nil {
		return err
	}
	var old ownerRecord
	switch known, err := get(tx, bucketOwners, owner, &old); {
	case err != nil:
		return err
	case known && old.Destroyed.IsZero():
		return fmt.Errorf("owner %s: %w", owner, ErrExists)
	}
	id, err := newID(v.options.Random)
	if err != nil {
		return err
	}
	subRoot, err := secret.Random(v.options.Random, rootSize)
	if err != nil {
		return err
	}
	defer subRoot.Zero()
	return v.putSubRoot(tx, owner, &ownerRecord{Format: format, ID: id, Created: v.now()}, subRoot)
}

func (v *Vault) putSubRoot(tx *store.Tx, owner string, r *ownerRecord, subRoot secret.Bytes) (err error) {
	if r.Wrapped, r.Root, err = v.wrapRoot(v.subRootLabel(owner, r.ID), subRoot); err != nil {
		return err
	}
	return put(tx, bucketOwners, owner, r)
}

// owner returns the record of an owner who is there.
func (v *Vault) owner(tx *store.Tx, owner string) (*ownerRecord, error) {
	if err := checkName("owner", owner); err != nil {
		return nil, err
	}
	var r ownerRecord
	switch known, err := get(tx, bucketOwners, owner, &r); {
	case err != nil:
		return nil, err
	case !known:
		return nil, fmt.Errorf("owner %s: %w", owner, ErrNotFound)
	case !r.Destroyed.IsZero():
		return nil, fmt.Errorf("keys of owner %s: %w on %s", owner, ErrDestroyed, r.Destroyed.Format(time.DateOnly))
	case r.Format != format:
		return nil, fmt.Errorf("owner %s: format %d is not known to this version", owner, r.Format)
	}
	return &r, nil
}

// subRoot opens an owner's sub-root. The caller zeroes it.
func (v *Vault) subRoot(tx *store.Tx, owner string) (secret.Bytes, error) {
	r, err := v.owner(tx, owner)
	if err != nil {
		return secret.Bytes{}, err
	}
	if len(r.Wrapped) == 0 {
		return secret.Bytes{}, fmt.Errorf("keys of owner %s: %w: recover them with the owner's shares", owner, ErrUnrecovered)
	}
	return v.unwrapRoot(r.Root, v.subRootLabel(owner, r.ID), r.Wrapped)
}

// RemoveOwner destroys an owner's sub-root and every wrapped key under it. What
// is left says that they were. The store keeps the old records in its journals
// until it is compacted, which the caller does after the transaction, and then
// changes the root key (RotateRoot): a copy of the store's files made before
// can only be opened with the old root. Until then the root key is not handed
// over.
func (v *Vault) RemoveOwner(tx *store.Tx, owner string) error {
	r, err := v.owner(tx, owner)
	if err != nil {
		return err
	}
	now := v.now()
	var refs []Ref
	for key := range tx.Prefix(bucketKeys, owner+"/") {
		ref, err := parseRef(key)
		if err != nil {
			return err
		}
		refs = append(refs, ref)
	}
	for _, ref := range refs {
		if err := v.destroy(tx, ref, now); err != nil {
			return err
		}
		// Its MAC was under the sub-root. The audit log still tells the history.
		if err := tx.Delete(bucketRegister, ref.String()); err != nil {
			return err
		}
	}
	// An owner who is no more need not confirm a restore: what could be released
	// twice is destroyed.
	if state, err := v.Restored(tx); err != nil {
		return err
	} else if state != nil {
		state.Owners = slices.DeleteFunc(state.Owners, func(o string) bool { return o == owner })
		if err := put(tx, bucketVault, keyRestored, state); err != nil {
			return err
		}
	}
	due, err := rotation(tx)
	if err != nil {
		return err
	}
	due.Due = true
	if err := due.put(tx); err != nil {
		return err
	}
	r.Wrapped, r.Root, r.Recovery, r.Destroyed = nil, "", nil, now
	return put(tx, bucketOwners, owner, r)
}

// Owners returns all owners that ever were, by name.
func (v *Vault) Owners(tx *store.Tx) ([]OwnerInfo, error) {
	var all []OwnerInfo
	for name, value := range tx.Prefix(bucketOwners, "") {
		var r ownerRecord
		if err := decodeRecord(bucketOwners, name, value, &r); err != nil {
			return nil, err
		}
		all = append(all, OwnerInfo{Name: name, ID: r.ID, Created: r.Created, Destroyed: r.Destroyed, Recovery: r.Recovery})
	}
	return all, nil
}

// active returns the names of the owners who are there.
func (v *Vault) active(tx *store.Tx) ([]string, error) {
	all, err := v.Owners(tx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range all {
		if o.Destroyed.IsZero() {
			names = append(names, o.Name)
		}
	}
	return names, nil
}
