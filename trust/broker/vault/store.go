package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"cloister/trust/broker/store"
)

// The vault's buckets. Everything that the vault changes there goes through a
// transaction of its caller, so that a key, its line in the log and a count of
// runs become durable together or not at all.
const (
	bucketVault    = "vault"          // identity, restored
	bucketOwners   = "vault.owners"   // by owner
	bucketKeys     = "vault.keys"     // by owner/data set/version
	bucketRegister = "vault.register" // by owner/data set/version
	bucketOwn      = "vault.own"      // the broker's own secrets, by name
)

// format is the version of the records in these buckets.
const format = 1

// get reads a record, and returns false where it is absent.
func get(tx *store.Tx, bucket, key string, into any) (bool, error) {
	value, ok := tx.Get(bucket, key)
	if !ok {
		return false, nil
	}
	if err := decodeRecord(bucket, key, value, into); err != nil {
		return false, err
	}
	return true, nil
}

func decodeRecord(bucket, key string, value []byte, into any) error {
	if err := decode(value, into); err != nil {
		return fmt.Errorf("record %.200q of %s: %w: %w", key, bucket, ErrTampered, err)
	}
	return nil
}

func put(tx *store.Tx, bucket, key string, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return tx.Put(bucket, key, value)
}

// decode reads one JSON value strictly: no unknown field, nothing after it.
func decode(value []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the record")
	}
	return nil
}
