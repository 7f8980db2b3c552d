package vault

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/broker/store"
	"cloister/trust/secret"
)

func TestNames(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", strings.Repeat("x", 64), "a.b-c_d", "0")
	for _, name := range []string{"", "A", "a/b", "../a", "a..b", ".a", "a.", "a\x00", "a b", "ä", "a\n", "a%2f", strings.Repeat("x", 65), "a-", "-a"} {
		if b.try(func(tx *store.Tx) error { return b.v.AddOwner(tx, name) }) == nil {
			t.Errorf("owner %q is added", name)
		}
		if b.try(func(tx *store.Tx) error { _, err := b.v.NewKey(tx, "a", name, Data); return err }) == nil {
			t.Errorf("data set %q gets a key", name)
		}
		if name != "" && b.try(func(tx *store.Tx) error { _, err := b.v.Keys(tx, "a", name); return err }) == nil {
			t.Errorf("data set %q is listed", name)
		}
	}
	if err := b.try(func(tx *store.Tx) error { return b.v.AddOwner(tx, "a") }); !errors.Is(err, ErrExists) {
		t.Errorf("an owner twice: %v", err)
	}
}

func TestUses(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a")
	for use, n := range map[Use]int{Data: 32, GramineMount: 16} {
		var info KeyInfo
		b.do(func(tx *store.Tx) (err error) {
			info, err = b.v.NewKey(tx, "a", string("x"+use), use)
			return err
		})
		if key := b.key(info.Ref); key.Len() != n {
			t.Errorf("%s: %d bytes", use, key.Len())
		}
	}
	for _, use := range []Use{Opaque, "", "else"} {
		if b.try(func(tx *store.Tx) error { _, err := b.v.NewKey(tx, "a", "s", use); return err }) == nil {
			t.Errorf("a key of use %q is made", use)
		}
	}
}

// TestKeysOfOneOwner destroys a version and an owner, and looks at what is left.
func TestDestroy(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b")
	_, first := b.newKey("a", "rows")
	second, secondInfo := b.newKey("a", "rows")
	kept, keptInfo := b.newKey("b", "rows")
	b.do(func(tx *store.Tx) error { return b.v.DestroyKey(tx, first.Ref) })
	b.do(func(tx *store.Tx) error { return b.v.DestroyKey(tx, first.Ref) }) // again is nothing new
	if err := b.keyError(first.Ref); !errors.Is(err, ErrDestroyed) {
		t.Errorf("a destroyed version: %v", err)
	}
	if !b.key(secondInfo.Ref).Equal(second) {
		t.Error("the other version went with it")
	}
	b.do(func(tx *store.Tx) error { return b.v.RemoveOwner(tx, "a") })
	if err := b.keyError(secondInfo.Ref); !errors.Is(err, ErrDestroyed) {
		t.Errorf("a removed owner's key: %v", err)
	}
	if err := b.try(func(tx *store.Tx) error { _, err := b.v.NewKey(tx, "a", "rows", Data); return err }); !errors.Is(err, ErrDestroyed) {
		t.Errorf("a removed owner's new key: %v", err)
	}
	if !b.key(keptInfo.Ref).Equal(kept) {
		t.Error("another owner's key changed")
	}
	b.addOwner("a") // comes back
	if err := b.keyError(secondInfo.Ref); !errors.Is(err, ErrDestroyed) {
		t.Errorf("the key of an owner who came back: %v", err)
	}
	if _, info := b.newKey("a", "rows"); info.Version != 3 {
		t.Errorf("a version is used again: %d", info.Version)
	}
}

// TestErasure removes an owner and looks for what the owner's wrapped sub-root
// and keys were in what the store then has, and tries the new root key on them.
func TestErasure(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b")
	_, info := b.newKey("a", "rows")
	var wrapped [][]byte
	b.do(func(tx *store.Tx) error {
		for bucket, key := range map[string]string{bucketOwners: "a", bucketKeys: info.Ref.String()} {
			value, _ := tx.Get(bucket, key)
			wrapped = append(wrapped, bytes.Clone(value))
		}
		return b.v.RemoveOwner(tx, "a")
	})
	if err := b.st.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.v.RotateRoot(t.Context(), b.st); err != nil {
		t.Fatal(err)
	}
	for _, value := range b.dump() {
		for _, w := range wrapped {
			if bytes.Equal(value, w) {
				t.Error("a record of the removed owner is still there")
			}
		}
	}
	var owner ownerRecord
	if err := decode(wrapped[0], &owner); err != nil || len(owner.Wrapped) == 0 {
		if err = decode(wrapped[1], &owner); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.v.unwrapRoot(owner.Root, b.v.subRootLabel("a", owner.ID), owner.Wrapped); !errors.Is(err, ErrRotated) {
		t.Errorf("the new root opens what was under the old: %v", err)
	}
}

// TestErasureOfFiles destroys a version, and removes an owner, in a store whose
// files can be read, and looks for the wrapped keys in them: they are there until
// the store is compacted, and not after it.
func TestErasureOfFiles(t *testing.T) {
	t.Parallel()
	b := &place{t: t, dir: t.TempDir(), p: newFixed(t)}
	var err error
	if b.root, err = CreateRoot(t.Context(), b.options()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(b.dir, "store")
	if b.st, err = store.Open(dir, store.Options{Create: true}); err != nil { // not sealed
		t.Fatal(err)
	}
	t.Cleanup(func() { b.st.Close() })
	if b.v, err = Open(t.Context(), b.st, b.root, Options{Now: testNow}); err != nil {
		t.Fatal(err)
	}
	b.addOwner("a", "b")
	_, version := b.newKey("a", "rows")
	_, removed := b.newKey("b", "rows")
	records := map[string][]byte{}
	for name, value := range b.dump() {
		switch name {
		case bucketKeys + "\x00" + version.Ref.String(), bucketKeys + "\x00" + removed.Ref.String(), bucketOwners + "\x00b":
			records[name] = value
		}
	}
	found := func() (n int) {
		files, err := filepath.Glob(filepath.Join(dir, "*-*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files: %v", err)
		}
		for _, value := range records {
			for _, name := range files {
				content, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				n += bytes.Count(content, value)
			}
		}
		return n
	}
	b.do(func(tx *store.Tx) error {
		if err := b.v.DestroyKey(tx, version.Ref); err != nil {
			return err
		}
		return b.v.RemoveOwner(tx, "b")
	})
	if n := found(); n != 3 || len(records) != 3 {
		t.Errorf("%d of %d records are in the files before the store is compacted", n, len(records))
	}
	if err := b.st.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := found(); n != 0 {
		t.Errorf("%d records are in the files after the store was compacted", n)
	}
}

// dump is every value in the store.
func (p *place) dump() map[string][]byte {
	p.t.Helper()
	all := map[string][]byte{}
	err := p.st.View(func(tx *store.Tx) error {
		for _, bucket := range tx.Buckets() {
			for key, value := range tx.Range(bucket, "", "") {
				all[bucket+"\x00"+key] = bytes.Clone(value)
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// TestSwappedRecords puts each key's record in the place of each other's.
func TestSwappedRecords(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b")
	var refs []Ref
	for _, owner := range []string{"a", "b"} {
		for _, set := range []string{"x", "y", "x"} {
			_, info := b.newKey(owner, set)
			refs = append(refs, info.Ref)
		}
	}
	records := b.dump()
	for _, from := range refs {
		for _, to := range refs {
			if from == to {
				continue
			}
			b.do(func(tx *store.Tx) error {
				return tx.Put(bucketKeys, to.String(), records[bucketKeys+"\x00"+from.String()])
			})
			if err := b.keyError(to); !errors.Is(err, ErrTampered) {
				t.Errorf("%s in the place of %s: %v", from, to, err)
			}
			b.do(func(tx *store.Tx) error {
				return tx.Put(bucketKeys, to.String(), records[bucketKeys+"\x00"+to.String()])
			})
		}
	}
	b.do(func(tx *store.Tx) error { return tx.Put(bucketOwners, "a", records[bucketOwners+"\x00b"]) })
	if err := b.keyError(refs[0]); !errors.Is(err, ErrTampered) {
		t.Errorf("another owner's sub-root: %v", err)
	}
}

func TestBringKey(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b")
	var public []byte
	b.do(func(tx *store.Tx) error {
		key, err := b.v.HPKEKey(tx)
		if err != nil {
			return err
		}
		public = key.PublicKey().Bytes()
		return nil
	})
	own := secret.Copy(bytes.Repeat([]byte{9}, 32))
	first := Ref{"a", "rows", 1}
	wrapped, err := WrapKey(public, testBroker, first, Data, own)
	if err != nil {
		t.Fatal(err)
	}
	bring := func(ref Ref, use Use, wrapped []byte) (info KeyInfo, err error) {
		err = b.try(func(tx *store.Tx) error {
			info, err = b.v.BringKey(tx, ref, use, wrapped)
			return err
		})
		return info, err
	}
	otherBroker, err := WrapKey(public, "broker-2", first, Data, own)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ref     Ref
		use     Use
		wrapped []byte
	}{
		"another owner":    {Ref{"b", "rows", 1}, Data, wrapped},
		"another data set": {Ref{"a", "rows2", 1}, Data, wrapped},
		"a later version":  {Ref{"a", "rows", 2}, Data, wrapped},
		"another use":      {first, Opaque, wrapped},
		"another broker":   {first, Data, otherBroker},
		"cut":              {first, Data, wrapped[:len(wrapped)-1]},
		"empty":            {first, Data, nil},
		"too long":         {first, Data, make([]byte, 1<<20)},
		"unknown owner":    {Ref{"c", "rows", 1}, Data, wrapped},
	} {
		if _, err := bring(c.ref, c.use, c.wrapped); err == nil {
			t.Errorf("%s: is brought in", name)
		}
	}
	info, err := bring(first, Data, wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if info.Origin != Brought || !b.key(first).Equal(own) {
		t.Errorf("it is not what was brought: %+v", info)
	}
	if _, err := bring(first, Data, wrapped); err == nil {
		t.Error("it is brought in a second time")
	}
	if _, err := bring(Ref{"a", "rows", 2}, Data, wrapped); err == nil {
		t.Error("it is brought in again as the next version")
	}
	if _, err := WrapKey(public, testBroker, first, Data, secret.Copy([]byte("short"))); err == nil {
		t.Error("a short key is wrapped")
	}
	if _, err := WrapKey(public[1:], testBroker, first, Data, own); err == nil {
		t.Error("a key is wrapped to half a public key")
	}
	password := secret.Copy([]byte("a password"))
	wrapped, err = WrapKey(public, testBroker, Ref{"a", "keystore", 1}, Opaque, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bring(Ref{"a", "keystore", 1}, Opaque, wrapped); err != nil || !b.key(Ref{"a", "keystore", 1}).Equal(password) {
		t.Errorf("a secret: %v", err)
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b")
	_, one := b.newKey("a", "rows")
	_, two := b.newKey("a", "rows")
	_, three := b.newKey("a", "rows")
	register := func(e Entry) error { return b.try(func(tx *store.Tx) error { return b.v.Register(tx, e) }) }
	for _, e := range []Entry{testEntry(one, "1"), testEntry(one, "1"), testEntry(three, "3")} {
		if err := register(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := register(testEntry(one, "other")); !errors.Is(err, ErrExists) {
		t.Errorf("another digest for a version: %v", err)
	}
	if err := register(testEntry(two, "2")); !errors.Is(err, ErrExists) {
		t.Errorf("a version below the last: %v", err)
	}
	for name, change := range map[string]func(*Entry){
		"no digest":          func(e *Entry) { e.Digest = nil },
		"short terms":        func(e *Entry) { e.Terms = e.Terms[1:] },
		"no signature":       func(e *Entry) { e.TermsSignature = nil },
		"another key":        func(e *Entry) { e.KeyID = one.ID },
		"version without":    func(e *Entry) { e.Version = 1000 },
		"another owner":      func(e *Entry) { e.Owner = "b" },
		"unknown owner":      func(e *Entry) { e.Owner = "c" },
		"version zero":       func(e *Entry) { e.Version = 0 },
		"name with a border": func(e *Entry) { e.DataSet = "rows/x" },
	} {
		_, four := b.newKey("a", "rows")
		e := testEntry(four, "4")
		change(&e)
		if err := register(e); err == nil {
			t.Errorf("%s: is registered", name)
		}
	}
	list := func() (all []Entry, err error) {
		err = b.st.View(func(tx *store.Tx) error { all, err = b.v.Registered(tx, "a", "rows"); return err })
		return all, err
	}
	want := []Entry{testEntry(one, "1"), testEntry(three, "3")}
	want[0].Registered, want[1].Registered = testTime, testTime
	got, err := list()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	records := b.dump()
	for name, change := range map[string]func(tx *store.Tx) error{
		"first entry gone": func(tx *store.Tx) error { return tx.Delete(bucketRegister, one.Ref.String()) },
		"digest changed": func(tx *store.Tx) error {
			return tx.Put(bucketRegister, three.Ref.String(), bytes.Replace(records[bucketRegister+"\x00"+three.Ref.String()], []byte(`"digest":"`), []byte(`"digest":"A`), 1))
		},
		"entry in another's place": func(tx *store.Tx) error {
			return tx.Put(bucketRegister, three.Ref.String(), records[bucketRegister+"\x00"+one.Ref.String()])
		},
		"entry of another data set": func(tx *store.Tx) error {
			return tx.Put(bucketRegister, two.Ref.String(), records[bucketRegister+"\x00"+one.Ref.String()])
		},
	} {
		b.do(change)
		if _, err := list(); !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
		b.do(func(tx *store.Tx) error {
			if err := tx.Delete(bucketRegister, two.Ref.String()); err != nil {
				return err
			}
			for _, ref := range []Ref{one.Ref, three.Ref} {
				if err := tx.Put(bucketRegister, ref.String(), records[bucketRegister+"\x00"+ref.String()]); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func TestOwn(t *testing.T) {
	t.Parallel()
	dir, p := t.TempDir(), newFixed(t)
	b := start(t, dir, p)
	var first, again []byte
	sign := func(into *[]byte) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			key, err := b.v.OwnSigner(tx, "log")
			*into = key
			return err
		}
	}
	b.do(sign(&first))
	b.stop()
	b = start(t, dir, p)
	b.do(sign(&again))
	if !bytes.Equal(first, again) {
		t.Error("the broker has another key after a start")
	}
	b.do(func(tx *store.Tx) error { return b.v.DeleteOwn(tx, "log") })
	err := b.try(func(tx *store.Tx) error { _, err := b.v.Own(tx, "log"); return err })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted secret: %v", err)
	}
	if b.try(func(tx *store.Tx) error { _, err := b.v.OwnRandom(tx, "hpke/x", 4); return err }) == nil {
		t.Error("a path is a name")
	}
}

// TestNothingInTheClear looks for keys in every file of a broker's directory,
// and in the records of its store.
func TestNothingInTheClear(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a")
	key, _ := b.newKey("a", "rows")
	secrets := map[string][]byte{"root": b.root.key.Expose(), "data key": key.Expose()}
	b.do(func(tx *store.Tx) error {
		subRoot, err := b.v.subRoot(tx, "a")
		secrets["sub-root"] = subRoot.Expose()
		return err
	})
	look := func(where string, content []byte) {
		for name, s := range secrets {
			for form, text := range encodings(s) {
				if bytes.Contains(content, text) {
					t.Errorf("%s lies in %s, %s", name, where, form)
				}
			}
		}
	}
	for name, value := range b.dump() {
		look(name, value)
	}
	files, err := filepath.Glob(filepath.Join(b.dir, "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range append(files, filepath.Join(b.dir, "root.json")) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		look(name, content)
		if name != filepath.Join(b.dir, "root.json") && bytes.Contains(content, []byte(`"wrapped"`)) {
			t.Errorf("the records of %s are in the clear", name)
		}
	}
}

// encodings are the forms in which a secret could lie in JSON or in a message.
func encodings(s []byte) map[string][]byte {
	return map[string][]byte{
		"as it is":       s,
		"in base64":      []byte(strings.TrimRight(base64.StdEncoding.EncodeToString(s), "=")),
		"in hexadecimal": []byte(hex.EncodeToString(s)),
		"as a list":      bytes.Trim(fmt.Append(nil, s), "[]"),
	}
}

// TestErrorsHoldNoSecrets collects what the vault says when it refuses, with and
// without its causes, and looks for keys in it.
func TestErrorsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b")
	key, info := b.newKey("a", "rows")
	other, _ := b.newKey("b", "rows")
	secrets := [][]byte{b.root.key.Expose(), key.Expose(), other.Expose()}
	var said []string
	note := func(err error) {
		if err == nil {
			t.Error("nothing was refused")
		}
		said = append(said, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
	fail := func(fn func(tx *store.Tx) error) { note(b.try(fn)) }
	brought := secret.Copy(bytes.Repeat([]byte("brought"), 4))
	secrets = append(secrets, brought.Expose())
	var public []byte
	b.do(func(tx *store.Tx) error {
		private, err := b.v.HPKEKey(tx)
		if err == nil {
			public = private.PublicKey().Bytes()
		}
		return err
	})
	_, err := WrapKey(public, testBroker, Ref{"a", "rows", 2}, Data, brought)
	note(err)
	wrapped, err := WrapKey(public, testBroker, Ref{"a", "rows", 2}, Opaque, brought)
	if err != nil {
		t.Fatal(err)
	}
	fail(func(tx *store.Tx) error { _, err := b.v.BringKey(tx, Ref{"a", "rows", 2}, Data, wrapped); return err })
	fail(func(tx *store.Tx) error { _, err := b.v.BringKey(tx, Ref{"b", "rows", 2}, Opaque, wrapped); return err })
	fail(func(tx *store.Tx) error { return b.v.SetOwn(tx, "../x", key) })
	fail(func(tx *store.Tx) error { _, err := b.v.OwnRandom(tx, "hpke", 7); return err })
	fail(func(tx *store.Tx) error { return b.v.Register(tx, testEntry(KeyInfo{Ref: info.Ref}, "content")) })
	note(b.keyError(Ref{"a", "none", 1}))
	b.do(func(tx *store.Tx) error {
		return tx.Put(bucketKeys, info.Ref.String(), []byte(`{"format":1,"wrapped":"AAAA"}`))
	})
	note(b.keyError(info.Ref))
	b.stop()
	o := b.options()
	o.Protector = newFixed(t)
	_, err = OpenRoot(t.Context(), o)
	note(err)
	for _, text := range said {
		for _, s := range secrets {
			for form, encoded := range encodings(s) {
				if len(encoded) > 0 && strings.Contains(text, string(encoded)) {
					t.Errorf("an error holds a key, %s: %s", form, text)
				}
			}
		}
	}
}

// TestConcurrent makes and opens keys while the root key is changed.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a")
	key, info := b.newKey("a", "rows")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				err := b.st.View(func(tx *store.Tx) error {
					got, _, err := b.v.Key(tx, info.Ref)
					if err == nil && !got.Equal(key) {
						t.Error("another key")
					}
					return err
				})
				if err != nil && !errors.Is(err, ErrRotated) {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				err := b.try(func(tx *store.Tx) error { _, err := b.v.NewKey(tx, "a", "rows", Data); return err })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if err := b.v.RotateRoot(t.Context(), b.st); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	var keys []KeyInfo
	b.do(func(tx *store.Tx) (err error) { keys, err = b.v.Keys(tx, "a", ""); return err })
	if len(keys) != 41 || keys[40].Version != 41 {
		t.Errorf("%d keys", len(keys))
	}
}

func BenchmarkKey(b *testing.B) {
	p := start(b, b.TempDir(), newFixed(b))
	p.addOwner("a")
	_, info := p.newKey("a", "rows")
	for b.Loop() {
		p.key(info.Ref).Zero()
	}
}
