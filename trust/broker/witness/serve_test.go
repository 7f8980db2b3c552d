package witness

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cloister/trust/broker/audit"
)

// TestServer serves a witness with few limits, and stops it.
func TestServer(t *testing.T) {
	t.Parallel()
	_, logKey := logKeys(t)
	signer := newSigner(t, "w.example", at(0))
	w, err := New(openStore(t, t.TempDir()), signer, []note.Verifier{logKey}, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(w, Limits{Burst: 3, Rate: 1e-6, ConnectionsPerClient: 2}, nil)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: ClientTLS(&signer.Verifier)}}
	defer client.CloseIdleConnections()
	ask := func(method, path string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+l.Addr().String()+path, strings.NewReader("old 0\n\n"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	for i, want := range []int{http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusTooManyRequests} {
		path := []string{"/healthz", "/add-checkpoint", "/other", "/healthz"}[i]
		method := []string{http.MethodGet, http.MethodPost, http.MethodGet, http.MethodGet}[i]
		if got := ask(method, path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	var metrics strings.Builder
	s.metrics(&metrics)
	if !strings.Contains(metrics.String(), `cloister_witness_answers_total{status="429"} 1`) {
		t.Errorf("metrics:\n%s", metrics.String())
	}
	// One connection is the client's, a second may be, and a third is closed.
	connect := func() net.Conn {
		t.Helper()
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	second, last := connect(), connect()
	defer last.Close()
	if err := last.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := last.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection too many is open: %v", err)
	}
	// The end would wait for it to ask something.
	second.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestReset puts a witness back, to a checkpoint that its log signed and that is
// not newer.
func TestReset(t *testing.T) {
	t.Parallel()
	logSigner, logKey := logKeys(t)
	signer := newSigner(t, "w.example", at(0))
	w, peer := serve(t, signer, logKey)
	st := openStore(t, t.TempDir())
	l := startLog(t, st, logSigner, logKey, newQuorum(t, logKey, 0, peer))
	var notes []string
	for _, subject := range []string{"one", "two", "three"} {
		witnessed, err := release(t.Context(), st, l, subject)
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, witnessed.Note)
	}
	other, _ := logKeys(t)
	forged, err := (&audit.Checkpoint{Origin: origin, Size: 1}).Sign(other)
	if err != nil {
		t.Fatal(err)
	}
	ahead, err := (&audit.Checkpoint{Origin: origin, Size: 9}).Sign(logSigner)
	if err != nil {
		t.Fatal(err)
	}
	for name, signed := range map[string][]byte{"another key's": forged, "a newer one": ahead, "none": []byte("x")} {
		if _, err := w.Reset(t.Context(), signed); err == nil {
			t.Errorf("%s: the witness was put back", name)
		}
	}
	before, err := w.Reset(t.Context(), []byte(notes[0]))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := audit.ParseCheckpoint(string(before)); err != nil || c.Size < 3 {
		t.Errorf("it was at %v, %v", c, err)
	}
	if c, _, err := w.Latest(origin); err != nil || c.Size < 1 || c.Size > 2 {
		t.Errorf("it is at %v, %v", c, err)
	}
}
