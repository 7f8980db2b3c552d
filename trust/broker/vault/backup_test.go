package vault

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/protector"
)

// testLog is a log of n entries.
type testLog struct{ hashes []tlog.Hash }

func newTestLog(n int64) *testLog {
	l := &testLog{}
	for i := range n {
		more, err := tlog.StoredHashes(i, fmt.Appendf(nil, "entry %d", i), l)
		if err != nil {
			panic(err)
		}
		l.hashes = append(l.hashes, more...)
	}
	return l
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, l.hashes[i])
	}
	return out, nil
}

func (l *testLog) checkpoint(size int64) Checkpoint {
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		panic(err)
	}
	return Checkpoint{Origin: "log", Size: size, Root: root[:]}
}

func (l *testLog) proof(t *testing.T, size, older int64) tlog.TreeProof {
	t.Helper()
	p, err := tlog.ProveTree(size, older, l)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const backupSize = 9

// makeBackup makes a backup at log size 9 and returns the key to check it with.
func makeBackup(t *testing.T, b *place, w io.Writer, recipients []string) ed25519.PublicKey {
	t.Helper()
	_, err := b.v.Backup(t.Context(), b.st, w, BackupOptions{
		Recipients: recipients,
		Checkpoint: func(*store.Tx) (Checkpoint, error) { return newTestLog(backupSize).checkpoint(backupSize), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	var key ed25519.PublicKey
	b.do(func(tx *store.Tx) (err error) { key, err = b.v.BackupKey(tx); return err })
	return key
}

// full is a broker with two owners, some keys and other records.
func full(t *testing.T) (*place, map[Ref][]byte) {
	t.Helper()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b", "gone")
	keys := map[Ref][]byte{}
	for _, owner := range []string{"a", "b"} {
		for range 3 {
			key, info := b.newKey(owner, "rows")
			keys[info.Ref] = key.Expose()
		}
	}
	b.do(func(tx *store.Tx) error {
		if err := tx.Put("log", strings.Repeat("k", 100), bytes.Repeat([]byte("line "), 100_000)); err != nil {
			return err
		}
		if err := tx.Put("empty value", "k", nil); err != nil {
			return err
		}
		return b.v.RemoveOwner(tx, "gone")
	})
	return b, keys
}

// restoreTo restores a backup into a new directory, with the backup's root file.
func restoreTo(t *testing.T, backup []byte, p protector.Protector, key ed25519.PublicKey, ids ...age.Identity) *place {
	t.Helper()
	b := &place{t: t, dir: t.TempDir(), p: p}
	in, err := OpenBackup(bytes.NewReader(backup), ids...)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.WriteRoot(b.options().Path); err != nil {
		t.Fatal(err)
	}
	root, err := OpenRoot(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	st := openStore(t, b.dir, root)
	if err := in.Restore(t.Context(), st, root, key, testNow); err != nil {
		t.Fatal(err)
	}
	st.Close()
	b.open(root)
	return b
}

// TestRestore restores a backup and works on once both owners have confirmed.
func TestRestore(t *testing.T) {
	t.Parallel()
	old, keys := full(t)
	ids, recipients := testIdentities(t, 2)
	var out bytes.Buffer
	key := makeBackup(t, old, &out, recipients)
	want := old.dump()
	delete(want, bucketVault+"\x00"+keyRestored)
	for i := range ids {
		b := restoreTo(t, out.Bytes(), old.p, key, ids[i])
		got := b.dump()
		delete(got, bucketVault+"\x00"+keyRestored)
		if !equalDumps(want, got) {
			t.Error("the restored store is another")
		}
		for name, try := range map[string]func(tx *store.Tx) error{
			"key":      func(tx *store.Tx) error { _, _, err := b.v.Key(tx, Ref{"a", "rows", 1}); return err },
			"new key":  func(tx *store.Tx) error { _, err := b.v.NewKey(tx, "a", "rows", Data); return err },
			"owner":    func(tx *store.Tx) error { return b.v.AddOwner(tx, "c") },
			"recovery": func(tx *store.Tx) error { _, err := b.v.SetRecovery(tx, "a", Recovery{1, recipients}); return err },
			"register": func(tx *store.Tx) error { return b.v.Register(tx, Entry{}) },
			"registered": func(tx *store.Tx) error {
				_, err := b.v.Registered(tx, "a", "rows")
				return err
			},
			"hand-over": func(tx *store.Tx) error { _, err := b.v.HandOverRoot(tx, HandOver{}); return err },
		} {
			if err := b.try(try); !errors.Is(err, ErrRestored) {
				t.Errorf("%s on a restored broker: %v", name, err)
			}
		}
		if err := b.backupError(recipients); !errors.Is(err, ErrRestored) {
			t.Errorf("a backup of a restored broker: %v", err)
		}
		log := newTestLog(20)
		b.confirm("a", Confirmation{Seen: log.checkpoint(backupSize)}, nil)
		if err := b.keyError(Ref{"a", "rows", 1}); !errors.Is(err, ErrRestored) {
			t.Errorf("one owner alone opens it: %v", err)
		}
		b.stop() // the lock outlives a start
		b = start(t, b.dir, b.p)
		b.confirm("b", Confirmation{Seen: log.checkpoint(4)}, log.proof(t, backupSize, 4))
		for ref, key := range keys {
			if !bytes.Equal(b.key(ref).Expose(), key) {
				t.Errorf("%s is another key", ref)
			}
		}
		b.newKey("a", "rows")
		if err := b.backupError(recipients); err != nil {
			t.Errorf("a backup afterwards: %v", err)
		}
	}
}

func equalDumps(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || !bytes.Equal(v, w) {
			return false
		}
	}
	return true
}

func (p *place) backupError(recipients []string) error {
	_, err := p.v.Backup(p.t.Context(), p.st, io.Discard, BackupOptions{
		Recipients: recipients, Checkpoint: func(*store.Tx) (Checkpoint, error) { return newTestLog(20).checkpoint(20), nil },
	})
	return err
}

func (p *place) confirm(owner string, c Confirmation, proof tlog.TreeProof) *RestoredState {
	p.t.Helper()
	var s *RestoredState
	p.do(func(tx *store.Tx) (err error) { s, err = p.v.Confirm(tx, owner, c, proof); return err })
	return s
}

// TestOlderBackupIsNoticed lets owners confirm a backup that is older than what
// they saw, or of another history.
func TestOlderBackupIsNoticed(t *testing.T) {
	t.Parallel()
	old, _ := full(t)
	ids, recipients := testIdentities(t, 1)
	var out bytes.Buffer
	key := makeBackup(t, old, &out, recipients)
	b := restoreTo(t, out.Bytes(), old.p, key, ids...)
	log := newTestLog(20)
	fork := newTestLog(8)
	more, err := tlog.StoredHashes(8, []byte("another entry"), fork)
	if err != nil {
		t.Fatal(err)
	}
	fork.hashes = append(fork.hashes, more...)
	short := log.checkpoint(4)
	short.Root = short.Root[1:]
	foreign := log.checkpoint(4)
	foreign.Origin = "another log"
	for name, c := range map[string]struct {
		owner string
		seen  Checkpoint
		proof tlog.TreeProof
	}{
		"another history of this size": {"a", fork.checkpoint(backupSize), nil},
		"another history before":       {"a", Checkpoint{Origin: "log", Size: 4, Root: bytes.Repeat([]byte{1}, 32)}, log.proof(t, backupSize, 4)},
		"no proof":                     {"a", log.checkpoint(4), nil},
		"proof of another size":        {"a", log.checkpoint(4), log.proof(t, backupSize, 5)},
		"short root":                   {"a", short, log.proof(t, backupSize, 4)},
		"another log":                  {"a", foreign, log.proof(t, backupSize, 4)},
		"removed owner":                {"gone", log.checkpoint(backupSize), nil},
		"no owner":                     {"", log.checkpoint(backupSize), nil},
		"negative size":                {"a", Checkpoint{Origin: "log", Size: -1, Root: bytes.Repeat([]byte{1}, 32)}, nil},
	} {
		err := b.try(func(tx *store.Tx) error {
			_, err := b.v.Confirm(tx, c.owner, Confirmation{Seen: c.seen}, c.proof)
			return err
		})
		if err == nil {
			t.Errorf("%s: is confirmed", name)
		}
	}
	check := func(s *RestoredState, want ...string) {
		t.Helper()
		if got := s.Waiting(); !slices.Equal(got, want) || s.Open() != (len(want) == 0) {
			t.Errorf("waiting for %v, want %v", got, want)
		}
	}
	b.confirm("a", Confirmation{Seen: log.checkpoint(backupSize)}, nil)
	check(b.confirm("b", Confirmation{Seen: log.checkpoint(12)}, nil), "a", "b")
	if err := b.keyError(Ref{"a", "rows", 1}); !errors.Is(err, ErrRestored) {
		t.Errorf("an older backup opens: %v", err)
	}
	check(b.confirm("b", Confirmation{Seen: log.checkpoint(12), AcceptLossUpTo: 12}, nil), "a")
	check(b.confirm("a", Confirmation{Seen: log.checkpoint(backupSize), AcceptLossUpTo: 11}, nil), "a")
	check(b.confirm("a", Confirmation{Seen: log.checkpoint(backupSize), AcceptLossUpTo: 12}, nil))
	b.key(Ref{"a", "rows", 1})
	// An owner who saw more later on locks it again; one who is gone does not.
	check(b.confirm("b", Confirmation{Seen: log.checkpoint(15)}, nil), "a", "b")
	b.do(func(tx *store.Tx) error { return b.v.RemoveOwner(tx, "b") })
	if err := b.keyError(Ref{"a", "rows", 1}); !errors.Is(err, ErrRestored) {
		t.Errorf("what b saw is forgotten: %v", err)
	}
	check(b.confirm("a", Confirmation{Seen: log.checkpoint(backupSize), AcceptLossUpTo: 15}, nil))
}

// TestRestoreElsewhere restores where the root key does not open: a new root is
// made, and each owner recovers with own shares.
func TestRestoreElsewhere(t *testing.T) {
	t.Parallel()
	old, keys := full(t)
	parties := map[string]*party{"a": newParty(t, "a", 3), "b": newParty(t, "b", 1)}
	records := map[string]*RecoveryRecord{"a": parties["a"].recovery(old, 2), "b": parties["b"].recovery(old, 1)}
	old.do(func(tx *store.Tx) error { _, err := old.v.HPKEKey(tx); return err })
	ids, recipients := testIdentities(t, 1)
	var out bytes.Buffer
	key := makeBackup(t, old, &out, recipients)
	b := &place{t: t, dir: t.TempDir(), p: newFixed(t)}
	in, err := OpenBackup(bytes.NewReader(out.Bytes()), ids...)
	if err != nil {
		t.Fatal(err)
	}
	root, err := CreateRoot(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	st := openStore(t, b.dir, root)
	if err := in.Restore(t.Context(), st, root, key, testNow); err != nil {
		t.Fatal(err)
	}
	st.Close()
	b.open(root)
	log := newTestLog(backupSize)
	for _, owner := range []string{"a", "b"} {
		b.confirm(owner, Confirmation{Seen: log.checkpoint(backupSize)}, nil)
	}
	for _, owner := range []string{"a", "b"} {
		if err := b.keyError(Ref{owner, "rows", 1}); !errors.Is(err, ErrUnrecovered) {
			t.Errorf("owner %s before recovery: %v", owner, err)
		}
		b.do(func(tx *store.Tx) error { return b.v.Recover(tx, owner, parties[owner].open(records[owner].Sealed)) })
		for ref, key := range keys {
			if ref.Owner == owner && !bytes.Equal(b.key(ref).Expose(), key) {
				t.Errorf("%s is another key", ref)
			}
		}
	}
	if err := b.try(func(tx *store.Tx) error { _, err := b.v.Own(tx, ownHPKE); return err }); !errors.Is(err, ErrNotFound) {
		t.Errorf("the old broker's own key: %v", err)
	}
}

// TestBackupChanged cuts a backup everywhere and changes every byte of what is
// inside, as a recipient could, who can write an age file too.
func TestBackupChanged(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a")
	b.newKey("a", "rows")
	ids, recipients := testIdentities(t, 1)
	var out bytes.Buffer
	key := makeBackup(t, b, &out, recipients)
	r, err := age.Decrypt(bytes.NewReader(out.Bytes()), ids...)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(plain []byte, key ed25519.PublicKey) error {
		in, err := readBackup(bytes.NewReader(plain))
		if err != nil {
			return err
		}
		return in.Verify(key)
	}
	if err := verify(plain, key); err != nil {
		t.Fatal(err)
	}
	for i := range plain {
		changed := bytes.Clone(plain)
		changed[i] ^= 1
		if verify(changed, key) == nil {
			t.Errorf("byte %d changed: it verifies", i)
		}
		if verify(plain[:i], key) == nil {
			t.Errorf("cut at %d: it verifies", i)
		}
	}
	if verify(append(bytes.Clone(plain), 0), key) == nil {
		t.Error("one byte more: it verifies")
	}
	_, other, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if verify(plain, other.Public().(ed25519.PublicKey)) == nil || verify(plain, nil) == nil || verify(plain, key[:31]) == nil {
		t.Error("it verifies for another key")
	}
	for i := 0; i < out.Len(); i += 7 { // as somebody who is no recipient could
		changed := bytes.Clone(out.Bytes())
		changed[i] ^= 1
		in, err := OpenBackup(bytes.NewReader(changed), ids...)
		if err == nil {
			err = in.Verify(key)
		}
		if err == nil {
			t.Fatalf("byte %d of the file changed: it verifies", i)
		}
	}
}

// TestForgedBackup restores a backup of another broker's signing key, and looks
// whether what was written is ever opened up.
func TestForgedBackup(t *testing.T) {
	t.Parallel()
	old, _ := full(t)
	ids, recipients := testIdentities(t, 1)
	var out bytes.Buffer
	makeBackup(t, old, &out, recipients)
	foreign, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &place{t: t, dir: t.TempDir(), p: old.p}
	in, err := OpenBackup(bytes.NewReader(out.Bytes()), ids...)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.WriteRoot(b.options().Path); err != nil {
		t.Fatal(err)
	}
	if err := in.WriteRoot(b.options().Path); err == nil {
		t.Error("a root file is written over another")
	}
	root, err := OpenRoot(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	st := openStore(t, b.dir, root)
	if err := in.Restore(t.Context(), st, root, foreign, testNow); !errors.Is(err, ErrTampered) {
		t.Fatalf("a forged backup: %v", err)
	}
	if _, err := Open(t.Context(), st, root, Options{Now: testNow}); !errors.Is(err, ErrRestored) {
		t.Errorf("a forged backup opens up: %v", err)
	}
	in, err = OpenBackup(bytes.NewReader(out.Bytes()), ids...)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Restore(t.Context(), st, root, foreign, testNow); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over another store: %v", err)
	}
}

func TestBackupRefuses(t *testing.T) {
	t.Parallel()
	b, _ := full(t)
	_, recipients := testIdentities(t, 1)
	checkpoint := func(*store.Tx) (Checkpoint, error) { return newTestLog(3).checkpoint(3), nil }
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx context.Context
		w   io.Writer
		o   BackupOptions
	}{
		"no recipients": {t.Context(), io.Discard, BackupOptions{Checkpoint: checkpoint}},
		"no log":        {t.Context(), io.Discard, BackupOptions{Recipients: recipients}},
		"bad recipient": {t.Context(), io.Discard, BackupOptions{Recipients: []string{"age1"}, Checkpoint: checkpoint}},
		"no checkpoint": {t.Context(), io.Discard, BackupOptions{recipients, func(*store.Tx) (Checkpoint, error) { return Checkpoint{}, nil }}},
		"log is broken": {t.Context(), io.Discard, BackupOptions{recipients, func(*store.Tx) (Checkpoint, error) { return Checkpoint{}, io.ErrNoProgress }}},
		"cancelled":     {cancelled, io.Discard, BackupOptions{recipients, checkpoint}},
		"disk is full":  {t.Context(), fullDisk{}, BackupOptions{recipients, checkpoint}},
	} {
		if _, err := b.v.Backup(c.ctx, b.st, c.w, c.o); err == nil {
			t.Errorf("%s: is made", name)
		}
	}
}

// TestBackupWhileTheRootChanges: root file and store of a backup are of one
// moment, also where the root key is changed in the middle of it.
func TestBackupWhileTheRootChanges(t *testing.T) {
	t.Parallel()
	ids, recipients := testIdentities(t, 1)
	p := newFixed(t)
	b := start(t, t.TempDir(), p)
	b.addOwner("a")
	_, info := b.newKey("a", "rows")
	changed := make(chan error, 1)
	var out bytes.Buffer
	_, err := b.v.Backup(t.Context(), b.st, &out, BackupOptions{
		Recipients: recipients,
		Checkpoint: func(*store.Tx) (Checkpoint, error) {
			go func() { changed <- b.v.RotateRoot(context.Background(), b.st) }()
			select {
			case err := <-changed: // it did not wait
				changed <- err
			case <-time.After(time.Second):
			}
			return newTestLog(backupSize).checkpoint(backupSize), nil
		},
	})
	if err = errors.Join(err, <-changed); err != nil {
		t.Fatal(err)
	}
	var key ed25519.PublicKey
	b.do(func(tx *store.Tx) (err error) { key, err = b.v.BackupKey(tx); return err })
	restored := restoreTo(t, out.Bytes(), p, key, ids...)
	restored.confirm("a", Confirmation{Seen: newTestLog(backupSize).checkpoint(backupSize)}, nil)
	if restored.key(info.Ref).Len() == 0 {
		t.Error("no key")
	}
	// Nor is there a backup of a change that did not end.
	if _, err := b.nextRoot(); err != nil {
		t.Fatal(err)
	}
	b.v.root.file.Previous = &previousRoot{}
	if err := b.backupError(recipients); err == nil || !strings.Contains(err.Error(), "the root key is being changed") {
		t.Errorf("while the root key is changed: %v", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space") }

func FuzzBackup(f *testing.F) {
	sum := sha256.Sum256(nil)
	header := fmt.Sprintf(`{"id":"00112233445566778899aabbccddeeff","broker":"b","made":"2026-11-25T12:00:00Z","checkpoint":{"origin":"o","size":1,"root":%q},"owners":["a"],"root":{},"signature_key":%q}`,
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	var b bytes.Buffer
	w := &backupWriter{w: &b}
	w.string(backupHeading)
	w.length(len(header))
	w.string(header)
	w.record("bucket", "key", sum[:])
	f.Add(b.Bytes())
	w.string("e\x00\x00\x00\x00\x00\x00\x00\x01" + strings.Repeat("s", 64))
	f.Add(b.Bytes())
	f.Add([]byte(backupHeading + "\xff\xff\xff\xff"))
	key, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		in, err := readBackup(bytes.NewReader(plain))
		if err == nil && in.Verify(key) == nil {
			t.Fatal("a forged backup verifies")
		}
	})
}

// TestBackupOfSeveralPortions restores more than one transaction writes.
func TestBackupOfSeveralPortions(t *testing.T) {
	t.Parallel()
	old := start(t, t.TempDir(), newFixed(t))
	old.addOwner("a")
	for i := range 3 {
		old.do(func(tx *store.Tx) error {
			return tx.Put("log", fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, portionSize))
		})
	}
	ids, recipients := testIdentities(t, 1)
	var out bytes.Buffer
	key := makeBackup(t, old, &out, recipients)
	b := restoreTo(t, out.Bytes(), old.p, key, ids...)
	if got := b.dump(); len(got["log\x002"]) != portionSize {
		t.Error("a record is missing")
	}
}
