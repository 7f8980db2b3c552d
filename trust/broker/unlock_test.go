package broker

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"cloister/trust/attest/insecure"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/broker/vault/shares"
)

func ownersSeal(t *testing.T) *protector.OwnersSeal {
	t.Helper()
	seal, err := protector.NewOwners("test", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return seal
}

// openDelivery opens an owner's share by its recipient.
func openDelivery(t *testing.T, d *protector.Delivery, by *age.X25519Identity) *shares.Share {
	t.Helper()
	if d == nil || len(d.Sealed) != 1 {
		t.Fatalf("delivered: %+v", d)
	}
	s, err := shares.Open(d.Sealed[0], by)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lockedBroker serves a broker that waits for its owners.
func (f *fixture) lockedBroker(t *testing.T, seal *protector.OwnersSeal) (address string, unlocked func() (*vault.Root, error)) {
	t.Helper()
	o := vault.RootOptions{Path: filepath.Join(f.dir, "root"), Broker: "test", Protector: seal, InTEE: true, Now: f.sources.Now}
	if _, err := vault.OpenRoot(t.Context(), o); !errors.Is(err, protector.ErrWaiting) {
		t.Fatalf("the root key is not locked: %v", err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lock := &Lock{
		Broker: "test", Seal: seal, Producer: newProgram(t, "broker"),
		Open: func(ctx context.Context) (*vault.Root, error) { return vault.OpenRoot(ctx, o) },
	}
	var root *vault.Root
	done := make(chan error, 1)
	go func() {
		var err error
		root, err = lock.Serve(context.WithoutCancel(t.Context()), l)
		done <- err
	}()
	return l.Addr().String(), func() (*vault.Root, error) {
		err := <-done
		return root, err
	}
}

// TestUnlockByOwners starts a broker that no platform seals: its owners name who
// unlocks it, and after the next start all of them come.
func TestUnlockByOwners(t *testing.T) {
	t.Parallel()
	seal := ownersSeal(t)
	pending, err := protector.NewPending()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, setting{unlock: seal, root: func(o vault.RootOptions) (*vault.Root, error) {
		o.Protector, o.InTEE = pending, true
		return vault.CreateRoot(t.Context(), o)
	}})
	key := Order{Operation: NewKey, DataSet: "wards", Version: 1, Use: vault.Data}
	_, err = f.tryOrder(f.a, f.a, key)
	refusedFor(t, err, CodeConflict, "every owner has to name recipients")
	f.number["a"]--
	alice, bob := newIdentity(t), newIdentity(t)
	name := func(p person, i *age.X25519Identity) *protector.Delivery {
		t.Helper()
		return f.order(p, Order{Operation: Unlock, Threshold: 1, Recipients: []string{i.Recipient().String()}}).Delivery
	}
	if d := name(f.a, alice); d != nil {
		t.Fatalf("it is sealed for one owner alone: %+v", d)
	}
	_, err = f.tryOrder(f.a, f.a, key)
	refusedFor(t, err, CodeConflict, "every owner has to name recipients")
	f.number["a"]--
	forB := openDelivery(t, name(f.b, bob), bob)
	forA := openDelivery(t, f.order(f.a, Order{Operation: UnlockShares}).Delivery, alice)
	f.dataSet(f.a, "wards", "no-export")
	before, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}

	// The next start.
	seal = ownersSeal(t)
	addr, unlocked := f.lockedBroker(t, seal)
	verify := insecure.NewVerifier().Verify
	if _, err := Meet(t.Context(), ClientOptions{Address: addr, Pin: Pin{Broker: "test"}, Attempts: 1}, verify); err == nil {
		t.Error("a locked broker is taken for one that works")
	}
	if _, err := MeetLocked(t.Context(), ClientOptions{Address: addr, Pin: Pin{Broker: "another"}, Attempts: 1}, verify); !errors.Is(err, ErrWrongBroker) {
		t.Errorf("another broker: %v", err)
	}
	b, err := MeetLocked(t.Context(), ClientOptions{Address: addr, Pin: Pin{Broker: "test"}, Attempts: 1}, verify)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f.watched(b.client)
	if b.Info.TLSKey == f.pin.TLSKey {
		t.Error("a locked broker has its TLS key")
	}
	// A share of another set, and one that the wrong owner gives.
	other := *forA
	other.Set.ID = strings.Repeat("0", 32)
	_, err = b.Give(t.Context(), &other)
	refusedFor(t, err, CodeForbidden, "which is not what the root key is sealed with")
	wrapped, err := WrapShare(b.Info.HPKE, forA)
	if err != nil {
		t.Fatal(err)
	}
	err = b.client.Do(t.Context(), "POST", PathUnlock, &UnlockRequest{Owner: "b", Share: wrapped}, nil)
	refusedFor(t, err, CodeForbidden, "does not open")
	err = b.client.Do(t.Context(), "GET", PathPolicy, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "waits for its owners") {
		t.Errorf("a locked broker answers: %v", err)
	}
	a, err := b.Give(t.Context(), forA)
	if err != nil || a.Open || !strings.Contains(a.Waiting, "b (0 of 1 shares)") {
		t.Fatalf("one owner alone: %+v, %v", a, err)
	}
	if a, err = b.Give(t.Context(), forB); err != nil || !a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
	root, err := unlocked()
	if err != nil {
		t.Fatal(err)
	}
	f.start(setting{unlock: seal, root: func(vault.RootOptions) (*vault.Root, error) { return root, nil }}, false)
	if f.broker.TLSKey() != f.pin.TLSKey {
		t.Error("it is another broker")
	}
	after, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	if err != nil || !after.Items[0].Key.Equal(before.Items[0].Key) {
		t.Errorf("another key: %v", err)
	}

	// An owner leaves: the others alone unlock it then, with the shares they have.
	f.change = withoutB
	f.text = f.policyText(2, f.parse(f.text).Hash().String())
	if a := f.approve(f.text, f.a, f.b); !a.Applied {
		t.Fatalf("%+v", a)
	}
	if again := openDelivery(t, f.order(f.a, Order{Operation: UnlockShares}).Delivery, alice); again.Set != forA.Set {
		t.Error("the owner who stays has other shares")
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	addr, unlocked = f.lockedBroker(t, ownersSeal(t))
	c, err := MeetLocked(t.Context(), ClientOptions{Address: addr, Pin: Pin{Broker: "test"}, Attempts: 1}, verify)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Give(t.Context(), forB)
	refusedFor(t, err, CodeForbidden, "not what the root key is sealed with")
	if a, err = c.Give(t.Context(), forA); err != nil || !a.Open {
		t.Fatalf("%+v, %v", a, err)
	}
	if root, err = unlocked(); err != nil {
		t.Fatal(err)
	}
	root.Zero()
}

// TestOwnerLeavesKilled removes an owner and looks at the broker as it would be if
// it had been killed at each step: with the shares that they have, its owners
// unlock it, and it ends what it began.
func TestOwnerLeavesKilled(t *testing.T) {
	t.Parallel()
	seal := ownersSeal(t)
	pending, err := protector.NewPending()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, setting{unlock: seal, root: func(o vault.RootOptions) (*vault.Root, error) {
		o.Protector, o.InTEE = pending, true
		return vault.CreateRoot(t.Context(), o)
	}})
	alice, bob := newIdentity(t), newIdentity(t)
	name := func(p person, i *age.X25519Identity) *protector.Delivery {
		return f.order(p, Order{Operation: Unlock, Threshold: 1, Recipients: []string{i.Recipient().String()}}).Delivery
	}
	name(f.a, alice)
	given := map[string]*shares.Share{"b": openDelivery(t, name(f.b, bob), bob)}
	given["a"] = openDelivery(t, f.order(f.a, Order{Operation: UnlockShares}).Delivery, alice)
	f.dataSet(f.a, "wards", "no-export")

	type step struct {
		dir    string
		owners []string // who unlocks it
	}
	steps := map[string]step{}
	keep := func(name string, owners ...string) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(f.dir)); err != nil {
			t.Error(err)
		}
		steps[name] = step{dir, owners}
	}
	keep("before", "a", "b")
	seals := 0
	seal.SetDeliver(func(ctx context.Context, all []protector.Delivery) error {
		seals++
		if seals == 1 {
			// The share of who leaves is needed once more.
			keep("the policy is in force", "a", "b")
			err := f.broker.deliver(ctx, all)
			keep("shares are delivered", "a", "b")
			return err
		}
		keep("the root is sealed without the owner", "a")
		err := f.broker.deliver(ctx, all)
		keep("a new root is begun", "a")
		return err
	})
	f.change = withoutB
	f.text = f.policyText(2, f.parse(f.text).Hash().String())
	if a := f.approve(f.text, f.a, f.b); !a.Applied || seals != 2 {
		t.Fatalf("%+v, sealed %d times", a, seals)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	keep("done", "a")
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := f.text
			for start, owners := range [][]string{step.owners, {"a"}} {
				if name == "before" {
					owners = step.owners
				}
				seal := ownersSeal(t)
				root, err := unlockWith(t, step.dir, seal, given, owners)
				if err != nil {
					t.Fatalf("start %d: %v", start+1, err)
				}
				b, err := Start(t.Context(), Config{
					Dir: filepath.Join(step.dir, "store"), Root: root, Quorum: Witnesses(nil, time.Now), Sources: &f.sources,
					Options: Options{FirstPolicy: []byte(text), Producer: newProgram(t, "broker"), Unlock: seal},
				})
				if err != nil {
					t.Fatalf("start %d: %v", start+1, err)
				}
				err = b.store.View(func(tx *store.Tx) error {
					key, _, err := b.vault.Key(tx, vault.Ref{Owner: "a", DataSet: "wards", Version: 1})
					key.Zero()
					if _, due := tx.Get(bucketPolicy, keyForget); due {
						err = errors.Join(err, errors.New("what was begun is not ended"))
					}
					return err
				})
				if err != nil {
					t.Errorf("start %d: %v", start+1, err)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			}
			// Who left unlocks nothing any more.
			_, err := unlockWith(t, step.dir, ownersSeal(t), given, []string{"b"})
			if name != "before" && (err == nil || !strings.Contains(err.Error(), "not what the root key is sealed with")) {
				t.Errorf("by who left: %v", err)
			}
		})
	}
}

// unlockWith opens a root key with owners' shares.
func unlockWith(t *testing.T, dir string, seal *protector.OwnersSeal, given map[string]*shares.Share, owners []string) (*vault.Root, error) {
	t.Helper()
	o := vault.RootOptions{Path: filepath.Join(dir, "root"), Broker: "test", Protector: seal, InTEE: true, Now: time.Now}
	if _, err := vault.OpenRoot(t.Context(), o); !errors.Is(err, protector.ErrWaiting) {
		t.Fatalf("the root key is not locked: %v", err)
	}
	for _, name := range owners {
		share := *given[name]
		share.Value = given[name].Value.Clone()
		if err := seal.Give(name, &share); err != nil {
			return nil, err
		}
	}
	return vault.OpenRoot(t.Context(), o)
}

// TestNotUnlockedByOwners: other brokers take no such orders.
func TestNotUnlockedByOwners(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	_, err := f.tryOrder(f.a, f.a, Order{Operation: Unlock, Threshold: 1, Recipients: []string{newIdentity(t).Recipient().String()}})
	refusedFor(t, err, CodeNotFound, "not unlocked by its owners")
	f.number["a"]--
	_, err = f.tryOrder(f.a, f.a, Order{Operation: UnlockShares})
	refusedFor(t, err, CodeNotFound, "not unlocked by its owners")
}
