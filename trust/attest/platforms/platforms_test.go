package platforms_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/faketsm"
	"github.com/google/go-sev-guest/verify/testdata"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/insecure"
	"cloister/trust/attest/platforms"
	"cloister/trust/attest/ratls"
	"cloister/trust/attest/snp/snptest"
)

var reportData = attest.ReportData{1, 2, 3}

// machines are one of each platform.
type machines struct {
	intel *attesttest.Authority
	amd   *snptest.Authority
	all   map[attest.Platform]*attest.Evidence
}

func newMachines(tb testing.TB) *machines {
	tb.Helper()
	m := &machines{intel: attesttest.New(attesttest.Config{}), amd: snptest.New(snptest.Config{})}
	none, err := insecure.NewProducer(tb.TempDir()).Produce(context.Background(), reportData)
	if err != nil {
		tb.Fatal(err)
	}
	machine := m.intel.Machine()
	m.all = map[attest.Platform]*attest.Evidence{
		attest.SGX: machine.SGX(reportData), attest.TDX: machine.TDX(reportData),
		attest.SNP: m.amd.Evidence(reportData), attest.InsecureNone: none,
	}
	return m
}

func (m *machines) options() platforms.Options {
	return platforms.Options{Now: m.intel.Clock, IntelRoots: m.intel.Roots(), AMDRoots: m.amd.Roots()}
}

func TestVerifyAndShow(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	v, err := platforms.NewVerifiers(m.options(), platforms.All()...)
	if err != nil {
		t.Fatal(err)
	}
	for p, e := range m.all {
		got, err := v.Verify(context.Background(), e)
		if err != nil || got.Claims.Platform != p || got.Claims.ReportData != reportData {
			t.Errorf("%s: %v", p, err)
			continue
		}
		shown, err := platforms.Claims(e)
		if err != nil {
			t.Errorf("%s: %v", p, err)
		}
		got.Claims.TCB = attest.TCB{} // what verification alone knows
		if diff := cmp.Diff(got.Claims, shown); diff != "" {
			t.Errorf("%s: claims (-verified +shown):\n%s", p, diff)
		}
		wrong := *e
		if wrong.Platform = attest.SGX; p == attest.SGX {
			wrong.Platform = attest.TDX
		}
		if _, err := platforms.Claims(&wrong); err == nil {
			t.Errorf("%s: evidence of a wrong platform is shown", p)
		}
	}
}

// TestNamedAlone: a platform that was not named is refused, as is everything
// without any.
func TestNamedAlone(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	if _, err := platforms.NewVerifiers(m.options()); err == nil {
		t.Error("there are verifiers of no platform")
	}
	if _, err := platforms.NewVerifiers(m.options(), "cca"); err == nil {
		t.Error("there is a verifier of an unknown platform")
	}
	for _, named := range platforms.All() {
		v, err := platforms.NewVerifiers(m.options(), named)
		if err != nil {
			t.Fatal(err)
		}
		for p, e := range m.all {
			got, err := v.Verify(context.Background(), e)
			if p == named && err != nil || p != named && (!errors.Is(err, attest.ErrRefused) || len(got.Failed()) != 1) {
				t.Errorf("%s, where %s is named: %v", p, named, err)
			}
		}
		for _, e := range []*attest.Evidence{nil, {}, {Platform: named}, {Platform: named, Quote: make([]byte, platforms.MaxQuote+1)}} {
			if _, err := v.Verify(context.Background(), e); !errors.Is(err, attest.ErrRefused) {
				t.Errorf("%+v: %v", e, err)
			}
		}
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for p, e := range newMachines(t).all {
		text, err := platforms.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := platforms.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s: %s", p, diff)
		}
	}
	if _, err := platforms.Encode(&attest.Evidence{Platform: attest.SGX}); err == nil {
		t.Error("evidence without a quote is encoded")
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":               ``,
		"null":                  `null`,
		"a list":                `[]`,
		"an empty object":       `{}`,
		"no quote":              `{"platform":"sgx"}`,
		"an empty quote":        `{"platform":"sgx","quote":""}`,
		"no platform":           `{"quote":"AAAA"}`,
		"an unknown platform":   `{"platform":"cca","quote":"AAAA"}`,
		"a platform in capital": `{"platform":"SGX","quote":"AAAA"}`,
		"a member in capital":   `{"Platform":"sgx","quote":"AAAA"}`,
		"an unknown member":     `{"platform":"sgx","quote":"AAAA","x":"y"}`,
		"a member twice":        `{"platform":"sgx","platform":"sgx","quote":"AAAA"}`,
		"a number":              `{"platform":"sgx","quote":12}`,
		"an object in it":       `{"platform":"sgx","quote":{"quote":"AAAA"}}`,
		"null in it":            `{"platform":"sgx","quote":null}`,
		"no base64":             `{"platform":"sgx","quote":"A*AA"}`,
		"base64 of another way": `{"platform":"sgx","quote":"AAB="}`,
		"base64 of two lines":   `{"platform":"sgx","quote":"AA\nAA"}`,
		"endorsements in lines": `{"platform":"sgx","quote":"AAAA","endorsements":"AA\r\nAA"}`,
		"no end":                `{"platform":"sgx","quote":"AAAA"`,
		"something after it":    `{"platform":"sgx","quote":"AAAA"} {}`,
		"empty endorsements":    `{"platform":"sgx","quote":"AAAA","endorsements":""}`,
		"a quote too long":      `{"platform":"sgx","quote":"` + strings.Repeat("AAAA", platforms.MaxQuote/3+1) + `"}`,
		"too long":              strings.Repeat(" ", platforms.MaxEvidence) + `{"platform":"sgx","quote":"AAAA"}`,
	} {
		if e, err := platforms.Decode([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if _, err := platforms.Decode([]byte("\n{ \"quote\" : \"AAAA\",\r\n\"platform\":\"\\u0073gx\"}\n ")); err != nil {
		t.Errorf("another layout: %v", err)
	}
}

func TestRecognize(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	certificate, err := ratls.Make(context.Background(), producer{m}, ratls.MakeOptions{Now: m.intel.Clock})
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := platforms.Encode(m.all[attest.TDX])
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		b        []byte
		kind     platforms.Kind
		platform attest.Platform
	}{
		"sgx":    {m.all[attest.SGX].Quote, platforms.KindQuote, attest.SGX},
		"tdx":    {m.all[attest.TDX].Quote, platforms.KindQuote, attest.TDX},
		"snp":    {m.all[attest.SNP].Quote, platforms.KindReport, attest.SNP},
		"report": {m.amd.Report(reportData), platforms.KindReport, attest.SNP},
		"none":   {m.all[attest.InsecureNone].Quote, platforms.KindDocument, attest.InsecureNone},
		"json":   {encoded, platforms.KindJSON, attest.TDX},
		"pem": {
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
			platforms.KindCertificate, attest.SGX,
		},
	} {
		got, err := platforms.Recognize(test.b)
		if err != nil || got.Kind != test.kind || got.Evidence.Platform != test.platform || (got.Certificate != nil) != (name == "pem") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if _, err := platforms.Recognize(test.b[:len(test.b)/2]); err == nil {
			t.Errorf("half of %s is taken for evidence", name)
		}
	}
	for _, b := range [][]byte{nil, []byte("a"), make([]byte, 5000), []byte("-----BEGIN CERTIFICATE-----\n"), bytes.Repeat([]byte("x"), 9000)} {
		if got, err := platforms.Recognize(b); err == nil {
			t.Errorf("%.20q: %+v", b, got)
		}
	}
}

// producer makes quotes of a test machine.
type producer struct{ m *machines }

func (producer) Platform() attest.Platform { return attest.SGX }

func (p producer) Produce(_ context.Context, d attest.ReportData) (*attest.Evidence, error) {
	return &attest.Evidence{Platform: attest.SGX, Quote: p.m.intel.Machine().SGXQuote(3, d)}, nil
}

func TestDetect(t *testing.T) {
	t.Parallel()
	guest := func(provider string) configfsi.Client {
		s := faketsm.ReportV7(0)
		before := s.ReadAttr
		s.ReadAttr = func(e *faketsm.ReportEntry, attribute string) ([]byte, error) {
			if attribute == "provider" {
				return []byte(provider), nil
			}
			return before(e, attribute)
		}
		return &faketsm.Client{Subsystems: map[string]configfsi.Client{"report": s}}
	}
	gramine := map[string]string{"gramine/attestation_type": "dcap"}
	for name, test := range map[string]struct {
		files map[string]string
		tsm   configfsi.Client
		want  attest.Platform // empty: an error
	}{
		"a plain machine":       {nil, nil, attest.InsecureNone},
		"gramine":               {gramine, nil, attest.SGX},
		"gramine in a guest":    {gramine, guest("tdx_guest"), attest.SGX},
		"gramine, no quotes":    {map[string]string{"gramine/attestation_type": "none"}, nil, ""},
		"gramine, direct":       {map[string]string{"gramine/keys/x": ""}, nil, attest.InsecureNone},
		"tdx":                   {map[string]string{"dev/tdx_guest": ""}, guest("tdx_guest\n"), attest.TDX},
		"snp":                   {nil, guest("sev_guest\n"), attest.SNP},
		"another guest":         {nil, guest("arm_cca_guest"), ""},
		"tdx without configfs":  {map[string]string{"dev/tdx_guest": ""}, nil, ""},
		"snp without configfs":  {map[string]string{"dev/sev-guest": ""}, nil, ""},
		"snp, no configfs, sgx": {map[string]string{"dev/sev-guest": "", "gramine/attestation_type": "dcap"}, nil, attest.SGX},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for path, content := range test.files {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := platforms.System{
				Gramine: filepath.Join(dir, "gramine"), Devices: filepath.Join(dir, "dev"), TSM: test.tsm, Keys: filepath.Join(dir, "keys"),
			}
			got, err := s.Detect()
			if (err == nil) != (test.want != "") || got.Platform != test.want || (got.Why == "") != (err != nil) {
				t.Errorf("detected is %+v, %v", got, err)
			}
			// A platform that is named is this one or an error, never another.
			for _, p := range platforms.All() {
				producer, err := s.NewProducer(p)
				switch {
				case err == nil && producer.Platform() != p:
					t.Errorf("a producer of %s makes evidence of %s", p, producer.Platform())
				case err == nil && p != test.want && p != attest.InsecureNone && name != "gramine in a guest":
					t.Errorf("there is a producer of %s", p)
				case err != nil && p == test.want:
					t.Errorf("no producer: %v", err)
				}
			}
			if _, err := s.NewProducer("cca"); err == nil {
				t.Error("there is a producer of an unknown platform")
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"platform":"sgx","quote":"AAAA","endorsements":"AAAA"}`))
	f.Add([]byte("{\n  \"quote\": \"AA==\",\n  \"platform\": \"insecure-none\"\n}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := platforms.Decode(text)
		if err != nil {
			return
		}
		again, err := platforms.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := platforms.Decode(again)
		if err != nil || got.Platform != e.Platform || !bytes.Equal(got.Quote, e.Quote) || !bytes.Equal(got.Endorsements, e.Endorsements) {
			t.Errorf("it does not come back: %v", err)
		}
	})
}

func FuzzRecognize(f *testing.F) {
	machine := attesttest.New(attesttest.Config{}).Machine()
	f.Add(machine.SGXQuote(3, reportData))
	f.Add(machine.TDXQuote(5, reportData))
	f.Add(testdata.AttestationBytes)
	f.Add([]byte(insecure.Magic))
	f.Add([]byte(`{"platform":"sgx","quote":"AAAA"}`))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := platforms.Recognize(b)
		if err != nil {
			return
		}
		claims, err := platforms.Claims(r.Evidence)
		if err == nil && claims.Platform != r.Evidence.Platform {
			t.Errorf("evidence of %s has claims of %s", r.Evidence.Platform, claims.Platform)
		}
	})
}
