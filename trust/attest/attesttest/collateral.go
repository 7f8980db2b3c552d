package attesttest

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/sgx"
)

// TCBInfo is the signed part of a TCB info, as Intel writes it.
type TCBInfo struct {
	ID                      string           `json:"id"`
	Version                 int              `json:"version"`
	IssueDate               string           `json:"issueDate"`
	NextUpdate              string           `json:"nextUpdate"`
	FMSPC                   string           `json:"fmspc"`
	PCEID                   string           `json:"pceId"`
	TCBType                 int              `json:"tcbType"`
	TCBEvaluationDataNumber int              `json:"tcbEvaluationDataNumber"`
	TDXModule               *TDXModule       `json:"tdxModule,omitempty"`
	TDXModuleIdentities     []ModuleIdentity `json:"tdxModuleIdentities,omitempty"`
	TCBLevels               []TCBLevel       `json:"tcbLevels"`
}

// TDXModule is of a TCB info of TDX.
type TDXModule struct {
	MRSigner       string `json:"mrsigner"`
	Attributes     string `json:"attributes"`
	AttributesMask string `json:"attributesMask"`
}

// ModuleIdentity is of one major version of the TDX module.
type ModuleIdentity struct {
	ID string `json:"id"`
	TDXModule
	TCBLevels []ISVLevel `json:"tcbLevels"`
}

// TCBLevel is a level of a TCB info.
type TCBLevel struct {
	TCB         TCB      `json:"tcb"`
	TCBDate     string   `json:"tcbDate"`
	TCBStatus   string   `json:"tcbStatus"`
	AdvisoryIDs []string `json:"advisoryIDs,omitempty"`
}

// TCB are the SVNs of a level.
type TCB struct {
	SGX    []Component `json:"sgxtcbcomponents"`
	PCESVN int         `json:"pcesvn"`
	TDX    []Component `json:"tdxtcbcomponents,omitempty"`
}

// Component is one SVN.
type Component struct {
	SVN      int    `json:"svn"`
	Category string `json:"category,omitempty"`
	Type     string `json:"type,omitempty"`
}

// ISVLevel is a level of an enclave or module.
type ISVLevel struct {
	TCB struct {
		ISVSVN int `json:"isvsvn"`
	} `json:"tcb"`
	TCBDate     string   `json:"tcbDate"`
	TCBStatus   string   `json:"tcbStatus"`
	AdvisoryIDs []string `json:"advisoryIDs,omitempty"`
}

// QEIdentity is the signed part of a QE identity, as Intel writes it.
type QEIdentity struct {
	ID                      string     `json:"id"`
	Version                 int        `json:"version"`
	IssueDate               string     `json:"issueDate"`
	NextUpdate              string     `json:"nextUpdate"`
	TCBEvaluationDataNumber int        `json:"tcbEvaluationDataNumber"`
	MiscSelect              string     `json:"miscselect"`
	MiscSelectMask          string     `json:"miscselectMask"`
	Attributes              string     `json:"attributes"`
	AttributesMask          string     `json:"attributesMask"`
	MRSigner                string     `json:"mrsigner"`
	ISVProdID               int        `json:"isvprodid"`
	TCBLevels               []ISVLevel `json:"tcbLevels"`
}

// CollateralSpec says what collateral says.
type CollateralSpec struct {
	TCBInfo    TCBInfo
	QEIdentity QEIdentity
	// Signing signs both, and its chain ends with Root.
	Signing, Root *Issuer
	// RootCRL and PCKCRL are in DER, made before edits; nil leaves them out.
	RootCRL, PCKCRL []byte
}

// Date writes a date as Intel does.
func Date(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// Components makes the 16 components of a level.
func Components(svns [16]uint8) []Component {
	c := make([]Component, len(svns))
	for i, svn := range svns {
		c[i].SVN = int(svn)
	}
	return c
}

// Level makes a level of an enclave or module.
func Level(svn int, status attest.TCBStatus, when time.Time, advisories ...string) ISVLevel {
	l := ISVLevel{TCBDate: Date(when), TCBStatus: string(status), AdvisoryIDs: advisories}
	l.TCB.ISVSVN = svn
	return l
}

// Evaluation is the tcbEvaluationDataNumber unless an edit changes it.
const Evaluation = 17

// Collateral makes the collateral of a machine. Before edits its first level is
// that of the machine, UpToDate; machines with a PCESVN below that are OutOfDate
// with advisory INTEL-SA-00001.
func (m *Machine) Collateral(tee attest.Platform, edits ...func(*CollateralSpec)) *sgx.Collateral {
	return m.collateralSpec(tee, edits).build()
}

func (m *Machine) collateralSpec(tee attest.Platform, edits []func(*CollateralSpec)) *CollateralSpec {
	a := m.Authority
	issuer := a.Platform
	if m.Spec.Processor {
		issuer = a.Processor
	}
	s := &CollateralSpec{
		TCBInfo: m.tcbInfo(tee), QEIdentity: a.qeIdentity(tee),
		Signing: a.Signing, Root: a.Root,
		RootCRL: a.CRL(a.Root, nil), PCKCRL: a.CRL(issuer, nil),
	}
	for _, edit := range edits {
		edit(s)
	}
	return s
}

func (s *CollateralSpec) build() *sgx.Collateral {
	chain := pemOf(s.Signing.Cert, s.Root.Cert)
	return &sgx.Collateral{
		TCBInfo: SignDocument(s.Signing, "tcbInfo", s.TCBInfo), TCBInfoChain: chain,
		QEIdentity: SignDocument(s.Signing, "enclaveIdentity", s.QEIdentity), QEIdentityChain: chain,
		RootCRL: s.RootCRL, PCKCRL: s.PCKCRL,
	}
}

// SignDocument signs a document of collateral; a body that is a json.RawMessage
// is taken as it is.
func SignDocument(signing *Issuer, name string, body any) []byte {
	raw, ok := body.(json.RawMessage)
	if !ok {
		raw = must(json.Marshal(body))
	}
	return fmt.Appendf(nil, `{"%s":%s,"signature":"%x"}`, name, raw, signRaw(signing.Key, raw))
}

func (m *Machine) tcbInfo(tee attest.Platform) TCBInfo {
	a, when := m.Authority, m.Authority.Now.AddDate(0, -3, 0)
	t := TCBInfo{
		ID: "SGX", Version: 3, IssueDate: Date(a.Now.AddDate(0, 0, -1)), NextUpdate: Date(a.Now.AddDate(0, 0, 29)),
		FMSPC: strings.ToUpper(FMSPCOf(m.Spec.FMSPC)), PCEID: hex.EncodeToString(m.Spec.PCEID[:]), TCBEvaluationDataNumber: Evaluation,
	}
	level := TCBLevel{
		TCB: TCB{SGX: Components(m.Spec.Components), PCESVN: int(m.Spec.PCESVN)}, TCBDate: Date(when), TCBStatus: string(attest.UpToDate),
	}
	level.TCB.SGX[0].Category, level.TCB.SGX[0].Type = "BIOS", "Early Microcode Update"
	if tee == attest.TDX {
		t.ID = "TDX"
		t.TDXModule = &TDXModule{strings.Repeat("0", 96), "0000000000000000", "FFFFFFFFFFFFFFFF"}
		t.TDXModuleIdentities = []ModuleIdentity{
			{"TDX_03", *t.TDXModule, []ISVLevel{Level(3, attest.UpToDate, when)}},
			{"TDX_01", *t.TDXModule, []ISVLevel{Level(6, attest.UpToDate, when), Level(4, attest.OutOfDate, when.AddDate(-1, 0, 0), "INTEL-SA-00002")}},
		}
		level.TCB.TDX = Components([16]uint8{5, 0, 3})
	}
	older := level
	older.TCB.PCESVN, older.TCBDate, older.TCBStatus = 0, Date(when.AddDate(-1, 0, 0)), string(attest.OutOfDate)
	older.AdvisoryIDs = []string{"INTEL-SA-00001"}
	t.TCBLevels = []TCBLevel{level, older}
	return t
}

func (a *Authority) qeIdentity(tee attest.Platform) QEIdentity {
	when := a.Now.AddDate(0, -3, 0)
	q := QEIdentity{
		ID: "QE", Version: 2, IssueDate: Date(a.Now.AddDate(0, 0, -2)), NextUpdate: Date(a.Now.AddDate(0, 0, 28)),
		TCBEvaluationDataNumber: Evaluation,
		MiscSelect:              "00000000", MiscSelectMask: "FFFFFFFF",
		Attributes: "11000000000000000000000000000000", AttributesMask: "FBFFFFFFFFFFFFFF0000000000000000",
		MRSigner: strings.ToUpper(hex.EncodeToString(QESigner[:])), ISVProdID: 1,
		TCBLevels: []ISVLevel{Level(8, attest.UpToDate, when), Level(5, attest.OutOfDate, when.AddDate(-1, 0, 0), "INTEL-SA-00003")},
	}
	if tee == attest.TDX {
		q.ID, q.ISVProdID = "TD_QE", 2
	}
	return q
}

// SGX makes evidence of an enclave, a quote of version 3, that carries its
// collateral.
func (m *Machine) SGX(reportData attest.ReportData, edits ...func(*QuoteSpec)) *attest.Evidence {
	return &attest.Evidence{
		Platform: attest.SGX, Quote: m.SGXQuote(3, reportData, edits...),
		Endorsements: must(m.Collateral(attest.SGX).Endorsements()),
	}
}

// TDX makes evidence of a guest, a quote of version 4, that carries its
// collateral.
func (m *Machine) TDX(reportData attest.ReportData, edits ...func(*QuoteSpec)) *attest.Evidence {
	return &attest.Evidence{
		Platform: attest.TDX, Quote: m.TDXQuote(4, reportData, edits...),
		Endorsements: must(m.Collateral(attest.TDX).Endorsements()),
	}
}
