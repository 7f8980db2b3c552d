package attesttest_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

func TestEveryQuoteVerifies(t *testing.T) {
	t.Parallel()
	a := attesttest.New(attesttest.Config{})
	data := attest.ReportData{1, 2, 3}
	for _, processor := range []bool{false, true} {
		m := a.Machine(func(s *attesttest.MachineSpec) { s.Processor = processor })
		for name, quote := range map[string][]byte{
			"SGX 3": m.SGXQuote(3, data), "SGX 4": m.SGXQuote(4, data), "SGX 5": m.SGXQuote(5, data),
			"TDX 4": m.TDXQuote(4, data), "TDX 5": m.TDXQuote(5, data), "TDX 5, report 1.5": m.TDXQuote(5, data, attesttest.V15),
		} {
			v := sgx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots()})
			if name[:3] == "TDX" {
				v = sgx.NewTDXVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots()})
			}
			endorsements, err := m.Collateral(v.Platform()).Endorsements()
			if err != nil {
				t.Fatal(err)
			}
			got, err := v.Verify(context.Background(), &attest.Evidence{Platform: v.Platform(), Quote: quote, Endorsements: endorsements})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got.Claims.TCB.Status != attest.UpToDate || got.Claims.ReportData != data || got.Claims.TCB.EvaluationNumber != attesttest.Evaluation {
				t.Errorf("%s: claims are %+v", name, got.Claims)
			}
		}
	}
}

func TestDeterministic(t *testing.T) {
	t.Parallel()
	make := func(seed string) *attest.Evidence {
		return attesttest.New(attesttest.Config{Seed: seed}).Machine().SGX(attest.ReportData{})
	}
	if diff := cmp.Diff(make(""), make("")); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(make(""), make("other")) {
		t.Error("two seeds give the same evidence")
	}
}
