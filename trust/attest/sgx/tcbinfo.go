package sgx

import (
	"fmt"
	"time"

	"cloister/trust/attest"
)

// TCBInfo is Intel's judgement of the TCBs of one family of machines, version 3
// ([PCS], "Get TCB Info").
type TCBInfo struct {
	Signed           Signed
	TEE              attest.Platform
	IssueDate        time.Time
	NextUpdate       time.Time
	FMSPC            [6]byte
	PCEID            [2]byte
	EvaluationNumber uint32
	Levels           []TCBLevel
	// Module and ModuleIdentities are of TDX: what its module must be if its major
	// version is 0, and if it is another one.
	Module           *TDXModule
	ModuleIdentities []TDXModuleIdentity
}

// TCBLevel is one level, and its status.
type TCBLevel struct {
	SGX        [16]uint8
	TDX        [16]uint8 // of TDX
	PCESVN     uint16
	Date       time.Time
	Status     attest.TCBStatus
	Advisories []string
}

// TDXModule is who may have signed the TDX module, and its attributes.
type TDXModule struct {
	MRSigner       [48]byte
	Attributes     [8]byte
	AttributesMask [8]byte
}

// TDXModuleIdentity is of one major version of the TDX module.
type TDXModuleIdentity struct {
	TDXModule
	ID     string // TDX_ and the version in two hexadecimal digits
	Levels []ISVLevel
}

// ISVLevel is a level of an enclave or module, by its SVN alone.
type ISVLevel struct {
	SVN        uint16
	Date       time.Time
	Status     attest.TCBStatus
	Advisories []string
}

// ParseTCBInfo reads a TCB info with its signature, which it does not verify.
func ParseTCBInfo(document []byte) (*TCBInfo, error) {
	signed, err := splitSigned(document, "tcbInfo")
	if err != nil {
		return nil, err
	}
	return parseTCBInfo(signed)
}

func parseTCBInfo(signed Signed) (*TCBInfo, error) {
	t := &TCBInfo{Signed: signed}
	var err error
	f := parseObject(signed.Body, "tcbInfo")
	id := f.string("id")
	t.TEE, err = teeOf(id, "SGX", "TDX")
	if err != nil && f.err == nil {
		return nil, err
	}
	if v := f.uint("version", 32); f.err == nil && v != 3 {
		return nil, fmt.Errorf("tcbInfo: version %d, 3 is known", v)
	}
	t.IssueDate, t.NextUpdate = f.time("issueDate"), f.time("nextUpdate")
	f.hex("fmspc", t.FMSPC[:])
	f.hex("pceId", t.PCEID[:])
	if v := f.uint("tcbType", 32); f.err == nil && v != 0 {
		return nil, fmt.Errorf("tcbInfo: tcbType %d, 0 is known", v)
	}
	t.EvaluationNumber = uint32(f.uint("tcbEvaluationDataNumber", 32))
	if t.TEE == attest.TDX {
		t.readModules(f)
	}
	t.readLevels(f)
	if err := f.done(); err != nil {
		return nil, err
	}
	return t, nil
}

func teeOf(id, sgx, tdx string) (attest.Platform, error) {
	switch id {
	case sgx:
		return attest.SGX, nil
	case tdx:
		return attest.TDX, nil
	}
	return "", fmt.Errorf("id %.20q is not %s or %s", id, sgx, tdx)
}

func (t *TCBInfo) readLevels(f *fields) {
	seen := map[string]bool{}
	for i, raw := range f.list("tcbLevels") {
		l, err := parseTCBLevel(raw, fmt.Sprintf("tcbInfo.tcbLevels[%d]", i), t.TEE)
		if err != nil {
			f.err = err
			return
		}
		key := fmt.Sprint(l.SGX, l.TDX, l.PCESVN)
		if seen[key] {
			f.fail("tcbLevels[%d] is there twice", i)
		}
		seen[key] = true
		t.Levels = append(t.Levels, l)
	}
}

func parseTCBLevel(raw []byte, where string, tee attest.Platform) (l TCBLevel, err error) {
	f := parseObject(raw, where)
	tcb := parseObject(f.need("tcb"), where+".tcb")
	readComponents(tcb, "sgxtcbcomponents", &l.SGX)
	if tee == attest.TDX {
		readComponents(tcb, "tdxtcbcomponents", &l.TDX)
	}
	l.PCESVN = uint16(tcb.uint("pcesvn", 16))
	if err := tcb.done(); err != nil {
		return l, err
	}
	l.Date = f.time("tcbDate")
	l.Status = attest.TCBStatus(f.string("tcbStatus"))
	l.Advisories = f.optionalStrings("advisoryIDs")
	switch l.Status {
	case attest.UpToDate, attest.SWHardeningNeeded, attest.ConfigurationNeeded, attest.ConfigurationAndSWHardeningNeeded,
		attest.OutOfDate, attest.OutOfDateConfigurationNeeded, attest.Revoked:
	default:
		f.fail("tcbStatus %.60q is not known", l.Status)
	}
	return l, f.done()
}

func readComponents(f *fields, name string, into *[16]uint8) {
	list := f.list(name)
	if f.err != nil {
		return
	}
	if len(list) != len(into) {
		f.fail("%s has %d components, not %d", name, len(list), len(into))
		return
	}
	for i, raw := range list {
		c := parseObject(raw, fmt.Sprintf("%s.%s[%d]", f.where, name, i))
		into[i] = uint8(c.uint("svn", 8))
		for _, words := range []string{"category", "type"} {
			if _, ok := c.members[words]; ok {
				c.string(words)
			}
		}
		if err := c.done(); err != nil {
			f.err = err
			return
		}
	}
}

func (t *TCBInfo) readModules(f *fields) {
	m := parseObject(f.need("tdxModule"), "tcbInfo.tdxModule")
	t.Module = new(TDXModule)
	t.Module.read(m)
	if err := m.done(); err != nil && f.err == nil {
		f.err = err
	}
	if _, ok := f.members["tdxModuleIdentities"]; !ok || f.err != nil {
		return
	}
	seen := map[string]bool{}
	for i, raw := range f.list("tdxModuleIdentities") {
		m := parseObject(raw, fmt.Sprintf("tcbInfo.tdxModuleIdentities[%d]", i))
		var id TDXModuleIdentity
		id.ID = m.string("id")
		id.read(m)
		id.Levels = readISVLevels(m)
		if seen[id.ID] {
			m.fail("id %q is there twice", id.ID)
		}
		seen[id.ID] = true
		if err := m.done(); err != nil {
			f.err = err
			return
		}
		t.ModuleIdentities = append(t.ModuleIdentities, id)
	}
}

func (m *TDXModule) read(f *fields) {
	f.hex("mrsigner", m.MRSigner[:])
	f.hex("attributes", m.Attributes[:])
	f.hex("attributesMask", m.AttributesMask[:])
}

// readISVLevels reads the tcbLevels of an enclave or module. They come highest
// SVN first, which is the order in which they are compared.
func readISVLevels(f *fields) []ISVLevel {
	var levels []ISVLevel
	for i, raw := range f.list("tcbLevels") {
		if f.err != nil {
			return nil
		}
		l := parseObject(raw, fmt.Sprintf("%s.tcbLevels[%d]", f.where, i))
		tcb := parseObject(l.need("tcb"), l.where+".tcb")
		level := ISVLevel{
			SVN:        uint16(tcb.uint("isvsvn", 16)),
			Date:       l.time("tcbDate"),
			Status:     attest.TCBStatus(l.string("tcbStatus")),
			Advisories: l.optionalStrings("advisoryIDs"),
		}
		switch level.Status {
		case attest.UpToDate, attest.OutOfDate, attest.Revoked:
		default:
			l.fail("tcbStatus %.60q is not one of an enclave or module", level.Status)
		}
		if i > 0 && level.SVN >= levels[i-1].SVN {
			l.fail("the SVN is not below that of the level before it")
		}
		for _, part := range []*fields{tcb, l} {
			if err := part.done(); err != nil {
				f.err = err
				return nil
			}
		}
		levels = append(levels, level)
	}
	return levels
}
