package vault

import (
	"errors"
	"fmt"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/shares"
	"cloister/trust/secret"
)

// ErrUnrecovered says that the root key of a restored store is lost and that
// this owner's keys wait for the owner's shares.
var ErrUnrecovered = errors.New("waiting for recovery")

// RecoveryRecord is a copy of an owner's sub-root that only the owner's
// recipients can open. It is part of the store and of every backup: nothing in
// it helps anybody else.
type RecoveryRecord struct {
	Set        shares.Set `json:"set"`
	Created    time.Time  `json:"created"`
	Recipients []string   `json:"recipients"` // age public keys
	// Sealed are the shares, each encrypted to the recipient of the same place.
	Sealed [][]byte `json:"sealed"`
	// Wrapped is the sub-root under the key that was split.
	Wrapped []byte `json:"wrapped"`
}

// Recovery says to whom an owner's recovery shares go.
type Recovery struct {
	Threshold  int
	Recipients []string // age public keys
}

func (v *Vault) recoveryLabel(owner, id, set string) label {
	return label{broker: v.Broker(), purpose: purposeRecovery, owner: owner, id: id + " " + set}
}

// SetRecovery makes a copy of an owner's sub-root for the recipients whom the
// owner named, in place of any before. The caller verified the owner's signature
// over the recipients: nobody else may name them. A threshold of zero removes
// the copy; the owner then depends on the root key alone.
//
// Older copies in backups still open with older shares: who wants them closed
// adds a new owner and seals the data anew.
func (v *Vault) SetRecovery(tx *store.Tx, owner string, r Recovery) (*RecoveryRecord, error) {
	if err := v.ready(tx); err != nil {
		return nil, err
	}
	record, err := v.owner(tx, owner)
	if err != nil {
		return nil, err
	}
	if r.Threshold == 0 && len(r.Recipients) == 0 {
		record.Recovery = nil
		return nil, put(tx, bucketOwners, owner, record)
	}
	subRoot, err := v.subRoot(tx, owner)
	if err != nil {
		return nil, err
	}
	defer subRoot.Zero()
	id, err := newID(v.options.Random)
	if err != nil {
		return nil, err
	}
	set := shares.Set{
		Purpose: shares.Recovery, Broker: v.Broker(), Owner: owner, ID: id,
		Threshold: r.Threshold, Shares: len(r.Recipients),
	}
	key, sealed, err := shares.Split(set, r.Recipients)
	if err != nil {
		return nil, fmt.Errorf("recovery shares of owner %s: %w", owner, err)
	}
	defer key.Zero()
	wrapped, err := wrap(key, v.recoveryLabel(owner, record.ID, id), subRoot)
	if err != nil {
		return nil, err
	}
	record.Recovery = &RecoveryRecord{Set: set, Created: v.now(), Recipients: r.Recipients, Sealed: sealed, Wrapped: wrapped}
	return record.Recovery, put(tx, bucketOwners, owner, record)
}

// Recover opens an owner's sub-root by the owner's shares and puts it under the
// present root key: what an owner does after the root key was lost.
func (v *Vault) Recover(tx *store.Tx, owner string, given []*shares.Share) error {
	record, err := v.owner(tx, owner)
	if err != nil {
		return err
	}
	subRoot, err := v.openRecovery(owner, record, given)
	if err != nil {
		return err
	}
	defer subRoot.Zero()
	if len(record.Wrapped) > 0 {
		present, err := v.subRoot(tx, owner)
		if err != nil {
			return err
		}
		defer present.Zero()
		if !present.Equal(subRoot) {
			return fmt.Errorf("recover owner %s: %w: the shares give another sub-root than the store has", owner, ErrTampered)
		}
	}
	return v.putSubRoot(tx, owner, record, subRoot)
}

func (v *Vault) openRecovery(owner string, record *ownerRecord, given []*shares.Share) (secret.Bytes, error) {
	r := record.Recovery
	if r == nil {
		return secret.Bytes{}, fmt.Errorf("recover owner %s: the owner named no recipients: %w", owner, ErrNotFound)
	}
	for _, s := range given {
		if s.Set != r.Set {
			return secret.Bytes{}, fmt.Errorf("recover owner %s: share %d is of set %s of owner %s, the store's is %s",
				owner, s.Index, s.Set.ID, s.Set.Owner, r.Set.ID)
		}
	}
	key, err := shares.Combine(given)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("recover owner %s: %w", owner, err)
	}
	defer key.Zero()
	subRoot, err := unwrap(key, v.recoveryLabel(owner, record.ID, r.Set.ID), r.Wrapped)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("recover owner %s: %w: a share or the store was changed", owner, shares.ErrShares)
	}
	return subRoot, nil
}
