package cli_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/platforms"
	"cloister/trust/attest/ratls"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp/snptest"
)

// machines is a script command: "machines" writes evidence of test machines of
// each platform, made at 2026-01-15T12:00:00Z for the report data 0102…40, and
// the roots of its authorities, into the working directory.
func machines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: machines")
	}
	intel, amd := attesttest.New(attesttest.Config{}), snptest.New(snptest.Config{})
	machine := intel.Machine()
	var d attest.ReportData
	for i := range d {
		d[i] = byte(i + 1)
	}
	encode := func(e *attest.Evidence) []byte {
		b, err := platforms.Encode(e)
		ts.Check(err)
		return b
	}
	certificate := func(forms ...ratls.Form) []byte {
		c, err := ratls.Make(context.Background(), enclave{machine}, ratls.MakeOptions{Forms: forms, Now: intel.Clock})
		ts.Check(err)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	}
	sgxEvidence := machine.SGX(d)
	changed := *sgxEvidence
	changed.Quote = append([]byte(nil), changed.Quote...)
	changed.Quote[200] ^= 1
	for name, content := range map[string][]byte{
		"sgx.json":         encode(sgxEvidence),
		"sgx-changed.json": encode(&changed),
		"sgx.bin":          sgxEvidence.Quote,
		"tdx.json":         encode(machine.TDX(d)),
		"snp.json":         encode(amd.Evidence(d)),
		"snp.bin":          amd.Evidence(d).Quote,
		"dice.pem":         certificate(ratls.DICE),
		"legacy.pem":       certificate(ratls.Legacy),
		"intel.pem":        intel.Root.PEM(),
		"amd.pem":          pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: amd.ARK.Raw}),
		"roots.pem": append(intel.Root.PEM(),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: amd.ARK.Raw})...),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), content, 0o600))
	}
	writeCollateral(ts, machine)
	ts.Check(os.MkdirAll(ts.MkAbs("amd"), 0o700))
	snptest.WriteDirectory(ts.MkAbs("amd"), amd)
}

// writeCollateral writes what a service answers into the directory "collateral".
func writeCollateral(ts *testscript.TestScript, machine *attesttest.Machine) {
	server := httptest.NewUnstartedServer(attesttest.Handler(machine))
	server.EnableHTTP2 = false
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	server.StartTLS()
	defer server.Close()
	dir := ts.MkAbs("collateral")
	ts.Check(os.MkdirAll(dir, 0o700))
	service, err := sgx.NewService(sgx.ServiceOptions{
		URL: server.URL, Client: &http.Client{Transport: server.Client().Transport}, Now: machine.Authority.Clock, Cache: dir,
	})
	ts.Check(err)
	_, err = service.Collateral(context.Background(), &sgx.Request{TEE: attest.SGX, FMSPC: machine.Spec.FMSPC, CA: sgx.PlatformCA})
	ts.Check(err)
}

// enclave makes quotes of a test machine.
type enclave struct{ machine *attesttest.Machine }

func (enclave) Platform() attest.Platform { return attest.SGX }

func (e enclave) Produce(_ context.Context, d attest.ReportData) (*attest.Evidence, error) {
	return &attest.Evidence{Platform: attest.SGX, Quote: e.machine.SGXQuote(3, d)}, nil
}

// vectors is where the scripts find real evidence.
func vectors(env *testscript.Env) error {
	dir, err := filepath.Abs("../trust/attest/sgx/testdata/oasis")
	env.Setenv("OASIS", dir)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
	env.Setenv("BROKER", brokerAddress())
	return err
}
