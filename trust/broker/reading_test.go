package broker

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// rewriteEntry stops the broker, puts another store in the place of its own, with
// one entry of the log changed, and starts it again.
func (f *fixture) rewriteEntry(index int64, edit func([]byte) []byte) {
	f.t.Helper()
	if err := f.stop(); err != nil {
		f.t.Fatal(err)
	}
	root, err := vault.OpenRoot(f.t.Context(), vault.RootOptions{Path: filepath.Join(f.dir, "root"), Broker: "test", Protector: newTestProtector(f.t), Now: time.Now})
	if err != nil {
		f.t.Fatal(err)
	}
	sealer, err := root.StoreSealer()
	if err != nil {
		f.t.Fatal(err)
	}
	dir := filepath.Join(f.dir, "store")
	old, err := store.Open(dir, store.Options{Sealer: sealer, ReadOnly: true})
	if err != nil {
		f.t.Fatal(err)
	}
	st, err := store.Open(dir+"-changed", store.Options{Sealer: sealer, Create: true})
	if err != nil {
		f.t.Fatal(err)
	}
	err = old.View(func(from *store.Tx) error {
		return st.Update(f.t.Context(), func(tx *store.Tx) error { return copyStore(tx, from, index, edit) })
	})
	if err := errors.Join(err, st.Close(), os.RemoveAll(dir), os.Rename(dir+"-changed", dir)); err != nil {
		f.t.Fatal(err)
	}
	f.start(setting{}, false)
}

// copyStore copies a store, with one entry of its log changed.
func copyStore(tx, from *store.Tx, index int64, edit func([]byte) []byte) error {
	for _, bucket := range from.Buckets() {
		for key, value := range from.Range(bucket, "", "") {
			if err := tx.Put(bucket, key, value); err != nil {
				return err
			}
		}
	}
	const log = "audit"
	i := int64(0)
	for entry, err := range from.Entries(log, 0, from.Length(log)) {
		if err != nil {
			return err
		}
		if i == index {
			entry = edit(entry)
		}
		i++
		if _, err := tx.Append(log, entry); err != nil {
			return err
		}
	}
	return nil
}

// TestAuditFindsTampering changes an entry in the store of a broker, as who has its
// root key could, and reads the log as an administrator.
func TestAuditFindsTampering(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, hash := selfSigned(t, key)
	f := newFixture(t, setting{prepare: func(f *fixture) { f.admin = hash }})
	f.dataSet(f.a, "wards", "no-export")
	admin, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Certificates: []tls.Certificate{cert}, Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	verifier, err := note.NewVerifier(f.broker.logKey)
	if err != nil {
		t.Fatal(err)
	}
	a, err := admin.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := audit.OpenCheckpoint([]byte(a.Checkpoint), verifier)
	if err != nil {
		t.Fatal(err)
	}
	check := func() error {
		var entries bytes.Buffer
		err := admin.Entries(t.Context(), 0, c.Size, func(_ int64, line string) error {
			fmt.Fprintln(&entries, line)
			return nil
		})
		if err != nil {
			return err
		}
		_, err = audit.Verify(audit.Exported{New: c, Entries: &entries, Proofs: &audit.Proofs{
			Consistency: func(size int64) (tlog.TreeProof, error) { return admin.Consistency(t.Context(), size, c.Size) },
			Inclusion:   func(index int64) (tlog.RecordProof, error) { return admin.Inclusion(t.Context(), index, c.Size) },
		}})
		return err
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	const changed = 2
	f.rewriteEntry(changed, func(record []byte) []byte {
		return bytes.Replace(record, []byte(`"type":"`), []byte(`"type":"x`), 1)
	})
	admin.Close()
	if admin, err = NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Certificates: []tls.Certificate{cert}, Attempts: 3}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	var where *audit.ChangeError
	if err := check(); !errors.As(err, &where) || where.From != changed || where.To != changed {
		t.Errorf("got %v, want entry %d", err, changed)
	}
}
