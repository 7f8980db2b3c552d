package attest

import "encoding/hex"

// Hex is binary data that is shown in hexadecimal.
type Hex []byte

// String implements fmt.Stringer.
func (h Hex) String() string { return hex.EncodeToString(h) }

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(nil, text)
	*h = b
	return err
}

// Claims are what evidence says. Exactly one of the pointers is set, that of
// Platform.
type Claims struct {
	Platform   Platform   `json:"platform"`
	ReportData ReportData `json:"report_data"`
	// Debug says that the machine's owner can read the program's memory, whatever
	// the platform calls it.
	Debug bool `json:"debug"`
	// Machine tells this machine from others: the platform instance id of SGX or
	// TDX or, without one, the PPID; the chip id of SNP; the hash of
	// insecure-none's machine key. Empty if the platform hides it.
	Machine Hex `json:"machine,omitempty"`
	TCB     TCB `json:"tcb"`

	SGX          *SGXClaims          `json:"sgx,omitempty"`
	TDX          *TDXClaims          `json:"tdx,omitempty"`
	SNP          *SNPClaims          `json:"snp,omitempty"`
	InsecureNone *InsecureNoneClaims `json:"insecure_none,omitempty"`
}

// SGXClaims are the fields of an SGX report body (Intel SDM volume 3D, "REPORT").
type SGXClaims struct {
	MREnclave      Hex    `json:"mrenclave"` // 32 bytes
	MRSigner       Hex    `json:"mrsigner"`  // 32 bytes
	ISVProdID      uint16 `json:"isv_prod_id"`
	ISVSVN         uint16 `json:"isv_svn"`
	CPUSVN         Hex    `json:"cpu_svn"` // 16 bytes
	MiscSelect     uint32 `json:"misc_select"`
	Attributes     uint64 `json:"attributes"` // flags
	XFRM           uint64 `json:"xfrm"`
	ConfigID       Hex    `json:"config_id"` // 64 bytes
	ConfigSVN      uint16 `json:"config_svn"`
	ISVExtProdID   Hex    `json:"isv_ext_prod_id"` // 16 bytes
	ISVFamilyID    Hex    `json:"isv_family_id"`   // 16 bytes
	FMSPC          Hex    `json:"fmspc"`           // 6 bytes
	PCEID          Hex    `json:"pce_id"`          // 2 bytes
	PPID           Hex    `json:"ppid"`            // 16 bytes
	PlatformInstID Hex    `json:"platform_instance_id,omitempty"`
}

// TDXClaims are the fields of a TD report body (Intel TDX DCAP quoting library
// API, "TD Quote Body").
type TDXClaims struct {
	MRTD           Hex    `json:"mrtd"`          // 48 bytes
	RTMR           [4]Hex `json:"rtmr"`          // 48 bytes each
	MRSEAM         Hex    `json:"mrseam"`        // 48 bytes
	MRSignerSEAM   Hex    `json:"mrsigner_seam"` // 48 bytes
	MRConfigID     Hex    `json:"mr_config_id"`
	MROwner        Hex    `json:"mr_owner"`
	MROwnerConfig  Hex    `json:"mr_owner_config"`
	SEAMAttributes uint64 `json:"seam_attributes"`
	TDAttributes   uint64 `json:"td_attributes"`
	XFAM           uint64 `json:"xfam"`
	TEETCBSVN      Hex    `json:"tee_tcb_svn"` // 16 bytes
	// MRServiceTD is of version 5 quotes with a TDX 1.5 body, else empty.
	MRServiceTD    Hex `json:"mr_service_td,omitempty"`
	FMSPC          Hex `json:"fmspc"`
	PCEID          Hex `json:"pce_id"`
	PPID           Hex `json:"ppid"`
	PlatformInstID Hex `json:"platform_instance_id,omitempty"`
}

// SNPClaims are the fields of an SEV-SNP attestation report (AMD publication
// 56860, "ATTESTATION_REPORT").
type SNPClaims struct {
	Measurement     Hex    `json:"measurement"`   // 48 bytes
	HostData        Hex    `json:"host_data"`     // 32 bytes
	IDKeyDigest     Hex    `json:"id_key_digest"` // 48 bytes; zeros without one
	AuthorKeyDigest Hex    `json:"author_key_digest"`
	FamilyID        Hex    `json:"family_id"`
	ImageID         Hex    `json:"image_id"`
	ChipID          Hex    `json:"chip_id"` // 64 bytes; zeros if hidden
	GuestSVN        uint32 `json:"guest_svn"`
	GuestPolicy     uint64 `json:"guest_policy"`
	VMPL            uint32 `json:"vmpl"`
	PlatformInfo    uint64 `json:"platform_info"`
	ReportedTCB     uint64 `json:"reported_tcb"`
	CommittedTCB    uint64 `json:"committed_tcb"`
	CurrentTCB      uint64 `json:"current_tcb"`
	LaunchTCB       uint64 `json:"launch_tcb"`
	Product         string `json:"product"` // such as Milan
	// SigningKey is VCEK, the chip's, or VLEK, one that AMD gave a cloud provider.
	SigningKey string `json:"signing_key"`
	// CloudProvider is the one that the VLEK was given to, as AMD names it.
	CloudProvider string `json:"cloud_provider,omitempty"`
	// MigrationAgent says that the report names one, which can move the guest.
	MigrationAgent bool `json:"migration_agent"`
}

// InsecureNoneClaims are what insecure-none says, none of which is protected.
type InsecureNoneClaims struct {
	Binary     Hex `json:"binary"`      // SHA-256 of the program's file
	MachineKey Hex `json:"machine_key"` // the Ed25519 public key of the machine
}
