package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloister/trust/approval"
	"cloister/trust/attest/insecure"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
)

// TestBrokerServe starts a broker as an operator does, has its owner approve the
// policy, and starts it again.
func TestBrokerServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := approval.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`format: cloister-policy/1
broker: clinics
version: 1
approvals: 1
insecure-no-witness: true
owners:
  a: {keys: [%q]}
platforms:
  insecure-none: {}
`, key.Public())
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	serve := []string{"broker", "serve", "--json", "--dir", state, "--broker", "clinics", "--listen", "127.0.0.1:0", "--operation", "127.0.0.1:0"}
	with := func(more ...string) []string { return append(append([]string{}, serve...), more...) }
	for name, c := range map[string]struct {
		args   []string
		reason string
	}{
		"not said to be insecure": {with("--passphrase-fd", "9", "--policy", file), "--insecure-broker-host"},
		"no protection":           {with("--policy", file), "--passphrase-fd"},
		"no directory":            {[]string{"broker", "serve"}, "--dir"},
	} {
		var out, errs strings.Builder
		if code := newApp(strings.NewReader(""), &out, &errs).run(t.Context(), c.args); code != ExitInput || !strings.Contains(errs.String(), c.reason) {
			t.Errorf("%s: exit %d: %s", name, code, errs.String())
		}
	}
	ready, stop := startBroker(t, with("--insecure-broker-host", "--policy", file), "correct horse battery")
	client, err := broker.NewClient(broker.ClientOptions{
		Address: ready.Address, Pin: broker.Pin{TLSKey: ready.TLSKey, FirstPolicy: ready.FirstPolicy, Broker: "clinics"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p, err := policy.Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if ready.FirstPolicy != broker.Digest(p.Hash()) || len(ready.Insecure) == 0 {
		t.Errorf("ready: %+v", ready)
	}
	change, err := policy.Compare(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.Sign(rand.Reader, approval.ForPolicy, change.Statement())
	if err != nil {
		t.Fatal(err)
	}
	armor, err := sig.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var answer broker.PolicyAnswer
	err = client.Do(t.Context(), "POST", broker.PathPolicy, &broker.PolicyRequest{Policy: text, Signatures: []string{string(armor)}}, &answer)
	if err != nil || !answer.Applied {
		t.Fatalf("%+v, %v", answer, err)
	}
	if _, _, err := client.Attest(t.Context(), insecure.NewVerifier().Verify); err != nil {
		t.Error(err)
	}
	stop()
	again, stop := startBroker(t, with("--insecure-broker-host"), "correct horse battery")
	if again.TLSKey != ready.TLSKey || again.FirstPolicy != ready.FirstPolicy || again.Log != ready.Log {
		t.Errorf("it is another broker now: %+v, before %+v", again, ready)
	}
	stop()
	var errs strings.Builder
	code := newApp(strings.NewReader(""), io.Discard, &errs).run(t.Context(), with("--insecure-broker-host", "--passphrase-fd", passphraseFD(t, "another passphrase")))
	if code == ExitDone {
		t.Error("another passphrase opens the root key")
	}
	found := sha256.Sum256([]byte("correct horse battery"))
	if strings.Contains(errs.String(), "correct horse") || strings.Contains(errs.String(), fmt.Sprintf("%x", found)) {
		t.Error("the passphrase is shown")
	}
}

// passphraseFD is a descriptor to read a passphrase from. The command closes it.
func passphraseFD(t *testing.T, passphrase string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(path, []byte(passphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return openDescriptor(t, path)
}

// startBroker runs the command until stop is called.
func startBroker(t *testing.T, args []string, passphrase string) (*brokerReady, func()) {
	t.Helper()
	return startServer(t, append(args, "--passphrase-fd", passphraseFD(t, passphrase)))
}

// startServer runs a command that serves a broker until stop is called.
func startServer(t *testing.T, args []string, where ...func(*app)) (*brokerReady, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int, 1)
	var errs strings.Builder
	a := newApp(strings.NewReader(""), w, &errs)
	for _, set := range where {
		set(a)
	}
	go func() {
		code := a.run(ctx, args)
		w.Close()
		done <- code
	}()
	ready := new(brokerReady)
	if err := json.NewDecoder(r).Decode(ready); err != nil {
		cancel()
		t.Fatalf("exit %d: %s", <-done, errs.String())
	}
	go io.Copy(io.Discard, r)
	return ready, func() {
		cancel()
		if code := <-done; code != ExitDone {
			t.Errorf("exit %d: %s", code, errs.String())
		}
	}
}
