package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"cloister/trust/document"
)

// Advisory is the id of a security advisory, such as INTEL-SA-00615.
type Advisory string

// MarshalText implements encoding.TextMarshaler.
func (a Advisory) MarshalText() ([]byte, error) { return []byte(a), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Advisory) UnmarshalText(text []byte) error {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"
	if len(text) == 0 || len(text) > 40 || len(bytes.Trim(text, letters)) > 0 {
		return fmt.Errorf("%s is no advisory: wanted is an id such as INTEL-SA-00615", document.Quote(shorten(string(text))))
	}
	*a = Advisory(text)
	return nil
}

// Form implements document.Text.
func (Advisory) Form() document.Form {
	return document.Form{Name: "advisory", Pattern: "^[A-Z0-9-]{1,40}$", Example: "INTEL-SA-00615"}
}

// Root names a root of trust: intel, amd-milan, amd-genoa or amd-turin, whose
// keys are built in, or the SHA-256 of another root's SubjectPublicKeyInfo.
type Root string

// The roots that are built in.
const (
	RootIntel    Root = "intel"
	RootAMDMilan Root = "amd-milan"
	RootAMDGenoa Root = "amd-genoa"
	RootAMDTurin Root = "amd-turin"
)

// MarshalText implements encoding.TextMarshaler.
func (r Root) MarshalText() ([]byte, error) { return []byte(r), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Root) UnmarshalText(text []byte) error {
	switch v := Root(text); v {
	case RootIntel, RootAMDMilan, RootAMDGenoa, RootAMDTurin:
		*r = v
		return nil
	}
	var h Hash
	if err := h.UnmarshalText(text); err != nil || h.IsZero() {
		return fmt.Errorf("%s is no root: it is intel, amd-milan, amd-genoa, amd-turin, or sha256:HEX of the root's SubjectPublicKeyInfo",
			document.Quote(shorten(string(text))))
	}
	*r = Root(text)
	return nil
}

// Hash is that of a root that is not built in.
func (r Root) Hash() (Hash, bool) {
	var h Hash
	return h, h.UnmarshalText([]byte(r)) == nil
}

// Form implements document.Text.
func (Root) Form() document.Form {
	return document.Form{Name: "root", Pattern: "^(intel|amd-milan|amd-genoa|amd-turin|sha256:[0-9a-f]{64})$", Example: "intel"}
}

// Product is a line of AMD's processors, which decides how a TCB version is
// read.
type Product string

// The products.
const (
	Milan Product = "Milan"
	Genoa Product = "Genoa"
	Turin Product = "Turin"
)

// MarshalText implements encoding.TextMarshaler.
func (p Product) MarshalText() ([]byte, error) { return []byte(p), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Product) UnmarshalText(text []byte) error {
	switch v := Product(text); v {
	case Milan, Genoa, Turin:
		*p = v
		return nil
	}
	return fmt.Errorf("%s is no product: it is Milan, Genoa or Turin", document.Quote(shorten(string(text))))
}

// Form implements document.Text.
func (Product) Form() document.Form {
	return document.Form{Name: "product", Values: []string{string(Milan), string(Genoa), string(Turin)}}
}

// SigningKey is a kind of key that signs reports of SEV-SNP.
type SigningKey string

// The kinds.
const (
	VCEK SigningKey = "VCEK"
	VLEK SigningKey = "VLEK"
)

// MarshalText implements encoding.TextMarshaler.
func (k SigningKey) MarshalText() ([]byte, error) { return []byte(k), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *SigningKey) UnmarshalText(text []byte) error {
	switch v := SigningKey(text); v {
	case VCEK, VLEK:
		*k = v
		return nil
	}
	return fmt.Errorf("%s signs no report: it is VCEK or VLEK", document.Quote(shorten(string(text))))
}

// Form implements document.Text.
func (SigningKey) Form() document.Form {
	return document.Form{Name: "signing key", Values: []string{string(VCEK), string(VLEK)}}
}

// Digest is the digest of a part of a guest: SHA-256, SHA-384 or SHA-512.
type Digest string

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	algorithm, digits, _ := strings.Cut(string(text), ":")
	size, ok := map[string]int{"sha256": 32, "sha384": 48, "sha512": 64}[algorithm]
	if !ok || len(digits) != 2*size || !isHex([]byte(digits)) {
		return fmt.Errorf("%s is no digest: write sha256:HEX, sha384:HEX or sha512:HEX", document.Quote(shorten(string(text))))
	}
	*d = Digest(text)
	return nil
}

// Form implements document.Text.
func (Digest) Form() document.Form {
	return document.Form{Name: "digest", Pattern: "^(sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$", Example: "sha384:2bb4…"}
}

// GuestRoot says what a guest's root file system is: "initrd", which is measured
// as such, or verity:HEX, the root hash of dm-verity, which the kernel's command
// line must name.
type GuestRoot string

// InInitrd is the root of a guest that has no other than its initrd.
const InInitrd GuestRoot = "initrd"

const verityPrefix = "verity:"

// MarshalText implements encoding.TextMarshaler.
func (r GuestRoot) MarshalText() ([]byte, error) { return []byte(r), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *GuestRoot) UnmarshalText(text []byte) error {
	digits, verity := strings.CutPrefix(string(text), verityPrefix)
	switch {
	case string(text) == string(InInitrd):
	case verity && (len(digits) == 64 || len(digits) == 128) && isHex([]byte(digits)):
	default:
		return fmt.Errorf("%s is no root: write initrd, or verity:HEX with the root hash of dm-verity", document.Quote(shorten(string(text))))
	}
	*r = GuestRoot(text)
	return nil
}

// Form implements document.Text.
func (GuestRoot) Form() document.Form {
	return document.Form{Name: "root file system", Pattern: "^(initrd|verity:[0-9a-f]{64}|verity:[0-9a-f]{128})$", Example: "initrd"}
}

// CommandLine is the command line of a guest's kernel.
type CommandLine string

// MarshalText implements encoding.TextMarshaler.
func (c CommandLine) MarshalText() ([]byte, error) { return []byte(c), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *CommandLine) UnmarshalText(text []byte) error {
	const most = 2048
	if len(text) == 0 || len(text) > most || bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("%s is no command line: it has 1 to %d printable ASCII characters", document.Quote(shorten(string(text))), most)
	}
	*c = CommandLine(text)
	return nil
}

// Form implements document.Text.
func (CommandLine) Form() document.Form {
	return document.Form{Name: "command line", Pattern: "^[ -~]{1,2048}$", Example: "console=ttyS0 ro"}
}

// CloudProvider is a cloud provider as AMD names it in a VLEK's certificate.
type CloudProvider string

// MarshalText implements encoding.TextMarshaler.
func (c CloudProvider) MarshalText() ([]byte, error) { return []byte(c), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *CloudProvider) UnmarshalText(text []byte) error {
	const most = 128
	if len(text) == 0 || len(text) > most || bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return fmt.Errorf("%s is no cloud provider: its name has 1 to %d printable ASCII characters", document.Quote(shorten(string(text))), most)
	}
	*c = CloudProvider(text)
	return nil
}

// Form implements document.Text.
func (CloudProvider) Form() document.Form {
	return document.Form{Name: "cloud provider", Pattern: "^[ -~]{1,128}$", Example: "Example Cloud"}
}

// WitnessKey is the key of a witness as C2SP tlog-cosignature has it, a vkey:
// NAME+HASH+BASE64, of Ed25519 for timestamped cosignatures (type 4).
type WitnessKey string

// MarshalText implements encoding.TextMarshaler.
func (k WitnessKey) MarshalText() ([]byte, error) { return []byte(k), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The key's id is checked
// (C2SP signed-note, "Verifier keys").
func (k *WitnessKey) UnmarshalText(text []byte) error {
	const cosignature = 4
	name, rest, _ := strings.Cut(string(text), "+")
	id, encoded, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	switch {
	case err != nil, len(key) != 33, base64.StdEncoding.EncodeToString(key) != encoded, key[0] != cosignature, id != hex.EncodeToString(sum[:4]), name == "", len(name) > 128,
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/") != "":
		return fmt.Errorf("%s is no witness key: wanted is NAME+HASH+KEY of an Ed25519 cosigner, as cloister broker witness prints it",
			document.Quote(shorten(string(text))))
	}
	*k = WitnessKey(text)
	return nil
}

// encoded is the key itself, in the one base64 that UnmarshalText accepts.
func (k WitnessKey) encoded() string {
	_, rest, _ := strings.Cut(string(k), "+")
	_, key, _ := strings.Cut(rest, "+")
	return key
}

// Form implements document.Text.
func (WitnessKey) Form() document.Form {
	return document.Form{
		Name: "witness key", Pattern: `^[A-Za-z0-9._/-]{1,128}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}$`,
		Example: "witness.hospital-a.example+8f2a1b3c+BAVx…",
	}
}
