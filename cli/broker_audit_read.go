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
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/attest"
	"cloister/trust/broker"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
)

// The files of an exported log.
const (
	exportEntries    = "entries.jsonl"
	exportHashes     = "hashes.txt"
	exportCheckpoint = "checkpoint"
)

// brokerStore are the flags that name the store of a broker that does not run.
type brokerStore struct {
	dir, id string
	root    rootKey
}

func (s *brokerStore) flags(flags *pflag.FlagSet) {
	flags.StringVar(&s.dir, "dir", "", "the state of a broker that does not run is in `DIR`")
	flags.StringVar(&s.id, "broker", "", "the `ID` of that broker")
	s.root.flags(flags)
}

// open opens the store.
func (a *app) openStopped(ctx context.Context, s *brokerStore, readOnly bool) (*broker.Stopped, error) {
	if s.id == "" {
		return nil, inputError("", "--dir needs --broker, the broker's id")
	}
	if err := s.root.check(); err != nil {
		return nil, err
	}
	found, _, err := a.here(s.dir)
	if err != nil {
		return nil, err
	}
	inTEE := found.Platform != attest.InsecureNone
	protect, done, err := s.root.open(ctx, s.id, a.sealingKeys, inTEE)
	if err != nil {
		return nil, err
	}
	root, err := vault.OpenRoot(ctx, vault.RootOptions{Path: filepath.Join(s.dir, "root"), Broker: s.id, Protector: protect, InTEE: inTEE, Now: time.Now})
	if err := errors.Join(err, done()); err != nil {
		return nil, err
	}
	stopped, err := broker.OpenStopped(ctx, broker.StoppedOptions{
		Dir: filepath.Join(s.dir, "store"), Root: root, ReadOnly: readOnly, Now: time.Now, Logger: a.log,
	})
	if err != nil {
		root.Zero()
	}
	return stopped, err
}

// auditExport reads an exported log.
func (a *app) auditExport(ctx context.Context, dir string) (*auditLog, error) {
	checkpoint, err := a.readSmall(filepath.Join(dir, exportCheckpoint), audit.MaxCheckpoint)
	if err != nil {
		return nil, err
	}
	l := &auditLog{checkpoint: checkpoint, close: func() error { return nil }}
	hashes, err := os.ReadFile(filepath.Join(dir, exportHashes))
	switch {
	case err == nil:
		l.hashes = bytes.NewReader(hashes)
	case !errors.Is(err, fs.ErrNotExist): // it can do without
		return nil, err
	}
	l.each = func(_ int64, fn func([]byte) error) error {
		f, err := os.Open(filepath.Join(dir, exportEntries))
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // only read
		lines := bufio.NewReaderSize(f, audit.MaxEntry+2)
		for ctx.Err() == nil {
			line, err := lines.ReadSlice('\n')
			switch {
			case err == nil, errors.Is(err, bufio.ErrBufferFull): // too long, which the check says
				if err := fn(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
					return err
				}
			case errors.Is(err, io.EOF) && len(line) > 0:
				return fn(line)
			case errors.Is(err, io.EOF):
				return nil
			default:
				return err
			}
		}
		return ctx.Err()
	}
	return l, nil
}

// auditStore reads the log in the store of a broker that does not run.
func (a *app) auditStore(ctx context.Context, s *brokerStore) (*auditLog, error) {
	stopped, err := a.openStopped(ctx, s, true)
	if err != nil {
		return nil, err
	}
	l := &auditLog{whose: "broker", close: stopped.Close}
	if err := l.fromStore(ctx, stopped); err != nil {
		return nil, errors.Join(err, stopped.Close())
	}
	return l, nil
}

func (l *auditLog) fromStore(ctx context.Context, stopped *broker.Stopped) error {
	var err error
	if l.logKey, err = stopped.LogKey(); err != nil {
		return err
	}
	text, err := stopped.PolicyText()
	if err != nil {
		return err
	}
	if text != nil {
		if l.policy, err = policy.Parse("the policy in the store", []byte(text.Text)); err != nil {
			return err
		}
	}
	var hashes bytes.Buffer
	err = stopped.ReadLog(func(s *audit.Stored) error {
		l.checkpoint = s.Checkpoint
		if s.Checkpoint == nil {
			return errNothingCosigned
		}
		c, err := audit.ParseCheckpoint(string(s.Checkpoint))
		if err != nil {
			return err
		}
		for r, err := range s.Records(c.Size) {
			if err != nil {
				break // the entries tell of it
			}
			fmt.Fprintf(&hashes, "%x\n", r.Leaf[:])
		}
		return nil
	})
	l.hashes = &hashes
	l.each = func(size int64, fn func([]byte) error) error {
		return stopped.ReadLog(func(s *audit.Stored) error {
			for r, err := range s.Records(size) {
				if err == nil {
					err = ctx.Err()
				}
				if err == nil {
					err = fn(r.Line)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return err
}

var errNothingCosigned = inputError("", "no checkpoint of the log is co-signed yet: there is nothing to check it by")

// auditBroker reads the log of a running broker.
func (a *app) auditBroker(ctx context.Context, f *brokerAuditFlags) (*auditLog, error) {
	client, pin, err := a.dialBroker(&f.peer)
	if err != nil {
		return nil, err
	}
	l := &auditLog{whose: "broker", close: func() error { client.Close(); return nil }}
	info, err := client.Info(ctx)
	if err != nil {
		return nil, err
	}
	if l.logKey = info.Log; pin.Log != "" && pin.Log != info.Log {
		return nil, fmt.Errorf("the log's key is %s, and that of the pin is %s: this is another log: %w", info.Log, pin.Log, audit.ErrTampered)
	}
	if f.policy == "" {
		text, err := client.PolicyText(ctx)
		if err != nil {
			return nil, err
		}
		if l.policy, err = policy.Parse("the broker's policy", []byte(text.Text)); err != nil {
			return nil, err
		}
	}
	c, err := client.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	l.checkpoint = []byte(c.Checkpoint)
	size := func() (int64, error) {
		c, err := audit.ParseCheckpoint(string(l.checkpoint))
		if err != nil {
			return 0, err
		}
		return c.Size, nil
	}
	l.proofs = &audit.Proofs{
		Consistency: func(old int64) (tlog.TreeProof, error) {
			to, err := size()
			if err != nil {
				return nil, err
			}
			return client.Consistency(ctx, old, to)
		},
		Inclusion: func(index int64) (tlog.RecordProof, error) {
			to, err := size()
			if err != nil {
				return nil, err
			}
			return client.Inclusion(ctx, index, to)
		},
	}
	if f.peer.clientKey != "" {
		l.each = func(size int64, fn func([]byte) error) error {
			return client.Entries(ctx, 0, size, func(_ int64, line string) error { return fn([]byte(line)) })
		}
	}
	return l, nil
}
