// Package attest has the words of remote attestation that all platforms share,
// as RFC 9334 (RATS architecture) uses them: evidence, claims, and the checks
// between them.
//
// Three steps stay apart. Parsing turns bytes into a structure and trusts
// nothing. Verifying proves who made the evidence and that it is fresh, and
// gives claims. Appraising compares claims with what a policy accepts; it is the
// policy's part and not done here.
package attest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Platform names what keeps a program apart from the machine's owner.
type Platform string

// The platforms.
const (
	SGX Platform = "sgx"
	TDX Platform = "tdx"
	SNP Platform = "snp"
	// InsecureNone protects nothing. It lets everything else be tried where no
	// hardware is.
	InsecureNone Platform = "insecure-none"
)

// ParsePlatform returns the platform of a name.
func ParsePlatform(name string) (Platform, error) {
	switch p := Platform(name); p {
	case SGX, TDX, SNP, InsecureNone:
		return p, nil
	}
	return "", fmt.Errorf("platform %q is not known: it is one of sgx, tdx, snp and insecure-none", name)
}

// Evidence is what a program shows of itself.
type Evidence struct {
	Platform Platform `json:"platform"`
	// Quote is in the platform's own form: a quote of SGX or TDX, an extended
	// report of SNP, the signed document of insecure-none.
	Quote []byte `json:"quote"`
	// Endorsements are collateral that travels with the evidence, in the
	// platform's own form, or nothing. They are signed by the platform's maker
	// and trusted no more for who carries them.
	Endorsements []byte `json:"endorsements,omitempty"`
}

// ErrRefused is in the chain of every error which says that evidence was read
// but cannot be trusted, or does not say what it should: what a caller answers
// with exit code 3. Errors of reaching a collateral service are not of this
// kind.
var ErrRefused = errors.New("evidence refused")

// Check is one question asked of evidence, and its answer.
type Check struct {
	// Name is short and stable, such as "pck chain" or "report data".
	Name   string `json:"check"`
	Passed bool   `json:"passed"`
	// Detail says what was found and, where the check failed, what was wanted.
	Detail string `json:"detail"`
}

// Verification is the result of verifying evidence. Claims are those of the
// evidence, and true only if every check passed.
type Verification struct {
	Claims Claims  `json:"claims"`
	Checks []Check `json:"checks"`
}

// Failed returns the checks that did not pass.
func (v *Verification) Failed() []Check {
	var failed []Check
	for _, c := range v.Checks {
		if !c.Passed {
			failed = append(failed, c)
		}
	}
	return failed
}

// Verifier verifies the evidence of one platform. Its clock, its collateral and
// its roots of trust were given when it was made. It is safe for concurrent use.
type Verifier interface {
	Platform() Platform
	// Verify returns an error in whose chain ErrRefused is if a check failed,
	// with the Verification as far as it came; another error means that it could
	// not be found out (a collateral service out of reach).
	Verify(ctx context.Context, e *Evidence) (*Verification, error)
}

// Producer makes evidence of the program that runs.
type Producer interface {
	Platform() Platform
	// Produce returns evidence that holds the report data.
	Produce(ctx context.Context, reportData ReportData) (*Evidence, error)
}

// TCBStatus is how far the firmware and microcode of a machine are behind, in
// the words of Intel's TCB info.
type TCBStatus string

// The statuses, best first.
const (
	UpToDate                          TCBStatus = "UpToDate"
	SWHardeningNeeded                 TCBStatus = "SWHardeningNeeded"
	ConfigurationNeeded               TCBStatus = "ConfigurationNeeded"
	ConfigurationAndSWHardeningNeeded TCBStatus = "ConfigurationAndSWHardeningNeeded"
	OutOfDate                         TCBStatus = "OutOfDate"
	OutOfDateConfigurationNeeded      TCBStatus = "OutOfDateConfigurationNeeded"
	Revoked                           TCBStatus = "Revoked"
)

// TCB is what verification found of the trusted computing base.
type TCB struct {
	Status     TCBStatus `json:"status"`
	Advisories []string  `json:"advisories,omitempty"` // such as INTEL-SA-00615, sorted
	// EvaluationNumber is the least tcbEvaluationDataNumber of the collateral.
	EvaluationNumber uint32 `json:"evaluation_number"`
	// Date is the tcbDate of the level: weaknesses known before it are mended.
	Date time.Time `json:"date,omitzero"`
	// Issued is the oldest, Expires the earliest of the dates in the collateral;
	// Latest is the newest date of issue, before which it cannot be now.
	Issued  time.Time `json:"issued,omitzero"`
	Latest  time.Time `json:"latest,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
}
