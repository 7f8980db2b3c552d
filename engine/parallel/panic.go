package parallel

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// PanicError is a panic that was caught in one goroutine to be raised again in the
// one that waits for it, which must learn of the bug.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // of the goroutine that panicked, as debug.Stack writes it
}

// Error has the stack too: where nobody recovers, Go prints this and the stack
// of the goroutine that waited.
func (p *PanicError) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// Catch calls f and returns its error or, where it panics, a *PanicError.
func Catch(f func() error) (err error) {
	defer func() {
		if p := caught(recover()); p != nil {
			err = p
		}
	}()
	return f()
}

// Raise panics where the error is or wraps a *PanicError.
func Raise(err error) {
	if p := (*PanicError)(nil); errors.As(err, &p) {
		panic(p)
	}
}

// caught keeps the stack of where a panic began, even if it was raised again.
func caught(v any) *PanicError {
	switch v := v.(type) {
	case nil:
		return nil
	case *PanicError:
		return v
	default:
		return &PanicError{Value: v, Stack: debug.Stack()}
	}
}
