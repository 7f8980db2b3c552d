package tdx_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	tdxabi "github.com/google/go-tdx-guest/abi"
	tdxpb "github.com/google/go-tdx-guest/proto/tdx"
	tdxtesting "github.com/google/go-tdx-guest/testing"
	"github.com/google/go-tdx-guest/testing/testdata"
	tdxverify "github.com/google/go-tdx-guest/verify"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/tdx"
)

// vectorTime is when the collateral of go-tdx-guest's quote was valid.
var vectorTime = time.Date(2023, 7, 1, 1, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// vector is go-tdx-guest's quote, of production hardware, without the bytes that
// follow it there, and the responses of Intel's service that the module recorded.
func vector(t *testing.T) *attest.Evidence {
	t.Helper()
	chain := func(header map[string][]string, name string) []byte {
		text, err := url.PathUnescape(header[name][0])
		if err != nil {
			t.Fatal(err)
		}
		return []byte(text)
	}
	c := &sgx.Collateral{
		TCBInfo:         bytes.TrimSpace(testdata.TcbInfoBody),
		TCBInfoChain:    chain(tdxtesting.TcbInfoHeader, "Tcb-Info-Issuer-Chain"),
		QEIdentity:      bytes.TrimSpace(testdata.QeIdentityBody),
		QEIdentityChain: chain(tdxtesting.QeIdentityHeader, "Sgx-Enclave-Identity-Issuer-Chain"),
		RootCRL:         testdata.RootCrlBody,
		PCKCRL:          testdata.PckCrlBody,
	}
	endorsements, err := c.Endorsements()
	if err != nil {
		t.Fatal(err)
	}
	size, err := sgx.QuoteSize(testdata.RawQuote)
	if err != nil {
		t.Fatal(err)
	}
	return &attest.Evidence{Platform: attest.TDX, Quote: testdata.RawQuote[:size], Endorsements: endorsements}
}

// theirs verifies a quote with google/go-tdx-guest.
func theirs(quote []byte, o *tdxverify.Options) (*tdxpb.QuoteV4, error) {
	parsed, err := tdxabi.QuoteToProto(quote)
	if err != nil {
		return nil, err
	}
	v4, ok := parsed.(*tdxpb.QuoteV4)
	if !ok {
		return nil, fmt.Errorf("a quote of %T", parsed)
	}
	return v4, tdxverify.TdxQuote(parsed, o)
}

// TestVector verifies a real quote. Both implementations accept its signatures and
// certificates; with the recorded collateral, whose levels are newer than the
// quote, both refuse it, for the same reason.
func TestVector(t *testing.T) {
	t.Parallel()
	e := vector(t)
	got, err := tdx.NewVerifier(sgx.Options{Now: at(vectorTime)}).Verify(context.Background(), e)
	if !errors.Is(err, attest.ErrRefused) {
		t.Errorf("verified: %v", err)
	}
	var failed []string
	for _, c := range got.Failed() {
		failed = append(failed, c.Name)
	}
	if diff := cmp.Diff([]string{"tcb level"}, failed); diff != "" {
		t.Errorf("failed checks (-want +got):\n%s", diff)
	}
	if len(got.Checks) != 14 {
		t.Errorf("%d checks were made: %v", len(got.Checks), got.Checks)
	}
	parsed, err := theirs(e.Quote, &tdxverify.Options{Now: vectorTime})
	if err != nil {
		t.Errorf("go-tdx-guest without collateral: %v", err)
	}
	_, err = theirs(e.Quote, &tdxverify.Options{CheckRevocations: true, GetCollateral: true, Getter: tdxtesting.TestGetter, Now: vectorTime})
	if err == nil || !strings.Contains(err.Error(), "no matching TCB level found") {
		t.Errorf("go-tdx-guest with collateral: %v", err)
	}
	sameClaims(t, got.Claims, parsed)
	_, err = tdx.NewVerifier(sgx.Options{Now: at(vectorTime.AddDate(30, 0, 0))}).Verify(context.Background(), e)
	if !errors.Is(err, attest.ErrRefused) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("thirty years later: %v", err)
	}
}

// sameClaims compares claims with what go-tdx-guest reads.
func sameClaims(t *testing.T, got attest.Claims, parsed *tdxpb.QuoteV4) {
	t.Helper()
	body := parsed.GetTdQuoteBody()
	little := func(b []byte) (n uint64) {
		for i, c := range b {
			n |= uint64(c) << (8 * i)
		}
		return n
	}
	want := &attest.TDXClaims{
		MRTD: body.MrTd, MRSEAM: body.MrSeam, MRSignerSEAM: body.MrSignerSeam,
		MRConfigID: body.MrConfigId, MROwner: body.MrOwner, MROwnerConfig: body.MrOwnerConfig,
		SEAMAttributes: little(body.SeamAttributes), TDAttributes: little(body.TdAttributes), XFAM: little(body.Xfam),
		TEETCBSVN: body.TeeTcbSvn,
		FMSPC:     got.TDX.FMSPC, PCEID: got.TDX.PCEID, PPID: got.TDX.PPID, PlatformInstID: got.TDX.PlatformInstID,
	}
	for i := range want.RTMR {
		want.RTMR[i] = body.Rtmrs[i]
	}
	if diff := cmp.Diff(want, got.TDX); diff != "" {
		t.Errorf("claims (-go-tdx-guest +ours):\n%s", diff)
	}
	if got.ReportData != attest.ReportData(body.ReportData) {
		t.Errorf("report data are %x, go-tdx-guest reads %x", got.ReportData, body.ReportData)
	}
}

// getter answers go-tdx-guest from a test authority's service.
type getter struct {
	authority *attesttest.Authority
	service   *attesttest.Service
}

func (g getter) Get(address string) (map[string][]string, []byte, error) {
	w := httptest.NewRecorder()
	g.service.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
	if w.Code != 200 {
		return nil, nil, fmt.Errorf("%s: %d", address, w.Code)
	}
	header := map[string][]string{}
	for name, values := range w.Result().Header {
		// Intel escapes the plus signs of base64, as the module relies on.
		header[name] = []string{strings.ReplaceAll(values[0], "+", "%2B")}
	}
	if strings.Contains(address, "/pckcrl") {
		header["Sgx-Pck-Crl-Issuer-Chain"] = []string{url.QueryEscape(string(g.authority.Platform.PEM()) + string(g.authority.Root.PEM()))}
	}
	return header, w.Body.Bytes(), nil
}

// TestCrossCheck has both implementations verify quotes of a test authority, whole
// and with bytes of every part changed.
func TestCrossCheck(t *testing.T) {
	t.Parallel()
	a := attesttest.New(attesttest.Config{})
	m := a.Machine()
	roots := x509.NewCertPool()
	roots.AddCert(a.Root.Cert)
	e := m.TDX(attest.ReportData{1, 2, 3})
	ours := tdx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots()})
	service := attesttest.Handler(m)
	service.Edits = func(attest.Platform) []func(*attesttest.CollateralSpec) {
		return []func(*attesttest.CollateralSpec){func(s *attesttest.CollateralSpec) {
			// The module compares digits, and finds small ones in certificates.
			s.TCBInfo.FMSPC = strings.ToLower(s.TCBInfo.FMSPC)
		}}
	}
	options := func() *tdxverify.Options {
		return &tdxverify.Options{
			CheckRevocations: true, GetCollateral: true, Getter: getter{a, service}, Now: a.Now, TrustedRoots: roots,
		}
	}
	got, err := ours.Verify(context.Background(), e)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := theirs(e.Quote, options())
	if err != nil {
		t.Fatalf("go-tdx-guest refuses what we accept: %v", err)
	}
	sameClaims(t, got.Claims, parsed)

	// What the machine signs, and the signatures; the certificates are text.
	end := bytes.Index(e.Quote, []byte("-----BEGIN"))
	for i := 0; i < end; i += 37 {
		quote := bytes.Clone(e.Quote)
		quote[i] ^= 0x10
		_, err := ours.Verify(context.Background(), &attest.Evidence{Platform: attest.TDX, Quote: quote, Endorsements: e.Endorsements})
		if !errors.Is(err, attest.ErrRefused) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := theirs(quote, options()); err == nil {
			t.Errorf("byte %d changed: go-tdx-guest accepts it", i)
		}
	}
}
