package brokertest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
	"cloister/trust/broker"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/secret"
)

// Setup is what the process of a broker is given.
type Setup struct {
	Dir       string            `json:"dir"`
	Policy    string            `json:"policy"`    // the first
	Now       time.Time         `json:"now"`       // of the test authority
	Witnesses map[string]string `json:"witnesses"` // URLs by name
	Limits    broker.Limits     `json:"limits"`
	Listen    string            `json:"listen,omitempty"` // where, if not at any port of 127.0.0.1
}

// Ready is what a broker that serves is known by.
type Ready struct {
	Address string     `json:"address"`
	Pin     broker.Pin `json:"pin"`
	Log     string     `json:"log"`
}

func (s *Setup) machine() *attesttest.Machine {
	return attesttest.New(attesttest.Config{Seed: "brokertest", Now: s.Now}).Machine()
}

// collateral is a source of the collateral of one machine.
type collateral struct{ all *sgx.Collateral }

// Collateral implements sgx.Source.
func (c collateral) Collateral(context.Context, *sgx.Request) (*sgx.Collateral, error) {
	return c.all, nil
}

// Sources are what the broker verifies evidence with.
func (s *Setup) Sources() *broker.Sources {
	m := s.machine()
	return &broker.Sources{Now: time.Now, Intel: collateral{m.Collateral(attest.SGX)}, Roots: []*x509.Certificate{m.Authority.Root.Cert}}
}

func (s *Setup) root() vault.RootOptions {
	return vault.RootOptions{Path: filepath.Join(s.Dir, "root"), Broker: Broker, Protector: newPlain(), Now: time.Now}
}

func (s *Setup) store() string { return filepath.Join(s.Dir, "store") }

// Start starts the broker, which is made if there is none in the directory.
func (s *Setup) Start(ctx context.Context, log *slog.Logger) (*broker.Broker, error) {
	o := s.root()
	root, err := vault.OpenRoot(ctx, o)
	if errors.Is(err, vault.ErrNoRoot) {
		root, err = vault.CreateRoot(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	// A kill after the root was made may leave no store, so that it is made at any
	// start.
	return broker.Start(ctx, broker.Config{
		Dir: s.store(), Create: true, Root: root, Quorum: broker.Witnesses(s.Witnesses, time.Now), Domains: []string{"cluster.test"},
		Options: broker.Options{FirstPolicy: []byte(s.Policy), Limits: s.Limits, Verifiers: s.Sources().Verifiers, Logger: log},
	})
}

// Serve starts the broker and serves until ctx ends. Ready is called when it
// serves.
func (s *Setup) Serve(ctx context.Context, log *slog.Logger, ready func(*broker.Broker, *Ready)) error {
	b, err := s.Start(ctx, log)
	if err != nil {
		return err
	}
	address := s.Listen
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	info := b.Info()
	ready(b, &Ready{
		Address: l.Addr().String(), Log: info.Log,
		Pin: broker.Pin{TLSKey: info.TLSKey, FirstPolicy: info.FirstPolicy, Broker: info.Broker},
	})
	return errors.Join(b.Serve(ctx, l), b.Close())
}

// plain protects a root key by a key that everybody knows, at once, where a
// passphrase takes a second.
type plain struct{ aead cipher.AEAD }

func newPlain() protector.Protector {
	return &plain{must(cipher.NewGCMWithRandomNonce(must(aes.NewCipher(make([]byte, 32)))))}
}

// Name implements protector.Protector.
func (*plain) Name() string { return "insecure-test" }

// Origin implements protector.Protector.
func (*plain) Origin() protector.Origin { return protector.Platform }

// Seal implements protector.Protector.
func (p *plain) Seal(_ context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	return p.aead.Seal(nil, nil, key.Expose(), associated), nil
}

// Unseal implements protector.Protector.
func (p *plain) Unseal(_ context.Context, sealed, associated []byte) (secret.Bytes, error) {
	text, err := p.aead.Open(nil, nil, sealed, associated)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("the root key does not open: %w", err)
	}
	return secret.Take(text), nil
}

// Fill makes so many keys in the store of a broker that does not run, each of a
// data set of its own.
func (s *Setup) Fill(ctx context.Context, keys int) (err error) {
	root, err := vault.OpenRoot(ctx, s.root())
	if err != nil {
		return err
	}
	sealer, err := root.StoreSealer()
	if err != nil {
		return err
	}
	st, err := store.Open(s.store(), store.Options{Sealer: sealer})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	v, err := vault.Open(ctx, st, root, vault.Options{Now: time.Now})
	if err != nil {
		return err
	}
	defer v.Close()
	for made := 0; made < keys; {
		err := st.Update(ctx, func(tx *store.Tx) error {
			for range 1000 {
				if made == keys {
					return nil
				}
				if _, err := v.NewKey(tx, "a", fmt.Sprintf("set-%06d", made), vault.Data); err != nil {
					return err
				}
				made++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
