package vault

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"cloister/trust/secret"
)

func testKey(tb testing.TB) secret.Bytes {
	tb.Helper()
	key, err := secret.Random(nil, rootSize)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// TestWrapBindsEverything unwraps under every label that differs in one field,
// and with every byte changed, cut and added.
func TestWrapBindsEverything(t *testing.T) {
	t.Parallel()
	kek, key := testKey(t), testKey(t)
	l := label{broker: "b", purpose: purposeDataKey, owner: "o", dataSet: "d", version: 1, id: "i"}
	wrapped, err := wrap(kek, l, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := unwrap(kek, l, wrapped); err != nil || !got.Equal(key) {
		t.Fatalf("it does not come back: %v", err)
	}
	for name, change := range map[string]func(*label){
		"broker":      func(l *label) { l.broker = "c" },
		"purpose":     func(l *label) { l.purpose = purposeSubRoot },
		"owner":       func(l *label) { l.owner = "p" },
		"data set":    func(l *label) { l.dataSet = "e" },
		"version":     func(l *label) { l.version = 2 },
		"id":          func(l *label) { l.id = "j" },
		"moved bytes": func(l *label) { l.owner, l.dataSet = "od", "" },
	} {
		other := l
		change(&other)
		if _, err := unwrap(kek, other, wrapped); !errors.Is(err, ErrTampered) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if _, err := unwrap(testKey(t), l, wrapped); !errors.Is(err, ErrTampered) {
		t.Errorf("another key: %v", err)
	}
	for i := range wrapped {
		for bit := range 8 {
			changed := bytes.Clone(wrapped)
			changed[i] ^= 1 << bit
			if _, err := unwrap(kek, l, changed); !errors.Is(err, ErrTampered) {
				t.Errorf("byte %d, bit %d: %v", i, bit, err)
			}
		}
		if _, err := unwrap(kek, l, wrapped[:i]); !errors.Is(err, ErrTampered) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := unwrap(kek, l, append(bytes.Clone(wrapped), 0)); !errors.Is(err, ErrTampered) {
		t.Errorf("one byte more: %v", err)
	}
}

// TestWrapIsRandom wraps secrets of random lengths and labels, and looks whether
// they come back and whether two wrappings ever agree.
func TestWrapIsRandom(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string { return "abcdef/\x00"[:r.IntN(8)] }
	for range 500 {
		kek := testKey(t)
		key, err := secret.Random(nil, 1+r.IntN(300))
		if err != nil {
			t.Fatal(err)
		}
		l := label{word(), purposeOwn, word(), word(), r.Uint64(), word()}
		for range 2 {
			wrapped, err := wrap(kek, l, key)
			if err != nil {
				t.Fatal(err)
			}
			if seen[string(wrapped[:13])] {
				t.Fatal("two wrappings have one nonce")
			}
			seen[string(wrapped[:13])] = true
			if got, err := unwrap(kek, l, wrapped); err != nil || !got.Equal(key) {
				t.Fatalf("%d bytes do not come back: %v", key.Len(), err)
			}
		}
	}
}

func FuzzUnwrap(f *testing.F) {
	kek := secret.Copy(make([]byte, rootSize))
	l := label{broker: "b", purpose: purposeDataKey, owner: "o"}
	wrapped, err := wrap(kek, l, secret.Copy([]byte("key")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wrapped)
	f.Add([]byte{wrappedV1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := unwrap(kek, l, b)
		if err == nil && string(key.Expose()) != "key" {
			t.Fatal("a forged key opens")
		}
	})
}

func FuzzRootFile(f *testing.F) {
	f.Add([]byte(`{"format":1,"broker":"b","id":"i","created":"2026-11-25T12:00:00Z","protector":"p","sealed":"AAAA","store_key":"AAAA"}`))
	f.Add([]byte(`{"format":2}`))
	f.Add([]byte(`{"format":1}{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRoot(text)
		if err == nil && r.file.Format != format {
			t.Fatal("an unknown format is read")
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add("a/rows/00000000000000000001", []byte(`{"format":1,"id":"i","use":"data","origin":"made","created":"2026-11-25T12:00:00Z","wrapped":"AAAA"}`))
	f.Add("a", []byte(`{"format":1,"id":"i","created":"2026-11-25T12:00:00Z","recovery":{"set":{},"sealed":["AA=="]}}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if ref, err := parseRef(key); err == nil && ref.String() != key {
			t.Fatalf("%q is read as %s", key, ref)
		}
		for _, into := range []any{&keyRecord{}, &ownerRecord{}, &registerRecord{}, &ownRecord{}, &RestoredState{}, &identity{}} {
			decodeRecord("b", key, value, into) // must not panic
		}
	})
}
