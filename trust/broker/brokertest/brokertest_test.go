package brokertest_test

import (
	"context"
	"log/slog"
	"testing"

	"cloister/trust/broker"
	"cloister/trust/broker/brokertest"
)

// serve runs a broker in this process and returns a session with it.
func serve(t *testing.T, w *brokertest.World) *brokertest.Session {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan *brokertest.Ready, 1), make(chan error, 1)
	go func() {
		done <- w.Setup.Serve(ctx, slog.New(slog.DiscardHandler), func(_ *broker.Broker, r *brokertest.Ready) { ready <- r })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case r := <-ready:
		s, err := w.Open(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Client.Close)
		return s
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	return nil
}

// TestRelease has a program with a real quote get keys, with witnesses and
// without.
func TestRelease(t *testing.T) {
	t.Parallel()
	for name, witnesses := range map[string]int{"no witness": 0, "three witnesses": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := brokertest.New(t.TempDir(), witnesses)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			s := serve(t, w)
			if err := s.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			r, err := s.Client.Release(t.Context(), w.Enclave(brokertest.Trainer), brokertest.Job("fixed"), []broker.Want{brokertest.Want("a", 1), brokertest.Want("b", 1)})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Items) != 2 || r.Run != 1 || (r.Receipt.Insecure == "") != (witnesses > 0) {
				t.Errorf("got %+v", r)
			}
		})
	}
}
