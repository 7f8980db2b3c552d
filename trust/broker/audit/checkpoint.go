package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCheckpoint is the greatest length of a checkpoint with its signatures that
// is read.
const MaxCheckpoint = 64 << 10

// Checkpoint is what a checkpoint says (C2SP tlog-checkpoint): the log has this
// root at this size.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// Text is the checkpoint's note text, without extension lines.
func (c *Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

// ParseCheckpoint reads a note's text, which may be followed by its signatures.
// It verifies none: see OpenCheckpoint.
func ParseCheckpoint(text string) (*Checkpoint, error) {
	text, _, _ = strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 {
		return nil, errors.New("checkpoint: fewer than three lines: origin, size, root")
	}
	c := &Checkpoint{Origin: lines[0]}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return nil, fmt.Errorf("checkpoint: line 2: size %.40q is not a decimal number", lines[1])
	}
	c.Size = size
	if c.Root, err = ParseHash(lines[2]); err != nil {
		return nil, fmt.Errorf("checkpoint: line 3: %w", err)
	}
	for i, line := range lines {
		if line == "" {
			return nil, fmt.Errorf("checkpoint: line %d is empty", i+1)
		}
	}
	return c, nil
}

// ParseHash reads a hash in the one base64 that it has. The standard library's
// decoder passes over line ends, which must not make another text of the same
// hash.
func ParseHash(text string) (tlog.Hash, error) {
	h, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(h) != tlog.HashSize || len(text) != base64.StdEncoding.EncodedLen(tlog.HashSize) {
		return tlog.Hash{}, fmt.Errorf("%.80q is not a hash: %d bytes in base64", text, tlog.HashSize)
	}
	return tlog.Hash(h), nil
}

// Sign signs a checkpoint.
func (c *Checkpoint) Sign(signer note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.Text()}, signer)
}

// OpenCheckpoint verifies that the log's key, and of the others each that signed
// at all, signed a checkpoint. Signatures of unknown keys are ignored.
func OpenCheckpoint(signed []byte, logKey note.Verifier, others ...note.Verifier) (*Checkpoint, *note.Note, error) {
	if len(signed) > MaxCheckpoint {
		return nil, nil, fmt.Errorf("checkpoint: %d bytes, of at most %d", len(signed), MaxCheckpoint)
	}
	n, err := note.Open(signed, note.VerifierList(append([]note.Verifier{logKey}, others...)...))
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown):
		return nil, nil, fmt.Errorf("checkpoint: not signed by %s (key %08x): %w", logKey.Name(), logKey.KeyHash(), ErrTampered)
	case errors.As(err, &invalid):
		return nil, nil, fmt.Errorf("checkpoint: the signature of %s (key %08x) is wrong: %w", invalid.Name, invalid.Hash, ErrTampered)
	case err != nil:
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	signedByLog := false
	for _, s := range n.Sigs {
		signedByLog = signedByLog || s.Name == logKey.Name() && s.Hash == logKey.KeyHash()
	}
	if !signedByLog {
		return nil, nil, fmt.Errorf("checkpoint: not signed by %s (key %08x): %w", logKey.Name(), logKey.KeyHash(), ErrTampered)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return nil, nil, err
	}
	if c.Origin != logKey.Name() {
		return nil, nil, fmt.Errorf("checkpoint: it is of the log %.80q, not of %q: %w", c.Origin, logKey.Name(), ErrTampered)
	}
	return c, n, nil
}
