package sgx_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"math/big"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

// BenchmarkVerify measures a verification whose chain and collateral are known
// beside the two ECDSA verifications in it, and reports the ratio of their times,
// "of-ecdsa": 1 would be a verification that costs nothing else. The goal is 0.8.
func BenchmarkVerify(b *testing.B) {
	m := a.Machine()
	for name, c := range map[string]struct {
		tee   attest.Platform
		quote []byte
	}{
		"SGX3": {attest.SGX, m.SGXQuote(3, attest.ReportData{})},
		"TDX5": {attest.TDX, m.TDXQuote(5, attest.ReportData{}, attesttest.V15)},
	} {
		carried, err := m.Collateral(c.tee).Endorsements()
		if err != nil {
			b.Fatal(err)
		}
		for where, source := range map[string]sgx.Source{"": fixed{m.Collateral(c.tee)}, "Carried": sgx.NewCarried()} {
			b.Run(name+where, func(b *testing.B) {
				s := &subject{tee: c.tee, options: sgx.Options{Now: a.Clock, Roots: a.Roots()}}
				v := s.verifier(nil)
				sgx.SetSource(v, source)
				e := &attest.Evidence{Platform: c.tee, Quote: c.quote, Endorsements: carried}
				alone := ecdsaOf(b, m, c.quote)
				if _, err := v.Verify(b.Context(), e); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				// Both are measured in turn, so that a machine that slows down slows both.
				var verify, signatures time.Duration
				for b.Loop() {
					start := time.Now()
					if _, err := v.Verify(b.Context(), e); err != nil {
						b.Fatal(err)
					}
					between := time.Now()
					alone()
					verify += between.Sub(start)
					signatures += time.Since(between)
				}
				b.ReportMetric(signatures.Seconds()/verify.Seconds(), "of-ecdsa")
				b.ReportMetric(float64(b.N)/verify.Seconds(), "verify/s")
			})
		}
	}
}

// ecdsaOf returns the two ECDSA verifications of a quote, of digests that are
// known.
func ecdsaOf(b *testing.B, m *attesttest.Machine, quote []byte) func() {
	b.Helper()
	q, err := sgx.ParseQuote(quote)
	if err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, q.AttestationKey...))
	if err != nil {
		b.Fatal(err)
	}
	type signature struct {
		key    *ecdsa.PublicKey
		digest [32]byte
		r, s   *big.Int
	}
	all := []signature{
		{&m.PCK.Key.PublicKey, sha256.Sum256(q.QESigned), new(big.Int).SetBytes(q.QESignature[:32]), new(big.Int).SetBytes(q.QESignature[32:])},
		{key, sha256.Sum256(q.Signed), new(big.Int).SetBytes(q.Signature[:32]), new(big.Int).SetBytes(q.Signature[32:])},
	}
	return func() {
		for _, s := range all {
			if !ecdsa.Verify(s.key, s.digest[:], s.r, s.s) {
				b.Fatal("a signature does not hold")
			}
		}
	}
}

// BenchmarkVerifyNew measures a verification of which nothing is known.
func BenchmarkVerifyNew(b *testing.B) {
	m := a.Machine()
	e := m.SGX(attest.ReportData{})
	for b.Loop() {
		if _, err := sgx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots()}).Verify(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}
