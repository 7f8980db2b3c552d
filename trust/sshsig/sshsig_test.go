package sshsig

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"cloister/trust/sshsig/sktest"
)

const namespace = "policy-v1@cloister"

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// TestOpenSSH verifies what OpenSSH wrote.
func TestOpenSSH(t *testing.T) {
	t.Parallel()
	message := read(t, "msg")
	for name, key := range map[string]string{
		"ed25519.sig": "ed25519.pub", "ecdsa.sig": "ecdsa.pub", "rsa.sig": "rsa.pub", "ed25519-sha256.sig": "ed25519.pub",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			armored := read(t, name)
			s, err := Parse(armored)
			if err != nil {
				t.Fatal(err)
			}
			want, _, _, _, err := ssh.ParseAuthorizedKey(read(t, key))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(s.Key.Marshal(), want.Marshal()) {
				t.Error("another key")
			}
			if err := s.Verify(namespace, message); err != nil {
				t.Error(err)
			}
			if err := s.Verify(namespace, message[1:]); !errors.Is(err, ErrInvalid) {
				t.Errorf("another message: %v", err)
			}
			if err := s.Verify("file", message); !errors.Is(err, ErrInvalid) {
				t.Errorf("another namespace: %v", err)
			}
			if got := s.Armor(); !bytes.Equal(got, armored) {
				t.Errorf("written again it is\n%s\nnot\n%s", got, armored)
			}
		})
	}
	file, err := Parse(read(t, "ed25519-file.sig"))
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Verify(namespace, message); !errors.Is(err, ErrInvalid) {
		t.Errorf("a signature of a file: %v", err)
	}
}

// signers are keys of every type that can be signed with here.
func signers(tb testing.TB) map[string]ssh.Signer {
	tb.Helper()
	all := make(map[string]ssh.Signer)
	add := func(name string, key any, err error) {
		if err != nil {
			tb.Fatal(err)
		}
		s, err := ssh.NewSignerFromKey(key)
		if err != nil {
			tb.Fatal(err)
		}
		all[name] = s
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add("ed25519", ed, err)
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(name, k, err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 3072)
	add("rsa", r, err)
	for name, kind := range map[string]sktest.Kind{"sk-ed25519": sktest.Ed25519, "sk-ecdsa": sktest.ECDSA} {
		token, err := sktest.New(kind)
		if err != nil {
			tb.Fatal(err)
		}
		all[name] = token
	}
	return all
}

func TestSign(t *testing.T) {
	t.Parallel()
	message := []byte("what is signed\n")
	for name, signer := range signers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := Sign(rand.Reader, signer, namespace, message)
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(made.Armor())
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(namespace, message); err != nil {
				t.Error(err)
			}
			if err := s.Verify(namespace, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("another message: %v", err)
			}
		})
	}
	if _, err := Sign(rand.Reader, signers(t)["ed25519"], "", message); err == nil {
		t.Error("signed without a namespace")
	}
}

// TestEveryByte changes every bit of a signature's blob: none passes.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	message := []byte("what is signed\n")
	for name, signer := range signers(t) {
		if name == "rsa" || name == "p521" || name == "p384" {
			continue // as p256, and slow
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := Sign(rand.Reader, signer, namespace, message)
			if err != nil {
				t.Fatal(err)
			}
			blob := made.blob()
			for i := range blob {
				for _, bit := range []byte{1, 0x80} {
					changed := bytes.Clone(blob)
					changed[i] ^= bit
					s, err := parseBlob(changed)
					if err == nil && bytes.Equal(s.Key.Marshal(), made.Key.Marshal()) && s.Verify(namespace, message) == nil {
						t.Errorf("byte %d of %d changed: accepted", i, len(blob))
					}
				}
			}
			for n := range blob {
				if _, err := parseBlob(blob[:n]); err == nil {
					t.Errorf("cut after %d bytes: accepted", n)
				}
			}
			if _, err := parseBlob(append(bytes.Clone(blob), 0)); err == nil {
				t.Error("with a byte more: accepted")
			}
		})
	}
}

// TestPresence: a security key that nobody touched signs nothing.
func TestPresence(t *testing.T) {
	t.Parallel()
	for _, kind := range []sktest.Kind{sktest.Ed25519, sktest.ECDSA} {
		token, err := sktest.New(kind)
		if err != nil {
			t.Fatal(err)
		}
		for flags, want := range map[byte]bool{0: false, 1: true, 4: false, 5: true, 0xfe: false} {
			token.Flags = flags
			s, err := Sign(rand.Reader, token, namespace, []byte("message"))
			if err != nil {
				t.Fatal(err)
			}
			err = s.Verify(namespace, []byte("message"))
			if want != (err == nil) || err != nil && !strings.Contains(err.Error(), "nobody touched the security key") {
				t.Errorf("%s with flags %#x: %v", kind, flags, err)
			}
			// Flags that are changed afterwards are not those that were signed.
			s.Signature.Rest[0] |= 1
			if err := s.Verify(namespace, []byte("message")); !want && err == nil {
				t.Errorf("%s with the flag of presence added: accepted", kind)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	good := string(read(t, "ed25519.sig"))
	blob := func(edit func(*wire)) string {
		s, err := Parse([]byte(good))
		if err != nil {
			t.Fatal(err)
		}
		w := wire{Version: 1, PublicKey: s.Key.Marshal(), Namespace: s.Namespace, Hash: s.Hash, Signature: ssh.Marshal(*s.Signature)}
		edit(&w)
		return magic + string(ssh.Marshal(w))
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":        {"", "its first line is not"},
		"no end":         {strings.TrimSuffix(good, end+"\n"), "whose last line is not"},
		"two":            {good + good, "not base64"},
		"something else": {strings.Replace(good, "SSH SIGNATURE", "PGP SIGNATURE", 1), "its first line is not"},
		"no base64":      {strings.Replace(good, "AAAA", "A*AA", 1), "not base64"},
		"huge":           {strings.Repeat(good, 1000), "too long"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %s", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		edit func(*wire)
		want string
	}{
		"version 2":      {func(w *wire) { w.Version = 2 }, "of version 2, not 1"},
		"reserved":       {func(w *wire) { w.Reserved = "x" }, "not in the canonical form"},
		"no namespace":   {func(w *wire) { w.Namespace = "" }, "without a namespace"},
		"SHA-1":          {func(w *wire) { w.Hash = "sha1" }, `the hash "sha1"`},
		"no key":         {func(w *wire) { w.PublicKey = nil }, "damaged public key"},
		"no signature":   {func(w *wire) { w.Signature = nil }, "damaged SSH signature"},
		"key and a byte": {func(w *wire) { w.PublicKey = append(w.PublicKey, 0) }, ""},
	} {
		if _, err := parseBlob([]byte(blob(c.edit))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %s", name, err, c.want)
		}
	}
}

// TestSHA1OfRSA: PROTOCOL.sshsig forbids the signature algorithm ssh-rsa.
func TestSHA1OfRSA(t *testing.T) {
	t.Parallel()
	s, err := Parse(read(t, "rsa.sig"))
	if err != nil {
		t.Fatal(err)
	}
	s.Signature.Format = ssh.KeyAlgoRSA
	if err := s.Verify(namespace, read(t, "msg")); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "the algorithm ssh-rsa is not accepted") {
		t.Errorf("error is %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"ed25519.sig", "ecdsa.sig", "rsa.sig"} {
		f.Add(read(f, name))
	}
	token, err := sktest.New(sktest.ECDSA)
	if err != nil {
		f.Fatal(err)
	}
	s, err := Sign(rand.Reader, token, namespace, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Armor())
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.Armor())
		if err != nil || !bytes.Equal(again.blob(), s.blob()) {
			t.Fatalf("written and read again: %v", err)
		}
		s.Verify(namespace, []byte("message")) // must not panic
	})
}

func FuzzParseBlob(f *testing.F) {
	s, err := Parse(read(f, "ed25519.sig"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.blob())
	f.Fuzz(func(t *testing.T, blob []byte) {
		s, err := parseBlob(blob)
		if err == nil && !bytes.Equal(s.blob(), blob) {
			t.Fatal("another blob comes out")
		}
	})
}
