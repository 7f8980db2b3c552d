package attest

import (
	"fmt"
	"strings"
)

// Checklist makes the checks of one verification, one after the other, and keeps
// what each found. Its zero value has made none, of no claims.
type Checklist struct {
	Verification

	refused refusal
}

// refusal says why evidence is refused: once for each check that failed.
type refusal []error

// Error implements error.
func (r refusal) Error() string {
	reasons := make([]string, len(r))
	for i, err := range r {
		reasons[i] = err.Error()
	}
	return fmt.Sprintf("%s: %s", ErrRefused, strings.Join(reasons, "; "))
}

// Unwrap has errors.Is find ErrRefused, and the reasons.
func (r refusal) Unwrap() []error { return append([]error{ErrRefused}, r...) }

// Check records a check, which failed if err is not nil, and says whether it
// passed. The detail of one that passed is what format and its arguments say; they
// are not looked at if it failed.
func (l *Checklist) Check(name string, err error, format string, args ...any) bool {
	if err != nil {
		l.Checks = append(l.Checks, Check{Name: name, Detail: err.Error()})
		l.refused = append(l.refused, fmt.Errorf("%s: %w", name, err))
		return false
	}
	l.Checks = append(l.Checks, Check{Name: name, Passed: true, Detail: fmt.Sprintf(format, args...)})
	return true
}

// Refused says whether a check failed.
func (l *Checklist) Refused() bool { return len(l.refused) > 0 }

// End returns what was found, and an error in whose chain ErrRefused is if a check
// failed.
func (l *Checklist) End() (*Verification, error) {
	if l.Refused() {
		return &l.Verification, l.refused
	}
	return &l.Verification, nil
}
