// Package vault keeps the keys that owners entrust to a broker.
//
// A root key, which a protector keeps, wraps a sub-root for each owner and the
// broker's own secrets; an owner's sub-root wraps the keys of that owner's data
// sets, one for each version. Wrapping is AES-256-GCM under a key that HKDF
// derives for each purpose, and binds broker, purpose, owner, data set, version
// and key id, so that no wrapped key can stand in for another.
//
// # What opens what
//
// Whoever has the root key and the store has everything: so the root is sealed
// to the program's measurement, or takes a secret of every owner, or is in the
// hands of an operator whom all owners trust (docs: a broker outside a TEE).
// Owners never hold shares of the root that could be joined without one of them,
// and what leaves for recovery is, for each owner, a copy of that owner's
// sub-root alone, under a key that is split among recipients whom this owner
// named. So other owners, all together, with the store and any backup, have
// nothing that opens this owner's keys.
//
// # Transactions
//
// Methods work in a transaction of the caller's, so that a release, its line in
// the audit log and a count of runs are one. The vault itself decides nothing
// about who may have a key.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/secret"
)

var (
	// ErrNotFound is in the chain of errors about owners, keys and versions that
	// never were.
	ErrNotFound = errors.New("not found")
	// ErrDestroyed is in the chain of errors about keys that are no more.
	ErrDestroyed = errors.New("destroyed")
	// ErrExists is in the chain of errors about what is there already, and other.
	ErrExists = errors.New("exists already")
	// ErrRestored says that the broker was restored from a backup and that not
	// all owners have confirmed the last checkpoint they saw.
	ErrRestored = errors.New("locked after a restore until the owners confirm")
	// ErrRotated says that the root key was changed while a transaction ran.
	ErrRotated = errors.New("the root key was changed meanwhile: try again")
)

// Options of a vault.
type Options struct {
	Now func() time.Time
	// Random makes keys; nil is crypto/rand.
	Random io.Reader
}

// Vault is the keys in a store, with the root key that opens them. It is safe
// for concurrent use.
type Vault struct {
	options Options
	broker  string

	rotation sync.Mutex // one at a time

	mu   sync.RWMutex // of the root
	root *Root
}

// identity says which root key the records are wrapped under.
type identity struct {
	Format int    `json:"format"`
	Broker string `json:"broker"`
	Root   string `json:"root"`
}

const keyIdentity = "identity"

// Open opens the vault in a store, or makes it in an empty one, and ends a
// rotation of the root key that was interrupted.
func Open(ctx context.Context, st *store.Store, root *Root, o Options) (*Vault, error) {
	if o.Now == nil {
		return nil, errors.New("the vault needs a clock")
	}
	v := &Vault{options: o, broker: root.Broker(), root: root}
	var id identity
	known := false
	err := st.View(func(tx *store.Tx) (err error) {
		known, err = get(tx, bucketVault, keyIdentity, &id)
		return err
	})
	// A vault that is there is opened without a change, so that a store can be
	// looked into that is open for reading alone.
	if err == nil && !known {
		err = v.begin(ctx, st, &id)
	}
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	if err := st.View(v.whole); err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	switch p := root.file.Previous; {
	case id.Format != format:
		return nil, fmt.Errorf("open vault: format %d is not known to this version", id.Format)
	case id.Broker != root.Broker():
		return nil, fmt.Errorf("open vault: the store is of broker %.80q, the root key of %.80q", id.Broker, root.Broker())
	case p != nil && (id.Root == p.ID || id.Root == root.ID()):
		if err := v.finishRotation(ctx, st); err != nil {
			return nil, fmt.Errorf("open vault: %w", err)
		}
	case id.Root != root.ID():
		return nil, fmt.Errorf("open vault: the store's keys are under another root key: root file and store are of different times: %w", ErrTampered)
	}
	return v, nil
}

// begin makes the vault in an empty store.
func (v *Vault) begin(ctx context.Context, st *store.Store, id *identity) error {
	return st.Update(ctx, func(tx *store.Tx) error {
		if known, err := get(tx, bucketVault, keyIdentity, id); err != nil || known {
			return err
		}
		if err := v.whole(tx); err != nil {
			return err
		}
		if len(tx.Buckets()) != 0 {
			return errors.New("the store holds records but no vault: it is damaged, or another program's")
		}
		*id = identity{Format: format, Broker: v.root.Broker(), Root: v.root.ID()}
		return put(tx, bucketVault, keyIdentity, id)
	})
}

// Broker is the broker's id.
func (v *Vault) Broker() string { return v.broker }

// Close forgets the root key.
func (v *Vault) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.root.Zero()
}

// whole refuses a store that a restore did not fill to the end.
func (v *Vault) whole(tx *store.Tx) error {
	state, err := v.Restored(tx)
	if err != nil {
		return err
	}
	if state != nil && !state.Complete {
		return fmt.Errorf("a restore into this store did not end, or the backup was forged: remove the store and restore again: %w", ErrRestored)
	}
	return nil
}

// ready is asked before anything is opened or made.
func (v *Vault) ready(tx *store.Tx) error {
	state, err := v.Restored(tx)
	if err != nil {
		return err
	}
	if state != nil && !state.Open() {
		return fmt.Errorf("the broker is %w: waiting for %v", ErrRestored, state.Waiting())
	}
	return nil
}

// rootKey calls use with the root key that a record is wrapped under.
func (v *Vault) rootKey(id string, use func(secret.Bytes) error) error {
	v.mu.RLock()
	defer v.mu.RUnlock()
	switch p := v.root.file.Previous; {
	case v.root.key.Empty():
		return errors.New("the vault is closed")
	case id == v.root.file.ID:
		return use(v.root.key)
	case p != nil && id == p.ID:
		return use(v.root.previous)
	}
	return ErrRotated
}

// wrapRoot wraps a key under the root, and returns the root's id.
func (v *Vault) wrapRoot(l label, key secret.Bytes) (wrapped []byte, root string, err error) {
	root = v.current().file.ID
	err = v.rootKey(root, func(kek secret.Bytes) error {
		wrapped, err = wrap(kek, l, key)
		return err
	})
	return wrapped, root, err
}

func (v *Vault) unwrapRoot(root string, l label, wrapped []byte) (key secret.Bytes, err error) {
	err = v.rootKey(root, func(kek secret.Bytes) error {
		key, err = unwrap(kek, l, wrapped)
		return err
	})
	return key, err
}

func (v *Vault) now() time.Time { return v.options.Now().UTC().Truncate(time.Second) }
