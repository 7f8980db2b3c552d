package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// timeHeading begins a statement of the time. No log is named so, and no size
// follows it: a statement cannot be taken for a checkpoint, nor the other way
// round.
const timeHeading = "cloister-broker-time/v1"

// maxTime bounds a statement that is read.
const maxTime = 4 << 10

// SignedTime is what a broker says that the time is, to who sent a nonce.
type SignedTime struct {
	Origin string // of the log whose key signs
	Nonce  [32]byte
	Time   time.Time
}

func (t *SignedTime) text() string {
	return fmt.Sprintf("%s\n%s\n%x\n%s\n", timeHeading, t.Origin, t.Nonce, t.Time.UTC().Format(time.RFC3339Nano))
}

// SignTime signs the time for a nonce, as a C2SP signed note by the log's key.
func (l *Log) SignTime(nonce [32]byte, at time.Time) (string, error) {
	t := &SignedTime{l.Origin(), nonce, at.Truncate(time.Microsecond)}
	signed, err := note.Sign(&note.Note{Text: t.text()}, l.opts.Signer)
	return string(signed), err
}

// OpenTime verifies that the log's key signed the time for this nonce, and
// nothing else.
func OpenTime(signed string, logKey note.Verifier, nonce [32]byte) (time.Time, error) {
	if len(signed) > maxTime {
		return time.Time{}, fmt.Errorf("signed time: %d bytes, of at most %d", len(signed), maxTime)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(logKey))
	if err != nil {
		return time.Time{}, fmt.Errorf("signed time: not signed by %s: %w: %w", logKey.Name(), err, ErrTampered)
	}
	lines := strings.Split(n.Text, "\n")
	switch {
	case len(lines) != 5 || lines[0] != timeHeading || lines[4] != "":
		return time.Time{}, errors.New("signed time: it is another statement")
	case lines[1] != logKey.Name():
		return time.Time{}, fmt.Errorf("signed time: it is of %.80q, not of %q: %w", lines[1], logKey.Name(), ErrTampered)
	case lines[2] != hex.EncodeToString(nonce[:]):
		return time.Time{}, fmt.Errorf("signed time: it is for another nonce: %w", ErrTampered)
	}
	t, err := time.Parse(time.RFC3339Nano, lines[3])
	if err != nil || t.UTC().Format(time.RFC3339Nano) != lines[3] {
		return time.Time{}, fmt.Errorf("signed time: %.40q is no time in UTC", lines[3])
	}
	return t, nil
}
