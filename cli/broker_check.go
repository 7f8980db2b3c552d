package cli

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/verifiers"
	"cloister/trust/document"
)

const brokerCheckLong = `Say what a program would get under a policy, and why not, without a broker: the
evidence is verified with the roots of trust and the rules that the policy names,
and compared with each of its entries. "-" is standard input.

Evidence in a file is a recording: that it is fresh, and binds the key and the job
of whoever asks, is what a broker checks besides.

The exit code is 0 if an entry accepts the program, 3 if none does or if the
evidence is refused.`

const brokerCheckExample = `  cloister broker check policy.yaml --evidence evidence.json
  cloister broker check policy.yaml --evidence quote.bin --collateral=online`

// brokerCheck is what "cloister broker check" was asked.
type brokerCheck struct {
	policy   string
	evidence string
	verify   verifyOptions
	frozen   []string
}

// checkedEvidence is what "cloister broker check --json" prints.
type checkedEvidence struct {
	Policy    policy.Hash         `json:"policy"`
	At        time.Time           `json:"at"`
	Verified  bool                `json:"verified"`
	Error     string              `json:"error,omitempty"`
	Evidence  []attest.Check      `json:"evidence_checks"`
	Claims    *attest.Claims      `json:"claims,omitempty"`
	Explained *policy.Explanation `json:"explanation,omitempty"`
}

func (a *app) newBrokerCheckCommand() *cobra.Command {
	var opt brokerCheck
	cmd := &cobra.Command{
		Use:     "check POLICY --evidence FILE",
		Short:   "Say what a program would get under a policy, and why not",
		Long:    brokerCheckLong,
		Example: brokerCheckExample,
		Args:    policyFiles(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.policy = args[0]
			return a.brokerCheck(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opt.evidence, "evidence", "", "the evidence in `FILE`, in any form that \"cloister attest show\" reads")
	opt.verify.collateralOptions.flags(flags)
	flags.StringVar(&opt.verify.roots, "roots", "", "the certificates in `FILE` of roots that the policy names by their hash")
	flags.StringSliceVar(&opt.frozen, "frozen", nil, "`OWNERS` who have frozen their keys")
	if err := cmd.MarkFlagRequired("evidence"); err != nil {
		panic(err) // the flag is declared above
	}
	return cmd
}

func (a *app) brokerCheck(ctx context.Context, opt brokerCheck) error {
	if opt.policy == "-" && opt.evidence == "-" {
		return inputError("name a file for one of them", "policy and evidence cannot both be standard input")
	}
	now, err := verifyTime(opt.verify.at)
	if err != nil {
		return err
	}
	p, err := a.readPolicy(opt.policy)
	if err != nil {
		return err
	}
	frozen := make([]policy.Name, len(opt.frozen))
	for i, name := range opt.frozen {
		if frozen[i] = policy.Name(name); p.Owners[frozen[i]] == nil {
			return inputError("", "--frozen: there is no owner %s in the policy", document.Quote(name))
		}
	}
	r, err := a.readEvidence(opt.evidence)
	if err != nil {
		return err
	}
	clock := func() time.Time { return now }
	vs, err := opt.verifiers(p, clock)
	if err != nil {
		return err
	}
	found, err := verifyRecognized(ctx, vs, r, now)
	if err != nil && !errors.Is(err, attest.ErrRefused) {
		return opt.verify.unreachable(err)
	}
	out := checkedEvidence{Policy: p.Hash(), At: now.UTC(), Verified: err == nil, Evidence: found.Checks}
	if err == nil {
		out.Claims, out.Explained = &found.Claims, p.Explain(&found.Claims, frozen, now)
		if !out.Explained.Accepted {
			err = fmt.Errorf("%w: no entry of the policy accepts the program", policy.ErrRefused)
		}
	}
	return a.showChecked(&out, err)
}

// verifiers are those that the policy asks for.
func (o *brokerCheck) verifiers(p *policy.Policy, now func() time.Time) (platforms.Verifiers, error) {
	intel, err := o.verify.intelSource(now)
	if err != nil {
		return nil, err
	}
	amd, err := o.verify.amdSource(now)
	if err != nil {
		return nil, err
	}
	var roots []*ecdsa.PublicKey
	if o.verify.roots != "" {
		if roots, _, err = readRoots(o.verify.roots); err != nil {
			return nil, err
		}
	}
	vs, err := verifiers.New(p, verifiers.Options{Now: now, Intel: intel, AMD: amd, Roots: roots})
	if err != nil {
		return nil, inputError("--roots=FILE takes certificates of other roots", "%s: %w", o.policy, err)
	}
	return vs, nil
}

// showChecked prints what was found, and returns the error that refuses.
func (a *app) showChecked(out *checkedEvidence, refused error) error {
	if a.json {
		if refused != nil {
			out.Error = refused.Error()
		}
		if err := a.printJSON(out); err != nil {
			return err
		}
		if refused != nil {
			return &Error{Code: ExitRefused, Err: refused, Shown: true}
		}
		return nil
	}
	text := ""
	for _, c := range out.Evidence {
		if !c.Passed {
			text += fmt.Sprintf("FAILED  %s: %s\n", c.Name, printable(c.Detail))
		}
	}
	if out.Verified {
		text += fmt.Sprintf("evidence of %s: verified, %d checks passed\n\n%s", out.Claims.Platform, len(out.Evidence), out.Explained)
	}
	if err := a.print(text); err != nil {
		return err
	}
	if refused != nil {
		return &Error{Code: ExitRefused, Err: refused}
	}
	return nil
}
