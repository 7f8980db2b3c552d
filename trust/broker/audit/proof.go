package audit

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const proofHeader = "c2sp.org/tlog-proof@v1"

// maxProofHashes is the height of the greatest tree.
const maxProofHashes = 63

// Proof shows, to who has an entry and the keys of log and witnesses, that the
// entry is in the log (C2SP tlog-proof). It is verified offline:
// cloister/trust/broker/witness, Set.VerifyProof.
type Proof struct {
	Index  int64
	Hashes tlog.RecordProof
	// Checkpoint is signed and co-signed.
	Checkpoint []byte
}

// Prove proves that an entry is in the last checkpoint that was co-signed. It is
// ErrNoEntry if the entry is not; wait for it first.
func (l *Log) Prove(index int64) (*Proof, error) {
	w := l.Witnessed()
	if w == nil {
		return nil, fmt.Errorf("entry %d: nothing is witnessed yet: %w", index, ErrNoEntry)
	}
	hashes, err := l.ProveInclusion(index, w.Size)
	if err != nil {
		return nil, err
	}
	return &Proof{Index: index, Hashes: hashes, Checkpoint: []byte(w.Note)}, nil
}

// Check checks that the entry with this line is at its index in a checkpoint,
// which must be the proof's own, verified.
func (p *Proof) Check(c *Checkpoint, line []byte) error {
	if err := tlog.CheckRecord(p.Hashes, c.Size, c.Root, p.Index, tlog.RecordHash(line)); err != nil {
		return fmt.Errorf("the entry is not number %d of the log %s at %d entries: %w", p.Index, c.Origin, c.Size, ErrTampered)
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (p *Proof) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nindex %d\n", proofHeader, p.Index)
	for _, h := range p.Hashes {
		fmt.Fprintf(&b, "%s\n", h)
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes(), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. It verifies nothing.
func (p *Proof) UnmarshalText(text []byte) error {
	head, checkpoint, ok := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || lines[0] != proofHeader {
		return fmt.Errorf("proof: it does not begin with %q", proofHeader)
	}
	if len(checkpoint) > MaxCheckpoint {
		return fmt.Errorf("proof: a checkpoint of %d bytes, of at most %d", len(checkpoint), MaxCheckpoint)
	}
	lines = lines[1:]
	// Extra data are the application's; there are none of ours.
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return errors.New("proof: no index")
	}
	digits, ok := strings.CutPrefix(lines[0], "index ")
	index, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || index < 0 || strconv.FormatInt(index, 10) != digits {
		return fmt.Errorf("proof: %.40q is not \"index\" and a number", lines[0])
	}
	lines = lines[1:]
	if len(lines) > maxProofHashes {
		return fmt.Errorf("proof: %d hashes, of at most %d", len(lines), maxProofHashes)
	}
	hashes := make(tlog.RecordProof, 0, len(lines))
	for _, line := range lines {
		h, err := ParseHash(line)
		if err != nil {
			return fmt.Errorf("proof: %w", err)
		}
		hashes = append(hashes, h)
	}
	*p = Proof{Index: index, Hashes: hashes, Checkpoint: bytes.Clone(checkpoint)}
	return nil
}
