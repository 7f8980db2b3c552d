package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
)

// brokerPrograms are the lines of a policy that name programs which may be the
// broker.
func brokerPrograms(names ...string) string {
	text := "broker-programs:\n"
	for _, name := range names {
		sum := sha256.Sum256([]byte(name))
		text += fmt.Sprintf("  %s: {platform: insecure-none, insecure-none: {binaries: [\"sha256:%s\"]}, insecure-debug: true, any-machine: true}\n", name, hex.EncodeToString(sum[:]))
	}
	return text
}

func appraiseAs(t *testing.T) func(context.Context, *policy.Policy, *attest.Evidence) (*attest.Verification, error) {
	return func(ctx context.Context, p *policy.Policy, e *attest.Evidence) (*attest.Verification, error) {
		t.Helper()
		v, err := insecure.NewVerifier().Verify(ctx, e)
		if err != nil {
			return nil, err
		}
		if d := p.AppraiseBroker(&v.Claims, time.Now()); !d.Allowed {
			return nil, fmt.Errorf("%w: %s", attest.ErrRefused, d.Reason())
		}
		return v, nil
	}
}

// TestHandOver upgrades a broker: its root key goes to the program that every
// owner signed, and to no other.
func TestHandOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{prepare: func(f *fixture) { f.extra = brokerPrograms("broker") }})
	f.dataSet(f.a, "wards", "no-export")
	dir := t.TempDir()
	o := vault.RootOptions{Path: filepath.Join(dir, "root"), Broker: "test", Protector: newTestProtector(t), Now: time.Now}
	takeOver := func(program *program) (*vault.Root, error) {
		root, _, err := f.client().TakeOver(t.Context(), program, appraiseAs(t), o)
		return root, err
	}
	_, err := takeOver(newProgram(t, "upgraded"))
	refusedFor(t, err, CodePolicy, "may not be the broker")

	// Both owners have to sign it: to one alone the policy is not even in force.
	f.extra = brokerPrograms("broker", "upgraded")
	next := f.policyText(2, f.parse(f.text).Hash().String())
	if a := f.approve(next, f.a); a.Applied || len(a.Missing) == 0 {
		t.Fatalf("one owner alone named a new broker: %+v", a)
	}
	_, err = takeOver(newProgram(t, "upgraded"))
	refusedFor(t, err, CodePolicy, "may not be the broker")
	if a := f.approve(next, f.b); !a.Applied {
		t.Fatalf("%+v", a)
	}
	// A later version in which the program is the same changes nothing.
	f.extra += "  # unchanged\n"
	f.change = func(text string) string { return strings.Replace(text, "      b/wards: [1+]\n", "", 1) }
	f.text = f.policyText(3, f.parse(next).Hash().String())
	if a := f.approve(f.text, f.a, f.b); !a.Applied {
		t.Fatalf("%+v", a)
	}
	// A workload is no broker, and evidence for something else is none for this.
	_, err = takeOver(newProgram(t, "trainer"))
	refusedFor(t, err, CodePolicy, "may not be the broker")
	spoiled := newProgram(t, "upgraded")
	spoiled.change = func(d *insecure.Document) { d.ReportData[0] ^= 1 }
	_, err = takeOver(spoiled)
	refusedFor(t, err, CodeEvidence, "binds another nonce")
	if err := f.freeze(f.b, f.b, false); err != nil {
		t.Fatal(err)
	}
	_, err = takeOver(newProgram(t, "upgraded"))
	refusedFor(t, err, CodeFrozen, "b has frozen")
	if err := f.freeze(f.b, f.b, true); err != nil {
		t.Fatal(err)
	}

	root, err := takeOver(newProgram(t, "upgraded"))
	if err != nil {
		t.Fatal(err)
	}
	if !f.logged("hand-over", "granted", "signed by a, b") || !f.logged("hand-over", "refused", "may not be the broker") {
		t.Error("the log does not have it")
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(f.dir, "store"), filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	f.dir = dir
	f.start(setting{root: func(vault.RootOptions) (*vault.Root, error) { return root, nil }}, false)
	if f.broker.TLSKey() != f.pin.TLSKey {
		t.Error("it is another broker")
	}
	if _, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)}); err != nil {
		t.Error(err)
	}
}

// TestTakeOverAppraises: a new broker takes no root key of a program that the
// policy does not name, nor of another broker.
func TestTakeOverAppraises(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{prepare: func(f *fixture) { f.extra = brokerPrograms("upgraded") }})
	o := vault.RootOptions{Path: filepath.Join(t.TempDir(), "root"), Broker: "test", Protector: newTestProtector(t), Now: time.Now}
	if _, _, err := f.client().TakeOver(t.Context(), newProgram(t, "upgraded"), appraiseAs(t), o); !errors.Is(err, attest.ErrRefused) {
		t.Errorf("a program that may not be the broker: %v", err)
	}
	f.pin.TLSKey[0] ^= 1
	if _, _, err := f.client().TakeOver(t.Context(), newProgram(t, "upgraded"), appraiseAs(t), o); !errors.Is(err, ErrWrongBroker) {
		t.Errorf("another broker: %v", err)
	}
	if _, err := os.Lstat(o.Path); err == nil {
		t.Error("there is a root file")
	}
}
