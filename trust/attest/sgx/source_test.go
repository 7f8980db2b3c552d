package sgx_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

// writeCollateral fills a directory as docs/reference/collateral.md has it.
func writeCollateral(t *testing.T, dir string, c *sgx.Collateral) {
	t.Helper()
	for name, b := range map[string][]byte{
		"sgx/tcb-00606a000000.json": c.TCBInfo, "sgx/tcb-00606a000000.pem": c.TCBInfoChain,
		"sgx/qe-identity.json": c.QEIdentity, "sgx/qe-identity.pem": c.QEIdentityChain,
		"root.crl": c.RootCRL, "pck-platform.crl": c.PCKCRL,
	} {
		if b == nil {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func request(m *attesttest.Machine) *sgx.Request {
	return &sgx.Request{TEE: attest.SGX, FMSPC: m.Spec.FMSPC, CA: sgx.PlatformCA}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	m, dir, now := a.Machine(), t.TempDir(), a.Now
	d := sgx.NewDirectory(dir, func() time.Time { return now })
	if _, err := d.Collateral(t.Context(), request(m)); !errors.Is(err, sgx.ErrNoCollateral) || errors.Is(err, attest.ErrRefused) {
		t.Fatalf("empty directory: %v", err)
	}
	want := m.Collateral(attest.SGX)
	shown := *want
	shown.TCBInfo = append(slices.Clone(want.TCBInfo), '\n') // as an editor saves it
	writeCollateral(t, dir, &shown)
	got, err := d.Collateral(t.Context(), request(m))
	if err != nil {
		t.Fatal(err)
	}
	want.TCBInfoChain = []byte(strings.TrimSuffix(string(want.TCBInfoChain), "\n"))
	want.QEIdentityChain = want.TCBInfoChain
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	v := sgx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots(), Collateral: d})
	if _, err := v.Verify(t.Context(), &attest.Evidence{Platform: attest.SGX, Quote: m.SGXQuote(3, attest.ReportData{})}); err != nil {
		t.Error(err)
	}

	now = now.Add(time.Minute)
	if again, _ := d.Collateral(t.Context(), request(m)); again != got {
		t.Error("the same files give another collateral")
	}
	writeCollateral(t, dir, m.Collateral(attest.SGX, func(s *attesttest.CollateralSpec) { s.TCBInfo.TCBEvaluationDataNumber++ }))
	now = now.Add(time.Minute)
	if again, _ := d.Collateral(t.Context(), request(m)); again == got || cmp.Equal(again, got) {
		t.Error("other files give the same collateral")
	}

	if err := os.Remove(filepath.Join(dir, "root.crl")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	w, err := v.Verify(t.Context(), &attest.Evidence{Platform: attest.SGX, Quote: m.SGXQuote(3, attest.ReportData{})})
	wantRefused(t, w, err, "revocation")
	if _, err := d.Collateral(t.Context(), &sgx.Request{TEE: "../..", CA: sgx.PlatformCA}); err == nil {
		t.Error("a platform that is a path was accepted")
	}
	if _, err := d.Collateral(t.Context(), &sgx.Request{TEE: attest.SGX, CA: "../x"}); err == nil {
		t.Error("a CA that is a path was accepted")
	}
}

// counting counts requests and can fail.
type counting struct {
	http.Handler
	requests atomic.Int64
	fail     atomic.Int64 // this many requests
	status   int
}

func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.requests.Add(1)
	if c.fail.Add(-1) >= 0 {
		w.WriteHeader(c.status)
		return
	}
	c.Handler.ServeHTTP(w, r)
}

// serve starts a service, and returns options for it.
func serve(t *testing.T, h http.Handler) (*counting, sgx.ServiceOptions) {
	t.Helper()
	c := &counting{Handler: h, status: http.StatusServiceUnavailable}
	s := httptest.NewTLSServer(c)
	t.Cleanup(s.Close)
	return c, sgx.ServiceOptions{URL: s.URL, Client: s.Client(), Now: a.Clock, Pause: time.Millisecond}
}

func newService(t *testing.T, o sgx.ServiceOptions) *sgx.Service {
	t.Helper()
	s, err := sgx.NewService(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestService(t *testing.T) {
	t.Parallel()
	platform := a.Machine()
	processor := a.Machine(func(s *attesttest.MachineSpec) { s.Processor, s.FMSPC = true, [6]byte{0x90, 0x6e, 0xd5} })
	for name, pccs := range map[string]bool{"Intel": false, "PCCS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := attesttest.Handler(platform, processor)
			h.PCCS = pccs
			count, o := serve(t, h)
			s := newService(t, o)
			options := sgx.Options{Now: a.Clock, Roots: a.Roots(), Collateral: s}
			for range 3 {
				for _, e := range []struct {
					v     *sgx.Verifier
					quote []byte
				}{
					{sgx.NewVerifier(options), platform.SGXQuote(3, attest.ReportData{})},
					{sgx.NewVerifier(options), processor.SGXQuote(5, attest.ReportData{})},
					{sgx.NewTDXVerifier(options), platform.TDXQuote(4, attest.ReportData{})},
				} {
					if _, err := e.v.Verify(t.Context(), &attest.Evidence{Platform: e.v.Platform(), Quote: e.quote}); err != nil {
						t.Error(err)
					}
				}
			}
			// TCB infos of two machines and TDX, identities of SGX and TDX, three lists.
			if n := count.requests.Load(); n != 8 {
				t.Errorf("%d requests, want 8", n)
			}
		})
	}
}

func TestServiceUnknownMachine(t *testing.T) {
	t.Parallel()
	_, o := serve(t, attesttest.Handler(a.Machine()))
	other := a.Machine(func(s *attesttest.MachineSpec) { s.FMSPC = [6]byte{1} })
	v := sgx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots(), Collateral: newService(t, o)})
	_, err := v.Verify(t.Context(), &attest.Evidence{Platform: attest.SGX, Quote: other.SGXQuote(3, attest.ReportData{})})
	if !errors.Is(err, sgx.ErrNoCollateral) || errors.Is(err, attest.ErrRefused) {
		t.Error(err)
	}
}

// What is not believed must not have the verifier ask a service.
func TestServiceNotAskedForForgeries(t *testing.T) {
	t.Parallel()
	count, o := serve(t, attesttest.Handler(a.Machine()))
	v := sgx.NewVerifier(sgx.Options{Now: a.Clock, Collateral: newService(t, o)}) // Intel's root
	w, err := v.Verify(t.Context(), &attest.Evidence{Platform: attest.SGX, Quote: a.Machine().SGXQuote(3, attest.ReportData{})})
	wantRefused(t, w, err, "pck chain")
	if n := count.requests.Load(); n > 0 {
		t.Errorf("%d requests", n)
	}
}

func TestServiceRetries(t *testing.T) {
	t.Parallel()
	m := a.Machine()
	count, o := serve(t, attesttest.Handler(m))
	count.fail.Store(2)
	if _, err := newService(t, o).Collateral(t.Context(), request(m)); err != nil {
		t.Error(err)
	}
	count.fail.Store(1 << 40)
	count.requests.Store(0)
	_, err := newService(t, o).Collateral(t.Context(), request(m))
	if err == nil || errors.Is(err, attest.ErrRefused) || errors.Is(err, sgx.ErrNoCollateral) {
		t.Errorf("service that fails: %v", err)
	}
	if n := count.requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	count.status = http.StatusUnauthorized
	count.requests.Store(0)
	if _, err := newService(t, o).Collateral(t.Context(), request(m)); err == nil || count.requests.Load() != 1 {
		t.Errorf("refused request: %v after %d requests, want 1", err, count.requests.Load())
	}
	if _, err := newService(t, o).Collateral(canceled(), request(m)); err == nil || errors.Is(err, attest.ErrRefused) {
		t.Error(err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A service that comes back is used, and one that is gone is done without until
// what was got has expired.
func TestServiceExpiry(t *testing.T) {
	t.Parallel()
	m, now := a.Machine(), a.Now
	count, o := serve(t, attesttest.Handler(m))
	o.Now = func() time.Time { return now }
	o.Cache, o.Grace = t.TempDir(), time.Hour
	s := newService(t, o)
	got, err := s.Collateral(t.Context(), request(m))
	if err != nil {
		t.Fatal(err)
	}
	step := func(what string, to time.Time, wantRequests int64, wantErr bool) {
		t.Helper()
		now = to
		count.requests.Store(0)
		again, err := s.Collateral(t.Context(), request(m))
		if n := count.requests.Load(); n != wantRequests || (err != nil) != wantErr {
			t.Errorf("%s: %d requests, want %d; %v", what, n, wantRequests, err)
		}
		if err == nil && again != got {
			t.Errorf("%s: another collateral", what)
		}
	}
	step("soon", a.Now.Add(11*time.Hour), 0, false)
	step("refreshed", a.Now.Add(13*time.Hour), 4, false)
	count.fail.Store(1 << 40)
	step("service gone", a.Now.Add(26*time.Hour), 12, false)
	step("not asked at once", now.Add(59*time.Second), 0, false)
	step("asked again", now.Add(2*time.Second), 12, false)
	next := a.Now.AddDate(0, 0, 28) // of the QE identity
	step("last second of the grace", next.Add(time.Hour), 12, false)
	step("expired", next.Add(time.Hour+2*time.Minute), 6, true)
	step("not asked at once after a failure", now.Add(time.Second), 0, true)

	// Another process starts with what the first one kept.
	now = a.Now.Add(14 * time.Hour)
	count.requests.Store(0)
	s = newService(t, o)
	kept, err := s.Collateral(t.Context(), request(m))
	if err != nil || !cmp.Equal(kept, got) || count.requests.Load() > 0 {
		t.Errorf("from the directory: %v, %d requests", err, count.requests.Load())
	}
	d, err := sgx.NewDirectory(o.Cache, nil).Collateral(t.Context(), request(m))
	if err != nil || string(d.TCBInfo) != string(got.TCBInfo) || string(d.PCKCRL) != string(got.PCKCRL) {
		t.Errorf("the cache is not a directory of collateral: %v", err)
	}
}

func TestServiceAsksOnce(t *testing.T) {
	t.Parallel()
	m := a.Machine()
	count, o := serve(t, attesttest.Handler(m))
	s := newService(t, o)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := s.Collateral(context.Background(), request(m)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := count.requests.Load(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
}

func TestServiceAnswers(t *testing.T) {
	t.Parallel()
	m := a.Machine()
	good := attesttest.Handler(m)
	// A handler that returned when its client hangs up could still end its answer.
	hang := func(r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"a page":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "without header TCB-Info-Issuer-Chain"},
		"too large": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) }, "answers with more than 1048576 bytes"},
		"header not escaped": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("TCB-Info-Issuer-Chain", "%zz")
		}, "which is not escaped"},
		"not JSON": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("TCB-Info-Issuer-Chain", "x")
			_, _ = io.WriteString(w, "{}")
		}, "does not start with"},
		"redirected to http": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, "is not https"},
		"redirected in a circle": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}, "redirected too often"},
		"hanging": {func(_ http.ResponseWriter, r *http.Request) { hang(r) }, "deadline exceeded"},
		"body that hangs": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			hang(r)
		}, "deadline exceeded"},
		"broken list": {func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "crl") {
				_, _ = io.WriteString(w, "no list")
				return
			}
			good.ServeHTTP(w, r)
		}, "x509: malformed crl"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, o := serve(t, c.serve)
			o.Retries, o.Timeout = -1, 200*time.Millisecond
			if !strings.Contains(c.want, "deadline") {
				o.Timeout = 0
			}
			_, err := newService(t, o).Collateral(t.Context(), request(m))
			if err == nil || errors.Is(err, attest.ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestServiceAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "http://pccs:8081", "pccs:8081", "https://", "https://pccs/?x", "https://pccs/#x", "https://\x00"} {
		if _, err := sgx.NewService(sgx.ServiceOptions{URL: address}); err == nil {
			t.Errorf("address %q was accepted", address)
		}
	}
	if _, err := sgx.NewService(sgx.ServiceOptions{URL: sgx.IntelService, RootCRL: "http://x/"}); err == nil {
		t.Error("an address of the root's list that is not https was accepted")
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	m := a.Machine()
	e := m.SGX(attest.ReportData{})
	count, o := serve(t, attesttest.Handler(m))
	verify := func(s sgx.Source, e *attest.Evidence) error {
		_, err := sgx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots(), Collateral: s}).Verify(context.Background(), e)
		return err
	}
	bare := &attest.Evidence{Platform: attest.SGX, Quote: e.Quote}
	if err := verify(nil, bare); !errors.Is(err, sgx.ErrNoCollateral) || errors.Is(err, attest.ErrRefused) {
		t.Errorf("no collateral anywhere: %v", err)
	}
	if err := verify(sgx.Sources{}, e); !errors.Is(err, sgx.ErrNoCollateral) {
		t.Errorf("no sources: %v", err)
	}
	if err := verify(sgx.Sources{sgx.NewDirectory(t.TempDir(), nil), newService(t, o)}, bare); err != nil {
		t.Errorf("the second source has it: %v", err)
	}
	count.fail.Store(1 << 40)
	if err := verify(sgx.Sources{newService(t, o), sgx.NewCarried()}, e); err != nil {
		t.Errorf("the evidence carries it: %v", err)
	}
	err := verify(sgx.Sources{newService(t, o), sgx.NewCarried()}, bare)
	if err == nil || errors.Is(err, attest.ErrRefused) || errors.Is(err, sgx.ErrNoCollateral) {
		t.Errorf("the service may have it but is gone: %v", err)
	}
	count.fail.Store(0)
	broken := *e
	broken.Endorsements = []byte("{}")
	if err := verify(sgx.Sources{sgx.NewCarried(), newService(t, o)}, &broken); !errors.Is(err, attest.ErrRefused) {
		t.Errorf("broken endorsements: %v", err)
	}
}
