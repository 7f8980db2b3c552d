package policy

import (
	"bytes"
	"slices"

	"cloister/trust/attest"
	"cloister/trust/document"
)

// identity compares claims with the reference values of a program, and reports
// whether the measurement itself is one of them.
func (p *Program) identity(claims *attest.Claims, l *checklist) bool {
	if !l.check("program platform", Platform(claims.Platform) == p.Platform, "the evidence is of %s; the program runs in %s", claims.Platform, p.Platform) {
		return false
	}
	switch {
	case claims.Platform == attest.SGX && p.SGX != nil:
		return p.SGX.identity(claims.SGX, l)
	case claims.Platform == attest.TDX && p.TDX != nil:
		return p.TDX.identity(claims.TDX, l)
	case claims.Platform == attest.SNP && p.SNP != nil:
		return p.SNP.identity(claims.SNP, l)
	case claims.Platform == attest.InsecureNone && p.InsecureNone != nil:
		return l.check("binary", containsBytes(p.InsecureNone.Binaries, claims.InsecureNone.Binary),
			"the program is sha256:%s, and must be one of the %d that are listed", claims.InsecureNone.Binary, len(p.InsecureNone.Binaries))
	}
	// A policy that was read has them; without, nothing would be compared.
	return l.check("reference values", false, "the entry has none for the platform %s", document.Quote(string(claims.Platform)))
}

// measured reports whether the measurement, and nothing else, is that of the
// program: the quick answer to whether the rest is worth comparing.
func (p *Program) measured(claims *attest.Claims) bool {
	if Platform(claims.Platform) != p.Platform {
		return false
	}
	switch {
	case p.SGX != nil && claims.SGX != nil:
		if s := p.SGX.Signer; s != nil {
			return sameBytes(s.MRSigner, claims.SGX.MRSigner) && s.ISVProdID == claims.SGX.ISVProdID
		}
		return containsBytes(p.SGX.MREnclaves, claims.SGX.MREnclave)
	case p.TDX != nil && claims.TDX != nil:
		return p.TDX.measured(claims.TDX, new(checklist))
	case p.SNP != nil && claims.SNP != nil:
		return containsBytes(p.SNP.Measurements, claims.SNP.Measurement)
	case p.InsecureNone != nil && claims.InsecureNone != nil:
		return containsBytes(p.InsecureNone.Binaries, claims.InsecureNone.Binary)
	}
	return false
}

// array is a value of fixed size.
type array interface {
	Bytes16 | Bytes32 | Bytes48 | Bytes64 | Hash
}

func raw[T array](v T) []byte {
	switch v := any(v).(type) {
	case Bytes16:
		return v[:]
	case Bytes32:
		return v[:]
	case Bytes48:
		return v[:]
	case Bytes64:
		return v[:]
	case Hash:
		return v[:]
	}
	return nil
}

// sameBytes never takes a claim of another size, an empty one among them, for
// equal.
func sameBytes[T array](want T, got attest.Hex) bool { return bytes.Equal(raw(want), got) }

func containsBytes[T array](all []T, got attest.Hex) bool {
	return slices.ContainsFunc(all, func(want T) bool { return sameBytes(want, got) })
}

func checkBytes[T array](l *checklist, name string, want T, got attest.Hex) {
	l.check(name, sameBytes(want, got), "is %s, wanted %x", got, raw(want))
}

func checkMasked(l *checklist, name string, want Masked, got uint64) {
	l.check(name, want.Accepts(got), "are %#x, wanted %#x under the mask %#x", got, want.Value, want.Mask)
}

func checkZeros(l *checklist, name string, got attest.Hex) {
	l.check(name, len(bytes.Trim(got, "\x00")) == 0, "is %s, wanted zeros", got)
}

func (s *SGX) identity(c *attest.SGXClaims, l *checklist) bool {
	var matched bool
	if s.Signer != nil {
		matched = l.check("mrsigner", sameBytes(s.Signer.MRSigner, c.MRSigner), "is %s, wanted %x", c.MRSigner, s.Signer.MRSigner[:])
		matched = l.check("isv prod id", c.ISVProdID == s.Signer.ISVProdID, "is %d, wanted %d", c.ISVProdID, s.Signer.ISVProdID) && matched
		l.check("isv svn", c.ISVSVN >= s.Signer.MinISVSVN, "is %d, wanted at least %d", c.ISVSVN, s.Signer.MinISVSVN)
	} else {
		matched = l.check("mrenclave", containsBytes(s.MREnclaves, c.MREnclave), "%s must be one of the %d that are listed", c.MREnclave, len(s.MREnclaves))
	}
	checkMasked(l, "attributes", s.Attributes, c.Attributes)
	checkMasked(l, "xfrm", s.XFRM, c.XFRM)
	checkMasked(l, "misc select", s.MiscSelect, uint64(c.MiscSelect))
	checkBytes(l, "config id", s.ConfigID, c.ConfigID)
	l.check("config svn", c.ConfigSVN == s.ConfigSVN, "is %d, wanted %d", c.ConfigSVN, s.ConfigSVN)
	checkBytes(l, "isv ext prod id", s.ExtProdID, c.ISVExtProdID)
	checkBytes(l, "isv family id", s.FamilyID, c.ISVFamilyID)
	return matched
}

func (t *TDX) identity(c *attest.TDXClaims, l *checklist) bool {
	matched := t.measured(c, l)
	checkMasked(l, "td attributes", t.TDAttributes, c.TDAttributes)
	l.check("migration", c.TDAttributes&tdxMigratable == 0, "td attributes are %#x; bit 29 lets the domain be migrated", c.TDAttributes)
	checkMasked(l, "xfam", t.XFAM, c.XFAM)
	l.check("mrseam", containsBytes(t.MRSEAM, c.MRSEAM), "%s must be one of the %d that are listed", c.MRSEAM, len(t.MRSEAM))
	checkBytes(l, "mrsigner seam", Bytes48{}, c.MRSignerSEAM) // zeros are Intel
	l.check("seam attributes", c.SEAMAttributes == 0, "are %#x, wanted 0", c.SEAMAttributes)
	checkBytes(l, "mr config id", t.MRConfigID, c.MRConfigID)
	checkBytes(l, "mr owner", t.MROwner, c.MROwner)
	checkBytes(l, "mr owner config", t.MROwnerConfig, c.MROwnerConfig)
	checkZeros(l, "service td", c.MRServiceTD) // a service domain could migrate this one
	return matched
}

// measured checks that the registers are, all together, one of the measurements.
func (t *TDX) measured(c *attest.TDXClaims, l *checklist) bool {
	const name = "mrtd and rtmrs"
	near := Name("")
	for _, n := range sortedNames(t.Measurements) {
		m := t.Measurements[n]
		if !sameBytes(m.MRTD, c.MRTD) {
			continue
		}
		near = n
		if sameBytes(m.RTMR0, c.RTMR[0]) && sameBytes(m.RTMR1, c.RTMR[1]) && sameBytes(m.RTMR2, c.RTMR[2]) && sameBytes(m.RTMR3, c.RTMR[3]) {
			return l.check(name, true, "are those of %s", n)
		}
	}
	if near == "" {
		return l.check(name, false, "mrtd %s is in none of the %d measurements", c.MRTD, len(t.Measurements))
	}
	m := t.Measurements[near]
	for i, want := range []Bytes48{m.RTMR0, m.RTMR1, m.RTMR2, m.RTMR3} {
		if !sameBytes(want, c.RTMR[i]) {
			return l.check(name, false, "rtmr%d is %s, in %s it is %x", i, c.RTMR[i], near, want[:])
		}
	}
	return l.check(name, false, "are those of none of the %d measurements", len(t.Measurements))
}

func (s *SNP) identity(c *attest.SNPClaims, l *checklist) bool {
	matched := l.check("launch measurement", containsBytes(s.Measurements, c.Measurement), "%s must be one of the %d that are listed", c.Measurement, len(s.Measurements))
	var key SNPIDKey
	if s.IDKey != nil {
		key = *s.IDKey
	}
	checkBytes(l, "id key", key.Digest, c.IDKeyDigest)
	checkBytes(l, "author key", key.Author, c.AuthorKeyDigest)
	checkBytes(l, "family id", key.FamilyID, c.FamilyID)
	checkBytes(l, "image id", key.ImageID, c.ImageID)
	l.check("guest svn", c.GuestSVN >= key.MinGuestSVN, "is %d, wanted at least %d", c.GuestSVN, key.MinGuestSVN)
	l.check("guest policy", c.GuestPolicy == uint64(s.GuestPolicy), "is %#x, wanted %#x", c.GuestPolicy, uint64(s.GuestPolicy))
	l.check("migration", c.GuestPolicy&snpMigrate == 0 && !c.MigrationAgent,
		"the guest policy is %#x, whose bit 18 allows a migration agent; one is named: %t", c.GuestPolicy, c.MigrationAgent)
	l.check("signing key", slices.Contains(s.SigningKeys, SigningKey(c.SigningKey)),
		"the report is signed by %s; accepted are %s", document.Quote(c.SigningKey), join(s.SigningKeys))
	provider := c.CloudProvider == "" // a chip's own key is nobody's
	if SigningKey(c.SigningKey) == VLEK {
		provider = slices.Contains(s.CloudProviders, CloudProvider(c.CloudProvider))
	}
	l.check("cloud provider", provider, "the %s is of %s; accepted are %s", document.Quote(c.SigningKey), document.Quote(c.CloudProvider), join(s.CloudProviders))
	l.check("vmpl", c.VMPL == 0, "is %d, wanted 0", c.VMPL)
	checkBytes(l, "host data", s.HostData, c.HostData)
	s.firmware(c, l)
	return matched
}

// firmware compares the security versions of AMD's firmware one by one.
func (s *SNP) firmware(c *attest.SNPClaims, l *checklist) {
	product := s.Products[Product(c.Product)]
	if !l.check("product", product != nil, "%s must be among the products that are listed", document.Quote(c.Product)) {
		return
	}
	for _, one := range []struct {
		name string
		got  uint64
		want SNPTCB
	}{
		{"reported tcb", c.ReportedTCB, product.MinReportedTCB},
		{"committed tcb", c.CommittedTCB, product.MinCommittedTCB},
	} {
		got := unpackTCB(Product(c.Product), one.got)
		l.check(one.name, got.covers(one.want), "is %s, wanted at least %s", got, one.want)
	}
}
