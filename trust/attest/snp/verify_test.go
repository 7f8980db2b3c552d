package snp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-sev-guest/testing/data"
	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"

	"cloister/trust/attest"
	"cloister/trust/attest/snp"
	"cloister/trust/attest/snp/snptest"
)

var reportData = attest.ReportData{1, 2, 3}

func verifier(a *snptest.Authority, edits ...func(*snp.Options)) *snp.Verifier {
	o := snp.Options{Now: a.Clock, Roots: a.Roots()}
	for _, edit := range edits {
		edit(&o)
	}
	return snp.NewVerifier(o)
}

func TestEveryProduct(t *testing.T) {
	t.Parallel()
	for _, p := range []snp.Product{snp.Milan, snp.Genoa, snp.Turin} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			a := snptest.New(snptest.Config{Product: p})
			got, err := verifier(a).Verify(context.Background(), a.Evidence(reportData))
			if err != nil {
				t.Fatal(err)
			}
			c := got.Claims
			if c.SNP.Product != string(p) || c.ReportData != reportData || c.Debug || c.SNP.SigningKey != "VCEK" || c.SNP.MigrationAgent {
				t.Errorf("claims are %+v %+v", c, c.SNP)
			}
			if !c.TCB.Latest.Equal(a.Now.AddDate(0, 0, -1)) || !c.TCB.Expires.Equal(a.Now.AddDate(0, 0, 29)) {
				t.Errorf("dates are %+v", c.TCB)
			}
			vlek := &attest.Evidence{
				Platform:     attest.SNP,
				Quote:        append(a.Report(reportData, snptest.VLEKSigned), a.Table(a.VLEK, nil, nil)...),
				Endorsements: a.CRL(nil),
			}
			// The ASVK of the test authority is not published: it has to come along.
			if _, err := verifier(a).Verify(context.Background(), vlek); !errors.Is(err, attest.ErrRefused) {
				t.Errorf("without the ASVK: %v", err)
			}
			vlek.Quote = append(a.Report(reportData, snptest.VLEKSigned), a.Table(a.VLEK, a.ASVK, a.ARK)...)
			if got, err = verifier(a).Verify(context.Background(), vlek); err != nil || got.Claims.SNP.SigningKey != "VLEK" || got.Claims.SNP.CloudProvider != "a cloud" {
				t.Errorf("signed by a VLEK: %v", err)
			}
		})
	}
}

func put64(at int, v uint64) func([]byte) {
	return func(r []byte) { binary.LittleEndian.PutUint64(r[at:], v) }
}

func put32(at int, v uint32) func([]byte) {
	return func(r []byte) { binary.LittleEndian.PutUint32(r[at:], v) }
}

// evidence makes evidence of parts that a test chose.
func evidence(a *snptest.Authority, report, table []byte) *attest.Evidence {
	return &attest.Evidence{Platform: attest.SNP, Quote: slices.Concat(report, table), Endorsements: a.CRL(nil)}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	other := snptest.New(snptest.Config{Other: true})
	genoa := snptest.New(snptest.Config{Product: snp.Genoa})
	issue := func(ca *x509.Certificate, edits ...func(*x509.Certificate)) *attest.Evidence {
		return evidence(a, a.Report(reportData), a.Table(a.Issue(ca, "SEV-VCEK", append([]func(*x509.Certificate){a.Endorses(a.TCB)}, edits...)...), a.ASK, a.ARK))
	}
	edited := func(edits ...func([]byte)) *attest.Evidence { return a.Evidence(reportData, edits...) }
	crl := func(edit func(*x509.RevocationList), revoked ...*x509.Certificate) *attest.Evidence {
		e := a.Evidence(reportData)
		e.Endorsements = a.CRL(edit, revoked...)
		return e
	}
	chip := bytes.Clone(a.HardwareID)
	chip[0]++
	tests := map[string]struct {
		e     *attest.Evidence
		check string
	}{
		"nothing":                        {nil, "not of snp"},
		"another platform":               {&attest.Evidence{Platform: attest.SGX, Quote: a.Evidence(reportData).Quote}, "not of snp"},
		"empty":                          {&attest.Evidence{Platform: attest.SNP}, "report format"},
		"truncated":                      {&attest.Evidence{Platform: attest.SNP, Quote: a.Report(reportData)[:1183]}, "report format"},
		"padded":                         {&attest.Evidence{Platform: attest.SNP, Quote: append(a.Report(reportData), 1, 2, 3)}, "report format"},
		"version 1":                      {edited(put32(snptest.OffsetVersion, 1)), "report format"},
		"version 9":                      {edited(put32(snptest.OffsetVersion, 9)), "report format"},
		"reserved bits of the policy":    {edited(put64(snptest.OffsetPolicy, 1<<40|0x30000)), "report format"},
		"signature algorithm":            {edited(put32(0x34, 2)), "report format"},
		"unsigned":                       {edited(put32(snptest.OffsetFlags, 7<<2)), "not signed"},
		"unknown key":                    {edited(put32(snptest.OffsetFlags, 3<<2)), "report format"},
		"asked for by the hypervisor":    {edited(put32(snptest.OffsetVMPL, 0xffffffff)), "vmpl"},
		"VMPL 4":                         {edited(put32(snptest.OffsetVMPL, 4)), "vmpl"},
		"migration agent not allowed":    {edited(put64(snptest.OffsetReportIDMA, 5)), "migration agent"},
		"another chip":                   {edited(func(r []byte) { copy(r[snptest.OffsetChipID:], chip) }), "chip and tcb"},
		"the VCEK is said not to sign":   {edited(put32(snptest.OffsetFlags, 2)), "MASK_CHIP_KEY"},
		"no processor in version 3":      {edited(func(r []byte) { clear(r[0x188:0x18b]) }), "not known"},
		"key certificate of other usage": {issue(a.ASK, func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageKeyAgreement }), "key usage"},
		"reported above the key's":       {edited(put64(snptest.OffsetReportedTCB, a.TCB+1), put64(snptest.OffsetCommittedTCB, a.TCB+1), put64(snptest.OffsetCurrentTCB, a.TCB+1)), "chip and tcb"},
		"reported above committed":       {edited(put64(snptest.OffsetCommittedTCB, a.TCB-1)), "tcb order"},
		"committed above current":        {edited(put64(snptest.OffsetCurrentTCB, a.TCB-1)), "tcb order"},
		"reserved level":                 {edited(put64(snptest.OffsetCurrentTCB, a.TCB|1<<24)), "tcb order"},
		"unknown processor":              {edited(func(r []byte) { r[0x188] = 0x17 }), "not known"},
		"processor of another product":   {edited(func(r []byte) { r[0x189] = 0x11 }), "Genoa"},
		"self-made root":                 {other.Evidence(reportData), "root key"},
		"root of another product":        {genoa.Evidence(reportData), "root key"},
		"VLEK without its certificate":   {edited(snptest.VLEKSigned), "VLEK"},
		"issued by the root":             {issue(a.ARK), "endorsement key chain"},
		"issued by the ASVK":             {issue(a.ASVK), "endorsement key chain"},
		"key certificate expired":        {issue(a.ASK, func(x *x509.Certificate) { x.NotAfter = a.Now.Add(-time.Hour) }), "expired"},
		"key certificate not yet valid":  {issue(a.ASK, func(x *x509.Certificate) { x.NotBefore = a.Now.Add(time.Hour) }), "not valid before"},
		"key certificate is a CA":        {issue(a.ASK, snptest.CA), "endorsement key chain"},
		"key of another TCB":             {issue(a.ASK, a.Endorses(a.TCB-1)), "chip and tcb"},
		"no levels":                      {issue(a.ASK, func(x *x509.Certificate) { x.ExtraExtensions = x.ExtraExtensions[len(x.ExtraExtensions)-2:] }), "missing"},
		"no product":                     {issue(a.ASK, func(x *x509.Certificate) { x.ExtraExtensions = x.ExtraExtensions[:9] }), "product name"},
		"critical extension":             {issue(a.ASK, func(x *x509.Certificate) { x.ExtraExtensions[8].Critical = true }), "critical"},
		"another signature algorithm":    {issue(a.ASK, func(x *x509.Certificate) { x.SignatureAlgorithm = x509.SHA384WithRSA }), "SHA384-RSAPSS"},
		"intermediate no CA": {evidence(a, a.Report(reportData), a.Table(a.VCEK, a.Issue(a.ARK, "SEV-Milan", func(x *x509.Certificate) {
			x.KeyUsage = x509.KeyUsageDigitalSignature
		}), a.ARK)), "may not issue"},
		"list expired":         {crl(func(l *x509.RevocationList) { l.NextUpdate = a.Now.Add(-time.Hour) }), "expired"},
		"list not yet valid":   {crl(func(l *x509.RevocationList) { l.ThisUpdate = a.Now.Add(time.Hour) }), "not valid before"},
		"intermediate revoked": {crl(nil, a.ASK), "was revoked"},
		"list of another root": {&attest.Evidence{Platform: attest.SNP, Quote: a.Evidence(reportData).Quote, Endorsements: other.CRL(nil)}, "revocation"},
		"list that is none":    {&attest.Evidence{Platform: attest.SNP, Quote: a.Evidence(reportData).Quote, Endorsements: []byte("list")}, "revocation"},
		"list with bytes after it": {&attest.Evidence{
			Platform: attest.SNP, Quote: a.Evidence(reportData).Quote, Endorsements: append(a.CRL(nil), 0),
		}, "followed by 1 bytes"},
		"list of some certificates": {crl(func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}}
		}), "2.5.29.28"},
		"list of changes": {crl(func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Value: []byte{2, 1, 1}}}
		}), "2.5.29.27"},
		"list with an entry of unknown meaning": {crl(func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{
				SerialNumber: big.NewInt(5), RevocationTime: a.Now,
				ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}},
			}}
		}), "2.5.29.29"},
		"list of another name": {&attest.Evidence{
			Platform: attest.SNP, Quote: a.Evidence(reportData).Quote, Endorsements: genoa.CRL(nil),
		}, "ARK-Genoa"},
		"list signed otherwise": {crl(func(l *x509.RevocationList) { l.SignatureAlgorithm = x509.SHA384WithRSA }), "SHA384-RSAPSS"},
		"root that issues no authorities": {evidence(a, a.Report(reportData), a.Table(a.VCEK, a.ASK, a.Issue(nil, "ARK-Milan", snptest.CA, func(x *x509.Certificate) {
			x.MaxPathLenZero = true
		}))), "no other authority"},
		"certificate that is no": {evidence(a, a.Report(reportData), a.Table(&x509.Certificate{Raw: []byte("none")}, nil, nil)), "endorsement key chain"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := verifier(a).Verify(context.Background(), test.e)
			if !errors.Is(err, attest.ErrRefused) {
				t.Fatalf("it is not refused: %v", err)
			}
			if !strings.Contains(err.Error(), test.check) {
				t.Errorf("refused for another reason: %v", err)
			}
			if got == nil || len(got.Failed()) == 0 {
				t.Error("no check failed")
			}
		})
	}
}

func TestVLEKRevoked(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	e := evidence(a, a.Report(reportData, snptest.VLEKSigned), a.Table(a.VLEK, a.ASVK, a.ARK))
	e.Endorsements = a.CRL(nil, a.VLEK)
	if _, err := verifier(a).Verify(context.Background(), e); !errors.Is(err, attest.ErrRefused) || !strings.Contains(err.Error(), "was revoked") {
		t.Errorf("a revoked VLEK: %v", err)
	}
}

// lists are what a source has of each kind of key.
type lists map[snp.SigningKey][]byte

func (lists) VCEK(context.Context, snp.Product, []byte, uint64) ([]byte, error) {
	return nil, snp.ErrNoCollateral
}

func (l lists) CRL(_ context.Context, _ snp.Product, key snp.SigningKey) ([]byte, error) {
	return l[key], nil
}

// TestListOfTheKey has the list of a VLEK's chain be the one that its issuer's
// certificate names.
func TestListOfTheKey(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	vlek := evidence(a, a.Report(reportData, snptest.VLEKSigned), a.Table(a.VLEK, a.ASVK, a.ARK))
	vcek := a.Evidence(reportData)
	for name, test := range map[string]struct {
		lists      lists
		vlek, vcek bool // refused
	}{
		"nothing revoked": {lists{snp.VCEK: a.CRL(nil), snp.VLEK: a.CRL(nil)}, false, false},
		"ASVK revoked":    {lists{snp.VCEK: a.CRL(nil), snp.VLEK: a.CRL(nil, a.ASVK)}, true, false},
		"ASK revoked":     {lists{snp.VCEK: a.CRL(nil, a.ASK), snp.VLEK: a.CRL(nil)}, false, true},
	} {
		v := verifier(a, func(o *snp.Options) { o.Source = test.lists })
		for e, refused := range map[*attest.Evidence]bool{vlek: test.vlek, vcek: test.vcek} {
			if _, err := v.Verify(context.Background(), e); errors.Is(err, attest.ErrRefused) != refused || (err != nil) != refused {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, x := range []*x509.Certificate{publishedASVK(t, trust.AskArkMilanVlekBytes), publishedASVK(t, trust.AskArkTurinVlekBytes)} {
		product := snp.Product(strings.TrimPrefix(x.Subject.CommonName, "SEV-VLEK-"))
		if want := []string{snp.AMD + snp.CRLPath(product, snp.VLEK)}; !slices.Equal(x.CRLDistributionPoints, want) {
			t.Errorf("%s names the list %s, asked for is %s", x.Subject.CommonName, x.CRLDistributionPoints, want)
		}
	}
}

func publishedASVK(t *testing.T, bundle []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(bundle)
	x, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestAMDRootsByDefault has no roots mean AMD's, and not any.
func TestAMDRootsByDefault(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	v := snp.NewVerifier(snp.Options{Now: a.Clock})
	if _, err := v.Verify(context.Background(), a.Evidence(reportData)); !errors.Is(err, attest.ErrRefused) {
		t.Errorf("a self-made root: %v", err)
	}
}

func TestGrace(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	e := a.Evidence(reportData)
	late := func(o *snp.Options) { o.Now = at(a.Now.AddDate(0, 0, 30)) }
	if _, err := verifier(a, late).Verify(context.Background(), e); !errors.Is(err, attest.ErrRefused) {
		t.Errorf("without grace: %v", err)
	}
	grace := func(o *snp.Options) { o.Grace = 48 * time.Hour }
	if _, err := verifier(a, late, grace).Verify(context.Background(), e); err != nil {
		t.Errorf("with grace: %v", err)
	}
}

// TestDebugAndHidden look at claims that a policy judges.
func TestDebugAndHidden(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	got, err := verifier(a).Verify(context.Background(), a.Evidence(reportData,
		put64(snptest.OffsetPolicy, 0x30000|1<<19|1<<18), put64(snptest.OffsetReportIDMA, 5),
		func(r []byte) { clear(r[snptest.OffsetChipID:][:64]) }))
	if err != nil {
		t.Fatal(err)
	}
	if c := got.Claims; !c.Debug || !c.SNP.MigrationAgent || len(c.Machine) != 0 {
		t.Errorf("claims are %+v", c)
	}
}

// TestEveryByte changes each byte of evidence in turn. What may be changed is
// listed: the format leaves it unsigned.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	e := a.Evidence(reportData)
	v := verifier(a)
	const table, line = snp.ReportSize, 24
	unsigned := func(i int) bool {
		// The names of the carried ASK and ARK: renamed, they are passed over, and
		// the chain has to hold without them.
		return i >= table+line && i < table+line+16 || i >= table+2*line && i < table+2*line+16
	}
	for i := 0; i < len(e.Quote); i += everyByte {
		quote := bytes.Clone(e.Quote)
		quote[i] ^= 1
		_, err := v.Verify(context.Background(), &attest.Evidence{Platform: attest.SNP, Quote: quote, Endorsements: e.Endorsements})
		if err == nil && !unsigned(i) {
			t.Errorf("byte %d of the quote changed: accepted", i)
		}
		// The name of the VCEK: renamed, it is not there, and has to be found elsewhere.
		missing := i >= table && i < table+16 && errors.Is(err, snp.ErrNoCollateral)
		if err != nil && !errors.Is(err, attest.ErrRefused) && !missing {
			t.Errorf("byte %d of the quote changed: %v", i, err)
		}
	}
	for i := 0; i < len(e.Endorsements); i += everyByte {
		list := bytes.Clone(e.Endorsements)
		list[i] ^= 1
		_, err := v.Verify(context.Background(), &attest.Evidence{Platform: attest.SNP, Quote: e.Quote, Endorsements: list})
		if !errors.Is(err, attest.ErrRefused) {
			t.Errorf("byte %d of the list changed: %v", i, err)
		}
	}
	for n := 0; n < len(e.Quote); n += everyByte {
		_, err := v.Verify(context.Background(), &attest.Evidence{Platform: attest.SNP, Quote: e.Quote[:n], Endorsements: e.Endorsements})
		if n != snp.ReportSize && !errors.Is(err, attest.ErrRefused) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
}

// service serves what AMD does.
func service(t *testing.T, a *snptest.Authority, asked *atomic.Int32) *snp.KDS {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch r.URL.RequestURI() {
		case snp.VCEKPath(a.Product, a.HardwareID, a.TCB):
			w.Write(a.VCEK.Raw)
		case snp.CRLPath(a.Product, snp.VCEK), snp.CRLPath(a.Product, snp.VLEK):
			w.Write(a.CRL(nil))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	kds, err := snp.NewKDS(server.URL, server.Client(), a.Clock)
	if err != nil {
		t.Fatal(err)
	}
	return kds
}

// TestService verifies a report that carries neither its key's certificate nor a
// list; both are asked for once.
func TestService(t *testing.T) {
	t.Parallel()
	for _, p := range []snp.Product{snp.Milan, snp.Turin} {
		a := snptest.New(snptest.Config{Product: p})
		asked := new(atomic.Int32)
		kds := service(t, a, asked)
		v := verifier(a, func(o *snp.Options) { o.Source = kds })
		e := &attest.Evidence{Platform: attest.SNP, Quote: append(a.Report(reportData), a.Table(nil, a.ASK, a.ARK)...)}
		for range 3 {
			if _, err := v.Verify(context.Background(), e); err != nil {
				t.Fatalf("%s: %v", p, err)
			}
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("%s: the service was asked %d times", p, n)
		}
	}
}

// TestServiceRecovers has a list that is kept do while the service is out of reach,
// until it ends, and a failure keep others from asking at once.
func TestServiceRecovers(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	var asked, down atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if down.Load() != 0 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Write(a.CRL(nil))
	}))
	t.Cleanup(server.Close)
	now := a.Now
	kds, err := snp.NewKDS(server.URL, server.Client(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	step := func(what string, at time.Time, requests int32, fails bool) {
		t.Helper()
		now = at
		asked.Store(0)
		_, err := kds.CRL(context.Background(), snp.Milan, snp.VCEK)
		if n := asked.Load(); n != requests || (err != nil) != fails || errors.Is(err, snp.ErrNoCollateral) || errors.Is(err, attest.ErrRefused) {
			t.Errorf("%s: %d requests, want %d; %v", what, n, requests, err)
		}
	}
	step("first", a.Now, 1, false)
	step("kept", a.Now.Add(59*time.Minute), 0, false)
	step("renewed", a.Now.Add(61*time.Minute), 1, false)
	down.Store(1)
	step("the old one does", a.Now.Add(3*time.Hour), 1, false)
	step("not asked at once", now.Add(59*time.Second), 0, false)
	step("asked again", now.Add(2*time.Second), 1, false)
	step("the list has ended", a.Now.AddDate(0, 0, 30), 1, true)
	step("not asked at once after a failure", now.Add(4*time.Second), 0, true)
	down.Store(0)
	step("back", now.Add(2*time.Second), 1, false)
	step("a list that has ended is not asked for at once", now.Add(59*time.Second), 0, false)
}

// TestServiceAsksOnce has one of many ask.
func TestServiceAsksOnce(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	asked := new(atomic.Int32)
	kds := service(t, a, asked)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := kds.CRL(context.Background(), a.Product, snp.VCEK); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestServiceNotAskedForNothing has a report that is refused for itself make no
// request.
func TestServiceNotAskedForNothing(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	asked := new(atomic.Int32)
	kds := service(t, a, asked)
	v := verifier(a, func(o *snp.Options) { o.Source = kds })
	e := &attest.Evidence{Platform: attest.SNP, Quote: a.Report(reportData, put32(snptest.OffsetVMPL, 4))}
	if _, err := v.Verify(context.Background(), e); !errors.Is(err, attest.ErrRefused) || asked.Load() > 0 {
		t.Errorf("%d requests, %v", asked.Load(), err)
	}
}

// TestServiceOutOfReach is no refusal, unless a list comes with the evidence.
func TestServiceOutOfReach(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	kds, err := snp.NewKDS("https://127.0.0.1:1", nil, a.Clock)
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(a, func(o *snp.Options) { o.Source = snp.Sources{kds}; o.InsecureNoCRLs = true })
	e := a.Evidence(reportData)
	if _, err := v.Verify(context.Background(), e); err != nil {
		t.Errorf("with the carried list: %v", err)
	}
	e.Endorsements = nil
	if _, err := v.Verify(context.Background(), e); err == nil || errors.Is(err, attest.ErrRefused) || errors.Is(err, snp.ErrNoCollateral) {
		t.Errorf("without a list: %v", err)
	}
}

// TestServiceAnswers are answers that are none: they are neither kept nor taken for
// a refusal of the evidence.
func TestServiceAnswers(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		text   string
	}{
		"too many requests": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, "429"},
		"no list":           {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("busy")) }, "crl"},
		"an endless list":   {func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 2<<20)) }, "more than"},
		"a way to http": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, plain.URL, http.StatusFound)
		}, "not https"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewTLSServer(test.answer)
			t.Cleanup(server.Close)
			kds, err := snp.NewKDS(server.URL, server.Client(), a.Clock)
			if err != nil {
				t.Fatal(err)
			}
			_, err = kds.CRL(context.Background(), snp.Milan, snp.VCEK)
			if err == nil || errors.Is(err, attest.ErrRefused) || errors.Is(err, snp.ErrNoCollateral) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	dir := t.TempDir()
	snptest.WriteDirectory(dir, a)
	v := verifier(a, func(o *snp.Options) { o.Source = snp.Directory(dir) })
	e := &attest.Evidence{Platform: attest.SNP, Quote: append(a.Report(reportData), a.Table(nil, a.ASK, a.ARK)...)}
	if _, err := v.Verify(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	v = verifier(a, func(o *snp.Options) { o.Source = snp.Directory(t.TempDir()) })
	if _, err := v.Verify(context.Background(), e); !errors.Is(err, snp.ErrNoCollateral) {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestNewKDS(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "kdsintf.amd.com", "http://kdsintf.amd.com", "https://", "https://u:p@host", "https://host?x=1"} {
		if _, err := snp.NewKDS(base, nil, nil); err == nil {
			t.Errorf("%q is taken for an address", base)
		}
	}
}

func FuzzParse(f *testing.F) {
	quote := vector().Quote
	f.Add(quote)
	f.Add(quote[:snp.ReportSize])
	// Offset and length whose sum overflows 32 bits.
	overflow := bytes.Clone(quote)
	binary.LittleEndian.PutUint32(overflow[snp.ReportSize+16:], 0xfffffff0)
	binary.LittleEndian.PutUint32(overflow[snp.ReportSize+20:], 0x20)
	f.Add(overflow)
	f.Fuzz(func(t *testing.T, quote []byte) {
		r, err := snp.Parse(quote)
		if err != nil {
			return
		}
		if c := r.Claims(); !bytes.Equal(c.SNP.Measurement, quote[0x90:0xC0]) {
			t.Error("the measurement was read elsewhere")
		}
	})
}

// FuzzKeyCertificate fuzzes what is read of the certificate of a report's key before
// anything says who issued it.
func FuzzKeyCertificate(f *testing.F) {
	for _, p := range []snp.Product{snp.Milan, snp.Turin} {
		a := snptest.New(snptest.Config{Product: p})
		f.Add(a.VCEK.Raw, false)
		f.Add(a.VLEK.Raw, true)
	}
	f.Add(testdata.VcekBytes, false)
	f.Fuzz(func(t *testing.T, der []byte, vlek bool) {
		kind := snp.VCEK
		if vlek {
			kind = snp.VLEK
		}
		product, hardwareID, err := snp.ParseEndorsement(der, kind)
		if err == nil && (product != snp.Milan && product != snp.Genoa && product != snp.Turin || (hardwareID == nil) != vlek) {
			t.Errorf("product %q, hardware id %x of a %s", product, hardwareID, kind)
		}
	})
}

// BenchmarkVerify measures a verification whose chain and list were seen before;
// "signature" is the arithmetic of its one signature, which is its limit.
func BenchmarkVerify(b *testing.B) {
	a := snptest.New(snptest.Config{})
	e := a.Evidence(reportData)
	v := verifier(a)
	b.Run("report", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.Verify(context.Background(), e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("signature", func(b *testing.B) {
		key := data.VCEKPrivateKey
		digest := sha512.Sum384(e.Quote)
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				b.Fatal("the signature does not hold")
			}
		}
	})
}
