package vault

import (
	"context"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/secret"
)

const testBroker = "broker-1"

var testTime = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func testNow() time.Time { return testTime }

// place is a broker's directory and what opens it.
type place struct {
	t    testing.TB
	dir  string
	p    protector.Protector
	root *Root
	st   *store.Store
	v    *Vault
}

// fixed is a protector for tests: a key that the test keeps.
type fixed struct {
	kek    secret.Bytes
	origin protector.Origin
}

func newFixed(tb testing.TB) *fixed {
	tb.Helper()
	kek, err := secret.Random(nil, 32)
	if err != nil {
		tb.Fatal(err)
	}
	return &fixed{kek, protector.Platform}
}

func (*fixed) Name() string               { return "fixed" }
func (f *fixed) Origin() protector.Origin { return f.origin }

func (f *fixed) Seal(_ context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	return wrap(f.kek, label{purpose: string(associated)}, key)
}

func (f *fixed) Unseal(_ context.Context, sealed, associated []byte) (secret.Bytes, error) {
	key, err := unwrap(f.kek, label{purpose: string(associated)}, sealed)
	if err != nil {
		return key, protector.ErrSealed
	}
	return key, nil
}

func (p *place) options() RootOptions {
	return RootOptions{Path: filepath.Join(p.dir, "root.json"), Broker: testBroker, Protector: p.p, InTEE: true, Now: testNow}
}

// start makes or opens a broker's vault.
func start(tb testing.TB, dir string, p protector.Protector) *place {
	tb.Helper()
	b := &place{t: tb, dir: dir, p: p}
	root, err := OpenRoot(tb.Context(), b.options())
	if errors.Is(err, ErrNoRoot) {
		root, err = CreateRoot(tb.Context(), b.options())
	}
	if err != nil {
		tb.Fatal(err)
	}
	b.open(root)
	return b
}

func (p *place) open(root *Root) {
	p.t.Helper()
	p.root = root
	p.st = openStore(p.t, p.dir, root)
	var err error
	if p.v, err = Open(p.t.Context(), p.st, root, Options{Now: testNow}); err != nil {
		p.t.Fatal(err)
	}
}

func openStore(tb testing.TB, dir string, root *Root) *store.Store {
	tb.Helper()
	sealer, err := root.StoreSealer()
	if err != nil {
		tb.Fatal(err)
	}
	st, err := store.Open(filepath.Join(dir, "store"), store.Options{Create: true, Sealer: sealer})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { st.Close() })
	return st
}

func (p *place) stop() {
	p.t.Helper()
	p.v.Close()
	if err := p.st.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// do runs a transaction that has to succeed.
func (p *place) do(fn func(*store.Tx) error) {
	p.t.Helper()
	if err := p.st.Update(p.t.Context(), fn); err != nil {
		p.t.Fatal(err)
	}
}

// try runs one that may not.
func (p *place) try(fn func(*store.Tx) error) error {
	return p.st.Update(p.t.Context(), fn)
}

func (p *place) addOwner(names ...string) {
	p.t.Helper()
	p.do(func(tx *store.Tx) error {
		for _, name := range names {
			if err := p.v.AddOwner(tx, name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *place) newKey(owner, dataSet string) (secret.Bytes, KeyInfo) {
	p.t.Helper()
	var info KeyInfo
	p.do(func(tx *store.Tx) (err error) {
		info, err = p.v.NewKey(tx, owner, dataSet, Data)
		return err
	})
	return p.key(info.Ref), info
}

func (p *place) key(ref Ref) (key secret.Bytes) {
	p.t.Helper()
	err := p.st.View(func(tx *store.Tx) (err error) {
		key, _, err = p.v.Key(tx, ref)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

func (p *place) keyError(ref Ref) error {
	return p.st.View(func(tx *store.Tx) error {
		_, _, err := p.v.Key(tx, ref)
		return err
	})
}

func testEntry(info KeyInfo, content string) Entry {
	digest, terms := sha256.Sum256([]byte(content)), sha256.Sum256([]byte("terms"))
	return Entry{Ref: info.Ref, KeyID: info.ID, Digest: digest[:], Terms: terms[:], TermsSignature: []byte("signature")}
}

func testIdentities(tb testing.TB, n int) (ids []age.Identity, recipients []string) {
	tb.Helper()
	for range n {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			tb.Fatal(err)
		}
		ids = append(ids, id)
		recipients = append(recipients, id.Recipient().String())
	}
	return ids, recipients
}

func TestKeysOutliveAStart(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir(), newFixed(t)
	b := start(t, dir, p)
	b.addOwner("a", "b")
	keys := map[Ref]secret.Bytes{}
	for _, owner := range []string{"a", "b"} {
		for _, set := range []string{"rows", "rows.more"} {
			for version := uint64(1); version <= 3; version++ {
				key, info := b.newKey(owner, set)
				if info.Version != version {
					t.Errorf("version %d, not %d", info.Version, version)
				}
				for ref, other := range keys {
					if key.Equal(other) {
						t.Errorf("%s and %s have one key", ref, info.Ref)
					}
				}
				keys[info.Ref] = key
			}
		}
	}
	b.stop()
	b = start(t, dir, p)
	for ref, key := range keys {
		if !b.key(ref).Equal(key) {
			t.Errorf("%s has another key after a start", ref)
		}
	}
	if err := b.keyError(Ref{"a", "rows", 4}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
}
