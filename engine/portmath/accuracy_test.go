package portmath_test

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"cloister/engine/portmath"
)

const precision = 200

func number(x float64) *big.Float { return new(big.Float).SetPrec(precision).SetFloat64(x) }

func add(a, b *big.Float) *big.Float { return new(big.Float).Add(a, b) }
func mul(a, b *big.Float) *big.Float { return new(big.Float).Mul(a, b) }
func quo(a, b *big.Float) *big.Float { return new(big.Float).Quo(a, b) }

// bigExp is Taylor's series after halving x until it is small.
func bigExp(x *big.Float) *big.Float {
	halvings := max(0, x.MantExp(nil)+10)
	y := new(big.Float).SetMantExp(x, -halvings)
	sum, term := number(1), number(1)
	for n := 1.; n < 30; n++ {
		term = quo(mul(term, y), number(n))
		sum = add(sum, term)
	}
	for range halvings {
		sum = mul(sum, sum)
	}
	return sum
}

// bigLog is the series of 2 atanh((m-1)/(m+1)) for the mantissa m.
func bigLog(x *big.Float) *big.Float {
	m := new(big.Float)
	exp := x.MantExp(m)
	if m.Cmp(number(0.7)) < 0 {
		m, exp = mul(m, number(2)), exp-1
	}
	return add(mul(number(float64(exp)), ln2), atanhSeries(m))
}

func atanhSeries(m *big.Float) *big.Float {
	t := quo(new(big.Float).Sub(m, number(1)), add(m, number(1)))
	square, power, sum := mul(t, t), t, number(0)
	for n := 1.; n < 80; n += 2 {
		sum = add(sum, quo(power, number(n)))
		power = mul(power, square)
	}
	return mul(sum, number(2))
}

var ln2 = func() *big.Float {
	// ln 2 = 2 ln √2.
	return mul(number(2), atanhSeries(new(big.Float).Sqrt(number(2))))
}()

// ulps is the distance of got from want in units of want's last place.
func ulps(got float64, want *big.Float) float64 {
	w, _ := want.Float64()
	if math.IsInf(w, 0) || w == 0 {
		if got == w {
			return 0
		}
		return math.Inf(1)
	}
	unit := math.Nextafter(math.Abs(w), math.Inf(1)) - math.Abs(w)
	diff, _ := quo(new(big.Float).Sub(number(got), want), number(unit)).Float64()
	return math.Abs(diff)
}

func TestAccuracy(t *testing.T) {
	t.Parallel()
	one := number(1)
	ordinary := func(x float64) float64 { return math.Mod(x, 745) }
	tests := map[string]struct {
		got   func(float64) float64
		want  func(*big.Float) *big.Float
		input func(float64) float64
		limit float64
	}{
		"Exp":   {portmath.Exp, bigExp, ordinary, 0.56},
		"Expm1": {portmath.Expm1, func(x *big.Float) *big.Float { return new(big.Float).Sub(bigExp(x), one) }, ordinary, 0.9},
		"Log":   {portmath.Log, bigLog, math.Abs, 0.8},
		"Log1p": {portmath.Log1p, func(x *big.Float) *big.Float { return bigLog(add(x, one)) }, func(x float64) float64 {
			// The reference needs x to reach into 1's 200 bits.
			if math.Abs(x) < 0x1p-90 {
				return 0x1p-90
			}
			if x <= -1 || x > 0x1p90 {
				return math.Abs(math.Mod(x, 1000))
			}
			return x
		}, 0.9},
		"Log2":  {portmath.Log2, func(x *big.Float) *big.Float { return quo(bigLog(x), ln2) }, math.Abs, 0.6},
		"Log10": {portmath.Log10, func(x *big.Float) *big.Float { return quo(bigLog(x), bigLog(number(10))) }, math.Abs, 0.6},
		"Tanh": {portmath.Tanh, func(x *big.Float) *big.Float {
			e := bigExp(mul(x, number(2)))
			return quo(new(big.Float).Sub(e, one), add(e, one))
		}, func(x float64) float64 { return math.Mod(x, 22) }, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worst, at := 0., 0.
			inputs(8000, func(x float64) {
				x = test.input(x)
				if math.IsNaN(x) || math.IsInf(x, 0) || x == 0 || math.Abs(x) < 0x1p-140 && name != "Log" {
					return
				}
				want := test.want(number(x))
				if want.Sign() == 0 {
					return
				}
				if e := ulps(test.got(x), want); e > worst {
					worst, at = e, x
				}
			})
			t.Logf("greatest error %.3f ulp, at %v", worst, at)
			if worst > test.limit {
				t.Errorf("greatest error is %.3f ulp, at %v (%x), want at most %v", worst, at, at, test.limit)
			}
		})
	}
}

func TestAccuracyOfPow(t *testing.T) {
	t.Parallel()
	worst, where := 0., ""
	previous := 1.
	inputs(8000, func(x float64) {
		base, power := math.Abs(previous), x
		previous = x
		if base == 0 || math.IsNaN(base+power) || math.IsInf(base+power, 0) {
			return
		}
		power = math.Mod(power, 740/math.Max(1e-300, math.Abs(math.Log(base))))
		want := bigExp(mul(number(power), bigLog(number(base))))
		if e := ulps(portmath.Pow(base, power), want); e > worst {
			worst, where = e, fmt.Sprintf("%v**%v", base, power)
		}
	})
	if worst > 0.6 {
		t.Errorf("greatest error is %.3f ulp, at %s, want at most 0.6", worst, where)
	}
}

func TestAccuracyOfLgamma(t *testing.T) {
	t.Parallel()
	inputs(100_000, func(x float64) {
		got, sign := portmath.Lgamma(x)
		want, wantSign := math.Lgamma(x)
		if math.IsInf(x, -1) {
			want = x
		}
		if math.Abs(x) < 0x1p-1022 {
			return // Go's Log is wrong there on amd64.
		}
		// Go's error reaches 7e-15 near 1.19.
		tolerance := 1e-14 * math.Max(1, math.Abs(want))
		if x < 0 {
			// The reflection subtracts two numbers near x·ln|x|.
			tolerance *= 4 * math.Max(1, math.Abs(math.Log(-x)))
		}
		if sign != wantSign || !(math.Abs(got-want) <= tolerance || got == want || math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("Lgamma(%v) = %v, %d, want %v, %d", x, got, sign, want, wantSign)
		}
	})
}

func TestLgammaOfFactorials(t *testing.T) {
	t.Parallel()
	factorial := number(1)
	for n := 2.; n < 300; n++ {
		factorial = mul(factorial, number(n))
		got, _ := portmath.Lgamma(n + 1)
		if e := ulps(got, bigLog(factorial)); e > 4 {
			t.Errorf("Lgamma(%v) = %v is off by %.2f ulp", n+1, got, e)
		}
	}
}

func TestSpecialValues(t *testing.T) {
	t.Parallel()
	inf, nan := math.Inf(1), math.NaN()
	special := []float64{
		0, math.Copysign(0, -1), 1, -1, 2, -2, 3, -3, 0.5, -0.5, inf, -inf, nan,
		math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64,
		1e-310, -1e-310, 1e300, -1e300, 1e17, 0x1p53, -0x1p53 - 2, 709.8, -745.2,
	}
	same := func(a, b float64) bool {
		if math.IsNaN(a) || math.IsNaN(b) || a == 0 || math.IsInf(a, 0) {
			return math.IsNaN(a) && math.IsNaN(b) || a == b && math.Signbit(a) == math.Signbit(b)
		}
		return math.Abs(a-b) <= 4e-16*math.Max(math.Abs(b), 1e-307)
	}
	for name, f := range functions {
		for _, x := range special {
			if x != 0 && math.Abs(x) < 0x1p-1022 {
				continue // Go's Log is wrong there on amd64.
			}
			if got, want := f.ours(x), f.reference(x); !same(got, want) {
				t.Errorf("%s(%v) = %v, want %v", name, x, got, want)
			}
		}
	}
	for _, x := range special {
		for _, y := range special {
			got, want := portmath.Pow(x, y), math.Pow(x, y)
			if !same(got, want) && !(math.Abs(got-want) <= 1e-13*math.Abs(want)) {
				t.Errorf("Pow(%v, %v) = %v, want %v", x, y, got, want)
			}
		}
	}
}

func TestExpIsMonotonicAcrossTableSteps(t *testing.T) {
	t.Parallel()
	for k := -90_000; k < 90_000; k++ {
		x := (float64(k) + 0.5) * math.Ln2 / 128
		below, above := portmath.Exp(math.Nextafter(x, -inf)), portmath.Exp(math.Nextafter(x, inf))
		if below > above {
			t.Fatalf("Exp falls from %v to %v around %v", below, above, x)
		}
	}
}

var inf = math.Inf(1)

func BenchmarkFunctions(b *testing.B) {
	xs := make([]float64, 1024)
	for i := range xs {
		xs[i] = 0.01 + float64(i)/100
	}
	for _, name := range []string{"Exp", "Log", "Expm1", "Log1p", "Log2", "Tanh"} {
		for _, who := range []string{"portmath", "math"} {
			f := functions[name].ours
			if who == "math" {
				f = functions[name].reference
			}
			b.Run(name+"/"+who, func(b *testing.B) {
				sum := 0.
				for i := range b.N {
					sum += f(xs[i%len(xs)])
				}
				sink = sum
			})
		}
	}
}

var sink float64
