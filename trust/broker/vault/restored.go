package vault

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
)

// RestoredState is that of a broker which was restored from a backup: it makes
// and releases nothing until every owner has confirmed the last checkpoint that
// the owner saw. An owner who saw a later one than the backup has thereby
// noticed that the backup is older; then all owners have to accept the loss.
type RestoredState struct {
	Format   int       `json:"format"`
	Backup   string    `json:"backup"` // its id
	Made     time.Time `json:"made"`
	Restored time.Time `json:"restored"`
	// Checkpoint is the last one in the backup.
	Checkpoint Checkpoint `json:"checkpoint"`
	// Complete is set once the backup was read to its end and verified.
	Complete bool `json:"complete"`
	// Owners who have to confirm.
	Owners        []string                `json:"owners"`
	Confirmations map[string]Confirmation `json:"confirmations,omitempty"`
}

// Checkpoint is a size of the audit log and its root hash.
type Checkpoint struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   []byte `json:"root"` // 32 bytes
}

// Confirmation is an owner's word about the last checkpoint the owner saw. The
// caller verified the owner's signature over all of it, together with the
// backup's id and a purpose of its own.
type Confirmation struct {
	Seen Checkpoint `json:"seen"`
	// AcceptLossUpTo is the size of the log up to which the owner accepts that
	// what was logged after the backup is lost: keys made, runs counted,
	// releases revoked. Zero accepts no loss.
	AcceptLossUpTo int64 `json:"accept_loss_up_to,omitempty"`
}

const keyRestored = "restored"

// Restored returns the state of a restored broker, or nil for one that was never
// restored.
func (v *Vault) Restored(tx *store.Tx) (*RestoredState, error) {
	var s RestoredState
	switch known, err := get(tx, bucketVault, keyRestored, &s); {
	case err != nil:
		return nil, err
	case !known:
		return nil, nil //nolint:nilnil // no state is an answer
	case s.Format != format:
		return nil, fmt.Errorf("restored state: format %d is not known to this version", s.Format)
	}
	return &s, nil
}

// Newest is the size of the latest log that any owner saw.
func (s *RestoredState) Newest() int64 {
	newest := s.Checkpoint.Size
	for _, c := range s.Confirmations {
		newest = max(newest, c.Seen.Size)
	}
	return newest
}

// Waiting returns the owners who still have to confirm, or to accept the loss of
// what another owner saw.
func (s *RestoredState) Waiting() []string {
	var waiting []string
	newest := s.Newest()
	for _, owner := range s.Owners {
		c, ok := s.Confirmations[owner]
		if !ok || newest > s.Checkpoint.Size && c.AcceptLossUpTo < newest {
			waiting = append(waiting, owner)
		}
	}
	return waiting
}

// Open says whether the broker may work again.
func (s *RestoredState) Open() bool { return s.Complete && len(s.Waiting()) == 0 }

// Confirm enters an owner's confirmation. Of an owner who saw an earlier
// checkpoint than the backup's, proof shows (RFC 6962, section 2.1.2) that the
// backup's log goes on from it; the log makes it. A log that forked is refused:
// that is no older copy but another history.
func (v *Vault) Confirm(tx *store.Tx, owner string, c Confirmation, proof tlog.TreeProof) (*RestoredState, error) {
	s, err := v.Restored(tx)
	if err != nil {
		return nil, err
	}
	switch {
	case s == nil:
		return nil, fmt.Errorf("the broker was not restored: %w", ErrNotFound)
	case !slices.Contains(s.Owners, owner):
		return nil, fmt.Errorf("owner %.80q is not among those who confirm: %v", owner, s.Owners)
	case c.Seen.Origin != s.Checkpoint.Origin:
		return nil, fmt.Errorf("owner %s: checkpoint of log %.80q, the backup's is %q", owner, c.Seen.Origin, s.Checkpoint.Origin)
	case len(c.Seen.Root) != tlog.HashSize || len(s.Checkpoint.Root) != tlog.HashSize || c.Seen.Size < 0:
		return nil, fmt.Errorf("owner %s: not a checkpoint", owner)
	}
	seen, have := tlog.Hash(c.Seen.Root), tlog.Hash(s.Checkpoint.Root)
	switch {
	case c.Seen.Size == s.Checkpoint.Size && seen != have:
		err = fmt.Errorf("both have %d entries but not the same", c.Seen.Size)
	case c.Seen.Size > 0 && c.Seen.Size < s.Checkpoint.Size:
		err = tlog.CheckTree(proof, s.Checkpoint.Size, have, c.Seen.Size, seen)
	}
	if err != nil {
		return nil, fmt.Errorf("owner %s: the backup's log does not go on from the checkpoint the owner saw: %w: %w", owner, ErrTampered, err)
	}
	if s.Confirmations == nil {
		s.Confirmations = map[string]Confirmation{}
	}
	s.Confirmations[owner] = c
	return s, put(tx, bucketVault, keyRestored, s)
}
