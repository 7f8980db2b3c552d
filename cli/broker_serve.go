package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloister/durable"
	"cloister/trust/attest"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
)

// brokerServeFlags are those of "cloister broker serve".
type brokerServeFlags struct {
	dir, id, policy    string
	listen, operation  string
	root               rootKey
	rootFrom, pin      string
	insecureBrokerHost bool
	witnesses          map[string]string
	collateral, pccs   string
	kds                string
	roots              []string
	domains            []string
	restore            brokerRestoreFlags // a backup to begin with, for who unlocks by owners
	gramineListen      string
	gramineNames       []string
}

const brokerServeLong = `Run the key broker, until it is interrupted.

The first start takes --policy and makes the broker's keys in --dir. The broker
then waits until every owner of that policy has approved it, and releases
nothing before. Later starts find all of it in --dir.

` + rootKeyLong + `

With --unlock-by-owners, --restore makes a broker of a backup in --dir, where there
is none: the owners unlock it with the shares that they had when the backup was
made, and confirm it as after "cloister broker restore", which says what
--backup-key, --identity and --new-root are. A new root key is sealed for the
recipients that owners had named in the backup: before the broker ends, every owner
has to fetch the new shares, and to recover the own keys.

An upgraded broker, whose measurement is another, takes over the root key of the
one that still runs (--root-from, --pin), once every owner has signed a policy that
names the new program in broker-programs.

Clients know the broker by what it prints when it is ready (--json): the hash of
its TLS key, and that of its first policy.

A change of the policy takes effect when its owners have approved it, while the
broker runs and without a connection being dropped; no signal reloads anything. A
witness that a new version names needs its --witness before, which may stand
there early.`

func (a *app) newBrokerServeCommand() *cobra.Command {
	f := &brokerServeFlags{}
	cmd := &cobra.Command{
		Use:   "serve --dir DIR --broker ID",
		Short: "Run the key broker",
		Long:  brokerServeLong,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.brokerServe(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", "", "keep the broker's state in `DIR`")
	flags.StringVar(&f.id, "broker", "", "the broker's `ID`, as its policy has it")
	flags.StringVar(&f.policy, "policy", "", "the first policy, `FILE`: makes a new broker in --dir, if there is none")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:7443", "serve the API at `ADDRESS`")
	flags.StringVar(&f.operation, "operation", "", "serve /healthz, /readyz and /metrics at `ADDRESS`, without TLS")
	f.root.flags(flags)
	flags.StringVar(&f.restore.backupArg, "restore", "", "with --unlock-by-owners: make the broker of the backup in `FILE`")
	flags.StringVar(&f.restore.key, "backup-key", "", "the broker's key for backups, `KEY` in base64, as \"cloister broker backup\" printed it")
	flags.StringVar(&f.restore.identity, "identity", "", "decrypt the backup with the age identity in `FILE`")
	flags.BoolVar(&f.restore.newRoot, "new-root", false, "restore under a new root key, and have the owners recover")
	flags.StringVar(&f.rootFrom, "root-from", "", "take over the root key, if there is none in --dir, of the broker that runs at `HOST:PORT` and is known by --pin")
	flags.StringVar(&f.pin, "pin", "", "what the broker of --root-from is known by, `FILE`; in a trusted execution environment it must be measured")
	flags.BoolVar(&f.insecureBrokerHost, "insecure-broker-host", false, "run outside a trusted execution environment: whoever has this host has all keys")
	flags.StringToStringVar(&f.witnesses, "witness", nil, "ask the policy's witness of that name at a URL: `NAME=URL`")
	flags.StringVar(&f.collateral, "collateral", "", "take collateral of Intel and AMD from `DIR`")
	flags.StringVar(&f.pccs, "pccs", "", "take Intel's collateral from the service at `URL`: Intel's own or a PCCS")
	flags.StringVar(&f.kds, "kds", "", "take AMD's certificates from the key distribution service at `URL`")
	flags.StringArrayVar(&f.roots, "root-certificate", nil, "the certificate, `FILE`, of a root that the policy names by its hash")
	flags.StringSliceVar(&f.domains, "domain", nil, "issue certificates for names below `DOMAIN`")
	flags.StringVar(&f.gramineListen, "gramine-listen", "", "serve Gramine's secret provisioning at `ADDRESS`")
	flags.StringSliceVar(&f.gramineNames, "gramine-name", nil, "a `NAME` of the provisioning port, below a --domain")
	return cmd
}

func (f *brokerServeFlags) check() error {
	switch {
	case f.dir == "" || f.id == "":
		return inputError("", "--dir and --broker are needed")
	case (f.gramineListen == "") != (len(f.gramineNames) == 0):
		return inputError("", "--gramine-listen and --gramine-name go together")
	case len(f.gramineNames) > 0 && len(f.domains) == 0:
		return inputError("", "--gramine-name needs the --domain that it is below")
	}
	if (f.rootFrom == "") != (f.pin == "") {
		return inputError("", "--root-from and --pin go together")
	}
	if err := f.checkRestore(); err != nil {
		return err
	}
	return f.root.check()
}

func (f *brokerServeFlags) checkRestore() error {
	r := &f.restore
	given := r.key != "" || r.identity != "" || r.newRoot
	switch {
	case r.backupArg == "" && given:
		return inputError("", "--backup-key, --identity and --new-root need --restore, the backup")
	case r.backupArg == "":
		return nil
	case !f.root.byOwners:
		return inputError(`"cloister broker restore" restores any other`, "--restore is for a broker that its owners unlock (--unlock-by-owners)")
	case f.policy != "" || f.rootFrom != "":
		return inputError("", "a broker begins with one of --restore, --policy and --root-from")
	case r.key == "" || r.identity == "":
		return inputError("", "--restore needs --backup-key and --identity")
	}
	r.store.dir, r.store.id, r.store.root = f.dir, f.id, f.root
	return nil
}

// brokerReady is what "cloister broker serve --json" prints when it serves.
type brokerReady struct {
	Broker      string        `json:"broker"`
	Address     string        `json:"address"`
	Operation   string        `json:"operation,omitempty"`
	Gramine     string        `json:"gramine,omitempty"`
	Platform    string        `json:"platform"`
	TLSKey      broker.Digest `json:"tls_key"`
	FirstPolicy broker.Digest `json:"first_policy"`
	Log         string        `json:"log"`
	Insecure    []string      `json:"insecure,omitempty"`
}

func (a *app) brokerServe(ctx context.Context, f *brokerServeFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	found, system, err := a.here(f.dir)
	if err != nil {
		return err
	}
	inTEE := found.Platform != attest.InsecureNone
	if !inTEE && !f.insecureBrokerHost {
		return inputError("run it in a trusted execution environment, or say --insecure-broker-host",
			"this is no trusted execution environment (%s): whoever has this host would have all keys", found.Why)
	}
	producer, err := system.NewProducer(found.Platform)
	if err != nil {
		return err
	}
	protect, done, err := f.root.open(ctx, f.id, a.sealingKeys, inTEE)
	if err != nil {
		return err
	}
	err = a.serveRoot(ctx, f, producer, vault.RootOptions{
		Path: filepath.Join(f.dir, "root"), Broker: f.id, Protector: protect, InTEE: inTEE, Now: time.Now,
	})
	return errors.Join(err, done()) // the root key may be changed as long as the broker runs
}

// serveRoot opens the root key and serves.
func (a *app) serveRoot(ctx context.Context, f *brokerServeFlags, producer attest.Producer, o vault.RootOptions) error {
	config, err := f.config(ctx, a, producer, o)
	if err != nil {
		return err
	}
	b, err := broker.Start(ctx, *config)
	if err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(f.dir, firstStart)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, b.Close())
	}
	return errors.Join(a.serveBroker(ctx, f, b, producer.Platform()), b.Close())
}

// firstStart is there from the moment a new broker's root key is made until its
// store is: only then is a store made that is not there. Else a store that was
// taken away would be begun anew.
const firstStart = "first-start"

// config opens the root key, or makes a new broker.
func (f *brokerServeFlags) config(ctx context.Context, a *app, producer attest.Producer, o vault.RootOptions) (*broker.Config, error) {
	sources, err := f.sources()
	if err != nil {
		return nil, err
	}
	c := &broker.Config{
		Dir: filepath.Join(f.dir, "store"), Quorum: broker.Witnesses(f.witnesses, time.Now), Heartbeat: time.Minute, Domains: f.domains,
		Sources: sources,
		Options: broker.Options{Producer: producer, Logger: a.log},
	}
	c.Options.Unlock, _ = o.Protector.(*protector.OwnersSeal)
	if f.policy != "" {
		if c.Options.FirstPolicy, err = os.ReadFile(f.policy); err != nil {
			return nil, fmt.Errorf("cannot read the policy: %w", err)
		}
	}
	if f.restore.backupArg != "" {
		c.Root, err = f.restored(ctx, a, producer, c.Options.Unlock, o)
		return c, err
	}
	c.Root, err = vault.OpenRoot(ctx, o)
	if errors.Is(err, protector.ErrWaiting) {
		c.Root, err = f.waitForOwners(ctx, a, producer, c.Options.Unlock, o)
	}
	if other := (*vault.ProtectorError)(nil); errors.As(err, &other) && other.Have == protector.PendingName {
		return nil, inputError(fmt.Sprintf("remove %s and start anew; nothing was in it", f.dir), "the broker ended before its owners had named who unlocks it")
	}
	if !errors.Is(err, vault.ErrNoRoot) {
		_, begun := os.Lstat(filepath.Join(f.dir, firstStart))
		c.Create = begun == nil
		return c, err
	}
	if f.rootFrom != "" {
		return nil, f.takeOver(ctx, a, producer, sources, o)
	}
	if f.policy == "" {
		return nil, inputError("the first start takes --policy", "%w", err)
	}
	if _, err := policy.Parse(f.policy, c.Options.FirstPolicy); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(filepath.Join(f.dir, firstStart), func(io.Writer) error { return nil }); err != nil {
		return nil, err
	}
	c.Create = true
	if c.Options.Unlock != nil {
		// Until the owners have named who unlocks.
		if o.Protector, err = protector.NewPending(); err != nil {
			return nil, err
		}
	}
	c.Root, err = vault.CreateRoot(ctx, o)
	return c, err
}

// sources are where collateral comes from: what the evidence carries comes last,
// so that older collateral which an attacker chose does not hide newer.
func (f *brokerServeFlags) sources() (*broker.Sources, error) {
	s := &broker.Sources{}
	var intel sgx.Sources
	var amd snp.Sources // a verifier of SNP takes what is carried by itself
	if f.pccs != "" {
		service, err := sgx.NewService(sgx.ServiceOptions{URL: f.pccs, Now: time.Now})
		if err != nil {
			return nil, err
		}
		intel = append(intel, service)
	}
	if f.kds != "" {
		kds, err := snp.NewKDS(f.kds, nil, time.Now)
		if err != nil {
			return nil, err
		}
		amd = append(amd, kds)
	}
	if f.collateral != "" {
		intel = append(intel, sgx.NewDirectory(f.collateral, time.Now))
		amd = append(amd, snp.Directory(f.collateral))
	}
	intel = append(intel, sgx.NewCarried())
	s.Intel, s.AMD = intel, amd
	for _, path := range f.roots {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read the root's certificate: %w", err)
		}
		block, _ := pem.Decode(text)
		if block == nil {
			return nil, inputError("", "%s: no certificate in PEM", path)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, inputError("", "%s: %w", path, err)
		}
		s.Roots = append(s.Roots, cert)
	}
	return s, nil
}

// serveBroker serves all ports until the first fails or ctx ends.
func (a *app) serveBroker(ctx context.Context, f *brokerServeFlags, b *broker.Broker, platform attest.Platform) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go broker.CollectLess(ctx)
	a.grace.Store(int64(broker.StopGrace + 5*time.Second))
	info := b.Info()
	ready := &brokerReady{
		Broker: info.Broker, Platform: string(platform), TLSKey: info.TLSKey, FirstPolicy: info.FirstPolicy, Log: info.Log, Insecure: info.Insecure,
	}
	if platform == attest.InsecureNone {
		ready.Insecure = append(ready.Insecure, "insecure-broker-host")
	}
	ports := []port{{f.listen, &ready.Address, b.Serve}}
	if f.operation != "" {
		ports = append(ports, port{f.operation, &ready.Operation, b.ServeOperation})
	}
	if f.gramineListen != "" {
		ports = append(ports, port{f.gramineListen, &ready.Gramine, func(ctx context.Context, l net.Listener) error {
			return b.ServeProvisioning(ctx, l, f.gramineNames)
		}})
	}
	return servePorts(ctx, ports, func() error { return a.announceBroker(ready) }, b.Alive)
}

func (a *app) announceBroker(r *brokerReady) error {
	a.log.Info("the broker serves", "broker", r.Broker, "address", r.Address, "platform", r.Platform,
		"tls_key", r.TLSKey.String(), "first_policy", r.FirstPolicy.String())
	if len(r.Insecure) > 0 {
		a.log.Warn("this broker is not secure: " + strings.Join(r.Insecure, ", "))
	}
	if a.json {
		return a.printJSON(r)
	}
	return nil
}
