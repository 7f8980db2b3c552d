package portmath_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"

	"cloister/engine/portmath"
)

// functions are the functions of one argument.
var functions = map[string]struct {
	ours, reference func(float64) float64
}{
	"Exp":   {portmath.Exp, math.Exp},
	"Expm1": {portmath.Expm1, math.Expm1},
	"Log":   {portmath.Log, math.Log},
	"Log1p": {portmath.Log1p, math.Log1p},
	"Log2":  {portmath.Log2, math.Log2},
	"Log10": {portmath.Log10, math.Log10},
	"Tanh":  {portmath.Tanh, math.Tanh},
	"Lgamma": {
		func(x float64) float64 { y, _ := portmath.Lgamma(x); return y },
		func(x float64) float64 { y, _ := math.Lgamma(x); return y },
	},
}

// inputs yields n numbers: a quarter each of any bits, of ordinary size, of
// small size and near 1.
func inputs(n int, yield func(x float64)) {
	state := uint64(1)
	for i := range n {
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		u := float64(z>>11)*0x1p-52 - 1
		switch i % 4 {
		case 0:
			yield(math.Float64frombits(z))
		case 1:
			yield(float64(u * 750))
		case 2:
			yield(float64(u * math.Ldexp(1, -int(z%64))))
		default:
			yield(1 + float64(u*math.Ldexp(1, -int(z%52))))
		}
	}
}

func TestBitsOfFunctions(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"Exp":    "43c7bf669313659c",
		"Expm1":  "4bd9ec39a0c317d2",
		"Lgamma": "777010dab5be1b70",
		"Log":    "b1af463acb6b0ea6",
		"Log10":  "aa68257f2fda2875",
		"Log1p":  "9ffa7e5ffe490cc9",
		"Log2":   "c493803b9b244d35",
		"Tanh":   "c8c707c6a8d0132f",
	}
	for name, f := range functions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hash := sha256.New()
			buffer := make([]byte, 0, 8<<10)
			inputs(1_000_000, func(x float64) {
				y := f.ours(x)
				bits := math.Float64bits(y)
				if y != y {
					bits = math.Float64bits(math.NaN())
				}
				buffer = binary.LittleEndian.AppendUint64(buffer, bits)
				if len(buffer) == cap(buffer) {
					hash.Write(buffer)
					buffer = buffer[:0]
				}
			})
			hash.Write(buffer)
			if got := hex.EncodeToString(hash.Sum(nil)[:8]); got != want[name] {
				t.Errorf("hash of a million results is %s, want %s", got, want[name])
			}
		})
	}
}

func TestBitsOfPow(t *testing.T) {
	t.Parallel()
	hash := sha256.New()
	var buffer [8]byte
	base := 1.
	inputs(400_000, func(x float64) {
		y := portmath.Pow(math.Abs(base), x)
		base = x
		if y != y {
			y = math.NaN()
		}
		binary.LittleEndian.PutUint64(buffer[:], math.Float64bits(y))
		hash.Write(buffer[:])
	})
	const want = "724735f19c34c9d6"
	if got := hex.EncodeToString(hash.Sum(nil)[:8]); got != want {
		t.Errorf("hash of the results is %s, want %s", got, want)
	}
}
