package read_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"cloister/engine/dataset/read"
)

// decimals is a table like those that pandas writes with six digits.
func decimals(rows, features int) []byte {
	r := rand.New(rand.NewPCG(5, 6))
	var b []byte
	for i := range rows {
		b = strconv.AppendInt(b, int64(i%2), 10)
		for range features {
			b = append(b, ',')
			b = strconv.AppendFloat(b, r.Float64(), 'f', 6, 64)
		}
		b = append(b, '\n')
	}
	return b
}

func BenchmarkRows(b *testing.B) {
	csv := decimals(100_000, 28)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("CSV/%d", threads), func(b *testing.B) {
			t, err := read.Open(context.Background(), read.Bytes("table", csv), read.Options{Threads: threads})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(csv)))
			for b.Loop() {
				if err := t.Rows(context.Background(), func(*read.Batch) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("Sample/%d", threads), func(b *testing.B) {
			t, err := read.Open(context.Background(), read.Bytes("table", csv), read.Options{Threads: threads})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(csv)))
			for b.Loop() {
				if _, err := t.Sample(context.Background(), 20_000, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
