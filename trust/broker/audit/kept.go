package audit

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// keptFormat is that of a Kept in a file.
const keptFormat = "cloister-audit-state/1"

// Kept is what somebody who checks a log keeps until the next time: the last
// checkpoint, and the hash of each entry of it, by which a change of the past is
// named to the entry.
type Kept struct {
	// LogKey is the log's verifier key. Another key is another log.
	LogKey string
	// Checkpoint is signed.
	Checkpoint []byte
	// Leaves are the hashes of all its entries, or nil if the entries were never
	// read.
	Leaves []tlog.Hash
}

type keptFile struct {
	Format     string `json:"format"`
	LogKey     string `json:"log_key"`
	Checkpoint string `json:"checkpoint"`
	Leaves     []byte `json:"leaves,omitempty"`
}

// MarshalText implements encoding.TextMarshaler.
func (k *Kept) MarshalText() ([]byte, error) {
	f := keptFile{Format: keptFormat, LogKey: k.LogKey, Checkpoint: string(k.Checkpoint)}
	for _, h := range k.Leaves {
		f.Leaves = append(f.Leaves, h[:]...)
	}
	text, err := json.MarshalIndent(&f, "", "  ")
	return append(text, '\n'), err
}

// UnmarshalText implements encoding.TextUnmarshaler. It verifies nothing: see
// Open.
func (k *Kept) UnmarshalText(text []byte) error {
	var f keptFile
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("audit state: %w", err)
	}
	if f.Format != keptFormat {
		return fmt.Errorf("audit state: its format is %.40q, not %q", f.Format, keptFormat)
	}
	if len(f.Leaves)%tlog.HashSize != 0 {
		return errors.New("audit state: its hashes are cut off")
	}
	*k = Kept{LogKey: f.LogKey, Checkpoint: []byte(f.Checkpoint)}
	for rest := f.Leaves; len(rest) > 0; rest = rest[tlog.HashSize:] {
		k.Leaves = append(k.Leaves, tlog.Hash(rest[:tlog.HashSize]))
	}
	return nil
}

// Open verifies the checkpoint by the log's key, and that the hashes are those
// of its entries.
func (k *Kept) Open(logKey note.Verifier) (*Checkpoint, error) {
	c, _, err := OpenCheckpoint(k.Checkpoint, logKey)
	if err != nil {
		return nil, fmt.Errorf("audit state: %w", err)
	}
	if k.Leaves != nil && (int64(len(k.Leaves)) != c.Size || rootOf(k.Leaves) != c.Root) {
		return nil, fmt.Errorf("audit state: its hashes are not those of its checkpoint: the file was changed: %w", ErrTampered)
	}
	return c, nil
}
