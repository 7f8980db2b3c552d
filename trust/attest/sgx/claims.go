package sgx

import (
	"time"

	"cloister/trust/attest"
)

// claim takes over what the body of a quote says.
func (v *verification) claim(q *Quote) {
	c := &v.Claims
	if q.SGX != nil {
		c.SGX, c.ReportData, c.Debug = claimsOfReport(q.SGX), q.SGX.ReportData, q.SGX.Debug()
		return
	}
	c.TDX, c.ReportData, c.Debug = claimsOfGuest(q.TDX), q.TDX.ReportData, q.TDX.Debug()
}

func claimsOfReport(p *Report) *attest.SGXClaims {
	return &attest.SGXClaims{
		MREnclave: p.MREnclave[:], MRSigner: p.MRSigner[:],
		ISVProdID: p.ISVProdID, ISVSVN: p.ISVSVN,
		CPUSVN: p.CPUSVN[:], MiscSelect: p.MiscSelect, Attributes: p.Attributes, XFRM: p.XFRM,
		ConfigID: p.ConfigID[:], ConfigSVN: p.ConfigSVN,
		ISVExtProdID: p.ISVExtProdID[:], ISVFamilyID: p.ISVFamilyID[:],
	}
}

func claimsOfGuest(p *TDReport) *attest.TDXClaims {
	c := &attest.TDXClaims{
		MRTD: p.MRTD[:], MRSEAM: p.MRSEAM[:], MRSignerSEAM: p.MRSignerSEAM[:],
		MRConfigID: p.MRConfigID[:], MROwner: p.MROwner[:], MROwnerConfig: p.MROwnerConfig[:],
		SEAMAttributes: p.SEAMAttributes, TDAttributes: p.TDAttributes, XFAM: p.XFAM,
		TEETCBSVN: p.TEETCBSVN[:],
	}
	for i := range p.RTMR {
		c.RTMR[i] = p.RTMR[i][:]
	}
	if p.V15 {
		c.MRServiceTD = p.MRServiceTD[:]
	}
	return c
}

// claimPCK takes over what the PCK certificate says of the machine.
func (v *verification) claimPCK(p *PCK) {
	c := &v.Claims
	var instance attest.Hex
	if p.Platform != nil {
		instance = p.Platform.InstanceID[:]
	}
	switch {
	case len(instance) > 0:
		c.Machine = instance
	case p.PPID != [16]byte{}:
		c.Machine = p.PPID[:]
	}
	if c.SGX != nil {
		c.SGX.FMSPC, c.SGX.PCEID, c.SGX.PPID, c.SGX.PlatformInstID = p.FMSPC[:], p.PCEID[:], p.PPID[:], instance
		return
	}
	c.TDX.FMSPC, c.TDX.PCEID, c.TDX.PPID, c.TDX.PlatformInstID = p.FMSPC[:], p.PCEID[:], p.PPID[:], instance
}

// claimDates takes over the dates of the collateral. A certificate that expires
// before the documents ends the time for which the verification is good.
func (v *verification) claimDates(all []dated, t *trusted, pck *pckChain) {
	c := &v.Claims.TCB
	for _, d := range all {
		if c.Issued.IsZero() || d.issued.Before(c.Issued) {
			c.Issued = d.issued
		}
		if d.issued.After(c.Latest) {
			c.Latest = d.issued
		}
		c.Expires = earliest(c.Expires, d.next)
	}
	for _, chain := range []*chain{pck.chain, t.tcbChain, t.qeChain} {
		c.Expires = earliest(c.Expires, chain.until)
	}
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// What checks show of collateral, which may be missing.

func (t *trusted) tcbNumber() uint32 {
	if t.tcb == nil {
		return 0
	}
	return t.tcb.EvaluationNumber
}

func (t *trusted) tcbUntil() string {
	if t.tcb == nil {
		return ""
	}
	return date(t.tcb.NextUpdate)
}

func (t *trusted) qeNumber() uint32 {
	if t.qe == nil {
		return 0
	}
	return t.qe.EvaluationNumber
}

func (t *trusted) qeUntil() string {
	if t.qe == nil {
		return ""
	}
	return date(t.qe.NextUpdate)
}

func (t *trusted) lists(pck *pckChain) string {
	c, err := t.crlOf(pck.certs[1])
	if t.rootCRL == nil || c == nil || err != nil {
		return "insecure: not checked against every revocation list, because some are missing"
	}
	return "not revoked"
}
