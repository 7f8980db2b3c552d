package read_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"

	"cloister/engine/dataset/read"
)

// fuzzTable reads a table with one and with three threads, as a file and as a
// stream that opens once: all must agree, on the rows or on the error.
func fuzzTable(t *testing.T, data []byte, opt read.Options) {
	t.Helper()
	opt.MaxLine, opt.MaxFeatures, opt.MaxSpool = 1<<16, 1<<12, 1<<20
	read1 := func(threads int, src read.Source, sample bool) (rows, *read.Sample, error) {
		opt.Threads = threads
		table, err := read.Open(background, src, opt)
		if err != nil {
			return rows{}, nil, err
		}
		defer func() { _ = table.Close() }()
		var s *read.Sample
		if sample {
			if s, err = table.Sample(background, 3, 1); err != nil {
				return rows{}, nil, err
			}
		}
		r, err := collect(table)
		return r, s, err
	}
	want, _, wantErr := read1(1, read.Bytes("standard input", data), false)
	var e *read.Error
	if wantErr != nil && !errors.As(wantErr, &e) {
		t.Fatalf("error of another type: %v", wantErr)
	}
	for _, row := range want.Dense {
		for _, v := range row {
			if math.IsInf(v, 0) {
				t.Fatal("an infinite value was read")
			}
		}
	}
	var firstSample *read.Sample
	for _, once := range []bool{false, true} {
		src := read.Bytes("standard input", data)
		src.Once = once
		got, s, err := read1(3, src, true)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("once %v: error %v, want %v", once, err, wantErr)
		}
		if wantErr != nil {
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("once %v: rows (-want +got):\n%s", once, diff)
		}
		if firstSample == nil {
			firstSample = s
		}
		if diff := cmp.Diff(firstSample, s, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("once %v: sample (-want +got):\n%s", once, diff)
		}
	}
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{
		"1,2\n0,3\n", "y,a\n1,2\n", "\xef\xbb\xbfy\t\"a\"\n1\t\n", "1,\"2\",na\r\n\r\n0,3, 4", "1,1e400\n", "1,,\n", "\"\n", "1,2\n1\n",
		"\x1f\x8b\x08\x00", "\x28\xb5\x2f\xfd", "1,2,3\n \n4,5,6\n\n7,8,9\n1,1,1\n2,2,2",
	} {
		f.Add([]byte(s), false, uint8(0))
		f.Add([]byte(s), true, uint8(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, header bool, columns uint8) {
		opt := read.Options{Header: header, CheckLabel: columns&8 > 0, NoLabel: columns&16 > 0}
		if columns&1 > 0 {
			opt.Weight = read.ByIndex(0)
		}
		if columns&2 > 0 {
			opt.Group = read.ByIndex(1)
		}
		if columns&4 > 0 {
			opt.Ignore = []read.ColumnRef{read.ByIndex(2)}
		}
		fuzzTable(t, data, opt)
	})
}

func FuzzLibSVM(f *testing.F) {
	for _, s := range []string{
		"1 0:1 3:2\n0\n", "1 0:1\n1 1:na\t2:-1e5\r\n", "1 5:1 5:1\n", "0:1\n", "1 0:\n", "1 :1\n", "1 99999999999:1\n", "1 1 :2\n", "1 -1:2\n", "1 qid:1 2:3\n",
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(5))
	}
	f.Fuzz(func(t *testing.T, data []byte, columns uint8) {
		opt := read.Options{Format: read.LibSVM, NoLabel: columns&16 > 0}
		if columns&1 > 0 {
			opt.Weight = read.ByIndex(1)
		}
		if columns&2 > 0 {
			opt.Ignore = []read.ColumnRef{read.ByIndex(2)}
		}
		if columns&4 > 0 {
			opt.Features, opt.DropExtra = 3, columns&8 > 0
		}
		fuzzTable(t, data, opt)
	})
}

func FuzzParquet(f *testing.F) {
	type packed struct {
		Y int32    `parquet:"y,delta"`
		A *float64 `parquet:"a,dict,snappy"`
	}
	type zipped struct {
		Y bool    `parquet:"y"`
		A int64   `parquet:"a,gzip"`
		B float32 `parquet:"b,split,zstd"`
	}
	type rare struct {
		Y int32   `parquet:"y,lz4"`
		A float64 `parquet:"a,dict,brotli"`
		B float64 `parquet:"b,dict,lz4"`
	}
	one := 1.0
	// A patch somewhere in a good file gets further than a file of noise.
	for _, data := range [][]byte{
		writeParquet(f, []packed{{1, &one}, {0, nil}}),
		writeParquet(f, []packed{{1, &one}, {0, nil}}, parquet.DataPageVersion(1)),
		writeParquet(f, []zipped{{true, 1, 2}, {false, 3, 4}}),
		writeParquet(f, []rare{{1, 1, 2}, {0, 3, 4}}),
	} {
		for at := 4; at < len(data); at += 16 {
			f.Add(data, uint16(at), []byte{0x7f})
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint16, patch []byte) {
		data = bytes.Clone(data)
		if len(data) > 0 {
			copy(data[int(at)%len(data):], patch)
		}
		table, err := read.Open(background, read.Bytes("table", data), read.Options{Format: read.Parquet, Threads: 1, MaxFeatures: 1 << 12})
		if err != nil {
			return
		}
		n := 0
		err = table.Rows(background, func(b *read.Batch) error {
			if n += b.Rows; n > 1<<22 {
				return errors.New("enough")
			}
			return nil
		})
		var e *read.Error
		if err != nil && err.Error() != "enough" && !errors.As(err, &e) {
			t.Fatalf("error of another type: %v", err)
		}
	})
}

func FuzzSideFile(f *testing.F) {
	for _, s := range []string{"1\n2\n", "1\t2\n3\t4", "\xef\xbb\xbf1", "-1\n", "nan", "1e999", "\x1f\x8b\x08\x00", "top\nside bar\ntop\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src := read.Bytes("side", data)
		if w, err := read.Weights(background, src); err == nil {
			for _, v := range w {
				if v < 0 || math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					t.Fatalf("weight %v", v)
				}
			}
		}
		if s, err := read.Floats(background, src); err == nil && len(s.Values) != s.Rows*s.Columns {
			t.Fatalf("%d values for %d × %d", len(s.Values), s.Rows, s.Columns)
		}
		if numbers, names, err := read.Words(background, src); err == nil {
			for i, n := range numbers {
				if n < 0 || int(n) >= len(names) || names[n] == "" {
					t.Fatalf("line %d has name %d of %d", i+1, n, len(names))
				}
			}
		}
		if c, err := read.Counts(background, src); err == nil {
			total := 0
			for _, n := range c {
				total += n
			}
			if total < 0 || total > math.MaxInt32 {
				t.Fatalf("total %d", total)
			}
		}
	})
}
