package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"

	"cloister/engine/dataset/read"
	"cloister/engine/parallel"
)

type hinted struct{ error }

func (hinted) Hint() string { return "sharpen it" }

func TestExitCodesAndHints(t *testing.T) {
	t.Parallel()
	plain := errors.New("blunt")
	for name, test := range map[string]struct {
		err  error
		code int
		hint string
	}{
		"nothing":       {nil, ExitDone, ""},
		"plain":         {plain, ExitInput, ""},
		"hinted":        {fmt.Errorf("knife: %w", hinted{plain}), ExitInput, "sharpen it"},
		"own":           {fmt.Errorf("a: %w", &Error{Code: ExitTampering, Err: plain, Hint: "run"}), ExitTampering, "run"},
		"own, no hint":  {&Error{Code: ExitRefused, Err: hinted{plain}}, ExitRefused, "sharpen it"},
		"cancelled":     {fmt.Errorf("train: %w", context.Canceled), ExitInterrupted, ""},
		"interrupted":   {errInterrupted, ExitInterrupted, ""},
		"network":       {&net.OpError{Op: "dial", Err: plain}, ExitNetwork, ""},
		"panic":         {&parallel.PanicError{Value: plain}, ExitBug, ""},
		"broken pipe":   {&stdoutError{&fs.PathError{Err: syscall.EPIPE}}, ExitBrokenPipe, ""},
		"other pipe":    {&fs.PathError{Err: syscall.EPIPE}, ExitInput, ""},
		"full disk":     {&fs.PathError{Err: syscall.ENOSPC}, ExitInput, "free some space there or write elsewhere; an older file of that name is untouched"},
		"missing file":  {&fs.PathError{Err: syscall.ENOENT}, ExitInput, "check the path; it is relative to the working directory"},
		"no permission": {&fs.PathError{Err: syscall.EACCES}, ExitInput, "check the permissions of the file and of its directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := exitCode(test.err); got != test.code {
				t.Errorf("exit code %d, want %d", got, test.code)
			}
			if test.err == nil {
				return
			}
			if got := hint(test.err); got != test.hint {
				t.Errorf("hint %q, want %q", got, test.hint)
			}
		})
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err    error
		args   []string
		code   int
		stdout string
		stderr string
	}{
		"nothing": {code: ExitDone},
		"error": {
			err: inputError("do that", "line 3: %s", "bad \x1b[31m\u202e\nmore"), code: ExitInput,
			stderr: "cloister: error: line 3: bad \\u001b[31m\\u202e\n  more\nhint: do that\n",
		},
		"json": {
			err: errors.New("a <b>"), args: []string{"train", "--json"}, code: ExitInput,
			stdout: "{\n  \"error\": {\n    \"message\": \"a <b>\",\n    \"code\": 2\n  }\n}\n",
			stderr: "cloister: error: a <b>\n",
		},
		"json behind --": {
			err: errors.New("no"), args: []string{"train", "--", "--json"}, code: ExitInput,
			stderr: "cloister: error: no\n",
		},
		"table": {
			err: fmt.Errorf("load: %w", &read.Error{Table: "a.csv", Line: 3, Problem: "is odd", Hint: "even it"}), code: ExitInput,
			stderr: "cloister: error: load: a.csv:3: is odd\nhint: even it\n",
		},
		"too many lines": {
			err: errors.New("1\n2\n3\n4\n5\n6\n7\n8\n9\n10"), code: ExitInput,
			stderr: "cloister: error: 1\n  2\n  3\n  4\n  5\n  6\n  7\n  8\n  and 2 more\n",
		},
		"interrupted":   {err: errInterrupted, code: ExitInterrupted, stderr: "cloister: interrupted\n"},
		"reader's gone": {err: &stdoutError{syscall.EPIPE}, code: ExitBrokenPipe},
		"bug": {
			err: &parallel.PanicError{Value: "index out of range", Stack: []byte("STACK")}, code: ExitBug,
			stderr: "cloister: bug: index out of range\nSTACK\n" +
				"hint: please report this with the lines above and the output of \"cloister version\"\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			a := newApp(strings.NewReader(""), &stdout, &stderr)
			if got := a.report(test.args, test.err); got != test.code {
				t.Errorf("exit code %d, want %d", got, test.code)
			}
			if got := stdout.String(); got != test.stdout {
				t.Errorf("standard output %q, want %q", got, test.stdout)
			}
			if got := stderr.String(); got != test.stderr {
				t.Errorf("standard error %q, want %q", got, test.stderr)
			}
		})
	}
}
