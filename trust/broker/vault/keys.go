package vault

import (
	"bytes"
	"fmt"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/secret"
)

// Use says what a key is for, and so how long it is.
type Use string

// The uses.
const (
	// Data is 32 bytes that seal a data set.
	Data Use = "data"
	// GramineMount is 16 bytes for an encrypted mount of Gramine.
	GramineMount Use = "gramine-mount"
	// Opaque is an owner's own secret, such as a password: 1 to 65,536 bytes. It
	// is brought in, never made.
	Opaque Use = "opaque"
)

// MaxOpaque is the length of the longest secret.
const MaxOpaque = 64 << 10

func (u Use) check(n int) error {
	switch {
	case u == Data && n == 32, u == GramineMount && n == 16, u == Opaque && n > 0 && n <= MaxOpaque:
		return nil
	case u == Data || u == GramineMount || u == Opaque:
		return fmt.Errorf("a key of use %s does not have %d bytes", u, n)
	}
	return fmt.Errorf("use %.40q of a key is not known: it is one of data, gramine-mount and opaque", u)
}

// Origin of a key.
const (
	Made    = "made"    // by the broker
	Brought = "brought" // by its owner, wrapped to the broker's public key
)

type keyRecord struct {
	Format    int       `json:"format"`
	ID        string    `json:"id"`
	Use       Use       `json:"use"`
	Origin    string    `json:"origin"`
	Created   time.Time `json:"created"`
	Wrapped   []byte    `json:"wrapped,omitempty"`
	Destroyed time.Time `json:"destroyed,omitzero"`
}

// KeyInfo is what is known of a key.
type KeyInfo struct {
	Ref
	ID        string    `json:"id"` // random, 32 hexadecimal digits
	Use       Use       `json:"use"`
	Origin    string    `json:"origin"`
	Created   time.Time `json:"created"`
	Destroyed time.Time `json:"destroyed,omitzero"`
}

func (r *keyRecord) info(ref Ref) KeyInfo {
	return KeyInfo{Ref: ref, ID: r.ID, Use: r.Use, Origin: r.Origin, Created: r.Created, Destroyed: r.Destroyed}
}

func (v *Vault) keyLabel(ref Ref, r *keyRecord) label {
	return label{
		broker: v.Broker(), purpose: purposeDataKey, owner: ref.Owner,
		dataSet: ref.DataSet, version: ref.Version, id: r.ID + " " + string(r.Use),
	}
}

// NewKey makes the key of a new version of a data set: the next after all that
// ever were. Rotation is this: each version has its own key.
func (v *Vault) NewKey(tx *store.Tx, owner, dataSet string, use Use) (KeyInfo, error) {
	n := map[Use]int{Data: 32, GramineMount: 16}[use]
	if use == Opaque {
		return KeyInfo{}, fmt.Errorf("owner %.80q, %.80q: a secret of use opaque is brought in, not made", owner, dataSet)
	}
	if err := use.check(n); err != nil {
		return KeyInfo{}, err
	}
	key, err := secret.Random(v.options.Random, n)
	if err != nil {
		return KeyInfo{}, err
	}
	defer key.Zero()
	version, err := v.NextVersion(tx, owner, dataSet)
	if err != nil {
		return KeyInfo{}, err
	}
	return v.addKey(tx, Ref{owner, dataSet, version}, use, Made, key)
}

// NextVersion is the version that the next key of a data set is for.
func (v *Vault) NextVersion(tx *store.Tx, owner, dataSet string) (uint64, error) {
	if err := (Ref{owner, dataSet, 1}).check(); err != nil {
		return 0, err
	}
	var last uint64
	for key := range tx.Prefix(bucketKeys, owner+"/"+dataSet+"/") {
		ref, err := parseRef(key)
		if err != nil {
			return 0, err
		}
		last = ref.Version
	}
	if last+1 == 0 {
		return 0, fmt.Errorf("data set %s of owner %s has no versions left", dataSet, owner)
	}
	return last + 1, nil
}

func (v *Vault) addKey(tx *store.Tx, ref Ref, use Use, origin string, key secret.Bytes) (KeyInfo, error) {
	if err := v.ready(tx); err != nil {
		return KeyInfo{}, err
	}
	if err := use.check(key.Len()); err != nil {
		return KeyInfo{}, fmt.Errorf("data set %s of owner %s: %w", ref.DataSet, ref.Owner, err)
	}
	id, err := newID(v.options.Random)
	if err != nil {
		return KeyInfo{}, err
	}
	subRoot, err := v.subRoot(tx, ref.Owner)
	if err != nil {
		return KeyInfo{}, err
	}
	defer subRoot.Zero()
	r := &keyRecord{Format: format, ID: id, Use: use, Origin: origin, Created: v.now()}
	if r.Wrapped, err = wrap(subRoot, v.keyLabel(ref, r), key); err != nil {
		return KeyInfo{}, err
	}
	return r.info(ref), put(tx, bucketKeys, ref.String(), r)
}

func (v *Vault) keyRecord(tx *store.Tx, ref Ref) (*keyRecord, error) {
	if err := ref.check(); err != nil {
		return nil, err
	}
	var r keyRecord
	switch known, err := get(tx, bucketKeys, ref.String(), &r); {
	case err != nil:
		return nil, err
	case !known:
		return nil, fmt.Errorf("key of version %d of data set %s of owner %s: %w", ref.Version, ref.DataSet, ref.Owner, ErrNotFound)
	case r.Format != format:
		return nil, fmt.Errorf("key %s: format %d is not known to this version", ref, r.Format)
	}
	return &r, nil
}

// Key opens a key, for a caller who has decided that it may be released. The
// caller zeroes it.
func (v *Vault) Key(tx *store.Tx, ref Ref) (secret.Bytes, KeyInfo, error) {
	key, info, _, err := v.open(tx, ref, false)
	return key, info, err
}

// KeyAndRegister opens a key as Key does, and returns what is registered of its
// data set as Registered does. The sub-root of the owner is opened once for both.
func (v *Vault) KeyAndRegister(tx *store.Tx, ref Ref) (secret.Bytes, KeyInfo, []Entry, error) {
	return v.open(tx, ref, true)
}

func (v *Vault) open(tx *store.Tx, ref Ref, registered bool) (secret.Bytes, KeyInfo, []Entry, error) {
	if err := v.ready(tx); err != nil {
		return secret.Bytes{}, KeyInfo{}, nil, err
	}
	r, err := v.keyRecord(tx, ref)
	if err != nil {
		return secret.Bytes{}, KeyInfo{}, nil, err
	}
	if !r.Destroyed.IsZero() {
		return secret.Bytes{}, r.info(ref), nil, fmt.Errorf("key of version %d of data set %s of owner %s: %w on %s",
			ref.Version, ref.DataSet, ref.Owner, ErrDestroyed, r.Destroyed.Format(time.DateOnly))
	}
	subRoot, err := v.subRoot(tx, ref.Owner)
	if err != nil {
		return secret.Bytes{}, KeyInfo{}, nil, err
	}
	defer subRoot.Zero()
	var entries []Entry
	if registered {
		records, err := v.register(tx, ref.Owner, ref.DataSet, subRoot)
		if err != nil {
			return secret.Bytes{}, KeyInfo{}, nil, err
		}
		entries = entriesOf(records)
	}
	key, err := unwrap(subRoot, v.keyLabel(ref, r), r.Wrapped)
	if err != nil {
		return secret.Bytes{}, KeyInfo{}, nil, err
	}
	return key, r.info(ref), entries, nil
}

// Mark stands for the records that a key is opened with. Whoever could open it
// can do so as long as they are the same.
type Mark struct{ key, owner []byte }

// Mark returns the mark of a key as a transaction sees it.
func (*Vault) Mark(tx *store.Tx, ref Ref) Mark {
	key, _ := tx.Get(bucketKeys, ref.String())
	owner, _ := tx.Get(bucketOwners, ref.Owner)
	return Mark{key, owner}
}

// Equal says that two marks are of the same records.
func (m Mark) Equal(other Mark) bool {
	return len(m.key) > 0 && len(m.owner) > 0 && bytes.Equal(m.key, other.key) && bytes.Equal(m.owner, other.owner)
}

// DestroyKey destroys the key of one version. The version stays known and its
// number is not used again.
func (v *Vault) DestroyKey(tx *store.Tx, ref Ref) error {
	if err := v.ready(tx); err != nil {
		return err
	}
	r, err := v.keyRecord(tx, ref)
	if err != nil {
		return err
	}
	if !r.Destroyed.IsZero() {
		return nil
	}
	return v.destroy(tx, ref, v.now())
}

func (v *Vault) destroy(tx *store.Tx, ref Ref, now time.Time) error {
	r, err := v.keyRecord(tx, ref)
	if err != nil {
		return err
	}
	r.Wrapped = nil
	if r.Destroyed.IsZero() {
		r.Destroyed = now
	}
	return put(tx, bucketKeys, ref.String(), r)
}

// Keys returns what is known of an owner's keys, of one data set or, where that
// is empty, of all.
func (v *Vault) Keys(tx *store.Tx, owner, dataSet string) ([]KeyInfo, error) {
	if err := checkName("owner", owner); err != nil {
		return nil, err
	}
	prefix := owner + "/"
	if dataSet != "" {
		if err := checkName("data set", dataSet); err != nil {
			return nil, err
		}
		prefix += dataSet + "/"
	}
	var all []KeyInfo
	for key, value := range tx.Prefix(bucketKeys, prefix) {
		ref, err := parseRef(key)
		if err != nil {
			return nil, err
		}
		var r keyRecord
		if err := decodeRecord(bucketKeys, key, value, &r); err != nil {
			return nil, err
		}
		all = append(all, r.info(ref))
	}
	return all, nil
}
