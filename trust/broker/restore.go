package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/approval"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/document"
)

// PathRestore is where the state of a restored broker is read, and owners
// confirm the last checkpoint that they saw.
const PathRestore = "/v1/restore"

// RestoreState is that of a broker which was restored from a backup. It makes
// and releases nothing while anybody is in Waiting.
type RestoreState struct {
	Backup   string    `json:"backup"`
	Made     time.Time `json:"made"`
	Restored time.Time `json:"restored"`
	// Checkpoint is the last one in the backup.
	Checkpoint vault.Checkpoint `json:"checkpoint"`
	Owners     []string         `json:"owners"`
	Waiting    []string         `json:"waiting"`
	// Newest is the size of the latest log that an owner said to have seen: up to
	// there all owners have to accept the loss, if it is larger than the backup's.
	Newest int64 `json:"newest"`
	// Session is what a confirmation is signed for, besides the backup: one that
	// was given to this broker before it was started again, or to another one
	// restored from the same backup, counts for nothing.
	Session Digest `json:"session"`
}

// Confirmation is an owner's order to go on from a backup. See
// vault.Confirmation.
type Confirmation struct {
	Owner   policy.Name      `json:"owner"`
	Number  uint64           `json:"number"`
	Backup  string           `json:"backup"`
	Session Digest           `json:"session"`
	Seen    vault.Checkpoint `json:"seen"`
	// AcceptLossUpTo is the size of the log up to which the owner accepts that
	// what is not in the backup is lost.
	AcceptLossUpTo int64 `json:"accept_loss_up_to,omitempty"`
}

// Statement is what is signed, for approval.ForRestore.
func (c *Confirmation) Statement(broker string, firstPolicy Digest) []byte {
	return fmt.Appendf(nil, "cloister owner confirms a restore\npurpose: %s\nbroker: %s\nfirst policy: sha256:%s\nowner: %s\nnumber: %d\n"+
		"backup: %s\nsession: %s\nlog: %s\nseen: %d entries, root %x\naccepts loss up to: %d entries\n",
		document.Quote(string(approval.ForRestore)), document.Quote(broker), firstPolicy, document.Quote(string(c.Owner)), c.Number,
		document.Quote(c.Backup), c.Session, document.Quote(c.Seen.Origin), c.Seen.Size, c.Seen.Root, c.AcceptLossUpTo)
}

// ConfirmRequest hands in a confirmation, with as many signatures as the owner
// needs.
type ConfirmRequest struct {
	Confirmation
	Signatures []string `json:"signatures"`
}

// ConfirmAnswer says who else has to confirm. The broker works again once nobody
// has.
type ConfirmAnswer struct {
	Request string   `json:"request"`
	Open    bool     `json:"open"`
	Waiting []string `json:"waiting,omitempty"`
	Receipt *Receipt `json:"receipt,omitempty"`
}

func (s *Server) handleRestoreState(w http.ResponseWriter, r *http.Request) {
	var a *RestoreState
	err := s.store.View(func(tx *store.Tx) error {
		state, err := s.vault.Restored(tx)
		if err == nil && state == nil {
			err = refuse(CodeNotFound, "the broker was not restored")
		}
		if err != nil {
			return err
		}
		a = &RestoreState{
			Backup: state.Backup, Made: state.Made, Restored: state.Restored, Checkpoint: state.Checkpoint,
			Owners: state.Owners, Waiting: listed(state.Waiting()), Newest: state.Newest(), Session: s.session,
		}
		return nil
	})
	s.answerOr(w, r, "restore", a, err)
}

func (s *Server) handleConfirm(w http.ResponseWriter, r *http.Request) {
	var q ConfirmRequest
	err := s.readBody(w, r, s.limits.Body, &q)
	var signatures []*approval.Signature
	if err == nil {
		signatures, err = parseSignatures(q.Signatures)
	}
	if err == nil && (q.Seen.Size < 0 || len(q.Seen.Root) != tlog.HashSize || q.AcceptLossUpTo < 0 || q.Number == 0) {
		err = refuse(CodeMalformed, "a confirmation has a number and a checkpoint: a size, and a root of %d bytes", tlog.HashSize)
	}
	if err != nil {
		s.refused(w, r, "restore", err)
		return
	}
	entry := q.entry()
	a := &ConfirmAnswer{Request: requestID(r)}
	s.carryOutAs(w, r, entry, func(tx *store.Tx, p *inForce) error {
		state, err := s.confirm(tx, p, &q.Confirmation, signatures)
		if err != nil {
			return err
		}
		a.Waiting, a.Open = state.Waiting(), state.Open()
		entry.Reason = "all owners have confirmed"
		if !a.Open {
			entry.Reason = "waiting for " + strings.Join(a.Waiting, ", ")
		}
		return nil
	}, func(receipt Receipt) any {
		a.Receipt = &receipt
		return a
	})
}

// entry is what the log says of a confirmation.
func (c *Confirmation) entry() *audit.Entry {
	return &audit.Entry{
		Type: "restore.confirmed", Subject: fmt.Sprintf("backup %.64q", c.Backup),
		Details: map[string]string{
			"owner": fmt.Sprintf("%.64s", c.Owner), "number": fmt.Sprint(c.Number), "session": c.Session.String(),
			"seen": fmt.Sprint(c.Seen.Size), "accept_loss_up_to": fmt.Sprint(c.AcceptLossUpTo),
		},
	}
}

// confirm enters a confirmation that is proven to be the owner's, and given to
// this broker.
func (s *Server) confirm(tx *store.Tx, p *inForce, c *Confirmation, signatures []*approval.Signature) (*vault.RestoredState, error) {
	state, err := s.vault.Restored(tx)
	switch {
	case err != nil:
		return nil, err
	case state == nil:
		return nil, refuse(CodeNotFound, "the broker was not restored")
	case state.Open():
		return nil, refuse(CodeConflict, "all owners have confirmed already")
	case p.policy.Owners[c.Owner] == nil || !slices.Contains(state.Owners, string(c.Owner)):
		return nil, refuse(CodeForbidden, "%.64q is not among the owners who confirm: %s", c.Owner, strings.Join(state.Owners, ", "))
	case !p.policy.Signed(c.Owner, approval.ForRestore, c.Statement(string(p.policy.Broker), Digest(p.first)), signatures):
		return nil, refuse(CodeForbidden, "owner %s did not sign the confirmation with as many keys as it must", c.Owner)
	case c.Backup != state.Backup || c.Session != s.session:
		return nil, refuse(CodeConflict, "the confirmation was given to another broker, or before this one was started: confirm again")
	}
	if err := s.count(tx, c.Owner, c.Number); err != nil {
		return nil, err
	}
	seen := c.Seen
	if seen.Size > state.Checkpoint.Size && s.audit.Holds(&audit.Checkpoint{Origin: seen.Origin, Size: seen.Size, Root: tlog.Hash(seen.Root)}) == nil {
		// It is of this broker since it was restored, so that nothing is lost.
		seen = state.Checkpoint
	}
	proof, err := s.restoreProof(state, seen.Size)
	if err != nil {
		return nil, err
	}
	state, err = s.vault.Confirm(tx, string(c.Owner), vault.Confirmation{Seen: seen, AcceptLossUpTo: c.AcceptLossUpTo}, proof)
	if errors.Is(err, vault.ErrTampered) {
		return nil, refuse(CodeConflict, "%w", err)
	}
	return state, badRequest(err)
}

// restoreProof shows that the backup's log goes on from an earlier checkpoint.
func (s *Server) restoreProof(state *vault.RestoredState, seen int64) (tlog.TreeProof, error) {
	if seen == 0 || seen >= state.Checkpoint.Size {
		return nil, nil
	}
	return s.audit.ProveConsistency(seen, state.Checkpoint.Size)
}

// RestoreState returns the state of a restored broker.
func (c *Client) RestoreState(ctx context.Context) (*RestoreState, error) {
	var a RestoreState
	return &a, c.get(ctx, PathRestore, &a)
}

// Confirm hands in a confirmation, and proves that it is in the log. That the log
// goes on from what the client has seen it does not ask: a restored one need not.
func (c *Client) Confirm(ctx context.Context, q *ConfirmRequest) (*ConfirmAnswer, error) {
	log, err := c.logKey(ctx)
	if err != nil {
		return nil, err
	}
	var a ConfirmAnswer
	if err := c.once(ctx, PathRestore, q, &a); err != nil {
		return nil, err
	}
	if a.Receipt == nil {
		return nil, fmt.Errorf("the broker gives no receipt of the confirmation: %w", audit.ErrTampered)
	}
	if err := a.Receipt.Check(log); err != nil {
		return nil, err
	}
	return &a, new(expected).of(q.entry(), a.Request).check(a.Receipt.Entry)
}
