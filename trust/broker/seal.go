package broker

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"cloister/trust/broker/vault"
	"cloister/trust/secret"
)

// suite is that of RFC 9180 with the hybrid of X25519 and ML-KEM-768
// (draft-ietf-hpke-pq), so that a recorded exchange stays closed to a quantum
// computer.
func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.AES256GCM()
}

const releaseDomain = "cloister.release.v1"

// canonical joins parts so that no two lists of parts give the same bytes.
func canonical(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.BigEndian.AppendUint64(out, uint64(len(p)))
		out = append(out, p...)
	}
	return out
}

// releaseInfo binds a release to the broker and to the request: nonce, key, job
// and evidence.
func releaseInfo(broker string, firstPolicy Digest, r *ReleaseRequest) []byte {
	evidence := sha256.New()
	evidence.Write(canonical([]byte(r.Evidence.Platform), r.Evidence.Quote, r.Evidence.Endorsements))
	return canonical([]byte(releaseDomain), []byte(broker), firstPolicy[:], r.Nonce[:], r.Key, r.Job[:], evidence.Sum(nil))
}

// associated binds a key to what is said of it and to its place.
func (i *Item) associated(place int) []byte {
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	return canonical(number(uint64(place)), []byte(i.Kind), []byte(i.Owner), []byte(i.Name), number(i.Version),
		[]byte(i.ID), []byte(i.Use), i.Digest, i.Terms, number(i.Newest))
}

// opened is a key before it is encrypted.
type opened struct {
	Item
	key  secret.Bytes
	mark vault.Mark // as it was opened
}

func zero(items []opened) {
	for i := range items {
		items[i].key.Zero()
	}
}

// seal encrypts keys to a program.
func seal(to hpke.PublicKey, info []byte, items []opened) (encapsulated []byte, sealed []SealedItem, err error) {
	_, kdf, aead := suite()
	encapsulated, sender, err := hpke.NewSender(to, kdf, aead, info)
	if err != nil {
		return nil, nil, fmt.Errorf("encrypt to the program's key: %w", err)
	}
	sealed = make([]SealedItem, len(items))
	for i := range items {
		text, err := sender.Seal(items[i].associated(i), items[i].key.Expose())
		if err != nil {
			return nil, nil, fmt.Errorf("encrypt to the program's key: %w", err)
		}
		sealed[i] = SealedItem{Item: items[i].Item, Sealed: text}
	}
	return encapsulated, sealed, nil
}

// Released is a key that a program got.
type Released struct {
	Item
	Key secret.Bytes
}

// MarshalJSON refuses: keys are not printed by accident.
func (Released) MarshalJSON() ([]byte, error) { return nil, secret.ErrNotMarshalled }

var _ json.Marshaler = Released{}

// errWrongItems says that an answer is not one to what was asked.
var errWrongItems = errors.New("the broker's answer is not what was asked for")

// open decrypts an answer.
func (r *ReleaseAnswer) open(key hpke.PrivateKey, broker string, firstPolicy Digest, q *ReleaseRequest) ([]Released, error) {
	return openItems(key, r.Encapsulated, releaseInfo(broker, firstPolicy, q), r.Items, q.Want)
}

// openItems decrypts what was asked for.
func openItems(key hpke.PrivateKey, encapsulated, info []byte, items []SealedItem, wants []Want) ([]Released, error) {
	if len(items) != len(wants) {
		return nil, fmt.Errorf("%w: %d items, of %d", errWrongItems, len(items), len(wants))
	}
	_, kdf, aead := suite()
	recipient, err := hpke.NewRecipient(encapsulated, key, kdf, aead, info)
	if err != nil {
		return nil, fmt.Errorf("the broker's answer does not decrypt: %w", err)
	}
	var out []Released
	fail := func(err error) ([]Released, error) {
		for _, o := range out {
			o.Key.Zero()
		}
		return nil, err
	}
	for i := range items {
		item, want := &items[i], wants[i]
		if item.Kind != want.Kind || item.Owner != want.Owner || item.Name != want.Name || want.Version != 0 && item.Version != want.Version {
			return fail(fmt.Errorf("%w: item %d is %s %s/%s version %d, not %s", errWrongItems, i, item.Kind, item.Owner, item.Name, item.Version, want))
		}
		plain, err := recipient.Open(item.associated(i), item.Sealed)
		if err != nil {
			return fail(fmt.Errorf("%s does not decrypt: it was changed, or encrypted for another request: %w", want, err))
		}
		out = append(out, Released{Item: item.Item, Key: secret.Take(plain)})
	}
	return out, nil
}

func hashOf(b []byte) Digest { return sha256.Sum256(b) }
