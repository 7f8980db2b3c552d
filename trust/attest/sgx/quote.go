package sgx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"cloister/trust/attest"
)

// Quote is a quote as its bytes say, nothing of it verified ([QuoteLib] A.4,
// [TDXQuoteLib] A.3 and A.4).
type Quote struct {
	Version uint16          // 3, 4 or 5
	TEE     attest.Platform // SGX or TDX
	// QESVN and PCESVN are of version 3; later versions reserve their place.
	QESVN, PCESVN uint16
	UserData      [20]byte // the quoting enclave's id and zeros

	SGX *Report   // the body, if TEE is SGX
	TDX *TDReport // the body, if TEE is TDX

	Signed         []byte // header and body: what the attestation key signs
	Signature      []byte // r and s
	AttestationKey []byte // x and y

	QE          Report
	QESigned    []byte // the bytes of QE
	QESignature []byte // r and s, by the PCK
	QEAuthData  []byte
	// Chain is the certification data of type 5: PCK certificate, intermediate
	// and root in PEM.
	Chain []byte
}

const (
	headerSize   = 48
	bodyTypeSize = 6 // of version 5: a type and a size
	reportSize   = 384
	tdReport10   = 584
	tdReport15   = 648
	authSizeSize = 4

	teeSGX = 0x00
	teeTDX = 0x81

	ecdsaP256 = 2 // attestation key type: ECDSA-256 with curve P-256

	bodySGX   = 1
	bodyTDX10 = 2
	bodyTDX15 = 3

	certPCKChain = 5
	certQEReport = 6

	// maxQuote bounds what is read; Intel's quotes have about 5,000 bytes.
	maxQuote = 64 << 10
)

// qeVendor is Intel's id of quoting enclaves, the only one that exists.
var qeVendor = []byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

// reader takes fields off a quote. After a failure it stays failed.
type reader struct {
	b   []byte
	off int
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *reader) take(n int, what string) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b)-r.off {
		r.fail("%s: %d bytes wanted at offset %d, %d are left", what, n, r.off, len(r.b)-r.off)
		return nil
	}
	b := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

func (r *reader) uint16(what string) uint16 {
	if b := r.take(2, what); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32(what string) uint32 {
	if b := r.take(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64(what string) uint64 {
	if b := r.take(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// zeros takes reserved bytes.
func (r *reader) zeros(n int, what string) {
	at := r.off
	for _, c := range r.take(n, what) {
		if c != 0 {
			r.fail("reserved bytes of the %s at offset %d are not zero", what, at)
			return
		}
	}
}

func (r *reader) end(what string) {
	if r.err == nil && r.off != len(r.b) {
		r.fail("%s: %d bytes too many", what, len(r.b)-r.off)
	}
}

// ParseQuote reads a quote. Every byte must have its place: truncated and padded
// quotes are refused, as are versions, types and reserved values that no
// specification defines.
func ParseQuote(b []byte) (*Quote, error) {
	if len(b) > maxQuote {
		return nil, fmt.Errorf("quote of %d bytes: at most %d are read", len(b), maxQuote)
	}
	r := &reader{b: bytes.Clone(b)}
	q := new(Quote)
	size := q.readHeader(r)
	q.readBody(r, size)
	q.Signed = r.b[:r.off:r.off]
	auth := &reader{b: r.take(int(r.uint32("size of the signature data")), "signature data")}
	r.end("quote")
	if r.err != nil {
		return nil, r.err
	}
	q.readAuth(auth)
	if auth.err != nil {
		return nil, fmt.Errorf("signature data: %w", auth.err)
	}
	return q, nil
}

// QuoteSize returns how many bytes the quote at the start of b has by its own
// lengths, for producers that get it in a larger buffer.
func QuoteSize(b []byte) (int, error) {
	r := &reader{b: b[:min(len(b), maxQuote)]}
	q := new(Quote)
	r.take(q.readHeader(r), "body")
	size := r.uint32("size of the signature data")
	r.take(int(size), "signature data")
	return r.off, r.err
}

// readHeader returns the size of the body that follows.
func (q *Quote) readHeader(r *reader) int {
	q.Version = r.uint16("version")
	if r.err == nil && (q.Version < 3 || q.Version > 5) {
		r.fail("quote version %d: versions 3, 4 and 5 are known", q.Version)
	}
	keyType := r.uint16("attestation key type")
	tee := r.uint32("TEE type")
	if q.Version == 3 {
		q.QESVN, q.PCESVN = r.uint16("QE SVN"), r.uint16("PCE SVN")
	} else {
		r.zeros(4, "header")
	}
	vendor := r.take(len(qeVendor), "QE vendor id")
	copy(q.UserData[:], r.take(len(q.UserData), "user data"))
	switch {
	case r.err != nil:
	case keyType != ecdsaP256:
		r.fail("attestation key type %d: only %d, ECDSA on P-256, is known", keyType, ecdsaP256)
	case tee == teeSGX:
		q.TEE = attest.SGX
	case tee == teeTDX && q.Version > 3:
		q.TEE = attest.TDX
	default:
		r.fail("TEE type %#x in a quote of version %d", tee, q.Version)
	}
	if r.err == nil && !bytes.Equal(vendor, qeVendor) {
		r.fail("QE vendor id %x: only Intel's, %x, is known", vendor, qeVendor)
	}
	if q.Version < 5 {
		if q.TEE == attest.TDX {
			return tdReport10
		}
		return reportSize
	}
	return q.bodySize(r)
}

// bodySize reads the type and size of a body, which version 5 has.
func (q *Quote) bodySize(r *reader) int {
	kind, size := r.uint16("body type"), r.uint32("body size")
	if r.err != nil {
		return 0
	}
	var want int
	switch {
	case kind == bodySGX && q.TEE == attest.SGX:
		want = reportSize
	case kind == bodyTDX10 && q.TEE == attest.TDX:
		want = tdReport10
	case kind == bodyTDX15 && q.TEE == attest.TDX:
		want = tdReport15
	default:
		r.fail("body type %d in a quote of %s", kind, q.TEE)
		return 0
	}
	if int64(size) != int64(want) {
		r.fail("body of %d bytes: type %d has %d", size, kind, want)
	}
	return want
}

func (q *Quote) readBody(r *reader, size int) {
	if r.err != nil {
		return
	}
	if q.TEE == attest.SGX {
		q.SGX = new(Report)
		q.SGX.read(r, "enclave report")
		return
	}
	q.TDX = new(TDReport)
	q.TDX.read(r, size == tdReport15)
}

// readAuth reads the signature data: of version 3 flat, of later versions with
// the QE report nested as certification data of type 6.
func (q *Quote) readAuth(r *reader) {
	q.Signature = r.take(64, "quote signature")
	q.AttestationKey = r.take(64, "attestation key")
	if q.Version == 3 {
		q.readQE(r)
		return
	}
	inner := &reader{b: certification(r, certQEReport)}
	if r.err == nil {
		q.readQE(inner)
		r.err = inner.err
	}
}

func (q *Quote) readQE(r *reader) {
	at := r.off
	q.QE.read(r, "QE report")
	q.QESigned = r.b[at:r.off:r.off]
	q.QESignature = r.take(64, "signature of the QE report")
	q.QEAuthData = r.take(int(r.uint16("size of the QE authentication data")), "QE authentication data")
	q.Chain = certification(r, certPCKChain)
	if r.err == nil && len(q.Chain) == 0 {
		r.err = errors.New("the PCK certificate chain is empty")
	}
}

// certification reads certification data that end the reader's bytes.
func certification(r *reader, want uint16) []byte {
	kind := r.uint16("type of the certification data")
	if r.err == nil && kind != want {
		r.fail("certification data of type %d: type %d is wanted", kind, want)
	}
	data := r.take(int(r.uint32("size of the certification data")), "certification data")
	r.end("certification data")
	return data
}
