package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/attest/ratls"
	"cloister/trust/attest/snp"
)

const attestVerifyLong = `Verify evidence: who signed it, whether the certificates and the collateral are
their makers', whether they hold at this time, and what they say of the machine.
Each check is listed, passed or failed and why. "-" is standard input.

Verifying is not accepting: which measurements, statuses and settings are good
enough is said by a policy. Debug enclaves, old firmware and the like are shown
and do not fail.

Collateral says what is known of machines: TCB info, identities and revocation
lists of Intel, revocation lists and certificates of AMD. --collateral=carried
takes what the evidence carries and is the default; online asks the maker's
service, an https address another service such as a PCCS, anything else is a
directory of files. Given several times, one is asked after the other.

Evidence is fresh and of the expected key only if its report data are compared:
give --report-data, or what they are made of: --nonce, --key and --job. The
certificate of an RA-TLS program is bound to its key without them.

The exit code is 0 if all checks passed, 3 if the evidence is refused, 4 if a
service is out of reach.`

const attestVerifyExample = `  cloister attest verify evidence.json --nonce=1f0c… --key=client.pub
  cloister attest verify quote.bin --collateral=online
  cloister attest verify old.bin --collateral=./collateral --at=2022-12-20T00:00:00Z`

// verifyOptions are the flags of "cloister attest verify".
type verifyOptions struct {
	collateralOptions

	reportData    reportDataOptions
	minEvaluation uint32
	noCRLs        bool
	insecureNone  bool
	roots         string
}

// verifiedEvidence is what "cloister attest verify --json" prints.
type verifiedEvidence struct {
	Form     string `json:"form"`
	Verified bool   `json:"verified"`
	// ReportData says whether they were compared.
	ReportDataCompared bool           `json:"report_data_compared"`
	At                 time.Time      `json:"at"`
	Checks             []attest.Check `json:"checks"`
	Claims             attest.Claims  `json:"claims"`
	Error              string         `json:"error,omitempty"`
}

func (a *app) newAttestVerifyCommand() *cobra.Command {
	var opt verifyOptions
	cmd := &cobra.Command{
		Use:     "verify FILE",
		Short:   "Verify evidence, check by check",
		Long:    attestVerifyLong,
		Example: attestVerifyExample,
		Args:    oneEvidence,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.attestVerify(cmd.Context(), args[0], opt)
		},
	}
	flags := cmd.Flags()
	opt.collateralOptions.flags(flags)
	opt.reportData.flags(cmd)
	flags.DurationVar(&opt.grace, "grace", 0, "accept collateral for `DURATION` after its end, such as 48h")
	flags.Uint32Var(&opt.minEvaluation, "min-evaluation", 0, "demand Intel's collateral of evaluation number `N` or later")
	flags.BoolVar(&opt.noCRLs, "insecure-no-crls", false, "go without revocation lists that are not there: stolen keys stay good")
	flags.BoolVar(&opt.insecureNone, "insecure-none", false, "verify evidence of insecure-none too, which protects nothing")
	flags.StringVar(&opt.roots, "insecure-roots", "", "trust the root certificates in `FILE` instead of Intel's and AMD's: whoever has their keys can forge evidence")
	return cmd
}

// attestVerify verifies the evidence in a file.
func (a *app) attestVerify(ctx context.Context, path string, opt verifyOptions) error {
	now, err := verifyTime(opt.at)
	if err != nil {
		return err
	}
	want, err := opt.reportData.value(a)
	if err != nil {
		return err
	}
	r, err := a.readEvidence(path)
	if err != nil {
		return err
	}
	verifiers, err := opt.verifiers(func() time.Time { return now }, r.Evidence.Platform)
	if err != nil {
		return err
	}
	found, err := verifyRecognized(ctx, verifiers, r, now)
	if err != nil && !errors.Is(err, attest.ErrRefused) {
		return opt.unreachable(err)
	}
	if err == nil && want != nil {
		found, err = compareReportData(found, *want)
	}
	return a.showVerified(r, found, now, want != nil, err)
}

// verifyRecognized verifies evidence in whatever form it came.
func verifyRecognized(ctx context.Context, v platforms.Verifiers, r *platforms.Recognized, now time.Time) (*attest.Verification, error) {
	if r.Certificate == nil {
		return v.Verify(ctx, r.Evidence)
	}
	return ratls.NewVerifier(func() time.Time { return now }, v.List()...).VerifyParsed(ctx, r.Certificate)
}

const checkReportData = "report data"

// compareReportData adds a check that the evidence has the expected report data.
func compareReportData(v *attest.Verification, want attest.ReportData) (*attest.Verification, error) {
	l := attest.Checklist{Verification: *v}
	var err error
	if !v.Claims.ReportData.Equal(want) {
		err = fmt.Errorf("they are %x, expected are %x: the evidence was made for another nonce, key or job", v.Claims.ReportData, want)
	}
	l.Check(checkReportData, err, "as expected")
	return l.End()
}

// showVerified prints the result, and returns the error that refuses the evidence.
func (a *app) showVerified(r *platforms.Recognized, v *attest.Verification, now time.Time, compared bool, refused error) error {
	if a.json {
		out := verifiedEvidence{
			Form: formOf(r), Verified: refused == nil, ReportDataCompared: compared, At: now.UTC(), Checks: v.Checks, Claims: v.Claims,
		}
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
	var t rows
	t.add("form", "%s", formOf(r))
	t.add("verified at", "%s", now.UTC().Format(time.RFC3339))
	for _, c := range v.Checks {
		t.add(c.Name, "%s: %s", map[bool]string{true: "passed", false: "FAILED"}[c.Passed], c.Detail)
	}
	if refused == nil {
		t.addClaims(v.Claims)
		t.addTCB(v.Claims.TCB)
		if !compared && r.Certificate == nil {
			t.add("warning", "the report data were not compared: without --report-data, or --nonce and --key, this can be a recording")
		}
	}
	if err := a.print(t.String()); err != nil {
		return err
	}
	if refused != nil {
		return &Error{Code: ExitRefused, Err: refused}
	}
	return nil
}

// addTCB adds what is known of a machine's firmware.
func (t *rows) addTCB(c attest.TCB) {
	if c.Status != "" {
		t.add("tcb status", "%s", c.Status)
		t.add("evaluation number", "%d", c.EvaluationNumber)
	}
	if len(c.Advisories) > 0 {
		t.add("advisories", "%s", strings.Join(c.Advisories, ", "))
	}
	t.addDate("tcb date", c.Date)
	t.addDate("collateral from", c.Issued)
	t.addDate("collateral until", c.Expires)
}

// verifiers makes the verifiers of a platform.
func (o *verifyOptions) verifiers(now func() time.Time, p attest.Platform) (platforms.Verifiers, error) {
	if o.grace < 0 {
		return nil, inputError("", "--grace: %s is negative", o.grace)
	}
	set := platforms.Options{Now: now, Grace: o.grace, MinEvaluation: o.minEvaluation, InsecureNoCRLs: o.noCRLs}
	var err error
	if p == attest.SNP {
		set.AMD, err = o.amdSource(now)
	} else {
		set.Intel, err = o.intelSource(now)
	}
	if err != nil {
		return nil, err
	}
	accepted := []attest.Platform{attest.SGX, attest.TDX, attest.SNP}
	if o.insecureNone {
		accepted = platforms.All()
	} else if p == attest.InsecureNone {
		return nil, &Error{
			Code: ExitRefused,
			Err:  fmt.Errorf("%w: evidence of insecure-none protects nothing", attest.ErrRefused),
			Hint: "--insecure-none verifies it all the same",
		}
	}
	if o.roots != "" {
		if set.IntelRoots, set.AMDRoots, err = readRoots(o.roots); err != nil {
			return nil, err
		}
		// No roots mean the makers' own.
		if have := map[bool]int{false: len(set.IntelRoots), true: len(set.AMDRoots)}[p == attest.SNP]; have == 0 {
			return nil, inputError("", "--insecure-roots: %s has no root of %s", o.roots, p)
		}
	}
	return platforms.NewVerifiers(set, accepted...)
}

// readRoots reads root certificates in PEM. Intel's keys are of a curve, AMD's are
// RSA keys whose certificate names the product.
func readRoots(path string) (intel []*ecdsa.PublicKey, amd []snp.Root, _ error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		x, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		if key, ok := x.PublicKey.(*ecdsa.PublicKey); ok {
			intel = append(intel, key)
		} else if strings.HasPrefix(x.Subject.CommonName, "ARK-") {
			amd = append(amd, snp.RootOf(x))
		} else {
			return nil, nil, fmt.Errorf("%s: %q is neither like Intel's root nor like one of AMD's", path, x.Subject.CommonName)
		}
	}
	if len(intel)+len(amd) == 0 {
		return nil, nil, fmt.Errorf("%s: has no certificate in PEM", path)
	}
	return intel, amd, nil
}

// reportDataOptions are the flags that say what report data are.
type reportDataOptions struct {
	whole, nonce, key, job string
}

func (o *reportDataOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.whole, "report-data", "", "the report data: 64 bytes in `HEX`")
	flags.StringVar(&o.nonce, "nonce", "", "of which the report data are made: the verifier's nonce, 32 bytes in `HEX`")
	flags.StringVar(&o.key, "key", "", "of which the report data are made: the public key in `FILE`, or a certificate of it, in PEM, or the bytes of another key")
	flags.StringVar(&o.job, "job", "", "of which the report data are made: the job's SHA-256 in `HEX`; zeros without a job")
	for _, name := range []string{"nonce", "key", "job"} {
		cmd.MarkFlagsMutuallyExclusive("report-data", name)
	}
	cmd.MarkFlagsRequiredTogether("nonce", "key")
}

// maxKey bounds the file of a key.
const maxKey = 64 << 10

// value returns the report data that the flags say, nil if they say none.
func (o *reportDataOptions) value(a *app) (*attest.ReportData, error) {
	if o.whole != "" {
		d := new(attest.ReportData)
		if err := d.UnmarshalText([]byte(o.whole)); err != nil {
			return nil, inputError("", "--report-data: %w", err)
		}
		return d, nil
	}
	if o.nonce == "" {
		if o.job != "" {
			return nil, inputError("give --nonce and --key too", "--job alone does not say what the report data are")
		}
		return nil, nil
	}
	var b attest.Binding
	if err := hexFlag("nonce", o.nonce, b.Nonce[:]); err != nil {
		return nil, err
	}
	if o.job != "" {
		if err := hexFlag("job", o.job, b.Job[:]); err != nil {
			return nil, err
		}
	}
	text, err := a.readSmall(o.key, maxKey)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	if b.Key, err = publicKey(text); err != nil {
		return nil, fmt.Errorf("--key=%s: %w", o.key, err)
	}
	d := b.ReportData()
	return &d, nil
}

func hexFlag(name, text string, into []byte) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(into) {
		return inputError("", "--%s: %.140q is not %d bytes in hexadecimal", name, text, len(into))
	}
	copy(into, b)
	return nil
}

// publicKey returns a key as attest.Binding has it.
func publicKey(text []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	switch {
	case len(text) == 0:
		return nil, errors.New("it is empty")
	case block == nil:
		return text, nil
	case block.Type == "PUBLIC KEY":
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return nil, err
		}
		return block.Bytes, nil
	case block.Type == "CERTIFICATE":
		x, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return x.RawSubjectPublicKeyInfo, nil
	}
	return nil, fmt.Errorf("a PEM block %q is no public key", block.Type)
}
