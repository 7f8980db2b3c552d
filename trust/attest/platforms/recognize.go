package platforms

import (
	"bytes"
	"encoding/binary"
	"errors"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
	"cloister/trust/attest/ratls"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
)

// Kind is the form that evidence came in.
type Kind string

// The forms.
const (
	KindJSON        Kind = "evidence in JSON"
	KindCertificate Kind = "RA-TLS certificate"
	KindQuote       Kind = "raw quote"
	KindReport      Kind = "raw SNP report"
	KindDocument    Kind = "raw insecure-none document"
)

// Recognized is evidence whose form was told by its content.
type Recognized struct {
	Kind     Kind
	Evidence *attest.Evidence
	// Certificate is set for an RA-TLS certificate.
	Certificate *ratls.Certificate
}

// errUnknown is the answer to what is none of the forms.
var errUnknown = errors.New("it is no evidence: neither a quote of SGX or TDX, nor an SNP report, an insecure-none document, an RA-TLS certificate in PEM, or evidence in JSON")

// Recognize reads evidence in any of the forms in which it is kept in files. It
// trusts nothing of it.
func Recognize(b []byte) (*Recognized, error) {
	text := bytes.TrimLeft(b, " \t\r\n")
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		e, err := Decode(b)
		return recognized(KindJSON, e, err)
	case bytes.HasPrefix(text, []byte("-----BEGIN")):
		c, err := ratls.ParsePEM(b)
		if err != nil {
			return nil, err
		}
		return &Recognized{Kind: KindCertificate, Evidence: &c.Evidence, Certificate: c}, nil
	case bytes.HasPrefix(b, []byte(insecure.Magic)):
		_, err := insecure.Parse(b)
		return recognized(KindDocument, &attest.Evidence{Platform: attest.InsecureNone, Quote: b}, err)
	case len(b) < 8:
		return nil, errUnknown
	}
	// A quote begins with version and attestation key type, which is never 0; a
	// report with a version of 32 bits.
	switch version, low, high := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]); {
	case high != 0 && low >= 3 && low <= 5:
		q, err := sgx.ParseQuote(b)
		if err != nil {
			return nil, err
		}
		return recognized(KindQuote, &attest.Evidence{Platform: q.TEE, Quote: b}, nil)
	case version >= 1 && version <= 16 && len(b) >= snp.ReportSize:
		_, err := snp.Parse(b)
		return recognized(KindReport, &attest.Evidence{Platform: attest.SNP, Quote: b}, err)
	}
	return nil, errUnknown
}

func recognized(kind Kind, e *attest.Evidence, err error) (*Recognized, error) {
	if err != nil {
		return nil, err
	}
	return &Recognized{Kind: kind, Evidence: e}, nil
}
