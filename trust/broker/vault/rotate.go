package vault

import (
	"context"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/secret"
)

// RotateRoot replaces the root key. Owners' sub-roots and the broker's own
// secrets are wrapped anew; owners' keys stay as they are. It can be killed at
// any moment: the root file keeps the old root until the store is done, and Open
// goes on from there.
//
// After an owner was removed it makes copies of the old store useless for
// everyone who does not also have a copy of the old root file and what opens it.
func (v *Vault) RotateRoot(ctx context.Context, st *store.Store) error {
	v.rotation.Lock()
	defer v.rotation.Unlock()
	if !v.current().previous.Empty() {
		if err := v.finishRotation(ctx, st); err != nil {
			return err
		}
	}
	mark, err := v.mark(ctx, st)
	if err != nil {
		return err
	}
	next, err := v.nextRoot(ctx, mark)
	if err != nil {
		return err
	}
	v.mu.Lock()
	old := v.root
	v.root = next
	v.mu.Unlock()
	old.key.Zero() // next has a copy
	return v.finishRotation(ctx, st)
}

// Reseal puts the root key under another protector, or under the same one after
// its owners changed.
func (v *Vault) Reseal(ctx context.Context, p protector.Protector) error {
	v.rotation.Lock()
	defer v.rotation.Unlock()
	next := *v.current()
	if err := next.Reseal(ctx, p); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.root = &next
	return nil
}

func (v *Vault) current() *Root {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.root
}

// nextRoot writes a root file with a new key beside the present one.
func (v *Vault) nextRoot(ctx context.Context, mark string) (*Root, error) {
	old := v.current()
	key, err := secret.Random(v.options.Random, rootSize)
	if err != nil {
		return nil, err
	}
	id, err := newID(v.options.Random)
	if err != nil {
		return nil, err
	}
	next := &Root{options: old.options, key: key, previous: old.key.Clone()}
	next.file = rootFile{
		Format: format, Broker: old.file.Broker, ID: id, Created: v.now(),
		Previous: &previousRoot{ID: old.file.ID, Mark: mark},
	}
	storeKey, err := unwrap(old.key, old.storeKeyLabel(), old.file.StoreKey)
	if err == nil {
		next.file.StoreKey, err = wrap(key, next.storeKeyLabel(), storeKey)
		storeKey.Zero()
	}
	if err == nil {
		err = next.seal(ctx, old.options.Protector)
	}
	if err != nil {
		next.Zero()
		return nil, err
	}
	return next, nil
}

// finishRotation wraps under the root what is still under the previous one, and
// forgets that. Until then readers have both.
func (v *Vault) finishRotation(ctx context.Context, st *store.Store) error {
	root := v.current()
	err := st.Update(ctx, func(tx *store.Tx) error {
		if err := v.admit(tx, root); err != nil {
			return err
		}
		if err := v.rewrapOwners(tx, root); err != nil {
			return err
		}
		if err := v.rewrapOwn(tx, root); err != nil {
			return err
		}
		return put(tx, bucketVault, keyIdentity, &identity{Format: format, Broker: v.broker, Root: root.file.ID})
	})
	if err != nil {
		return err
	}
	file := root.file
	file.Previous = nil
	if err := file.write(root.options.Path); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	root.previous.Zero()
	root.file = file
	return nil
}

// rewrap puts under the root what is under the previous one.
func (r *Root) rewrap(under string, l label, wrapped []byte) ([]byte, error) {
	if under == r.file.ID {
		return wrapped, nil
	}
	key, err := unwrap(r.previous, l, wrapped)
	if err != nil {
		return nil, err
	}
	defer key.Zero()
	return wrap(r.key, l, key)
}

func (v *Vault) rewrapOwners(tx *store.Tx, root *Root) error {
	for name, value := range tx.Prefix(bucketOwners, "") {
		var r ownerRecord
		err := decodeRecord(bucketOwners, name, value, &r)
		if err != nil {
			return err
		}
		if len(r.Wrapped) == 0 {
			continue
		}
		if r.Wrapped, err = root.rewrap(r.Root, v.subRootLabel(name, r.ID), r.Wrapped); err != nil {
			return err
		}
		r.Root = root.file.ID
		if err := put(tx, bucketOwners, name, &r); err != nil {
			return err
		}
	}
	return nil
}

func (v *Vault) rewrapOwn(tx *store.Tx, root *Root) error {
	for name, value := range tx.Prefix(bucketOwn, "") {
		var r ownRecord
		err := decodeRecord(bucketOwn, name, value, &r)
		if err != nil {
			return err
		}
		if r.Wrapped, err = root.rewrap(r.Root, v.ownLabel(name), r.Wrapped); err != nil {
			return err
		}
		r.Root = root.file.ID
		if err := put(tx, bucketOwn, name, &r); err != nil {
			return err
		}
	}
	return nil
}
