package sgx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cloister/trust/attest"
)

// QEIdentity is what a quoting enclave must be, version 2 ([PCS], "Get Quoting
// Enclave Identity").
type QEIdentity struct {
	Signed           Signed
	TEE              attest.Platform // SGX: id QE; TDX: id TD_QE
	IssueDate        time.Time
	NextUpdate       time.Time
	EvaluationNumber uint32
	MiscSelect       uint32
	MiscSelectMask   uint32
	Attributes       [16]byte
	AttributesMask   [16]byte
	MRSigner         [32]byte
	ISVProdID        uint16
	Levels           []ISVLevel
}

// ParseQEIdentity reads an identity with its signature, which it does not verify.
func ParseQEIdentity(document []byte) (*QEIdentity, error) {
	signed, err := splitSigned(document, "enclaveIdentity")
	if err != nil {
		return nil, err
	}
	return parseQEIdentity(signed)
}

func parseQEIdentity(signed Signed) (*QEIdentity, error) {
	q := &QEIdentity{Signed: signed}
	var err error
	f := parseObject(signed.Body, "enclaveIdentity")
	id := f.string("id")
	q.TEE, err = teeOf(id, "QE", "TD_QE")
	if err != nil && f.err == nil {
		return nil, err
	}
	if v := f.uint("version", 32); f.err == nil && v != 2 {
		return nil, fmt.Errorf("enclaveIdentity: version %d, 2 is known", v)
	}
	q.IssueDate, q.NextUpdate = f.time("issueDate"), f.time("nextUpdate")
	q.EvaluationNumber = uint32(f.uint("tcbEvaluationDataNumber", 32))
	// As a report has it, the first digits are the lowest bits.
	var misc, mask [4]byte
	f.hex("miscselect", misc[:])
	f.hex("miscselectMask", mask[:])
	q.MiscSelect, q.MiscSelectMask = binary.LittleEndian.Uint32(misc[:]), binary.LittleEndian.Uint32(mask[:])
	f.hex("attributes", q.Attributes[:])
	f.hex("attributesMask", q.AttributesMask[:])
	f.hex("mrsigner", q.MRSigner[:])
	q.ISVProdID = uint16(f.uint("isvprodid", 16))
	q.Levels = readISVLevels(f)
	if err := f.done(); err != nil {
		return nil, err
	}
	return q, nil
}

// appraise compares the report of a quoting enclave with its identity, and
// returns its level ([QVL] 4.1.2.9).
func (q *QEIdentity) appraise(report *Report) (*ISVLevel, error) {
	var attributes [16]byte
	binary.LittleEndian.PutUint64(attributes[:], report.Attributes)
	binary.LittleEndian.PutUint64(attributes[8:], report.XFRM)
	for i := range attributes {
		attributes[i] &= q.AttributesMask[i]
	}
	switch {
	case report.Debug():
		return nil, errors.New("the quoting enclave is a debug enclave")
	case report.MRSigner != q.MRSigner:
		return nil, fmt.Errorf("MRSIGNER is %x, not %x", report.MRSigner, q.MRSigner)
	case report.ISVProdID != q.ISVProdID:
		return nil, fmt.Errorf("ISVPRODID is %d, not %d", report.ISVProdID, q.ISVProdID)
	case report.MiscSelect&q.MiscSelectMask != q.MiscSelect:
		return nil, fmt.Errorf("MISCSELECT %#x under mask %#x is not %#x", report.MiscSelect, q.MiscSelectMask, q.MiscSelect)
	case attributes != q.Attributes:
		return nil, fmt.Errorf("attributes under their mask are %x, not %x", attributes, q.Attributes)
	}
	return matchISV(q.Levels, report.ISVSVN)
}

// matchISV returns the first level whose SVN is not above svn.
func matchISV(levels []ISVLevel, svn uint16) (*ISVLevel, error) {
	for i := range levels {
		if levels[i].SVN <= svn {
			return &levels[i], nil
		}
	}
	return nil, fmt.Errorf("SVN %d is below every level", svn)
}
