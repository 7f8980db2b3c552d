package gbdt

import "fmt"

// hinted is an error that says what to do about it.
type hinted struct {
	error
	hint string
}

func advise(hint, format string, args ...any) error {
	return &hinted{fmt.Errorf(format, args...), hint}
}

// Hint says what to do.
func (h *hinted) Hint() string { return h.hint }

func (h *hinted) Unwrap() error { return h.error }
