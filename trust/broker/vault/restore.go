package vault

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"cloister/trust/broker/store"
)

// Verify reads a backup to its end and says whether the broker of this key made
// it. It uses the backup up.
func (b *Backup) Verify(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize {
		return errors.New("verify backup: the broker's public key for backups has 32 bytes")
	}
	for {
		switch r, err := b.next(key); {
		case err != nil:
			return fmt.Errorf("verify backup: %w", err)
		case r == nil:
			return nil
		}
	}
}

// WriteRoot puts the root file of the backup into an empty place, for OpenRoot.
// Where its protector cannot open it here, such as on another machine, the way is
// CreateRoot, Restore and, for each owner, Recover.
func (b *Backup) WriteRoot(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("root file %s is there already", path)
	}
	r, err := parseRoot(b.Header.Root)
	if err != nil {
		return fmt.Errorf("root file of the backup: %w", err)
	}
	return r.file.write(path)
}

// Restore writes a backup into an empty store, which it leaves locked: Open works
// on it, and releases nothing until the owners whom the backup names have
// confirmed. key is the broker's public key for backups, which the owners kept.
// The root is that of the backup, opened here, or a new one. A restore that
// fails, or is killed, leaves a store that is never opened up: remove it.
func (b *Backup) Restore(ctx context.Context, st *store.Store, root *Root, key ed25519.PublicKey, now func() time.Time) error {
	if len(key) != ed25519.PublicKeySize {
		return errors.New("restore: the broker's public key for backups has 32 bytes")
	}
	if root.Broker() != b.Header.Broker {
		return fmt.Errorf("restore: the backup is of broker %.80q, not %.80q", b.Header.Broker, root.Broker())
	}
	state := &RestoredState{
		Format: format, Backup: b.Header.ID, Made: b.Header.Made, Restored: now().UTC().Truncate(time.Second),
		Checkpoint: b.Header.Checkpoint, Owners: b.Header.Owners,
	}
	err := st.Update(ctx, func(tx *store.Tx) error {
		if len(tx.Buckets()) != 0 || len(tx.Logs()) != 0 {
			return errors.New("the store is not empty")
		}
		return put(tx, bucketVault, keyRestored, state)
	})
	for more := true; more && err == nil; {
		err = st.Update(ctx, func(tx *store.Tx) error {
			more, err = b.portion(tx, key)
			return err
		})
	}
	if err == nil {
		err = st.Update(ctx, func(tx *store.Tx) error { return b.adopt(tx, root, state) })
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// portionSize is what one transaction of a restore writes at least, well below
// the store's limit.
const portionSize = 8 << 20

// portion writes some records, and says whether there may be more.
func (b *Backup) portion(tx *store.Tx, key ed25519.PublicKey) (bool, error) {
	for written := 0; written < portionSize; {
		r, err := b.next(key)
		if err != nil || r == nil {
			return false, err
		}
		// The state of an earlier restore gives way to that of this one.
		if !r.log && r.bucket == bucketVault && r.key == keyRestored {
			continue
		}
		if r.log {
			_, err = tx.Append(r.bucket, r.value)
		} else {
			err = tx.Put(r.bucket, r.key, r.value)
		}
		if err != nil {
			return false, err
		}
		written += len(r.bucket) + len(r.key) + len(r.value)
	}
	return true, nil
}

// adopt ends a restore. Under a new root key the owners' sub-roots are gone until
// each is recovered, and the broker's own secrets for good: they are made anew,
// and whoever pinned them is told so.
func (b *Backup) adopt(tx *store.Tx, root *Root, state *RestoredState) error {
	var id identity
	switch known, err := get(tx, bucketVault, keyIdentity, &id); {
	case err != nil:
		return err
	case !known || id.Broker != root.Broker() || id.Format != format:
		return fmt.Errorf("%w: the backup holds no vault of broker %q", ErrTampered, root.Broker())
	}
	p := root.file.Previous
	if id.Root != root.ID() && (p == nil || p.ID != id.Root) {
		if err := adoptNew(tx, root, &id); err != nil {
			return err
		}
	}
	state.Complete = true
	return put(tx, bucketVault, keyRestored, state)
}

func adoptNew(tx *store.Tx, root *Root, id *identity) error {
	for name, value := range tx.Prefix(bucketOwners, "") {
		var r ownerRecord
		if err := decodeRecord(bucketOwners, name, value, &r); err != nil {
			return err
		}
		r.Wrapped, r.Root = nil, ""
		if err := put(tx, bucketOwners, name, &r); err != nil {
			return err
		}
	}
	var own []string
	for name := range tx.Prefix(bucketOwn, "") {
		own = append(own, name)
	}
	for _, name := range own {
		if err := tx.Delete(bucketOwn, name); err != nil {
			return err
		}
	}
	id.Root = root.ID()
	return put(tx, bucketVault, keyIdentity, id)
}
