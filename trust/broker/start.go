package broker

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/clock"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/secret"
)

// Config says where a broker keeps its state, and what of.
type Config struct {
	// Dir is the directory of the store.
	Dir string
	// Create makes a new store where there is none.
	Create bool
	// Root is the open root key. The broker takes it over.
	Root *vault.Root
	// Host is the host's clock; nil means time.Now.
	Host func() time.Time
	// Quorum has checkpoints of the log co-signed as the policy says.
	Quorum MakeQuorum
	// Heartbeat is how often a checkpoint is co-signed if nothing happens.
	Heartbeat time.Duration
	// Domains are what the names of certificates end in. With none the broker
	// issues no certificates.
	Domains []string
	// Sources are what evidence is verified with, by the broker's time: that of the
	// host can be set back.
	Sources *Sources
	// Options has the rest; its store, log, clock, vault, issuer and, if there are
	// Sources, verifiers are made here.
	Options Options
}

// Broker is a server with all that it stands on.
type Broker struct {
	*Server
	store  *store.Store
	vault  *vault.Vault
	quorum *quorum
	cancel context.CancelFunc
	rounds chan struct{} // closed when the log's rounds have ended

	checking context.CancelFunc
	checks   sync.WaitGroup
}

// Start opens a broker's state and begins its work, except for serving.
func Start(ctx context.Context, c Config) (*Broker, error) {
	b, err := start(ctx, &c)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func start(ctx context.Context, c *Config) (*Broker, error) {
	b := &Broker{}
	if c.Host == nil {
		c.Host = time.Now
	}
	if c.Options.Logger == nil {
		c.Options.Logger = slog.New(slog.DiscardHandler)
	}
	sealer, err := c.Root.StoreSealer()
	if err != nil {
		return b, err
	}
	o := &c.Options
	if b.store, err = store.Open(c.Dir, store.Options{Create: c.Create, Sealer: sealer, Logger: o.Logger}); err != nil {
		return b, err
	}
	if o.Clock, err = clock.Open(b.store, c.Host); err != nil {
		return b, err
	}
	if c.Sources != nil {
		sources := *c.Sources
		sources.Now = o.Clock.Now
		o.Verifiers = sources.Verifiers
	}
	if b.vault, err = vault.Open(ctx, b.store, c.Root, vault.Options{Now: o.Clock.Now}); err != nil {
		return b, err
	}
	o.Store, o.Vault = b.store, b.vault
	if err := b.openLog(ctx, c); err != nil {
		return b, err
	}
	if len(c.Domains) > 0 {
		err := b.store.Update(ctx, func(tx *store.Tx) (err error) {
			o.Issuer, err = issuer.Open(tx, b.vault, issuer.Options{Domains: c.Domains, Now: o.Clock.Now})
			return err
		})
		if err != nil {
			return b, err
		}
	}
	if b.Server, err = New(ctx, *o); err != nil {
		return b, err
	}
	b.checkStore(ctx)
	return b, nil
}

// checkStore reads beside the broker's work what the store keeps on disk alone,
// the older part of the audit log. If it was changed the broker ends, as it would
// not have begun had the rest been.
func (b *Broker) checkStore(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.checking = cancel
	b.damaged = make(chan struct{})
	b.checks.Go(func() {
		switch err := b.store.Check(ctx); {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, store.ErrDamaged):
			b.log.Error("the broker stops", "error", err)
			b.damage = err
			close(b.damaged)
		default:
			b.log.Warn("the older part of the audit log was not read", "error", err)
		}
	})
}

// ownLog names the private key of the log in the vault.
const ownLog = "log"

// logName is the origin of a broker's log.
func logName(broker string) string { return "cloister-broker/" + broker }

// openLog opens the audit log and begins to have it co-signed.
func (b *Broker) openLog(ctx context.Context, c *Config) error {
	var key ed25519.PrivateKey
	err := b.store.Update(ctx, func(tx *store.Tx) (err error) {
		old, err := b.vault.Own(tx, ownLog)
		old.Zero()
		if errors.Is(err, vault.ErrNotFound) {
			// A new broker, or one that was restored under a new root key.
			if err := audit.Forget(tx); err != nil {
				return err
			}
		}
		key, err = b.vault.OwnSigner(tx, ownLog)
		return err
	})
	if err != nil {
		return err
	}
	o := &c.Options
	signer, text, err := logSigner(logName(b.vault.Broker()), key)
	if err != nil {
		return err
	}
	o.LogKey = text
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return err
	}
	if c.Quorum == nil {
		return errors.New("a broker needs witnesses, or to go on with " + audit.InsecureNoWitness)
	}
	p, err := b.policy(o.FirstPolicy)
	if err != nil {
		return err
	}
	b.quorum = &quorum{key: verifier, make: c.Quorum}
	if b.quorum.now, err = c.Quorum(verifier, p); err != nil {
		return err
	}
	o.quorum = b.quorum
	o.Log, err = audit.Open(b.store, audit.Options{
		Signer: signer, Verifier: verifier, Quorum: b.quorum, Now: o.Clock.Now,
		OnWitnessed: o.Clock.Witnessed,
		Heartbeat:   c.Heartbeat, Logger: o.Logger,
	})
	if err != nil {
		return err
	}
	ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b.rounds = make(chan struct{})
	go func() {
		defer close(b.rounds)
		o.Log.Run(ctx) //nolint:errcheck // it ends when it is told to
	}()
	return nil
}

// policy is the one in force or, before there is any, the first.
func (b *Broker) policy(first []byte) (*policy.Policy, error) {
	var r policyRecord
	known := false
	err := b.store.View(func(tx *store.Tx) (err error) {
		known, err = getJSON(tx, bucketPolicy, keyCurrent, &r)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case known:
		return policy.Parse("the policy in the store", []byte(r.Text))
	case len(first) == 0:
		return nil, errNoPolicy
	}
	return policy.Parse("the first policy", first)
}

// logSigner is an Ed25519 key as C2SP signed-note has it, with its verifier key.
func logSigner(name string, key ed25519.PrivateKey) (note.Signer, string, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, "", errors.New("the log's key is not Ed25519")
	}
	text, err := note.NewEd25519VerifierKey(name, public)
	if err != nil {
		return nil, "", fmt.Errorf("the log's key: %w", err)
	}
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return nil, "", fmt.Errorf("the log's key: %w", err)
	}
	const ed25519Algorithm = 1
	raw := secret.Take(append([]byte{ed25519Algorithm}, key.Seed()...))
	defer raw.Zero()
	signer, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, verifier.KeyHash(), base64.StdEncoding.EncodeToString(raw.Expose())))
	if err != nil {
		return nil, "", errors.New("the log's key does not sign")
	}
	return signer, text, nil
}

// Close ends the broker's work and closes its state.
func (b *Broker) Close() error {
	if b.checking != nil {
		b.checking()
		b.checks.Wait()
	}
	if b.Server != nil {
		b.Server.Close()
	}
	if b.cancel != nil {
		b.cancel()
		<-b.rounds
	}
	if b.quorum != nil {
		b.quorum.Close()
	}
	var err error
	if b.store != nil {
		err = b.store.Close()
	}
	if b.vault != nil {
		b.vault.Close()
	}
	return err
}
