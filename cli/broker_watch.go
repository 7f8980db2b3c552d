package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"cloister/trust/broker"
	"cloister/trust/broker/audit"
)

// brokerWatchFlags are those of "cloister broker watch".
type brokerWatchFlags struct {
	peer   brokerPeer
	filter brokerAuditFlags
	from   int64
}

const brokerWatchLong = `Print the entries of the audit log as they are co-signed, until it is interrupted.

It begins with what comes next, or with the entry --from. When the connection is
lost it is made again, and goes on with the entry after the last, so that none is
missed and none comes twice. With --json each entry is one line. It shows what the
broker says; "cloister broker audit" proves it.`

func (a *app) newBrokerWatchCommand() *cobra.Command {
	f := &brokerWatchFlags{}
	cmd := &cobra.Command{
		Use:     "watch --pin FILE --client-key FILE",
		Short:   "Follow what the broker does",
		Long:    brokerWatchLong + "\n\n" + brokerPeerLong,
		Example: "  cloister broker watch --pin pin.json --client-key admin.pem --decision refused",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.brokerWatch(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	f.peer.flags(flags)
	flags.Int64Var(&f.from, "from", -1, "begin with the entry `INDEX`, of which the first is 0")
	flags.StringSliceVar(&f.filter.types, "type", nil, "print entries of a `TYPE`, or of all that begin with it and a dot")
	flags.StringSliceVar(&f.filter.owners, "owner", nil, "print entries about an owner, `NAME`, or what is the owner's")
	flags.StringVar(&f.filter.decision, "decision", "", "print entries that were `granted` or refused")
	return cmd
}

func (a *app) brokerWatch(ctx context.Context, f *brokerWatchFlags) error {
	if err := f.filter.checkDecision(); err != nil {
		return err
	}
	client, _, err := a.dialBroker(&f.peer)
	if err != nil {
		return err
	}
	defer client.Close()
	if f.from < 0 {
		c, err := client.Checkpoint(ctx)
		var none *broker.AnswerError
		switch {
		case err == nil:
			f.from = c.Size
		case errors.As(err, &none) && none.Code == broker.CodeNotFound: // nothing is co-signed yet
			f.from = 0
		default:
			return err
		}
	}
	err = client.Watch(ctx, f.from, func(index int64, line []byte) error { return a.showWatched(f, index, line) }, func(err error) {
		if err != nil {
			a.log.Warn("the stream ended and is opened again", "error", err)
		}
	})
	if ctx.Err() != nil {
		return nil // it was told to end, which is how it ends
	}
	return err
}

func (a *app) showWatched(f *brokerWatchFlags, index int64, line []byte) error {
	e, err := audit.ParseEntry(line)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	switch {
	case !f.filter.shows(e):
		return nil
	case !a.json:
		return a.print(entryText(index, e))
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(auditEntry{index, e}); err != nil {
		return err
	}
	return a.print(b.String())
}
