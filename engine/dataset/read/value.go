package read

import (
	"bytes"
	"math"
)

const (
	notNumber = "%s is not a number"
	tooLarge  = "%s is too large for a 64-bit number"
	valueHint = "write a finite decimal number, or nothing, na, nan or null for a missing value"
)

// value reads the text of a field. Nothing, and na, nan and null in any case,
// mean missing, as in LightGBM. problem is empty or has a place for the text.
func value(field []byte) (v float64, problem string) {
	if len(field) == 0 {
		return math.NaN(), ""
	}
	var room [64]byte
	buf := append(room[:0], field...)
	buf = append(buf, make([]byte, padding)...)
	v, n, status := parseFloat(buf, 0)
	switch {
	case status != floatNone && n == len(field):
		if status == floatRange {
			return v, tooLarge
		}
		return v, ""
	case len(field) > len("-infinity"):
		return 0, notNumber
	}
	word := bytes.ToLower(field)
	negative := word[0] == '-'
	if negative || word[0] == '+' {
		word = word[1:]
	}
	switch string(word) {
	case "na", "nan", "null":
		return math.NaN(), ""
	case "inf", "infinity":
		if negative {
			return math.Inf(-1), ""
		}
		return math.Inf(1), ""
	}
	return 0, notNumber
}

func checkLabel(v float64, strict bool) (problem, hint string) {
	switch {
	case !strict:
	case math.IsNaN(v):
		return "the label is missing", "remove the row or fill in its label"
	case math.IsInf(float64(float32(v)), 0):
		return "the label is infinite or too large for a 32-bit number", "correct it or scale the labels"
	}
	return "", ""
}

func checkWeight(v float64) (problem, hint string) {
	const hint1 = "weights must be finite and not negative"
	switch {
	case math.IsNaN(v):
		return "the weight is missing", hint1
	case v < 0:
		return "the weight is negative", hint1
	case math.IsInf(float64(float32(v)), 0):
		return "the weight is infinite or too large for a 32-bit number", hint1
	}
	return "", ""
}

func checkGroup(v float64) (problem, hint string) {
	const hint1 = "the group column must hold whole numbers, equal for the rows of one query"
	switch {
	case math.IsNaN(v):
		return "the group is missing", hint1
	case v != math.Trunc(v) || math.Abs(v) > 1<<53:
		return "the group is not a whole number", hint1
	}
	return "", ""
}
