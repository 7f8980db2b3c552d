package vault

import (
	"context"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/secret"
)

// HandOver is the decision that an upgraded broker gets the root key, which is
// sealed to the old one's measurement.
//
// The caller, which is the old broker, has checked before: that every owner
// signed a policy that names the new broker's reference values; that evidence of
// the new broker verifies and meets them, debug and TCB rules included; that its
// report data bind Nonce, which the caller drew for this one hand-over, and
// RecipientKey. The vault checks that all owners are among Approved and that the
// decision is fresh, and binds all of it to what it encrypts: the new broker only
// opens what was decided about itself.
type HandOver struct {
	Broker string
	// Policy is the hash of the policy that names the new reference values.
	Policy [32]byte
	// Measurement is the new broker's, as its evidence has it.
	Measurement []byte
	Nonce       [32]byte
	// RecipientKey is the new broker's HPKE public key (the suite of WrapKey).
	RecipientKey []byte
	// Approved are the owners whose signatures over Policy were verified.
	Approved []string
	Expires  time.Time
}

const handOverLongest = time.Hour

func (d *HandOver) info(root string) []byte {
	approved := slices.Sorted(slices.Values(d.Approved))
	return canonical("cloister.vault.hand-over.v1", d.Broker, root, string(d.Policy[:]), string(d.Measurement), string(d.Nonce[:]),
		string(d.RecipientKey), string(canonical(approved...)), string(binary.BigEndian.AppendUint64(nil, uint64(d.Expires.Unix()))))
}

func (d *HandOver) check(broker string, now time.Time) error {
	switch {
	case d.Broker != broker:
		return fmt.Errorf("hand over the root key: the decision is about broker %.80q, not %.80q", d.Broker, broker)
	case d.Policy == [32]byte{} || d.Nonce == [32]byte{} || len(d.Measurement) == 0 || len(d.RecipientKey) == 0:
		return errors.New("hand over the root key: the decision lacks policy, nonce, measurement or key")
	case !now.Before(d.Expires) || d.Expires.Sub(now) > handOverLongest:
		return fmt.Errorf("hand over the root key: the decision is valid until %s: it must be in the future and within %s", d.Expires.UTC(), handOverLongest)
	}
	return nil
}

// HandOverRoot encrypts the root key and the store's key to the new broker.
func (v *Vault) HandOverRoot(tx *store.Tx, d HandOver) ([]byte, error) {
	if err := v.ready(tx); err != nil {
		return nil, err
	}
	if err := d.check(v.broker, v.options.Now()); err != nil {
		return nil, err
	}
	switch due, err := rotation(tx); {
	case err != nil:
		return nil, err
	case due.Due || len(due.Marks) > 0:
		return nil, errors.New("hand over the root key: it opens what a removed owner had in older copies of the store: it has to be changed first")
	}
	owners, err := v.active(tx)
	if err != nil {
		return nil, err
	}
	for _, owner := range owners {
		if !slices.Contains(d.Approved, owner) {
			return nil, fmt.Errorf("hand over the root key: owner %s has not signed the new reference values", owner)
		}
	}
	if len(owners) == 0 {
		return nil, errors.New("hand over the root key: there are no owners who could have signed the new reference values")
	}
	kem, kdf, aead := suite()
	to, err := kem.NewPublicKey(d.RecipientKey)
	if err != nil {
		return nil, fmt.Errorf("hand over the root key: the new broker's key: %w", err)
	}
	root := v.current()
	if !root.previous.Empty() {
		return nil, errors.New("hand over the root key: it is being changed: try again")
	}
	both := secret.New(2 * rootSize)
	defer both.Zero()
	err = v.rootKey(root.file.ID, func(key secret.Bytes) error {
		storeKey, err := unwrap(key, root.storeKeyLabel(), root.file.StoreKey)
		if err != nil {
			return err
		}
		defer storeKey.Zero()
		copy(both.Expose(), key.Expose())
		copy(both.Expose()[rootSize:], storeKey.Expose())
		return nil
	})
	if err != nil {
		return nil, err
	}
	sealed, err := hpke.Seal(to, kdf, aead, d.info(root.file.ID), both.Expose())
	if err != nil {
		return nil, err
	}
	return append([]byte(root.file.ID), sealed...), nil
}

// AcceptRoot is the new broker's part: it opens what HandOverRoot encrypted, by
// the private key that its evidence bound, and seals it with its own protector
// into its own root file. It appraised the old broker before, and holds the
// policy whose hash the decision names.
func AcceptRoot(ctx context.Context, private hpke.PrivateKey, d HandOver, sealed []byte, o RootOptions) (*Root, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := d.check(o.Broker, o.Now()); err != nil {
		return nil, err
	}
	if len(sealed) <= 32 || len(sealed) > 32+maxHPKE+2*rootSize {
		return nil, fmt.Errorf("accept the root key: %d bytes are none", len(sealed))
	}
	id := string(sealed[:32])
	_, kdf, aead := suite()
	plain, err := hpke.Open(private, kdf, aead, d.info(id), sealed[32:])
	if err != nil {
		return nil, fmt.Errorf("accept the root key: it does not open: it was changed, or the decision was about another broker: %w", protector.ErrSealed)
	}
	both := secret.Take(plain)
	defer both.Zero()
	if both.Len() != 2*rootSize {
		return nil, fmt.Errorf("accept the root key: %d bytes are none", both.Len())
	}
	return adoptRoot(ctx, o, id, secret.Copy(both.Expose()[:rootSize]), secret.Copy(both.Expose()[rootSize:]))
}
