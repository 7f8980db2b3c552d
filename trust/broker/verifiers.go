package broker

import (
	"crypto/ecdsa"
	"crypto/x509"
	"time"

	"cloister/trust/attest/platforms"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/verifiers"
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
	o := verifiers.Options{Now: s.Now, Intel: s.Intel, AMD: s.AMD}
	for _, c := range s.Roots {
		// AMD's roots have RSA keys; their hash alone is enough.
		if key, ok := c.PublicKey.(*ecdsa.PublicKey); ok {
			o.Roots = append(o.Roots, key)
		}
	}
	return verifiers.New(p, o)
}
