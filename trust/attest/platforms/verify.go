package platforms

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
	"cloister/trust/attest/tdx"
)

// Options say what is trusted of each platform's maker.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Intel is where collateral of SGX and TDX comes from, AMD where that of SNP
	// does; nil means from the evidence alone.
	Intel sgx.Source
	AMD   snp.Source
	// IntelRoots and AMDRoots are the root keys that are trusted; empty means those
	// of Intel and AMD alone.
	IntelRoots []*ecdsa.PublicKey
	AMDRoots   []snp.Root
	// Grace is how long after its end collateral is still accepted.
	Grace time.Duration
	// MinEvaluation is the least tcbEvaluationDataNumber of Intel's collateral.
	MinEvaluation uint32
	// InsecureNoCRLs goes without revocation lists where there are none.
	InsecureNoCRLs bool
}

// Verifiers verify the evidence of a set of platforms.
type Verifiers map[attest.Platform]attest.Verifier

// All are the platforms, insecure-none last.
func All() []attest.Platform {
	return []attest.Platform{attest.SGX, attest.TDX, attest.SNP, attest.InsecureNone}
}

// NewVerifiers returns verifiers of the platforms that are named, and of no other:
// insecure-none too has to be named.
func NewVerifiers(o Options, platforms ...attest.Platform) (Verifiers, error) {
	if len(platforms) == 0 {
		return nil, errors.New("no platform is named whose evidence is accepted")
	}
	v := Verifiers{}
	intel := sgx.Options{
		Now: o.Now, Roots: o.IntelRoots, Collateral: o.Intel, Grace: o.Grace,
		MinEvaluation: o.MinEvaluation, InsecureNoCRLs: o.InsecureNoCRLs,
	}
	for _, p := range platforms {
		switch p {
		case attest.SGX:
			v[p] = sgx.NewVerifier(intel)
		case attest.TDX:
			v[p] = tdx.NewVerifier(intel)
		case attest.SNP:
			v[p] = snp.NewVerifier(snp.Options{
				Now: o.Now, Roots: o.AMDRoots, Source: o.AMD, Grace: o.Grace, InsecureNoCRLs: o.InsecureNoCRLs,
			})
		case attest.InsecureNone:
			v[p] = insecure.NewVerifier()
		default:
			return nil, fmt.Errorf("platform %q is not known", p)
		}
	}
	return v, nil
}

// List returns the verifiers, in the order of All.
func (v Verifiers) List() []attest.Verifier {
	var list []attest.Verifier
	for _, p := range All() {
		if one, ok := v[p]; ok {
			list = append(list, one)
		}
	}
	return list
}

// Verify verifies evidence of any of the platforms. Evidence of another is
// refused.
func (v Verifiers) Verify(ctx context.Context, e *attest.Evidence) (*attest.Verification, error) {
	var l attest.Checklist
	if err := check(e); err != nil {
		l.Check("evidence", err, "")
		return l.End()
	}
	one, ok := v[e.Platform]
	if !ok {
		var names []string
		for _, accepted := range v.List() {
			names = append(names, string(accepted.Platform()))
		}
		slices.Sort(names)
		l.Claims.Platform = e.Platform
		l.Check("platform", fmt.Errorf("evidence of %s is not accepted, only of %s", e.Platform, strings.Join(names, ", ")), "")
		return l.End()
	}
	return one.Verify(ctx, e)
}

// IsNoCollateral says whether an error is that of a source which works and does
// not have the collateral that is needed.
func IsNoCollateral(err error) bool {
	return errors.Is(err, sgx.ErrNoCollateral) || errors.Is(err, snp.ErrNoCollateral)
}

// Claims are what evidence says, for those who look at it: nothing of it is
// verified.
func Claims(e *attest.Evidence) (attest.Claims, error) {
	if err := check(e); err != nil {
		return attest.Claims{}, err
	}
	switch e.Platform {
	case attest.SGX, attest.TDX:
		q, err := sgx.ParseQuote(e.Quote)
		if err != nil {
			return attest.Claims{}, err
		}
		if q.TEE != e.Platform {
			return attest.Claims{}, fmt.Errorf("the evidence is said to be of %s, its quote is of %s", e.Platform, q.TEE)
		}
		return q.Claims(), nil
	case attest.SNP:
		r, err := snp.Parse(e.Quote)
		if err != nil {
			return attest.Claims{}, err
		}
		return r.Claims(), nil
	default:
		d, err := insecure.Parse(e.Quote)
		if err != nil {
			return attest.Claims{}, err
		}
		return insecure.Claims(d), nil
	}
}
