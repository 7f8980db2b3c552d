package vault

import (
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"

	"cloister/trust/broker/store"
	"cloister/trust/secret"
)

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// The HPKE suite (RFC 9180) of keys that are brought in: the hybrid of X25519
// and ML-KEM-768 (draft-ietf-hpke-pq), so that what is recorded today stays
// closed to a quantum computer.
func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.AES256GCM()
}

// ownHPKE names the private key in the broker's own secrets.
const ownHPKE = "hpke"

// maxHPKE is the length of the encapsulated key of the suite with its tag.
const maxHPKE = 1120 + 16

// HPKEKey returns the broker's HPKE private key, which it makes at first. Its
// public key is what the broker's evidence binds, and what owners wrap keys to.
func (v *Vault) HPKEKey(tx *store.Tx) (hpke.PrivateKey, error) {
	kem, _, _ := suite()
	switch s, err := v.Own(tx, ownHPKE); {
	case err == nil:
		defer s.Zero()
		return kem.NewPrivateKey(s.Expose())
	case !isNotFound(err):
		return nil, err
	}
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, err
	}
	text, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	s := secret.Take(text)
	defer s.Zero()
	return key, v.SetOwn(tx, ownHPKE, s)
}

// bringInfo binds a key that is brought in to what it is for, and to the very
// version: the same message a second time is not that of the next version.
func bringInfo(broker string, ref Ref, use Use) []byte {
	version := string(binary.BigEndian.AppendUint64(nil, ref.Version))
	return canonical("cloister.vault.bring.v1", broker, ref.Owner, ref.DataSet, version, string(use))
}

// WrapKey wraps an owner's own key to the HPKE public key of a broker whose
// evidence the owner appraised. ref.Version is the next version, which the
// broker says.
func WrapKey(publicKey []byte, broker string, ref Ref, use Use, key secret.Bytes) ([]byte, error) {
	if err := ref.check(); err != nil {
		return nil, err
	}
	if err := use.check(key.Len()); err != nil {
		return nil, err
	}
	kem, kdf, aead := suite()
	to, err := kem.NewPublicKey(publicKey)
	if err != nil {
		return nil, fmt.Errorf("the broker's public key: %w", err)
	}
	return hpke.Seal(to, kdf, aead, bringInfo(broker, ref, use), key.Expose())
}

// BringKey stores a key that its owner made and wrapped with WrapKey, as the
// next version of a data set. That the owner sent it is for the caller to check.
func (v *Vault) BringKey(tx *store.Tx, ref Ref, use Use, wrapped []byte) (KeyInfo, error) {
	switch next, err := v.NextVersion(tx, ref.Owner, ref.DataSet); {
	case err != nil:
		return KeyInfo{}, err
	case ref.Version != next:
		return KeyInfo{}, fmt.Errorf("data set %s of owner %s: the next version is %d, not %d", ref.DataSet, ref.Owner, next, ref.Version)
	case len(wrapped) > maxHPKE+MaxOpaque:
		return KeyInfo{}, fmt.Errorf("data set %s of owner %s: a wrapped key of %d bytes", ref.DataSet, ref.Owner, len(wrapped))
	}
	private, err := v.HPKEKey(tx)
	if err != nil {
		return KeyInfo{}, err
	}
	_, kdf, aead := suite()
	plain, err := hpke.Open(private, kdf, aead, bringInfo(v.Broker(), ref, use), wrapped)
	if err != nil {
		return KeyInfo{}, fmt.Errorf("data set %s of owner %s: the wrapped key does not open: it was changed, or wrapped for another broker, version or use",
			ref.DataSet, ref.Owner)
	}
	key := secret.Take(plain)
	defer key.Zero()
	return v.addKey(tx, ref, use, Brought, key)
}
