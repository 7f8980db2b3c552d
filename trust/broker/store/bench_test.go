package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// BenchmarkSync is what the disk allows: one write of a small record and one
// sync after the other.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	record := make([]byte, 400)
	for b.Loop() {
		if _, err := f.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}

// BenchmarkUpdate is transactions per second, each on disk before it is
// answered, by the number that are asked for at a time.
func BenchmarkUpdate(b *testing.B) {
	for _, clients := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), Options{Sealer: testKey(b)})
			var n atomic.Uint64
			value := make([]byte, 300)
			b.SetParallelism(clients)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					key := string(binary.BigEndian.AppendUint64(nil, n.Add(1)))
					err := s.Update(context.Background(), func(tx *Tx) error { return tx.Put("b", key, value) })
					if err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
			b.ReportMetric(float64(s.Stats().Syncs)/b.Elapsed().Seconds(), "syncs/s")
		})
	}
}

// BenchmarkOpen is the time from nothing to a store that answers, by the number
// of keys and by where they are.
func BenchmarkOpen(b *testing.B) {
	for _, keys := range []int{100_000, 1_000_000} {
		for _, compacted := range []bool{true, false} {
			b.Run(fmt.Sprintf("keys=%d/snapshot=%t", keys, compacted), func(b *testing.B) {
				dir := b.TempDir()
				opts := Options{Sealer: testKey(b), CompactAt: 1 << 40}
				s := mustOpen(b, dir, opts)
				fill(b, s, keys)
				if compacted {
					if err := s.Compact(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.ResetTimer()
				for range b.N {
					s, err := Open(dir, opts)
					if err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					if got := s.Stats().Keys; got != keys {
						b.Fatalf("%d keys", got)
					}
					if err := s.Close(); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
			})
		}
	}
}

// fill puts keys that do not come in order, as those of a broker do not.
func fill(tb testing.TB, s *Store, keys int) {
	tb.Helper()
	value := make([]byte, 200)
	for i := 0; i < keys; i += 1000 {
		err := s.Update(context.Background(), func(tx *Tx) error {
			for j := i; j < min(i+1000, keys); j++ {
				key := fmt.Sprintf("key/%016x", uint64(j)*0x9e3779b97f4a7c15)
				if err := tx.Put("b", key, value); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkEntry reads entries of a log at random places, nearly all from disk.
func BenchmarkEntry(b *testing.B) {
	const n = 100_000
	s := mustOpen(b, b.TempDir(), Options{Sealer: testKey(b)})
	for range n / 1000 {
		err := s.Update(b.Context(), func(tx *Tx) error {
			for range 1000 {
				if _, err := tx.Append("l", make([]byte, 600)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	i := uint64(0)
	for b.Loop() {
		i += 0x9e3779b97f4a7c15
		err := s.View(func(tx *Tx) error {
			_, _, err := tx.Entry("l", int64(i%n))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
