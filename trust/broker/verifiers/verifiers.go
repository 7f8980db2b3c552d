// Package verifiers makes the verifiers of evidence that a policy asks for: of
// the platforms that it names and no other, each with its own roots of trust and
// rules about collateral.
package verifiers

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
	"cloister/trust/broker/policy"
)

// Options are what a policy does not say.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Intel and AMD are where collateral comes from; nil means from the evidence
	// alone.
	Intel sgx.Source
	AMD   snp.Source
	// Roots are root keys at hand. One is trusted only if the policy names its
	// hash.
	Roots []*ecdsa.PublicKey
}

// New returns the verifiers that the policy asks for.
func New(p *policy.Policy, o Options) (platforms.Verifiers, error) {
	all := platforms.Verifiers{}
	for _, one := range []struct {
		platform attest.Platform
		rules    *policy.IntelPlatform
	}{{attest.SGX, p.Platforms.SGX}, {attest.TDX, p.Platforms.TDX}} {
		if one.rules == nil {
			continue
		}
		roots, err := intelRoots(one.rules.Roots, o.Roots)
		if err != nil {
			return nil, fmt.Errorf("platform %s: %w", one.platform, err)
		}
		if err := add(all, one.platform, platforms.Options{
			Now: o.Now, Intel: o.Intel, IntelRoots: roots, Grace: time.Duration(one.rules.Grace),
			MinEvaluation: one.rules.MinEvaluationNumber, InsecureNoCRLs: one.rules.InsecureNoRevocation,
		}); err != nil {
			return nil, err
		}
	}
	if rules := p.Platforms.SNP; rules != nil {
		roots, err := amdRoots(rules.Roots)
		if err != nil {
			return nil, fmt.Errorf("platform %s: %w", attest.SNP, err)
		}
		if err := add(all, attest.SNP, platforms.Options{
			Now: o.Now, AMD: o.AMD, AMDRoots: roots, Grace: time.Duration(rules.Grace), InsecureNoCRLs: rules.InsecureNoRevocation,
		}); err != nil {
			return nil, err
		}
	}
	if p.Platforms.InsecureNone != nil {
		if err := add(all, attest.InsecureNone, platforms.Options{Now: o.Now}); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, errors.New("the policy accepts no platform")
	}
	return all, nil
}

func add(all platforms.Verifiers, platform attest.Platform, o platforms.Options) error {
	v, err := platforms.NewVerifiers(o, platform)
	maps.Copy(all, v)
	return err
}

// intelRoots never returns an empty list, which verifiers take for Intel's.
func intelRoots(wanted []policy.Root, known []*ecdsa.PublicKey) ([]*ecdsa.PublicKey, error) {
	var roots []*ecdsa.PublicKey
	for _, root := range wanted {
		hash, other := root.Hash()
		switch {
		case root == policy.RootIntel:
			roots = append(roots, sgx.IntelRoots()...)
		case !other:
			return nil, fmt.Errorf("%s is no root of Intel's platforms", root)
		default:
			i := slices.IndexFunc(known, func(key *ecdsa.PublicKey) bool {
				der, err := x509.MarshalPKIXPublicKey(key)
				return err == nil && sha256.Sum256(der) == hash
			})
			if i < 0 {
				return nil, fmt.Errorf("the policy trusts the root %s, and no certificate of it is at hand", hash)
			}
			roots = append(roots, known[i])
		}
	}
	if len(roots) == 0 {
		return nil, errors.New("the policy trusts no root")
	}
	return roots, nil
}

// amdRoots never returns an empty list, which verifiers take for AMD's. A root
// that the policy names by its hash is one for every product.
func amdRoots(wanted []policy.Root) ([]snp.Root, error) {
	var roots []snp.Root
	for _, root := range wanted {
		if hash, other := root.Hash(); other {
			for _, product := range []snp.Product{snp.Milan, snp.Genoa, snp.Turin} {
				roots = append(roots, snp.Root{Product: product, Key: hash})
			}
			continue
		}
		i := slices.IndexFunc(snp.AMDRoots(), func(r snp.Root) bool {
			return "amd-"+strings.ToLower(string(r.Product)) == string(root)
		})
		if i < 0 {
			return nil, fmt.Errorf("%s is no root of SEV-SNP", root)
		}
		roots = append(roots, snp.AMDRoots()[i])
	}
	if len(roots) == 0 {
		return nil, errors.New("the policy trusts no root")
	}
	return roots, nil
}
