package read_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"

	"cloister/engine/dataset/read"
)

// fixture is the table of testdata/make_parquet.py.
func fixture() rows {
	want := rows{Names: []string{"i8", "u32", "u64", "f16", "f32", "f64", "flag", "dec", "big", "text"}}
	for i := range 300 {
		x := float64(i)
		flag := 0.0
		if i%3 == 0 {
			flag = 1
		}
		row := []float64{
			float64(i%100 - 50), 1<<32 - 1 - x, float64(^uint64(0) - uint64(i)<<40), x / 8,
			float64(float32(i) / 3), x / 3, flag, (x*37 - 5000) / 100, (x - 150) * 1e22, 0,
		}
		if i%7 == 3 {
			for j := range len(row) - 1 {
				row[j] = nan
			}
		}
		want.Dense = append(want.Dense, row)
		want.Label = append(want.Label, float32(i%2))
	}
	return want
}

func TestParquetTypes(t *testing.T) {
	t.Parallel()
	opt := read.Options{Ignore: []read.ColumnRef{read.ByName("text")}}
	for _, name := range []string{"types.parquet", "types_v2.parquet"} {
		for _, threads := range []int{1, 2, 8} {
			opt.Threads = threads
			table, err := read.Open(context.Background(), read.File(filepath.Join("testdata", name)), opt)
			if err != nil {
				t.Fatal(err)
			}
			if table.Format() != read.Parquet || !table.Ignored(9) || table.Ignored(0) {
				t.Errorf("format %v, ignored %v %v", table.Format(), table.Ignored(9), table.Ignored(0))
			}
			s, err := table.Sample(context.Background(), 1000, 1)
			if err != nil {
				t.Fatal(err)
			}
			if !s.All || s.Total != 300 || s.Label[1] != 1 {
				t.Errorf("sample: all %v, total %d", s.All, s.Total)
			}
			got, err := collect(table)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fixture(), got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, %d threads: rows (-want +got):\n%s", name, threads, diff)
			}
		}
	}
}

func TestParquetFromAStream(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/types.parquet")
	if err != nil {
		t.Fatal(err)
	}
	zipped := []byte(gzipped(t, string(data)))
	for name, src := range map[string]read.Source{
		"standard input": read.Stdin(bytes.NewReader(data)),
		"gzip":           read.Bytes("table", zipped),
		"gzip once":      read.Stdin(bytes.NewReader(zipped)),
	} {
		table, err := read.Open(context.Background(), src, read.Options{Ignore: []read.ColumnRef{read.ByName("text")}})
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := table.Sample(context.Background(), 10, 1); err != nil {
			t.Fatal(name, err)
		}
		got, err := collect(table)
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(fixture(), got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: rows (-want +got):\n%s", name, diff)
		}
	}
	_, err = read.Open(context.Background(), read.Bytes("table", zipped), read.Options{MaxSpool: 1000})
	if err == nil || !strings.Contains(err.Error(), "cannot be read at any place") {
		t.Errorf("a spool that is too small: error = %v", err)
	}
}

func writeParquet[T any](tb testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestParquetErrors(t *testing.T) {
	t.Parallel()
	type flat struct {
		Y float64  `parquet:"y"`
		A *float64 `parquet:"a"`
		W int32    `parquet:"w"`
	}
	type text struct {
		Y float64 `parquet:"y"`
		S string  `parquet:"s"`
	}
	type nested struct {
		Y float64   `parquet:"y"`
		L []float64 `parquet:"l"`
	}
	one, inf := 1.0, math.Inf(1)
	good := writeParquet(t, []flat{{1, &one, 1}, {0, nil, 2}})
	for name, c := range map[string]struct {
		data []byte
		opt  read.Options
		want string
	}{
		"text":            {writeParquet(t, []text{{1, "a"}}), read.Options{}, "table: column s: holds text, not numbers; convert the column to numbers or name it in ignore_column"},
		"nested":          {writeParquet(t, []nested{{1, []float64{2}}}), read.Options{}, "table: column l: holds nested values, not numbers; convert the column to numbers or name it in ignore_column"},
		"no rows":         {writeParquet(t, []flat{}), read.Options{}, "table: has no rows; check that it is the right file"},
		"infinite":        {writeParquet(t, []flat{{1, &one, 1}, {0, &inf, 2}}), read.Options{}, "table: row 2: column a: the value is infinite; write finite numbers, or null for a missing value"},
		"missing label":   {writeParquet(t, []flat{{1, &one, 1}, {nan, &one, 2}}), read.Options{CheckLabel: true}, "table: row 2: column y: the label is missing; remove the row or fill in its label"},
		"negative weight": {writeParquet(t, []flat{{1, &one, -1}}), read.Options{Weight: read.ByName("w")}, "table: row 1: column w: the weight is negative; weights must be finite and not negative"},
		"group":           {writeParquet(t, []flat{{1, &one, 1}, {1, nil, 1}}), read.Options{Group: read.ByName("a")}, "table: row 2: column a: the group is missing; the group column must hold whole numbers, equal for the rows of one query"},
		"truncated":       {good[:len(good)-9], read.Options{}, "table: is truncated Parquet; write or copy the file again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, err := read.Open(context.Background(), read.Bytes("table", c.data), c.opt)
			if err == nil {
				_, err = collect(table)
			}
			if err == nil || err.Error() != c.want {
				t.Errorf("error\n got: %v\nwant: %s", err, c.want)
			}
			if name == "truncated" && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error("the error does not wrap io.ErrUnexpectedEOF")
			}
		})
	}
}

// TestParquetDamage changes every byte of a small file: an error or other
// numbers may come, but neither a panic nor a hang.
func TestParquetDamage(t *testing.T) {
	t.Parallel()
	type flat struct {
		Y int32    `parquet:"y,delta"`
		A *float64 `parquet:"a,dict,snappy"`
	}
	one := 1.0
	good := writeParquet(t, []flat{{1, &one}, {0, nil}, {1, &one}})
	for i := range good {
		for _, flip := range []byte{1, 0x80, 0xff} {
			data := bytes.Clone(good)
			data[i] ^= flip
			if table, err := read.Open(context.Background(), read.Bytes("table", data), read.Options{}); err == nil {
				_ = table.Rows(context.Background(), func(*read.Batch) error { return nil })
			}
		}
	}
}
