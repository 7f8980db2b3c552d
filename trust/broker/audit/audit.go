// Package audit is the broker's tamper-evident log: every request, decision and
// change, with its reason, as one line of JSON each, hashed into a Merkle tree
// (RFC 6962 section 2.1) whose root the broker signs in checkpoints (C2SP
// tlog-checkpoint) that witnesses co-sign.
//
// An entry is appended in the store's transaction that makes the change it
// tells of, so neither is ever there without the other. It takes effect once
// Wait says that a checkpoint which contains it is co-signed: then this history
// is the only one, and a restored or copied store cannot repeat it.
//
// Entries are for owners and reviewers to read and hold no secrets: ids, hashes
// and names, never keys, nonces of clients or contents of requests.
// docs/reference/audit-log.md says how an outsider checks a log.
package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode/utf8"
)

// The errors that a caller may want to tell from others.
var (
	// ErrTampered is in the chain of every error that says that a log, a
	// checkpoint or a proof is not what was signed: exit code 5.
	ErrTampered = errors.New("the audit log was tampered with")
	// ErrForked says that witnesses have seen another history of this log: the
	// store is an older copy, or another broker runs from a copy. It is an
	// ErrTampered.
	ErrForked = fmt.Errorf("witnesses have seen another history of this log: the store is an older copy, or another broker runs from a copy of it: %w", ErrTampered)
	// ErrNoEntry says that the log has no entry of an index yet.
	ErrNoEntry = errors.New("the log has no such entry")
)

// Version is the version of the entries that are written.
const Version = 1

// MaxEntry is the greatest length of an entry's line in bytes.
const MaxEntry = 64 << 10

// Decision is how a request was answered.
type Decision string

// The decisions. An entry that tells of no request has none.
const (
	Granted Decision = "granted"
	Refused Decision = "refused"
)

// Entry is what one line of the log says. Fields are only ever added; what a
// reader does not know it keeps, since the hash is that of the line.
type Entry struct {
	// Version is set by Append.
	Version int `json:"v"`
	// Time is the broker's, in UTC to the microsecond; Append sets it if it is
	// zero.
	Time time.Time `json:"time"`
	// Type is what happened, such as "release", "policy" or "start".
	Type string `json:"type"`
	// Request is the id that the answer carries too.
	Request string `json:"request,omitempty"`
	// Client says who asked, as far as is known: an owner, an administrator, or
	// a workload.
	Client string `json:"client,omitempty"`
	// Subject is what is asked for or changed: a key, a data set, a certificate.
	Subject  string   `json:"subject,omitempty"`
	Decision Decision `json:"decision,omitempty"`
	// Reason says why, for people; for a refusal each failed check.
	Reason string `json:"reason,omitempty"`
	// Details are what the type of entry adds: hashes of the policy, of the
	// job and of the evidence, counts, names.
	Details map[string]string `json:"details,omitempty"`
}

var typeName = regexp.MustCompile(`^[a-z][a-z0-9.-]{0,63}$`)

// line encodes the entry as it is stored and hashed, without a newline.
func (e *Entry) line() ([]byte, error) {
	if !typeName.MatchString(e.Type) {
		return nil, fmt.Errorf("audit entry: type %.80q is not lower-case letters, digits, dots and dashes", e.Type)
	}
	switch e.Decision {
	case "", Granted, Refused:
	default:
		return nil, fmt.Errorf("audit entry: decision %.80q is neither %q nor %q", e.Decision, Granted, Refused)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("audit entry: %w", err)
	}
	line := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(line) > MaxEntry {
		return nil, fmt.Errorf("audit entry: %d bytes, of at most %d", len(line), MaxEntry)
	}
	return line, nil
}

// ParseEntry reads a line of a log.
func ParseEntry(line []byte) (*Entry, error) {
	if len(line) > MaxEntry || !utf8.Valid(line) || bytes.ContainsAny(line, "\n\r") {
		return nil, errors.New("audit entry: not one line of UTF-8 of the length that is written")
	}
	e := new(Entry)
	if err := json.Unmarshal(line, e); err != nil {
		return nil, fmt.Errorf("audit entry: %w", err)
	}
	if e.Version < 1 || e.Type == "" {
		return nil, errors.New("audit entry: no version or no type")
	}
	return e, nil
}
