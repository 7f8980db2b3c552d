package tsm_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/configfs/faketsm"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
	"cloister/trust/attest/snp/snptest"
	"cloister/trust/attest/tsm"
)

var reportData = attest.ReportData{1, 2, 3}

// kernel plays configfs-tsm of a provider: report makes what outblob and auxblob
// have for the report data.
func kernel(provider string, report func(attest.ReportData) (out, aux []byte)) configfsi.Client {
	s := faketsm.ReportV7(0)
	before := s.ReadAttr
	s.ReadAttr = func(e *faketsm.ReportEntry, attribute string) ([]byte, error) {
		out, aux := report(attest.ReportData(e.InAttrs["inblob"].Value))
		switch attribute {
		case "provider":
			return []byte(provider + "\n"), nil
		case "outblob":
			return out, nil
		case "auxblob":
			if aux == nil {
				return nil, os.ErrNotExist
			}
			return aux, nil
		}
		return before(e, attribute)
	}
	return &faketsm.Client{Subsystems: map[string]configfsi.Client{"report": s}}
}

func TestTDX(t *testing.T) {
	t.Parallel()
	a := attesttest.New(attesttest.Config{})
	m := a.Machine()
	p, err := tsm.NewProducer(kernel("tdx_guest", func(d attest.ReportData) ([]byte, []byte) {
		return append(m.TDXQuote(4, d), make([]byte, 100)...), nil // a longer buffer
	}))
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Produce(context.Background(), reportData)
	if err != nil {
		t.Fatal(err)
	}
	if e.Endorsements, err = m.Collateral(attest.TDX).Endorsements(); err != nil {
		t.Fatal(err)
	}
	got, err := sgx.NewTDXVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots()}).Verify(context.Background(), e)
	if err != nil || got.Claims.ReportData != reportData {
		t.Errorf("%v", err)
	}
}

func TestSNP(t *testing.T) {
	t.Parallel()
	a := snptest.New(snptest.Config{})
	p, err := tsm.NewProducer(kernel("sev_guest", func(d attest.ReportData) ([]byte, []byte) {
		return a.Report(d), a.Table(a.VCEK, a.ASK, a.ARK)
	}))
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Produce(context.Background(), reportData)
	if err != nil {
		t.Fatal(err)
	}
	e.Endorsements = a.CRL(nil)
	got, err := snp.NewVerifier(snp.Options{Now: a.Clock, Roots: a.Roots()}).Verify(context.Background(), e)
	if err != nil || got.Claims.ReportData != reportData {
		t.Errorf("%v", err)
	}
}

// broken fails where it is told to.
type broken struct {
	configfsi.Client
	mkdir error
}

func (b broken) MkdirTemp(string, string) (string, error) { return "", b.mkdir }

func TestDetect(t *testing.T) {
	t.Parallel()
	nothing := func(attest.ReportData) ([]byte, []byte) { return nil, nil }
	for name, test := range map[string]struct {
		client configfsi.Client
		none   bool
		text   string
	}{
		"no configfs":      {nil, true, ""},
		"no directory":     {broken{mkdir: fs.ErrNotExist}, true, ""},
		"no provider":      {broken{mkdir: &fs.PathError{Op: "mkdir", Err: syscall.ENXIO}}, true, ""},
		"no permission":    {broken{mkdir: fs.ErrPermission}, false, "permission"},
		"another provider": {kernel("arm_cca_guest", nothing), false, "arm_cca_guest"},
	} {
		_, err := tsm.Detect(test.client)
		if err == nil || errors.Is(err, tsm.ErrNoTSM) != test.none || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := tsm.NewProducer(test.client); err == nil {
			t.Errorf("%s: there is a producer", name)
		}
	}
}

// disturbed plays another process that writes to the entry after a report was read
// from it, so many times.
type disturbed struct {
	configfsi.Client

	times, reports int
	read           bool
}

func (d *disturbed) ReadFile(name string) ([]byte, error) {
	switch path.Base(name) {
	case "outblob":
		d.read = true
		d.reports++
	case "generation":
		if d.read && d.times > 0 {
			d.read, d.times = false, d.times-1
			return []byte("77\n"), nil
		}
	}
	return d.Client.ReadFile(name)
}

// TestDisturbed has a report be asked for again that another process disturbed, a
// few times.
func TestDisturbed(t *testing.T) {
	t.Parallel()
	m := attesttest.New(attesttest.Config{}).Machine()
	for times, want := range map[int]struct {
		reports int
		fails   bool
	}{0: {1, false}, 2: {3, false}, 4: {5, false}, 100: {5, true}} {
		client := &disturbed{Client: kernel("tdx_guest", func(d attest.ReportData) ([]byte, []byte) { return m.TDXQuote(4, d), nil })}
		p, err := tsm.NewProducer(client)
		if err != nil {
			t.Fatal(err)
		}
		client.times, client.reports = times, 0
		_, err = p.Produce(context.Background(), reportData)
		if (err != nil) != want.fails || client.reports != want.reports || err != nil && !strings.Contains(err.Error(), "generation") {
			t.Errorf("disturbed %d times: %d reports, want %d; %v", times, client.reports, want.reports, err)
		}
	}
	client := &disturbed{Client: kernel("tdx_guest", func(d attest.ReportData) ([]byte, []byte) { return m.TDXQuote(4, d), nil })}
	p, err := tsm.NewProducer(client)
	if err != nil {
		t.Fatal(err)
	}
	client.times = 100
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Produce(ctx, reportData); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestOtherReportData has evidence of other report data than were asked for be none.
func TestOtherReportData(t *testing.T) {
	t.Parallel()
	m, a := attesttest.New(attesttest.Config{}).Machine(), snptest.New(snptest.Config{})
	other := attest.ReportData{9}
	for name, test := range map[string]struct {
		provider string
		out      []byte
	}{
		"a quote of other data":  {"tdx_guest", m.TDXQuote(4, other)},
		"a quote of an enclave":  {"tdx_guest", m.SGXQuote(3, reportData)},
		"a report of other data": {"sev_guest", a.Report(other)},
	} {
		p, err := tsm.NewProducer(kernel(test.provider, func(attest.ReportData) ([]byte, []byte) { return test.out, []byte{} }))
		if err != nil {
			t.Fatal(err)
		}
		if e, err := p.Produce(context.Background(), reportData); err == nil || !strings.Contains(err.Error(), "than were asked for") {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}

func TestBadReports(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		provider string
		out, aux []byte
	}{
		"an empty quote":   {"tdx_guest", nil, nil},
		"a cut quote":      {"tdx_guest", bytes.Repeat([]byte{4, 0}, 300), nil},
		"an empty report":  {"sev_guest", nil, []byte{}},
		"no certificates":  {"sev_guest", []byte{1}, nil},
		"an empty provide": {"sev_guest ", nil, nil},
	} {
		p, err := tsm.NewProducer(kernel(test.provider, func(attest.ReportData) ([]byte, []byte) { return test.out, test.aux }))
		if err != nil {
			t.Fatal(err)
		}
		if e, err := p.Produce(context.Background(), reportData); err == nil {
			t.Errorf("%s: %v", name, e)
		}
	}
}
