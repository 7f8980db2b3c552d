package cli

import "github.com/spf13/cobra"

const brokerLong = `The key broker releases keys, secrets and certificates to measured programs that
its policy names, and to nobody else.`

func (a *app) newBrokerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Release keys to measured programs, by a policy",
		Long:  brokerLong,
		Args:  unknownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.newBrokerAuditCommand(),
		a.newBrokerBackupCommand(),
		a.newBrokerCheckCommand(),
		a.newBrokerGetCommand(),
		a.newBrokerOwnerCommand(),
		a.newBrokerPolicyCommand(),
		a.newBrokerRestoreCommand(),
		a.newBrokerServeCommand(),
		a.newBrokerWatchCommand(),
		a.newBrokerWitnessCommand(),
	)
	return cmd
}

// unknownSubcommand refuses the arguments of a command that only has others.
func unknownSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return inputError(`"`+cmd.CommandPath()+` --help" lists the commands`, "unknown command %q for %q", args[0], cmd.CommandPath())
}
