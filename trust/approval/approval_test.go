package approval

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"cloister/trust/sshsig/sktest"
)

// pemKey is a new Ed25519 key in PEM, both halves.
func pemKey(tb testing.TB) (private, public []byte) {
	tb.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return pemOf(tb, "PRIVATE KEY", key), pemOf(tb, "PUBLIC KEY", pub)
}

func pemOf(tb testing.TB, kind string, key any) []byte {
	tb.Helper()
	var der []byte
	var err error
	if kind == "PUBLIC KEY" {
		der, err = x509.MarshalPKIXPublicKey(key)
	} else {
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// opensshKey is a new Ed25519 key in the form of OpenSSH.
func opensshKey(tb testing.TB, passphrase string) []byte {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "comment")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "comment", []byte(passphrase))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

// TestForms: a key of either form signs, its signature survives its text, and
// counts for its purpose, its message and its key alone.
func TestForms(t *testing.T) {
	t.Parallel()
	private, public := pemKey(t)
	token, err := sktest.New(sktest.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	fromPEM, err := ParsePrivateKey(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := ParsePublicKey(public); err != nil || parsed != fromPEM.Public() {
		t.Errorf("public key in PEM: %v, %v", parsed, err)
	}
	fromSSH, err := ParsePrivateKey(opensshKey(t, ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	fromToken, err := NewPrivateKey(token)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("what is signed\n")
	for name, key := range map[string]*PrivateKey{"PEM": fromPEM, "OpenSSH": fromSSH, "security key": fromToken} {
		made, err := key.Sign(rand.Reader, ForPolicy, message)
		if err != nil {
			t.Fatal(err)
		}
		text, err := made.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		s := new(Signature)
		if err := s.UnmarshalText(text); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if s.Key() != key.Public() {
			t.Errorf("%s: another key", name)
		}
		if err := s.Verify(ForPolicy, message); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, purpose := range []Purpose{ForFreeze, ForUnfreeze, ForJob, ForRestore, "", "file"} {
			if err := s.Verify(purpose, message); !errors.Is(err, ErrRefused) {
				t.Errorf("%s: for %q: %v", name, purpose, err)
			}
		}
		if err := s.Verify(ForPolicy, message[1:]); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: another message: %v", name, err)
		}
	}
}

// TestFormsDoNotMix: what a key signed in one form is not taken in the other.
func TestFormsDoNotMix(t *testing.T) {
	t.Parallel()
	private, _ := pemKey(t)
	key, err := ParsePrivateKey(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := key.Sign(rand.Reader, ForPolicy, []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	// A zero byte in the message cannot move the border of the purpose.
	if other := (&Signature{key: s.key, raw: s.raw}); other.Verify("policy-v1@cloister\x00m", nil) == nil {
		t.Error("the purpose swallowed the message")
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	var keys []*PrivateKey
	var public []PublicKey
	for range 3 {
		private, _ := pemKey(t)
		k, err := ParsePrivateKey(private, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys, public = append(keys, k), append(public, k.Public())
	}
	sign := func(i int, message string) *Signature {
		s, err := keys[i].Sign(rand.Reader, ForPolicy, []byte(message))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b, other := sign(0, "m"), sign(1, "m"), sign(2, "other")
	for name, c := range map[string]struct {
		keys []PublicKey
		with []*Signature
		want int
	}{
		"none":               {public, nil, 0},
		"one":                {public, []*Signature{a}, 1},
		"two":                {public, []*Signature{a, b}, 2},
		"one twice":          {public, []*Signature{a, a}, 1},
		"another message":    {public, []*Signature{a, other}, 1},
		"nothing":            {public, []*Signature{nil, a}, 1},
		"a stranger":         {public[:1], []*Signature{b}, 0},
		"a key listed twice": {[]PublicKey{public[0], public[0]}, []*Signature{a}, 1},
		"no key":             {[]PublicKey{{}}, []*Signature{{}}, 0},
	} {
		if got := Count(c.keys, ForPolicy, []byte("m"), c.with); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestPublicKeys(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	weakSSH, err := ssh.NewPublicKey(&weak.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, public := pemKey(t)
	good, err := ParsePublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	line := good.String()
	if with, err := ParsePublicKey([]byte(line + " a comment of words\n")); err != nil || with != good {
		t.Errorf("with a comment: %v, %v", with, err)
	}
	_, blob, _ := strings.Cut(line, " ")
	for name, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "not a public key"},
		"a word":              {"ssh-ed25519", "not a public key"},
		"two lines":           {line + "\n" + line, "a public key is one line"},
		"options":             {`no-touch-required ` + line, "not base64"},
		"another type":        {"ssh-rsa " + blob, `it says "ssh-rsa" and is ssh-ed25519`},
		"no base64":           {"ssh-ed25519 *", "not base64"},
		"cut":                 {"ssh-ed25519 " + blob[:20], "damaged public key"},
		"weak RSA":            {string(ssh.MarshalAuthorizedKey(weakSSH)), "an RSA key of 2048 bits; at least 3072 are wanted"},
		"another key in PEM":  {string(pemOf(t, "PUBLIC KEY", &curve.PublicKey)), "only Ed25519 is accepted there"},
		"a private key":       {string(opensshKey(t, "")), "not one PEM block of type PUBLIC KEY"},
		"two blocks":          {string(public) + string(public), "not one PEM block"},
		"a block and garbage": {string(public) + "x", "not one PEM block"},
	} {
		if k, err := ParsePublicKey([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) || !k.IsZero() {
			t.Errorf("%s: %v, error is %v, want %s", name, k, err, c.want)
		}
	}
}

func TestPrivateKeys(t *testing.T) {
	t.Parallel()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	locked := opensshKey(t, "open sesame")
	if _, err := ParsePrivateKey(locked, []byte("open sesame")); err != nil {
		t.Errorf("with its passphrase: %v", err)
	}
	if _, err := ParsePrivateKey(locked, nil); !errors.Is(err, ErrPassphrase) {
		t.Errorf("without its passphrase: %v", err)
	}
	for name, c := range map[string]struct {
		text       []byte
		passphrase string
		want       string
	}{
		"another passphrase": {locked, "open barley", "the passphrase is not that of the private key"},
		"another type":       {pemOf(t, "PRIVATE KEY", curve), "", "only Ed25519 is accepted there"},
		"nothing":            {nil, "", "not one private key in PEM"},
		"damaged":            {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "", "a damaged private key in PEM"},
		"damaged OpenSSH":    {pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("x")}), "", "a damaged private key of OpenSSH"},
	} {
		var passphrase []byte
		if c.passphrase != "" {
			passphrase = []byte(c.passphrase)
		}
		_, err := ParsePrivateKey(c.text, passphrase)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %s", name, err, c.want)
		}
	}
}

// TestPrivateKeyIsNotPrinted: no verb of fmt shows a byte of it.
func TestPrivateKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	private, _ := pemKey(t)
	key, err := ParsePrivateKey(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "private key of " + key.Public().Fingerprint()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		if got := fmt.Sprintf(verb, key); got != want {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, []*PrivateKey{key}); strings.Contains(got, fmt.Sprintf("%d", key.raw[0])+" "+fmt.Sprintf("%d", key.raw[1])) {
			t.Errorf("%s of a slice prints %s", verb, got)
		}
	}
}

func TestRefusedSignatures(t *testing.T) {
	t.Parallel()
	private, _ := pemKey(t)
	key, err := ParsePrivateKey(private, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := key.Sign(rand.Reader, ForPolicy, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":        {"", "not a signature"},
		"a word":         {"signed", "not a signature"},
		"no members":     {"{}", `of the format ""`},
		"unknown":        {strings.Replace(string(text), "{", `{"x":1,`, 1), "unknown field"},
		"two":            {string(text) + string(text), "something stands behind it"},
		"another format": {strings.Replace(string(text), rawFormat, "x/2", 1), `of the format "x/2"`},
		"cut":            {strings.Replace(string(text), `"signature":"`, `"signature":"AAAA`, 1), "of 67 bytes, not 64"},
		"huge":           {"{" + strings.Repeat(" ", 1<<16) + "}", "too long"},
	} {
		if _, err := ParseSignature([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want %s", name, err, c.want)
		}
	}
}

func FuzzParseSignature(f *testing.F) {
	private, _ := pemKey(f)
	for _, text := range [][]byte{private, opensshKey(f, "")} {
		key, err := ParsePrivateKey(text, nil)
		if err != nil {
			f.Fatal(err)
		}
		s, err := key.Sign(rand.Reader, ForPolicy, nil)
		if err != nil {
			f.Fatal(err)
		}
		seed, err := s.MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSignature(text)
		if err != nil {
			return
		}
		s.Verify(ForPolicy, nil) // must not panic
		out, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSignature(out)
		if err != nil || again.Key() != s.Key() || !bytes.Equal(again.raw, s.raw) {
			t.Fatalf("written and read again: %v", err)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	_, public := pemKey(f)
	f.Add(public)
	key, err := ParsePublicKey(public)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(key.String() + " comment"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParsePublicKey(text)
		if err != nil {
			return
		}
		if again, err := ParsePublicKey([]byte(k.String())); err != nil || again != k {
			t.Fatalf("%q read again: %v, %v", k, again, err)
		}
	})
}
