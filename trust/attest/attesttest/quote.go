package attesttest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/binary"

	"cloister/trust/attest"
)

// Enclave is the body of an SGX report.
type Enclave struct {
	CPUSVN       [16]byte
	MiscSelect   uint32
	CET          uint8
	ISVExtProdID [16]byte
	Attributes   uint64
	XFRM         uint64
	MREnclave    [32]byte
	MRSigner     [32]byte
	ConfigID     [64]byte
	ISVProdID    uint16
	ISVSVN       uint16
	ConfigSVN    uint16
	ISVFamilyID  [16]byte
	ReportData   attest.ReportData
}

// Debug is the attribute of enclaves and guests whose memory can be read.
const Debug = 1 << 1

// Bytes encodes the report.
func (e *Enclave) Bytes() []byte {
	b := append([]byte(nil), e.CPUSVN[:]...)
	b = binary.LittleEndian.AppendUint32(b, e.MiscSelect)
	b = append(b, e.CET)
	b = append(b, make([]byte, 11)...)
	b = append(b, e.ISVExtProdID[:]...)
	b = binary.LittleEndian.AppendUint64(b, e.Attributes)
	b = binary.LittleEndian.AppendUint64(b, e.XFRM)
	b = append(b, e.MREnclave[:]...)
	b = append(b, make([]byte, 32)...)
	b = append(b, e.MRSigner[:]...)
	b = append(b, make([]byte, 32)...)
	b = append(b, e.ConfigID[:]...)
	b = binary.LittleEndian.AppendUint16(b, e.ISVProdID)
	b = binary.LittleEndian.AppendUint16(b, e.ISVSVN)
	b = binary.LittleEndian.AppendUint16(b, e.ConfigSVN)
	b = append(b, make([]byte, 42)...)
	b = append(b, e.ISVFamilyID[:]...)
	return append(b, e.ReportData[:]...)
}

// Guest is the body of a TD report.
type Guest struct {
	TEETCBSVN      [16]byte
	MRSEAM         [48]byte
	MRSignerSEAM   [48]byte
	SEAMAttributes uint64
	TDAttributes   uint64
	XFAM           uint64
	MRTD           [48]byte
	MRConfigID     [48]byte
	MROwner        [48]byte
	MROwnerConfig  [48]byte
	RTMR           [4][48]byte
	ReportData     attest.ReportData
	// V15 adds what TDX 1.5 has.
	V15         bool
	TEETCBSVN2  [16]byte
	MRServiceTD [48]byte
}

// DebugTD is the attribute of guests that their host can debug.
const DebugTD = 1 << 0

// Bytes encodes the report.
func (g *Guest) Bytes() []byte {
	b := append([]byte(nil), g.TEETCBSVN[:]...)
	b = append(b, g.MRSEAM[:]...)
	b = append(b, g.MRSignerSEAM[:]...)
	b = binary.LittleEndian.AppendUint64(b, g.SEAMAttributes)
	b = binary.LittleEndian.AppendUint64(b, g.TDAttributes)
	b = binary.LittleEndian.AppendUint64(b, g.XFAM)
	for _, m := range [][48]byte{g.MRTD, g.MRConfigID, g.MROwner, g.MROwnerConfig, g.RTMR[0], g.RTMR[1], g.RTMR[2], g.RTMR[3]} {
		b = append(b, m[:]...)
	}
	b = append(b, g.ReportData[:]...)
	if g.V15 {
		b = append(b, g.TEETCBSVN2[:]...)
		b = append(b, g.MRServiceTD[:]...)
	}
	return b
}

// QuoteSpec says what a quote is. Exactly one of SGX and TDX is the body.
type QuoteSpec struct {
	Version       uint16
	KeyType       uint16
	TEE           uint32
	QESVN, PCESVN uint16 // what the header has there, in every version
	VendorID      [16]byte
	UserData      [20]byte

	SGX *Enclave
	TDX *Guest

	// AttestationKey signs header and body.
	AttestationKey *ecdsa.PrivateKey
	QE             Enclave
	QEAuthData     []byte
	// Bind sets the report data of QE to what vouches for key and data.
	Bind bool
	// PCK signs QE.
	PCK           *ecdsa.PrivateKey
	Certification uint16 // the type of certification data
	Chain         []byte
}

// Measurements that machines use unless a test says otherwise.
var (
	MREnclave = sha256.Sum256([]byte("attesttest enclave"))
	MRSigner  = sha256.Sum256([]byte("attesttest signer"))
	MRTD      = [48]byte{0x7d, 1}
	QESigner  = sha256.Sum256([]byte("attesttest signer of quoting enclaves"))
)

func enclave(mrEnclave, mrSigner [32]byte) Enclave {
	return Enclave{
		CPUSVN:     [16]byte{8, 9, 14, 13, 255, 255, 1},
		Attributes: 0x05, XFRM: 0xe7,
		MREnclave: mrEnclave, MRSigner: mrSigner, ISVProdID: 1, ISVSVN: 1,
	}
}

// spec returns what quotes of the machine have in common.
func (m *Machine) spec(version uint16, reportData attest.ReportData, tdx bool) *QuoteSpec {
	qe := enclave(sha256.Sum256([]byte("attesttest quoting enclave")), QESigner)
	qe.Attributes, qe.ISVSVN = 0x15, 8
	s := &QuoteSpec{
		Version: version, KeyType: 2,
		VendorID:       [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07},
		AttestationKey: m.Authority.Key("attestation " + m.Spec.Name),
		QE:             qe,
		Bind:           true,
		PCK:            m.PCK.Key,
		Certification:  5,
		Chain:          m.Chain,
	}
	copy(s.UserData[:16], m.Spec.PPID[:])
	for i := range byte(32) {
		s.QEAuthData = append(s.QEAuthData, i)
	}
	if version == 3 {
		s.QESVN, s.PCESVN = 9, m.Spec.PCESVN
	}
	if tdx {
		s.TEE, s.QE.ISVProdID = 0x81, 2
		s.TDX = &Guest{
			TEETCBSVN: [16]byte{5, 0, 3}, MRSEAM: [48]byte{0x5e}, TDAttributes: 1 << 28, XFAM: 0xe7,
			MRTD: MRTD, RTMR: [4][48]byte{{1}, {2}, {3}, {4}}, ReportData: reportData,
		}
		return s
	}
	body := enclave(MREnclave, MRSigner)
	body.ReportData = reportData
	s.SGX = &body
	return s
}

// SGXQuote makes the quote of an enclave, of version 3, 4 or 5.
func (m *Machine) SGXQuote(version uint16, reportData attest.ReportData, edits ...func(*QuoteSpec)) []byte {
	return m.spec(version, reportData, false).edited(edits).Bytes()
}

// TDXQuote makes the quote of a guest: of version 4, or of version 5 with a TD
// report of TDX 1.0 or, if an edit sets TDX.V15, of TDX 1.5.
func (m *Machine) TDXQuote(version uint16, reportData attest.ReportData, edits ...func(*QuoteSpec)) []byte {
	return m.spec(version, reportData, true).edited(edits).Bytes()
}

// V15 is the edit that makes the body one of TDX 1.5.
func V15(s *QuoteSpec) {
	s.TDX.V15, s.TDX.TEETCBSVN, s.TDX.TEETCBSVN2 = true, [16]byte{6, 1, 3}, [16]byte{6, 1, 3}
}

func (s *QuoteSpec) edited(edits []func(*QuoteSpec)) *QuoteSpec {
	for _, edit := range edits {
		edit(s)
	}
	return s
}

// Bytes signs and encodes the quote.
func (s *QuoteSpec) Bytes() []byte {
	b := binary.LittleEndian.AppendUint16(nil, s.Version)
	b = binary.LittleEndian.AppendUint16(b, s.KeyType)
	b = binary.LittleEndian.AppendUint32(b, s.TEE)
	b = binary.LittleEndian.AppendUint16(b, s.QESVN)
	b = binary.LittleEndian.AppendUint16(b, s.PCESVN)
	b = append(b, s.VendorID[:]...)
	b = append(b, s.UserData[:]...)
	b = append(b, s.body()...)
	auth := signRaw(s.AttestationKey, b)
	key := must(s.AttestationKey.PublicKey.Bytes())[1:]
	auth = append(auth, key...)
	if s.Version == 3 {
		auth = append(auth, s.qe(key)...)
	} else {
		auth = append(auth, certification(6, s.qe(key))...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(auth)))
	return append(b, auth...)
}

func (s *QuoteSpec) body() []byte {
	var kind uint16
	var body []byte
	switch {
	case s.SGX != nil:
		kind, body = 1, s.SGX.Bytes()
	case s.TDX.V15:
		kind, body = 3, s.TDX.Bytes()
	default:
		kind, body = 2, s.TDX.Bytes()
	}
	if s.Version < 5 {
		return body
	}
	head := binary.LittleEndian.AppendUint16(nil, kind)
	return append(binary.LittleEndian.AppendUint32(head, uint32(len(body))), body...)
}

func (s *QuoteSpec) qe(key []byte) []byte {
	qe := s.QE
	if s.Bind {
		hash := sha256.Sum256(append(append([]byte(nil), key...), s.QEAuthData...))
		copy(qe.ReportData[:], hash[:])
	}
	b := qe.Bytes()
	b = append(b, signRaw(s.PCK, b)...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s.QEAuthData)))
	b = append(b, s.QEAuthData...)
	return append(b, certification(s.Certification, s.Chain)...)
}

func certification(kind uint16, data []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}
