package snp

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/uuid"

	"cloister/trust/attest"
)

// vectorTime is when the certificates of the vector were valid.
var vectorTime = time.Date(2023, 3, 1, 0, 0, 0, 0, time.UTC)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// table writes a certificate table.
func table(certificates map[string][]byte) []byte {
	t := new(abi.CertTable)
	for guid, der := range certificates {
		t.Entries = append(t.Entries, abi.CertTableEntry{GUID: uuid.MustParse(guid), RawCert: der})
	}
	return t.Marshal()
}

func vector() []byte {
	return append(testdata.AttestationBytes[:len(testdata.AttestationBytes):len(testdata.AttestationBytes)],
		table(map[string][]byte{abi.VcekGUID: testdata.VcekBytes})...)
}

func TestVector(t *testing.T) {
	t.Parallel()
	v := NewVerifier(Options{Now: at(vectorTime), InsecureNoCRLs: true})
	got, err := v.Verify(context.Background(), &attest.Evidence{Platform: attest.SNP, Quote: vector()})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", got)
	_, err = NewVerifier(Options{Now: at(vectorTime)}).Verify(context.Background(), &attest.Evidence{Platform: attest.SNP, Quote: vector()})
	if !errors.Is(err, ErrNoCollateral) || errors.Is(err, attest.ErrRefused) {
		t.Errorf("without a revocation list: %v", err)
	}
}
