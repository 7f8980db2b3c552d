package read_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"cloister/engine/dataset/read"
	"cloister/engine/parallel"
)

func parquetGroups(t *testing.T, groups, rows int) []byte {
	t.Helper()
	type record struct{ Label, X float64 }
	var b bytes.Buffer
	w := parquet.NewGenericWriter[record](&b)
	for range groups {
		if _, err := w.Write(make([]record, rows)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPanicReachesCaller: a bug in a goroutine of the reader, or in what it
// calls, must neither end the process past the caller's recover nor hang it.
func TestPanicReachesCaller(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 400_000 { // several blocks
		fmt.Fprintf(&text, "%d,%d,0.5\n", i%2, i)
	}
	path := filepath.Join(t.TempDir(), "train.csv")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	groups := parquetGroups(t, 3, 1000)
	sources := map[string]func() read.Source{
		"text":    func() read.Source { return read.File(path) },
		"once":    func() read.Source { return read.Stdin(strings.NewReader(text.String())) },
		"parquet": func() read.Source { return read.Bytes("t.parquet", groups) },
	}
	boom := func(b *read.Batch) error {
		if b.Seq == 1 {
			panic("boom")
		}
		return nil
	}
	nothing := func(*read.Batch) error { return nil }
	for name, test := range map[string]struct {
		sample, progress bool
		read             func(ctx context.Context, t *read.Table) error
	}{
		"rows":   {read: func(ctx context.Context, t *read.Table) error { return t.Rows(ctx, boom) }},
		"replay": {sample: true, read: func(ctx context.Context, t *read.Table) error { return t.Rows(ctx, boom) }},
		"work": {read: func(ctx context.Context, t *read.Table) error {
			return read.InOrder(ctx, t, func(b *read.Batch) (int, error) { return 0, boom(b) }, func(int) error { return nil })
		}},
		"deliver": {read: func(ctx context.Context, t *read.Table) error {
			return read.InOrder(ctx, t, func(b *read.Batch) (*read.Batch, error) { return &read.Batch{Seq: b.Seq}, nil }, boom)
		}},
		"progress": {progress: true, read: func(ctx context.Context, t *read.Table) error { return t.Rows(ctx, nothing) }},
	} {
		for kind, open := range sources {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				opt := read.Options{Threads: 3}
				if test.progress {
					opt.Progress = func(int64, int64) { panic("boom") }
				}
				table, err := read.Open(t.Context(), open(), opt)
				if err != nil {
					t.Fatal(err)
				}
				defer table.Close()
				if test.sample {
					if _, err := table.Sample(t.Context(), 10, 1); err != nil {
						t.Fatal(err)
					}
				}
				defer func() {
					p, ok := recover().(*parallel.PanicError)
					if !ok || p.Value != "boom" {
						t.Errorf("recovered %+v, want boom", p)
					}
				}()
				err = test.read(t.Context(), table)
				t.Errorf("no panic, but error %v", err)
			})
		}
	}
}
