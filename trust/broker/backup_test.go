package broker

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// TestBackupAndRestore restores a backup of a running broker. The restored one
// is locked until both owners have confirmed the last checkpoint that they saw.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, hash := selfSigned(t, key)
	f := newFixture(t, setting{prepare: func(f *fixture) { f.admin = hash }})
	f.dataSet(f.a, "wards", "no-export")
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to := []string{identity.Recipient().String()}
	var backup bytes.Buffer
	_, err = f.client().Backup(t.Context(), &backup, to)
	refusedFor(t, err, CodeForbidden, "client certificate")
	admin, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Certificates: []tls.Certificate{cert}, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	admin = f.watched(admin)
	_, err = admin.Backup(t.Context(), &backup, []string{"age1nonsense"})
	refusedFor(t, err, CodeMalformed, "recipient 1")
	made, err := admin.Backup(t.Context(), &backup, to)
	if err != nil {
		t.Fatal(err)
	}
	if !f.logged("backup", audit.Granted, "administrator root") {
		t.Errorf("the backup is not in the log:\n%s", f.reasons())
	}
	want, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	g := f.copied(restore(t, backup.Bytes(), identity, made.Key), setting{})
	ask := func() (*Release, error) {
		return g.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	}
	_, err = ask()
	refusedFor(t, err, CodeLocked, "until the owners confirm")
	if err := g.broker.Ready(); err == nil || !strings.Contains(err.Error(), "[a b]") {
		t.Errorf("ready: %v", err)
	}
	for i, owner := range []string{"a", "b"} {
		if i > 0 {
			_, err = ask()
			refusedFor(t, err, CodeLocked, "[b]")
		}
		err := g.broker.store.Update(t.Context(), func(tx *store.Tx) error {
			_, err := g.broker.vault.Confirm(tx, owner, vault.Confirmation{Seen: made.Checkpoint}, nil)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	if !got.Items[0].Key.Equal(want.Items[0].Key) {
		t.Error("the restored broker has another key")
	}
}

// restore makes the state of a broker of a backup.
func restore(t *testing.T, backup []byte, identity age.Identity, key []byte) string {
	t.Helper()
	dir := t.TempDir()
	b, err := vault.OpenBackup(bytes.NewReader(backup), identity)
	if err != nil {
		t.Fatal(err)
	}
	o := vault.RootOptions{Path: filepath.Join(dir, "root"), Broker: "test", Protector: newTestProtector(t), Now: time.Now}
	if err := b.WriteRoot(o.Path); err != nil {
		t.Fatal(err)
	}
	root, err := vault.OpenRoot(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Zero()
	sealer, err := root.StoreSealer()
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(filepath.Join(dir, "store"), store.Options{Create: true, Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	if err := errorsJoin(b.Restore(t.Context(), st, root, key, time.Now), st.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}
