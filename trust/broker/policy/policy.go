// Package policy is the broker's policy: who owns which keys, which measured
// programs may get them, and whose signatures a change of that needs.
//
// A policy is a file in strict YAML. What counts is its canonical form (package
// document), a line for each thing that it says: that form is hashed, shown, and
// its difference to the policy before is what owners sign.
//
// Nothing that is missing means "any". A list that is empty accepts nothing; a
// measurement that is not written must be zeros in the evidence; what accepts any
// machine or any job of the owners' says so in a field of its own.
package policy

//go:generate go run ./gen ../../../docs/reference

import (
	"crypto/sha256"
	"time"

	"cloister/trust/approval"
	"cloister/trust/document"
)

// Policy is one version of a broker's policy.
//
// The tag effect says what a change of a field does to those whose keys the
// policy guards; see classify.
type Policy struct {
	Format        Format   `json:"format" rule:"required" effect:"value" doc:"The format of this file, cloister-policy/1."`
	Broker        Name     `json:"broker" rule:"required" effect:"value" doc:"The id of the broker that this policy is for. It never changes."`
	Version       uint64   `json:"version" rule:"required" effect:"chain" doc:"The number of this version: 1, then one more with every change."`
	Previous      Hash     `json:"previous,omitzero" effect:"chain" doc:"The hash of the version before; version 1 has none."`
	Approvals     uint64   `json:"approvals" rule:"required" effect:"min" doc:"How many owners must sign a change (k of n). Whoever's keys it opens to more must sign besides."`
	WideningDelay Duration `json:"widening-delay,omitzero" effect:"min" doc:"How long a change that opens keys to more waits, after its last signature, before it takes effect."`

	Owners map[Name]*Owner `json:"owners" rule:"required" effect:"owner" doc:"Those who own keys, by name."`

	Witnesses         *Witnesses `json:"witnesses,omitzero" effect:"value" doc:"Who co-signs the broker's log."`
	InsecureNoWitness bool       `json:"insecure-no-witness,omitzero" effect:"value" doc:"Nobody co-signs the log: a store put back from a copy is not noticed. Named in every statement."`

	Administrators map[Name]*Administrator `json:"administrators,omitzero" effect:"govern" doc:"Who may operate the broker, by name. An administrator gets no key."`

	Platforms      Platforms           `json:"platforms" rule:"required" effect:"value" doc:"The platforms that are accepted, each with its roots of trust."`
	BrokerPrograms map[Name]*Program   `json:"broker-programs,omitzero" effect:"allow" doc:"The measured programs that may be the broker and hold its root key, by name. Empty if the broker runs outside a TEE."`
	Workloads      map[Name]*Workload  `json:"workloads,omitzero" effect:"allow" doc:"The measured programs that get something, by name."`
	Provisioning   map[Name]*Provision `json:"gramine-provisioning,omitzero" effect:"allow" doc:"Unmodified programs under Gramine that get one key through its secret provisioning, by name."`
	Unseal         map[Name]*Unsealer  `json:"unseal,omitzero" effect:"allow" doc:"Persons who may unseal data outside a TEE, by name."`
}

// Owner is someone who owns keys.
type Owner struct {
	Keys      []approval.PublicKey `json:"keys" rule:"required" effect:"identity" doc:"The public keys of the owner: lines of OpenSSH, or Ed25519 in PEM."`
	Threshold uint64               `json:"threshold,omitzero" default:"1" effect:"identity" doc:"How many of the keys must sign (m of n)."`
	Recovery  approval.PublicKey   `json:"recovery,omitzero" effect:"identity" doc:"A key that is kept away and can replace the others."`
	Frozen    bool                 `json:"frozen,omitzero" effect:"forbid" doc:"Nothing of this owner's is released."`
}

// Witnesses are those who co-sign the broker's log.
type Witnesses struct {
	Quorum uint64            `json:"quorum" rule:"required" effect:"min" doc:"How many must co-sign: more than half."`
	Keys   map[Name]*Witness `json:"keys" rule:"required" effect:"value" doc:"The witnesses, by name."`
}

// Witness is one who co-signs the log.
type Witness struct {
	Owner Name       `json:"owner" rule:"required" effect:"value" doc:"The owner who runs it."`
	Key   WitnessKey `json:"key" rule:"required" effect:"value" doc:"Its key, as cloister broker witness prints it."`
}

// Administrator is someone who operates the broker.
type Administrator struct {
	Client Hash `json:"client" rule:"required" effect:"govern" doc:"The SHA-256 of the SubjectPublicKeyInfo in the client certificate."`
}

// Unsealer is a person who may unseal data.
type Unsealer struct {
	Client Hash                `json:"client" rule:"required" effect:"value" doc:"The SHA-256 of the SubjectPublicKeyInfo in the client certificate."`
	Keys   map[Item][]Versions `json:"keys" rule:"required" effect:"grant" doc:"The data sets (OWNER/NAME) and of each the versions."`
}

// Platforms are the platforms that are accepted.
type Platforms struct {
	SGX          *IntelPlatform `json:"sgx,omitzero" effect:"allow" doc:"Intel SGX."`
	TDX          *IntelPlatform `json:"tdx,omitzero" effect:"allow" doc:"Intel TDX."`
	SNP          *AMDPlatform   `json:"snp,omitzero" effect:"allow" doc:"AMD SEV-SNP."`
	InsecureNone *NoPlatform    `json:"insecure-none,omitzero" effect:"allow" doc:"No protection at all, to try everything else: written insecure-none: {}."`
}

// IntelPlatform are the rules for Intel's platforms.
type IntelPlatform struct {
	Roots                []Root   `json:"roots" rule:"required" effect:"allow" doc:"The roots of trust."`
	MinEvaluationNumber  uint32   `json:"min-evaluation-number,omitzero" effect:"min" doc:"The least tcbEvaluationDataNumber of the collateral."`
	MaxAge               Duration `json:"max-age,omitzero" default:"720h" effect:"max" doc:"The greatest age of the oldest piece of collateral."`
	Grace                Duration `json:"grace,omitzero" effect:"max" doc:"How long collateral is accepted after it has expired."`
	InsecureNoRevocation bool     `json:"insecure-no-revocation,omitzero" effect:"allow" doc:"Evidence is accepted without revocation lists."`
}

// AMDPlatform are the rules for SEV-SNP.
type AMDPlatform struct {
	Roots                []Root   `json:"roots" rule:"required" effect:"allow" doc:"The roots of trust."`
	MaxAge               Duration `json:"max-age,omitzero" default:"720h" effect:"max" doc:"The greatest age of the revocation list."`
	Grace                Duration `json:"grace,omitzero" effect:"max" doc:"How long a revocation list is accepted after it has expired."`
	InsecureNoRevocation bool     `json:"insecure-no-revocation,omitzero" effect:"allow" doc:"Evidence is accepted without revocation lists."`
}

// NoPlatform are the rules for insecure-none, which has none.
type NoPlatform struct{}

// Program is what a measured program must show.
type Program struct {
	Platform      Platform      `json:"platform" rule:"required" effect:"value" doc:"What keeps the program apart from the machine's owner."`
	SGX           *SGX          `json:"sgx,omitzero" effect:"value" doc:"Reference values of an enclave."`
	TDX           *TDX          `json:"tdx,omitzero" effect:"value" doc:"Reference values of a trust domain."`
	SNP           *SNP          `json:"snp,omitzero" effect:"value" doc:"Reference values of an SEV-SNP guest."`
	InsecureNone  *InsecureNone `json:"insecure-none,omitzero" effect:"value" doc:"Which program, where nothing protects it."`
	Guest         *Guest        `json:"guest,omitzero" effect:"value" doc:"What the reference values of a guest (tdx, snp) cover. A guest is accepted only with all of it."`
	InsecureDebug bool          `json:"insecure-debug,omitzero" effect:"allow" doc:"The machine's owner may read the program's memory."`
	TCB           TCB           `json:"tcb,omitzero" effect:"value" doc:"How far firmware and microcode may be behind."`
	Machines      []Machine     `json:"machines,omitzero" effect:"allow" doc:"The machines that it may run on: platform instance id or PPID, chip id, as cloister attest show prints them."`
	AnyMachine    bool          `json:"any-machine,omitzero" effect:"allow" doc:"It may run on any machine."`
}

// TCB is how far a machine's firmware and microcode may be behind.
type TCB struct {
	Statuses            []Status   `json:"statuses,omitzero" default:"UpToDate" effect:"allow" doc:"The TCB statuses that are accepted."`
	Advisories          []Advisory `json:"advisories,omitzero" effect:"allow" doc:"The security advisories that are accepted. Any other refuses."`
	MinEvaluationNumber uint32     `json:"min-evaluation-number,omitzero" effect:"min" doc:"The least tcbEvaluationDataNumber of the collateral."`
	MaxAge              Duration   `json:"max-age,omitzero" default:"720h" effect:"max" doc:"The greatest age of the oldest piece of collateral."`
}

// SGX are the reference values of an enclave.
type SGX struct {
	MREnclaves []Bytes32  `json:"mrenclaves,omitzero" effect:"allow" doc:"The accepted measurements. Either these or signer."`
	Signer     *SGXSigner `json:"signer,omitzero" effect:"value" doc:"Whose enclaves are accepted. Either this or mrenclaves."`
	Attributes Masked     `json:"attributes,omitzero" default:"0x5" effect:"value" doc:"ATTRIBUTES.FLAGS; initialised and 64 bits, unless written."`
	XFRM       Masked     `json:"xfrm,omitzero" default:"0x3" effect:"value" doc:"ATTRIBUTES.XFRM, the processor's features that the enclave uses."`
	MiscSelect Masked     `json:"misc-select,omitzero" default:"0x0/0xffffffff" effect:"value" doc:"MISCSELECT."`
	ConfigID   Bytes64    `json:"config-id,omitzero" effect:"value" doc:"CONFIGID; zeros unless written."`
	ConfigSVN  uint16     `json:"config-svn,omitzero" effect:"value" doc:"CONFIGSVN; 0 unless written."`
	ExtProdID  Bytes16    `json:"isv-ext-prod-id,omitzero" effect:"value" doc:"ISVEXTPRODID; zeros unless written."`
	FamilyID   Bytes16    `json:"isv-family-id,omitzero" effect:"value" doc:"ISVFAMILYID; zeros unless written."`
}

// SGXSigner accepts the enclaves of a signer.
type SGXSigner struct {
	MRSigner  Bytes32 `json:"mrsigner" rule:"required" effect:"value" doc:"MRSIGNER, the hash of the signer's key."`
	ISVProdID uint16  `json:"isv-prod-id" rule:"required" effect:"value" doc:"ISVPRODID, the signer's number of the product."`
	MinISVSVN uint16  `json:"min-isv-svn" rule:"required" effect:"min" doc:"The least ISVSVN, the product's security version."`
}

// TDX are the reference values of a trust domain.
type TDX struct {
	Measurements  map[Name]*TDXMeasurement `json:"measurements" rule:"required" effect:"allow" doc:"The accepted measurements, each as a whole, by name."`
	TDAttributes  Masked                   `json:"td-attributes,omitzero" default:"0x10000000" effect:"value" doc:"TDATTRIBUTES; SEPT_VE_DISABLE alone unless written."`
	XFAM          Masked                   `json:"xfam" rule:"required" effect:"value" doc:"XFAM, the processor's features that the domain uses."`
	MRSEAM        []Bytes48                `json:"mrseam" rule:"required" effect:"allow" doc:"The accepted measurements of the TDX module."`
	MRConfigID    Bytes48                  `json:"mr-config-id,omitzero" effect:"value" doc:"MRCONFIGID; zeros unless written."`
	MROwner       Bytes48                  `json:"mr-owner,omitzero" effect:"value" doc:"MROWNER; zeros unless written."`
	MROwnerConfig Bytes48                  `json:"mr-owner-config,omitzero" effect:"value" doc:"MROWNERCONFIG; zeros unless written."`
}

// TDXMeasurement is one measurement of a trust domain.
type TDXMeasurement struct {
	MRTD  Bytes48 `json:"mrtd" rule:"required" effect:"value" doc:"MRTD, the firmware."`
	RTMR0 Bytes48 `json:"rtmr0" rule:"required" effect:"value" doc:"RTMR 0, the firmware's configuration."`
	RTMR1 Bytes48 `json:"rtmr1" rule:"required" effect:"value" doc:"RTMR 1, boot loader and kernel."`
	RTMR2 Bytes48 `json:"rtmr2" rule:"required" effect:"value" doc:"RTMR 2, command line and initrd."`
	RTMR3 Bytes48 `json:"rtmr3" rule:"required" effect:"value" doc:"RTMR 3, what the guest extends while it runs; zeros if nothing."`
}

// SNP are the reference values of an SEV-SNP guest.
type SNP struct {
	Measurements   []Bytes48               `json:"measurements" rule:"required" effect:"allow" doc:"The accepted launch measurements."`
	IDKey          *SNPIDKey               `json:"id-key,omitzero" effect:"value" doc:"The ID block that the guest was launched with; none unless written."`
	GuestPolicy    Bits                    `json:"guest-policy" rule:"required" effect:"value" doc:"The guest policy, every bit."`
	HostData       Bytes32                 `json:"host-data,omitzero" effect:"value" doc:"HOST_DATA; zeros unless written."`
	SigningKeys    []SigningKey            `json:"signing-keys,omitzero" default:"VCEK" effect:"allow" doc:"Which keys may sign the report: VCEK is the chip's own, VLEK one that AMD gave a cloud provider."`
	CloudProviders []CloudProvider         `json:"cloud-providers,omitzero" effect:"allow" doc:"Whose VLEK may sign, as AMD names them; none unless written."`
	Products       map[Product]*SNPProduct `json:"products" rule:"required" effect:"allow" doc:"The processors that are accepted, and how far their firmware must be."`
}

// SNPIDKey is who signed a guest's ID block.
type SNPIDKey struct {
	Digest      Bytes48 `json:"digest" rule:"required" effect:"value" doc:"ID_KEY_DIGEST."`
	Author      Bytes48 `json:"author,omitzero" effect:"value" doc:"AUTHOR_KEY_DIGEST; zeros unless written."`
	FamilyID    Bytes16 `json:"family-id,omitzero" effect:"value" doc:"FAMILY_ID; zeros unless written."`
	ImageID     Bytes16 `json:"image-id,omitzero" effect:"value" doc:"IMAGE_ID; zeros unless written."`
	MinGuestSVN uint32  `json:"min-guest-svn" rule:"required" effect:"min" doc:"The least GUEST_SVN."`
}

// SNPProduct is how far the firmware of a product must be.
type SNPProduct struct {
	MinReportedTCB  SNPTCB `json:"min-reported-tcb" rule:"required" effect:"value" doc:"The least REPORTED_TCB."`
	MinCommittedTCB SNPTCB `json:"min-committed-tcb" rule:"required" effect:"value" doc:"The least COMMITTED_TCB, below which the firmware cannot go back."`
}

// SNPTCB are the security versions of AMD's firmware.
type SNPTCB struct {
	BootLoader uint8 `json:"boot-loader" rule:"required" effect:"min" doc:"The boot loader's."`
	TEE        uint8 `json:"tee" rule:"required" effect:"min" doc:"The secure processor's operating system's."`
	SNP        uint8 `json:"snp" rule:"required" effect:"min" doc:"The SNP firmware's."`
	Microcode  uint8 `json:"microcode" rule:"required" effect:"min" doc:"The microcode's."`
	FMC        uint8 `json:"fmc,omitzero" effect:"min" doc:"The first mutable code's (Turin)."`
}

// InsecureNone says which program is accepted where nothing protects it.
type InsecureNone struct {
	Binaries []Hash `json:"binaries" rule:"required" effect:"allow" doc:"The SHA-256 of the accepted program files."`
}

// Guest says what went into the reference values of a guest: all that it starts
// from. The owners sign it, and anyone can measure again from it.
type Guest struct {
	Kernel      Digest      `json:"kernel" rule:"required" effect:"value" doc:"The kernel."`
	CommandLine CommandLine `json:"command-line" rule:"required" effect:"value" doc:"The kernel's command line."`
	Initrd      Digest      `json:"initrd" rule:"required" effect:"value" doc:"The initial file system."`
	Root        GuestRoot   `json:"root" rule:"required" effect:"value" doc:"The root file system: initrd if there is no other, or verity:HEX, which the command line must name."`
}

// Workload is a measured program and what it gets.
type Workload struct {
	Program
	Jobs              []JobHash           `json:"jobs,omitzero" effect:"allow" doc:"The jobs that it may run; none for what it gets without a job."`
	OwnerApprovedJobs bool                `json:"owner-approved-jobs,omitzero" effect:"allow" doc:"It may run every job that all owners of what the job asks for have approved by their signatures."`
	Terms             []Name              `json:"terms,omitzero" effect:"allow" doc:"The terms of use that the program enforces. A data set with any other is refused to it."`
	Keys              map[Item][]Versions `json:"keys,omitzero" effect:"grant" doc:"The data sets (OWNER/NAME) whose keys it gets, and of each the versions."`
	Secrets           []Item              `json:"secrets,omitzero" effect:"grant" doc:"The secrets (OWNER/NAME) that it gets."`
	Certificates      []DNSName           `json:"certificates,omitzero" effect:"everyone" doc:"The names for which it gets certificates."`
}

// Provision is an unmodified program under Gramine: its secret provisioning has
// neither a nonce nor a job, so one measurement is one job and gets one thing.
type Provision struct {
	MREnclave  Bytes32   `json:"mrenclave" rule:"required" effect:"value" doc:"The measurement. It stands nowhere else in the policy."`
	Job        JobHash   `json:"job" rule:"required" effect:"value" doc:"The one job that this enclave runs; never a program that runs what it is told."`
	MaxRuns    uint64    `json:"max-runs" rule:"required" effect:"max" doc:"How often it may ask. Every handshake counts."`
	Key        Item      `json:"key,omitzero" effect:"value" doc:"The data set (OWNER/NAME) whose key it gets. Either this or secret."`
	KeyVersion uint64    `json:"key-version,omitzero" effect:"value" doc:"The version of the data set."`
	Secret     Item      `json:"secret,omitzero" effect:"value" doc:"The secret (OWNER/NAME) that it gets. Either this or key."`
	Terms      []Name    `json:"terms,omitzero" effect:"allow" doc:"The terms of use that the program enforces."`
	Attributes Masked    `json:"attributes,omitzero" default:"0x5" effect:"value" doc:"ATTRIBUTES.FLAGS; initialised and 64 bits, unless written."`
	XFRM       Masked    `json:"xfrm,omitzero" default:"0x3" effect:"value" doc:"ATTRIBUTES.XFRM, the processor's features that the enclave uses."`
	MiscSelect Masked    `json:"misc-select,omitzero" default:"0x0/0xffffffff" effect:"value" doc:"MISCSELECT."`
	ConfigID   Bytes64   `json:"config-id,omitzero" effect:"value" doc:"CONFIGID; zeros unless written."`
	TCB        TCB       `json:"tcb,omitzero" effect:"value" doc:"How far firmware and microcode may be behind."`
	Machines   []Machine `json:"machines,omitzero" effect:"allow" doc:"The machines that it may run on."`
	AnyMachine bool      `json:"any-machine,omitzero" effect:"allow" doc:"It may run on any machine."`
}

// Parse reads a policy file. name is what it is called in errors.
func Parse(name string, data []byte) (*Policy, error) {
	p := new(Policy)
	if err := document.Read(name, data, p); err != nil {
		return nil, err
	}
	return p, nil
}

// Canonical is the policy as it is hashed and shown: see package document.
func (p *Policy) Canonical() []byte { return document.Canonical(p) }

// Hash is the SHA-256 of the canonical form.
func (p *Policy) Hash() Hash { return sha256.Sum256(p.Canonical()) }

// Delay is how long a change that widens waits.
func (p *Policy) Delay() time.Duration { return time.Duration(p.WideningDelay) }
