package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/secret"
)

// Entry is a version of a data set in the register, which lets a reader notice
// that an older version was put in the place of a newer.
type Entry struct {
	Ref
	KeyID string `json:"key_id"`
	// Digest is SHA-256 over the sealed bytes, so that it confirms no guess about
	// the rows.
	Digest []byte `json:"digest"`
	// Terms is the hash of the terms of use that the owner bound, and
	// TermsSignature the owner's over it, which the caller verified.
	Terms          []byte    `json:"terms"`
	TermsSignature []byte    `json:"terms_signature"`
	Registered     time.Time `json:"registered"`
}

type registerRecord struct {
	Format int `json:"format"`
	Entry
	// Before is the MAC of the version registered before, so that the versions
	// of a data set are a chain.
	Before []byte `json:"before,omitempty"`
	MAC    []byte `json:"mac"`
}

const maxSignature = 16 << 10

func (e *Entry) check() error {
	if err := e.Ref.check(); err != nil {
		return err
	}
	for what, part := range map[string]struct{ n, least, most int }{
		"digest": {len(e.Digest), sha256.Size, sha256.Size}, "hash of the terms": {len(e.Terms), sha256.Size, sha256.Size},
		"signature of the terms": {len(e.TermsSignature), 1, maxSignature},
	} {
		if part.n < part.least || part.n > part.most {
			return fmt.Errorf("data set %s of owner %s: a %s of %d bytes", e.DataSet, e.Owner, what, part.n)
		}
	}
	return nil
}

// mac is HMAC-SHA256 under a key of the owner's sub-root.
func (r *registerRecord) mac(broker string, subRoot secret.Bytes) ([]byte, error) {
	key, err := derived(subRoot, purposeRegister)
	if err != nil {
		return nil, err
	}
	defer key.Zero()
	h := hmac.New(sha256.New, key.Expose())
	h.Write(canonical("cloister.vault.register.v1", broker, r.Owner, r.DataSet, string(binary.BigEndian.AppendUint64(nil, r.Version)),
		r.KeyID, string(r.Digest), string(r.Terms), string(r.TermsSignature), r.Registered.Format(time.RFC3339), string(r.Before)))
	return h.Sum(nil), nil
}

// Register enters a version of a data set whose key is there. An entry never
// changes: the same once more is nothing new, another is refused, and so is a
// version below one that is registered.
func (v *Vault) Register(tx *store.Tx, e Entry) error {
	if err := v.ready(tx); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	key, err := v.keyRecord(tx, e.Ref)
	if err != nil {
		return err
	}
	if !key.Destroyed.IsZero() || key.ID != e.KeyID {
		return fmt.Errorf("data set %s of owner %s: version %d has no key %.40q", e.DataSet, e.Owner, e.Version, e.KeyID)
	}
	subRoot, err := v.subRoot(tx, e.Owner)
	if err != nil {
		return err
	}
	defer subRoot.Zero()
	all, err := v.register(tx, e.Owner, e.DataSet, subRoot)
	if err != nil {
		return err
	}
	r := registerRecord{Format: format, Entry: e}
	r.Registered = v.now()
	if n := len(all); n > 0 {
		last := all[n-1]
		for _, old := range all {
			if old.Version == e.Version && bytes.Equal(old.Digest, e.Digest) && bytes.Equal(old.Terms, e.Terms) {
				return nil
			}
		}
		if e.Version <= last.Version {
			return fmt.Errorf("data set %s of owner %s: version %d: %w: version %d is registered", e.DataSet, e.Owner, e.Version, ErrExists, last.Version)
		}
		r.Before = last.MAC
	}
	if r.MAC, err = r.mac(v.Broker(), subRoot); err != nil {
		return err
	}
	return put(tx, bucketRegister, e.Ref.String(), &r)
}

// register reads and verifies all entries of a data set, oldest first.
func (v *Vault) register(tx *store.Tx, owner, dataSet string, subRoot secret.Bytes) ([]registerRecord, error) {
	var all []registerRecord
	var before []byte
	for key, value := range tx.Prefix(bucketRegister, owner+"/"+dataSet+"/") {
		var r registerRecord
		if err := decodeRecord(bucketRegister, key, value, &r); err != nil {
			return nil, err
		}
		mac, err := r.mac(v.Broker(), subRoot)
		if err != nil {
			return nil, err
		}
		if !hmac.Equal(mac, r.MAC) || !bytes.Equal(before, r.Before) || r.Ref.String() != key {
			return nil, fmt.Errorf("register of data set %s of owner %s, version %d: %w", owner, dataSet, r.Version, ErrTampered)
		}
		before = r.MAC
		all = append(all, r)
	}
	return all, nil
}

// Registered returns the entries of a data set, oldest first; the last is the
// version that a reader must be given, unless its job names another.
func (v *Vault) Registered(tx *store.Tx, owner, dataSet string) ([]Entry, error) {
	if err := v.ready(tx); err != nil {
		return nil, err
	}
	if err := (Ref{owner, dataSet, 1}).check(); err != nil {
		return nil, err
	}
	subRoot, err := v.subRoot(tx, owner)
	if err != nil {
		return nil, err
	}
	defer subRoot.Zero()
	records, err := v.register(tx, owner, dataSet, subRoot)
	if err != nil {
		return nil, err
	}
	return entriesOf(records), nil
}

func entriesOf(records []registerRecord) []Entry {
	all := make([]Entry, len(records))
	for i := range records {
		all[i] = records[i].Entry
	}
	return all
}
