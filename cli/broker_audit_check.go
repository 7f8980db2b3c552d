package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/durable"
	"cloister/trust/broker/audit"
)

// verifyAudit checks the log, and keeps and writes what it was told to.
func (a *app) verifyAudit(ctx context.Context, f *brokerAuditFlags, l *auditLog, kept *audit.Kept) (*auditResult, error) {
	logKey, err := note.NewVerifier(l.logKey)
	if err != nil {
		return nil, inputError("", "the log's key %.120q: %w", l.logKey, err)
	}
	w, of, err := l.cosigned(logKey)
	if err != nil {
		return nil, err
	}
	r := &auditResult{Log: w.Origin, LogKey: l.logKey, Size: w.Size, Checkpoint: string(l.checkpoint), Witnesses: w.Witnesses, Of: of, PolicyFrom: l.whose, Insecure: w.Insecure}
	if w.Insecure == "" {
		r.Time = &w.Time
	}
	in := audit.Exported{New: &w.Checkpoint, Hashes: l.hashes, Proofs: l.proofs}
	if err := a.before(f, logKey, kept, &in); err != nil {
		return nil, err
	}
	if in.Old != nil {
		r.From = &in.Old.Size
	}
	next := &audit.Kept{LogKey: l.logKey, Checkpoint: l.checkpoint}
	if l.each == nil {
		if f.entries || f.write != "" {
			return nil, inputError("--client-key shows to be one", "the entries are for administrators and owners")
		}
		if err := l.consistent(&in); err != nil {
			return nil, err
		}
	} else if next.Leaves, err = a.verifyEntries(ctx, f, l, in, r); err != nil {
		return nil, err
	}
	return r, keepAudit(f.state, kept, next)
}

// before finds the checkpoint that the log must go on from.
func (a *app) before(f *brokerAuditFlags, logKey note.Verifier, kept *audit.Kept, in *audit.Exported) error {
	switch {
	case f.old != "":
		text, err := a.readSmall(f.old, audit.MaxCheckpoint)
		if err != nil {
			return err
		}
		if in.Old, _, err = audit.OpenCheckpoint(text, logKey); err != nil {
			return fmt.Errorf("%s: %w", inputName(f.old), err)
		}
	case kept != nil:
		var err error
		if in.Old, err = kept.Open(logKey); err != nil {
			return fmt.Errorf("%s: %w", f.state, err)
		}
		in.OldLeaves = kept.Leaves
	}
	return nil
}

// consistent proves that the log goes on from the old checkpoint, without its
// entries.
func (l *auditLog) consistent(in *audit.Exported) error {
	old, c := in.Old, in.New
	switch {
	case old == nil:
		return nil
	case old.Size > c.Size || old.Size == c.Size:
		// There is nothing to read: the sizes and the roots say it all.
		if old.Size > c.Size || old.Root != c.Root {
			return fmt.Errorf("the log had %d entries and now shows %d that do not go on from them: %w", old.Size, c.Size, audit.ErrTampered)
		}
		return nil
	case old.Size == 0:
		return nil
	}
	proof, err := l.proofs.Consistency(old.Size)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, c.Size, c.Root, old.Size, old.Root); err != nil {
		return fmt.Errorf("the log of %d entries does not go on from that of %d: --client-key, to read the entries, would tell which of them is another: %w: %w", c.Size, old.Size, err, audit.ErrTampered)
	}
	return nil
}

// verifyEntries checks every entry, and returns their hashes.
func (a *app) verifyEntries(ctx context.Context, f *brokerAuditFlags, l *auditLog, in audit.Exported, r *auditResult) ([]tlog.Hash, error) {
	out, err := a.newAuditWriter(f.write)
	if err != nil {
		return nil, err
	}
	defer out.abort()
	in.Each = func(index int64, line []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e, err := audit.ParseEntry(line); f.entries && err == nil && f.shows(e) {
			r.Entries = append(r.Entries, auditEntry{index, e})
		}
		return out.entry(line)
	}
	reader, writer := io.Pipe()
	in.Entries = reader
	read := make(chan struct{})
	go func() {
		defer close(read)
		fed := int64(0)
		err := l.each(in.New.Size, func(line []byte) error {
			if fed++; l.cut && fed > in.New.Size {
				return nil
			}
			_, err := writer.Write(append(line[:len(line):len(line)], '\n'))
			return err
		})
		writer.CloseWithError(err)
	}()
	report, err := audit.Verify(in)
	reader.Close() //nolint:errcheck // it returns nil
	<-read
	if err != nil {
		return nil, err
	}
	r.Report = report
	return report.Leaves, out.commit(l.checkpoint)
}

// shows says whether an entry is to be printed.
func (f *brokerAuditFlags) shows(e *audit.Entry) bool {
	matches := func(wanted []string, is func(string) bool) bool {
		return len(wanted) == 0 || slices.ContainsFunc(wanted, is)
	}
	return matches(f.types, e.Is) && matches(f.owners, e.Concerns) && (f.decision == "" || f.decision == string(e.Decision))
}

// keepAudit keeps what is to be known the next time. A state without hashes of
// entries does not replace one with them unless the log has grown.
func keepAudit(path string, kept, next *audit.Kept) error {
	if path == "" || kept != nil && next.Leaves == nil && string(kept.Checkpoint) == string(next.Checkpoint) {
		return nil
	}
	text, err := next.MarshalText()
	if err != nil {
		return err
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// auditWriter writes an export. A nil one writes nothing.
type auditWriter struct {
	entries, hashes, checkpoint *output
}

func (a *app) newAuditWriter(dir string) (*auditWriter, error) {
	if dir == "" {
		return nil, nil //nolint:nilnil // nothing is to be written
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w := &auditWriter{}
	for name, out := range map[string]**output{exportEntries: &w.entries, exportHashes: &w.hashes, exportCheckpoint: &w.checkpoint} {
		var err error
		if *out, err = a.createOutput(filepath.Join(dir, name)); err != nil {
			w.abort()
			return nil, err
		}
	}
	return w, nil
}

func (w *auditWriter) entry(line []byte) error {
	if w == nil {
		return nil
	}
	h := tlog.RecordHash(line)
	_, err := fmt.Fprintf(w.hashes, "%x\n", h[:])
	_, err2 := fmt.Fprintf(w.entries, "%s\n", line)
	return errors.Join(err, err2)
}

// commit puts the files into their places, the checkpoint last.
func (w *auditWriter) commit(checkpoint []byte) error {
	if w == nil {
		return nil
	}
	if _, err := w.checkpoint.Write(checkpoint); err != nil {
		return err
	}
	return errors.Join(w.entries.commit(), w.hashes.commit(), w.checkpoint.commit())
}

func (w *auditWriter) abort() {
	if w == nil {
		return
	}
	for _, out := range []*output{w.entries, w.hashes, w.checkpoint} {
		if out != nil {
			out.abort()
		}
	}
}

// text is the result for people: the entries, and what was checked.
func (r *auditResult) text() string {
	var b strings.Builder
	for _, e := range r.Entries {
		b.WriteString(entryText(e.Index, e.Entry))
	}
	fmt.Fprintf(&b, "log %s, key %s\n", r.Log, r.LogKey)
	fmt.Fprintf(&b, "checkpoint of %s, ", counted(int(r.Size), "entry", "entries"))
	switch {
	case r.Insecure != "":
		fmt.Fprintf(&b, "signed by the log alone: %s\n", r.Insecure)
	default:
		fmt.Fprintf(&b, "co-signed by %d of %d witnesses at %s: %s", len(r.Witnesses), r.Of, r.Time.Format(time.RFC3339), strings.Join(r.Witnesses, ", "))
		if r.PolicyFrom == "broker" {
			b.WriteString(" (whom the broker's own policy names; --policy gives yours)")
		}
		b.WriteByte('\n')
	}
	if r.From != nil {
		fmt.Fprintf(&b, "it goes on from the earlier checkpoint of %s\n", counted(int(*r.From), "entry", "entries"))
	}
	if r.Report == nil {
		b.WriteString("the entries were not read\n")
		return b.String()
	}
	fmt.Fprintf(&b, "every entry is the one that was signed: %d granted, %d refused\n", r.Report.Granted, r.Report.Refused)
	for _, name := range slices.Sorted(maps.Keys(r.Report.Types)) {
		fmt.Fprintf(&b, "  %s: %d\n", name, r.Report.Types[name])
	}
	return b.String()
}

// entryText is an entry for people. What it holds came from peers, and is made
// safe for a terminal.
func entryText(index int64, e *audit.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s", index, e.Time.Format("2006-01-02T15:04:05Z"), e.Type)
	for _, word := range []string{string(e.Decision), e.Subject} {
		if word != "" {
			b.WriteString(" " + word)
		}
	}
	if e.Client != "" {
		b.WriteString(" from " + e.Client)
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		if e.Details[name] != "" {
			b.WriteString("\n" + name + " " + e.Details[name])
		}
	}
	return printable(b.String()) + "\n"
}

var _ json.Marshaler = auditEntry{}

// MarshalJSON is the entry with its index.
func (e auditEntry) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Index int64 `json:"index"`
		*audit.Entry
	}{e.Index, e.Entry})
}
