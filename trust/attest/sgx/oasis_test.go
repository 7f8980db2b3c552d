package sgx_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/attest"
	"cloister/trust/attest/sgx"
)

// oasisTime is when the collateral of testdata/oasis is valid.
var oasisTime = time.Unix(1671497404, 0)

func oasisFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "oasis", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// oasis returns the real quote, with its collateral as endorsements.
func oasis(tb testing.TB) (*attest.Evidence, *sgx.Collateral) {
	tb.Helper()
	chain := oasisFile(tb, "tcb_info_v3_fmspc_00606A000000_certs.pem")
	c := &sgx.Collateral{
		TCBInfo: oasisFile(tb, "tcb_info_v3_fmspc_00606A000000.json"), TCBInfoChain: chain,
		QEIdentity: oasisFile(tb, "qe_identity_v2.json"), QEIdentityChain: chain,
	}
	endorsements, err := c.Endorsements()
	if err != nil {
		tb.Fatal(err)
	}
	return &attest.Evidence{
		Platform: attest.SGX, Quote: oasisFile(tb, "quote_v3_ecdsa_p256_pck_chain.bin"), Endorsements: endorsements,
	}, c
}

func at(when time.Time) func() time.Time { return func() time.Time { return when } }

func TestRealQuote(t *testing.T) {
	t.Parallel()
	e, _ := oasis(t)
	got, err := sgx.NewVerifier(sgx.Options{Now: at(oasisTime), InsecureNoCRLs: true}).Verify(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	want := attest.TCB{
		Status:           attest.SWHardeningNeeded,
		Advisories:       []string{"INTEL-SA-00615", "INTEL-SA-00657"},
		EvaluationNumber: 13,
		Date:             time.Date(2022, 8, 10, 0, 0, 0, 0, time.UTC),
		Issued:           time.Date(2022, 12, 16, 12, 45, 36, 0, time.UTC),
		Latest:           time.Date(2022, 12, 19, 9, 40, 10, 0, time.UTC),
		Expires:          time.Date(2023, 1, 15, 12, 45, 36, 0, time.UTC),
	}
	if diff := cmp.Diff(want, got.Claims.TCB); diff != "" {
		t.Error("TCB (-want +got):\n" + diff)
	}
	for what, pair := range map[string][2]string{
		"mrenclave":   {got.Claims.SGX.MREnclave.String(), "68823bc62f409ee33a32ea270cfe45d4b19a6fb3c8570d7bc186cbe062398e8f"},
		"fmspc":       {got.Claims.SGX.FMSPC.String(), "00606a000000"},
		"ppid":        {got.Claims.SGX.PPID.String(), "f3b7bf8472262f4c6c7cf4c89f0a2a9c"},
		"machine":     {got.Claims.Machine.String(), "f306b906642c30d4d35e9bd6ed131fb6"},
		"report data": {string(hexOf(got.Claims.ReportData)), "026a69ced96c3e0295d16d6b388e057a137a14319671662a5844c7472f3c62ae0e3d3f99b77dd89b0fc1436c4fe96828391a52588a0f883455a18b8f5872e3f0"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %s, want %s", what, pair[0], pair[1])
		}
	}
	if got.Claims.Debug || len(got.Failed()) > 0 {
		t.Errorf("debug %t, failed %v", got.Claims.Debug, got.Failed())
	}
}

func hexOf(d attest.ReportData) []byte {
	text, _ := d.MarshalText()
	return text
}

func TestRealQuoteRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options sgx.Options
		check   string
	}{
		"another time":          {sgx.Options{Now: at(oasisTime.AddDate(0, 2, 0)), InsecureNoCRLs: true}, "freshness"},
		"a second too late":     {sgx.Options{Now: at(time.Date(2023, 1, 15, 12, 45, 37, 0, time.UTC)), InsecureNoCRLs: true}, "freshness"},
		"before it was issued":  {sgx.Options{Now: at(oasisTime.AddDate(0, 0, -2)), InsecureNoCRLs: true}, "freshness"},
		"before its PCK":        {sgx.Options{Now: at(time.Date(2022, 12, 5, 11, 12, 0, 0, time.UTC)), InsecureNoCRLs: true}, "pck chain"},
		"grace too short":       {sgx.Options{Now: at(time.Date(2023, 1, 16, 12, 45, 37, 0, time.UTC)), InsecureNoCRLs: true, Grace: 24 * time.Hour}, "freshness"},
		"no revocation lists":   {sgx.Options{Now: at(oasisTime)}, "revocation"},
		"later number required": {sgx.Options{Now: at(oasisTime), InsecureNoCRLs: true, MinEvaluation: 14}, "evaluation number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, _ := oasis(t)
			got, err := sgx.NewVerifier(c.options).Verify(context.Background(), e)
			wantRefused(t, got, err, c.check)
		})
	}
	e, _ := oasis(t)
	late := sgx.Options{Now: at(time.Date(2023, 1, 16, 12, 45, 36, 0, time.UTC)), InsecureNoCRLs: true, Grace: 24 * time.Hour}
	if _, err := sgx.NewVerifier(late).Verify(context.Background(), e); err != nil {
		t.Errorf("within the grace: %v", err)
	}
}

// wantRefused checks that exactly the named checks failed and that the error says
// so.
func wantRefused(tb testing.TB, v *attest.Verification, err error, checks ...string) {
	tb.Helper()
	if !errors.Is(err, attest.ErrRefused) {
		tb.Fatalf("error is %v, want a refusal by %q", err, checks)
	}
	var got []string
	for _, c := range v.Failed() {
		got = append(got, c.Name)
		if c.Detail == "" || !strings.Contains(err.Error(), c.Name+": "+c.Detail) {
			tb.Errorf("the error does not have the reason of check %q: %v", c.Name, err)
		}
	}
	if diff := cmp.Diff(checks, got); diff != "" {
		tb.Errorf("failed checks (-want +got):\n%s%v", diff, err)
	}
}
