package portmath

import "math"

const halfLogTwoPi = 0.918938533204672741780329736405617639861

// Lgamma returns the natural logarithm of the absolute value of Gamma(x), and
// Gamma's sign.
//
// Near 2 it is the series in the zeta function's values, elsewhere below 8 the
// recurrence leads there; from 8 on it is Stirling's series, and for negative
// x Euler's reflection (NIST Digital Library of Mathematical Functions, 5.7.3,
// 5.5.1, 5.11.1 and 5.5.3).
func Lgamma(x float64) (lgamma float64, sign int) {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return x, 1
	case x == 0:
		return math.Inf(1), 1
	case x > 0:
		return lgammaPositive(x), 1
	case x > -0x1p-70:
		return -Log(-x), -1
	case math.Floor(x) == x:
		return math.Inf(1), 1
	}
	s := sinPi(x)
	sign = 1
	if s < 0 {
		sign = -1
	}
	return Log(math.Pi/math.Abs(s*x)) - lgammaPositive(-x), sign
}

func lgammaPositive(x float64) float64 {
	switch {
	case x < 0x1p-70:
		return -Log(x)
	case x < 0.5:
		// ln Gamma(x) = ln Gamma(x+2) - ln(x(x+1)).
		return lgammaNear2(x) - Log1p(x) - Log(x)
	case x < 1.5:
		return lgammaNear2(x-1) - Log(x)
	case x < 2.5:
		return lgammaNear2(x - 2)
	case x < 8:
		p := 1.
		for x >= 2.5 {
			x--
			p = float64(p * x)
		}
		return lgammaNear2(x-2) + Log(p)
	case x > 0x1p58:
		return float64(x * (Log(x) - 1))
	}
	y := 1 / x
	yy := float64(y * y)
	w := 43867. / 244188
	for _, c := range [...]float64{-3617. / 122400, 1. / 156, -691. / 360360, 1. / 1188, -1. / 1680, 1. / 1260, -1. / 360, 1. / 12} {
		w = float64(w*yy) + c
	}
	return float64((x-0.5)*(Log(x)-1)) + (halfLogTwoPi - 0.5 + float64(w*y))
}

// lgammaNear2 returns ln Gamma(2+s) for |s| of at most 0.5.
func lgammaNear2(s float64) float64 {
	p := 0.
	for i := len(gammaSeries) - 1; i >= 0; i-- {
		p = float64(p*s) + gammaSeries[i]
	}
	return float64(s * p)
}

// sinPi returns sin(pi·x) for finite x.
func sinPi(x float64) float64 {
	// Bring x exactly to [-0.5, 0.5].
	sign := 1.
	x = math.Mod(x, 2)
	if x < 0 {
		x, sign = -x, -1
	}
	if x >= 1 {
		x, sign = x-1, -sign
	}
	if x > 0.5 {
		x = 1 - x
	}
	if x <= 0.25 {
		return float64(sign * sinSeries(float64(math.Pi*x)))
	}
	return float64(sign * cosSeries(float64(math.Pi*(0.5-x))))
}

// sinSeries is the sine for 0 ≤ x ≤ pi/4.
func sinSeries(x float64) float64 {
	xx := float64(x * x)
	p := 1. / 355687428096000
	for _, c := range [...]float64{
		-1. / 1307674368000, 1. / 6227020800, -1. / 39916800, 1. / 362880, -1. / 5040, 1. / 120, -1. / 6,
	} {
		p = float64(p*xx) + c
	}
	return x + float64(x*float64(xx*p))
}

// cosSeries is the cosine for 0 ≤ x ≤ pi/4.
func cosSeries(x float64) float64 {
	xx := float64(x * x)
	p := 1. / 20922789888000
	for _, c := range [...]float64{
		-1. / 87178291200, 1. / 479001600, -1. / 3628800, 1. / 40320, -1. / 720, 1. / 24, -1. / 2,
	} {
		p = float64(p*xx) + c
	}
	return 1 + float64(xx*p)
}
