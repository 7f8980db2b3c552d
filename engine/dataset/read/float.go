package read

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

//go:generate go run ./powers -o powers.go

type floatStatus uint8

const (
	floatOK    floatStatus = iota
	floatNone              // there is no number
	floatRange             // the number is too large for a float64
)

// padding is the number of bytes that must follow a text so that digits can be
// loaded eight at a time.
const padding = 16

// Decimal reads a text that is nothing but a decimal number, as the tables' are,
// and returns the nearest float64. It is fast; ok is false for any other text, and
// for some that are very long.
func Decimal(s string) (v float64, ok bool) {
	var room [64]byte
	if len(s) > len(room)-padding {
		return 0, false
	}
	n := copy(room[:], s)
	v, end, status := parseFloat(room[:], 0)
	return v, status == floatOK && end == n
}

const (
	ascii0s = 0x3030303030303030
	highs   = 0x8080808080808080
)

// exactPowers are the powers of ten that a float64 holds exactly.
var exactPowers = [23]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

var intPowers = [16]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// maxExactDigits is the number of decimal digits that a uint64 always holds.
const maxExactDigits = 19

// parseFloat reads the decimal number ([+-] digits [. digits] [e [+-] digits])
// at buf[p:] and returns the nearest float64 (ties to even) and the place
// behind the number. At least padding bytes must follow the number in buf.
func parseFloat(buf []byte, p int) (float64, int, floatStatus) {
	start := p
	c := buf[p]
	neg := c == '-'
	if neg || c == '+' {
		p++
	}
	// Most numbers of measured data: a digit, a point, and one to seven digits.
	if d := uint64(buf[p] - '0'); d <= 9 && buf[p+1] == '.' {
		x := binary.LittleEndian.Uint64(buf[p+2:p+10]) ^ ascii0s
		n := uint(bits.TrailingZeros64(((x+0x7676767676767676)|x)&highs)) >> 3
		if q := p + 2 + int(n); n-1 < 7 && buf[q]|0x20 != 'e' {
			f := float64(d*intPowers[n&15]+eightDigits(x<<(64-8*n))) / exactPowers[n&15]
			if neg {
				f = -f
			}
			return f, q, floatOK
		}
	}
	var m uint64
	first := p
	for {
		d := uint64(buf[p] - '0')
		if d > 9 {
			break
		}
		m = m*10 + d
		p++
	}
	digits := p - first
	exp := 0
	if buf[p] == '.' {
		p++
		point := p
		for {
			x := binary.LittleEndian.Uint64(buf[p:p+8]) ^ ascii0s
			n := bits.TrailingZeros64(((x+0x7676767676767676)|x)&highs) >> 3
			m = m*intPowers[n&15] + eightDigits(x<<(64-8*uint(n)))
			p += n
			if n < 8 {
				break
			}
		}
		exp = point - p
		digits -= exp
	}
	if digits == 0 {
		return 0, start, floatNone
	}
	if buf[p]|0x20 == 'e' {
		e, q := exponent(buf, p+1)
		if q == p+1 {
			return 0, start, floatNone
		}
		exp += e
		p = q
	}
	if digits <= maxExactDigits {
		if m < 1<<53 && uint(exp+22) <= 44 {
			f := float64(m)
			if exp < 0 {
				f /= exactPowers[-exp]
			} else {
				f *= exactPowers[exp]
			}
			if neg {
				f = -f
			}
			return f, p, floatOK
		}
		if f, ok := nearest(m, exp); ok {
			if neg {
				f = -f
			}
			return f, p, floatOK
		}
	}
	f, err := strconv.ParseFloat(string(buf[start:p]), 64)
	if err != nil || math.IsInf(f, 0) {
		return f, p, floatRange
	}
	return f, p, floatOK
}

// eightDigits is the number whose digits' values (0 to 9) are the bytes of x,
// the lowest byte being the first digit.
func eightDigits(x uint64) uint64 {
	const mask = 0x000000FF000000FF
	x = x*10 + x>>8
	return ((x&mask)*(100+1000000<<32) + (x>>16&mask)*(1+10000<<32)) >> 32
}

// exponent reads [+-] digits; the place is unchanged where there are none.
func exponent(buf []byte, p int) (int, int) {
	start := p
	neg := buf[p] == '-'
	if neg || buf[p] == '+' {
		p++
	}
	first, e := p, 0
	for {
		d := int(buf[p]) - '0'
		if d < 0 || d > 9 {
			break
		}
		if e < 1e6 {
			e = e*10 + d
		}
		p++
	}
	if p == first {
		return 0, start
	}
	if neg {
		e = -e
	}
	return e, p
}

// nearest is m·10^exp rounded to the nearest float64, or false where the
// method cannot tell or exp is outside the table (D. Lemire, "Number Parsing
// at a Gigabyte per Second", Software: Practice and Experience 51, 2021,
// algorithm 1; the table holds powers rounded down, normalised to 128 bits).
func nearest(m uint64, exp int) (float64, bool) {
	if m == 0 {
		return 0, true
	}
	if exp < minPower || exp > maxPower {
		return 0, false
	}
	power := &powers[exp-minPower]
	shift := bits.LeadingZeros64(m)
	w := m << uint(shift)
	hi, lo := bits.Mul64(w, power[0])
	if hi&0x1FF == 0x1FF && lo+w < w {
		// The lower half of the power may change the bits that decide.
		hi2, lo2 := bits.Mul64(w, power[1])
		merged, carry := bits.Add64(lo, hi2, 0)
		hi += carry
		if hi&0x1FF == 0x1FF && merged+1 == 0 && lo2+w < w {
			return 0, false
		}
		lo = merged
	}
	msb := hi >> 63
	mantissa := hi >> (msb + 9)
	// 217706/2^16 is log2(10), good enough for the exponent's floor here.
	e := uint64((217706*exp)>>16+64+1023) - uint64(shift) - (1 ^ msb)
	if lo == 0 && hi&0x1FF == 0 && mantissa&3 == 1 {
		return 0, false // half way between two: the rest would decide
	}
	mantissa += mantissa & 1
	mantissa >>= 1
	if mantissa>>53 > 0 {
		mantissa >>= 1
		e++
	}
	if e-1 >= 0x7FF-1 {
		return 0, false
	}
	return math.Float64frombits(e<<52 | mantissa&(1<<52-1)), true
}
