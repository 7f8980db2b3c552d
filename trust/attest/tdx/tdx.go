// Package tdx verifies the quotes of Intel TDX guests.
//
// A TDX quote is signed and endorsed as one of SGX is, so that package sgx verifies
// both; tests compare it with google/go-tdx-guest on the same quotes. The module
// itself is not in the product:
//
//   - it makes an error of every TCB status but UpToDate, where a policy may accept
//     others by name, and reports neither advisories nor tcbEvaluationDataNumber;
//   - where the TDX module has an identity of its own in the TCB info (TEE TCB SVN 1
//     above 0) it still compares SVNs 0 and 1 with those of the platform's levels,
//     and MRSIGNERSEAM with the signer of another module, against Intel's algorithm;
//   - it reads quotes of version 5 not in every form, accepts bytes after a quote,
//     and fetches collateral that the evidence cannot carry;
//   - it would add its own copy of what is checked for SGX: the PCK chain, revocation
//     lists, TCB info, QE identity, each with bugs of its own.
package tdx

import "cloister/trust/attest/sgx"

// NewVerifier returns a verifier of quotes of TDX guests.
func NewVerifier(o sgx.Options) *sgx.Verifier { return sgx.NewTDXVerifier(o) }
