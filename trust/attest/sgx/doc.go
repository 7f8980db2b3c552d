// Package sgx verifies Intel's DCAP quotes, of SGX enclaves and of TDX guests,
// on the standard library's cryptography alone.
//
// Parsing (ParseQuote, ParsePCKExtension, ParseTCBInfo, ParseQEIdentity,
// ParseEndorsements) turns bytes into structures and trusts nothing. A Verifier
// proves a quote against Intel's pinned root key and collateral that a Source
// finds, and gives claims. Whether claims are good enough is for a policy to say.
//
// Sources of what is done here:
//
//   - [QuoteLib] Intel SGX ECDSA Quote Library Reference for DCAP API, appendix A
//     (quote version 3).
//   - [TDXQuoteLib] Intel TDX DCAP: Quote Generation Library and Quote Verification
//     Library, appendix A (quote versions 4 and 5, TD report 1.0 and 1.5).
//   - [PCKProfile] Intel SGX PCK Certificate and Certificate Revocation List Profile
//     Specification.
//   - [PCS] Intel SGX and TDX Provisioning Certification Service, API version 4.
//   - [QVL] Intel's SGX TDX DCAP Quote Verification Library: the order of the
//     checks of section 4.1.2.4 and how statuses converge.
//   - [SDM] Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3D.
package sgx
