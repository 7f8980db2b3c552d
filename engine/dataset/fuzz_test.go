package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset/read"
)

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

// floats takes eight bytes for each number.
func floats(data []byte) []float64 {
	out := []float64{}
	for ; len(data) >= 8; data = data[8:] {
		out = append(out, math.Float64frombits(binary.LittleEndian.Uint64(data)))
	}
	return out
}

// FuzzFromMatrix bins a table of arbitrary numbers in several ways and compares
// the results; an error must be one that a user can act on.
func FuzzFromMatrix(f *testing.F) {
	var all []byte
	for _, v := range hardNumbers[:21] {
		all = appendFloat(all, v)
	}
	for flags := range 32 {
		f.Add(all, uint8(1+flags%7), uint16(2+flags*3), uint8(flags))
	}
	f.Add(appendFloat(all, math.Inf(1)), uint8(1), uint16(255), uint8(0))
	var levels []byte
	for i := range 300 {
		levels = appendFloat(levels, float64(i%7-1))
	}
	f.Add(levels, uint8(3), uint16(255), uint8(0xff))
	f.Fuzz(func(t *testing.T, data []byte, features uint8, maxBin uint16, flags uint8) {
		m := Matrix{Values: floats(data), Features: int(features)}
		if features > 0 {
			m.Rows = len(m.Values) / m.Features
			m.Values = m.Values[:m.Rows*m.Features]
		}
		m.Label = make([]float32, m.Rows)
		o := DefaultOptions()
		o.MaxBin, o.MinDataInBin, o.MinDataInLeaf, o.Threads = int(maxBin), 1, 0, 1+int(flags>>7)
		o.MinSparse = 1
		o.UseMissing, o.ZeroAsMissing, o.EnableSparse = flags&1 == 0, flags&2 != 0, flags&4 == 0
		if flags&8 != 0 {
			o.Categorical = []int{0}
		}
		if flags&16 != 0 {
			o.BinConstructSampleCnt = 3
		}
		ctx := context.Background()
		d, _, err := FromMatrix(ctx, m, o, nil)
		if err != nil {
			var table *read.Error
			var option *OptionError
			if !errors.As(err, &table) && !errors.As(err, &option) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		checkLayout(t, d)
		checkBins(t, d, m)
		want := binaryOf(t, d, len(m.Values))
		for _, ref := range []*Dataset{nil, d} {
			again, _, err := FromRows(ctx, rowsOf(m, true), Schema{Features: m.Features, Sparse: true}, o, ref)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(want, binaryOf(t, again, len(m.Values))) { // much faster than to compare fields
				continue
			}
			if diff := cmp.Diff(d, again, withoutKeys); diff != "" {
				t.Fatalf("sparse rows give another dataset:\n%s", diff)
			}
		}
	})
}

// FuzzBinary reads a patched file with its checksums made right: it must be
// refused, or be a data set that can be trained on.
func FuzzBinary(f *testing.F) {
	m, o := synthetic(40)
	o.MinDataInLeaf, o.MinDataInBin = 1, 1
	files := map[bool][]byte{}
	m = withMetadata(m)
	for _, raw := range []bool{false, true} {
		o.KeepRaw = raw
		d, _, err := FromMatrix(context.Background(), m, o, nil)
		if err != nil {
			f.Fatal(err)
		}
		files[raw] = binaryOf(f, d, 16)
		for i, s := range sections(f, files[raw]) {
			f.Add(uint8(i), uint16(0), []byte{0xff, 0xff, 0xff, 0xff}, raw)
			for at := 0; at < len(s); at += 13 {
				f.Add(uint8(i), uint16(at), []byte{byte(at)}, raw)
			}
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, offset uint16, patch []byte, raw bool) {
		good := files[raw]
		list := sections(t, good)
		s := bytes.Clone(list[int(at)%len(list)])
		switch n := int(offset) % len(s); {
		case len(patch) == 0:
			s = s[:max(n, sectionHead+sectionTail)]
		default:
			copy(s[n:], patch)
			s = append(s, patch[:len(patch)/2]...)
		}
		list[int(at)%len(list)] = resum(s)
		data := append(bytes.Clone(good[:binaryHead]), bytes.Join(list, nil)...)
		o := o
		o.Threads, o.KeepRaw = 1+int(at>>7), raw
		got, _, err := Load(context.Background(), bytesInput("data.bin", data), o, nil)
		if err != nil {
			var table *read.Error
			var option *OptionError
			if !errors.As(err, &table) && !errors.As(err, &option) {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		checkLayout(t, got)
		if raw && (len(got.Raw.Place) != len(got.Columns) || len(got.Raw.Values) != got.Rows*got.Raw.Width) {
			t.Fatalf("%d raw values for %d rows of %d", len(got.Raw.Values), got.Rows, got.Raw.Width)
		}
		for i := range got.Columns {
			for r := range got.Rows {
				if int(got.BinAt(i, r)) >= got.Columns[i].Mapper.NumBins {
					t.Fatalf("row %d has bin %d in column %d", r, got.BinAt(i, r), i)
				}
			}
		}
	})
}
