package audit

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"cloister/trust/broker/store"
)

// BenchmarkAppend is entries per second, each on disk before it counts, by the
// number of requests at a time; BenchmarkSync of the store is what the disk
// allows alone.
func BenchmarkAppend(b *testing.B) {
	for _, clients := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			l, st, _ := newLog(b, Options{})
			b.SetParallelism(clients)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					add(b, st, l, "patients/2026-11/version-3")
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(st.Stats().Syncs)/b.Elapsed().Seconds(), "syncs/s")
		})
	}
}

// BenchmarkOpen is the time from nothing to a log that takes entries, store
// included.
func BenchmarkOpen(b *testing.B) {
	for _, entries := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			dir := b.TempDir()
			sealer, err := store.NewSealer(make([]byte, store.KeySize))
			if err != nil {
				b.Fatal(err)
			}
			storeOpts := store.Options{Create: true, Sealer: sealer}
			signer, verifier := keys(b)
			opts := Options{Signer: signer, Verifier: verifier, Quorum: new(quorum), Now: now}
			start := func() (*store.Store, *Log) {
				st, err := store.Open(dir, storeOpts)
				if err != nil {
					b.Fatal(err)
				}
				l, err := Open(st, opts)
				if err != nil {
					b.Fatal(err)
				}
				return st, l
			}
			st, l := start()
			for i := 0; i < entries; i += 1000 {
				err := st.Update(context.Background(), func(tx *store.Tx) error {
					for range 1000 {
						if _, err := l.Append(tx, &Entry{Type: "release", Request: "0123456789abcdef", Client: "workload/training", Subject: "patients/2026-11", Decision: Granted, Reason: "all checks passed"}); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := l.round(b.Context(), false); err != nil {
				b.Fatal(err)
			}
			if err := st.Compact(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := st.Close(); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for range b.N {
				st, l := start()
				b.StopTimer()
				if n, err := l.Size(); err != nil || n != int64(entries) {
					b.Fatalf("%d entries, %v", n, err)
				}
				if err := st.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkWait is entries per second that take effect, without the time that
// witnesses take, by the number of requests at a time.
func BenchmarkWait(b *testing.B) {
	for _, clients := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			l, st, _ := newLog(b, Options{})
			var once sync.Once
			b.SetParallelism(clients)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := l.Wait(context.Background(), add(b, st, l, "patients/2026-11/version-3")); err != nil {
						once.Do(func() { b.Error(err) })
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
