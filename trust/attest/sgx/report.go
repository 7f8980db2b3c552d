package sgx

import "cloister/trust/attest"

// Report is the body of a report about an SGX enclave ([SDM], "REPORT").
type Report struct {
	CPUSVN       [16]byte
	MiscSelect   uint32
	ISVExtProdID [16]byte
	Attributes   uint64 // flags
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

// The flags of an enclave's attributes that are looked at here.
const (
	attributeInit  = 1 << 0
	attributeDebug = 1 << 1
	// attributesDefined are INIT, DEBUG, MODE64BIT, PROVISIONKEY, EINITTOKEN_KEY,
	// CET, KSS and AEX-Notify.
	attributesDefined = 1<<0 | 1<<1 | 1<<2 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<10
	// miscSelectDefined are EXINFO and CPINFO.
	miscSelectDefined = 1<<0 | 1<<1
)

// Debug says that the enclave's memory can be read from outside.
func (p *Report) Debug() bool { return p.Attributes&attributeDebug != 0 }

func (p *Report) read(r *reader, what string) {
	copy(p.CPUSVN[:], r.take(16, "CPUSVN"))
	p.MiscSelect = r.uint32("MISCSELECT")
	// The first of these bytes is CET_ATTRIBUTES, zero in every enclave that does
	// not use CET. No claim holds it, so that no policy could judge it.
	r.zeros(12, what+", or its CET attributes,")
	copy(p.ISVExtProdID[:], r.take(16, "ISVEXTPRODID"))
	p.Attributes = r.uint64("ATTRIBUTES")
	p.XFRM = r.uint64("XFRM")
	copy(p.MREnclave[:], r.take(32, "MRENCLAVE"))
	r.zeros(32, what)
	copy(p.MRSigner[:], r.take(32, "MRSIGNER"))
	r.zeros(32, what)
	copy(p.ConfigID[:], r.take(64, "CONFIGID"))
	p.ISVProdID = r.uint16("ISVPRODID")
	p.ISVSVN = r.uint16("ISVSVN")
	p.ConfigSVN = r.uint16("CONFIGSVN")
	r.zeros(42, what)
	copy(p.ISVFamilyID[:], r.take(16, "ISVFAMILYID"))
	copy(p.ReportData[:], r.take(64, "REPORTDATA"))
	switch {
	case r.err != nil:
	case p.Attributes&^attributesDefined != 0:
		r.fail("%s: attributes %#x have undefined bits", what, p.Attributes)
	case p.Attributes&attributeInit == 0:
		r.fail("%s: attributes %#x lack INIT, which every running enclave has", what, p.Attributes)
	case p.MiscSelect&^miscSelectDefined != 0:
		r.fail("%s: MISCSELECT %#x has undefined bits", what, p.MiscSelect)
	}
}

// TDReport is the body of a quote of a TDX guest ([TDXQuoteLib] A.3.2).
type TDReport struct {
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

	// V15 says that the report is of TDX 1.5 and has the fields below.
	V15 bool
	// TEETCBSVN2 is of the TDX module that runs now, TEETCBSVN of the one that
	// started the guest.
	TEETCBSVN2  [16]byte
	MRServiceTD [48]byte
}

const (
	// tdUnderDebug are the attributes of the group TUD: each opens the guest to
	// its host (DEBUG) or its profiling.
	tdUnderDebug = 0xff
	// tdAttributesDefined are those and LASS, SEPT_VE_DISABLE, MIGRATABLE, PKS,
	// KL, TPA and PERFMON.
	tdAttributesDefined = tdUnderDebug | 1<<27 | 1<<28 | 1<<29 | 1<<30 | 1<<31 | 1<<62 | 1<<63
)

// Debug says that the host can look into the guest.
func (p *TDReport) Debug() bool { return p.TDAttributes&tdUnderDebug != 0 }

func (p *TDReport) read(r *reader, v15 bool) {
	copy(p.TEETCBSVN[:], r.take(16, "TEE_TCB_SVN"))
	copy(p.MRSEAM[:], r.take(48, "MRSEAM"))
	copy(p.MRSignerSEAM[:], r.take(48, "MRSIGNERSEAM"))
	p.SEAMAttributes = r.uint64("SEAMATTRIBUTES")
	p.TDAttributes = r.uint64("TDATTRIBUTES")
	p.XFAM = r.uint64("XFAM")
	copy(p.MRTD[:], r.take(48, "MRTD"))
	copy(p.MRConfigID[:], r.take(48, "MRCONFIGID"))
	copy(p.MROwner[:], r.take(48, "MROWNER"))
	copy(p.MROwnerConfig[:], r.take(48, "MROWNERCONFIG"))
	for i := range p.RTMR {
		copy(p.RTMR[i][:], r.take(48, "RTMR"))
	}
	copy(p.ReportData[:], r.take(64, "REPORTDATA"))
	if p.V15 = v15; v15 {
		copy(p.TEETCBSVN2[:], r.take(16, "TEE_TCB_SVN_2"))
		copy(p.MRServiceTD[:], r.take(48, "MRSERVICETD"))
	}
	switch {
	case r.err != nil:
	case p.TDAttributes&^tdAttributesDefined != 0:
		r.fail("TD report: TD attributes %#x have undefined bits", p.TDAttributes)
	case p.SEAMAttributes != 0:
		r.fail("TD report: SEAM attributes %#x have undefined bits", p.SEAMAttributes)
	}
}
