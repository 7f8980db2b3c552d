package cli

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/platforms"
)

// enclave is SGX for the commands: evidence of the test authority for a program of
// a name, and sealing keys that this program alone has.
type enclave struct {
	machine *attesttest.Machine
	program string
	debug   bool
	keys    string // directory
}

func measurementOf(program string) [32]byte { return sha256.Sum256([]byte("program " + program)) }

func newEnclave(t *testing.T, machine *attesttest.Machine, program string) *enclave {
	t.Helper()
	e := &enclave{machine: machine, program: program, keys: t.TempDir()}
	key := sha256.Sum256([]byte("sealing key of " + program))
	if err := os.WriteFile(filepath.Join(e.keys, "_sgx_mrenclave"), key[:16], 0o600); err != nil {
		t.Fatal(err)
	}
	return e
}

// Detect implements evidenceMaker.
func (*enclave) Detect() (platforms.Detected, error) {
	return platforms.Detected{Platform: attest.SGX, Why: "a test"}, nil
}

// NewProducer implements evidenceMaker.
func (e *enclave) NewProducer(attest.Platform) (attest.Producer, error) { return e, nil }

// Platform implements attest.Producer.
func (*enclave) Platform() attest.Platform { return attest.SGX }

// Produce implements attest.Producer.
func (e *enclave) Produce(_ context.Context, d attest.ReportData) (*attest.Evidence, error) {
	endorsements, err := e.machine.Collateral(attest.SGX).Endorsements()
	if err != nil {
		return nil, err
	}
	quote := e.machine.SGXQuote(3, d, func(q *attesttest.QuoteSpec) {
		q.SGX.MREnclave = measurementOf(e.program)
		if e.debug {
			q.SGX.Attributes |= 2
		}
	})
	return &attest.Evidence{Platform: attest.SGX, Quote: quote, Endorsements: endorsements}, nil
}

func (e *enclave) here(a *app) {
	a.system = func(string) evidenceMaker { return e }
	a.sealingKeys = e.keys
}

// enclaves is a directory in which a broker runs in an enclave.
type enclaves struct {
	t         *testing.T
	dir       string
	authority *attesttest.Authority
	owner     string // file of the key
	public    string
}

func newEnclavesTest(t *testing.T) *enclaves {
	t.Helper()
	w := &enclaves{t: t, dir: t.TempDir()}
	w.authority = attesttest.New(attesttest.Config{Seed: "cli", Now: time.Now().UTC().Truncate(time.Second)})
	o := newOperated(t, "") // for the key of an owner
	o.stop()
	w.owner, w.public = filepath.Join(o.dir, "owner.pem"), fmt.Sprint(o.owner.Public())
	w.write("root.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.authority.Root.Cert.Raw})))
	return w
}

func (w *enclaves) file(name string) string { return filepath.Join(w.dir, name) }

func (w *enclaves) write(name, text string) string {
	w.t.Helper()
	if err := os.WriteFile(w.file(name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return w.file(name)
}

// policy writes a version of the policy in which these programs may be the broker.
func (w *enclaves) policy(version int, previous string, programs ...string) string {
	if previous != "" {
		previous = "previous: " + previous + "\n"
	}
	text := fmt.Sprintf("format: cloister-policy/1\nbroker: clinics\nversion: %d\n%sapprovals: 1\ninsecure-no-witness: true\nowners:\n  a: {keys: [%q]}\n"+
		"platforms:\n  sgx: {roots: [\"sha256:%x\"]}\nbroker-programs:\n",
		version, previous, w.public, sha256.Sum256(w.authority.Root.Cert.RawSubjectPublicKeyInfo))
	for _, p := range programs {
		text += fmt.Sprintf("  %s: {platform: sgx, sgx: {mrenclaves: [\"%x\"], xfrm: 0xe7}, any-machine: true}\n", p, measurementOf(p))
	}
	return w.write(fmt.Sprintf("policy%d.yaml", version), text)
}

func (w *enclaves) args(dir string, more ...string) []string {
	return append([]string{
		"broker", "serve", "--json", "--dir", w.file(dir), "--broker", "clinics", "--listen", "127.0.0.1:0", "--seal-to-enclave",
		"--root-certificate", w.file("root.pem"),
	}, more...)
}

// run runs a command in an enclave, or outside of any.
func (w *enclaves) run(where *enclave, args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	var out, errs strings.Builder
	a := newApp(strings.NewReader(""), &out, &errs)
	if where != nil {
		where.here(a)
	}
	code = a.run(w.t.Context(), args)
	return code, out.String(), errs.String()
}

func (w *enclaves) owns(args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	return w.run(nil, append([]string{"broker", "owner"}, args...)...)
}

func (w *enclaves) attest(address, policy, pin string, more ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	return w.owns(append([]string{"attest", address, "--policy", policy, "--pin", w.file(pin), "--roots", w.file("root.pem"), "--attempts", "1"}, more...)...)
}

// TestAttestEnclave attests brokers that show quotes of SGX, by the command of an
// owner, without --insecure-broker-host.
func TestAttestEnclave(t *testing.T) {
	t.Parallel()
	w := newEnclavesTest(t)
	first := w.policy(1, "", "broker")
	debug := newEnclave(t, w.authority.Machine(), "broker")
	debug.debug = true
	self := attesttest.New(attesttest.Config{Seed: "self-made", Now: time.Now().UTC().Truncate(time.Second)})
	for name, c := range map[string]struct {
		enclave *enclave
		code    int
		want    string
	}{
		"the program of the policy": {newEnclave(t, w.authority.Machine(), "broker"), ExitDone, "broker"},
		"another measurement":       {newEnclave(t, w.authority.Machine(), "changed"), ExitRefused, "may not be the broker"},
		"a debug enclave":           {debug, ExitRefused, "may not be the broker"},
		"a self-made root":          {newEnclave(t, self.Machine(), "broker"), ExitRefused, "the broker's evidence"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := *w
			w.t, w.dir = t, t.TempDir()
			w.write("root.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.authority.Root.Cert.Raw})))
			ready, stop := startServer(t, w.args("state", "--policy", first), c.enclave.here)
			defer stop()
			code, out, errs := w.attest(ready.Address, first, "pin")
			if code != c.code || !strings.Contains(out+errs, c.want) {
				t.Errorf("exit %d: %s%s", code, out, errs)
			}
			_, err := os.Lstat(w.file("pin"))
			if (err == nil) != (c.code == ExitDone) {
				t.Errorf("the pin: %v", err)
			}
			if c.code != ExitDone {
				return
			}
			for _, line := range []string{"platform", "sgx", "program"} {
				if !strings.Contains(out, line) {
					t.Errorf("it does not say %q: %s", line, out)
				}
			}
			if strings.Contains(out, "insecure-broker-host") {
				t.Errorf("it is said to be insecure: %s", out)
			}
			// A policy that names another program, and one that was not the first.
			other := w.policy(1, "", "another")
			if code, out, errs := w.attest(ready.Address, other, "other"); code != ExitRefused {
				t.Errorf("by another policy: exit %d: %s%s", code, out, errs)
			}
		})
	}
}

// TestHandOverEnclave upgrades a broker in an enclave by the commands: its root key
// goes to the measurement that the owner signed, and to no other.
func TestHandOverEnclave(t *testing.T) {
	t.Parallel()
	w := newEnclavesTest(t)
	m := w.authority.Machine()
	old, upgraded := newEnclave(t, m, "broker"), newEnclave(t, m, "upgraded")
	first := w.policy(1, "", "broker")
	ready, stop := startServer(t, w.args("state", "--policy", first), old.here)
	if code, out, errs := w.attest(ready.Address, first, "pin"); code != ExitDone {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	owner := func(args ...string) string {
		t.Helper()
		code, out, errs := w.owns(append(args, "--pin", w.file("pin"), "--key", w.owner)...)
		if code != ExitDone {
			t.Fatalf("%s: exit %d: %s", strings.Join(args, " "), code, errs)
		}
		return out
	}
	owner("approve", first)
	owner("key", "new", "a/wards")
	takeOver := func(by *enclave, more ...string) (int, string) {
		t.Helper()
		args := append(w.args("upgraded", "--root-from", ready.Address, "--pin", w.file("pin")), more...)
		code, _, errs := w.run(by, args...)
		return code, errs
	}
	refused := func(name string, by *enclave, why string) {
		t.Helper()
		if code, errs := takeOver(by); code != ExitRefused || !strings.Contains(errs, why) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
		if _, err := os.Lstat(filepath.Join(w.file("upgraded"), "root")); err == nil {
			t.Fatalf("%s: it has a root key", name)
		}
	}
	refused("before it is signed", upgraded, "may not be the broker")
	_, hash, _ := w.run(nil, "broker", "policy", "hash", first)
	owner("approve", w.policy(2, strings.TrimSpace(hash), "broker", "upgraded"))
	refused("another measurement", newEnclave(t, m, "changed"), "may not be the broker")
	debug := newEnclave(t, m, "upgraded")
	debug.debug = true
	refused("a debug enclave", debug, "may not be the broker")
	self := attesttest.New(attesttest.Config{Seed: "self-made", Now: time.Now().UTC().Truncate(time.Second)})
	refused("a self-made root", newEnclave(t, self.Machine(), "upgraded"), "evidence")
	if code, errs := takeOver(upgraded); code != ExitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
	stop()
	if err := os.Rename(filepath.Join(w.file("state"), "store"), filepath.Join(w.file("upgraded"), "store")); err != nil {
		t.Fatal(err)
	}
	// What is sealed to the new program opens for no other.
	if code, _, errs := w.run(old, w.args("upgraded")...); code == ExitDone || !strings.Contains(errs, "root file") {
		t.Errorf("the old program opens it: exit %d: %s", code, errs)
	}
	next, stop := startServer(t, w.args("upgraded"), upgraded.here)
	defer stop()
	if next.TLSKey != ready.TLSKey || next.Log != ready.Log {
		t.Error("it is another broker")
	}
	if code, out, errs := w.owns("status", "--pin", w.file("pin"), "--address", next.Address); code != ExitDone {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := w.attest(next.Address, w.file("policy2.yaml"), "new-pin", "--first-policy", strings.TrimSpace(hash)); code != ExitDone || !strings.Contains(out, "upgraded") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
