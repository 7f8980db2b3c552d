package vault

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/secret"
)

type ownRecord struct {
	Format  int       `json:"format"`
	Created time.Time `json:"created"`
	Root    string    `json:"root"`
	Wrapped []byte    `json:"wrapped"`
}

func (v *Vault) ownLabel(name string) label {
	return label{broker: v.Broker(), purpose: purposeOwn, id: name}
}

// Own opens a secret of the broker itself, such as a signing key. Its error has
// ErrNotFound in its chain where there is none. The caller zeroes it. Own works
// before a restored broker is confirmed: without its keys it could not be asked.
func (v *Vault) Own(tx *store.Tx, name string) (secret.Bytes, error) {
	if err := checkName("secret", name); err != nil {
		return secret.Bytes{}, err
	}
	var r ownRecord
	switch known, err := get(tx, bucketOwn, name, &r); {
	case err != nil:
		return secret.Bytes{}, err
	case !known:
		return secret.Bytes{}, fmt.Errorf("the broker's own secret %s: %w", name, ErrNotFound)
	case r.Format != format:
		return secret.Bytes{}, fmt.Errorf("the broker's own secret %s: format %d is not known to this version", name, r.Format)
	}
	return v.unwrapRoot(r.Root, v.ownLabel(name), r.Wrapped)
}

// SetOwn stores a secret of the broker itself, which stays the caller's.
func (v *Vault) SetOwn(tx *store.Tx, name string, s secret.Bytes) error {
	if err := checkName("secret", name); err != nil {
		return err
	}
	r := ownRecord{Format: format, Created: v.now()}
	var err error
	if r.Wrapped, r.Root, err = v.wrapRoot(v.ownLabel(name), s); err != nil {
		return err
	}
	return put(tx, bucketOwn, name, &r)
}

// DeleteOwn destroys a secret of the broker itself, such as the key of a run's
// checkpoints at the run's end.
func (v *Vault) DeleteOwn(tx *store.Tx, name string) error {
	if err := checkName("secret", name); err != nil {
		return err
	}
	return tx.Delete(bucketOwn, name)
}

// OwnRandom opens a secret of the broker of n random bytes, which it makes at
// first.
func (v *Vault) OwnRandom(tx *store.Tx, name string, n int) (secret.Bytes, error) {
	s, err := v.Own(tx, name)
	if err == nil || !isNotFound(err) {
		if err == nil && s.Len() != n {
			defer s.Zero()
			return secret.Bytes{}, fmt.Errorf("the broker's own secret %s has %d bytes, not %d", name, s.Len(), n)
		}
		return s, err
	}
	if s, err = secret.Random(v.options.Random, n); err != nil {
		return secret.Bytes{}, err
	}
	return s, v.SetOwn(tx, name, s)
}

// OwnSigner returns an Ed25519 key of the broker, which it makes at first: such
// as the key that signs checkpoints, "log".
func (v *Vault) OwnSigner(tx *store.Tx, name string) (ed25519.PrivateKey, error) {
	seed, err := v.OwnRandom(tx, name, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	defer seed.Zero()
	return ed25519.NewKeyFromSeed(seed.Expose()), nil
}
