package cli

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func checkNumber(t *testing.T, v float64) {
	t.Helper()
	got, want := string(appendNumber(nil, v)), strconv.FormatFloat(v, 'g', 17, 64)
	if got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

func TestAppendNumber(t *testing.T) {
	t.Parallel()
	for _, v := range []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, 0.5, 10, 100, 1e14, 1e15, 1e16, 1e17, 1e22, 1e-4, 1e-5, 9.9999e-5, 1e300, 5e-324, math.MaxFloat64,
		math.NaN(), math.Inf(1), math.Inf(-1), 0.99999999999999989, 9.9999999999999982, 999999999999999.88, 1 << 49, 1.5, 2.5, 123456789012345.5, 0.3,
	} {
		checkNumber(t, v)
		checkNumber(t, -v)
	}
	r := rand.New(rand.NewPCG(1, 7))
	for ten := -6; ten < 18; ten++ { // beside powers of ten
		for v, i := math.Nextafter(math.Pow10(ten), 0), 0; i < 3; i++ {
			checkNumber(t, v)
			v = math.Nextafter(v, math.Inf(1))
		}
	}
	for range 300_000 {
		checkNumber(t, r.Float64())
		checkNumber(t, r.NormFloat64())
		checkNumber(t, math.Exp(40*r.Float64()-12))
		checkNumber(t, float64(r.Uint64N(1<<53))/float64(uint64(1)<<r.IntN(60))) // often ends in a 5
	}
}

func FuzzAppendNumber(f *testing.F) {
	for _, v := range []float64{0, 1, 0.1, 1e15, 1e-4, math.Pi} {
		f.Add(math.Float64bits(v))
	}
	f.Fuzz(func(t *testing.T, word uint64) {
		v := math.Float64frombits(word)
		checkNumber(t, v)
		// The same with an exponent of the fast range.
		checkNumber(t, math.Float64frombits(word&^(0x7FF<<52)|(1009+word>>52%64)<<52))
	})
}

func BenchmarkAppendNumber(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 8))
	values := make([]float64, 1000)
	for i := range values {
		values[i] = r.Float64()
	}
	var text []byte
	for b.Loop() {
		text = text[:0]
		for _, v := range values {
			text = appendNumber(text, v)
		}
	}
}
