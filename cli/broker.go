package cli

import "github.com/spf13/cobra"

// newBrokerCommand is the key broker.
func (a *app) newBrokerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "The key broker: it releases owners' keys to attested programs alone",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newBrokerServeCommand())
	return cmd
}
