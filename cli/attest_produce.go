package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
)

const attestProduceLong = `Make evidence of this program on this machine, as JSON. Which platform this is
is found out, or named; one that is named and is not there is an error.

The report data are what a verifier wants to see in the evidence: --report-data,
or what they are made of, --nonce, --key and --job. Without them they are zeros,
and nobody can tell such evidence from an old recording.

insecure-none works everywhere and protects nothing: its evidence is signed by a
key in a file of this machine, which is made when it is needed first.`

const attestProduceExample = `  cloister attest produce --nonce=1f0c… --key=client.pub -o evidence.json
  cloister attest produce --platform=insecure-none | cloister attest show -`

// produceOptions are the flags of "cloister attest produce".
type produceOptions struct {
	platform   string
	output     string
	keys       string
	reportData reportDataOptions
}

func (a *app) newAttestProduceCommand() *cobra.Command {
	var opt produceOptions
	cmd := &cobra.Command{
		Use:     "produce",
		Short:   "Make evidence on this machine",
		Long:    attestProduceLong,
		Example: attestProduceExample,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.attestProduce(cmd.Context(), opt)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opt.platform, "platform", "", "make evidence of `PLATFORM`: sgx, tdx, snp or insecure-none, instead of finding out")
	opt.reportData.flags(cmd)
	flags.StringVarP(&opt.output, "output", "o", "-", "write the evidence to `FILE`")
	flags.StringVar(&opt.keys, "insecure-key-dir", "", "keep insecure-none's machine key in `DIR` instead of the user's configuration directory")
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, p := range platforms.All() {
			names = append(names, string(p))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("platform", complete); err != nil {
		panic(err) // the flag is declared above
	}
	return cmd
}

// attestProduce makes evidence and writes it.
func (a *app) attestProduce(ctx context.Context, opt produceOptions) error {
	reportData, err := opt.reportData.value(a)
	if err != nil {
		return err
	}
	if reportData == nil {
		reportData = new(attest.ReportData)
	}
	keys, err := machineKeyDirectory(opt.keys)
	if err != nil {
		return err
	}
	system := platforms.ThisSystem(keys)
	var platform attest.Platform
	if opt.platform != "" {
		if platform, err = attest.ParsePlatform(opt.platform); err != nil {
			return inputError("", "--platform: %w", err)
		}
	} else {
		found, err := system.Detect()
		if err != nil {
			return err
		}
		platform = found.Platform
		a.log.Info("platform", "is", string(platform), "why", found.Why)
	}
	producer, err := system.NewProducer(platform)
	if err != nil {
		return err
	}
	if platform == attest.InsecureNone {
		a.log.Warn("insecure-none protects nothing: the machine's owner can read everything and forge this evidence")
	}
	evidence, err := producer.Produce(ctx, *reportData)
	if err != nil {
		return err
	}
	return a.writeEvidence(opt.output, evidence)
}

func (a *app) writeEvidence(path string, e *attest.Evidence) error {
	if _, err := platforms.Encode(e); err != nil {
		return err
	}
	text, err := marshal(e)
	if err != nil {
		return err
	}
	out, err := a.createOutput(path)
	if err != nil {
		return err
	}
	defer out.abort()
	if _, err := out.Write(text); err != nil {
		return err
	}
	return out.commit()
}

// machineKeyDirectory is where insecure-none's key is kept.
func machineKeyDirectory(named string) (string, error) {
	if strings.TrimSpace(named) != "" {
		return named, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", inputError("set HOME, or give --insecure-key-dir", "there is no place for insecure-none's machine key: %w", err)
	}
	return filepath.Join(dir, "cloister"), nil
}
