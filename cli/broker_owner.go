package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cloister/durable"
	"cloister/trust/broker"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
)

const brokerOwnerLong = `What the owners of data do at a key broker.

Begin with "attest": it appraises the broker and keeps, in a file, what the broker
is known by from then on. Every other command takes that file with --pin, and
remembers beside it the newest checkpoint of the broker's audit log, which must go
on from the last one that was seen: a broker whose store was replaced by an older
copy is noticed at the next contact, with exit code 5.

What an owner orders is signed: with a key of OpenSSH or in PEM (--key), or
elsewhere, such as with a security token ("owner order --help"). docs/guide/broker.md
goes through it task by task.`

func (a *app) newBrokerOwnerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "owner",
		Short: "Attest a broker, approve policies, and give orders about one's keys",
		Long:  brokerOwnerLong,
		Args:  unknownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.newOwnerAttestCommand(), a.newOwnerStatusCommand(),
		a.newOwnerChangesCommand(), a.newOwnerApproveCommand(),
		a.newOwnerFreezeCommand(false), a.newOwnerFreezeCommand(true),
		a.newOwnerKeyCommand(), a.newOwnerSecretCommand(), a.newOwnerRegisterCommand(),
		a.newOwnerJobCommand(), a.newOwnerOrderCommand(),
		a.newOwnerRecoveryCommand(), a.newOwnerConfirmCommand(), a.newOwnerUnlockersCommand(), a.newOwnerUnlockCommand(),
	)
	return cmd
}

// brokerFlags say which broker is asked.
type brokerFlags struct {
	pin, seen, address string
	attempts           int
}

func (f *brokerFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.pin, "pin", "", "the broker that \"cloister broker owner attest\" kept in `FILE`")
	flags.StringVar(&f.seen, "seen", "", "keep the newest checkpoint that was seen in `FILE` instead of beside the pin, with .seen at its end")
	flags.StringVar(&f.address, "address", "", "look for the broker at `HOST:PORT` instead of where it was attested")
	f.attemptsFlag(cmd)
	if err := cmd.MarkFlagRequired("pin"); err != nil {
		panic(err) // the flag is declared above
	}
}

// attemptsFlag adds the flag that says how long a broker is waited for. By default
// that is long enough for one that starts.
func (f *brokerFlags) attemptsFlag(cmd *cobra.Command) {
	const attempts = 8
	cmd.Flags().IntVar(&f.attempts, "attempts", attempts, "try `N` times, some seconds apart, to reach a broker that does not answer")
}

func (f *brokerFlags) seenFile() string {
	if f.seen != "" {
		return f.seen
	}
	return f.pin + ".seen"
}

// maxKnown bounds the files of brokerFlags.
const maxKnown = 128 << 10

// known reads the pin.
func (f *brokerFlags) known(a *app) (*broker.Known, error) {
	text, err := a.readSmall(f.pin, maxKnown)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, inputError(`"cloister broker owner attest" makes it`, "--pin: %w", err)
		}
		return nil, err
	}
	k, err := broker.ParseKnown(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.pin, err)
	}
	if f.address != "" {
		k.Address = f.address
	}
	return k, nil
}

// options are those of a client of a broker that is known.
func (f *brokerFlags) options(k *broker.Known) broker.ClientOptions {
	return broker.ClientOptions{Address: k.Address, Pin: *k.Pin(), Log: k.Log, Attempts: f.attempts}
}

// contact is a broker that was reached: it is the one that is pinned, and its log
// goes on from what was seen last.
type contact struct {
	app    *app
	flags  *brokerFlags
	client *broker.Client
	known  *broker.Known
	info   *broker.Info
	seen   *broker.Seen
	// policy is the one in force, nil before the first is approved.
	policy *policy.Policy
	text   *broker.PolicyText
	before *policy.Policy // in force before this command changed it
}

// contact reaches the broker. The caller closes the client.
func (a *app) contact(ctx context.Context, f *brokerFlags) (*contact, error) {
	c := &contact{app: a, flags: f}
	var err error
	if c.known, err = f.known(a); err != nil {
		return nil, err
	}
	if c.seen, err = a.readSeen(f, c.known); err != nil {
		return nil, err
	}
	o := f.options(c.known)
	o.Seen = c.seen
	if c.client, err = broker.NewClient(o); err != nil {
		return nil, err
	}
	if err := c.begin(ctx); err != nil {
		c.client.Close()
		return nil, err
	}
	return c, nil
}

func (c *contact) begin(ctx context.Context) (err error) {
	if c.info, err = c.client.Info(ctx); err != nil {
		return err
	}
	if !c.info.Policy.IsZero() {
		if err := c.readPolicy(ctx); err != nil {
			return err
		}
	}
	return c.look(ctx)
}

func (c *contact) readPolicy(ctx context.Context) (err error) {
	if c.text, err = c.client.PolicyText(ctx); err != nil {
		return err
	}
	if c.policy, err = policy.Parse("the policy in force", []byte(c.text.Text)); err != nil {
		return err
	}
	if c.policy.Hash() != c.text.Hash {
		return fmt.Errorf("the broker says that its policy has the hash %s, and it is %s: %w", c.text.Hash, c.policy.Hash(), audit.ErrTampered)
	}
	return nil
}

// look compares the log with what was seen last, and remembers it.
func (c *contact) look(ctx context.Context) error {
	_, err := c.client.Look(ctx, c.known, c.seen)
	if isAnswer(err, broker.CodeNotFound) && c.seen.Checkpoint == "" {
		return nil // nothing is co-signed yet
	}
	if err != nil {
		return err
	}
	if c.policy != nil {
		_, err = broker.CheckWitnessed(c.known.Log, c.seen.Checkpoint, c.policy)
		// The witnesses of before co-sign that there are others now.
		if err != nil && c.before != nil {
			_, err = broker.CheckWitnessed(c.known.Log, c.seen.Checkpoint, c.before)
		}
		if err != nil {
			return err
		}
	}
	return c.app.writeSeen(c.flags, c.seen)
}

// done remembers that what the broker did is in its log, as the client has proven.
func (c *contact) done(ctx context.Context, r *broker.Receipt) error {
	if err := c.look(ctx); err != nil {
		return err
	}
	last, err := c.seen.Last()
	if err == nil && (last == nil || last.Size <= r.Index) {
		err = fmt.Errorf("the broker's log does not have the entry %d that it gave a receipt for: %w", r.Index, audit.ErrTampered)
	}
	return err
}

func isAnswer(err error, code broker.Code) bool {
	var answer *broker.AnswerError
	return errors.As(err, &answer) && answer.Code == code
}

// readSeen reads the last checkpoint that was seen.
func (a *app) readSeen(f *brokerFlags, k *broker.Known) (*broker.Seen, error) {
	text, err := a.readSmall(f.seenFile(), maxKnown)
	if errors.Is(err, fs.ErrNotExist) {
		if f.seen != "" || f.pin != "" {
			a.log.Warn("no checkpoint of this broker's log was seen before: whether its store is an older copy cannot be told", "file", f.seenFile())
		}
		return &broker.Seen{Format: broker.SeenFormat, Broker: k.Broker, FirstPolicy: k.FirstPolicy}, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := broker.ParseSeen(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.seenFile(), err)
	}
	return s, nil
}

func (a *app) writeSeen(f *brokerFlags, s *broker.Seen) error { return writeState(f.seenFile(), s) }

// writeState writes a small file in JSON, which others need not read.
func writeState(path string, v any) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	return writePrivate(path, text)
}

// writePrivate writes a file that only its owner can read.
func writePrivate(path string, text []byte) error {
	// Before anything is in it; a new version takes over what the old one permits.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		if err := f.Close(); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	default:
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			if err := os.Chmod(path, 0o600); err != nil {
				return err
			}
		}
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// stampOf is a time as it is shown.
func stampOf(t time.Time) string { return t.UTC().Format(time.RFC3339) }
