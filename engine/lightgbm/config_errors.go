package lightgbm

import (
	"errors"
	"fmt"
	"strings"

	"cloister/engine/lightgbm/parameter"
)

// ErrParameters is matched (errors.Is) by every error of this package that the
// author of the configuration can repair.
var ErrParameters = errors.New("bad parameters")

// SyntaxError reports text that is not KEY=VALUE.
type SyntaxError struct {
	Origin Origin
	// Text is what was read; empty if it cannot be shown.
	Text    string
	Problem string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s: %s", e.Origin, e.Problem)
	}
	return fmt.Sprintf("%s: %q: %s", e.Origin, shorten(e.Text), e.Problem)
}

// Is matches ErrParameters.
func (e *SyntaxError) Is(target error) bool { return target == ErrParameters }

// UnknownError reports a parameter that does not exist.
type UnknownError struct {
	Name string
	// Nearest is the most similar name or alias that exists; empty if none is
	// similar.
	Nearest string
	Origin  Origin
}

// Error implements error.
func (e *UnknownError) Error() string {
	hint := "cloister train --help-parameters lists those that exist"
	if e.Nearest != "" {
		hint = "did you mean " + e.Nearest + "?"
	}
	return fmt.Sprintf("unknown parameter %q%s: %s (unknown_parameters=warn ignores it)",
		shorten(e.Name), at(e.Origin), hint)
}

// Is matches ErrParameters.
func (e *UnknownError) Is(target error) bool { return target == ErrParameters }

// ValueError reports a value that its parameter cannot have.
type ValueError struct {
	// Parameter is the canonical name.
	Parameter, Value string
	Origin           Origin
	// Want says what the value must be.
	Want string
}

// Error implements error.
func (e *ValueError) Error() string {
	return fmt.Sprintf("%s=%s%s: %s", e.Parameter, shorten(e.Value), at(e.Origin), e.Want)
}

// Is matches ErrParameters.
func (e *ValueError) Is(target error) bool { return target == ErrParameters }

// NotSupportedError reports a valid setting that Cloister does not offer yet
// or never will.
type NotSupportedError struct {
	// Parameter is the canonical name.
	Parameter, Value string
	Origin           Origin
	// Status is parameter.NotYet or parameter.Refused.
	Status parameter.Status
	// Reason and Instead are those of the declaration, or say what to set.
	Reason, Instead string
}

// Error implements error.
func (e *NotSupportedError) Error() string {
	reason := e.Reason
	if reason == "" {
		reason = e.Status.String()
	}
	return fmt.Sprintf("%s=%s%s: %s; %s", e.Parameter, shorten(e.Value), at(e.Origin), reason, e.Instead)
}

// Is matches ErrParameters.
func (e *NotSupportedError) Is(target error) bool { return target == ErrParameters }

// ConflictError reports settings that exclude each other.
type ConflictError struct {
	// Parameters are the canonical names.
	Parameters []string
	// Settings has them with their values and origins, for the message.
	Settings []string
	// Problem says what is wrong and what to do.
	Problem string
}

// Error implements error.
func (e *ConflictError) Error() string {
	return strings.Join(e.Settings, " with ") + ": " + e.Problem
}

// Is matches ErrParameters.
func (e *ConflictError) Is(target error) bool { return target == ErrParameters }

// at returns the origin in brackets, or nothing for a program.
func at(o Origin) string {
	if o == (Origin{}) {
		return ""
	}
	return " (" + o.String() + ")"
}

// shorten keeps a hostile text from filling the screen.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// NoticeKind says what a Notice is about.
type NoticeKind int

const (
	// Ignored is a setting that another one of the same source replaces, or
	// that has no place there.
	Ignored NoticeKind = iota
	// Overridden is a setting of the file that the command line replaces.
	Overridden
	// NoEffect is a setting that cannot change the result.
	NoEffect
	// Changed is a value that was adapted to other settings.
	Changed
	// Unknown is a parameter that does not exist, with unknown_parameters=warn.
	Unknown
	// Doubtful is a combination that works but is rarely meant.
	Doubtful
)

// Notice is something that the log should say once about the configuration.
type Notice struct {
	Kind NoticeKind
	// Parameter is the canonical name, or the name as given if it is unknown.
	Parameter string
	Origin    Origin
	// Text is the message, in the style of errors.
	Text string
}

// String returns the message.
func (n Notice) String() string { return n.Text }
