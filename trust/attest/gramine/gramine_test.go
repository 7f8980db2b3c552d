package gramine_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/gramine"
	"cloister/trust/attest/sgx"
)

var reportData = attest.ReportData{1, 2, 3}

// files makes a directory like /dev/attestation of plain files.
func files(t *testing.T, content map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range content {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestProduce(t *testing.T) {
	t.Parallel()
	a := attesttest.New(attesttest.Config{})
	m := a.Machine()
	dir := files(t, map[string][]byte{
		"attestation_type": []byte("dcap\n"), "user_report_data": make([]byte, 64), "quote": m.SGXQuote(3, reportData),
	})
	p, err := gramine.NewProducer(dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Produce(context.Background(), reportData)
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(filepath.Join(dir, "user_report_data"))
	if err != nil || !bytes.Equal(written, reportData[:]) {
		t.Errorf("user_report_data are %x, %v", written, err)
	}
	if e.Endorsements, err = m.Collateral(attest.SGX).Endorsements(); err != nil {
		t.Fatal(err)
	}
	if _, err := sgx.NewVerifier(sgx.Options{Now: a.Clock, Roots: a.Roots()}).Verify(context.Background(), e); err != nil {
		t.Error(err)
	}

	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Produce(canceled, reportData); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	_, err = p.Produce(context.Background(), attest.ReportData{9})
	if err == nil || !strings.Contains(err.Error(), "other report data") {
		t.Errorf("a quote with other report data: %v", err)
	}
}

func TestNoProducer(t *testing.T) {
	t.Parallel()
	_, err := gramine.NewProducer(t.TempDir())
	if !errors.Is(err, gramine.ErrNoGramine) {
		t.Errorf("without gramine: %v", err)
	}
	_, err = gramine.NewProducer(files(t, map[string][]byte{"attestation_type": []byte("none")}))
	if err == nil || errors.Is(err, gramine.ErrNoGramine) || !strings.Contains(err.Error(), "sgx.remote_attestation") {
		t.Errorf("without attestation: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	quote := attesttest.New(attesttest.Config{}).Machine().SGXQuote(3, reportData)
	for name, content := range map[string]map[string][]byte{
		"no user_report_data": {"quote": quote},
		"no quote":            {"user_report_data": nil},
		"an empty quote":      {"user_report_data": nil, "quote": nil},
		"a cut quote":         {"user_report_data": nil, "quote": quote[:400]},
		"an endless quote":    {"user_report_data": nil, "quote": append(bytes.Clone(quote), make([]byte, 1<<17)...)},
		"another version":     {"user_report_data": nil, "quote": append([]byte{9}, quote[1:]...)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := files(t, content)
			if err := os.WriteFile(filepath.Join(dir, "attestation_type"), []byte("dcap"), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := gramine.NewProducer(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Produce(context.Background(), reportData); err == nil {
				t.Error("there is evidence")
			}
		})
	}
}
