package insecure_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
)

var reportData = attest.ReportData{1, 2, 3}

func produce(tb testing.TB, dir string) *attest.Evidence {
	tb.Helper()
	e, err := insecure.NewProducer(dir).Produce(context.Background(), reportData)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func verify(e *attest.Evidence) (*attest.Verification, error) {
	return insecure.NewVerifier().Verify(context.Background(), e)
}

func TestProduceAndVerify(t *testing.T) {
	t.Parallel()
	e := produce(t, t.TempDir())
	got, err := verify(e)
	if err != nil {
		t.Fatal(err)
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := got.Claims
	if hash := sha256.Sum256(program); !bytes.Equal(c.InsecureNone.Binary, hash[:]) {
		t.Errorf("the binary is %s, want %x", c.InsecureNone.Binary, hash)
	}
	machine := sha256.Sum256(c.InsecureNone.MachineKey)
	if c.Platform != attest.InsecureNone || c.ReportData != reportData || !c.Debug || !bytes.Equal(c.Machine, machine[:]) {
		t.Errorf("claims are %+v", c)
	}
	last := got.Checks[len(got.Checks)-1]
	if last.Name != "protection" || !strings.Contains(last.Detail, "protects nothing") {
		t.Errorf("nothing says that nothing is protected: %+v", got.Checks)
	}
}

// TestEveryByte changes each byte in turn, cuts and pads: all is refused.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	e := produce(t, t.TempDir())
	refused := func(what string, i int, quote []byte) {
		if _, err := verify(&attest.Evidence{Platform: attest.InsecureNone, Quote: quote}); !errors.Is(err, attest.ErrRefused) {
			t.Errorf("%s %d: %v", what, i, err)
		}
	}
	for i := range e.Quote {
		for bit := range 8 {
			quote := bytes.Clone(e.Quote)
			quote[i] ^= 1 << bit
			refused("changed byte", i, quote)
		}
		refused("cut at", i, e.Quote[:i])
	}
	refused("padded to", len(e.Quote)+1, append(bytes.Clone(e.Quote), 0))
}

func TestRefused(t *testing.T) {
	t.Parallel()
	quote := produce(t, t.TempDir()).Quote
	for name, e := range map[string]*attest.Evidence{
		"nothing":           nil,
		"another platform":  {Platform: attest.SGX, Quote: quote},
		"with endorsements": {Platform: attest.InsecureNone, Quote: quote, Endorsements: []byte{1}},
	} {
		got, err := verify(e)
		if !errors.Is(err, attest.ErrRefused) || len(got.Failed()) != 1 {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
}

// TestForged shows what the platform's name says: anyone can make such evidence.
func TestForged(t *testing.T) {
	t.Parallel()
	d := insecure.Document{Binary: [32]byte{9}, ReportData: reportData}
	d.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	got, err := verify(&attest.Evidence{Platform: attest.InsecureNone, Quote: d.Encode()})
	if err != nil || got.Claims.InsecureNone.Binary[0] != 9 {
		t.Errorf("%v", err)
	}
}

// TestMachineKey: of many processes that start at once all get one key, in a file
// that others cannot read.
func TestMachineKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	keys := make([][]byte, 20)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			d, err := insecure.Parse(produce(t, dir).Quote)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = d.MachineKey
		})
	}
	all.Wait()
	for _, k := range keys[1:] {
		if !bytes.Equal(k, keys[0]) {
			t.Fatal("there are several machine keys")
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the directory has %v, %v", entries, err)
	}
	info, err := entries[0].Info()
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the key has mode %v, %v", info.Mode(), err)
	}
}

func TestBadMachineKey(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(path string) error{
		"readable by others": func(path string) error { return os.Chmod(path, 0o640) },
		"empty":              func(path string) error { return os.Truncate(path, 0) },
		"cut":                func(path string) error { return os.Truncate(path, 60) },
		"another key": func(path string) error {
			return os.WriteFile(path, []byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			produce(t, dir)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, entries[0].Name())
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			_, err = insecure.NewProducer(dir).Produce(context.Background(), reportData)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(produce(f, f.TempDir()).Quote)
	f.Add([]byte(insecure.Magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := insecure.Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(d.Encode(), b) {
			t.Error("what was parsed is encoded otherwise")
		}
		d.Verify()
	})
}
