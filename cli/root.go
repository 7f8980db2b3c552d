package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// rootLong is the program's description.
const rootLong = `Cloister trains the models that data teams already train with LightGBM, on data
that the machine's owner must not see.

Commands that train and predict take LightGBM's KEY=VALUE arguments beside the
flags. Results for programs go to standard output (--json), everything for
people to standard error.`

// NewCommand returns the tree of commands, for those who generate references
// from it.
func NewCommand() *cobra.Command {
	return newApp(strings.NewReader(""), io.Discard, io.Discard).newRootCommand()
}

func (a *app) newRootCommand() *cobra.Command {
	var (
		format  string
		verbose int
		quiet   bool
	)
	root := &cobra.Command{
		Use:               "cloister",
		Short:             "Train machine learning models on confidential data",
		Long:              rootLong,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              a.unknownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			a.quiet, a.verbose = quiet, verbose > 0
			return a.setLogging(format, verbose, quiet)
		},
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print the result, or the error, as JSON on standard output")
	flags.StringVar(&format, "log-format", "text", "write messages as `text` or json")
	flags.CountVarP(&verbose, "verbose", "v", "tell more")
	flags.BoolVarP(&quiet, "quiet", "q", false, "tell only warnings and errors")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.console)
	root.SetFlagErrorFunc(flagError)
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp
	}
	if err := root.RegisterFlagCompletionFunc("log-format", complete); err != nil {
		panic(err) // the flag is declared above
	}
	root.AddCommand(
		a.newTrainCommand(),
		a.newPredictCommand(),
		a.newInspectCommand(),
		a.newAttestCommand(),
		a.newBrokerCommand(),
		a.newVersionCommand(),
	)
	root.InitDefaultCompletionCmd()
	return root
}

// flagError turns an error about flags into one of ours.
func flagError(cmd *cobra.Command, err error) error {
	return inputError(fmt.Sprintf("%q lists the flags", cmd.CommandPath()+" --help"), "%w", err)
}

// unknownCommand refuses the arguments of a command line without a command.
func (a *app) unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	advice := `"cloister --help" lists the commands`
	cmd.SuggestionsMinimumDistance = 2
	switch near := cmd.SuggestionsFor(args[0]); {
	case strings.Contains(args[0], "="):
		advice = fmt.Sprintf("did you mean %q?", "cloister train "+strings.Join(args, " "))
	case len(near) > 0:
		advice = fmt.Sprintf("did you mean %q?", "cloister "+near[0])
	}
	return inputError(advice, "unknown command %q", args[0])
}

// noArguments refuses arguments where a command takes none.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return inputError("", "%q takes no arguments, not %q", cmd.CommandPath(), args[0])
}
