package insecure

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"cloister/trust/attest"
)

// The names of the checks.
const (
	checkPlatform   = "platform"
	checkFormat     = "document format"
	checkSignature  = "machine key signature"
	checkProtection = "protection"
)

// Nothing says what insecure-none protects; it is in each of its results.
const Nothing = "none: insecure-none protects nothing, the machine's owner can read the program and forge this evidence"

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
	v := &attest.Verification{Claims: attest.Claims{Platform: attest.InsecureNone, Debug: true}}
	check := func(name string, err error, detail string) error {
		if err != nil {
			v.Checks = append(v.Checks, attest.Check{Name: name, Detail: err.Error()})
			return fmt.Errorf("%w: %s: %w", attest.ErrRefused, name, err)
		}
		v.Checks = append(v.Checks, attest.Check{Name: name, Passed: true, Detail: detail})
		return nil
	}
	if e == nil || e.Platform != attest.InsecureNone {
		return v, check(checkPlatform, errors.New("the evidence is not of insecure-none"), "")
	}
	d, err := Parse(e.Quote)
	if err == nil && len(e.Endorsements) != 0 {
		err = errors.New("insecure-none has no endorsements, but the evidence carries some")
	}
	if err := check(checkFormat, err, "version 1"); err != nil {
		return v, err
	}
	v.Claims = Claims(d)
	if !d.Verify() {
		err = errors.New("the machine key that the document names did not sign it")
	}
	if err := check(checkSignature, err, "by the key that the document names, which anyone can make"); err != nil {
		return v, err
	}
	return v, check(checkProtection, nil, Nothing)
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
