package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"cloister/trust/broker"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/witness"
)

// brokerAuditFlags are those of "cloister broker audit".
type brokerAuditFlags struct {
	peer   brokerPeer
	export string
	store  brokerStore

	logKey, policy  string
	old, new        string
	state, write    string
	entries         bool
	types, owners   []string
	decision        string
	insecureWitness bool
}

const brokerAuditLong = `Check a broker's audit log: that a checkpoint is signed by the log and co-signed by
more than half of the witnesses that the policy names, that the entries are those
of the checkpoint, all of them and in their order, and that they begin with those
of a checkpoint that was kept earlier. What is changed, cut, put in or moved is
named, and the exit code is 5.

The log is read from a running broker (--pin), from an export (--export DIR), or
from the store of a broker that does not run (--dir). Without --client-key a
running broker gives no entries: then two checkpoints are proven to be
consistent, and the entries are not looked at.

--state FILE keeps the checkpoint, and the hash of every entry, for the next time.
Trust begins with the log's key: over a pinned connection it is the broker's word,
later the one in the state file; --log-key gives it from elsewhere. So it is with
the witnesses: --policy gives the policy as its owners approved it, else the
broker's word counts, and the result says so.`

func (a *app) newBrokerAuditCommand() *cobra.Command {
	f := &brokerAuditFlags{}
	cmd := &cobra.Command{
		Use:   "audit (--pin FILE | --export DIR | --dir DIR)",
		Short: "Check the audit log, and show it",
		Long:  brokerAuditLong + "\n\n" + brokerPeerLong,
		Example: `  cloister broker audit --pin pin.json --client-key admin.pem --state audit.state
  cloister broker audit --pin pin.json --client-key admin.pem --entries --type release --owner hospital-a`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.brokerAudit(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	f.peer.flags(flags)
	flags.StringVar(&f.export, "export", "", "read the log from `DIR`, which --write or somebody else's tool wrote")
	f.store.flags(flags)
	flags.StringVar(&f.logKey, "log-key", "", "the log's verifier key, `KEY`: name+hash+base64")
	flags.StringVar(&f.policy, "policy", "", "the approved policy, `FILE`, whose witnesses must have co-signed")
	flags.StringVar(&f.old, "old", "", "an earlier checkpoint, `FILE`, that the log must go on from")
	flags.StringVar(&f.new, "new", "", "check the log up to the checkpoint in `FILE` and not the newest")
	flags.StringVar(&f.state, "state", "", "go on from what `FILE` keeps of the last time, and keep this time in it")
	flags.StringVar(&f.write, "write", "", "write the log to `DIR`: entries.jsonl, hashes.txt, checkpoint")
	flags.BoolVar(&f.entries, "entries", false, "print the entries, too")
	flags.StringSliceVar(&f.types, "type", nil, "print entries of a `TYPE`, or of all that begin with it and a dot")
	flags.StringSliceVar(&f.owners, "owner", nil, "print entries about an owner, `NAME`, or what is the owner's")
	flags.StringVar(&f.decision, "decision", "", "print entries that were `granted` or refused")
	flags.BoolVar(&f.insecureWitness, "insecure-no-witness", false, "go on where no policy says who must co-sign")
	return cmd
}

// auditLog is a log to check, wherever it comes from.
type auditLog struct {
	logKey     string
	policy     *policy.Policy
	whose      string // word about the witnesses
	checkpoint []byte
	// each calls fn with the entries up to a size; nil if they cannot be had.
	each   func(size int64, fn func(line []byte) error) error
	hashes io.Reader
	proofs *audit.Proofs
	// cut says that entries after the checkpoint are none of its business.
	cut   bool
	close func() error
}

// auditResult is what "cloister broker audit --json" prints.
type auditResult struct {
	Log        string   `json:"log"`
	LogKey     string   `json:"log_key"`
	Size       int64    `json:"size"`
	Checkpoint string   `json:"checkpoint"`
	From       *int64   `json:"from,omitempty"` // of the old checkpoint
	Witnesses  []string `json:"witnesses,omitempty"`
	Of         int      `json:"witnesses_of"`
	// PolicyFrom says whose word about the witnesses it is: "file" or "broker".
	PolicyFrom string        `json:"policy_from,omitempty"`
	Insecure   string        `json:"insecure,omitempty"`
	Time       *time.Time    `json:"time,omitempty"` // the witnesses' median
	Report     *audit.Report `json:"report,omitempty"`
	Entries    []auditEntry  `json:"entries,omitempty"`
}

type auditEntry struct {
	Index int64
	Entry *audit.Entry
}

func (f *brokerAuditFlags) check() error {
	sources := 0
	for _, given := range []string{f.peer.pin, f.export, f.store.dir} {
		if given != "" {
			sources++
		}
	}
	switch {
	case sources != 1:
		return inputError("", "one of --pin, --export and --dir says which log is checked")
	case f.old != "" && f.state != "":
		return inputError("", "--old and --state exclude each other: a state keeps a checkpoint")
	}
	f.entries = f.entries || len(f.types) > 0 || len(f.owners) > 0 || f.decision != ""
	return f.checkDecision()
}

func (f *brokerAuditFlags) checkDecision() error {
	if f.decision != "" && f.decision != string(audit.Granted) && f.decision != string(audit.Refused) {
		return inputError("", "--decision is granted or refused, not %q", f.decision)
	}
	return nil
}

func (a *app) brokerAudit(ctx context.Context, f *brokerAuditFlags) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	kept, err := a.readKept(f.state)
	if err != nil {
		return err
	}
	l, err := a.openAudit(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if f.new != "" {
		if err := l.upTo(a, f.new); err != nil {
			return err
		}
	}
	if err := a.trustAudit(f, l, kept); err != nil {
		return err
	}
	r, err := a.verifyAudit(ctx, f, l, kept)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(r)
	}
	return a.print(r.text())
}

// upTo has the log checked up to the checkpoint in a file.
func (l *auditLog) upTo(a *app, path string) error {
	text, err := a.readSmall(path, audit.MaxCheckpoint)
	if err != nil {
		return err
	}
	c, err := audit.ParseCheckpoint(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", inputName(path), err)
	}
	newest, err := audit.ParseCheckpoint(string(l.checkpoint))
	if err != nil {
		return err
	}
	if c.Size > newest.Size {
		return fmt.Errorf("%s is of %d entries, and the log has %d: it is an older copy: %w", inputName(path), c.Size, newest.Size, audit.ErrTampered)
	}
	l.checkpoint, l.cut = text, true
	if l.hashes == nil {
		return nil
	}
	var first bytes.Buffer
	for lines := bufio.NewScanner(l.hashes); c.Size > 0 && lines.Scan(); c.Size-- {
		first.WriteString(lines.Text() + "\n")
	}
	l.hashes = &first
	return nil
}

// readKept reads a state, or returns nil where there is none yet.
func (a *app) readKept(path string) (*audit.Kept, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // nothing was kept
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing was kept
	}
	if err != nil {
		return nil, err
	}
	kept := new(audit.Kept)
	if err := kept.UnmarshalText(text); err != nil {
		return nil, inputError("", "%s: %w", path, err)
	}
	return kept, nil
}

// openAudit opens the source of the log.
func (a *app) openAudit(ctx context.Context, f *brokerAuditFlags) (*auditLog, error) {
	switch {
	case f.export != "":
		return a.auditExport(ctx, f.export)
	case f.store.dir != "":
		return a.auditStore(ctx, &f.store)
	}
	return a.auditBroker(ctx, f)
}

// trustAudit decides on the keys by which the log is checked.
func (a *app) trustAudit(f *brokerAuditFlags, l *auditLog, kept *audit.Kept) error {
	for _, other := range []struct{ key, whose string }{{f.logKey, "--log-key"}, {keptKey(kept), f.state}} {
		switch {
		case other.key == "":
		case l.logKey == "":
			l.logKey = other.key
		case l.logKey != other.key:
			return fmt.Errorf("the log's key is %s, and that of %s is %s: this is another log: %w", l.logKey, other.whose, other.key, audit.ErrTampered)
		}
	}
	if l.logKey == "" {
		return inputError("", "--log-key is needed: an export does not say by itself whose log it is")
	}
	if f.policy != "" {
		p, err := a.readPolicy(f.policy)
		if err != nil {
			return err
		}
		l.policy, l.whose = p, "file"
	}
	if l.policy == nil && !f.insecureWitness {
		return inputError("--policy names it; --insecure-no-witness goes on without", "who must have co-signed the log is what a policy says")
	}
	return nil
}

func keptKey(kept *audit.Kept) string {
	if kept == nil {
		return ""
	}
	return kept.LogKey
}

// cosigned verifies the checkpoint by the log's key and the policy's witnesses.
func (l *auditLog) cosigned(logKey note.Verifier) (*audit.Witnessed, int, error) {
	if l.policy == nil || l.policy.Witnesses == nil {
		c, n, err := audit.OpenCheckpoint(l.checkpoint, logKey)
		if err != nil {
			return nil, 0, err
		}
		return &audit.Witnessed{Checkpoint: *c, Note: n.Text, Insecure: audit.InsecureNoWitness}, 0, nil
	}
	set, err := broker.WitnessSet(logKey, l.policy)
	if err != nil {
		return nil, 0, err
	}
	w, err := set.Verify(l.checkpoint)
	if errors.Is(err, witness.ErrNoQuorum) {
		err = &Error{Code: ExitRefused, Err: err, Hint: "the policy may have changed its witnesses since: give the version of that time"}
	}
	return w, len(set.Witnesses), err
}
