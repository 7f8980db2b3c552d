package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
)

const ownerAttestLong = `Appraise a broker's evidence, show what it is known by, and keep that in a file.

The evidence must be of a program that the policy names in broker-programs. It
binds the broker's TLS key, the key that owners wrap their keys to, the key of its
audit log, and the hash of its first policy: the broker that the file tells of
cannot be replaced by another one later. --policy is the first policy, or any
later version together with --first-policy.

A broker outside a trusted execution environment shows evidence that proves
nothing: whoever has its machine has all keys. It is refused, unless
--insecure-broker-host says that this is known. Compare what is shown with what
the other owners see, and with what the broker printed when it started.

Attesting a known broker again refreshes the file. One that is another is refused;
--replace takes it, such as after a restore under new keys.`

const ownerAttestExample = `  cloister broker owner attest broker.example:7443 --policy policy.yaml --pin clinics.pin
  cloister broker owner attest 127.0.0.1:7443 --policy policy.yaml --pin clinics.pin --insecure-broker-host`

// ownerAttest are the flags of "cloister broker owner attest".
type ownerAttest struct {
	broker   brokerFlags
	policy   string
	first    string
	insecure bool
	replace  bool
	verify   verifyOptions
}

func (a *app) newOwnerAttestCommand() *cobra.Command {
	opt := &ownerAttest{}
	cmd := &cobra.Command{
		Use:     "attest HOST:PORT --pin FILE",
		Short:   "Appraise a broker and keep what it is known by",
		Long:    ownerAttestLong,
		Example: ownerAttestExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return inputError("", "name the broker's address, HOST:PORT")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.broker.address = args[0]
			return a.ownerAttest(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opt.broker.pin, "pin", "", "keep what the broker is known by in `FILE`")
	flags.StringVar(&opt.broker.seen, "seen", "", "keep the newest checkpoint that was seen in `FILE` instead of beside the pin, with .seen at its end")
	opt.broker.attemptsFlag(cmd)
	flags.StringVar(&opt.policy, "policy", "", "appraise the broker by the policy in `FILE`")
	flags.StringVar(&opt.first, "first-policy", "", "the `HASH` of the broker's first policy, if --policy is a later version")
	flags.BoolVar(&opt.insecure, "insecure-broker-host", false, "take a broker outside a trusted execution environment: whoever has its host has all keys")
	flags.BoolVar(&opt.replace, "replace", false, "take another broker than the one that FILE has")
	flags.StringArrayVar(&opt.verify.collateral, "collateral", []string{collateralCarried}, "take collateral from `SOURCE`: carried, online, an https address or a directory")
	flags.StringVar(&opt.verify.roots, "roots", "", "the certificates in `FILE` of roots that the policy names by their hash")
	if err := cmd.MarkFlagRequired("pin"); err != nil {
		panic(err) // the flag is declared above
	}
	return cmd
}

// attestedBroker is what "cloister broker owner attest --json" prints.
type attestedBroker struct {
	*broker.Known
	PolicyInForce broker.Digest  `json:"policy,omitzero"`
	Checks        []attest.Check `json:"checks"`
}

func (a *app) ownerAttest(ctx context.Context, opt *ownerAttest) error {
	expect, p, err := opt.expect(a)
	if err != nil {
		return err
	}
	before, err := opt.before(a)
	if err != nil {
		return err
	}
	verify, err := opt.verifier(a, p)
	if err != nil {
		return err
	}
	m, err := broker.Meet(ctx, broker.ClientOptions{Address: opt.broker.address, Pin: *expect, Attempts: opt.broker.attempts}, verify)
	if err != nil {
		return err
	}
	known, checks, err := opt.appraise(m, p)
	if err != nil {
		return err
	}
	if before != nil && *before.Pin() != *known.Pin() && !opt.replace {
		return &Error{
			Code: ExitRefused, Hint: "if the owners agreed on it, --replace keeps it instead",
			Err: fmt.Errorf("%w: %s has the broker %s with the TLS key %s and the first policy %s; this is %s with %s and %s", broker.ErrWrongBroker, opt.broker.pin,
				before.Broker, before.TLSKey, before.FirstPolicy, known.Broker, known.TLSKey, known.FirstPolicy),
		}
	}
	if err := opt.keep(ctx, a, known, before); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(&attestedBroker{known, m.Info.Policy, checks})
	}
	return a.print(describeBroker(known, &m.Info))
}

// expect is what is known of the broker before it is met.
func (o *ownerAttest) expect(a *app) (*broker.Pin, *policy.Policy, error) {
	pin := new(broker.Pin)
	if o.first != "" {
		if err := pin.FirstPolicy.UnmarshalText([]byte(strings.TrimPrefix(o.first, "sha256:"))); err != nil {
			return nil, nil, inputError(`"cloister broker policy hash" prints it`, "--first-policy: %w", err)
		}
	}
	if o.policy == "" {
		return pin, nil, nil
	}
	p, err := a.readPolicy(o.policy)
	if err != nil {
		return nil, nil, err
	}
	pin.Broker = string(p.Broker)
	switch {
	case o.first != "":
	case p.Version == 1:
		pin.FirstPolicy = broker.Digest(p.Hash())
	default:
		return nil, nil, inputError("--first-policy=HASH says it; the other owners have it", "%s is version %d, and the broker is known by the hash of its version 1", o.policy, p.Version)
	}
	return pin, p, nil
}

// before is what the file has already.
func (o *ownerAttest) before(a *app) (*broker.Known, error) {
	text, err := a.readSmall(o.broker.pin, maxKnown)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, err
	}
	k, err := broker.ParseKnown(text)
	if err != nil {
		return nil, inputError("name another file", "%s: %w", o.broker.pin, err)
	}
	return k, nil
}

// verifier verifies evidence by the policy's rules, and none that protects
// nothing unless that is said.
func (o *ownerAttest) verifier(a *app, p *policy.Policy) (broker.VerifyEvidence, error) {
	none := insecure.NewVerifier().Verify
	if p == nil {
		if !o.insecure {
			return nil, inputError("name the policy, or say --insecure-broker-host", "without --policy there is nothing to appraise the broker by")
		}
		return none, nil
	}
	check := &brokerCheck{policy: o.policy, verify: o.verify}
	vs, err := check.verifiers(p, time.Now)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, e *attest.Evidence) (*attest.Verification, error) {
		if e.Platform != attest.InsecureNone {
			return vs.Verify(ctx, e)
		}
		if !o.insecure {
			return nil, &Error{
				Code: ExitRefused, Hint: "--insecure-broker-host takes it all the same",
				Err: fmt.Errorf("%w: the broker runs outside a trusted execution environment: whoever has its host has all keys", attest.ErrRefused),
			}
		}
		return none(ctx, e)
	}, nil
}

// appraise says whether the program may be the broker.
func (o *ownerAttest) appraise(m *broker.Meeting, p *policy.Policy) (*broker.Known, []attest.Check, error) {
	now := time.Now()
	checks := m.Verification.Checks
	if m.Verification.Claims.Platform == attest.InsecureNone {
		known := m.Known(o.broker.address, "", now)
		known.Insecure = []string{"insecure-broker-host"}
		return known, checks, nil
	}
	d := p.AppraiseBroker(&m.Verification.Claims, now)
	if !d.Allowed {
		return nil, nil, fmt.Errorf("%w: this program may not be the broker: %s", policy.ErrRefused, d.Reason())
	}
	return m.Known(o.broker.address, string(d.Workload), now), append(checks, d.Checks...), nil
}

// keep writes the files. Of a broker that takes another's place the log is looked
// at when it is asked next: one that was restored first needs to be confirmed.
func (o *ownerAttest) keep(ctx context.Context, a *app, known, before *broker.Known) error {
	if before != nil && *before.Pin() != *known.Pin() {
		return writeState(o.broker.pin, known)
	}
	seen := &broker.Seen{Format: broker.SeenFormat, Broker: known.Broker, FirstPolicy: known.FirstPolicy}
	if before != nil {
		var err error
		if seen, err = a.readSeen(&o.broker, known); err != nil {
			return err
		}
	}
	client, err := broker.NewClient(o.broker.options(known))
	if err != nil {
		return err
	}
	defer client.Close()
	c := &contact{app: a, flags: &o.broker, client: client, known: known, seen: seen}
	if err := c.begin(ctx); err != nil {
		return err
	}
	if err := a.writeSeen(&o.broker, c.seen); err != nil {
		return err
	}
	return writeState(o.broker.pin, known)
}

func describeBroker(k *broker.Known, i *broker.Info) string {
	t := &rows{}
	t.add("broker", "%s", printable(k.Broker))
	t.add("first policy", "sha256:%s", k.FirstPolicy)
	if !i.Policy.IsZero() {
		t.add("policy in force", "version %d, sha256:%s", i.PolicyVersion, i.Policy)
	} else {
		t.add("policy in force", "none yet")
	}
	t.add("TLS key", "sha256:%s", k.TLSKey)
	t.add("log", "%s", k.Log)
	t.add("platform", "%s", k.Platform)
	if k.Program != "" {
		t.add("program", "%s", k.Program)
	}
	for _, name := range append(append([]string{}, k.Insecure...), i.Insecure...) {
		t.add("NOT SECURE", "%s", printable(name))
	}
	return t.String()
}
