package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

// writeIntel fills a directory with the collateral of a machine.
func writeIntel(t *testing.T, c *sgx.Collateral) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sgx"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"sgx/tcb-00606a000000.json": c.TCBInfo, "sgx/tcb-00606a000000.pem": c.TCBInfoChain,
		"sgx/qe-identity.json": c.QEIdentity, "sgx/qe-identity.pem": c.QEIdentityChain,
		"root.crl": c.RootCRL, "pck-platform.crl": c.PCKCRL,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What evidence carries may be older than what the broker's operator named: an
// attacker who chooses it would hide a revocation.
func TestServeTakesNamedCollateralFirst(t *testing.T) {
	t.Parallel()
	a := attesttest.New(attesttest.Config{})
	m := a.Machine()
	older := m.SGX(attest.ReportData{})
	revoked := m.Collateral(attest.SGX, func(s *attesttest.CollateralSpec) { s.PCKCRL = a.CRL(a.Platform, nil, m.PCK.Cert) })
	verify := func(f *brokerServeFlags) error {
		s, err := f.sources()
		if err != nil {
			t.Fatal(err)
		}
		v := sgx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots(), Collateral: s.Intel})
		_, err = v.Verify(context.Background(), older)
		return err
	}
	if err := verify(&brokerServeFlags{}); err != nil {
		t.Errorf("what the evidence carries alone: %v", err)
	}
	err := verify(&brokerServeFlags{collateral: writeIntel(t, revoked)})
	if !errors.Is(err, attest.ErrRefused) || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("a machine that the named collateral revokes: %v", err)
	}
	// Where the directory has nothing, the evidence's own does.
	if err := verify(&brokerServeFlags{collateral: t.TempDir()}); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestCollateralSources(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		sources []string
		want    string // empty: no error
	}{
		"every kind":          {[]string{"online", "https://pccs:8081", t.TempDir(), "carried"}, ""},
		"a file":              {[]string{"carried", file}, "is no directory"},
		"nothing there":       {[]string{file + "x"}, "no such file"},
		"not https":           {[]string{"http://pccs:8081"}, "has to be https"},
		"a password":          {[]string{"https://user:secret@pccs"}, "without a user"},
		"a misspelled source": {[]string{"onlien"}, "no such file"},
	} {
		o := collateralOptions{collateral: test.sources}
		_, intel := o.intelSource(time.Now)
		_, amd := o.amdSource(time.Now)
		for _, err := range []error{intel, amd} {
			if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%s: %v, want %q", name, err, test.want)
			}
		}
	}
}
