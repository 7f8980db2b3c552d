package broker

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"maps"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
	"cloister/trust/broker/policy"
)

// Sources are what verifiers need besides the policy.
type Sources struct {
	// Now is the time to verify at. Start sets it to the broker's.
	Now   func() time.Time
	Intel sgx.Source
	AMD   snp.Source
	// Roots are the certificates of roots that the policy names by hash. What it
	// does not name is not trusted.
	Roots []*x509.Certificate
}

// Verifiers makes the verifiers of exactly the platforms and roots that a policy
// names.
func (s *Sources) Verifiers(p *policy.Policy) (platforms.Verifiers, error) {
	all := platforms.Verifiers{}
	add := func(o platforms.Options, platform attest.Platform) error {
		o.Now, o.Intel, o.AMD = s.Now, s.Intel, s.AMD
		v, err := platforms.NewVerifiers(o, platform)
		maps.Copy(all, v)
		return err
	}
	for platform, i := range map[attest.Platform]*policy.IntelPlatform{attest.SGX: p.Platforms.SGX, attest.TDX: p.Platforms.TDX} {
		if i == nil {
			continue
		}
		o := platforms.Options{Grace: time.Duration(i.Grace), MinEvaluation: i.MinEvaluationNumber, InsecureNoCRLs: i.InsecureNoRevocation}
		for _, r := range i.Roots {
			keys, err := s.intelRoots(r)
			if err != nil {
				return nil, fmt.Errorf("platform %s: %w", platform, err)
			}
			o.IntelRoots = append(o.IntelRoots, keys...)
		}
		if err := add(o, platform); err != nil {
			return nil, err
		}
	}
	if a := p.Platforms.SNP; a != nil {
		o := platforms.Options{Grace: time.Duration(a.Grace), InsecureNoCRLs: a.InsecureNoRevocation}
		for _, r := range a.Roots {
			roots, err := s.amdRoots(r)
			if err != nil {
				return nil, fmt.Errorf("platform %s: %w", attest.SNP, err)
			}
			o.AMDRoots = append(o.AMDRoots, roots...)
		}
		if err := add(o, attest.SNP); err != nil {
			return nil, err
		}
	}
	if p.Platforms.InsecureNone != nil {
		if err := add(platforms.Options{}, attest.InsecureNone); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// certificate finds the certificate of a root that is named by hash.
func (s *Sources) certificate(r policy.Root) (*x509.Certificate, error) {
	hash, ok := r.Hash()
	if !ok {
		return nil, fmt.Errorf("root %s is not one of this platform", r)
	}
	for _, c := range s.Roots {
		if sha256.Sum256(c.RawSubjectPublicKeyInfo) == hash {
			return c, nil
		}
	}
	return nil, fmt.Errorf("the certificate of root %s is not at hand: give it to the broker", r)
}

func (s *Sources) intelRoots(r policy.Root) ([]*ecdsa.PublicKey, error) {
	if r == policy.RootIntel {
		return sgx.IntelRoots(), nil
	}
	c, err := s.certificate(r)
	if err != nil {
		return nil, err
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("root %s has no ECDSA key", r)
	}
	return []*ecdsa.PublicKey{key}, nil
}

func (s *Sources) amdRoots(r policy.Root) ([]snp.Root, error) {
	product, builtIn := map[policy.Root]policy.Product{
		policy.RootAMDMilan: policy.Milan, policy.RootAMDGenoa: policy.Genoa, policy.RootAMDTurin: policy.Turin,
	}[r]
	if !builtIn {
		c, err := s.certificate(r)
		if err != nil {
			return nil, err
		}
		return []snp.Root{snp.RootOf(c)}, nil
	}
	var roots []snp.Root
	for _, known := range snp.AMDRoots() {
		if string(known.Product) == string(product) {
			roots = append(roots, known)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("no key of root %s is known", r)
	}
	return roots, nil
}
