package read

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func padded(s string) []byte { return append([]byte(s), make([]byte, padding)...) }

// checkFloat compares parseFloat with strconv.ParseFloat, bit for bit.
func checkFloat(t *testing.T, s string) {
	t.Helper()
	got, n, status := parseFloat(padded(s), 0)
	want, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil && math.IsInf(want, 0):
		if status != floatRange {
			t.Errorf("parseFloat(%q) status = %d, want floatRange", s, status)
		}
	case err != nil:
		if status == floatOK && n == len(s) {
			t.Errorf("parseFloat(%q) = %v, but strconv says %v", s, got, err)
		}
	case status != floatOK || n != len(s) || math.Float64bits(got) != math.Float64bits(want):
		t.Errorf("parseFloat(%q) = %v (%x), %d, %d; want %v (%x)", s, got, math.Float64bits(got), n, status, want, math.Float64bits(want))
	}
}

func TestParseFloatHardCases(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"0", "-0", "+0", "0.0", "-0.0", "1", "+1", "-1", "1.", ".5", "-.5", "00012", "0.1", "0.2", "0.3",
		"9007199254740992", "9007199254740993", "9007199254740994", "9007199254740995", "9007199254740993.0000000001",
		"18446744073709551615", "18446744073709551616", "9999999999999999999", "99999999999999999999",
		"1e22", "1e23", "1e-22", "1e-23", "8.5e22", "9007199254740991e22", "1e308", "1.7976931348623157e308",
		"1.7976931348623158e308", "1.7976931348623159e308", "1e309", "1e400", "-1e400", "1e99999999999999", "1e-99999999999999",
		"4.9e-324", "5e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072014e-308",
		"2.2250738585072011e-308", "2.2250738585072012e-308", "0.000000000000000000000000000000000000001234",
		"0.12345678901234567", "0.1234567890123456789", "0.12345678901234567890123456789", "123456.78901234567",
		"1.00000000000000011102230246251565404236316680908203125", "1.00000000000000011102230246251565404236316680908203124",
		"1.00000000000000011102230246251565404236316680908203126", "6.02214076e23", "1E5", "1e+5", "1E-5", "",
		".", "-", "+", "e5", "1e", "1e+", "1.e5", ".e5", "--1", "1..2", "0x10",
		strings.Repeat("9", 400), "0." + strings.Repeat("0", 400) + "1", strings.Repeat("1", 30) + "." + strings.Repeat("7", 30),
	} {
		checkFloat(t, s)
	}
}

func TestParseFloatAgreesWithStrconv(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	n := 400_000
	if testing.Short() {
		n = 40_000
	}
	var b []byte
	for range n {
		b = b[:0]
		f := math.Float64frombits(r.Uint64())
		switch r.IntN(6) {
		case 0:
			if math.IsNaN(f) || math.IsInf(f, 0) {
				continue
			}
			b = strconv.AppendFloat(b, f, 'e', -1, 64)
		case 1:
			b = strconv.AppendFloat(b, r.NormFloat64(), 'f', r.IntN(20), 64)
		case 2:
			b = strconv.AppendFloat(b, r.NormFloat64()*1e6, 'g', -1, 64)
		case 3: // near a half between two doubles
			x := 1 + r.Float64()
			y := math.Nextafter(x, 2)
			b = strconv.AppendFloat(b, x/2+y/2, 'f', 16+r.IntN(4), 64)
		case 4:
			b = strconv.AppendUint(b, r.Uint64()>>r.IntN(64), 10)
			b = append(b, 'e')
			b = strconv.AppendInt(b, int64(r.IntN(700)-350), 10)
		case 5:
			b = strconv.AppendUint(b, r.Uint64()>>r.IntN(64), 10)
			b = append(b, '.')
			b = strconv.AppendUint(b, r.Uint64()>>r.IntN(64), 10)
			if r.IntN(2) == 0 {
				b = append(b, 'e')
				b = strconv.AppendInt(b, int64(r.IntN(120)-60), 10)
			}
		}
		checkFloat(t, string(b))
	}
}

func FuzzParseFloat(f *testing.F) {
	for _, s := range []string{"0.123456", "-1e-5", "9007199254740993", "1e400", ".", "12345678901234567890.5e-7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// strconv knows hexadecimal numbers, underscores and words besides.
		if strings.ContainsAny(s, "xX_iInNpP") || len(s) > 2000 {
			return
		}
		checkFloat(t, s)
	})
}

func BenchmarkParseFloat(b *testing.B) {
	for _, s := range []string{"0.123456", "0.12345678901234567", "42", "-1.5e-300"} {
		b.Run(s, func(b *testing.B) {
			buf := padded(s)
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				parseFloat(buf, 0)
			}
		})
	}
}

func TestDecimal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"0": 0, "-1.5": -1.5, "+2e3": 2000, "0.10000000000000001": 0.1, "1.7976931348623157e+308": math.MaxFloat64, "4.9406564584124654e-324": 5e-324,
	} {
		if v, ok := Decimal(text); !ok || v != want {
			t.Errorf("%s: %v, %t", text, v, ok)
		}
	}
	for _, text := range []string{"", "1 ", " 1", "nan", "inf", "1e400", "0x1p4", "1_0", "1,5", strings.Repeat("1", 49), "1\x00"} {
		if v, ok := Decimal(text); ok {
			t.Errorf("%q: %v", text, v)
		}
	}
}
