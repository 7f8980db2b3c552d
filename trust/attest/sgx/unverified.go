package sgx

import "cloister/trust/attest"

// Claims are what a quote and its PCK certificate say, for those who look at a
// quote: nothing of it is verified.
func (q *Quote) Claims() attest.Claims {
	v := new(verification)
	v.Claims.Platform = q.TEE
	v.claim(q)
	if certs, err := parsePEM(q.Chain); err == nil && len(certs) > 0 {
		if pck, err := pckOf(certs[0]); err == nil {
			v.claimPCK(pck)
		}
	}
	return v.Claims
}
