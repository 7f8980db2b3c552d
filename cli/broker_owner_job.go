package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloister/trust/broker"
)

const ownerJobLong = `Approve jobs, for workloads of the policy that run what owners approved. A job is
known by its SHA-256. Every owner of what it asks for must approve it, for a number
of runs and until a time.`

func (a *app) newOwnerJobCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "job",
		Short: "Approve and revoke jobs",
		Long:  ownerJobLong,
		Args:  unknownSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newJobApproveCommand(), a.newJobRevokeCommand())
	return cmd
}

func jobOf(text string) (job broker.Digest, err error) {
	if err := job.UnmarshalText([]byte(strings.TrimPrefix(text, "sha256:"))); err != nil {
		return job, inputError("", "the job: %w", err)
	}
	if job.IsZero() {
		return job, errors.New("the job: zeros stand for none")
	}
	return job, nil
}

func (a *app) newJobApproveCommand() *cobra.Command {
	f := &orderFlags{}
	runs, expires := uint64(1), time.Duration(0)
	cmd := &cobra.Command{
		Use:     "approve HASH",
		Short:   "Approve a job",
		Long:    "Approve a job for a number of runs and until a time. A later approval replaces it.",
		Example: "  cloister broker owner job approve sha256:5a5a… --runs 1 --for 24h --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    oneArgument("the SHA-256 of one job"),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := jobOf(args[0])
			if err != nil {
				return err
			}
			return a.order(cmd.Context(), f, func(c *contact) (*broker.Order, error) {
				return &broker.Order{Operation: broker.ApproveJob, Job: job, Runs: runs, Expires: c.info.Time.Add(expires).UTC().Truncate(time.Second)}, nil
			}, func(*broker.OrderAnswer) string {
				return fmt.Sprintf("job sha256:%s may run, %s in all\n", job, counted(int(min(runs, 1<<30)), "time"))
			})
		},
	}
	f.flags(cmd)
	f.named(cmd)
	cmd.Flags().Uint64Var(&runs, "runs", 1, "how often it may run in all")
	cmd.Flags().DurationVar(&expires, "for", 24*time.Hour, "how long the approval counts")
	return cmd
}

func (a *app) newJobRevokeCommand() *cobra.Command {
	f := &orderFlags{}
	cmd := &cobra.Command{
		Use:     "revoke HASH",
		Short:   "Take back the approval of a job",
		Long:    "Take back the approval of a job: it gets nothing of this owner's any more.",
		Example: "  cloister broker owner job revoke sha256:5a5a… --pin clinics.pin --key ~/.ssh/id_ed25519",
		Args:    oneArgument("the SHA-256 of one job"),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := jobOf(args[0])
			if err != nil {
				return err
			}
			return a.order(cmd.Context(), f, func(*contact) (*broker.Order, error) {
				return &broker.Order{Operation: broker.RevokeJob, Job: job}, nil
			}, func(*broker.OrderAnswer) string { return fmt.Sprintf("job sha256:%s may not run any more\n", job) })
		},
	}
	f.flags(cmd)
	f.named(cmd)
	return cmd
}
