package vault

import (
	"context"
	"fmt"
	"slices"

	"cloister/trust/broker/store"
)

// rotationRecord is what the store knows of a change of the root key.
//
// After an owner was removed the root key has to change: copies of the store from
// before hold that owner's sub-root under the old one. While it changes, the root
// file holds both, and whoever put back such a copy beside that file would have
// the sub-root wrapped under the new root, which other owners can have handed
// over to a program of theirs. So the store is marked before the file is written,
// and only a store with the mark, in which the owner is no more, is taken over
// to the new root.
type rotationRecord struct {
	Format int `json:"format"`
	// Due says that an owner was removed since the last change began.
	Due bool `json:"due,omitempty"`
	// Marks are those of changes that were begun; several, if the root file of
	// one could not be written.
	Marks []string `json:"marks,omitempty"`
}

const keyRotation = "rotation"

// mostMarks is how many changes may fail before one has to succeed.
const mostMarks = 64

func rotation(tx *store.Tx) (*rotationRecord, error) {
	r := &rotationRecord{Format: format}
	if _, err := get(tx, bucketVault, keyRotation, r); err != nil {
		return nil, err
	}
	if r.Format != format {
		return nil, fmt.Errorf("change of the root key: format %d is not known to this version", r.Format)
	}
	return r, nil
}

func (r *rotationRecord) put(tx *store.Tx) error {
	if !r.Due && len(r.Marks) == 0 {
		return tx.Delete(bucketVault, keyRotation)
	}
	return put(tx, bucketVault, keyRotation, r)
}

// mark marks the store as one that is taken over to the next root.
func (v *Vault) mark(ctx context.Context, st *store.Store) (string, error) {
	mark, err := newID(v.options.Random)
	if err != nil {
		return "", err
	}
	return mark, st.Update(ctx, func(tx *store.Tx) error {
		r, err := rotation(tx)
		if err != nil {
			return err
		}
		if len(r.Marks) >= mostMarks {
			return fmt.Errorf("the root key could not be changed %d times: start the broker again", len(r.Marks))
		}
		r.Due, r.Marks = false, append(r.Marks, mark)
		return r.put(tx)
	})
}

// admit refuses a store from before the change of the root key began, and
// otherwise takes its marks away.
func (v *Vault) admit(tx *store.Tx, root *Root) error {
	var id identity
	if _, err := get(tx, bucketVault, keyIdentity, &id); err != nil {
		return err
	}
	r, err := rotation(tx)
	if err != nil {
		return err
	}
	if id.Root != root.file.ID && !slices.Contains(r.Marks, root.file.Previous.Mark) {
		return fmt.Errorf("the store is older than the root file, which replaces the root key: %w", ErrTampered)
	}
	r.Marks = nil
	return r.put(tx)
}
