package ratls_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/ratls"
)

// connect has a server and a client shake hands, and returns what went wrong at
// either.
func connect(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	failed := make(chan error, 1)
	go func() {
		s := tls.Server(a, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("hello"))
		}
		s.Close()
		failed <- err
	}()
	c := tls.Client(b, client)
	text, err := io.ReadAll(c)
	if err == nil && string(text) != "hello" {
		err = fmt.Errorf("read %q", text)
	}
	b.Close()
	return errors.Join(<-failed, err)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	e := newEnclave()
	anything := func(_ context.Context, v *attest.Verification) error {
		if len(v.Failed()) > 0 {
			return errors.New("it was not verified")
		}
		return nil
	}
	config := func(c *tls.Certificate, accept ratls.Accept) *tls.Config {
		base := &tls.Config{ServerName: "broker"}
		if c != nil {
			base.Certificates = []tls.Certificate{*c}
		}
		required, err := e.verifier().Require(context.Background(), base, accept)
		if err != nil {
			t.Fatal(err)
		}
		return required
	}
	stranger := attesttest.New(attesttest.Config{Seed: "another"})
	foreign := (&enclave{stranger, stranger.Machine(), attest.SGX}).make(t)
	own := e.make(t)
	denied := errors.New("this program is not accepted")
	no := func(context.Context, *attest.Verification) error { return denied }

	if err := connect(t, config(own, anything), config(own, anything)); err != nil {
		t.Errorf("two enclaves: %v", err)
	}
	for name, pair := range map[string][2]*tls.Config{
		"a client with a self-made root": {config(own, anything), config(foreign, anything)},
		"a server with a self-made root": {config(foreign, anything), config(own, anything)},
		"a client without a certificate": {config(own, anything), config(nil, anything)},
		"a client that is not accepted":  {config(own, no), config(own, anything)},
		"a server that is not accepted":  {config(own, anything), config(own, no)},
		"TLS 1.2": {config(own, anything), {
			Certificates: []tls.Certificate{*own}, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12,
		}},
	} {
		if err := connect(t, pair[0], pair[1]); err == nil {
			t.Errorf("%s gets a connection", name)
		}
	}
	if _, err := e.verifier().Require(context.Background(), nil, nil); err == nil {
		t.Error("there is a configuration without a rule of what is accepted")
	}
}
