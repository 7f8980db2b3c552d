package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"cloister/trust/attest"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
)

// waitForOwners serves a locked broker until its owners have unlocked it.
func (f *brokerServeFlags) waitForOwners(ctx context.Context, a *app, producer attest.Producer, seal *protector.OwnersSeal, o vault.RootOptions) (*vault.Root, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return nil, err
	}
	a.log.Info("the broker waits for its owners to unlock it", "broker", f.id, "address", l.Addr().String())
	lock := &broker.Lock{
		Broker: f.id, Seal: seal, Producer: producer, Logger: a.log,
		Open: func(ctx context.Context) (*vault.Root, error) { return vault.OpenRoot(ctx, o) },
	}
	root, err := lock.Serve(ctx, l)
	if err != nil {
		return nil, err
	}
	// The API is served where the owners found it.
	f.listen = l.Addr().String()
	return root, nil
}

// restored makes a broker of a backup, once its owners have unlocked the root key
// in it. The store is sealed under that key, so that no other program can.
func (f *brokerServeFlags) restored(ctx context.Context, a *app, producer attest.Producer, seal *protector.OwnersSeal, o vault.RootOptions) (*vault.Root, error) {
	header, root, err := a.restoreBroker(ctx, &f.restore, func(ctx context.Context, r *brokerRestoreFlags, b *vault.Backup) (*vault.Root, error) {
		if r.newRoot {
			// Until the broker seals it for whom the owners in the backup named.
			pending, err := protector.NewPending()
			if err != nil {
				return nil, err
			}
			o.Protector = pending
			return vault.CreateRoot(ctx, o)
		}
		if err := b.WriteRoot(o.Path); err != nil {
			return nil, err
		}
		root, err := vault.OpenRoot(ctx, o)
		if errors.Is(err, protector.ErrWaiting) {
			root, err = f.waitForOwners(ctx, a, producer, seal, o)
		}
		return root, err
	})
	if err != nil {
		return nil, err
	}
	a.log.Info(describeRestored(header))
	return root, nil
}

// takeOver gets the root key of the broker that still runs. Its store follows once
// it has stopped: two brokers never work from one.
func (f *brokerServeFlags) takeOver(ctx context.Context, a *app, producer attest.Producer, sources *broker.Sources, o vault.RootOptions) error {
	if _, byOwners := o.Protector.(*protector.OwnersSeal); byOwners {
		return inputError("stop the old broker, and start the new one in its directory: the owners appraise it when they unlock it",
			"a root key that owners unlock is not handed over")
	}
	peer := &brokerFlags{pin: f.pin, address: f.rootFrom}
	known, err := peer.known(a)
	if err != nil {
		return err
	}
	if known.Broker != f.id {
		return inputError("", "%s is of the broker %s, not %s", f.pin, known.Broker, f.id)
	}
	client, err := broker.NewClient(peer.options(known))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return err
	}
	root, got, err := client.TakeOver(ctx, producer, func(ctx context.Context, p *policy.Policy, e *attest.Evidence) (*attest.Verification, error) {
		vs, err := sources.Verifiers(p)
		if err != nil {
			return nil, err
		}
		v, err := vs.Verify(ctx, e)
		if err != nil {
			return v, err
		}
		if d := p.AppraiseBroker(&v.Claims, o.Now()); !d.Allowed {
			return v, fmt.Errorf("%w: the program that runs may not be the broker: %s", policy.ErrRefused, d.Reason())
		}
		return v, nil
	}, o)
	if err != nil {
		return err
	}
	root.Zero()
	a.log.Info("the root key is taken over", "program", got.Answer.Program, "entry", got.Answer.Receipt.Index)
	if a.json {
		if err := a.printJSON(&got.Answer); err != nil {
			return err
		}
	}
	a.console.printf("stop the old broker, move its store to %s, and start this one again\n", filepath.Join(f.dir, "store"))
	return &Error{Code: ExitDone, Err: fmt.Errorf("the root key is in %s, and there is no store yet", o.Path)}
}
