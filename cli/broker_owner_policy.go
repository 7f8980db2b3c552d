package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cloister/trust/approval"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
	"cloister/trust/document"
)

const ownerStatusLong = `Show what a broker says of itself, after proving that it is the one that is pinned
and that its audit log goes on from what was seen last: the policy in force, what
waits for signatures or for its delay, and the state of each owner.`

// brokerStatus is what "cloister broker owner status --json" prints.
type brokerStatus struct {
	Info    *broker.Info           `json:"info"`
	Log     int64                  `json:"log_entries"`
	Owners  []broker.OwnerState    `json:"owners"`
	Pending []broker.PendingPolicy `json:"pending"`
}

func (a *app) newOwnerStatusCommand() *cobra.Command {
	f := &brokerFlags{}
	cmd := &cobra.Command{
		Use:     "status --pin FILE",
		Short:   "Show the state of a broker, and check that it is still the one",
		Long:    ownerStatusLong,
		Example: "  cloister broker owner status --pin clinics.pin",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.ownerStatus(cmd.Context(), f) },
	}
	f.flags(cmd)
	return cmd
}

func (a *app) ownerStatus(ctx context.Context, f *brokerFlags) error {
	c, err := a.contact(ctx, f)
	if err != nil {
		return err
	}
	defer c.client.Close()
	s := &brokerStatus{Info: c.info}
	if last, err := c.seen.Last(); err != nil {
		return err
	} else if last != nil {
		s.Log = last.Size
	}
	if s.Owners, err = c.client.Owners(ctx); err != nil {
		return err
	}
	if s.Pending, err = c.client.Pending(ctx); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(s)
	}
	t := &rows{}
	t.add("log", "%d entries, and they go on from what was seen before", s.Log)
	for _, o := range s.Owners {
		state := fmt.Sprintf("gave %s", counted(int(min(o.Number, 1<<30)), "order"))
		if o.Frozen {
			state = "has FROZEN all releases; " + state
		}
		t.add("owner "+string(o.Owner), "%s", state)
	}
	return a.print(describeBroker(c.known, c.info) + t.String() + describePending(s.Pending))
}

func describePending(all []broker.PendingPolicy) string {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "\nversion %d, %s, waits\n", p.Version, p.Hash)
		if len(p.Approved) > 0 {
			fmt.Fprintf(&b, "  signed by %s\n", joinNames(p.Approved))
		}
		for _, m := range p.Missing {
			fmt.Fprintf(&b, "  %s\n", printable(m))
		}
		if !p.Until.IsZero() {
			fmt.Fprintf(&b, "  takes effect at %s\n", stampOf(p.Until))
		}
	}
	return b.String()
}

const ownerChangesLong = `List the versions of the policy that wait at the broker, or print one of them as
its proposer wrote it. "-" stands for the policy in force.`

func (a *app) newOwnerChangesCommand() *cobra.Command {
	f := &brokerFlags{}
	cmd := &cobra.Command{
		Use:   "changes [HASH]",
		Short: "Show the versions of the policy that wait",
		Long:  ownerChangesLong,
		Example: `  cloister broker owner changes --pin clinics.pin
  cloister broker owner changes sha256:5a5a… --pin clinics.pin > proposed.yaml
  cloister broker owner changes - --pin clinics.pin > in-force.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return inputError("", "name one version, not %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.ownerChanges(cmd.Context(), f, args) },
	}
	f.flags(cmd)
	return cmd
}

func (a *app) ownerChanges(ctx context.Context, f *brokerFlags, args []string) error {
	c, err := a.contact(ctx, f)
	if err != nil {
		return err
	}
	defer c.client.Close()
	if len(args) == 1 && args[0] == "-" {
		if c.text == nil {
			return noPolicyYet()
		}
		return a.print(c.text.Text)
	}
	all, err := c.client.Pending(ctx)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		if a.json {
			return a.printJSON(&broker.PendingAnswer{Pending: all})
		}
		if len(all) == 0 {
			return a.print("nothing waits\n")
		}
		return a.print(strings.TrimPrefix(describePending(all), "\n"))
	}
	for _, p := range all {
		if p.Hash.String() == args[0] {
			return a.print(p.Text)
		}
	}
	return inputError(`"cloister broker owner changes" lists them`, "no version with the hash %.80q waits", args[0])
}

const ownerApproveLong = `Sign a version of the policy and hand it in. The first owner who does so proposes
it; it takes effect once all have signed whose signatures it needs, and after its
delay. What is signed is the difference to the policy in force, which is shown on
standard error, exactly as "cloister broker policy diff" prints it.

A signature may be made elsewhere, such as with a key in a security token: see
"cloister broker policy diff --help". A recovery key replaces an owner's others.

The exit code is 0 as soon as the signature was taken. --json says whether the
change took effect, what is missing, and how long it waits.`

const ownerApproveExample = `  cloister broker owner approve policy.yaml --pin clinics.pin --key ~/.ssh/id_ed25519
  cloister broker owner approve policy.yaml --pin clinics.pin -s change.sig`

// ownerApprove are the flags of "cloister broker owner approve".
type ownerApprove struct {
	broker brokerFlags
	sign   signFlags
}

func (a *app) newOwnerApproveCommand() *cobra.Command {
	opt := &ownerApprove{}
	cmd := &cobra.Command{
		Use:     "approve POLICY",
		Aliases: []string{"propose"},
		Short:   "Propose or approve a version of the policy",
		Long:    ownerApproveLong,
		Example: ownerApproveExample,
		Args:    policyFiles(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.ownerApprove(cmd.Context(), opt, args[0]) },
	}
	opt.broker.flags(cmd)
	opt.sign.flags(cmd)
	opt.sign.external(cmd)
	return cmd
}

func (a *app) ownerApprove(ctx context.Context, opt *ownerApprove, path string) error {
	text, err := a.readSmall(path, document.MaxBytes)
	if err != nil {
		return err
	}
	next, err := policy.Parse(inputName(path), text)
	if err != nil {
		return err
	}
	c, err := a.contact(ctx, &opt.broker)
	if err != nil {
		return err
	}
	defer c.client.Close()
	if hash := broker.Digest(next.Hash()); c.policy == nil && hash != c.known.FirstPolicy {
		return fmt.Errorf("%w: the broker waits for the policy sha256:%s, and %s is %s", policy.ErrRefused, c.known.FirstPolicy, inputName(path), next.Hash())
	}
	change, err := policy.Compare(c.policy, next)
	if err != nil {
		return fmt.Errorf("%s: %w", inputName(path), err)
	}
	signatures, err := opt.sign.sign(a, approval.ForPolicy, change.Statement())
	if err != nil {
		return err
	}
	a.tellChange(change)
	answer, err := c.client.Submit(ctx, &broker.PolicyRequest{Policy: string(text), Signatures: signatures})
	if err != nil {
		return err
	}
	if err := c.changed(ctx, answer); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(answer)
	}
	return a.print(describeAnswer(answer))
}

// changed looks at the log after a change that may have taken effect.
func (c *contact) changed(ctx context.Context, answer *broker.PolicyAnswer) error {
	if answer.Receipt == nil {
		return nil
	}
	c.before = c.policy
	if err := c.readPolicy(ctx); err != nil {
		return err
	}
	return c.done(ctx, answer.Receipt)
}

func describeAnswer(p *broker.PolicyAnswer) string {
	text := fmt.Sprintf("version %d, %s\n", p.Version, p.Hash)
	if len(p.Approved) > 0 {
		text += "signed by " + joinNames(p.Approved) + "\n"
	}
	for _, m := range p.Missing {
		text += printable(m) + "\n"
	}
	switch {
	case p.Applied:
		text += "it is in force\n"
	case !p.Until.IsZero():
		text += "it takes effect at " + stampOf(p.Until) + "\n"
	}
	return text
}
