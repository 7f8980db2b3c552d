package insecure

import (
	"context"
	"crypto/sha256"
	"errors"

	"cloister/trust/attest"
)

// The names of the checks.
const (
	checkPlatform   = "platform"
	checkFormat     = "document format"
	checkSignature  = "machine key signature"
	checkProtection = "protection"
)

// nothing says what insecure-none protects; it is in each of its results.
const nothing = "none: insecure-none protects nothing, the machine's owner can read the program and forge this evidence"

// Verifier verifies the documents of insecure-none: that they are whole, no more.
type Verifier struct{}

var _ attest.Verifier = (*Verifier)(nil)

// NewVerifier returns a verifier.
func NewVerifier() *Verifier { return &Verifier{} }

// Platform implements attest.Verifier.
func (*Verifier) Platform() attest.Platform { return attest.InsecureNone }

// Verify implements attest.Verifier. It needs no collateral, so each error says
// that the evidence is refused.
func (*Verifier) Verify(_ context.Context, e *attest.Evidence) (*attest.Verification, error) {
	var l attest.Checklist
	l.Claims = attest.Claims{Platform: attest.InsecureNone, Debug: true}
	if e == nil || e.Platform != attest.InsecureNone {
		l.Check(checkPlatform, errors.New("the evidence is not of insecure-none"), "")
		return l.End()
	}
	d, err := Parse(e.Quote)
	if err == nil && len(e.Endorsements) != 0 {
		err = errors.New("insecure-none has no endorsements, but the evidence carries some")
	}
	if !l.Check(checkFormat, err, "version 1") {
		return l.End()
	}
	l.Claims = Claims(d)
	if !d.Verify() {
		err = errors.New("the machine key that the document names did not sign it")
	}
	if l.Check(checkSignature, err, "by the key that the document names, which anyone can make") {
		l.Check(checkProtection, nil, nothing)
	}
	return l.End()
}

// Claims are what a document says.
func Claims(d *Document) attest.Claims {
	machine := sha256.Sum256(d.MachineKey)
	return attest.Claims{
		Platform:   attest.InsecureNone,
		ReportData: d.ReportData,
		Debug:      true, // nothing keeps the machine's owner from the memory
		Machine:    machine[:],
		InsecureNone: &attest.InsecureNoneClaims{
			Binary:     d.Binary[:],
			MachineKey: attest.Hex(d.MachineKey),
		},
	}
}
