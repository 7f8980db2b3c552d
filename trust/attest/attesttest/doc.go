// Package attesttest is a test authority for SGX and TDX: it plays Intel and a
// machine, so that tests of every acceptance and refusal run without hardware.
//
// An Authority has its own root CA, platform and processor CA and TCB signing
// certificate. It makes machines with PCK certificates, and collateral as Intel's
// Provisioning Certification Service publishes it; a Machine makes quotes of every
// version and body:
//
//	a := attesttest.New(attesttest.Config{})
//	m := a.Machine()
//	e := m.SGX(reportData)           // evidence that carries its collateral
//	v := sgx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots()})
//	v.Verify(ctx, e)
//
// Everything is correct unless a test changes it: most functions take edits, which
// are functions over the specification of what is made.
//
// All keys follow from Config.Seed and signatures are deterministic, so that equal
// specifications give equal bytes. These keys protect nothing. Functions panic if
// a specification cannot be made.
package attesttest
