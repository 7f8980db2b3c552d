package attesttest

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"cloister/trust/attest/sgx"
)

// MachineSpec says what a machine is.
type MachineSpec struct {
	Name       string // what its keys follow from
	PPID       [16]byte
	Components [16]uint8
	PCESVN     uint16
	CPUSVN     [16]byte
	PCEID      [2]byte
	FMSPC      [6]byte
	SGXType    sgx.SGXType
	// Processor has the processor CA issue the certificate, which then lacks
	// InstanceID and the configuration.
	Processor  bool
	InstanceID [16]byte
	// Issuer issues the PCK certificate, if it is not nil, and Root ends its chain.
	Issuer, Root *Issuer
	// Certificate edits the PCK certificate before it is signed.
	Certificate func(*x509.Certificate)
	// Extension edits the value of the SGX extension.
	Extension func([]byte) []byte
}

// Machine has a PCK certificate and makes quotes.
type Machine struct {
	Authority *Authority
	Spec      MachineSpec
	PCK       *Issuer
	// Chain is PCK certificate, intermediate and root in PEM.
	Chain []byte
}

// Machine makes a machine. Before edits it is a platform with several processors
// whose TCB is up to date.
func (a *Authority) Machine(edits ...func(*MachineSpec)) *Machine {
	spec := MachineSpec{
		Name:       "machine",
		PPID:       [16]byte{0xa1, 1, 2, 3},
		Components: [16]uint8{7, 9, 3, 3, 255, 255, 1},
		PCESVN:     13,
		CPUSVN:     [16]byte{7, 9, 3, 3, 255, 255, 1},
		FMSPC:      [6]byte{0x00, 0x60, 0x6a},
		SGXType:    sgx.Scalable,
		InstanceID: [16]byte{0xb2, 4, 5, 6},
	}
	for _, edit := range edits {
		edit(&spec)
	}
	issuer, root := a.Platform, a.Root
	if spec.Processor {
		issuer = a.Processor
	}
	if spec.Issuer != nil {
		issuer = spec.Issuer
	}
	if spec.Root != nil {
		root = spec.Root
	}
	m := &Machine{Authority: a, Spec: spec}
	m.PCK = a.issuePCK(issuer, &spec)
	m.Chain = pemOf(m.PCK.Cert, issuer.Cert, root.Cert)
	return m
}

func (a *Authority) issuePCK(issuer *Issuer, spec *MachineSpec) *Issuer {
	value := spec.extension()
	if spec.Extension != nil {
		value = spec.Extension(value)
	}
	// The certificate has Intel's name, the key that of the machine.
	key := a.Key("pck " + spec.Name)
	id := sha256.Sum256(must(key.PublicKey.Bytes()))
	return a.Issue(issuer, "pck "+spec.Name, func(t *x509.Certificate) {
		t.Subject = subject(NamePCK)
		t.SubjectKeyId = id[:20]
		t.ExtraExtensions = []pkix.Extension{{Id: sgxOID(), Value: value}}
		if spec.Certificate != nil {
			spec.Certificate(t)
		}
	})
}

// sgxOID returns Intel's identifier of the SGX extension, or one below it.
func sgxOID(below ...int) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}, below...)
}

type item struct {
	ID    asn1.ObjectIdentifier
	Value any
}

// extension encodes the SGX extension of the PCK certificate.
func (s *MachineSpec) extension() []byte {
	var tcb []item
	for i, svn := range s.Components {
		tcb = append(tcb, item{sgxOID(2, i+1), int(svn)})
	}
	tcb = append(tcb, item{sgxOID(2, 17), int(s.PCESVN)}, item{sgxOID(2, 18), s.CPUSVN[:]})
	items := []item{
		{sgxOID(1), s.PPID[:]},
		{sgxOID(2), sequence(tcb)},
		{sgxOID(3), s.PCEID[:]},
		{sgxOID(4), s.FMSPC[:]},
		{sgxOID(5), asn1.Enumerated(s.SGXType)},
	}
	if !s.Processor {
		items = append(items,
			item{sgxOID(6), s.InstanceID[:]},
			item{sgxOID(7), sequence([]item{{sgxOID(7, 1), true}, {sgxOID(7, 2), false}, {sgxOID(7, 3), true}})})
	}
	return sequence(items).FullBytes
}

func sequence(items []item) asn1.RawValue {
	var content []byte
	for _, i := range items {
		content = append(content, must(asn1.Marshal(i))...)
	}
	return asn1.RawValue{FullBytes: must(asn1.Marshal(asn1.RawValue{
		Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: content,
	}))}
}

// FMSPCOf is how [sgx.Directory] and the service write an FMSPC.
func FMSPCOf(fmspc [6]byte) string { return fmt.Sprintf("%012x", fmspc) }
