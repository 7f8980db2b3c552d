package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"cloister/durable"
	"cloister/engine/dataset/read"
	"cloister/engine/parallel"
	"cloister/trust/approval"
	"cloister/trust/attest"
	"cloister/trust/broker"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// Exit codes of the program.
const (
	ExitDone        = 0   // what was asked for is done
	ExitBug         = 1   // a bug in Cloister
	ExitInput       = 2   // misuse, bad input, or a local resource (disk, memory, permission)
	ExitRefused     = 3   // evidence or policy refused
	ExitNetwork     = 4   // the network, or the peer at its other end
	ExitTampering   = 5   // tampering found
	ExitInterrupted = 130 // interrupted by SIGINT, SIGTERM or SIGHUP
	ExitBrokenPipe  = 141 // the reader of standard output went away
)

// ExitMeanings says what each exit code means, for the reference pages.
var ExitMeanings = []struct {
	Code    int
	Meaning string
}{
	{ExitDone, "done"},
	{ExitBug, "a bug in Cloister"},
	{ExitInput, "misuse, bad input or a local resource (disk, memory, permission)"},
	{ExitRefused, "evidence or policy refused"},
	{ExitNetwork, "network or peer failure"},
	{ExitTampering, "tampering found"},
	{ExitInterrupted, "interrupted"},
	{ExitBrokenPipe, "the reader of standard output went away"},
}

// Error is an error with an exit code, and with what to do about it. Commands
// return one where the rules of exitCode and hint do not suffice.
type Error struct {
	Code int
	Err  error
	Hint string
	// Shown says that the JSON result, which was printed, tells of the error.
	Shown bool
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// inputError is an error of the one who typed the command.
func inputError(hint, format string, args ...any) error {
	return &Error{Code: ExitInput, Err: fmt.Errorf(format, args...), Hint: hint}
}

// stdoutError marks a failure to write to standard output.
type stdoutError struct{ err error }

func (e *stdoutError) Error() string { return "cannot write to standard output: " + e.err.Error() }
func (e *stdoutError) Unwrap() error { return e.err }

// exitCode is the one place that maps errors to exit codes. What has no rule
// is a matter of input: the packages below return errors for nothing else, and
// panic on their bugs.
func exitCode(err error) int {
	var (
		own     *Error
		bug     *parallel.PanicError
		out     *stdoutError
		network *net.OpError
	)
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &bug):
		return ExitBug
	case errors.As(err, &out) && errors.Is(err, syscall.EPIPE):
		return ExitBrokenPipe
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.As(err, &own):
		return own.Code
	case errors.Is(err, audit.ErrTampered), errors.Is(err, vault.ErrTampered), errors.Is(err, store.ErrDamaged):
		return ExitTampering
	case errors.Is(err, attest.ErrRefused), errors.Is(err, policy.ErrRefused), errors.Is(err, approval.ErrRefused), errors.Is(err, broker.ErrRefused):
		return ExitRefused
	case errors.As(err, &network), errors.Is(err, broker.ErrNetwork):
		return ExitNetwork
	default:
		return ExitInput
	}
}

// hint says what to do about an error, or nothing. An error of any package may
// bring its own with a method Hint() string.
func hint(err error) string {
	var own *Error
	if errors.As(err, &own) && own.Hint != "" {
		return own.Hint
	}
	var table *read.Error
	if errors.As(err, &table) && table.Hint != "" {
		return table.Hint
	}
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) && hinted.Hint() != "" {
		return hinted.Hint()
	}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) && pe.Op == "create" && errors.Is(err, fs.ErrNotExist) {
		return "the directory must be there already"
	}
	for _, h := range []struct {
		cause error
		hint  string
	}{
		{syscall.ENOSPC, "free some space there or write elsewhere; an older file of that name is untouched"},
		{syscall.EDQUOT, "free some of the quota or write elsewhere; an older file of that name is untouched"},
		{syscall.EFBIG, "raise the limit on file sizes (ulimit -f); an older file of that name is untouched"},
		{syscall.EROFS, "write to another file system"},
		{syscall.EMFILE, "raise the limit on open files (ulimit -n)"},
		{syscall.EISDIR, "name a file in it"},
		{durable.ErrDirectory, "name a file in it"},
		{fs.ErrPermission, "check the permissions of the file and of its directory"},
		{fs.ErrNotExist, "check the path; it is relative to the working directory"},
	} {
		if errors.Is(err, h.cause) {
			return h.hint
		}
	}
	return ""
}

// message is an error's text without a hint at its end, which gets a line of
// its own.
func message(err error) string {
	if bug := (*parallel.PanicError)(nil); errors.As(err, &bug) {
		return fmt.Sprint(bug.Value)
	}
	text := err.Error()
	var table *read.Error
	if errors.As(err, &table) && table.Hint != "" {
		text = strings.TrimSuffix(text, "; "+table.Hint)
	}
	if lines := strings.Split(text, "\n"); len(lines) > maxLines {
		return strings.Join(lines[:maxLines], "\n") + fmt.Sprintf("\nand %d more", len(lines)-maxLines)
	}
	return text
}

// maxLines is the greatest length of an error: a file that is none of ours can
// be wrong in every line.
const maxLines = 8

// report tells the user of an error and returns the exit code.
func (a *app) report(args []string, err error) int {
	code := exitCode(err)
	if code == ExitDone || code == ExitBrokenPipe {
		return code
	}
	var bug *parallel.PanicError
	switch {
	case code == ExitInterrupted:
		a.console.printf("cloister: interrupted\n")
	case errors.As(err, &bug):
		a.console.printf("cloister: bug: %s\n%s\nhint: please report this with the lines above and the output of \"cloister version\"\n",
			printable(message(err)), bug.Stack)
	default:
		a.console.printf("cloister: error: %s\n", printable(message(err)))
		if h := hint(err); h != "" {
			a.console.printf("hint: %s\n", printable(h))
		}
	}
	var own *Error
	if shown := errors.As(err, &own) && own.Shown; (a.json || wantsJSON(args)) && !shown {
		a.reportJSON(err, code)
	}
	return code
}

type jsonError struct {
	Error struct {
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
		Code    int    `json:"code"`
	} `json:"error"`
}

func (a *app) reportJSON(err error, code int) {
	var e jsonError
	e.Error.Message = message(err)
	if code == ExitInterrupted {
		e.Error.Message = errInterrupted.Error()
	}
	e.Error.Hint = hint(err)
	e.Error.Code = code
	text, err := marshal(e)
	if err == nil {
		a.stdout.Write(text) //nolint:errcheck // there is nowhere left to tell it
	}
}

// wantsJSON looks for the flag where the command line could not be parsed.
func wantsJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}

// printable makes text that came from a file or a peer safe for a terminal and
// keeps it one paragraph: control characters are escaped, later lines indented.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString("\n  ")
		case r == '\t':
			b.WriteRune(' ')
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar:
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
