package broker

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// Stopped is the state of a broker that does not run, for its operator to look
// into and to back up. It serves nothing and releases nothing.
type Stopped struct {
	store *store.Store
	vault *vault.Vault
}

// StoppedOptions say which state is opened.
type StoppedOptions struct {
	// Dir is the directory of the store.
	Dir string
	// Root is the open root key. It is taken over.
	Root *vault.Root
	// ReadOnly changes nothing on disk.
	ReadOnly bool
	Now      func() time.Time
	Logger   *slog.Logger
}

// OpenStopped opens the state of a broker that does not run.
func OpenStopped(ctx context.Context, o StoppedOptions) (*Stopped, error) {
	sealer, err := o.Root.StoreSealer()
	if err != nil {
		return nil, err
	}
	st, err := store.Open(o.Dir, store.Options{ReadOnly: o.ReadOnly, Sealer: sealer, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	v, err := vault.Open(ctx, st, o.Root, vault.Options{Now: o.Now})
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return &Stopped{st, v}, nil
}

// Close forgets the root key and closes the store.
func (s *Stopped) Close() error {
	s.vault.Close()
	return s.store.Close()
}

// LogKey is the verifier key of the broker's log.
func (s *Stopped) LogKey() (string, error) {
	_, text, err := s.logSigner()
	return text, err
}

func (s *Stopped) logSigner() (note.Signer, string, error) {
	var key ed25519.PrivateKey
	err := s.store.View(func(tx *store.Tx) (err error) {
		key, err = s.vault.OwnSigner(tx, ownLog)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("the key of the log: %w", err)
	}
	return logSigner(logName(s.vault.Broker()), key)
}

// PolicyText is the policy in force, or nil if none is yet.
func (s *Stopped) PolicyText() (*PolicyText, error) {
	var r policyRecord
	known := false
	err := s.store.View(func(tx *store.Tx) (err error) {
		known, err = getJSON(tx, bucketPolicy, keyCurrent, &r)
		return err
	})
	if err != nil || !known {
		return nil, err
	}
	return &PolicyText{Hash: r.Hash, Version: r.Version, Text: r.Text, Applied: r.Applied}, nil
}

// ReadLog calls fn with the log as it lies in the store, unverified.
func (s *Stopped) ReadLog(fn func(*audit.Stored) error) error { return audit.ReadStored(s.store, fn) }

// Backup writes a backup, encrypted to the recipients, which are age public keys.
// It checks the log first: a store whose log is not what was signed is not
// backed up.
func (s *Stopped) Backup(ctx context.Context, w io.Writer, recipients []string) (*BackupMade, error) {
	signer, text, err := s.logSigner()
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return nil, err
	}
	log, err := audit.Open(s.store, audit.Options{Signer: signer, Verifier: verifier, Quorum: noQuorum{}, Now: time.Now})
	if err != nil {
		return nil, err
	}
	h, err := s.vault.Backup(ctx, s.store, w, vault.BackupOptions{Recipients: recipients, Checkpoint: lastCheckpoint(log)})
	if err != nil {
		return nil, err
	}
	return backupMade(h), nil
}

// noQuorum co-signs nothing.
type noQuorum struct{ audit.Quorum }

// lastCheckpoint tells a backup of the log that is in it.
func lastCheckpoint(log *audit.Log) func(*store.Tx) (vault.Checkpoint, error) {
	return func(tx *store.Tx) (vault.Checkpoint, error) {
		c, err := log.At(tx)
		if err != nil {
			return vault.Checkpoint{}, err
		}
		return vault.Checkpoint{Origin: c.Origin, Size: c.Size, Root: c.Root[:]}, nil
	}
}
