package policy

import (
	"slices"
	"strings"

	"cloister/trust/approval"
	"cloister/trust/attest"
	"cloister/trust/document"
)

type refuse = func(at document.Path, format string, args ...any)

// Check implements document.Checker.
func (p *Policy) Check(path document.Path, refuse refuse) {
	p.checkVersion(path, refuse)
	p.checkOwners(path, refuse)
	p.checkWitnesses(path, refuse)
	p.checkPrograms(path, refuse)
	p.checkProvisioning(path, refuse)
	p.checkItems(path, refuse)
}

func (p *Policy) checkVersion(path document.Path, refuse refuse) {
	switch {
	case p.Version == 0:
		refuse(path.Field("version"), "is 0; the first version is 1")
	case p.Version == 1 && !p.Previous.IsZero():
		refuse(path.Field("previous"), "is written, but version 1 has no version before it")
	case p.Version > 1 && p.Previous.IsZero():
		refuse(path.Field("previous"), "is missing: version %d needs the hash of version %d", p.Version, p.Version-1)
	}
}

// checkOwners makes sure that no key counts twice.
func (p *Policy) checkOwners(path document.Path, refuse refuse) {
	owners := path.Field("owners")
	if n := uint64(len(p.Owners)); n == 0 {
		refuse(owners, "has nobody in it")
	} else if p.Approvals == 0 || p.Approvals > n {
		refuse(path.Field("approvals"), "is %d; it is at least 1 and at most the number of owners, %d", p.Approvals, n)
	}
	holder := make(map[approval.PublicKey]Name)
	for _, name := range sortedNames(p.Owners) {
		owner := p.Owners[name]
		for _, key := range append(slices.Clone(owner.Keys), owner.Recovery) {
			if key.IsZero() {
				continue
			}
			if other, twice := holder[key]; twice {
				refuse(owners.Key(string(name)), "has the key %s, which is written for %s too; each key counts once", key.Fingerprint(), other)
			}
			holder[key] = name
		}
	}
}

// Check implements document.Checker.
func (o *Owner) Check(path document.Path, refuse refuse) {
	if n := uint64(len(o.Keys)); n == 0 {
		refuse(path.Field("keys"), "has no key")
	} else if o.Threshold == 0 || o.Threshold > n {
		refuse(path.Field("threshold"), "is %d; it is at least 1 and at most the number of keys, %d", o.Threshold, n)
	}
}

func (p *Policy) checkWitnesses(path document.Path, refuse refuse) {
	at := path.Field("witnesses")
	switch w := p.Witnesses; {
	case w == nil && !p.InsecureNoWitness:
		refuse(at, "is missing: name witnesses that owners run, or say insecure-no-witness: true")
	case w != nil && p.InsecureNoWitness:
		refuse(at, "contradicts insecure-no-witness: true; keep one of them")
	case w != nil:
		n := uint64(len(w.Keys))
		if w.Quorum > n || w.Quorum <= n/2 {
			refuse(at.Field("quorum"), "is %d; more than half of the %d witnesses must co-sign", w.Quorum, n)
		}
		seen := make(map[string]Name) // by the key itself: a co-signature does not cover the name
		for _, name := range sortedNames(w.Keys) {
			one := w.Keys[name]
			if p.Owners[one.Owner] == nil {
				refuse(at.Field("keys").Key(string(name)).Field("owner"), "names %s, who is no owner", document.Quote(string(one.Owner)))
			}
			if other, twice := seen[one.Key.encoded()]; twice {
				refuse(at.Field("keys").Key(string(name)), "has the key of %s; each witness counts once", other)
			}
			seen[one.Key.encoded()] = name
		}
	}
}

// programs calls visit for every program of the policy.
func (p *Policy) programs(path document.Path, visit func(at document.Path, program *Program)) {
	for _, name := range sortedNames(p.BrokerPrograms) {
		visit(path.Field("broker-programs").Key(string(name)), p.BrokerPrograms[name])
	}
	for _, name := range sortedNames(p.Workloads) {
		visit(path.Field("workloads").Key(string(name)), &p.Workloads[name].Program)
	}
}

func (p *Policy) checkPrograms(path document.Path, refuse refuse) {
	p.programs(path, func(at document.Path, program *Program) {
		if !p.accepts(attest.Platform(program.Platform)) {
			refuse(at.Field("platform"), "is %s, which is not among the accepted platforms", program.Platform)
		}
	})
	if len(p.Provisioning) > 0 && p.Platforms.SGX == nil {
		refuse(path.Field("gramine-provisioning"), "needs the platform sgx, which is not among the accepted platforms")
	}
}

// accepts reports whether the platform is among the accepted ones.
func (p *Policy) accepts(platform attest.Platform) bool {
	switch platform {
	case attest.SGX:
		return p.Platforms.SGX != nil
	case attest.TDX:
		return p.Platforms.TDX != nil
	case attest.SNP:
		return p.Platforms.SNP != nil
	case attest.InsecureNone:
		return p.Platforms.InsecureNone != nil
	}
	return false
}

// checkProvisioning makes sure that a measurement of gramine-provisioning is
// one job and nothing else.
func (p *Policy) checkProvisioning(path document.Path, refuse refuse) {
	used := make(map[Bytes32]string)
	p.programs("", func(at document.Path, program *Program) {
		if program.SGX != nil {
			for _, m := range program.SGX.MREnclaves {
				used[m] = string(at)
			}
		}
	})
	for _, name := range sortedNames(p.Provisioning) {
		one := p.Provisioning[name]
		at := path.Field("gramine-provisioning").Key(string(name))
		if other, twice := used[one.MREnclave]; twice {
			refuse(at.Field("mrenclave"), "stands in %s, too; an enclave that is provisioned runs one job and has no other entry", other)
		}
		used[one.MREnclave] = string(at)
	}
}

// Check implements document.Checker.
func (p *Provision) Check(path document.Path, refuse refuse) {
	if p.MREnclave == (Bytes32{}) {
		refuse(path.Field("mrenclave"), "is all zeros")
	}
	if p.Job == NoJob {
		refuse(path.Field("job"), "is none; an enclave that is provisioned runs one approved job")
	}
	if p.MaxRuns == 0 {
		refuse(path.Field("max-runs"), "is 0; then leave the entry out")
	}
	switch {
	case (p.Key == "") == (p.Secret == ""):
		refuse(path, "needs either key or secret: the protocol gives one")
	case (p.Key == "") != (p.KeyVersion == 0):
		refuse(path.Field("key-version"), "goes with key: write both")
	}
	checkAttributes(path, p.Attributes, p.MiscSelect, false, refuse)
	checkMachines(path, p.Machines, p.AnyMachine, refuse)
}

// checkItems makes sure that nobody is granted what nobody owns.
func (p *Policy) checkItems(path document.Path, refuse refuse) {
	known := func(at document.Path, item Item) {
		if item != "" && p.Owners[item.Owner()] == nil {
			refuse(at, "names %s, but there is no owner %s", document.Quote(string(item)), item.Owner())
		}
	}
	for _, name := range sortedNames(p.Workloads) {
		w, at := p.Workloads[name], path.Field("workloads").Key(string(name))
		for item := range w.Keys {
			known(at.Field("keys").Key(string(item)), item)
		}
		for _, item := range w.Secrets {
			known(at.Field("secrets").Key(string(item)), item)
		}
	}
	for _, name := range sortedNames(p.Unseal) {
		for item := range p.Unseal[name].Keys {
			known(path.Field("unseal").Key(string(name)).Field("keys").Key(string(item)), item)
		}
	}
	for _, name := range sortedNames(p.Provisioning) {
		at := path.Field("gramine-provisioning").Key(string(name))
		known(at.Field("key"), p.Provisioning[name].Key)
		known(at.Field("secret"), p.Provisioning[name].Secret)
	}
}

// Check implements document.Checker.
func (w *Workload) Check(path document.Path, refuse refuse) {
	w.Program.Check(path, refuse)
	if w.OwnerApprovedJobs && len(w.Jobs) > 0 {
		refuse(path.Field("jobs"), "contradicts owner-approved-jobs: true; list the jobs, or let the owners' signatures decide")
	}
	checkGrants(path.Field("keys"), w.Keys, refuse)
}

// Check implements document.Checker.
func (u *Unsealer) Check(path document.Path, refuse refuse) {
	checkGrants(path.Field("keys"), u.Keys, refuse)
	checkClient(path.Field("client"), u.Client, refuse)
}

// Check implements document.Checker.
func (a *Administrator) Check(path document.Path, refuse refuse) {
	checkClient(path.Field("client"), a.Client, refuse)
}

func checkClient(path document.Path, client Hash, refuse refuse) {
	if client.IsZero() {
		refuse(path, "is all zeros")
	}
}

func checkGrants(path document.Path, keys map[Item][]Versions, refuse refuse) {
	for item, versions := range keys {
		if len(versions) == 0 {
			refuse(path.Key(string(item)), "has no version; an empty list grants nothing")
		}
	}
}

// Check implements document.Checker.
func (p *IntelPlatform) Check(path document.Path, refuse refuse) {
	checkRoots(path, p.Roots, []Root{RootIntel}, refuse)
	if p.MaxAge == 0 {
		refuse(path.Field("max-age"), "is 0, which no collateral satisfies")
	}
}

// Check implements document.Checker.
func (p *AMDPlatform) Check(path document.Path, refuse refuse) {
	checkRoots(path, p.Roots, []Root{RootAMDMilan, RootAMDGenoa, RootAMDTurin}, refuse)
	if p.MaxAge == 0 {
		refuse(path.Field("max-age"), "is 0, which no revocation list satisfies")
	}
}

func checkRoots(path document.Path, roots, known []Root, refuse refuse) {
	if len(roots) == 0 {
		refuse(path.Field("roots"), "has no root of trust")
	}
	for _, r := range roots {
		if _, other := r.Hash(); !other && !slices.Contains(known, r) {
			refuse(path.Field("roots").Key(string(r)), "is no root of this platform")
		}
	}
}

// Check implements document.Checker.
func (p *Program) Check(path document.Path, refuse refuse) {
	for _, block := range []struct {
		platform attest.Platform
		there    bool
	}{
		{attest.SGX, p.SGX != nil},
		{attest.TDX, p.TDX != nil},
		{attest.SNP, p.SNP != nil},
		{attest.InsecureNone, p.InsecureNone != nil},
	} {
		field := path.Field(string(block.platform))
		switch wanted := attest.Platform(p.Platform) == block.platform; {
		case wanted && !block.there:
			refuse(field, "is missing: platform %s needs its reference values", p.Platform)
		case !wanted && block.there:
			refuse(field, "is written, but the platform is %s", p.Platform)
		}
	}
	guest := attest.Platform(p.Platform) == attest.TDX || attest.Platform(p.Platform) == attest.SNP
	switch {
	case guest && p.Guest == nil:
		refuse(path.Field("guest"), "is missing: a guest is accepted only where kernel, command line, initrd and root are measured; say what they are")
	case !guest && p.Guest != nil:
		refuse(path.Field("guest"), "is written, but %s has no guests", p.Platform)
	}
	p.checkTCB(path.Field("tcb"), refuse)
	if p.SGX != nil {
		checkAttributes(path.Field("sgx"), p.SGX.Attributes, p.SGX.MiscSelect, p.InsecureDebug, refuse)
	}
	if p.TDX != nil {
		p.TDX.checkAttributes(path.Field("tdx"), p.InsecureDebug, refuse)
	}
	if p.SNP != nil {
		p.SNP.checkPolicy(path.Field("snp"), p.InsecureDebug, refuse)
	}
	checkMachines(path, p.Machines, p.AnyMachine, refuse)
}

// checkTCB refuses rules that would look like rules and be none: only Intel has
// statuses, advisories and evaluation numbers.
func (p *Program) checkTCB(path document.Path, refuse refuse) {
	platform := attest.Platform(p.Platform)
	if platform != attest.SNP && platform != attest.InsecureNone {
		return
	}
	usual := len(p.TCB.Statuses) == 1 && p.TCB.Statuses[0] == Status(attest.UpToDate)
	if !usual || len(p.TCB.Advisories) > 0 || p.TCB.MinEvaluationNumber > 0 {
		refuse(path, "says something of statuses, advisories or evaluation numbers, which %s has not", p.Platform)
	}
}

// Check implements document.Checker.
func (t *TCB) Check(path document.Path, refuse refuse) {
	if len(t.Statuses) == 0 {
		refuse(path.Field("statuses"), "is empty, which no machine satisfies")
	}
	if t.MaxAge == 0 {
		refuse(path.Field("max-age"), "is 0, which no collateral satisfies")
	}
}

func checkMachines(path document.Path, machines []Machine, anyMachine bool, refuse refuse) {
	switch {
	case len(machines) == 0 && !anyMachine:
		refuse(path.Field("machines"), "is missing: list the machines, or say any-machine: true")
	case len(machines) > 0 && anyMachine:
		refuse(path.Field("machines"), "contradicts any-machine: true; keep one of them")
	}
}

const sgxDebug = 0x2 // ATTRIBUTES.DEBUG (Intel SDM volume 3D, "ATTRIBUTES")

func checkAttributes(path document.Path, attributes, miscSelect Masked, debug bool, refuse refuse) {
	if attributes.Mask&sgxDebug == 0 && !debug {
		refuse(path.Field("attributes"), "has a mask that lets debug enclaves pass; add 0x2 to it, or say insecure-debug: true")
	}
	if attributes.Value&sgxDebug != 0 && !debug {
		refuse(path.Field("attributes"), "asks for a debug enclave without insecure-debug: true")
	}
	if miscSelect.Mask>>32 != 0 {
		refuse(path.Field("misc-select"), "has 32 bits, and the mask %#x has more", miscSelect.Mask)
	}
}

// Check implements document.Checker.
func (s *SGX) Check(path document.Path, refuse refuse) {
	switch {
	case len(s.MREnclaves) == 0 && s.Signer == nil:
		refuse(path.Field("mrenclaves"), "is missing: list the measurements, or name the signer")
	case len(s.MREnclaves) > 0 && s.Signer != nil:
		refuse(path.Field("signer"), "is written besides mrenclaves; keep one of them")
	}
	for _, m := range s.MREnclaves {
		if m == (Bytes32{}) {
			refuse(path.Field("mrenclaves"), "has a measurement of all zeros")
		}
	}
	if s.Signer != nil && s.Signer.MRSigner == (Bytes32{}) {
		refuse(path.Field("signer").Field("mrsigner"), "is all zeros")
	}
}

// Bits of TDATTRIBUTES (Intel TDX module ABI, "ATTRIBUTES"): the low byte makes a
// domain untrusted, DEBUG among it.
const (
	tdxUntrusted  = 0xff
	tdxMigratable = 1 << 29
)

func (t *TDX) checkAttributes(path document.Path, debug bool, refuse refuse) {
	at := path.Field("td-attributes")
	if t.TDAttributes.Mask&tdxUntrusted != tdxUntrusted && !debug {
		refuse(at, "has a mask that lets debug domains pass; add 0xff to it, or say insecure-debug: true")
	}
	if t.TDAttributes.Value&tdxUntrusted != 0 && !debug {
		refuse(at, "asks for a debug domain without insecure-debug: true")
	}
	if t.TDAttributes.Value&tdxMigratable != 0 {
		refuse(at, "asks for a domain that can be migrated (bit 29), which is never accepted")
	}
}

// Check implements document.Checker.
func (t *TDX) Check(path document.Path, refuse refuse) {
	if len(t.Measurements) == 0 {
		refuse(path.Field("measurements"), "is empty, which no domain satisfies")
	}
	for name, m := range t.Measurements {
		if m.MRTD == (Bytes48{}) {
			refuse(path.Field("measurements").Key(string(name)).Field("mrtd"), "is all zeros")
		}
		if m.RTMR1 == (Bytes48{}) || m.RTMR2 == (Bytes48{}) {
			refuse(path.Field("measurements").Key(string(name)), "has zeros in rtmr1 or rtmr2: kernel, command line and initrd are not measured then")
		}
	}
	if len(t.MRSEAM) == 0 {
		refuse(path.Field("mrseam"), "is empty, which no domain satisfies")
	}
}

// Bits of an SNP guest policy (AMD publication 56860, "Guest Policy").
const (
	snpMigrate  = 1 << 18
	snpDebug    = 1 << 19
	snpReserved = 1 << 17 // must be one
)

func (s *SNP) checkPolicy(path document.Path, debug bool, refuse refuse) {
	at, bits := path.Field("guest-policy"), uint64(s.GuestPolicy)
	switch {
	case bits&snpReserved == 0:
		refuse(at, "is %#x, which no guest has: bit 17 is always one", bits)
	case bits&snpMigrate != 0:
		refuse(at, "is %#x, which allows a migration agent (bit 18): that is never accepted", bits)
	case bits&snpDebug != 0 && !debug:
		refuse(at, "is %#x, which allows debugging (bit 19), without insecure-debug: true", bits)
	}
}

// Check implements document.Checker.
func (s *SNP) Check(path document.Path, refuse refuse) {
	if len(s.Measurements) == 0 {
		refuse(path.Field("measurements"), "is empty, which no guest satisfies")
	}
	if slices.Contains(s.Measurements, Bytes48{}) {
		refuse(path.Field("measurements"), "has a measurement of all zeros")
	}
	if s.IDKey != nil && s.IDKey.Digest == (Bytes48{}) {
		refuse(path.Field("id-key").Field("digest"), "is all zeros, which is no ID key; leave id-key out")
	}
	if len(s.SigningKeys) == 0 {
		refuse(path.Field("signing-keys"), "is empty, which no report satisfies")
	}
	switch vlek := slices.Contains(s.SigningKeys, VLEK); {
	case vlek && len(s.CloudProviders) == 0:
		refuse(path.Field("cloud-providers"), "is empty, which no VLEK satisfies; write whose it may be, as \"cloister attest show\" prints it")
	case !vlek && len(s.CloudProviders) > 0:
		refuse(path.Field("cloud-providers"), "says whose VLEK may sign, and signing-keys has no VLEK")
	}
	if len(s.Products) == 0 {
		refuse(path.Field("products"), "is empty, which no processor satisfies")
	}
}

// Check implements document.Checker.
func (n *InsecureNone) Check(path document.Path, refuse refuse) {
	if len(n.Binaries) == 0 {
		refuse(path.Field("binaries"), "is empty, which no program satisfies")
	}
	if slices.Contains(n.Binaries, Hash{}) {
		refuse(path.Field("binaries"), "has a hash of all zeros")
	}
}

// Check implements document.Checker: a root on a disk is measured only if the
// measured command line pins it.
func (g *Guest) Check(path document.Path, refuse refuse) {
	hash, verity := strings.CutPrefix(string(g.Root), verityPrefix)
	if verity && !slices.ContainsFunc(strings.Fields(string(g.CommandLine)), func(word string) bool {
		return strings.Contains(word, hash)
	}) {
		refuse(path.Field("command-line"), "does not name the root hash %s…, so the root file system is not measured", hash[:16])
	}
}

func sortedNames[K ~string, T any](m map[K]T) []K {
	names := make([]K, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
