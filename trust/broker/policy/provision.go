package policy

import (
	"slices"
	"time"

	"cloister/trust/attest"
)

// Handshake is what an unmodified program under Gramine asks for, by asking at
// all: its secret provisioning has no words for more. The caller has made sure
// that the evidence is in the certificate of the TLS connection that asks.
type Handshake struct {
	// Runs is how often the entry was used before.
	Runs uint64
	// DataSet is what the register has of the entry's key; see Provisioning.
	DataSet *DataSet
	// Frozen are the owners who froze their keys by a statement of their own.
	Frozen []Name
}

// Provisioning is the entry of gramine-provisioning with a measurement. The
// caller takes from it which data set to look up, and counts its runs.
func (p *Policy) ProvisioningOf(claims *attest.Claims) (Name, *Provision) {
	if claims.Platform == attest.SGX && claims.SGX != nil {
		for _, name := range sortedNames(p.Provisioning) {
			if one := p.Provisioning[name]; sameBytes(one.MREnclave, claims.SGX.MREnclave) {
				return name, one
			}
		}
	}
	return "", nil
}

// AppraiseProvisioning decides on a handshake. Entries of workloads are never
// looked at.
func (p *Policy) AppraiseProvisioning(claims *attest.Claims, ask *Handshake, now time.Time) *Decision {
	l := new(checklist)
	p.platform(claims, l, now)
	name, one := p.ProvisioningOf(claims)
	if one == nil {
		l.check("mrenclave", false, "the program is in no entry of gramine-provisioning")
		return &Decision{Checks: l.checks}
	}
	one.program().identity(claims, l)
	one.program().state(claims, l, now)
	l.check("runs", ask.Runs < one.MaxRuns, "the entry was used %d times; it may be %d times", ask.Runs, one.MaxRuns)
	if one.Secret != "" {
		p.owner(one.Secret, ask.Frozen, l)
	}
	if one.Key != "" {
		p.owner(one.Key, ask.Frozen, l)
		d := ask.DataSet
		if l.check("key "+string(one.Key), d != nil && d.Item == one.Key && d.Version == one.KeyVersion,
			"the register must have version %d of %s", one.KeyVersion, one.Key) {
			enforces(one.Terms, d, l)
		}
	}
	return &Decision{Workload: name, Checks: l.checks, Allowed: l.passed()}
}

// program is what the entry demands, as the entry of a workload says it.
func (p *Provision) program() *Program {
	return &Program{
		Platform: Platform(attest.SGX),
		SGX: &SGX{
			MREnclaves: []Bytes32{p.MREnclave}, Attributes: p.Attributes, XFRM: p.XFRM, MiscSelect: p.MiscSelect, ConfigID: p.ConfigID,
		},
		TCB: p.TCB, Machines: p.Machines, AnyMachine: p.AnyMachine,
	}
}

// AppraiseBroker decides whether a program may be the broker: what its clients
// ask before they send it a key, and a broker before it hands over its root.
// The report data are the caller's to check.
func (p *Policy) AppraiseBroker(claims *attest.Claims, now time.Time) *Decision {
	common := new(checklist)
	p.platform(claims, common, now)
	d := &Decision{Checks: common.checks}
	if !common.passed() {
		return d
	}
	for _, name := range sortedNames(p.BrokerPrograms) {
		l := &checklist{slices.Clone(common.checks)}
		program := p.BrokerPrograms[name]
		matched := program.identity(claims, l)
		program.state(claims, l, now)
		if l.passed() {
			return &Decision{Allowed: true, Workload: name, Checks: l.checks}
		}
		if matched || d.Workload == "" {
			d.Workload, d.Checks = name, l.checks
		}
	}
	if d.Workload == "" {
		common.check("broker program", false, "the policy names no program that may be the broker")
		d.Checks = common.checks
	}
	return d
}

// AppraiseUnseal decides whether a person may have the key of a data set outside
// a TEE. client is the SHA-256 of the SubjectPublicKeyInfo in the certificate of
// the connection that asks.
func (p *Policy) AppraiseUnseal(client Hash, d *DataSet, frozen []Name) *Decision {
	decision := &Decision{}
	l := new(checklist)
	granting := Name("")
	for _, name := range sortedNames(p.Unseal) {
		u := p.Unseal[name]
		if !client.IsZero() && u.Client == client && (granting == "" || grantsVersion(u.Keys, d.Item, d.Version)) {
			granting = name
		}
	}
	if l.check("client", granting != "", "the certificate %s must be in an entry of unseal", client) {
		keys := p.Unseal[granting].Keys
		l.check("key "+string(d.Item), grantsVersion(keys, d.Item, d.Version), "version %d must be granted; granted is %s", d.Version, granted(keys, d.Item))
	}
	p.owner(d.Item, frozen, l)
	decision.Workload, decision.Checks, decision.Allowed = granting, l.checks, l.passed()
	return decision
}
