package portmath

import "math"

// Pow returns x**y, with the special values of math.Pow.
//
// It is e**(y·ln x) with the product carried in two numbers.
func Pow(x, y float64) float64 {
	switch {
	case y == 0 || x == 1:
		return 1
	case y == 1:
		return x
	case math.IsNaN(x) || math.IsNaN(y):
		return math.NaN()
	case x == 0 || math.IsInf(x, 0) || math.IsInf(y, 0):
		return powEdge(x, y)
	}
	sign := 1.
	if x < 0 {
		if math.Trunc(y) != y {
			return math.NaN()
		}
		if odd(y) {
			sign = -1
		}
		x = -x
	}
	if x == 1 {
		return sign
	}
	hi, lo := logParts(x, 0)
	// Keep y·ln x far from overflow of the intermediate results.
	if math.Abs(y) > 0x1p70 {
		if (hi > 0) == (y > 0) {
			return sign * math.Inf(1)
		}
		return sign * 0
	}
	p, rest := product(y, hi)
	rest += float64(y * lo)
	switch {
	case p > expOverflow+1:
		return sign * math.Inf(1)
	case p < expUnderflow-1:
		return sign * 0
	}
	p, rest = sum(p, rest)
	return sign * expScaled(p, rest)
}

// powEdge is Pow for a zero or infinite argument.
func powEdge(x, y float64) float64 {
	switch {
	case math.IsInf(y, 0):
		a := math.Abs(x)
		if a == 1 {
			return 1
		}
		if (a > 1) == (y > 0) {
			return math.Inf(1)
		}
		return 0
	case (x == 0) == (y > 0):
		// 0**positive or Inf**negative.
		if odd(y) {
			return math.Copysign(0, x)
		}
		return 0
	}
	if odd(y) {
		return math.Copysign(math.Inf(1), x)
	}
	return math.Inf(1)
}

// odd reports whether y is an odd integer.
func odd(y float64) bool {
	return math.Abs(y) < 0x1p53 && math.Trunc(y) == y && int64(y)&1 == 1
}
