package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"cloister/trust/attest"
	"cloister/trust/broker"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/broker/vault/shares"
	"cloister/trust/secret"
)

const ownerConfirmLong = `Confirm a restored broker: sign the newest checkpoint of its audit log that this
owner has seen, as --seen has it. A broker that was restored from a backup makes and
releases nothing until every owner has confirmed.

If the backup's log goes on from what was seen, nothing is lost. If an owner saw a
later one, the backup is older: keys that were made, runs that were counted and
releases that were stopped after it are lost, and a job may run again that has run.
Then every owner has to accept that with --accept-loss-up-to=SIZE, the size that
"confirm" without it prints. With it, what was seen begins anew with the backup.

Without --key and --save nothing is signed: the state of the restore is shown. A
confirmation counts until the broker is started again.`

// ownerConfirm are the flags of "cloister broker owner confirm".
type ownerConfirm struct {
	orderFlags
	accept int64
}

func (a *app) newOwnerConfirmCommand() *cobra.Command {
	opt := &ownerConfirm{}
	cmd := &cobra.Command{
		Use:   "confirm",
		Short: "Confirm a restored broker with the last checkpoint that was seen",
		Long:  ownerConfirmLong,
		Example: `  cloister broker owner confirm --pin clinics.pin
  cloister broker owner confirm --pin clinics.pin --key ~/.ssh/id_ed25519
  cloister broker owner confirm --pin clinics.pin --key ~/.ssh/id_ed25519 --accept-loss-up-to 1893`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ownerConfirm(cmd.Context(), opt) },
	}
	opt.flags(cmd)
	opt.named(cmd)
	cmd.Flags().Int64Var(&opt.accept, "accept-loss-up-to", 0, "accept that what was logged after the backup is lost, up to `SIZE` entries")
	return cmd
}

// reach is contact without a look at the log, which a restore may have set back.
func (a *app) reach(ctx context.Context, f *brokerFlags) (*contact, error) {
	c := &contact{app: a, flags: f}
	var err error
	if c.known, err = f.known(a); err != nil {
		return nil, err
	}
	if c.seen, err = a.readSeen(f, c.known); err != nil {
		return nil, err
	}
	if c.client, err = broker.NewClient(f.options(c.known)); err != nil {
		return nil, err
	}
	if c.info, err = c.client.Info(ctx); err == nil {
		if err = noPolicyYet(); !c.info.Policy.IsZero() {
			err = c.readPolicy(ctx)
		}
	}
	if err != nil {
		c.client.Close()
		return nil, err
	}
	return c, nil
}

func (a *app) ownerConfirm(ctx context.Context, opt *ownerConfirm) error {
	c, err := a.reach(ctx, &opt.broker)
	if err != nil {
		return err
	}
	defer c.client.Close()
	state, err := c.client.RestoreState(ctx)
	if err != nil {
		return err
	}
	last, err := c.seen.Last()
	if err != nil {
		return err
	}
	seen := vault.Checkpoint{Origin: state.Checkpoint.Origin, Root: make([]byte, 32)}
	if last != nil {
		seen = vault.Checkpoint{Origin: last.Origin, Size: last.Size, Root: last.Root[:]}
	}
	if len(opt.sign.keys) == 0 && opt.save == "" {
		lost := seen.Size
		now := *c.seen
		if _, err := c.client.Look(ctx, c.known, &now); err == nil {
			lost = 0 // the log goes on from it
		}
		return a.showRestore(state, seen.Size, max(lost, state.Newest))
	}
	q := &broker.Confirmation{Backup: state.Backup, Session: state.Session, Seen: seen, AcceptLossUpTo: opt.accept}
	if q.Owner, err = opt.ownerName(c); err != nil {
		return err
	}
	all, err := c.client.Owners(ctx)
	if err != nil {
		return err
	}
	if q.Number, err = c.number(q.Owner, all); err != nil {
		return err
	}
	saved := &savedOrder{Confirm: q}
	if was, err := c.prepare(&opt.orderFlags, saved); was || err != nil {
		if err == nil {
			err = a.tell(nil, opt.save, "")
		}
		return err
	}
	return a.sendConfirmation(ctx, c, saved)
}

// sendConfirmation hands in a confirmation, and begins anew with what is seen if
// that was lost.
func (a *app) sendConfirmation(ctx context.Context, c *contact, s *savedOrder) error {
	answer, err := c.client.Confirm(ctx, &broker.ConfirmRequest{Confirmation: *s.Confirm, Signatures: s.Signatures})
	if err != nil {
		return err
	}
	err = c.done(ctx, answer.Receipt)
	if errors.Is(err, audit.ErrTampered) {
		// The log is behind what was seen. An owner who accepts no loss keeps that;
		// for one who does it is lost.
		err = nil
		if s.Confirm.AcceptLossUpTo >= s.Confirm.Seen.Size {
			c.seen.Checkpoint = ""
			err = c.done(ctx, answer.Receipt)
		}
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(answer)
	}
	if answer.Open {
		return a.print("all owners have confirmed: the broker works again\n")
	}
	return a.print("confirmed; waiting for " + printable(strings.Join(answer.Waiting, ", ")) + "\n")
}

func (a *app) showRestore(s *broker.RestoreState, seen, most int64) error {
	if a.json {
		return a.printJSON(s)
	}
	t := &rows{}
	t.add("backup", "%s of %s", s.Backup, stampOf(s.Made))
	t.add("restored", "%s", stampOf(s.Restored))
	t.add("log in the backup", "%d entries", s.Checkpoint.Size)
	t.add("log seen here", "%d entries", seen)
	t.add("log seen by owners who confirmed", "%d entries", s.Newest)
	if most > s.Checkpoint.Size {
		t.add("LOST", "what was logged from entry %d on; --accept-loss-up-to=%d accepts it", s.Checkpoint.Size, most)
	}
	if len(s.Waiting) > 0 {
		t.add("waiting for", "%s", strings.Join(s.Waiting, ", "))
	} else {
		t.add("waiting for", "nobody: the broker works again")
	}
	return a.print(t.String())
}

const ownerRecoveryLong = `Recovery shares of an owner's keys, for the case that the broker's root key is lost.

"set" names age recipients, some of whom together recover this owner's keys, and
writes a share for each, encrypted to that recipient. No others can: not the other
owners, with any backup. After a restore under a new root key "use" gives the
shares back. docs/reference/broker-keys.md has the forms.

An owner's recovery key is something else: a signing key that replaces lost ones.
It signs with "cloister broker owner approve".`

func (a *app) newOwnerRecoveryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recovery",
		Short: "Make and use recovery shares of one's keys",
		Long:  ownerRecoveryLong,
		Args:  unknownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newSharesCommand(broker.Recovery, "set", "Name who can recover one's keys, and write their shares",
		`Name the age recipients of whom --threshold recover this owner's keys, in place of
any before, and write the share of each to a file in --output-dir:
OWNER.recovery.NUMBER.age, in the order of the recipients. Each opens with the
recipient's identity, "age -d -i FILE".`, "recovery set"), a.newRecoverCommand())
	return cmd
}

const ownerUnlockersLong = `Name the age recipients of whom --threshold unlock the broker for this owner after
each start, in place of any before, and write the share of each to a file in
--output-dir: OWNER.unlock.NUMBER.age. Shares are made once every owner has named
recipients; until then the broker takes no keys, and this command says so: repeat
it then with "unlockers fetch".

Keep the shares. A share that is shown when the broker asks to be unlocked is not to
be trusted: anybody can encrypt something to a recipient.`

func (a *app) newOwnerUnlockersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unlockers",
		Short: "Name who unlocks a broker that no platform seals",
		Long: `Who unlocks a broker that runs with --unlock-by-owners: every owner, by a share of
its own, after each start. "set" names an owner's recipients, "fetch" writes their
shares, "cloister broker owner unlock" gives one to a broker that waits.`,
		Args: unknownSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.newSharesCommand(broker.Unlock, "set", "Name who unlocks the broker for an owner", ownerUnlockersLong, "unlockers set"),
		a.newSharesCommand(broker.UnlockShares, "fetch", "Write the shares that unlock the broker",
			"Write this owner's shares of what the broker's root key is sealed with now, as \"set\" does.", "unlockers fetch"),
	)
	return cmd
}

// sharesFlags are those of commands that write shares.
type sharesFlags struct {
	orderFlags
	threshold  int
	recipients []string
	directory  string
}

// newSharesCommand is a command whose order is answered with shares.
func (a *app) newSharesCommand(op broker.Operation, use, short, long, example string) *cobra.Command {
	opt := &sharesFlags{}
	example = "  cloister broker owner " + example
	if op != broker.UnlockShares {
		example += " --threshold 2 --recipient age1… --recipient age1…"
	}
	cmd := &cobra.Command{
		Use:     use,
		Short:   short,
		Long:    long,
		Example: example + " --output-dir shares --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.orderShares(cmd.Context(), opt, op) },
	}
	opt.flags(cmd)
	opt.named(cmd)
	flags := cmd.Flags()
	flags.StringVar(&opt.directory, "output-dir", "", "write the shares to files in `DIR`")
	required := []string{"output-dir"}
	if op != broker.UnlockShares {
		flags.IntVar(&opt.threshold, "threshold", 1, "how many of the recipients are needed")
		flags.StringArrayVar(&opt.recipients, "recipient", nil, "an age public key, `age1…`; once for each")
		required = append(required, "recipient")
	}
	for _, name := range required {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flags are declared above
		}
	}
	return cmd
}

func (a *app) orderShares(ctx context.Context, opt *sharesFlags, op broker.Operation) error {
	var files []string
	return a.orderThen(ctx, &opt.orderFlags, func(*contact) (*broker.Order, error) {
		return &broker.Order{Operation: op, Threshold: opt.threshold, Recipients: opt.recipients}, nil
	}, func(answer *broker.OrderAnswer) (err error) {
		files, err = writeShares(opt.directory, answer.Delivery)
		return err
	}, func(answer *broker.OrderAnswer) string {
		if answer.Delivery == nil {
			return "named; the shares are there once every owner has named recipients: \"unlockers fetch\" writes them\n"
		}
		return fmt.Sprintf("%d of these are needed: %s\n", answer.Delivery.Set.Threshold, strings.Join(files, ", "))
	})
}

// writeShares writes the encrypted shares of a delivery.
func writeShares(directory string, d *protector.Delivery) (files []string, err error) {
	if d == nil {
		return nil, nil
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, err
	}
	for i, sealed := range d.Sealed {
		file := filepath.Join(directory, fmt.Sprintf("%s.%s.%d.age", d.Set.Owner, d.Set.Purpose, i+1))
		if err := writePrivate(file, sealed); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// shareFlags say where an owner's shares are.
type shareFlags struct {
	files      []string
	identities []string
}

func (f *shareFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.files, "share", nil, "a share in `FILE`, opened or as it was written; once for each")
	cmd.Flags().StringArrayVar(&f.identities, "identity", nil, "open the shares with the age identities in `FILE`")
	if err := cmd.MarkFlagRequired("share"); err != nil {
		panic(err) // the flag is declared above
	}
}

// read opens the shares.
func (f *shareFlags) read(a *app) ([]*shares.Share, error) {
	var identities []age.Identity
	for _, path := range f.identities {
		text, err := a.readSmall(path, maxKnown)
		if err != nil {
			return nil, err
		}
		some, err := age.ParseIdentities(bytes.NewReader(text))
		clear(text)
		if err != nil {
			return nil, inputError("", "%s: no age identities", inputName(path))
		}
		identities = append(identities, some...)
	}
	var all []*shares.Share
	for _, path := range f.files {
		text, err := a.readSmall(path, maxKnown)
		if err != nil {
			return nil, err
		}
		one, err := openShareFile(text, identities)
		if err != nil {
			return nil, inputError("", "%s: %w", inputName(path), err)
		}
		all = append(all, one)
	}
	return all, nil
}

func openShareFile(text []byte, identities []age.Identity) (*shares.Share, error) {
	if !bytes.HasPrefix(text, []byte("age-encryption.org/")) {
		plain := secret.Take(text)
		defer plain.Zero()
		return shares.Parse(plain)
	}
	if len(identities) == 0 {
		return nil, errors.New("the share is encrypted: --identity=FILE opens it")
	}
	return shares.Open(text, identities...)
}

func (a *app) newRecoverCommand() *cobra.Command {
	f, share := &orderFlags{}, &shareFlags{}
	cmd := &cobra.Command{
		Use:   "use",
		Short: "Recover one's keys by shares, after the root key was lost",
		Long: `Give a broker that was restored under a new root key the shares that open this
owner's keys. They are wrapped here to the attested broker: attest it first, since
its keys are new.`,
		Example: "  cloister broker owner recovery use --share shares/hospital-a.recovery.1.age --identity me.txt --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.ownerRecover(cmd.Context(), f, share) },
	}
	f.flags(cmd)
	share.flags(cmd)
	return cmd
}

func (a *app) ownerRecover(ctx context.Context, f *orderFlags, share *shareFlags) error {
	given, err := share.read(a)
	if err != nil {
		return err
	}
	f.owner = given[0].Set.Owner
	return a.order(ctx, f, func(c *contact) (*broker.Order, error) {
		if err := c.attestedKey(); err != nil {
			return nil, err
		}
		o := &broker.Order{Operation: broker.Recover}
		for _, one := range given {
			if one.Set.Broker != c.known.Broker || one.Set.Purpose != shares.Recovery {
				return nil, inputError("", "a share is one for %s of the broker %s", one.Set.Purpose, one.Set.Broker)
			}
			wrapped, err := broker.WrapShare(c.known.HPKE, one)
			if err != nil {
				return nil, err
			}
			o.Shares = append(o.Shares, wrapped)
		}
		return o, nil
	}, func(*broker.OrderAnswer) string { return "the keys of " + f.owner + " are recovered\n" })
}

const ownerUnlockLong = `Give an owner's share to a broker that waits to be unlocked (broker serve
--unlock-by-owners). A broker that waits has none of its keys yet, so that its pin
does not show which one it is: its evidence must be of a program that --policy
names in broker-programs, and the share is encrypted to a key that the evidence
binds. Only the id is taken from the pin.`

// ownerUnlock are the flags of "cloister broker owner unlock".
type ownerUnlock struct {
	ownerAttest
	share shareFlags
}

func (a *app) newOwnerUnlockCommand() *cobra.Command {
	opt := &ownerUnlock{}
	cmd := &cobra.Command{
		Use:     "unlock",
		Short:   "Give one's share to a broker that waits to be unlocked",
		Long:    ownerUnlockLong,
		Example: "  cloister broker owner unlock --policy policy.yaml --share hospital-a.unlock.1.age --identity me.txt --pin clinics.pin",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.ownerUnlock(cmd.Context(), opt) },
	}
	opt.broker.flags(cmd)
	opt.share.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&opt.policy, "policy", "", "appraise the broker by the policy in `FILE`")
	flags.BoolVar(&opt.insecure, "insecure-broker-host", false, "take a broker outside a trusted execution environment: whoever has its host has all keys")
	flags.StringArrayVar(&opt.verify.collateral, "collateral", []string{collateralCarried}, "take collateral from `SOURCE`: carried, online, an https address or a directory")
	flags.StringVar(&opt.verify.roots, "roots", "", "the certificates in `FILE` of roots that the policy names by their hash")
	return cmd
}

func (a *app) ownerUnlock(ctx context.Context, opt *ownerUnlock) error {
	known, err := opt.broker.known(a)
	if err != nil {
		return err
	}
	given, err := opt.share.read(a)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(given, func(s *shares.Share) bool { return s.Set.Purpose != shares.Unlock || s.Set.Broker != known.Broker }) {
		return inputError("", "a share is not one for unlocking the broker %s", known.Broker)
	}
	opt.first = known.FirstPolicy.String() // any version of the policy appraises
	_, p, err := opt.expect(a)
	if err != nil {
		return err
	}
	if p != nil && string(p.Broker) != known.Broker {
		return inputError("", "%s is a policy of the broker %s, not %s", opt.policy, p.Broker, known.Broker)
	}
	verify, err := opt.verifier(p)
	if err != nil {
		return err
	}
	b, err := broker.MeetLocked(ctx, opt.broker.options(known), verify)
	if err != nil {
		return err
	}
	defer b.Close()
	if claims := &b.Verification.Claims; claims.Platform != attest.InsecureNone {
		if d := p.AppraiseBroker(claims, time.Now()); !d.Allowed {
			return fmt.Errorf("%w: this program may not be the broker: %s", broker.ErrRefused, d.Reason())
		}
	}
	var answer *broker.UnlockAnswer
	for _, one := range given {
		if answer, err = b.Give(ctx, one); err != nil {
			return err
		}
		if answer.Open {
			break
		}
	}
	if a.json {
		return a.printJSON(answer)
	}
	if answer.Open {
		return a.print("the broker is unlocked and starts\n")
	}
	return a.print(printable(answer.Waiting) + "\n")
}
