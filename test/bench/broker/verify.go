package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"time"

	"cloister/test/bench/page"
	"cloister/trust/attest"
	"cloister/trust/broker/brokertest"
	"cloister/trust/broker/policy"
)

// verifier verifies a quote again and again.
type verifier struct {
	verify     func() error
	signatures func() error // the ECDSA in it alone, of digests that are known
}

func newVerifier(ctx context.Context, w *brokertest.World) (*verifier, error) {
	p, err := policy.Parse("policy", []byte(w.Setup.Policy))
	if err != nil {
		return nil, err
	}
	all, err := w.Setup.Sources().Verifiers(p)
	if err != nil {
		return nil, err
	}
	e, err := w.Enclave(brokertest.Trainer).Produce(ctx, attest.ReportData{1})
	if err != nil {
		return nil, err
	}
	v := &verifier{verify: func() error {
		_, err := all.Verify(ctx, e)
		return err
	}}
	v.signatures, err = signaturesOf(w, e.Quote)
	return v, err
}

// signaturesOf returns the two ECDSA verifications of a quote.
func signaturesOf(w *brokertest.World, quote []byte) (func() error, error) {
	q, err := parseQuote(quote)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, q.AttestationKey...))
	if err != nil {
		return nil, err
	}
	type signature struct {
		key    *ecdsa.PublicKey
		digest [32]byte
		r, s   *big.Int
	}
	made := func(key *ecdsa.PublicKey, signed, raw []byte) signature {
		return signature{key, sha256.Sum256(signed), new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])}
	}
	both := []signature{made(&w.Machine().PCK.Key.PublicKey, q.QESigned, q.QESignature), made(key, q.Signed, q.Signature)}
	return func() error {
		for _, s := range both {
			if !ecdsa.Verify(s.key, s.digest[:], s.r, s.s) {
				return errors.New("a signature does not hold")
			}
		}
		return nil
	}, nil
}

// measureVerify measures both in turn, so that a machine that slows down slows
// both.
func measureVerify(ctx context.Context, o *options) ([]row, error) {
	w, err := brokertest.New(o.dir, 0)
	if err != nil {
		return nil, err
	}
	v, err := newVerifier(ctx, w)
	if err != nil {
		return nil, err
	}
	if err := v.verify(); err != nil { // now the collateral is parsed
		return nil, err
	}
	var rate, part []float64
	for range o.repeat {
		var verify, signatures time.Duration
		n := 0
		for begun := time.Now(); time.Since(begun).Seconds() < o.seconds; n++ {
			start := time.Now()
			if err := v.verify(); err != nil {
				return nil, err
			}
			between := time.Now()
			if err := v.signatures(); err != nil {
				return nil, err
			}
			verify += between.Sub(start)
			signatures += time.Since(between)
		}
		rate = append(rate, float64(n)/verify.Seconds())
		part = append(part, signatures.Seconds()/verify.Seconds())
	}
	return []row{
		{"SGX quotes verified by one core, each second", fmt.Sprintf("%.0f", page.Median(rate)), ""},
		{"… of what their ECDSA alone would allow", fmt.Sprintf("%.2f", page.Median(part)), "0.80"},
	}, nil
}
