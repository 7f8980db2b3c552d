package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"cloister/trust/approval"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
)

// savedOrder is an order that is not given yet, with what is signed and the
// signatures so far: the file of --save.
type savedOrder struct {
	Format      string                `json:"format"`
	Broker      string                `json:"broker"`
	FirstPolicy broker.Digest         `json:"first_policy"`
	Order       *broker.Order         `json:"order,omitempty"`
	Freeze      *broker.FreezeRequest `json:"freeze,omitempty"`
	Confirm     *broker.Confirmation  `json:"confirm,omitempty"`
	Signatures  []string              `json:"signatures"`
}

const savedOrderFormat = "cloister-owner-order/1"

// statement is what is signed, and for what. It follows from the order: a file
// that says otherwise does not count.
func (s *savedOrder) statement() (approval.Purpose, []byte) {
	switch {
	case s.Order != nil:
		return s.Order.Purpose(), s.Order.Statement(s.Broker, s.FirstPolicy)
	case s.Confirm != nil:
		return approval.ForRestore, s.Confirm.Statement(s.Broker, s.FirstPolicy)
	}
	f := &policy.Freeze{
		Broker: policy.Name(s.Broker), First: policy.Hash(s.FirstPolicy), Owner: s.Freeze.Owner, Number: s.Freeze.Number, Thaw: s.Freeze.Thaw,
	}
	purpose := approval.ForFreeze
	if s.Freeze.Thaw {
		purpose = approval.ForUnfreeze
	}
	return purpose, f.Statement()
}

// give has the broker carry out an order, or saves it.
func (c *contact) give(ctx context.Context, f *orderFlags, s *savedOrder) (*broker.OrderAnswer, error) {
	if saved, err := c.prepare(f, s); saved || err != nil {
		return nil, err
	}
	return c.send(ctx, s)
}

// prepare signs an order, and says whether it was saved instead of being given.
func (c *contact) prepare(f *orderFlags, s *savedOrder) (saved bool, err error) {
	s.Format, s.Broker, s.FirstPolicy = savedOrderFormat, c.known.Broker, c.known.FirstPolicy
	purpose, statement := s.statement()
	if f.save == "" || len(f.sign.keys) > 0 {
		if s.Signatures, err = f.sign.sign(c.app, purpose, statement); err != nil {
			return false, err
		}
	}
	if f.save == "" {
		return false, nil
	}
	if s.Signatures == nil {
		s.Signatures = []string{}
	}
	return true, writeState(f.save, s)
}

func (c *contact) send(ctx context.Context, s *savedOrder) (*broker.OrderAnswer, error) {
	var answer *broker.OrderAnswer
	var err error
	if s.Order != nil {
		answer, err = c.client.Order(ctx, &broker.OrderRequest{Order: *s.Order, Signatures: s.Signatures})
	} else {
		q := *s.Freeze
		q.Signatures = s.Signatures
		answer, err = c.client.Freeze(ctx, &q)
	}
	if err != nil {
		return nil, err
	}
	return answer, c.done(ctx, &answer.Receipt)
}

// tell prints what came of an order.
func (a *app) tell(answer *broker.OrderAnswer, save, text string) error {
	if answer == nil {
		if a.json {
			return a.printJSON(map[string]string{"saved": save})
		}
		return a.print("the order is in " + save + " and not given yet\n")
	}
	if a.json {
		return a.printJSON(answer)
	}
	return a.print(text + fmt.Sprintf("entry %d of the audit log\n", answer.Receipt.Index))
}

// order fills in the owner and the number, and gives the order.
func (a *app) order(ctx context.Context, f *orderFlags, build func(c *contact) (*broker.Order, error), text func(*broker.OrderAnswer) string) error {
	return a.orderThen(ctx, f, build, nil, text)
}

// orderThen also does something with the answer.
func (a *app) orderThen(ctx context.Context, f *orderFlags, build func(c *contact) (*broker.Order, error),
	then func(*broker.OrderAnswer) error, text func(*broker.OrderAnswer) string,
) error {
	c, err := a.contact(ctx, &f.broker)
	if err != nil {
		return err
	}
	defer c.client.Close()
	if c.policy == nil {
		return noPolicyYet()
	}
	o, err := build(c)
	if err != nil {
		return err
	}
	if o.Owner == "" {
		if o.Owner, err = f.ownerName(c); err != nil {
			return err
		}
	}
	all, err := c.client.Owners(ctx)
	if err != nil {
		return err
	}
	if o.Number, err = c.number(o.Owner, all); err != nil {
		return err
	}
	answer, err := c.give(ctx, f, &savedOrder{Order: o})
	if err != nil {
		return err
	}
	if answer != nil && then != nil {
		if err := then(answer); err != nil {
			return err
		}
	}
	shown := ""
	if answer != nil {
		shown = text(answer)
	}
	return a.tell(answer, f.save, shown)
}

const ownerFreezeLong = `Stop all releases of an owner's keys at once. Any one of the owner's keys does it,
the recovery key among them. Until "unfreeze", which needs as many keys as
anything else, the owner's other signatures count for nothing.`

const ownerUnfreezeLong = `Allow releases of an owner's keys again, after "freeze". As many of the owner's
keys must sign as for anything else.`

func (a *app) newOwnerFreezeCommand(thaw bool) *cobra.Command {
	f := &orderFlags{}
	name, short, long := "freeze", "Stop all releases of an owner's keys at once", ownerFreezeLong
	if thaw {
		name, short, long = "unfreeze", "Allow releases of an owner's keys again", ownerUnfreezeLong
	}
	cmd := &cobra.Command{
		Use:     name,
		Short:   short,
		Long:    long,
		Example: "  cloister broker owner " + name + " --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.ownerFreeze(cmd.Context(), f, thaw) },
	}
	f.flags(cmd)
	f.named(cmd)
	return cmd
}

func (a *app) ownerFreeze(ctx context.Context, f *orderFlags, thaw bool) error {
	c, err := a.contact(ctx, &f.broker)
	if err != nil {
		return err
	}
	defer c.client.Close()
	q := &broker.FreezeRequest{Thaw: thaw}
	if q.Owner, err = f.ownerName(c); err != nil {
		return err
	}
	all, err := c.client.Owners(ctx)
	if err != nil {
		return err
	}
	if q.Number, err = c.number(q.Owner, all); err != nil {
		return err
	}
	answer, err := c.give(ctx, f, &savedOrder{Freeze: q})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("nothing of %s is released any more\n", q.Owner)
	if thaw {
		text = fmt.Sprintf("the keys of %s are released again\n", q.Owner)
	}
	return a.tell(answer, f.save, text)
}

const ownerOrderLong = `Orders that are signed elsewhere, or by several keys of one owner.

--save of every command that gives an order writes it to a file instead of giving
it. "show" prints what is signed, "sign" adds a signature, "send" gives the order.
An owner who needs two of three keys saves the order with the first key, has a
second person sign it, and sends it. With a security token:

  cloister broker owner freeze --pin clinics.pin --owner hospital-a --save order.json
  cloister broker owner order show order.json > order
  ssh-keygen -Y sign -n PURPOSE -f ~/.ssh/id_ed25519_sk order
  cloister broker owner order send order.json --pin clinics.pin -s order.sig

PURPOSE is in the second line of what "show" prints. An order has a number, so
that it is carried out once: orders that are given in between make it void.`

func (a *app) newOwnerOrderCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "order",
		Short: "Show, sign and send orders that were saved",
		Long:  ownerOrderLong,
		Args:  unknownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newOrderShowCommand(), a.newOrderSignCommand(), a.newOrderSendCommand())
	return cmd
}

// readOrder reads a saved order.
func (a *app) readOrder(path string) (*savedOrder, error) {
	const maxBytes = 1 << 20
	text, err := a.readSmall(path, maxBytes)
	if err != nil {
		return nil, err
	}
	s := new(savedOrder)
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, inputError("", "%s: no saved order: %w", inputName(path), err)
	}
	kinds := 0
	for _, is := range []bool{s.Order != nil, s.Freeze != nil, s.Confirm != nil} {
		if is {
			kinds++
		}
	}
	if s.Format != savedOrderFormat || kinds != 1 {
		return nil, inputError("", "%s: no saved order of the format %s", inputName(path), savedOrderFormat)
	}
	return s, nil
}

func (a *app) newOrderShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "Print what is signed of an order",
		Long:    "Print what is signed of a saved order, byte for byte.",
		Example: "  cloister broker owner order show order.json",
		Args:    oneArgument("one saved order"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.readOrder(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(s)
			}
			_, statement := s.statement()
			return a.print(string(statement))
		},
	}
}

func (a *app) newOrderSignCommand() *cobra.Command {
	f := &signFlags{}
	cmd := &cobra.Command{
		Use:     "sign FILE",
		Short:   "Add a signature to an order",
		Long:    "Add signatures to a saved order, in its file. What is signed is shown on standard error.",
		Example: "  cloister broker owner order sign order.json --key ~/.ssh/id_ed25519",
		Args:    oneArgument("one saved order"),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.readOrder(args[0])
			if err != nil {
				return err
			}
			purpose, statement := s.statement()
			more, err := f.sign(a, purpose, statement)
			if err != nil {
				return err
			}
			s.Signatures = append(s.Signatures, more...)
			return writeState(args[0], s)
		},
	}
	f.flags(cmd)
	f.external(cmd)
	return cmd
}

func (a *app) newOrderSendCommand() *cobra.Command {
	f := &orderFlags{}
	cmd := &cobra.Command{
		Use:     "send FILE",
		Short:   "Give an order that was saved",
		Long:    "Give a saved order to the broker, with the signatures in its file and those that are named.",
		Example: "  cloister broker owner order send order.json --pin clinics.pin -s order.sig",
		Args:    oneArgument("one saved order"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sendOrder(cmd.Context(), f, args[0])
		},
	}
	f.broker.flags(cmd)
	f.sign.flags(cmd)
	f.sign.external(cmd)
	return cmd
}

func (a *app) sendOrder(ctx context.Context, f *orderFlags, path string) error {
	s, err := a.readOrder(path)
	if err != nil {
		return err
	}
	reach := a.contact
	if s.Confirm != nil {
		reach = a.reach
	}
	c, err := reach(ctx, &f.broker)
	if err != nil {
		return err
	}
	defer c.client.Close()
	if s.Broker != c.known.Broker || s.FirstPolicy != c.known.FirstPolicy {
		return &Error{Code: ExitRefused, Err: fmt.Errorf("%s: %w: the order is for the broker %.80q with the first policy %s", path, broker.ErrRefused, s.Broker, s.FirstPolicy)}
	}
	if len(f.sign.keys)+len(f.sign.signatures) > 0 {
		purpose, statement := s.statement()
		more, err := f.sign.sign(a, purpose, statement)
		if err != nil {
			return err
		}
		s.Signatures = append(s.Signatures, more...)
	}
	if s.Confirm != nil {
		return a.sendConfirmation(ctx, c, s)
	}
	answer, err := c.send(ctx, s)
	if err != nil {
		return err
	}
	return a.tell(answer, "", "the order is carried out\n")
}
