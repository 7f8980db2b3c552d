package dataset

import (
	"math"
	"slices"
	"testing"
)

// numbers that often go wrong.
var hardNumbers = []float64{
	0, math.Copysign(0, -1), 5e-324, -5e-324, 1e-310, ZeroThreshold, -ZeroThreshold,
	math.Nextafter(ZeroThreshold, 1), math.Nextafter(-ZeroThreshold, -1), 1, -1, 1.5, 2, 1 << 31, 1<<31 - 1, -1 << 31,
	1 << 32, 1 << 53, 1 << 62, 1 << 63, math.MaxFloat64, -math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(),
	math.Float64frombits(0xFFF8000000000001),
}

// TestBinRespectsUpperBound compares with a search from the front.
func TestBinRespectsUpperBound(t *testing.T) {
	t.Parallel()
	for kind, draw := range kinds {
		for _, o := range []MapperOptions{
			{MaxBin: 255, MinDataInBin: 3, UseMissing: true},
			{MaxBin: 256, MinDataInBin: 1, UseMissing: true},
			{MaxBin: 257, MinDataInBin: 1, UseMissing: true, ZeroAsMissing: true},
			{MaxBin: 2, MinDataInBin: 1},
			{MaxBin: 6, MinDataInBin: 1, UseMissing: true, ForcedBounds: []float64{-1, 0.25, 2}},
		} {
			g := splitmix(7)
			values := slices.Clone(hardNumbers[:21])
			for range 3000 {
				values = append(values, draw(&g))
			}
			checkMapper(t, kind, NewMapper(nonZero(values), len(values), o), values)
		}
	}
}

func nonZero(values []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(values), isZero)
}

// checkMapper verifies what a numerical mapper promises.
func checkMapper(t *testing.T, kind string, m *Mapper, values []float64) {
	t.Helper()
	n := m.intervals()
	if m.NumBins != len(m.UpperBound) || n < 1 || m.UpperBound[n-1] != math.Inf(1) {
		t.Fatalf("%s: bounds %v of %d bins", kind, m.UpperBound, m.NumBins)
	}
	if !slices.IsSorted(m.UpperBound[:n]) {
		t.Fatalf("%s: bounds do not ascend: %v", kind, m.UpperBound)
	}
	byHand := &Mapper{NumBins: m.NumBins, Missing: m.Missing, UpperBound: m.UpperBound}
	lane := make([]uint64, 2)
	for _, v := range append(slices.Clone(hardNumbers), values...) {
		x := v
		if math.IsNaN(v) {
			x = 0
		}
		want := uint32(slices.IndexFunc(m.UpperBound[:n], func(b float64) bool { return x <= b }))
		if math.IsNaN(v) && m.Missing == MissingNaN {
			want = uint32(m.NumBins - 1)
		}
		if got := m.Bin(v); got != want {
			t.Fatalf("%s: Bin(%g) = %d, want %d of %v", kind, v, got, want, m.UpperBound)
		}
		if got := byHand.Bin(v); got != want {
			t.Fatalf("%s: without keys Bin(%g) = %d, want %d", kind, v, got, want)
		}
		clear(lane)
		m.fill(lane[1:], 1, 16, []float64{v}, 1, 1)
		if lane[0] != 0 || lane[1] != uint64(want)<<16 {
			t.Fatalf("%s: fill of %g = %x, want bin %x", kind, v, lane, want)
		}
	}
	if !m.Trivial && m.DefaultBin != m.Bin(0) {
		t.Fatalf("%s: DefaultBin %d, Bin(0) %d", kind, m.DefaultBin, m.Bin(0))
	}
}

func TestBinOfCategories(t *testing.T) {
	t.Parallel()
	m := &Mapper{Categorical: true, NumBins: 5, Categories: []int32{-1, 7, 0, 70000, 2000000000}}
	byHand := *m
	m.prepare()
	for v, want := range map[float64]uint32{
		7: 1, 0: 2, 70000: 3, 2e9: 4, 1: 0, 8: 0, 69999: 0, 70001: 0, -1: 0, -7: 0, -0.5: 2, 7.9: 1,
		1 << 31: 0, 1 << 40: 0, math.Inf(1): 0, math.Inf(-1): 0, math.MaxInt32: 0, 65535: 0, 65536: 0,
	} {
		if got := m.Bin(v); got != want {
			t.Errorf("Bin(%g) = %d, want %d", v, got, want)
		}
		if got := byHand.Bin(v); got != want {
			t.Errorf("without lookup Bin(%g) = %d, want %d", v, got, want)
		}
	}
	if got := m.Bin(math.NaN()); got != 0 {
		t.Errorf("Bin(NaN) = %d", got)
	}
	if got, want := m.Info(), "-1:7:0:70000:2000000000"; got != want {
		t.Errorf("Info() = %q, want %q", got, want)
	}
	if got := m.BinToValue(3); got != 70000 {
		t.Errorf("BinToValue(3) = %g", got)
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	// The numbers are what C's printf("%.17g") writes.
	for want, m := range map[string]Mapper{
		"none":                                       {Trivial: true, Min: 1},
		"[0:1]":                                      {Max: 1},
		"[0.10000000000000001:1e+20]":                {Min: 0.1, Max: 1e20},
		"[-1.0000000000000001e-05:1000000]":          {Min: -1e-5, Max: 1e6},
		"[-123456789012345.67:1e+17]":                {Min: -123456789012345.67, Max: 1e17},
		"[0.0001:12345678901234568]":                 {Min: 1e-4, Max: 12345678901234568},
		"[1.0000000000000003e-05:10000000000000000]": {Min: math.Nextafter(1e-5, 1), Max: 1e16},
	} {
		if got := m.Info(); got != want {
			t.Errorf("Info() = %q, want %q", got, want)
		}
	}
}

func TestSort(t *testing.T) {
	t.Parallel()
	var s sorter
	for _, n := range []int{0, 1, 511, 512, 513, 5000} {
		for kind, draw := range kinds {
			g := splitmix(n)
			var v []float64
			for range n {
				if x := draw(&g); !isZero(x) && !math.IsNaN(x) {
					v = append(v, x)
				}
			}
			want := slices.Sorted(slices.Values(v))
			if s.sort(v); !slices.Equal(v, want) {
				t.Fatalf("%s: %d numbers are not sorted as by slices.Sort", kind, n)
			}
		}
	}
}

// FuzzNewMapper finds the bins of arbitrary numbers and checks them.
func FuzzNewMapper(f *testing.F) {
	f.Add([]byte{}, 3, 1, uint8(0))
	f.Add([]byte("some bytes are numbers too, when eight of them are taken"), 255, 3, uint8(0xff))
	all := make([]byte, 0, 8*len(hardNumbers))
	for _, v := range hardNumbers {
		all = appendFloat(all, v)
	}
	for flags := range 32 {
		f.Add(all, 4+flags, 1+flags%3, uint8(flags))
	}
	f.Fuzz(func(t *testing.T, data []byte, maxBin, minData int, flags uint8) {
		o := MapperOptions{
			MaxBin: 2 + int(uint(maxBin)%MaxBins-2+MaxBins)%(MaxBins-1), MinDataInBin: 1 + int(uint(minData)%100),
			MinSplitData: 1, UseMissing: flags&1 != 0, ZeroAsMissing: flags&2 != 0, PreFilter: flags&4 != 0, Categorical: flags&8 != 0,
		}
		values := floats(data)
		values = slices.DeleteFunc(values, func(v float64) bool { return math.IsInf(v, 0) })
		if flags&16 != 0 {
			o.ForcedBounds = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
		}
		if len(values) == 0 {
			return
		}
		m := NewMapper(nonZero(values), len(values), o)
		if m.Info() == "" {
			t.Error("no info")
		}
		if !o.Categorical {
			if m.NumBins > o.MaxBin {
				t.Fatalf("%d bins, want at most %d", m.NumBins, o.MaxBin)
			}
			checkMapper(t, "fuzz", m, values)
			return
		}
		for _, v := range values {
			if b := int(m.Bin(v)); b >= m.NumBins || b > 0 && m.BinToValue(uint32(b)) != math.Trunc(v) {
				t.Fatalf("Bin(%g) = %d of %v", v, b, m.Categories)
			}
		}
	})
}

func BenchmarkBin(b *testing.B) {
	g := splitmix(1)
	values := make([]float64, 100000)
	for i := range values {
		values[i] = g.bell()
	}
	m := NewMapper(slices.Clone(values), len(values), MapperOptions{MaxBin: 255, MinDataInBin: 3, UseMissing: true})
	b.Run("one", func(b *testing.B) {
		sum := uint32(0)
		for i := range b.N {
			sum += m.Bin(values[i%len(values)])
		}
		_ = sum
	})
	b.Run("tile", func(b *testing.B) {
		words := make([]uint64, tile)
		for i := 0; i < b.N; i += tile {
			at := i % (len(values) - tile)
			m.fill(words, 1, 8, values[at:], 1, tile)
		}
	})
}

func BenchmarkNewMapper(b *testing.B) {
	g := splitmix(1)
	values := make([]float64, 200000)
	for i := range values {
		values[i] = g.bell()
	}
	for b.Loop() {
		NewMapper(slices.Clone(values), len(values), MapperOptions{MaxBin: 255, MinDataInBin: 3, UseMissing: true})
	}
}

func BenchmarkFromMatrix(b *testing.B) {
	const rows, features = 100000, 28
	g := splitmix(1)
	m := Matrix{Values: make([]float64, rows*features), Rows: rows, Features: features}
	for i := range m.Values {
		m.Values[i] = g.bell()
	}
	m.Label = make([]float32, rows)
	b.SetBytes(8 * rows * features)
	for b.Loop() {
		if _, _, err := FromMatrix(b.Context(), m, DefaultOptions(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
