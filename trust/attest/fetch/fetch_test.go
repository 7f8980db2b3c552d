package fetch_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cloister/trust/attest/fetch"
)

func TestAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://pccs:8081": "https://pccs:8081", "https://pccs/": "https://pccs", "https://pccs/a/b/": "https://pccs/a/b",
	} {
		if u, err := fetch.Address(text); err != nil || u.String() != want {
			t.Errorf("%s: %v, %v", text, u, err)
		}
	}
	for _, text := range []string{
		"", "pccs", "pccs:8081", "http://pccs", "https://", "https:///path", "https://pccs?", "https://pccs/?x=1", "https://pccs/#x",
		"https://user@pccs", "https://user:secret@pccs", "http://user:secret@pccs", "https://user:secret@pccs\x00",
	} {
		if u, err := fetch.Address(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, %v", text, u, err)
		}
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/plain":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/circle":
			http.Redirect(w, r, "/circle", http.StatusFound)
		case "/once":
			http.Redirect(w, r, "/", http.StatusFound)
		}
	}))
	t.Cleanup(server.Close)
	strict := *server.Client()
	strict.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("not at all") }
	for name, c := range map[string]struct {
		client *http.Client
		path   string
		want   string // empty: no error
	}{
		"to http":          {server.Client(), "/plain", "which is not https"},
		"in a circle":      {server.Client(), "/circle", "redirected too often"},
		"to https":         {server.Client(), "/once", ""},
		"by its own rule":  {&strict, "/once", "not at all"},
		"http by its rule": {&strict, "/plain", "which is not https"},
	} {
		answer, err := fetch.Client(c.client).Get(server.URL + c.path)
		if err == nil {
			_ = answer.Body.Close()
		}
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if fetch.Client(nil) == nil {
		t.Error("no client")
	}
}
