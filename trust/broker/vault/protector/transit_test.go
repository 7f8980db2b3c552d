package protector

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloister/trust/secret"
)

const testToken = "hvs.test-token"

// transitServer answers as the documentation of Vault's transit engine says for
// an aes256-gcm96 key named "root".
type transitServer struct {
	*httptest.Server
	aead  cipher.AEAD
	calls atomic.Int32
	// answer, if set, answers instead.
	answer func(w http.ResponseWriter, r *http.Request, call int32) bool
}

func newTransitServer(t *testing.T) *transitServer {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	s := &transitServer{}
	if s.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *transitServer) options() TransitOptions {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return TransitOptions{
		Address: s.URL, Key: "root", TLS: &tls.Config{RootCAs: roots},
		Token: func() (secret.Bytes, error) { return secret.Copy([]byte(testToken)), nil },
		Wait:  func(context.Context, time.Duration) error { return nil },
	}
}

func (s *transitServer) protector(t *testing.T) *Transit {
	t.Helper()
	p, err := NewTransit(s.options())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *transitServer) serve(w http.ResponseWriter, r *http.Request) {
	if call := s.calls.Add(1); s.answer != nil && s.answer(w, r, call) {
		return
	}
	fail := func(status int, text string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"errors": []string{text}})
	}
	if r.Header.Get("X-Vault-Token") != testToken {
		fail(http.StatusForbidden, "permission denied")
		return
	}
	var in struct {
		Plaintext  []byte `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
		Associated []byte `json:"associated_data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		fail(http.StatusBadRequest, err.Error())
		return
	}
	data := map[string]any{}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/transit/encrypt/root":
		data["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(s.aead.Seal(nil, nil, in.Plaintext, in.Associated))
		data["key_version"] = 1
	case "POST /v1/transit/decrypt/root":
		text, ok := strings.CutPrefix(in.Ciphertext, "vault:v1:")
		sealed, err := base64.StdEncoding.Strict().DecodeString(text)
		if !ok || err != nil {
			fail(http.StatusBadRequest, "invalid ciphertext: could not decode base64")
			return
		}
		plain, err := s.aead.Open(nil, nil, sealed, in.Associated)
		if err != nil {
			fail(http.StatusBadRequest, "cipher: message authentication failed")
			return
		}
		data["plaintext"] = plain
	default:
		fail(http.StatusNotFound, "no handler for route")
		return
	}
	json.NewEncoder(w).Encode(map[string]any{"request_id": "1", "lease_id": "", "renewable": false, "data": data, "warnings": nil})
}

// TestTransitFails meets every way in which Vault, or what stands in its place,
// can fail.
func TestTransitFails(t *testing.T) {
	t.Parallel()
	status := func(code int, until int32) func(http.ResponseWriter, *http.Request, int32) bool {
		return func(w http.ResponseWriter, _ *http.Request, call int32) bool {
			if call > until {
				return false
			}
			w.WriteHeader(code)
			io.WriteString(w, `{"errors":["Vault is sealed\nx"]}`)
			return true
		}
	}
	say := func(text string) func(http.ResponseWriter, *http.Request, int32) bool {
		return func(w http.ResponseWriter, _ *http.Request, _ int32) bool {
			io.WriteString(w, text)
			return true
		}
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request, int32) bool
		change func(*TransitOptions)
		want   string // empty is success
		calls  int32
	}{
		"all is well":         {nil, nil, "", 1},
		"sealed at first":     {status(503, 2), nil, "", 3},
		"sealed":              {status(503, 9), nil, `status 503: Vault is sealed\nx`, 3},
		"overloaded at first": {status(429, 1), nil, "", 2},
		"forbidden":           {status(403, 9), nil, "status 403", 1},
		"no such key":         {nil, func(o *TransitOptions) { o.Key = "other" }, "status 404", 1},
		"no such mount":       {nil, func(o *TransitOptions) { o.Mount = "team/transit" }, "status 404", 1},
		"wrong token": {nil, func(o *TransitOptions) {
			o.Token = func() (secret.Bytes, error) { return secret.Copy([]byte("x")), nil }
		}, "permission denied", 1},
		"no token": {nil, func(o *TransitOptions) {
			o.Token = func() (secret.Bytes, error) { return secret.Bytes{}, errors.New("no token file") }
		}, "no token file", 0},
		"not JSON":      {say("<html>"), nil, "not JSON", 1},
		"no ciphertext": {say(`{"data":{}}`), nil, "no ciphertext", 1},
		"endless":       {say(`{"data":{"ciphertext":"` + strings.Repeat("x", maxReply)), nil, "longer than", 3},
		"unknown root":  {nil, func(o *TransitOptions) { o.TLS = nil }, "certificate", 0},
		"redirect": {func(w http.ResponseWriter, r *http.Request, _ int32) bool {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			return true
		}, nil, "status 307", 1},
		"namespace": {func(w http.ResponseWriter, r *http.Request, _ int32) bool {
			if r.Header.Get("X-Vault-Namespace") != "team/a" {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			return false
		}, func(o *TransitOptions) { o.Namespace = "team/a" }, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTransitServer(t)
			s.Config.ErrorLog = nil
			s.answer = c.answer
			o := s.options()
			if c.change != nil {
				c.change(&o)
			}
			p, err := NewTransit(o)
			if err != nil {
				t.Fatal(err)
			}
			key := rootKey(t)
			_, err = p.Seal(t.Context(), key, associated)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			case err != nil && (strings.Contains(err.Error(), testToken) || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(key.Expose()))):
				t.Errorf("the error tells a secret: %v", err)
			}
			if got := s.calls.Load(); got != c.calls {
				t.Errorf("%d calls, want %d", got, c.calls)
			}
		})
	}
}

func TestTransitUnsealFails(t *testing.T) {
	t.Parallel()
	s := newTransitServer(t)
	p := s.protector(t)
	sealed, err := p.Seal(t.Context(), rootKey(t), associated)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"not base64": `{"data":{"plaintext":"*"}}`, "short": `{"data":{"plaintext":"AAAA"}}`, "empty": `{}`,
		// An engine that ignores associated_data must not open another root.
		"of another root": `{"data":{"plaintext":"` + base64.StdEncoding.EncodeToString(make([]byte, 64)) + `"}}`,
	} {
		s.answer = func(w http.ResponseWriter, _ *http.Request, _ int32) bool { io.WriteString(w, text); return true }
		if _, err := p.Unseal(t.Context(), sealed, associated); err == nil {
			t.Errorf("%s: opens", name)
		}
	}
	s.answer = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Unseal(ctx, sealed, associated); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s.Close()
	if _, err := p.Unseal(t.Context(), sealed, associated); err == nil || errors.Is(err, ErrSealed) {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestTransitOptions(t *testing.T) {
	t.Parallel()
	token := func() (secret.Bytes, error) { return secret.Bytes{}, nil }
	good := TransitOptions{Address: "https://vault.example:8200", Key: "root", Token: token}
	if _, err := NewTransit(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*TransitOptions){
		"not TLS":        func(o *TransitOptions) { o.Address = "http://vault.example:8200" },
		"no host":        func(o *TransitOptions) { o.Address = "https://" },
		"a path":         func(o *TransitOptions) { o.Address += "/v1" },
		"a user":         func(o *TransitOptions) { o.Address = "https://a:b@vault.example" },
		"a query":        func(o *TransitOptions) { o.Address += "?x" },
		"key with slash": func(o *TransitOptions) { o.Key = "../sys" },
		"no key":         func(o *TransitOptions) { o.Key = "" },
		"mount":          func(o *TransitOptions) { o.Mount = "a//b" },
		"namespace":      func(o *TransitOptions) { o.Namespace = "a b" },
		"no token":       func(o *TransitOptions) { o.Token = nil },
		"unverified":     func(o *TransitOptions) { o.TLS = &tls.Config{InsecureSkipVerify: true} },
	} {
		o := good
		change(&o)
		if _, err := NewTransit(o); err == nil {
			t.Errorf("%s: is taken", name)
		}
	}
}

func TestTokenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	token := TokenFile(path)
	if _, err := token(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, content := range []string{"one\n", "two"} { // an agent renews it
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := token()
		if err != nil || string(got.Expose()) != strings.TrimSpace(content) {
			t.Errorf("%q, %v", got.Expose(), err)
		}
	}
	if err := os.WriteFile(path, []byte("a\r\nX-Evil: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := token(); err == nil {
		t.Error("two lines are a token")
	}
}

func FuzzTransitReply(f *testing.F) {
	f.Add(200, []byte(`{"data":{"plaintext":"AAAA","ciphertext":"vault:v1:AAAA"}}`))
	f.Add(503, []byte(`{"errors":["Vault is sealed"]}`))
	f.Add(400, []byte(``))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		reply, err := parseReply(status, secret.Copy(text))
		if (err == nil) != (reply != nil) || err == nil && status != 200 {
			t.Fatalf("status %d gives %v, %v", status, reply, err)
		}
	})
}
