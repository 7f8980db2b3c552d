package portmath

import "math"

type logEntry struct {
	// c is near the interval's middle and has at most 9 bits.
	c, inverse float64
	// hi + lo is ln c; hi is a multiple of 2^-42, so that k·ln2Hi + hi is
	// exact.
	hi, lo float64
}

const (
	logOffset = 0x3fe6000000000000
	// smallestNormal is the least positive number with 53 bits.
	smallestNormal = 0x1p-1022
)

// Log returns the natural logarithm of x.
//
// With x = 2^k·z and c a number of few bits near z, z-c is exact and ln x is
// k·ln2 + ln c, from a table, plus ln(1 + (z-c)/c), from Taylor's series
// (P. T. P. Tang, "Table-driven implementation of the logarithm function in
// IEEE floating-point arithmetic", ACM TOMS 16, 1990).
func Log(x float64) float64 {
	if !(x >= smallestNormal && x <= math.MaxFloat64) {
		return logEdge(x)
	}
	bits := math.Float64bits(x)
	offset := bits - logOffset
	k := float64(int64(offset) >> 52)
	e := &logTable[offset>>45%128]
	z := math.Float64frombits(bits - offset&^(1<<52-1))
	r := float64((z - e.c) * e.inverse)
	w := float64(k*ln2Hi) + e.hi
	hi := w + r
	lo := w - hi + r + (e.lo + float64(k*ln2Lo))
	return hi + (lo + log1pRest(r))
}

// log1pRest returns ln(1+r) - r for |r| of at most 2^-7.
func log1pRest(r float64) float64 {
	rr := float64(r * r)
	p := -1./2 + float64(r*(1./3))
	q := -1./4 + float64(r*(1./5))
	s := -1./6 + float64(r*(1./7))
	t := -1./8 + float64(r*(1./9))
	return float64(rr * (p + float64(rr*(q+float64(rr*(s+float64(rr*t)))))))
}

// logEdge is Log of what is no positive normal number.
func logEdge(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	hi, lo := logParts(x, 0)
	return hi + lo
}

// logParts returns ln(x + rest) as the sum of two numbers, with an error
// near 2^-66 of it when rest is 0, for positive finite x and |rest| of at most
// half a unit in x's last place. |lo| is far below |hi|.
func logParts(x, rest float64) (hi, lo float64) {
	k := 0.
	if x < smallestNormal {
		x, k = x*0x1p54, -54
	}
	bits := math.Float64bits(x)
	offset := bits - logOffset
	exponent := int64(offset) >> 52
	k += float64(exponent)
	e := &logTable[offset>>45%128]
	z := math.Float64frombits(bits - offset&^(1<<52-1))
	// r + rLow = (z-c)/c. c's few bits make both products exact.
	f := z - e.c
	r := float64(f * e.inverse)
	rTop := truncate(r)
	rLow := float64((f - float64(rTop*e.c) - float64((r-rTop)*e.c)) * e.inverse)
	if rest != 0 {
		// Where x has such a rest it is near 1, or the rest does not matter.
		rLow += rest / x
	}
	// ln(1+r+rLow) = r + rLow - (r+rLow)²/2 + …
	square, squareLow := product(r, r)
	squareLow += float64(2 * r * rLow)
	tail := float64(float64(r*square)*cubicTail(r)) - float64(squareLow*0.5) + rLow
	hi, lo = sum(float64(k*ln2Hi)+e.hi, r)
	lo += e.lo + float64(k*ln2Lo) + tail
	more, moreLow := sum(hi, float64(-0.5*square))
	return sum(more, moreLow+lo)
}

// cubicTail returns (ln(1+r) - r + r²/2)/r³ for |r| of at most 2^-7.
func cubicTail(r float64) float64 {
	p := -1. / 10
	for _, c := range [...]float64{1. / 9, -1. / 8, 1. / 7, -1. / 6, 1. / 5, -1. / 4, 1. / 3} {
		p = float64(p*r) + c
	}
	return p
}

// truncate clears the lower half of x's bits.
func truncate(x float64) float64 {
	return math.Float64frombits(math.Float64bits(x) &^ (1<<27 - 1))
}

// sum returns a+b and its rounding error, for any a and b (D. E. Knuth, "The
// Art of Computer Programming", volume 2, section 4.2.2, theorem B).
func sum(a, b float64) (s, rest float64) {
	s = a + b
	t := s - a
	return s, (a - (s - t)) + (b - t)
}

// product returns a·b and its rounding error (T. J. Dekker, "A floating-point
// technique for extending the available precision", Numerische Mathematik 18,
// 1971).
func product(a, b float64) (p, rest float64) {
	p = float64(a * b)
	aHi, bHi := truncate(a), truncate(b)
	aLo, bLo := a-aHi, b-bHi
	rest = float64(aHi*bHi) - p
	rest += float64(aHi * bLo)
	rest += float64(aLo * bHi)
	return p, rest + float64(aLo*bLo)
}

// Log1p returns the natural logarithm of 1+x, accurate also for small x.
func Log1p(x float64) float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 1):
		return x
	case x < -1:
		return math.NaN()
	case x == -1:
		return math.Inf(-1)
	case math.Abs(x) < 0x1p-54:
		return x
	case math.Abs(x) <= 0x1p-7:
		return x + log1pRest(x)
	}
	u, rest := sum(1, x)
	if u < smallestNormal || u > 0x1p60 {
		return Log(u)
	}
	bits := math.Float64bits(u)
	offset := bits - logOffset
	k := float64(int64(offset) >> 52)
	e := &logTable[offset>>45%128]
	z := math.Float64frombits(bits - offset&^(1<<52-1))
	r := float64((z - e.c) * e.inverse)
	w := float64(k*ln2Hi) + e.hi
	hi := w + r
	lo := w - hi + r + (e.lo + float64(k*ln2Lo)) + rest/u
	return hi + (lo + log1pRest(r))
}

// Log2 returns the binary logarithm of x; that of a power of 2 is exact.
func Log2(x float64) float64 {
	if !(x > 0 && x <= math.MaxFloat64) {
		return logEdge(x)
	}
	frac, exp := math.Frexp(x)
	if frac == 0.5 {
		return float64(exp - 1)
	}
	return logBase(x, log2eHi, log2eLo)
}

// Log10 returns the decimal logarithm of x.
func Log10(x float64) float64 {
	if !(x > 0 && x <= math.MaxFloat64) {
		return logEdge(x)
	}
	return logBase(x, log10eHi, log10eLo)
}

// logBase returns ln x times a number given in two parts, the first of at most
// 27 bits.
func logBase(x, scaleHi, scaleLo float64) float64 {
	hi, lo := logParts(x, 0)
	top := truncate(hi)
	lo += hi - top
	return float64(top*scaleHi) + (float64(lo*scaleHi) + float64((top+lo)*scaleLo))
}
