package sgx_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"testing"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

func FuzzQuote(f *testing.F) {
	for _, s := range subjects(f) {
		f.Add(s.quote)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := sgx.ParseQuote(b)
		size, sizeErr := sgx.QuoteSize(b)
		if err != nil {
			if q != nil {
				t.Error("a quote beside an error")
			}
			return
		}
		if sizeErr != nil || size != len(b) {
			t.Errorf("size %d, %v of a quote of %d bytes", size, sizeErr, len(b))
		}
		if (q.SGX != nil) == (q.TDX != nil) || (q.SGX != nil) != (q.TEE == attest.SGX) {
			t.Errorf("bodies of a quote of %s", q.TEE)
		}
		if !bytes.HasPrefix(b, q.Signed) || len(q.Signature) != 64 || len(q.AttestationKey) != 64 || len(q.QESignature) != 64 || len(q.QESigned) != 384 {
			t.Error("parts have other sizes")
		}
	})
}

// extensionOf returns the SGX extension of a machine.
func extensionOf(tb testing.TB, m *attesttest.Machine) []byte {
	tb.Helper()
	for _, e := range m.PCK.Cert.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}) {
			return e.Value
		}
	}
	tb.Fatal("no extension")
	return nil
}

func FuzzPCKExtension(f *testing.F) {
	f.Add(extensionOf(f, a.Machine()))
	f.Add(extensionOf(f, a.Machine(func(s *attesttest.MachineSpec) { s.Processor = true })))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := sgx.ParsePCKExtension(b); (p == nil) == (err == nil) || err == nil && p.SGXType > sgx.ScalableWithIntegrity {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func FuzzTCBInfo(f *testing.F) {
	_, c := oasis(f)
	f.Add(c.TCBInfo)
	f.Add(a.Machine().Collateral(attest.TDX).TCBInfo)
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := sgx.ParseTCBInfo(b)
		if err != nil {
			return
		}
		if len(info.Levels) == 0 || (info.Module != nil) != (info.TEE == attest.TDX) || !bytes.Contains(b, info.Signed.Body) || len(info.Signed.Signature) != 64 {
			t.Errorf("%+v", info)
		}
	})
}

func FuzzQEIdentity(f *testing.F) {
	_, c := oasis(f)
	f.Add(c.QEIdentity)
	f.Add(a.Machine().Collateral(attest.TDX).QEIdentity)
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := sgx.ParseQEIdentity(b); err == nil && (len(q.Levels) == 0 || !bytes.Contains(b, q.Signed.Body)) {
			t.Errorf("%+v", q)
		}
	})
}

func FuzzEndorsements(f *testing.F) {
	e, _ := oasis(f)
	f.Add(e.Endorsements)
	f.Add(a.Machine().TDX(attest.ReportData{}).Endorsements)
	f.Add([]byte(`{"version":1,"tcb_info":"","tcb_info_chain":"","qe_identity":"","qe_identity_chain":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := sgx.ParseEndorsements(b)
		if err != nil {
			return
		}
		if again, err := c.Endorsements(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%v: %q became %q", err, b, again)
		}
	})
}

func FuzzChain(f *testing.F) {
	m := a.Machine()
	f.Add(m.Chain)
	f.Add(bytes.TrimSuffix(m.Collateral(attest.SGX).TCBInfoChain, []byte("\n")))
	f.Fuzz(func(t *testing.T, b []byte) {
		certs, err := sgx.ParsePEM(b)
		if err != nil {
			return
		}
		var again []byte
		for _, cert := range certs {
			again = append(again, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
		}
		if !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), bytes.TrimSuffix(b, []byte("\n"))) {
			t.Errorf("%q has bytes that are not of its %d certificates", b, len(certs))
		}
	})
}
