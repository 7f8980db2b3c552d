package policy

import (
	"time"

	"cloister/trust/attest"
)

// question is one thing that somebody asks for.
type question struct {
	who    string
	item   Item           // "" for what is every owner's: a certificate, the root key
	asks   *Request       // of a workload
	shakes *Handshake     // of a provisioned program
	client Hash           // of a person
	claims *attest.Claims // with asks or shakes
	set    DataSet
}

// owners are those who must agree to the answer.
func (q *question) owners(p *Policy) []Name {
	if q.item == "" {
		return sortedNames(p.Owners)
	}
	return []Name{q.item.Owner()}
}

// oracle answers questions by a policy.
type oracle struct{ p *Policy }

func newOracle(p *Policy) *oracle { return &oracle{p} }

func (o *oracle) releases(q question) bool {
	switch {
	case q.asks != nil:
		one := *q.asks
		one.Workload = Name(q.who) // the likeliest entry, which is quicker than all
		return o.p.Appraise(q.claims, &one, clock).Allowed || o.p.Appraise(q.claims, q.asks, clock).Allowed
	case q.shakes != nil:
		_, one := o.p.ProvisioningOf(q.claims)
		return one != nil && (one.Key == q.item && one.KeyVersion == q.set.Version || one.Secret == q.item) &&
			o.p.AppraiseProvisioning(q.claims, q.shakes, clock).Allowed
	case q.claims != nil:
		return o.p.AppraiseBroker(q.claims, clock).Allowed
	default:
		return o.p.AppraiseUnseal(q.client, &q.set, nil).Allowed
	}
}

// questions are those whose answers stand on the edge of what a policy allows:
// for each entry and each variant of what it accepts, for each thing that it
// grants.
func questions(p *Policy) []question {
	var all []question
	for _, name := range sortedNames(p.Workloads) {
		w := p.Workloads[name]
		for _, claims := range p.edges(&w.Program) {
			for _, job := range w.someJobs() {
				all = append(all, w.questions(string(name), claims, job)...)
			}
		}
	}
	for _, name := range sortedNames(p.Provisioning) {
		one := p.Provisioning[name]
		for _, claims := range p.edges(one.program()) {
			q := question{who: string(name), claims: claims, item: one.Key + one.Secret, set: DataSet{one.Key, one.KeyVersion, one.Terms}}
			if one.Terms == nil {
				q.set.Terms = []Name{}
			}
			q.shakes = &Handshake{Runs: one.MaxRuns - 1, DataSet: &q.set}
			all = append(all, q)
		}
	}
	for _, name := range sortedNames(p.BrokerPrograms) {
		for _, claims := range p.edges(p.BrokerPrograms[name]) {
			all = append(all, question{who: string(name), claims: claims})
		}
	}
	for _, name := range sortedNames(p.Unseal) {
		for item, versions := range p.Unseal[name].Keys {
			for _, v := range someVersions(versions) {
				all = append(all, question{who: string(name), item: item, client: p.Unseal[name].Client, set: DataSet{item, v, []Name{}}})
			}
		}
	}
	return all
}

func (w *Workload) someJobs() []JobHash {
	if w.OwnerApprovedJobs {
		return []JobHash{{1, 2, 3}}
	}
	return w.Jobs
}

func someVersions(all []Versions) []uint64 {
	var some []uint64
	for _, v := range all {
		some = append(some, v.First, min(v.Last, 1000))
	}
	return some
}

func (w *Workload) questions(who string, claims *attest.Claims, job JobHash) []question {
	var all []question
	add := func(item Item, fill func(*Request)) {
		ask := &Request{Binding: attest.Binding{Key: []byte("key"), Job: job}, JobApprovedBy: []Name{item.Owner()}}
		fill(ask)
		c := *claims
		c.ReportData = ask.Binding.ReportData()
		all = append(all, question{who: who, item: item, asks: ask, claims: &c})
	}
	for item, versions := range w.Keys {
		for _, v := range someVersions(versions) {
			for _, terms := range [][]Name{{}, w.Terms} {
				if terms == nil {
					terms = []Name{}
				}
				add(item, func(r *Request) { r.Keys = []DataSet{{item, v, terms}} })
			}
		}
	}
	for _, item := range w.Secrets {
		add(item, func(r *Request) { r.Secrets = []Item{item} })
	}
	for _, name := range w.Certificates {
		add("", func(r *Request) { r.Certificates = []DNSName{name} })
	}
	return all
}

// edges are claims that a program just satisfies: the least versions, the oldest
// collateral, each measurement, status, advisory and machine in turn.
func (p *Policy) edges(program *Program) []*attest.Claims {
	var all []*attest.Claims
	for _, identity := range program.identities() {
		for _, machine := range append([]Machine{""}, program.Machines...) {
			for _, status := range program.TCB.Statuses {
				c := identity
				c.Machine = unhex(string(machine))
				c.Debug = program.InsecureDebug
				c.TCB = p.oldest(program)
				if c.Platform != attest.SNP && c.Platform != attest.InsecureNone {
					c.TCB.Status = attest.TCBStatus(status)
					for _, a := range program.TCB.Advisories {
						c.TCB.Advisories = append(c.TCB.Advisories, string(a))
					}
				}
				all = append(all, &c)
			}
		}
	}
	return all
}

// oldest is the collateral that a program still accepts.
func (p *Policy) oldest(program *Program) attest.TCB {
	age, grace, number := program.TCB.MaxAge, Duration(0), program.TCB.MinEvaluationNumber
	intel := p.Platforms.SGX
	if attest.Platform(program.Platform) == attest.TDX {
		intel = p.Platforms.TDX
	}
	switch {
	case attest.Platform(program.Platform) == attest.SNP && p.Platforms.SNP != nil:
		age, grace = min(age, p.Platforms.SNP.MaxAge), p.Platforms.SNP.Grace
	case intel != nil:
		age, grace, number = min(age, intel.MaxAge), intel.Grace, max(number, intel.MinEvaluationNumber)
	}
	return attest.TCB{
		EvaluationNumber: number,
		Issued:           clock.Add(-time.Duration(age)), Latest: clock, Expires: clock.Add(-time.Duration(grace)),
	}
}

// identities are the claims of the programs themselves.
func (p *Program) identities() []attest.Claims {
	var all []attest.Claims
	switch {
	case p.SGX != nil:
		base := attest.SGXClaims{
			Attributes: p.SGX.Attributes.Value, XFRM: p.SGX.XFRM.Value, MiscSelect: uint32(p.SGX.MiscSelect.Value),
			ConfigID: p.SGX.ConfigID[:], ConfigSVN: p.SGX.ConfigSVN, ISVExtProdID: p.SGX.ExtProdID[:], ISVFamilyID: p.SGX.FamilyID[:],
		}
		for _, m := range p.SGX.MREnclaves {
			c := base
			c.MREnclave = m[:]
			all = append(all, attest.Claims{Platform: attest.SGX, SGX: &c})
		}
		if s := p.SGX.Signer; s != nil {
			c := base
			c.MREnclave, c.MRSigner, c.ISVProdID, c.ISVSVN = make([]byte, 32), s.MRSigner[:], s.ISVProdID, s.MinISVSVN
			all = append(all, attest.Claims{Platform: attest.SGX, SGX: &c})
		}
	case p.TDX != nil:
		for _, m := range p.TDX.Measurements {
			for _, seam := range p.TDX.MRSEAM {
				all = append(all, attest.Claims{Platform: attest.TDX, TDX: &attest.TDXClaims{
					MRTD: m.MRTD[:], RTMR: [4]attest.Hex{m.RTMR0[:], m.RTMR1[:], m.RTMR2[:], m.RTMR3[:]}, MRSEAM: seam[:], MRSignerSEAM: make([]byte, 48),
					MRConfigID: p.TDX.MRConfigID[:], MROwner: p.TDX.MROwner[:], MROwnerConfig: p.TDX.MROwnerConfig[:],
					TDAttributes: p.TDX.TDAttributes.Value, XFAM: p.TDX.XFAM.Value,
				}})
			}
		}
	case p.SNP != nil:
		var id SNPIDKey
		if p.SNP.IDKey != nil {
			id = *p.SNP.IDKey
		}
		for _, m := range p.SNP.Measurements {
			for product, least := range p.SNP.Products {
				for _, signer := range signers(p.SNP) {
					all = append(all, attest.Claims{Platform: attest.SNP, SNP: &attest.SNPClaims{
						Measurement: m[:], HostData: p.SNP.HostData[:], IDKeyDigest: id.Digest[:], AuthorKeyDigest: id.Author[:],
						FamilyID: id.FamilyID[:], ImageID: id.ImageID[:], GuestSVN: id.MinGuestSVN, GuestPolicy: uint64(p.SNP.GuestPolicy),
						ReportedTCB: packTCB(product, least.MinReportedTCB), CommittedTCB: packTCB(product, least.MinCommittedTCB), Product: string(product),
						SigningKey: signer[0], CloudProvider: signer[1],
					}})
				}
			}
		}
	case p.InsecureNone != nil:
		for _, b := range p.InsecureNone.Binaries {
			all = append(all, attest.Claims{Platform: attest.InsecureNone, InsecureNone: &attest.InsecureNoneClaims{Binary: b[:]}})
		}
	}
	return all
}

// signers are the kinds of keys that may sign, each with its cloud provider.
func signers(p *SNP) (all [][2]string) {
	for _, key := range p.SigningKeys {
		if key == VCEK {
			all = append(all, [2]string{string(key)})
			continue
		}
		for _, provider := range p.CloudProviders {
			all = append(all, [2]string{string(key), string(provider)})
		}
	}
	return all
}

func packTCB(product Product, t SNPTCB) uint64 {
	if product == Turin {
		return uint64(t.FMC) | uint64(t.BootLoader)<<8 | uint64(t.TEE)<<16 | uint64(t.SNP)<<24 | uint64(t.Microcode)<<56
	}
	return uint64(t.BootLoader) | uint64(t.TEE)<<8 | uint64(t.SNP)<<48 | uint64(t.Microcode)<<56
}

func unhex(text string) attest.Hex {
	var h attest.Hex
	if err := h.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return h
}
