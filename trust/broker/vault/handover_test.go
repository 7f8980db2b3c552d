package vault

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/protector"
)

// TestHandOver gives the root key to an upgraded broker, and to no other.
func TestHandOver(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b", "gone")
	b.do(func(tx *store.Tx) error { return b.v.RemoveOwner(tx, "gone") })
	key, info := b.newKey("a", "rows")
	kem, _, _ := suite()
	private, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	good := HandOver{
		Broker: testBroker, Policy: [32]byte{1}, Measurement: []byte("new"), Nonce: [32]byte{2},
		RecipientKey: private.PublicKey().Bytes(), Approved: []string{"b", "a"}, Expires: testTime.Add(time.Minute),
	}
	give := func(d HandOver) (sealed []byte, err error) {
		err = b.st.View(func(tx *store.Tx) error { sealed, err = b.v.HandOverRoot(tx, d); return err })
		return sealed, err
	}
	for name, change := range map[string]func(*HandOver){
		"one owner has not signed": func(d *HandOver) { d.Approved = []string{"a"} },
		"a removed owner did":      func(d *HandOver) { d.Approved = []string{"a", "gone"} },
		"nobody signed":            func(d *HandOver) { d.Approved = nil },
		"another broker":           func(d *HandOver) { d.Broker = "broker-2" },
		"no policy":                func(d *HandOver) { d.Policy = [32]byte{} },
		"no nonce":                 func(d *HandOver) { d.Nonce = [32]byte{} },
		"no measurement":           func(d *HandOver) { d.Measurement = nil },
		"no key":                   func(d *HandOver) { d.RecipientKey = nil },
		"half a key":               func(d *HandOver) { d.RecipientKey = d.RecipientKey[1:] },
		"expired":                  func(d *HandOver) { d.Expires = testTime },
		"valid for ever":           func(d *HandOver) { d.Expires = testTime.Add(2 * time.Hour) },
	} {
		d := good
		change(&d)
		if _, err := give(d); err == nil {
			t.Errorf("%s: is handed over", name)
		}
	}
	// The present root opens what "gone" had in older copies of the store.
	if _, err := give(good); err == nil || !strings.Contains(err.Error(), "it has to be changed first") {
		t.Errorf("before the root key was changed: %v", err)
	}
	if _, err := b.v.mark(t.Context(), b.st); err != nil {
		t.Fatal(err)
	}
	if _, err := give(good); err == nil || !strings.Contains(err.Error(), "it has to be changed first") {
		t.Errorf("while the root key is changed: %v", err)
	}
	if err := b.v.RotateRoot(t.Context(), b.st); err != nil {
		t.Fatal(err)
	}
	sealed, err := give(good)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, b.v.current().key.Expose()) {
		t.Error("the root key is in the clear")
	}
	next := &place{t: t, dir: t.TempDir(), p: newFixed(t)}
	foreign, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := AcceptRoot(t.Context(), foreign, good, sealed, next.options()); !errors.Is(err, protector.ErrSealed) {
		t.Errorf("another key opens it: %v", err)
	}
	for name, change := range map[string]func(*HandOver){
		"policy": func(d *HandOver) { d.Policy[0]++ }, "measurement": func(d *HandOver) { d.Measurement = []byte("else") },
		"nonce": func(d *HandOver) { d.Nonce[0]++ }, "approved": func(d *HandOver) { d.Approved = []string{"a"} },
		"expiry": func(d *HandOver) { d.Expires = d.Expires.Add(time.Second) }, "broker": func(d *HandOver) { d.Broker = "c" },
	} {
		d := good
		change(&d)
		if _, err := AcceptRoot(t.Context(), private, d, sealed, next.options()); err == nil {
			t.Errorf("another %s: it opens", name)
		}
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := AcceptRoot(t.Context(), private, good, changed, next.options()); err == nil {
			t.Fatalf("byte %d changed: it opens", i)
		}
	}
	o := next.options()
	o.Protector = passphrase(t)
	if _, err := AcceptRoot(t.Context(), private, good, sealed, o); !errors.Is(err, protector.ErrHostSupplied) {
		t.Errorf("it is put under a passphrase in a TEE: %v", err)
	}
	b.stop()
	next.dir = b.dir // the new broker on the old store, with a root file of its own
	o = next.options()
	o.Path += ".new"
	root, err := AcceptRoot(t.Context(), private, good, sealed, o)
	if err != nil {
		t.Fatal(err)
	}
	next.open(root)
	if !next.key(info.Ref).Equal(key) {
		t.Error("another key")
	}
	if _, err := OpenRoot(t.Context(), o); err != nil {
		t.Errorf("after a start: %v", err)
	}
}
