package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
	"cloister/trust/broker"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/secret"
)

// brokerServeFlags are those of "cloister broker serve".
type brokerServeFlags struct {
	dir, id, policy    string
	listen, operation  string
	passphraseFD       int
	sealToEnclave      bool
	insecureBrokerHost bool
	witnesses          map[string]string
	collateral, pccs   string
	kds                string
	roots              []string
	domains            []string
	gramineListen      string
	gramineNames       []string
}

const brokerServeLong = `Run the key broker, until it is interrupted.

The first start takes --policy and makes the broker's keys in --dir. The broker
then waits until every owner of that policy has approved it, and releases
nothing before. Later starts find all of it in --dir.

The root key is sealed to the enclave's measurement (--seal-to-enclave), or
protected by a passphrase that is read from a file descriptor. Clients know the
broker by what it prints when it is ready: the hash of its TLS key, and that of
its first policy.`

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
	flags.IntVar(&f.passphraseFD, "passphrase-fd", -1, "read the root key's passphrase from file descriptor `N`")
	flags.BoolVar(&f.sealToEnclave, "seal-to-enclave", false, "seal the root key to this enclave's measurement (Gramine)")
	flags.BoolVar(&f.insecureBrokerHost, "insecure-broker-host", false, "run outside a trusted execution environment: whoever has this host has all keys")
	flags.StringToStringVar(&f.witnesses, "witness", nil, "ask the policy's witness of that name at a URL: `NAME=URL`")
	flags.StringVar(&f.collateral, "collateral", "", "take Intel's collateral from `DIR`")
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
	case (f.passphraseFD < 0) != f.sealToEnclave:
		return inputError("", "one of --passphrase-fd and --seal-to-enclave is needed")
	case (f.gramineListen == "") != (len(f.gramineNames) == 0):
		return inputError("", "--gramine-listen and --gramine-name go together")
	case len(f.gramineNames) > 0 && len(f.domains) == 0:
		return inputError("", "--gramine-name needs the --domain that it is below")
	}
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
	if err := secret.NoDumps(); err != nil {
		a.log.Debug("core dumps cannot be turned off here", "error", err)
	}
	system := platforms.ThisSystem(f.dir)
	found, err := system.Detect()
	if err != nil {
		return err
	}
	if found.Platform == attest.InsecureNone && !f.insecureBrokerHost {
		return inputError("run it in a trusted execution environment, or say --insecure-broker-host",
			"this is no trusted execution environment (%s): whoever has this host would have all keys", found.Why)
	}
	producer, err := system.NewProducer(found.Platform)
	if err != nil {
		return err
	}
	config, err := f.config(ctx, found.Platform != attest.InsecureNone)
	if err != nil {
		return err
	}
	config.Options.Producer, config.Options.Logger = producer, a.log
	b, err := broker.Start(ctx, *config)
	if err != nil {
		return err
	}
	return errors.Join(a.serveBroker(ctx, f, b, found.Platform), b.Close())
}

// config opens the root key, or makes a new broker.
func (f *brokerServeFlags) config(ctx context.Context, inTEE bool) (*broker.Config, error) {
	sources, err := f.sources()
	if err != nil {
		return nil, err
	}
	c := &broker.Config{
		Dir: filepath.Join(f.dir, "store"), Quorum: broker.Witnesses(f.witnesses, time.Now), Heartbeat: time.Minute, Domains: f.domains,
		Options: broker.Options{Verifiers: sources.Verifiers},
	}
	if f.policy != "" {
		if c.Options.FirstPolicy, err = os.ReadFile(f.policy); err != nil {
			return nil, fmt.Errorf("cannot read the policy: %w", err)
		}
	}
	o := vault.RootOptions{Path: filepath.Join(f.dir, "root"), Broker: f.id, InTEE: inTEE, Now: time.Now}
	if o.Protector, err = f.protector(); err != nil {
		return nil, err
	}
	c.Root, err = vault.OpenRoot(ctx, o)
	if !errors.Is(err, vault.ErrNoRoot) {
		return c, err
	}
	if f.policy == "" {
		return nil, inputError("the first start takes --policy", "%w", err)
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, err
	}
	c.Create = true
	c.Root, err = vault.CreateRoot(ctx, o)
	return c, err
}

func (f *brokerServeFlags) protector() (protector.Protector, error) {
	if f.sealToEnclave {
		return protector.NewGramine("/dev/attestation/keys")
	}
	passphrase, err := protector.ReadPassphrase(f.passphraseFD)
	if err != nil {
		return nil, err
	}
	return protector.NewPassphrase(passphrase)
}

// sources are where collateral comes from: first from the evidence itself.
func (f *brokerServeFlags) sources() (*broker.Sources, error) {
	s := &broker.Sources{Now: time.Now}
	intel := sgx.Sources{sgx.NewCarried()}
	if f.collateral != "" {
		intel = append(intel, sgx.NewDirectory(f.collateral, time.Now))
	}
	if f.pccs != "" {
		service, err := sgx.NewService(sgx.ServiceOptions{URL: f.pccs, Now: time.Now})
		if err != nil {
			return nil, err
		}
		intel = append(intel, service)
	}
	s.Intel = intel
	if f.kds != "" {
		kds, err := snp.NewKDS(f.kds, nil, time.Now)
		if err != nil {
			return nil, err
		}
		s.AMD = kds
	}
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
	type port struct {
		address string
		bound   *string
		serve   func(context.Context, net.Listener) error
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
	var listeners []net.Listener
	for _, p := range ports {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.address)
		if err != nil {
			for _, other := range listeners {
				other.Close() //nolint:errcheck // nothing was accepted
			}
			return err
		}
		*p.bound = l.Addr().String()
		listeners = append(listeners, l)
	}
	done := make(chan error, len(ports))
	for i, p := range ports {
		go func() { done <- p.serve(ctx, listeners[i]) }()
	}
	if err := a.announceBroker(ready); err != nil {
		cancel()
	}
	var all error
	for range ports {
		all = errors.Join(all, <-done)
		cancel()
	}
	return all
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
