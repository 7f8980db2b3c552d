package broker

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// TestDamagedHistory changes a byte of what is on disk alone, and is not needed to
// start: the broker notices while it serves, and ends.
func TestDamagedHistory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	segment := f.intoSegments(t)
	text, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(most time.Duration) error {
		t.Helper()
		if err := f.open(setting{}, false); err != nil {
			t.Fatal(err)
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		err = f.broker.Serve(ctx, l)
		return errors.Join(err, f.broker.Close())
	}
	if err := serve(time.Second / 10); err != nil {
		t.Errorf("undamaged: %v", err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(segment, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := serve(time.Minute); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a changed byte in %s: %v", segment, err)
	}
}

// intoSegments has an entry of a log of its own moved into a segment of the stopped
// broker's store, and returns the segment's file.
func (f *fixture) intoSegments(t *testing.T) string {
	t.Helper()
	root, err := vault.OpenRoot(t.Context(), vault.RootOptions{
		Path: filepath.Join(f.dir, "root"), Broker: "test", Protector: newTestProtector(t), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Zero()
	sealer, err := root.StoreSealer()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(f.dir, "store")
	st, err := store.Open(dir, store.Options{Sealer: sealer, SegmentAt: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Append("history", make([]byte, 100<<10))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); st.Stats().Segments == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no segment: %+v", st.Stats())
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "segment-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	return files[0]
}
