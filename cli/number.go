package cli

import (
	"math"
	"math/bits"
	"strconv"
)

// fives are powers of five.
var fives = func() (p [22]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = 5 * p[i-1]
	}
	return p
}()

// pairs has the digits of 00 … 99.
const pairs = "00010203040506070809" + "10111213141516171819" + "20212223242526272829" + "30313233343536373839" +
	"40414243444546474849" + "50515253545556575859" + "60616263646566676869" + "70717273747576777879" +
	"80818283848586878889" + "90919293949596979899"

// appendNumber writes a number with 17 significant digits, without zeros at the
// end, as C's %.17g and strconv.AppendFloat(b, v, 'g', 17, 64). It is several times
// as fast for numbers of magnitude 10^-4 to 10^15.
func appendNumber(b []byte, v float64) []byte {
	abs := math.Abs(v)
	if !(abs >= 1e-4 && abs < 1e15) {
		return strconv.AppendFloat(b, v, 'g', 17, 64)
	}
	if v < 0 {
		b = append(b, '-')
	}
	word := math.Float64bits(abs)
	two := int(word>>52) - 1023 // abs is at least 2^two
	mantissa := word&(1<<52-1) | 1<<52
	ten := two * 1233 >> 12 // and at least 10^ten: 1233/2^12 is log10(2)
	digits := scaled(mantissa, two, 16-ten)
	if digits >= 1e17 {
		ten++
		digits = scaled(mantissa, two, 16-ten)
	}
	return appendDigits(b, digits, ten)
}

// scaled is mantissa·2^(two-52)·10^k, rounded to the nearest integer, ties to
// even. The product by 5^k is exact: it has at most 53+49 bits.
func scaled(mantissa uint64, two, k int) uint64 {
	hi, lo := bits.Mul64(mantissa, fives[k])
	shift := uint(52-two-k) & 63 // 1 to 63 in the range of appendNumber
	n, rest, half := hi<<(64-shift)|lo>>shift, lo&(1<<shift-1), uint64(1)<<(shift-1)
	if rest > half || rest == half && n&1 != 0 {
		n++
	}
	return n
}

// appendDigits writes digits, which are 17, of a number of at least 10^ten, less
// than ten times that.
func appendDigits(b []byte, digits uint64, ten int) []byte {
	var text [17]byte
	for i := 15; i > 0; i -= 2 {
		pair := digits % 100 * 2
		digits /= 100
		text[i], text[i+1] = pairs[pair], pairs[pair+1]
	}
	text[0] = '0' + byte(digits)
	end := len(text)
	for end > 1 && text[end-1] == '0' {
		end--
	}
	switch {
	case ten < 0:
		b = append(b, "0.000"[:1-ten]...)
		return append(b, text[:end]...)
	case end <= ten+1:
		return append(b, text[:ten+1]...)
	default:
		b = append(b, text[:ten+1]...)
		b = append(b, '.')
		return append(b, text[ten+1:end]...)
	}
}
