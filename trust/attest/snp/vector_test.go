package snp_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/kds"
	sevsnp "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"
	"github.com/google/uuid"

	"cloister/trust/attest"
	"cloister/trust/attest/snp"
)

// vectorTime is when the certificate of go-sev-guest's report was valid.
var vectorTime = time.Date(2023, 3, 1, 0, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// vector is go-sev-guest's report, of a machine with a Milan processor, with the
// certificate of its key.
func vector() *attest.Evidence {
	table := &abi.CertTable{Entries: []abi.CertTableEntry{{GUID: uuid.MustParse(abi.VcekGUID), RawCert: testdata.VcekBytes}}}
	return &attest.Evidence{Platform: attest.SNP, Quote: slices.Concat(testdata.AttestationBytes, table.Marshal())}
}

// TestVector verifies a real report as go-sev-guest does, and reads the same from
// it.
func TestVector(t *testing.T) {
	t.Parallel()
	e := vector()
	got, err := snp.NewVerifier(snp.Options{Now: at(vectorTime), InsecureNoCRLs: true}).Verify(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	report, err := abi.ReportToProto(testdata.AttestationBytes)
	if err != nil {
		t.Fatal(err)
	}
	err = verify.SnpAttestation(&sevsnp.Attestation{
		Report:           report,
		CertificateChain: &sevsnp.CertificateChain{VcekCert: testdata.VcekBytes},
	}, &verify.Options{DisableCertFetching: true, Now: vectorTime})
	if err != nil {
		t.Errorf("go-sev-guest refuses it: %v", err)
	}
	want := attest.Claims{
		Platform:   attest.SNP,
		ReportData: attest.ReportData(report.ReportData),
		Debug:      true,
		Machine:    report.ChipId,
		SNP: &attest.SNPClaims{
			Measurement: report.Measurement, HostData: report.HostData,
			IDKeyDigest: report.IdKeyDigest, AuthorKeyDigest: report.AuthorKeyDigest,
			FamilyID: report.FamilyId, ImageID: report.ImageId, ChipID: report.ChipId,
			GuestSVN: report.GuestSvn, GuestPolicy: report.Policy, VMPL: report.Vmpl, PlatformInfo: report.PlatformInfo,
			ReportedTCB: report.ReportedTcb, CommittedTCB: report.CommittedTcb, CurrentTCB: report.CurrentTcb, LaunchTCB: report.LaunchTcb,
			Product: "Milan", SigningKey: "VCEK",
		},
		TCB: got.Claims.TCB,
	}
	if diff := cmp.Diff(want, got.Claims); diff != "" {
		t.Errorf("claims (-go-sev-guest +ours):\n%s", diff)
	}
	if want := time.Date(2029, 9, 24, 0, 55, 28, 0, time.UTC); !got.Claims.TCB.Expires.Equal(want) {
		t.Errorf("it expires on %s, want %s", got.Claims.TCB.Expires, want)
	}
}

func TestVectorWithoutCRL(t *testing.T) {
	t.Parallel()
	_, err := snp.NewVerifier(snp.Options{Now: at(vectorTime)}).Verify(context.Background(), vector())
	if !errors.Is(err, snp.ErrNoCollateral) || errors.Is(err, attest.ErrRefused) {
		t.Errorf("without a revocation list: %v", err)
	}
}

func TestVectorAtAnotherTime(t *testing.T) {
	t.Parallel()
	for _, when := range []time.Time{time.Date(2022, 9, 1, 0, 0, 0, 0, time.UTC), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)} {
		_, err := snp.NewVerifier(snp.Options{Now: at(when), InsecureNoCRLs: true}).Verify(context.Background(), vector())
		if !errors.Is(err, attest.ErrRefused) {
			t.Errorf("at %s: %v", when, err)
		}
	}
}

// TestRoots compares the pinned keys with AMD's certificates in go-sev-guest.
func TestRoots(t *testing.T) {
	t.Parallel()
	roots := snp.AMDRoots()
	if len(roots) != 3 {
		t.Errorf("%d roots", len(roots))
	}
	for _, r := range roots {
		known, err := trust.GetDefaultRootCerts(string(r.Product))
		if err != nil {
			t.Fatal(err)
		}
		if got := snp.RootOf(known.ProductCerts.Ark); got != r {
			t.Errorf("%s: pinned is %x, go-sev-guest has %x", r.Product, r.Key, got.Key)
		}
	}
}

// TestAddress compares the address of the vector's certificate with go-sev-guest's.
func TestAddress(t *testing.T) {
	t.Parallel()
	report, err := abi.ReportToProto(testdata.AttestationBytes)
	if err != nil {
		t.Fatal(err)
	}
	got, err := kds.ParseVCEKCertURL(snp.AMD + snp.VCEKPath(snp.Milan, report.ChipId, report.ReportedTcb))
	if err != nil {
		t.Fatal(err)
	}
	want := kds.VCEKCertProduct("Milan")
	want.HWID, want.TCB = report.ChipId, report.ReportedTcb
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
