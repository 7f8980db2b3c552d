package lightgbm

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"cloister/engine/dataset/read"
)

// How many significant digits LightGBM writes: all of what prediction needs,
// few of what is there to be read.
const (
	exactDigits = 17
	shortDigits = 6
)

// appendNumber writes v as C's %.*g does.
func appendNumber(b []byte, v float64, digits int) []byte {
	switch {
	case math.IsNaN(v) && math.Signbit(v):
		return append(b, "-nan"...)
	case math.IsNaN(v):
		return append(b, "nan"...)
	case math.IsInf(v, 1):
		return append(b, "inf"...)
	case math.IsInf(v, -1):
		return append(b, "-inf"...)
	}
	return strconv.AppendFloat(b, v, 'g', digits, 64)
}

func appendNumbers[T float32 | float64](b []byte, values []T, digits int) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, ' ')
		}
		b = appendNumber(b, float64(v), digits)
	}
	return b
}

func appendIntegers[T int | int8 | int32 | int64 | uint8 | uint32](b []byte, values []T) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(v), 10)
	}
	return b
}

// modelFloat reads a number as LightGBM or C writes it: decimal, inf or nan.
func modelFloat(s string, bits int) (float64, error) {
	switch strings.TrimLeft(s, "+-") {
	case "nan":
		if s[0] == '-' {
			return math.Copysign(math.NaN(), -1), nil
		}
		return math.NaN(), nil
	case "inf", "infinity":
		if s[0] == '-' {
			return math.Inf(-1), nil
		}
		return math.Inf(1), nil
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, errors.New("is not a number")
		}
	}
	v, err := strconv.ParseFloat(s, bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("is beyond the range of %d-bit numbers", bits)
	case err != nil:
		return 0, errors.New("is not a number")
	}
	return v, nil
}

func modelFloat64(s string) (float64, error) {
	if v, ok := read.Decimal(s); ok {
		return v, nil
	}
	return modelFloat(s, 64)
}

func modelFloat32(s string) (float32, error) {
	v, err := modelFloat(s, 32)
	return float32(v), err
}

// modelInteger reads an integer that fits T.
func modelInteger[T int | int8 | int32 | int64 | uint8 | uint32](s string) (T, error) {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, errors.New("is not an integer")
	}
	if err != nil || int64(T(v)) != v {
		return 0, errors.New("is out of range")
	}
	return T(v), nil
}

// words cuts a list at its spaces.
func words(s string) []string {
	var list []string
	for {
		s = strings.TrimLeft(s, " ")
		if s == "" {
			return list
		}
		w, rest, _ := strings.Cut(s, " ")
		list = append(list, w)
		s = rest
	}
}
