package cli

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"cloister/trust/broker/vault/protector"
)

// transitEngine answers as Vault's transit engine does, and encrypts nothing.
func transitEngine(t *testing.T, token string) (server *httptest.Server, ca string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var q struct{ Plaintext, Ciphertext string }
		err := json.NewDecoder(r.Body).Decode(&q)
		if err != nil || r.Header.Get("X-Vault-Token") != token {
			http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
			return
		}
		data := map[string]string{}
		switch r.URL.Path {
		case "/v1/transit/encrypt/cloister":
			data["ciphertext"] = "vault:v1:" + q.Plaintext
		case "/v1/transit/decrypt/cloister":
			data["plaintext"] = strings.TrimPrefix(q.Ciphertext, "vault:v1:")
		default:
			http.NotFound(w, r)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(server.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, ca, asked
}

// TestBrokerRootInVault keeps the root key in Vault's transit engine, with the
// token from a file, and then from a descriptor.
func TestBrokerRootInVault(t *testing.T) {
	t.Parallel()
	server, ca, asked := transitEngine(t, "s.token")
	o := newOperated(t, "")
	o.stop()
	token := filepath.Join(o.dir, "token")
	if err := os.WriteFile(token, []byte("s.token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(o.dir, "vault-state")
	serve := []string{
		"broker", "serve", "--json", "--dir", state, "--broker", "clinics", "--listen", "127.0.0.1:0", "--insecure-broker-host",
		"--policy", filepath.Join(o.dir, "policy.yaml"), "--vault-address", server.URL, "--vault-key", "cloister", "--vault-ca", ca,
	}
	ready, stop := startServer(t, append(serve, "--vault-token-file", token))
	stop()
	again, stop := startServer(t, append(serve, "--vault-token-fd", openDescriptor(t, token)))
	stop()
	if ready.TLSKey != again.TLSKey || asked.Load() < 2 {
		t.Errorf("it is another broker, or Vault was not asked: %d", asked.Load())
	}
	if err := os.WriteFile(token, []byte("another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runBroker(t.Context(), append(serve[1:], "--vault-token-file", token)...); code != ExitInput || !strings.Contains(errs, "permission denied") || strings.Contains(errs, "s.token") {
		t.Errorf("another token: exit %d: %s", code, errs)
	}
	// A store that is gone is not begun anew.
	if err := os.WriteFile(token, []byte("s.token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(state, "store")); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runBroker(t.Context(), append(serve[1:], "--vault-token-file", token)...); code != ExitInput || !strings.Contains(errs, "no store is there") {
		t.Errorf("without a store: exit %d: %s", code, errs)
	}
}

func TestBrokerRootFlags(t *testing.T) {
	t.Parallel()
	serve := []string{"serve", "--dir", t.TempDir(), "--broker", "clinics", "--insecure-broker-host"}
	for name, c := range map[string]struct {
		args   []string
		reason string
	}{
		"two ways":        {[]string{"--passphrase-fd", "9", "--cloud-kms", "awskms://x"}, "one of --passphrase-fd"},
		"no token":        {[]string{"--vault-address", "https://vault:8200", "--vault-key", "k"}, "--vault-token-file"},
		"two tokens":      {[]string{"--vault-address", "https://vault:8200", "--vault-key", "k", "--vault-token-file", "f", "--vault-token-fd", "9"}, "one of --vault-token-file"},
		"no key":          {[]string{"--vault-address", "https://vault:8200", "--vault-token-file", "f"}, "--vault-key"},
		"no address":      {[]string{"--passphrase-fd", "9", "--vault-key", "k"}, "need --vault-address"},
		"no https":        {[]string{"--vault-address", "http://vault:8200", "--vault-key", "k", "--vault-token-file", "f"}, "https://HOST:PORT"},
		"a cloud, no tag": {[]string{"--cloud-kms", "awskms://alias/x"}, "-tags cloudkms"},
	} {
		if code, _, errs := runBroker(t.Context(), append(serve, c.args...)...); code != ExitInput || !strings.Contains(errs, c.reason) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
	}
}

// TestBrokerRootInTEE refuses there what the host supplies, before it is asked.
func TestBrokerRootInTEE(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]rootKey{
		"passphrase": {passphraseFD: 1 << 20, vaultTokenFD: -1},
		"vault":      {passphraseFD: -1, vaultTokenFD: -1, vault: protector.TransitOptions{Address: "https://127.0.0.1:1", Key: "k"}, vaultToken: "none"},
		"cloud kms":  {passphraseFD: -1, vaultTokenFD: -1, cloudKMS: "awskms://alias/x"},
	} {
		if err := k.check(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _, err := k.open(t.Context(), "clinics", "", true)
		if !errors.Is(err, protector.ErrHostSupplied) || exitCode(err) != ExitRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
