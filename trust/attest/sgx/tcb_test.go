package sgx_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

// status edits the status of the machine's level.
func (s *scene) status(status attest.TCBStatus) {
	s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCBStatus = string(status) })
}

func oldQE(q *attesttest.QuoteSpec) { q.QE.ISVSVN = 7 }

func (s *scene) revokedQE() {
	s.spec(oldQE)
	s.identity(func(q *attesttest.QEIdentity) { q.TCBLevels[1].TCBStatus = string(attest.Revoked) })
}

func module(svn ...byte) func(*attesttest.QuoteSpec) {
	return func(q *attesttest.QuoteSpec) { copy(q.TDX.TEETCBSVN[:], svn) }
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit       func(*scene)
		status     attest.TCBStatus
		advisories []string
	}{
		"up to date": {func(*scene) {}, attest.UpToDate, nil},
		"PCESVN behind": {func(s *scene) {
			s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCB.PCESVN = 14 })
		}, attest.OutOfDate, []string{"INTEL-SA-00001"}},
		"last component behind": {func(s *scene) {
			s.tcb(func(t *attesttest.TCBInfo) {
				t.TCBLevels[0].TCB.SGX = slices.Clone(t.TCBLevels[0].TCB.SGX)
				t.TCBLevels[0].TCB.SGX[15].SVN = 1
			})
		}, attest.OutOfDate, []string{"INTEL-SA-00001"}},
		"ahead of every level": {func(s *scene) {
			s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCB.PCESVN = 12 })
		}, attest.UpToDate, nil},
		"SW hardening":               {func(s *scene) { s.status(attest.SWHardeningNeeded) }, attest.SWHardeningNeeded, nil},
		"configuration":              {func(s *scene) { s.status(attest.ConfigurationNeeded) }, attest.ConfigurationNeeded, nil},
		"configuration, SW":          {func(s *scene) { s.status(attest.ConfigurationAndSWHardeningNeeded) }, attest.ConfigurationAndSWHardeningNeeded, nil},
		"out of date":                {func(s *scene) { s.status(attest.OutOfDate) }, attest.OutOfDate, nil},
		"out of date, configuration": {func(s *scene) { s.status(attest.OutOfDateConfigurationNeeded) }, attest.OutOfDateConfigurationNeeded, nil},
		"revoked":                    {func(s *scene) { s.status(attest.Revoked) }, attest.Revoked, nil},
		"QE out of date":             {func(s *scene) { s.spec(oldQE) }, attest.OutOfDate, []string{"INTEL-SA-00003"}},
		"QE out of date, SW hardening": {func(s *scene) { s.spec(oldQE); s.status(attest.SWHardeningNeeded) },
			attest.OutOfDate, []string{"INTEL-SA-00003"}},
		"QE out of date, configuration": {func(s *scene) { s.spec(oldQE); s.status(attest.ConfigurationNeeded) },
			attest.OutOfDateConfigurationNeeded, []string{"INTEL-SA-00003"}},
		"QE out of date, configuration, SW": {func(s *scene) { s.spec(oldQE); s.status(attest.ConfigurationAndSWHardeningNeeded) },
			attest.OutOfDateConfigurationNeeded, []string{"INTEL-SA-00003"}},
		"QE out of date, revoked": {func(s *scene) { s.spec(oldQE); s.status(attest.Revoked) },
			attest.Revoked, []string{"INTEL-SA-00003"}},
		"QE revoked":              {func(s *scene) { s.revokedQE() }, attest.Revoked, []string{"INTEL-SA-00003"}},
		"QE revoked, out of date": {func(s *scene) { s.revokedQE(); s.status(attest.OutOfDate) }, attest.Revoked, []string{"INTEL-SA-00003"}},
		"both out of date": {func(s *scene) {
			s.spec(oldQE)
			s.tcb(func(t *attesttest.TCBInfo) {
				t.TCBLevels[0].TCB.PCESVN, t.TCBLevels[1].AdvisoryIDs = 14, []string{"INTEL-SA-00009", "INTEL-SA-00003", "INTEL-SA-00001"}
			})
		}, attest.OutOfDate, []string{"INTEL-SA-00001", "INTEL-SA-00003", "INTEL-SA-00009"}},

		"guest": {func(s *scene) { s.tdx() }, attest.UpToDate, nil},
		"guest, PCESVN behind": {func(s *scene) {
			s.tdx()
			s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCB.PCESVN = 14 })
		}, attest.OutOfDate, []string{"INTEL-SA-00001"}},
		"guest, TDX component behind": {func(s *scene) {
			s.tdx()
			s.tcb(func(t *attesttest.TCBInfo) { t.TCBLevels[0].TCB.TDX = attesttest.Components([16]uint8{6, 0, 3}) })
		}, attest.OutOfDate, []string{"INTEL-SA-00001"}},
		"module 01": {func(s *scene) { s.tdx(); s.spec(module(6, 1, 3)) }, attest.UpToDate, nil},
		"module 03, below the platform's first component": {func(s *scene) { s.tdx(); s.spec(module(3, 3, 3)) },
			attest.UpToDate, nil},
		"module 01 out of date": {func(s *scene) { s.tdx(); s.spec(module(5, 1, 3)) }, attest.OutOfDate, []string{"INTEL-SA-00002"}},
		"module 01 out of date, configuration": {func(s *scene) { s.tdx(); s.spec(module(5, 1, 3)); s.status(attest.ConfigurationNeeded) },
			attest.OutOfDateConfigurationNeeded, []string{"INTEL-SA-00002"}},
		"module 01 revoked": {func(s *scene) {
			s.tdx()
			s.spec(module(5, 1, 3))
			s.tcb(func(t *attesttest.TCBInfo) { t.TDXModuleIdentities[1].TCBLevels[1].TCBStatus = string(attest.Revoked) })
		}, attest.Revoked, []string{"INTEL-SA-00002"}},
		"module and QE out of date": {func(s *scene) { s.tdx(); s.spec(module(5, 1, 3)); s.spec(oldQE) },
			attest.OutOfDate, []string{"INTEL-SA-00002", "INTEL-SA-00003"}},
		"report 1.5": {func(s *scene) { s.tdx(); s.version = 5; s.spec(attesttest.V15) }, attest.UpToDate, nil},
		"report 1.5, module changed since": {func(s *scene) {
			s.tdx()
			s.version = 5
			s.spec(attesttest.V15)
			s.spec(module(5))
		}, attest.OutOfDate, []string{"INTEL-SA-00002"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(a)
			c.edit(s)
			v, err := s.verify()
			if err != nil {
				t.Fatal(err)
			}
			if got := v.Claims.TCB; got.Status != c.status || !slices.Equal(got.Advisories, c.advisories) {
				t.Errorf("status %s of %q, want %s of %q", got.Status, got.Advisories, c.status, c.advisories)
			}
			last := v.Checks[len(v.Checks)-1]
			if strings.Contains(name, "changed since") != strings.Contains(last.Detail, "relaunching the guest") {
				t.Errorf("detail of the check is %q", last.Detail)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	m := a.Machine()
	v := (&subject{tee: attest.SGX, options: sgx.Options{Now: a.Clock, Roots: a.Roots()}}).verifier(m.Collateral(attest.SGX))
	got, err := v.Verify(t.Context(), &attest.Evidence{Platform: attest.SGX, Quote: m.SGXQuote(3, attest.ReportData{1}, func(q *attesttest.QuoteSpec) {
		q.SGX.Attributes |= attesttest.Debug
		q.SGX.MiscSelect, q.SGX.ISVSVN, q.SGX.ConfigSVN = 1, 7, 8
		q.SGX.ConfigID, q.SGX.ISVExtProdID, q.SGX.ISVFamilyID = [64]byte{9}, [16]byte{10}, [16]byte{11}
	})})
	if err != nil {
		t.Fatal(err)
	}
	want := attest.Claims{
		Platform: attest.SGX, ReportData: attest.ReportData{1}, Debug: true, Machine: m.Spec.InstanceID[:], TCB: got.Claims.TCB,
		SGX: &attest.SGXClaims{
			MREnclave: attesttest.MREnclave[:], MRSigner: attesttest.MRSigner[:], ISVProdID: 1, ISVSVN: 7,
			CPUSVN: attest.Hex{8, 9, 14, 13, 255, 255, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, MiscSelect: 1, Attributes: 7, XFRM: 0xe7,
			ConfigID: append(attest.Hex{9}, make([]byte, 63)...), ConfigSVN: 8,
			ISVExtProdID: append(attest.Hex{10}, make([]byte, 15)...), ISVFamilyID: append(attest.Hex{11}, make([]byte, 15)...),
			FMSPC: m.Spec.FMSPC[:], PCEID: m.Spec.PCEID[:], PPID: m.Spec.PPID[:], PlatformInstID: m.Spec.InstanceID[:],
		},
	}
	if diff := cmp.Diff(want, got.Claims); diff != "" {
		t.Error("claims (-want +got):\n" + diff)
	}
	wantDates := attest.TCB{
		Status: attest.UpToDate, EvaluationNumber: attesttest.Evaluation, Date: a.Now.AddDate(0, -3, 0),
		Issued: a.Now.AddDate(0, 0, -2), Latest: a.Now.AddDate(0, 0, -1), Expires: a.Now.AddDate(0, 0, 28),
	}
	if diff := cmp.Diff(wantDates, got.Claims.TCB); diff != "" {
		t.Error("TCB (-want +got):\n" + diff)
	}
}

func TestClaimsOfGuest(t *testing.T) {
	t.Parallel()
	m := a.Machine(func(s *attesttest.MachineSpec) { s.Processor = true })
	v := (&subject{tee: attest.TDX, options: sgx.Options{Now: a.Clock, Roots: a.Roots()}}).verifier(m.Collateral(attest.TDX))
	got, err := v.Verify(t.Context(), &attest.Evidence{Platform: attest.TDX, Quote: m.TDXQuote(5, attest.ReportData{1}, attesttest.V15, func(q *attesttest.QuoteSpec) {
		q.TDX.TDAttributes |= attesttest.DebugTD
		q.TDX.MRConfigID, q.TDX.MROwner, q.TDX.MROwnerConfig, q.TDX.MRServiceTD = [48]byte{9}, [48]byte{10}, [48]byte{11}, [48]byte{12}
	})})
	if err != nil {
		t.Fatal(err)
	}
	hash := func(b byte) attest.Hex { return append(attest.Hex{b}, make([]byte, 47)...) }
	want := attest.Claims{
		Platform: attest.TDX, ReportData: attest.ReportData{1}, Debug: true, Machine: m.Spec.PPID[:], TCB: got.Claims.TCB,
		TDX: &attest.TDXClaims{
			MRTD: attesttest.MRTD[:], RTMR: [4]attest.Hex{hash(1), hash(2), hash(3), hash(4)},
			MRSEAM: hash(0x5e), MRSignerSEAM: hash(0), MRConfigID: hash(9), MROwner: hash(10), MROwnerConfig: hash(11), MRServiceTD: hash(12),
			TDAttributes: 1<<28 | 1, XFAM: 0xe7, TEETCBSVN: attest.Hex{6, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
			FMSPC: m.Spec.FMSPC[:], PCEID: m.Spec.PCEID[:], PPID: m.Spec.PPID[:],
		},
	}
	if diff := cmp.Diff(want, got.Claims); diff != "" {
		t.Error("claims (-want +got):\n" + diff)
	}
}
