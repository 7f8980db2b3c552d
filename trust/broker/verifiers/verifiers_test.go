package verifiers

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/insecure"
	"cloister/trust/attest/snp/snptest"
	"cloister/trust/broker/policy"
)

// binding is what the evidence of these tests binds.
var binding = attest.Binding{Nonce: [32]byte{7}, Key: []byte("key")}

const policyText = `format: cloister-policy/1
broker: clinics
version: 1
approvals: 1
owners:
  lab:
    keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICIFtwIWwPTKRjAayEApIp22/WjDS4qsTw0JZsGzl18r]
insecure-no-witness: true
platforms:
%s
workloads:
  program:
%s
    any-machine: true
    jobs: [none]
    keys:
      lab/wards: [1]
`

// world is a program on a platform, and a policy that accepts it.
type world struct {
	policy   *policy.Policy
	evidence *attest.Evidence
	options  Options
}

func makePolicy(t *testing.T, platforms, program string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("policy.yaml", fmt.Appendf(nil, policyText, platforms, program))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func intel(t *testing.T, a *attesttest.Authority) (root string, o Options) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(a.Roots()[0])
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(der)), Options{Now: a.Clock, Roots: a.Roots()}
}

const guest = `
    guest:
      kernel: sha256:` + sixtyFour + `
      command-line: console=ttyS0
      initrd: sha256:` + sixtyFour + `
      root: initrd`

const sixtyFour = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"

// worlds are one for each platform. edit changes the rules of the platform.
func worlds(t *testing.T, rules string) map[string]world {
	t.Helper()
	all := make(map[string]world)

	a := attesttest.New(attesttest.Config{})
	root, o := intel(t, a)
	sgxProgram := fmt.Sprintf("    platform: sgx\n    sgx:\n      mrenclaves: [%x]\n      attributes: %%s\n      xfrm: %%s", attesttest.MREnclave)
	evidence := a.Machine().SGX(binding.ReportData(), func(s *attesttest.QuoteSpec) { s.SGX.Attributes, s.SGX.XFRM = 5, 3 })
	all["sgx"] = world{makePolicy(t, "  sgx:\n    roots: ["+root+"]\n"+rules, fmt.Sprintf(sgxProgram, "0x5", "0x3")), evidence, o}

	var rtmr [4][48]byte
	for i := range rtmr {
		rtmr[i] = [48]byte{byte(i + 1)}
	}
	evidence = a.Machine().TDX(binding.ReportData(), func(s *attesttest.QuoteSpec) {
		s.TDX.RTMR, s.TDX.TDAttributes, s.TDX.XFAM, s.TDX.MRSEAM = rtmr, 0x10000000, 0xe7, [48]byte{9}
		s.TDX.MRConfigID, s.TDX.MROwner, s.TDX.MROwnerConfig = [48]byte{}, [48]byte{}, [48]byte{}
	})
	program := fmt.Sprintf("    platform: tdx\n    tdx:\n      measurements:\n        v1: {mrtd: %x, rtmr0: %x, rtmr1: %x, rtmr2: %x, rtmr3: %x}\n      xfam: 0xe7\n      mrseam: [%x]%s",
		attesttest.MRTD, rtmr[0], rtmr[1], rtmr[2], rtmr[3], [48]byte{9}, guest)
	all["tdx"] = world{makePolicy(t, "  tdx:\n    roots: ["+root+"]\n"+rules, program), evidence, o}

	s := snptest.New(snptest.Config{})
	amd := s.Roots()[0].Key
	evidence = s.Evidence(binding.ReportData())
	v, err := New(makePolicy(t, "  snp:\n    roots: [sha256:"+hex.EncodeToString(amd[:])+"]", snpProgram(nil)), Options{Now: s.Clock})
	if err != nil {
		t.Fatal(err)
	}
	found, err := v.Verify(context.Background(), evidence)
	if err != nil {
		t.Fatal(err)
	}
	all["snp"] = world{makePolicy(t, "  snp:\n    roots: [sha256:"+hex.EncodeToString(amd[:])+"]\n"+strings.ReplaceAll(rules, "    min-evaluation-number: 18\n", ""), snpProgram(found.Claims.SNP)), evidence, Options{Now: s.Clock}}

	producer := insecure.NewProducer(t.TempDir())
	evidence, err = producer.Produce(context.Background(), binding.ReportData())
	if err != nil {
		t.Fatal(err)
	}
	d, err := insecure.Parse(evidence.Quote)
	if err != nil {
		t.Fatal(err)
	}
	all["insecure-none"] = world{
		makePolicy(t, "  insecure-none: {}", fmt.Sprintf("    platform: insecure-none\n    insecure-none:\n      binaries: [sha256:%s]\n    insecure-debug: true", insecure.Claims(d).InsecureNone.Binary)),
		evidence,
		Options{Now: a.Clock},
	}
	return all
}

// snpProgram is the entry for a guest, or any entry for nil.
func snpProgram(c *attest.SNPClaims) string {
	if c == nil {
		c = &attest.SNPClaims{Measurement: append(make([]byte, 47), 1), HostData: make([]byte, 32), GuestPolicy: 0x30000, Product: "Milan"}
	}
	return fmt.Sprintf(`    platform: snp
    snp:
      measurements: [%s]
      guest-policy: %#x
      host-data: %s
      products:
        %s:
          min-reported-tcb: {boot-loader: 0, tee: 0, snp: 0, microcode: 0}
          min-committed-tcb: {boot-loader: 0, tee: 0, snp: 0, microcode: 0}%s`, c.Measurement, c.GuestPolicy, c.HostData, c.Product, guest)
}

func (w *world) decide(t *testing.T) (*policy.Decision, error) {
	t.Helper()
	v, err := New(w.policy, w.options)
	if err != nil {
		t.Fatal(err)
	}
	found, err := v.Verify(context.Background(), w.evidence)
	if err != nil {
		return nil, err
	}
	ask := &policy.Request{Binding: binding, Keys: []policy.DataSet{{Item: "lab/wards", Version: 1, Terms: []policy.Name{}}}}
	return w.policy.Appraise(&found.Claims, ask, w.options.Now()), nil
}

// TestEvidenceToKey goes all the way on every platform: evidence that a test
// authority signed, verified as the policy says, gets the key.
func TestEvidenceToKey(t *testing.T) {
	t.Parallel()
	for name, w := range worlds(t, "") {
		d, err := w.decide(t)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !d.Allowed {
			t.Errorf("%s: %s", name, d.Reason())
		}
	}
}

// TestForeignEvidence: a policy for one platform verifies no other's evidence.
func TestForeignEvidence(t *testing.T) {
	t.Parallel()
	all := worlds(t, "")
	for name, w := range all {
		for other := range all {
			if other == name {
				continue
			}
			v, err := New(w.policy, w.options)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(context.Background(), all[other].evidence); !errors.Is(err, attest.ErrRefused) {
				t.Errorf("evidence of %s under a policy for %s: %v", other, name, err)
			}
		}
	}
}

// TestRulesReachTheVerifiers: what a policy says of collateral is enforced.
func TestRulesReachTheVerifiers(t *testing.T) {
	t.Parallel()
	for name, w := range worlds(t, "    min-evaluation-number: 18\n") {
		d, err := w.decide(t)
		if refused := errors.Is(err, attest.ErrRefused) || err == nil && !d.Allowed; refused != (name == "sgx" || name == "tdx") {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}

// TestRoots: evidence under another root is refused, and a root that the policy
// names has to be at hand.
func TestRoots(t *testing.T) {
	t.Parallel()
	all := worlds(t, "")
	builtIn := map[string]string{"sgx": "intel", "tdx": "intel", "snp": "amd-milan"}
	for name, root := range builtIn {
		w := all[name]
		switch name {
		case "sgx":
			w.policy.Platforms.SGX.Roots = []policy.Root{policy.Root(root)}
		case "tdx":
			w.policy.Platforms.TDX.Roots = []policy.Root{policy.Root(root)}
		case "snp":
			w.policy.Platforms.SNP.Roots = []policy.Root{policy.Root(root)}
		}
		if _, err := w.decide(t); !errors.Is(err, attest.ErrRefused) {
			t.Errorf("%s under %s: %v", name, root, err)
		}
	}
	w := worlds(t, "")["sgx"]
	w.options.Roots = nil
	if _, err := New(w.policy, w.options); err == nil || !strings.Contains(err.Error(), "no certificate of it is at hand") {
		t.Errorf("without the root's certificate: %v", err)
	}
	w.policy.Platforms.SGX.Roots = nil
	if _, err := New(w.policy, w.options); err == nil || !strings.Contains(err.Error(), "trusts no root") {
		t.Errorf("without roots: %v", err)
	}
	if _, err := New(new(policy.Policy), Options{}); err == nil {
		t.Error("a policy without platforms gets verifiers")
	}
}
