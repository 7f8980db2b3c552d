package portmath

import "math"

type expEntry struct {
	// bits plus k<<45 are the bits of 2^(k/128) where k mod 128 is the entry.
	bits uint64
	// tail is the relative error of that number.
	tail float64
}

const (
	// shift rounds to an integer when added: 1.5·2^52.
	shift = 0x1.8p52

	// Beyond expOverflow Exp is +Inf, below expUnderflow 0.
	expOverflow  = 0x1.62e42fefa39efp+9
	expUnderflow = -0x1.74910d52d3051p+9
	// Between expLow and expHigh the result and its scale are normal numbers.
	expLow, expHigh = -708, 709
)

// Exp returns e**x.
//
// With x = k·ln2/128 + r, e**x is 2^(k/128), from a table, times e^r, from
// Taylor's series (P. T. P. Tang, "Table-driven implementation of the
// exponential function in IEEE floating-point arithmetic", ACM TOMS 15, 1989).
func Exp(x float64) float64 {
	if !(x > expLow && x < expHigh) {
		return expEdge(x)
	}
	k := float64(x*stepsPerUnit) + shift
	n := math.Float64bits(k)
	k -= shift
	r := x - float64(k*stepHi) - float64(k*stepLo)
	e := &expTable[n%128]
	s := math.Float64frombits(e.bits + n<<45)
	rr := float64(r * r)
	p := e.tail + r + float64(rr*(0.5+float64(r*(1./6)))) +
		float64(float64(rr*rr)*(1./24+float64(r*(1./120))))
	return s + float64(s*p)
}

// expEdge is Exp where the result may not be a normal number.
func expEdge(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > expOverflow:
		return math.Inf(1)
	case x < expUnderflow:
		return 0
	}
	return expScaled(x, 0)
}

// expScaled returns e**(x+lo) for |lo| far below |x| and any x between
// expUnderflow and expOverflow, rounding once more where the result is
// subnormal.
func expScaled(x, lo float64) float64 {
	s, p, n := expParts(x, lo)
	// s is in [1, 2): scale in two steps, for 2^n alone may be out of range.
	y := s + float64(s*p)
	half := n / 2
	return float64(float64(y*power2(half)) * power2(n-half))
}

// expParts returns s in [1, 2), p and n such that e**(x+lo) is s·(1+p)·2^n.
func expParts(x, lo float64) (s, p float64, n int) {
	k := float64(x*stepsPerUnit) + shift
	bits := math.Float64bits(k)
	k -= shift
	r := x - float64(k*stepHi) - float64(k*stepLo) + lo
	i := bits % 128
	e := &expTable[i]
	s = math.Float64frombits(e.bits + i<<45)
	rr := float64(r * r)
	p = e.tail + r + float64(rr*(0.5+float64(r*(1./6)))) +
		float64(float64(rr*rr)*(1./24+float64(r*(1./120))))
	return s, p, (int(k) - int(i)) / 128
}

// power2 returns 2^n for n between -1022 and 1023.
func power2(n int) float64 { return math.Float64frombits(uint64(n+1023) << 52) }

// Expm1 returns e**x - 1, exactly rounded to within a unit in the last place
// also for small x.
//
// Below 0.35 it is Taylor's series; above, the exponential's two parts with 1
// subtracted from the larger.
func Expm1(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return x
	case x > expOverflow:
		return math.Inf(1)
	case x < -40:
		return -1
	case math.Abs(x) < 0.35:
		return expm1Small(x)
	case x > 40:
		return Exp(x)
	}
	s, p, n := expParts(x, 0)
	scale := power2(n)
	s = float64(s * scale)
	hi := s - 1
	lo := s - hi - 1
	if s < 1 {
		lo = s - (hi + 1)
	}
	return hi + (lo + float64(s*p))
}

func expm1Small(x float64) float64 {
	if math.Abs(x) < 0x1p-54 {
		return x
	}
	p := 1. / 6227020800
	for _, c := range [...]float64{
		1. / 479001600, 1. / 39916800, 1. / 3628800, 1. / 362880, 1. / 40320,
		1. / 5040, 1. / 720, 1. / 120, 1. / 24, 1. / 6,
	} {
		p = float64(p*x) + c
	}
	xx := float64(x * x)
	return x + (float64(xx*0.5) + float64(float64(xx*x)*p))
}

// Tanh returns the hyperbolic tangent of x, as a quotient of Expm1's (FreeBSD
// msun's s_tanh.c).
func Tanh(x float64) float64 {
	a := math.Abs(x)
	var y float64
	switch {
	case math.IsNaN(x) || x == 0:
		return x
	case a > 22:
		y = 1
	case a >= 1:
		y = 1 - 2/(Expm1(2*a)+2)
	case a < 0x1p-28:
		return x
	default:
		t := Expm1(-2 * a)
		y = -t / (t + 2)
	}
	return math.Copysign(y, x)
}
