package sgx

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// PCK is what the SGX extension of a PCK certificate says of a machine
// ([PCKProfile], "SGX Extensions").
type PCK struct {
	PPID       [16]byte
	Components [16]uint8 // the SVNs of the TCB's components
	PCESVN     uint16
	CPUSVN     [16]byte
	PCEID      [2]byte
	FMSPC      [6]byte
	SGXType    SGXType
	// Platform is of certificates of the platform CA, nil in those of the
	// processor CA.
	Platform *PCKPlatform
}

// PCKPlatform is what only certificates of the platform CA have.
type PCKPlatform struct {
	InstanceID      [16]byte
	DynamicPlatform bool
	CachedKeys      bool
	SMTEnabled      bool
}

// SGXType is how a machine protects enclave memory.
type SGXType uint8

// The types.
const (
	Standard              SGXType = 0
	Scalable              SGXType = 1
	ScalableWithIntegrity SGXType = 2
)

var oidSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

// below returns an identifier below that of the extension.
func below(i int) asn1.ObjectIdentifier {
	return append(slices.Clone(oidSGX), i)
}

// sgxField is an item of the extension: an identifier below a known one, and a
// value.
type sgxField struct {
	Raw   asn1.RawContent
	ID    asn1.ObjectIdentifier
	Value asn1.RawValue
}

// sgxFields reads a sequence of items, and returns the value of identifier
// under.i at i. Each of 1 to n is there at most once, and nothing else is there.
func sgxFields(der []byte, under asn1.ObjectIdentifier, n int) ([]*asn1.RawValue, error) {
	var items []sgxField
	if rest, err := asn1.Unmarshal(der, &items); err != nil {
		return nil, fmt.Errorf("%s: %w", under, err)
	} else if len(rest) > 0 {
		return nil, fmt.Errorf("%s: %d bytes too many", under, len(rest))
	}
	values := make([]*asn1.RawValue, n+1)
	for i := range items {
		id := items[i].ID
		if len(id) != len(under)+1 || !id[:len(under)].Equal(under) || id[len(under)] < 1 || id[len(under)] > n {
			return nil, fmt.Errorf("%s: item %s is not known", under, id)
		}
		last := id[len(under)]
		if values[last] != nil {
			return nil, fmt.Errorf("%s: item %s is there twice", under, id)
		}
		// encoding/asn1 passes over what follows the two.
		if again, err := asn1.Marshal(sgxField{ID: id, Value: items[i].Value}); err != nil || len(again) != len(items[i].Raw) {
			return nil, fmt.Errorf("%s: item %s: bytes too many", under, id)
		}
		values[last] = &items[i].Value
	}
	return values, nil
}

// sgxValue decodes one value, which must be there.
func sgxValue(values []*asn1.RawValue, i int, name string, into any) error {
	if values[i] == nil {
		return fmt.Errorf("%s is missing", name)
	}
	if rest, err := asn1.Unmarshal(values[i].FullBytes, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	} else if len(rest) > 0 {
		return fmt.Errorf("%s: %d bytes too many", name, len(rest))
	}
	return nil
}

func sgxBytes(values []*asn1.RawValue, i int, name string, into []byte) error {
	var b []byte
	if err := sgxValue(values, i, name, &b); err != nil {
		return err
	}
	if len(b) != len(into) {
		return fmt.Errorf("%s has %d bytes, not %d", name, len(b), len(into))
	}
	copy(into, b)
	return nil
}

func sgxUint(values []*asn1.RawValue, i int, name string, limit int64) (uint16, error) {
	var n *big.Int
	if err := sgxValue(values, i, name, &n); err != nil {
		return 0, err
	}
	if n.Sign() < 0 || n.Cmp(big.NewInt(limit)) > 0 {
		return 0, fmt.Errorf("%s %s is not between 0 and %d", name, n, limit)
	}
	return uint16(n.Int64()), nil
}

// ParsePCKExtension reads the value of extension 1.2.840.113741.1.13.1.
func ParsePCKExtension(der []byte) (*PCK, error) {
	values, err := sgxFields(der, oidSGX, 7)
	if err != nil {
		return nil, err
	}
	p := new(PCK)
	if values[2] == nil {
		return nil, errors.New("TCB is missing")
	}
	var kind asn1.Enumerated
	err = first(
		sgxBytes(values, 1, "PPID", p.PPID[:]),
		p.readTCB(values[2].FullBytes),
		sgxBytes(values, 3, "PCEID", p.PCEID[:]),
		sgxBytes(values, 4, "FMSPC", p.FMSPC[:]),
		sgxValue(values, 5, "SGX type", &kind),
	)
	if err != nil {
		return nil, err
	}
	if kind < asn1.Enumerated(Standard) || kind > asn1.Enumerated(ScalableWithIntegrity) {
		return nil, fmt.Errorf("SGX type %d is not known", kind)
	}
	p.SGXType = SGXType(kind)
	if values[6] == nil && values[7] == nil {
		return p, nil
	}
	if err := p.readPlatform(values); err != nil {
		return nil, err
	}
	return p, nil
}

// first returns the first of several errors.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *PCK) readTCB(der []byte) error {
	values, err := sgxFields(der, below(2), 18)
	if err != nil {
		return err
	}
	for i := range p.Components {
		svn, err := sgxUint(values, i+1, fmt.Sprintf("SVN of TCB component %d", i+1), 255)
		if err != nil {
			return err
		}
		p.Components[i] = uint8(svn)
	}
	if p.PCESVN, err = sgxUint(values, 17, "PCESVN", 65535); err != nil {
		return err
	}
	return sgxBytes(values, 18, "CPUSVN", p.CPUSVN[:])
}

func (p *PCK) readPlatform(values []*asn1.RawValue) error {
	p.Platform = new(PCKPlatform)
	if err := sgxBytes(values, 6, "platform instance id", p.Platform.InstanceID[:]); err != nil {
		return err
	}
	if values[7] == nil {
		return errors.New("configuration is missing")
	}
	config, err := sgxFields(values[7].FullBytes, below(7), 3)
	if err != nil {
		return err
	}
	return first(
		sgxValue(config, 1, "dynamic platform", &p.Platform.DynamicPlatform),
		sgxValue(config, 2, "cached keys", &p.Platform.CachedKeys),
		sgxValue(config, 3, "SMT enabled", &p.Platform.SMTEnabled),
	)
}

// CA names the issuer of a PCK certificate as [PCS] does.
type CA string

// The issuers.
const (
	PlatformCA  CA = "platform"
	ProcessorCA CA = "processor"
)

// pckChain is a verified chain of a PCK certificate, and what it says.
type pckChain struct {
	*chain
	pck *PCK
	ca  CA
	key *ecdsa.PublicKey
}

// verifyPCKChain parses the certification data of a quote and verifies the
// signatures of its certificates. The quoting enclave may end the text with one
// NUL.
func verifyPCKChain(text []byte, roots []*ecdsa.PublicKey) (*pckChain, error) {
	if n := len(text); n > 1 && text[n-1] == 0 && text[n-2] == '\n' {
		text = text[:n-1]
	}
	certs, err := parsePEM(text)
	if err != nil {
		return nil, err
	}
	c, err := verifyChain(certs, roots, []string{namePCK}, []string{namePlatform, nameProcessor}, []string{nameRoot})
	if err != nil {
		return nil, err
	}
	p := &pckChain{chain: c, key: p256(c.leaf()), ca: PlatformCA}
	if c.certs[1].Subject.CommonName == nameProcessor {
		p.ca = ProcessorCA
	}
	if p.pck, err = pckOf(c.leaf()); err != nil {
		return nil, fmt.Errorf("SGX extension of the PCK certificate: %w", err)
	}
	if (p.pck.Platform != nil) != (p.ca == PlatformCA) {
		return nil, fmt.Errorf("the SGX extension of the PCK certificate is not that of a certificate of the %s CA", p.ca)
	}
	return p, nil
}

func pckOf(cert *x509.Certificate) (*PCK, error) {
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oidSGX) {
			return ParsePCKExtension(ext.Value)
		}
	}
	return nil, errors.New("it is missing")
}
