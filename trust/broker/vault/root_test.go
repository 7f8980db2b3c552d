package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/broker/vault/shares"
	"cloister/trust/secret"
)

func TestRootRefuses(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.stop()
	for name, c := range map[string]struct {
		change func(*RootOptions)
		want   error
	}{
		"another measurement": {func(o *RootOptions) { o.Protector = newFixed(t) }, protector.ErrSealed},
		"another broker":      {func(o *RootOptions) { o.Broker = "broker-2" }, nil},
		"another protector":   {func(o *RootOptions) { o.Protector, o.InTEE = passphrase(t), false }, nil},
		"host's in a TEE":     {func(o *RootOptions) { o.Protector = passphrase(t) }, protector.ErrHostSupplied},
		"unknown origin":      {func(o *RootOptions) { o.Protector = &fixed{newFixed(t).kek, 7} }, protector.ErrHostSupplied},
		"no file":             {func(o *RootOptions) { o.Path += "x" }, ErrNoRoot},
		"no protector":        {func(o *RootOptions) { o.Protector = nil }, nil},
		"no clock":            {func(o *RootOptions) { o.Now = nil }, nil},
		"no broker":           {func(o *RootOptions) { o.Broker = "" }, nil},
	} {
		o := b.options()
		c.change(&o)
		_, err := OpenRoot(t.Context(), o)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := CreateRoot(t.Context(), b.options()); err == nil {
		t.Error("a root key is made over another")
	}
	o := b.options()
	o.Path, o.Protector = o.Path+"2", passphrase(t)
	if _, err := CreateRoot(t.Context(), o); !errors.Is(err, protector.ErrHostSupplied) {
		t.Errorf("a root key is made under a passphrase in a TEE: %v", err)
	}
	if err := b.root.Reseal(t.Context(), passphrase(t)); !errors.Is(err, protector.ErrHostSupplied) {
		t.Errorf("a root key is put under a passphrase in a TEE: %v", err)
	}
}

func passphrase(tb testing.TB) protector.Protector {
	tb.Helper()
	p, err := protector.NewPassphrase(testKey(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// TestRootFileIsPrivate: whoever reads a root file can try passphrases on it.
func TestRootFileIsPrivate(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	for range 2 {
		info, err := os.Stat(b.options().Path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v", info.Mode())
		}
		if err := b.v.RotateRoot(t.Context(), b.st); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRootFileChanged changes every byte of the root file: it never opens to
// another root key or store key.
func TestRootFileChanged(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	path := b.options().Path
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		root, err := OpenRoot(t.Context(), b.options())
		if err != nil {
			continue
		}
		if _, err := root.StoreSealer(); err != nil {
			continue
		}
		// White space, and the date, protect nothing.
		if !root.key.Equal(b.root.key) || root.ID() != b.root.ID() || root.Broker() != testBroker {
			t.Errorf("byte %d changed: another root", i)
		}
	}
}

func TestReseal(t *testing.T) {
	t.Parallel()
	dir, old, next := t.TempDir(), newFixed(t), newFixed(t)
	b := start(t, dir, old)
	b.addOwner("a")
	key, info := b.newKey("a", "rows")
	if err := b.root.Reseal(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if _, err := OpenRoot(t.Context(), b.options()); !errors.Is(err, protector.ErrSealed) {
		t.Errorf("the old protector still opens: %v", err)
	}
	if b = start(t, dir, next); !b.key(info.Ref).Equal(key) {
		t.Error("another key")
	}
}

// TestRotateRootKilled stops a rotation at each of its borders and starts again.
func TestRotateRootKilled(t *testing.T) {
	t.Parallel()
	for name, until := range map[string]func(b *place) error{
		"before":            func(*place) error { return nil },
		"marked":            func(b *place) error { _, err := b.v.mark(b.t.Context(), b.st); return err },
		"root file written": func(b *place) error { _, err := b.nextRoot(); return err },
		"and once more":     func(b *place) error { _, err := b.nextRoot(); _, again := b.nextRoot(); return errors.Join(err, again) },
		"and marked again": func(b *place) error {
			_, err := b.nextRoot()
			_, again := b.v.mark(b.t.Context(), b.st)
			return errors.Join(err, again)
		},
		"store written": func(b *place) error {
			next, err := b.nextRoot()
			if err != nil {
				return err
			}
			b.v.root = next
			path := next.options.Path
			next.options.Path = b.dir + "/none/root.json" // cannot be written
			if b.v.finishRotation(b.t.Context(), b.st) == nil {
				b.t.Error("it was written")
			}
			next.options.Path = path
			return nil
		},
		"done": func(b *place) error { return b.v.RotateRoot(b.t.Context(), b.st) },
		"twice": func(b *place) error {
			return errors.Join(b.v.RotateRoot(b.t.Context(), b.st), b.v.RotateRoot(b.t.Context(), b.st))
		},
	} {
		for kind, protect := range map[string]func(testing.TB) protector.Protector{
			"a platform": func(tb testing.TB) protector.Protector { tb.Helper(); return newFixed(tb) },
			"owners":     func(tb testing.TB) protector.Protector { tb.Helper(); return newFirstShares(tb) },
		} {
			t.Run(name+", sealed by "+kind, func(t *testing.T) {
				t.Parallel()
				rotateKilled(t, protect(t), until)
			})
		}
	}
}

func rotateKilled(t *testing.T, p protector.Protector, until func(b *place) error) {
	t.Helper()
	dir := t.TempDir()
	b := start(t, dir, p)
	b.addOwner("a", "b")
	key, info := b.newKey("a", "rows")
	b.do(func(tx *store.Tx) error { return b.v.RemoveOwner(tx, "b") })
	b.do(func(tx *store.Tx) error { _, err := b.v.HPKEKey(tx); return err })
	if err := until(b); err != nil {
		t.Fatal(err)
	}
	b.stop()
	for range 2 {
		b = start(t, dir, p)
		if !b.key(info.Ref).Equal(key) {
			t.Error("another key")
		}
		b.do(func(tx *store.Tx) error { _, err := b.v.HPKEKey(tx); return err })
		if b.root.file.Previous != nil {
			t.Error("the rotation is not over")
		}
		b.stop()
	}
	// What is unlocked can be changed as it is.
	b = start(t, dir, p)
	if err := b.v.RotateRoot(t.Context(), b.st); err != nil {
		t.Error(err)
	}
	b.stop()
	start(t, dir, p).stop()
}

// firstShares is protector.OwnersSeal for two owners who unlock each start with
// the shares that they got first, and never get others.
type firstShares struct {
	*protector.OwnersSeal
	t       testing.TB
	persons map[string]*age.X25519Identity
	shares  map[string]*shares.Share
}

func newFirstShares(tb testing.TB) *firstShares {
	tb.Helper()
	f := &firstShares{t: tb, persons: map[string]*age.X25519Identity{}, shares: map[string]*shares.Share{}}
	var owners []protector.OwnerRecipients
	for _, name := range []string{"a", "c"} {
		person, err := age.GenerateX25519Identity()
		if err != nil {
			tb.Fatal(err)
		}
		f.persons[name] = person
		owners = append(owners, protector.OwnerRecipients{Owner: name, Threshold: 1, Recipients: []string{person.Recipient().String()}})
	}
	f.renew(owners)
	return f
}

// renew is what a start has of the seal: nothing but the owners, at first.
func (f *firstShares) renew(owners []protector.OwnerRecipients) {
	seal, err := protector.NewOwners(testBroker, owners, func(_ context.Context, all []protector.Delivery) error {
		for _, d := range all {
			switch {
			case len(d.Sealed) == 0:
			case f.shares[d.Set.Owner] != nil:
				return fmt.Errorf("owner %s would need other shares", d.Set.Owner)
			default:
				share, err := shares.Open(d.Sealed[0], f.persons[d.Set.Owner])
				if err != nil {
					return err
				}
				f.shares[d.Set.Owner] = share
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.OwnersSeal = seal
}

// Unseal is called at each start, with the first shares and nothing else known.
func (f *firstShares) Unseal(ctx context.Context, sealed, associated []byte) (secret.Bytes, error) {
	f.renew(nil)
	for owner, share := range f.shares {
		one := *share
		one.Value = share.Value.Clone()
		if err := f.Give(owner, &one); err != nil {
			return secret.Bytes{}, err
		}
	}
	return f.OwnersSeal.Unseal(ctx, sealed, associated)
}

// nextRoot begins to change the root key, up to the root file.
func (p *place) nextRoot() (*Root, error) {
	mark, err := p.v.mark(p.t.Context(), p.st)
	if err != nil {
		return nil, err
	}
	return p.v.nextRoot(p.t.Context(), mark)
}

// TestRemovedOwnerStaysClosed: owner b was removed by the others, who have every
// file that the host ever saw and, handed over to a program of theirs, the root
// key of afterwards.
func TestRemovedOwnerStaysClosed(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir(), newFixed(t)
	b := start(t, dir, p)
	b.addOwner("a", "b")
	_, info := b.newKey("b", "rows")
	before := filepath.Join(t.TempDir(), "before")
	if err := os.CopyFS(before, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	var subRoot ownerRecord
	b.do(func(tx *store.Tx) error {
		if _, err := get(tx, bucketOwners, "b", &subRoot); err != nil {
			return err
		}
		return b.v.RemoveOwner(tx, "b")
	})
	next, err := b.nextRoot()
	if err != nil {
		t.Fatal(err)
	}
	during, err := os.ReadFile(b.options().Path)
	if err != nil {
		t.Fatal(err)
	}
	root := next.key.Clone() // handed over later
	b.stop()
	b = start(t, dir, p) // goes on
	if !b.v.current().key.Equal(root) || b.v.current().file.Previous != nil {
		t.Fatal("the root key was not changed")
	}
	// With the new root they open no root that came before it.
	file, err := parseRoot(during)
	if err != nil {
		t.Fatal(err)
	}
	previous := file.file.Previous
	for _, purpose := range []string{purposePrevious, purposeRoot, purposeStoreKey} {
		l := file.previousLabel(previous)
		l.purpose = purpose
		if _, err := unwrap(root, l, previous.Wrapped); err == nil {
			t.Error("the new root opens the old one")
		}
	}
	if _, err := unwrap(root, b.v.subRootLabel("b", subRoot.ID), subRoot.Wrapped); err == nil {
		t.Error("the new root opens the sub-root of the removed owner")
	}
	// Nor does the broker's own program, which opens the old root, take the store
	// from before over to the new one.
	if err := os.WriteFile(filepath.Join(before, "root.json"), during, 0o600); err != nil {
		t.Fatal(err)
	}
	old := &place{t: t, dir: before, p: p}
	opened, err := OpenRoot(t.Context(), old.options())
	if err != nil {
		t.Fatal(err)
	}
	st := openStore(t, before, opened)
	if _, err := Open(t.Context(), st, opened, Options{Now: testNow}); !errors.Is(err, ErrTampered) {
		t.Errorf("the store from before goes with the root file of afterwards: %v", err)
	}
	if err := st.View(func(tx *store.Tx) error {
		var kept ownerRecord
		_, err := get(tx, bucketOwners, "b", &kept)
		if err == nil && !bytes.Equal(kept.Wrapped, subRoot.Wrapped) {
			t.Errorf("the sub-root of %s was wrapped anew", info.Owner)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestOlderRootFile puts the root file from before a rotation back.
func TestOlderRootFile(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a")
	old, err := os.ReadFile(b.options().Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.v.RotateRoot(t.Context(), b.st); err != nil {
		t.Fatal(err)
	}
	b.stop()
	if err := os.WriteFile(b.options().Path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := OpenRoot(t.Context(), b.options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), openStore(t, b.dir, root), root, Options{Now: testNow}); !errors.Is(err, ErrTampered) {
		t.Errorf("the old root goes with the new store: %v", err)
	}
}
