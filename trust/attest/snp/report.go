// Package snp verifies the attestation reports of AMD SEV-SNP guests.
//
// google/go-sev-guest reads reports, checks their signatures and brings AMD's
// certificates. Certificates, revocation and the comparison of a report with the
// certificate of its key are done here: the module knows neither the certificates
// of Turin (8 bytes of hardware id, the level of FMC) nor the models of Genoa's
// and Turin's dense variants, keeps CRLs in global variables, reads certificate
// tables with offsets that overflow, and compares neither chip id nor TCB with the
// certificate.
//
// Sources:
//
//   - [ABI] SEV Secure Nested Paging Firmware ABI Specification, AMD publication
//     56860: ATTESTATION_REPORT, TCB_VERSION, guest policy.
//   - [VCEK] Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface
//     Specification, AMD publication 57230.
//   - [GHCB] SEV-ES Guest-Hypervisor Communication Block Standardization, AMD
//     publication 56421: the certificate table of extended reports.
package snp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-sev-guest/abi"
	sevsnp "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/uuid"

	"cloister/trust/attest"
)

// ReportSize is the length of a report in bytes, without certificates.
const ReportSize = abi.ReportSize

// maxQuote bounds an extended report; the kernel hands out at most 16 KiB of
// certificates.
const maxQuote = ReportSize + 64<<10

// SigningKey is a kind of key that signs reports ([ABI], SIGNING_KEY).
type SigningKey string

// The kinds: a chip's own key, and one that AMD gave a cloud provider.
const (
	VCEK SigningKey = "VCEK"
	VLEK SigningKey = "VLEK"
)

// Report is an extended report: the report and the certificates after it.
type Report struct {
	raw    []byte // the report alone
	fields *sevsnp.Report
	signer abi.SignerInfo
	fms    [3]byte // family, model, stepping; zeros before version 3

	vcek, vlek, ask, ark []byte // certificates in DER, nil where there is none
}

// Parse reads an extended report and trusts nothing of it: the 1184 bytes of a
// report and, after them, a certificate table or nothing.
func Parse(quote []byte) (*Report, error) {
	if len(quote) < ReportSize || len(quote) > maxQuote {
		return nil, fmt.Errorf("an SNP report has %d bytes and at most %d of certificates after them, this has %d in all",
			ReportSize, maxQuote-ReportSize, len(quote))
	}
	r := &Report{raw: bytes.Clone(quote[:ReportSize])}
	if err := abi.ValidateReportFormat(r.raw); err != nil {
		return nil, err
	}
	fields, err := abi.ReportToProto(r.raw)
	if err != nil {
		return nil, err
	}
	if fields.SignatureAlgo != abi.SignEcdsaP384Sha384 {
		return nil, fmt.Errorf("signature algorithm %d is not ECDSA P-384 with SHA-384", fields.SignatureAlgo)
	}
	if r.signer, err = abi.ParseSignerInfo(fields.SignerInfo); err != nil {
		return nil, err
	}
	r.fields = fields
	if r.saysProcessor() {
		copy(r.fms[:], r.raw[0x188:0x18B])
	}
	if err := r.parseCertificates(quote[ReportSize:]); err != nil {
		return nil, fmt.Errorf("certificate table: %w", err)
	}
	return r, nil
}

// tableEntry is one line of the table: a GUID, then offset and length of its data
// from the start of the table.
const tableEntry = abi.CertTableEntrySize

// parseCertificates reads the table ([GHCB], section 4.1.8.1): lines up to one of
// zeros, then the data that they point to. Data of unknown GUIDs are passed over.
func (r *Report) parseCertificates(table []byte) error {
	if len(table) == 0 {
		return nil
	}
	known := map[uuid.UUID]*[]byte{
		uuid.MustParse(abi.VcekGUID): &r.vcek,
		uuid.MustParse(abi.VlekGUID): &r.vlek,
		uuid.MustParse(abi.AskGUID):  &r.ask,
		uuid.MustParse(abi.ArkGUID):  &r.ark,
	}
	end, ok := tableEnd(table)
	if !ok {
		return errors.New("it has no end")
	}
	for line := range slices.Chunk(table[:end-tableEntry], tableEntry) {
		offset, length := uint64(binary.LittleEndian.Uint32(line[16:])), uint64(binary.LittleEndian.Uint32(line[20:]))
		if offset < uint64(end) || offset+length > uint64(len(table)) {
			return fmt.Errorf("an entry has bytes %d to %d of %d, of which the first %d are the table itself", offset, offset+length, len(table), end)
		}
		place := known[uuid.UUID(line[:16])]
		if place == nil {
			continue
		}
		if *place != nil || length == 0 {
			return fmt.Errorf("the certificate %s is there twice or empty", uuid.UUID(line[:16]))
		}
		*place = bytes.Clone(table[offset : offset+length])
	}
	return nil
}

// tableEnd finds where the line of zeros ends.
func tableEnd(table []byte) (int, bool) {
	end := 0
	for len(table)-end >= tableEntry {
		line := table[end : end+tableEntry]
		end += tableEntry
		if len(bytes.Trim(line, "\x00")) == 0 {
			return end, true
		}
	}
	return 0, false
}

// Version is that of the report.
func (r *Report) Version() uint32 { return r.fields.Version }

// saysProcessor says whether reports of this version have family and model.
func (r *Report) saysProcessor() bool { return r.Version() >= abi.ReportVersion3 }

// signingKey is the key that the report names as its signer: VCEK, VLEK or
// another word.
func (r *Report) signingKey() SigningKey { return SigningKey(r.signer.SigningKey.String()) }

// noMigrationAgent is REPORT_ID_MA of a guest that has none ([ABI]).
var noMigrationAgent = bytes.Repeat([]byte{0xff}, abi.ReportIDMASize)

// hypervisorVMPL is the VMPL of a report that the hypervisor asked for.
const hypervisorVMPL = 0xffffffff

// debugBit and migrationBit are of the guest policy ([ABI], table 9).
const (
	migrationBit = 1 << 18
	debugBit     = 1 << 19
)

// Claims are what a report says. Product is what the report itself says of the
// processor, which is nothing before version 3.
func (r *Report) Claims() attest.Claims {
	f := r.fields
	c := attest.Claims{
		Platform:   attest.SNP,
		ReportData: attest.ReportData(f.ReportData),
		Debug:      f.Policy&debugBit != 0,
		SNP: &attest.SNPClaims{
			Measurement:     f.Measurement,
			HostData:        f.HostData,
			IDKeyDigest:     f.IdKeyDigest,
			AuthorKeyDigest: f.AuthorKeyDigest,
			FamilyID:        f.FamilyId,
			ImageID:         f.ImageId,
			ChipID:          f.ChipId,
			GuestSVN:        f.GuestSvn,
			GuestPolicy:     f.Policy,
			VMPL:            f.Vmpl,
			PlatformInfo:    f.PlatformInfo,
			ReportedTCB:     f.ReportedTcb,
			CommittedTCB:    f.CommittedTcb,
			CurrentTCB:      f.CurrentTcb,
			LaunchTCB:       f.LaunchTcb,
			SigningKey:      string(r.signingKey()),
			MigrationAgent:  !bytes.Equal(f.ReportIdMa, noMigrationAgent),
		},
	}
	if p, ok := productOf(r.fms); ok {
		c.SNP.Product = string(p)
	}
	if !r.chipHidden() {
		c.Machine = f.ChipId
	}
	return c
}

// chipHidden says whether the report has zeros for the chip id, as the machine's
// owner can have it (MASK_CHIP_ID, which no field of the report shows).
func (r *Report) chipHidden() bool { return len(bytes.Trim(r.fields.ChipId, "\x00")) == 0 }
