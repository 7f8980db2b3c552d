package broker

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"cloister/trust/approval"
	"cloister/trust/attest/insecure"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/shares"
)

// seenNow is the newest checkpoint of the broker's log.
func (f *fixture) seenNow() vault.Checkpoint {
	f.t.Helper()
	a, err := f.client().Checkpoint(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := audit.ParseCheckpoint(a.Checkpoint)
	if err != nil {
		f.t.Fatal(err)
	}
	return vault.Checkpoint{Origin: c.Origin, Size: c.Size, Root: c.Root[:]}
}

// backup makes a backup of the broker, and returns it with its key.
func (f *fixture) backup(to *age.X25519Identity) ([]byte, []byte) {
	f.t.Helper()
	var out bytes.Buffer
	h, err := f.broker.vault.Backup(f.t.Context(), f.broker.store, &out, vault.BackupOptions{
		Recipients: []string{to.Recipient().String()}, Checkpoint: lastCheckpoint(f.broker.audit),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Bytes(), h.SignatureKey
}

// restore puts a backup in the place of the broker, which stops, and starts it.
// With a new root key the old one is lost.
func (f *fixture) restore(backup, key []byte, from *age.X25519Identity, newRoot bool) {
	f.t.Helper()
	ctx := f.t.Context()
	if err := f.stop(); err != nil {
		f.t.Fatal(err)
	}
	b, err := vault.OpenBackup(bytes.NewReader(backup), from)
	if err != nil {
		f.t.Fatal(err)
	}
	f.dir = f.t.TempDir()
	o := vault.RootOptions{Path: filepath.Join(f.dir, "root"), Broker: "test", Protector: newTestProtector(f.t), Now: time.Now}
	open := vault.CreateRoot
	if !newRoot {
		if err := b.WriteRoot(o.Path); err != nil {
			f.t.Fatal(err)
		}
		open = vault.OpenRoot
	}
	root, err := open(ctx, o)
	if err != nil {
		f.t.Fatal(err)
	}
	sealer, err := root.StoreSealer()
	if err != nil {
		f.t.Fatal(err)
	}
	st, err := store.Open(filepath.Join(f.dir, "store"), store.Options{Create: true, Sealer: sealer})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := errors.Join(b.Restore(ctx, st, root, key, time.Now), st.Close()); err != nil {
		f.t.Fatal(err)
	}
	root.Zero()
	f.start(setting{}, false)
	f.pin.TLSKey = f.broker.TLSKey()
	f.number = map[policy.Name]uint64{}
	owners, err := f.client().Owners(ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, o := range owners {
		f.number[o.Owner] = o.Number
	}
}

// confirm confirms a restore for an owner.
func (f *fixture) confirm(p, signer person, seen vault.Checkpoint, change func(*Confirmation)) (*ConfirmAnswer, error) {
	f.t.Helper()
	state, err := f.client().RestoreState(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	c := Confirmation{Owner: p.name, Number: f.number[p.name] + 1, Backup: state.Backup, Session: state.Session, Seen: seen}
	if change != nil {
		change(&c)
	}
	q := &ConfirmRequest{Confirmation: c, Signatures: []string{signer.sign(f.t, approval.ForRestore, c.Statement("test", f.pin.FirstPolicy))}}
	a, err := f.client().Confirm(f.t.Context(), q)
	if err == nil {
		f.number[p.name]++
	}
	return a, err
}

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestConfirm restores a broker, which stays locked until both owners confirmed
// what they saw.
func TestConfirm(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	early := f.seenNow()
	f.dataSet(f.b, "wards", "no-export")
	identity := newIdentity(t)
	backup, key := f.backup(identity)
	_, err := f.client().RestoreState(t.Context())
	refusedFor(t, err, CodeNotFound, "not restored")
	f.restore(backup, key, identity, false)

	release := func() error {
		_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
		return err
	}
	if err := release(); !errors.Is(err, ErrNetwork) || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a restored broker releases: %v", err)
	}
	if f.broker.Ready() == nil {
		t.Error("a restored broker is ready")
	}
	_, err = f.tryOrder(f.a, f.a, Order{Operation: NewKey, DataSet: "other", Version: 1, Use: vault.Data, Number: f.number["a"] + 50})
	if err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a restored broker makes keys: %v", err)
	}

	// What is not a confirmation.
	wrong := early
	wrong.Root = bytes.Repeat([]byte{7}, 32)
	_, err = f.confirm(f.a, f.a, wrong, nil)
	refusedFor(t, err, CodeConflict, "does not go on")
	elsewhere := early
	elsewhere.Origin = "another"
	_, err = f.confirm(f.a, f.a, elsewhere, nil)
	refusedFor(t, err, CodeMalformed, "another")
	_, err = f.confirm(f.a, f.b, early, nil)
	refusedFor(t, err, CodeForbidden, "did not sign")
	_, err = f.confirm(f.a, f.a, early, func(c *Confirmation) { c.Backup = "another" })
	refusedFor(t, err, CodeConflict, "another broker")
	_, err = f.confirm(f.a, f.a, early, func(c *Confirmation) { c.Session[0] ^= 1 })
	refusedFor(t, err, CodeConflict, "before this one was started")
	_, err = f.confirm(f.a, f.a, early, func(c *Confirmation) { c.Number = 1 })
	refusedFor(t, err, CodeConflict, "number")
	stranger := newPerson(t, "c")
	_, err = f.confirm(stranger, stranger, early, nil)
	refusedFor(t, err, CodeForbidden, "not among the owners")

	a, err := f.confirm(f.a, f.a, early, nil)
	if err != nil || a.Open || len(a.Waiting) != 1 || a.Waiting[0] != "b" {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := release(); err == nil {
		t.Error("one owner alone unlocks a restored broker")
	}
	if a, err = f.confirm(f.b, f.b, vault.Checkpoint{Origin: early.Origin, Root: make([]byte, 32)}, nil); err != nil || !a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if !f.logged("restore.confirmed", audit.Granted, "all owners") || !f.logged("restore.confirmed", audit.Refused, "not among") {
		t.Error("the log does not have the confirmations")
	}
	// Nobody locks it again.
	_, err = f.confirm(f.b, f.b, vault.Checkpoint{Origin: early.Origin, Size: 1 << 40, Root: make([]byte, 32)}, nil)
	refusedFor(t, err, CodeConflict, "already")
}

// TestConfirmLoss restores a backup that is older than what an owner saw: all
// have to accept the loss.
func TestConfirmLoss(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	identity := newIdentity(t)
	backup, key := f.backup(identity)
	early := f.seenNow()
	f.dataSet(f.b, "wards", "no-export")
	late := f.seenNow()
	f.restore(backup, key, identity, false)
	if a, err := f.confirm(f.a, f.a, early, nil); err != nil || a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
	a, err := f.confirm(f.b, f.b, late, nil)
	if err != nil || a.Open || len(a.Waiting) != 2 {
		t.Fatalf("a loss that nobody accepted: %+v, %v", a, err)
	}
	if a, err = f.confirm(f.b, f.b, late, func(c *Confirmation) { c.AcceptLossUpTo = late.Size }); err != nil || a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
	// What the other owner accepts is less than what was lost.
	if a, err = f.confirm(f.a, f.a, early, func(c *Confirmation) { c.AcceptLossUpTo = late.Size - 1 }); err != nil || a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err = f.confirm(f.a, f.a, early, func(c *Confirmation) { c.AcceptLossUpTo = late.Size }); err != nil || !a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
}

// TestConfirmReplayed: what was confirmed for one restore does not count for the
// same backup put back once more, nor for the same broker started again.
func TestConfirmReplayed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	identity := newIdentity(t)
	backup, key := f.backup(identity)
	seen := f.seenNow()
	f.restore(backup, key, identity, false)
	state, err := f.client().RestoreState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := state.Session
	f.restore(backup, key, identity, false)
	_, err = f.confirm(f.a, f.a, seen, func(c *Confirmation) { c.Session = old })
	refusedFor(t, err, CodeConflict, "confirm again")
	// Nor does that of another broker: its first policy is another.
	g := newFixture(t, setting{})
	backup, key = g.backup(identity)
	g.restore(backup, key, identity, false)
	theirs, err := g.client().RestoreState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := Confirmation{Owner: "a", Number: 9, Backup: theirs.Backup, Session: theirs.Session, Seen: g.seenNow()}
	q := &ConfirmRequest{Confirmation: c, Signatures: []string{g.a.sign(t, approval.ForRestore, c.Statement("test", f.pin.FirstPolicy))}}
	_, err = g.client().Confirm(t.Context(), q)
	refusedFor(t, err, CodeForbidden, "did not sign")
}

// TestConfirmRemoved: an owner who left before the backup does not confirm, and
// one who leaves later need not.
func TestConfirmRemoved(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{prepare: func(f *fixture) {
		f.change = func(text string) string { return strings.Replace(text, "approvals: 2", "approvals: 1", 1) }
	}})
	seen := f.seenNow()
	f.change = func(text string) string {
		text = text[:strings.Index(text, "workloads:")]
		text = strings.Replace(text, "approvals: 2", "approvals: 1", 1)
		at := strings.Index(text, "  b:\n")
		return text[:at] + text[strings.Index(text, "administrators:"):]
	}
	if a := f.approve(f.policyText(2, f.parse(f.text).Hash().String()), f.a); !a.Applied {
		t.Fatalf("%+v", a)
	}
	identity := newIdentity(t)
	backup, key := f.backup(identity)
	f.restore(backup, key, identity, false)
	_, err := f.confirm(f.b, f.b, seen, nil)
	refusedFor(t, err, CodeForbidden, "not among the owners")
	if a, err := f.confirm(f.a, f.a, seen, nil); err != nil || !a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
}

// TestRecover restores a broker whose root key is lost. Its owners attest it
// anew, confirm, and recover each their own keys.
func TestRecover(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	f.dataSet(f.b, "wards", "no-export")
	before, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	if err != nil {
		t.Fatal(err)
	}
	people := []*age.X25519Identity{newIdentity(t), newIdentity(t), newIdentity(t)}
	var recipients []string
	for _, p := range people {
		recipients = append(recipients, p.Recipient().String())
	}
	set := f.order(f.a, Order{Operation: Recovery, Threshold: 2, Recipients: recipients})
	if set.Delivery == nil || len(set.Delivery.Sealed) != 3 {
		t.Fatalf("no shares: %+v", set)
	}
	identity := newIdentity(t)
	backup, key := f.backup(identity)
	seen := f.seenNow()
	old := f.pin
	f.restore(backup, key, identity, true)
	if f.pin.TLSKey == old.TLSKey {
		t.Fatal("the root key was not lost")
	}
	m, err := Meet(t.Context(), ClientOptions{Address: f.addr}, insecure.NewVerifier().Verify)
	if err != nil || m.Pin != f.pin {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, p := range []person{f.a, f.b} {
		if _, err := f.confirm(p, p, seen, nil); err != nil {
			t.Fatal(err)
		}
	}
	release := func() (*Release, error) {
		return f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	}
	if _, err := release(); err == nil {
		t.Fatal("keys open without their root key")
	}
	wrap := func(to []byte, n ...int) (out [][]byte) {
		for _, i := range n {
			share, err := shares.Open(set.Delivery.Sealed[i], people[i])
			if err != nil {
				t.Fatal(err)
			}
			wrapped, err := WrapShare(to, share)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, wrapped)
		}
		return out
	}
	_, err = f.tryOrder(f.a, f.a, Order{Operation: Recover, Shares: wrap(m.Info.HPKE, 0)})
	refusedFor(t, err, CodeMalformed, "2 are needed")
	f.number["a"]--
	_, err = f.tryOrder(f.b, f.b, Order{Operation: Recover, Shares: wrap(m.Info.HPKE, 0, 2)})
	refusedFor(t, err, CodeForbidden, "does not open")
	f.number["b"]--
	_, err = f.tryOrder(f.a, f.a, Order{Operation: Recover, Shares: wrap(newFixture(t, setting{}).broker.Info().HPKE, 0, 2)})
	refusedFor(t, err, CodeForbidden, "does not open")
	f.number["a"]--
	f.order(f.a, Order{Operation: Recover, Shares: wrap(m.Info.HPKE, 0, 2)})
	after, err := release()
	if err != nil {
		t.Fatal(err)
	}
	if !after.Items[0].Key.Equal(before.Items[0].Key) {
		t.Error("another key was recovered")
	}
	if _, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("b", 1)}); err == nil {
		t.Error("the shares of one owner opened another's keys")
	}
}

// TestForget: after an owner left, the store's files are written anew and the old
// root key is of no use.
func TestForget(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{prepare: func(f *fixture) {
		f.change = func(text string) string { return strings.Replace(text, "approvals: 2", "approvals: 1", 1) }
	}})
	f.dataSet(f.b, "wards", "no-export")
	root, err := os.ReadFile(filepath.Join(f.dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	before, err := filepath.Glob(filepath.Join(f.dir, "store", "*"))
	if err != nil {
		t.Fatal(err)
	}
	f.change = func(text string) string {
		text = text[:strings.Index(text, "workloads:")]
		text = strings.Replace(text, "approvals: 2", "approvals: 1", 1)
		return text[:strings.Index(text, "  b:\n")] + text[strings.Index(text, "administrators:"):]
	}
	f.text = f.policyText(2, f.parse(f.text).Hash().String())
	if a := f.approve(f.text, f.a); !a.Applied {
		t.Fatalf("%+v", a)
	}
	err = f.broker.store.View(func(tx *store.Tx) error {
		if _, due := tx.Get(bucketPolicy, keyForget); due {
			t.Error("it is not done")
		}
		keys, err := f.broker.vault.Keys(tx, "b", "")
		for _, k := range keys {
			if k.Destroyed.IsZero() {
				t.Errorf("key %+v", k)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range before {
		if _, err := os.Lstat(file); err == nil && strings.HasPrefix(filepath.Base(file), "journal") {
			t.Errorf("%s is still there", file)
		}
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	// The root file of before does not open what there is now.
	now, err := os.ReadFile(filepath.Join(f.dir, "root"))
	if err != nil || bytes.Equal(now, root) {
		t.Fatalf("the root key is the same: %v", err)
	}
	path := filepath.Join(t.TempDir(), "root")
	if err := os.WriteFile(path, root, 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := vault.OpenRoot(t.Context(), vault.RootOptions{Path: path, Broker: "test", Protector: newTestProtector(t), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := old.StoreSealer()
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(filepath.Join(f.dir, "store"), store.Options{Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // only read
	if _, err := vault.Open(t.Context(), st, old, vault.Options{Now: time.Now}); !errors.Is(err, vault.ErrTampered) {
		t.Errorf("the old root key opens the vault: %v", err)
	}
}

// TestConfirmTwice: who confirmed, and then looked at the log of the restored
// broker, has not seen anything that is lost.
func TestConfirmTwice(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	identity := newIdentity(t)
	backup, key := f.backup(identity)
	seen := f.seenNow()
	f.restore(backup, key, identity, false)
	if a, err := f.confirm(f.a, f.a, seen, nil); err != nil || a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err := f.confirm(f.a, f.a, f.seenNow(), nil); err != nil || a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err := f.confirm(f.b, f.b, f.seenNow(), nil); err != nil || !a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
}
