//go:build peers

package peers_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"cloister/trust/approval"
	"cloister/trust/sshsig/sktest"
)

// sshKeygen runs OpenSSH's program for keys and signatures.
func sshKeygen(t *testing.T, stdin []byte, args ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ssh-keygen", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ssh-keygen %v: %w\n%s", args, err, out)
	}
	return nil
}

// OpenSSH accepts what Cloister signs, for its purpose and no other, with keys of
// every type, security keys among them.
func TestOpenSSHVerifiesOurSignatures(t *testing.T) {
	t.Parallel()
	message := []byte("cloister policy change\n")
	for name, key := range signingKeys(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := key.Sign(rand.Reader, approval.ForPolicy, message)
			if err != nil {
				t.Fatal(err)
			}
			text, err := s.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			signers, sig := filepath.Join(dir, "signers"), filepath.Join(dir, "sig")
			write(t, signers, []byte("owner "+key.Public().String()+"\n"))
			write(t, sig, text)
			verify := []string{"-Y", "verify", "-f", signers, "-I", "owner", "-s", sig, "-n"}
			if err := sshKeygen(t, message, append(verify, string(approval.ForPolicy))...); err != nil {
				t.Error(err)
			}
			if err := sshKeygen(t, message, append(verify, string(approval.ForFreeze))...); err == nil {
				t.Error("accepted for another purpose")
			}
			if err := sshKeygen(t, message[1:], append(verify, string(approval.ForPolicy))...); err == nil {
				t.Error("accepted for another message")
			}
		})
	}
}

// Cloister accepts what OpenSSH signs, and reads its keys with and without a
// passphrase.
func TestWeVerifyOpenSSHsSignatures(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			file, _ := newKey(t, kind, "")
			message := filepath.Join(t.TempDir(), "message")
			write(t, message, []byte("cloister policy change\n"))
			if err := sshKeygen(t, nil, "-Y", "sign", "-n", string(approval.ForPolicy), "-f", file, message); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(message + ".sig")
			if err != nil {
				t.Fatal(err)
			}
			s, err := approval.ParseSignature(text)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(approval.ForPolicy, []byte("cloister policy change\n")); err != nil {
				t.Error(err)
			}
			if err := s.Verify(approval.ForJob, []byte("cloister policy change\n")); err == nil {
				t.Error("accepted for another purpose")
			}
			public, err := os.ReadFile(file + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			if key, err := approval.ParsePublicKey(public); err != nil || key != s.Key() {
				t.Errorf("public key: %v, %v", key, err)
			}
		})
	}
}

func signingKeys(t *testing.T) map[string]*approval.PrivateKey {
	t.Helper()
	all := make(map[string]*approval.PrivateKey)
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		for _, passphrase := range []string{"", "open sesame"} {
			_, all[kind+" "+passphrase] = newKey(t, kind, passphrase)
		}
	}
	for _, kind := range []sktest.Kind{sktest.Ed25519, sktest.ECDSA} {
		token, err := sktest.New(kind)
		if err != nil {
			t.Fatal(err)
		}
		if all[string(kind)], err = approval.NewPrivateKey(token); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// newKey has OpenSSH make a key.
func newKey(t *testing.T, kind, passphrase string) (string, *approval.PrivateKey) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	args := []string{"-q", "-t", kind, "-N", passphrase, "-C", "owner", "-f", file}
	if kind == "rsa" {
		args = append(args, "-b", "3072")
	}
	if err := sshKeygen(t, nil, args...); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var secret []byte
	if passphrase != "" {
		secret = []byte(passphrase)
	}
	key, err := approval.ParsePrivateKey(text, secret)
	if err != nil {
		t.Fatal(err)
	}
	return file, key
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
