package brokertest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"cloister/trust/broker"
	"cloister/trust/broker/brokertest"
	"cloister/trust/internal/likegramine"
)

func init() {
	modes["gramine"] = func(s *brokertest.Setup) error { return tour(s, false) }
	modes["gramine without locks"] = func(s *brokertest.Setup) error { return tour(s, true) }
}

// TestLikeGramine runs a whole broker where flock, links and shared file mappings
// return ENOSYS, with the record locks that Gramine has, and with none: it is made,
// opens again, and serves.
func TestLikeGramine(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"gramine", "gramine without locks"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w, err := brokertest.New(t.TempDir(), 0)
			if err != nil {
				t.Fatal(err)
			}
			if out, err := child(t, mode, &w.Setup).Output(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// tour runs in the child. The world that it was given is another process's, whose
// keys it does not have, so that it makes its own.
func tour(s *brokertest.Setup, noLocks bool) error {
	w, err := brokertest.New(s.Dir, 0)
	if err != nil {
		return err
	}
	if err := likegramine.Enter(s.Dir, noLocks); err != nil {
		return err
	}
	for run := range 3 {
		if err := visit(w, uint64(run)+1); err != nil {
			return fmt.Errorf("start %d: %w", run+1, err)
		}
	}
	return nil
}

// visit starts the broker, gets a key by an order and a release, and stops it.
func visit(w *brokertest.World, version uint64) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready, done := make(chan *brokertest.Ready, 1), make(chan error, 1)
	go func() {
		done <- w.Setup.Serve(ctx, slog.New(slog.DiscardHandler), func(_ *broker.Broker, r *brokertest.Ready) { ready <- r })
	}()
	var s *brokertest.Session
	var err error
	select {
	case err := <-done:
		return err
	case r := <-ready:
		s, err = w.Open(ctx, r)
	}
	switch {
	case err != nil:
	case version == 1:
		err = s.Begin(ctx)
	default:
		_, err = s.AddVersion(ctx, w.Owners[0], brokertest.DataSet, version)
	}
	if err == nil {
		_, err = s.Client.Release(ctx, w.Enclave(brokertest.Trainer), brokertest.Job("fixed"), []broker.Want{brokertest.Want("a", version)})
	}
	cancel()
	return errors.Join(err, <-done)
}
