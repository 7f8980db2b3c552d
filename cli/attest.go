package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cloister/trust/attest/platforms"
	"cloister/trust/attest/ratls"
)

const attestLong = `Evidence is what a program shows of itself: a quote of SGX or TDX, an attestation
report of SEV-SNP, or the signed document of insecure-none, which protects
nothing. Show reads it, verify finds out whether it is true, produce makes it on
this machine.

Files are told apart by their content: evidence in JSON, raw quotes, raw SNP
reports with or without their certificates, RA-TLS certificates of Gramine in
PEM. docs/reference/evidence.md describes each, byte by byte.`

func (a *app) newAttestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attest",
		Short: "Show, verify and make evidence",
		Long:  attestLong,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return inputError(`"cloister attest --help" lists the commands`, "unknown command %q for %q", args[0], cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.newAttestShowCommand(), a.newAttestVerifyCommand(), a.newAttestProduceCommand())
	return cmd
}

// oneEvidence demands one argument.
func oneEvidence(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return inputError(fmt.Sprintf(`for example "%s evidence.json"`, cmd.CommandPath()), "name one file of evidence, not %d", len(args))
}

// readEvidence reads evidence in any form from a file, or standard input for "-".
func (a *app) readEvidence(path string) (*platforms.Recognized, error) {
	b, err := a.readSmall(path, platforms.MaxEvidence)
	if err != nil {
		return nil, err
	}
	r, err := platforms.Recognize(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", inputName(path), err)
	}
	return r, nil
}

// inputName is what messages call a file.
func inputName(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// readSmall reads a whole file, or standard input for "-", of at most most bytes.
func (a *app) readSmall(path string, most int) ([]byte, error) {
	from := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // it was only read
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", inputName(path), err)
	}
	if len(b) > most {
		return nil, fmt.Errorf("%s: has more than %d bytes, which is too much", inputName(path), most)
	}
	return b, nil
}

// formOf names the form that evidence came in.
func formOf(r *platforms.Recognized) string {
	if r.Certificate != nil {
		form := "dice"
		if r.Certificate.Form == ratls.Legacy {
			form = "legacy"
		}
		return fmt.Sprintf("%s, %s form", r.Kind, form)
	}
	return string(r.Kind)
}
