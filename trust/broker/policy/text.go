package policy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cloister/trust/attest"
	"cloister/trust/document"
)

// Format is the format of a policy file. Its defaults never change: a new
// default is a new format.
type Format string

// CurrentFormat is the format that this package reads.
const CurrentFormat Format = "cloister-policy/1"

// MarshalText implements encoding.TextMarshaler.
func (f Format) MarshalText() ([]byte, error) { return []byte(f), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Format) UnmarshalText(text []byte) error {
	if string(text) != string(CurrentFormat) {
		return fmt.Errorf("is %s; this program reads %s", document.Quote(string(text)), CurrentFormat)
	}
	*f = CurrentFormat
	return nil
}

// Form implements document.Text.
func (Format) Form() document.Form {
	return document.Form{Name: "format", Values: []string{string(CurrentFormat)}}
}

// Name names an owner, a workload, a data set and the like: lower case letters
// and digits, with single dots, dashes and underscores between them, at most 64
// of all.
type Name string

const maxName = 64

func checkName(text string) error {
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	ok := text != "" && len(text) <= maxName
	for i := 0; i < len(text) && ok; i++ {
		c := text[i]
		mark := c == '.' || c == '-' || c == '_'
		ok = letter(c) || mark && i > 0 && i < len(text)-1 && letter(text[i-1]) && letter(text[i+1])
	}
	if !ok {
		return fmt.Errorf("%s is no name: a name has up to %d lower case letters and digits, with single dots, dashes and underscores between them",
			document.Quote(shorten(text)), maxName)
	}
	return nil
}

func shorten(text string) string {
	if len(text) > 2*maxName {
		return text[:2*maxName] + "…"
	}
	return text
}

// MarshalText implements encoding.TextMarshaler.
func (n Name) MarshalText() ([]byte, error) { return []byte(n), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Name) UnmarshalText(text []byte) error {
	*n = Name(text)
	return checkName(string(text))
}

const namePattern = `[a-z0-9]+([._-][a-z0-9]+)*`

// Form implements document.Text.
func (Name) Form() document.Form {
	return document.Form{Name: "name", Pattern: "^" + namePattern + "$", Example: "hospital-a", Number: true}
}

// Item names what an owner has, a data set or a secret, as OWNER/NAME.
type Item string

// Owner is whose it is.
func (i Item) Owner() Name {
	owner, _, _ := strings.Cut(string(i), "/")
	return Name(owner)
}

// Name is its name among the owner's.
func (i Item) Name() Name {
	_, name, _ := strings.Cut(string(i), "/")
	return Name(name)
}

// MarshalText implements encoding.TextMarshaler.
func (i Item) MarshalText() ([]byte, error) { return []byte(i), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *Item) UnmarshalText(text []byte) error {
	owner, name, ok := strings.Cut(string(text), "/")
	if !ok {
		return fmt.Errorf("%s is not of the form OWNER/NAME", document.Quote(shorten(string(text))))
	}
	if err := checkName(owner); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return err
	}
	*i = Item(text)
	return nil
}

// Form implements document.Text.
func (Item) Form() document.Form {
	return document.Form{Name: "OWNER/NAME", Pattern: "^" + namePattern + "/" + namePattern + "$", Example: "hospital-a/wards"}
}

// DNSName is a name that a certificate may have.
type DNSName string

// MarshalText implements encoding.TextMarshaler.
func (n DNSName) MarshalText() ([]byte, error) { return []byte(n), nil }

// UnmarshalText implements encoding.TextUnmarshaler. A wildcard is none: the
// broker issues certificates for whole names only.
func (n *DNSName) UnmarshalText(text []byte) error {
	ok := len(text) > 0 && len(text) <= 253
	for label := range strings.SplitSeq(string(text), ".") {
		ok = ok && label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-' &&
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
	}
	if !ok {
		return fmt.Errorf("%s is no DNS name in lower case", document.Quote(shorten(string(text))))
	}
	*n = DNSName(text)
	return nil
}

// Form implements document.Text.
func (DNSName) Form() document.Form {
	const label = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`
	return document.Form{Name: "DNS name", Pattern: "^" + label + `(\.` + label + ")*$", Example: "worker-0.train.svc", Number: true}
}

// Hash is a SHA-256, of a job, a policy, a program or a key.
type Hash [32]byte

const hashPrefix = "sha256:"

// IsZero reports whether it is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// String implements fmt.Stringer.
func (h Hash) String() string {
	if h.IsZero() {
		return "none"
	}
	return hashPrefix + hex.EncodeToString(h[:])
}

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	digits, ok := bytes.CutPrefix(text, []byte(hashPrefix))
	if !ok {
		return fmt.Errorf("%s is not of the form sha256:HEX", document.Quote(shorten(string(text))))
	}
	return fromHex(h[:], digits)
}

// Form implements document.Text.
func (Hash) Form() document.Form {
	return document.Form{Name: "SHA-256", Pattern: "^sha256:[0-9a-f]{64}$", Example: "sha256:9f86d081884c7d65…"}
}

// JobHash is the SHA-256 of a job, or "none": the program gets what it gets
// without a job.
type JobHash Hash

// NoJob is the hash in the report data of a program that runs no job.
var NoJob JobHash

// String implements fmt.Stringer.
func (h JobHash) String() string { return Hash(h).String() }

// MarshalText implements encoding.TextMarshaler.
func (h JobHash) MarshalText() ([]byte, error) { return Hash(h).MarshalText() }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *JobHash) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*h = NoJob
		return nil
	}
	if err := (*Hash)(h).UnmarshalText(text); err != nil {
		return err
	}
	if *h == NoJob {
		return fmt.Errorf("is all zeros; write none for no job")
	}
	return nil
}

// Form implements document.Text.
func (JobHash) Form() document.Form {
	return document.Form{Name: "SHA-256 or none", Pattern: "^(none|sha256:[0-9a-f]{64})$", Example: "sha256:9f86d081884c7d65…"}
}

// fromHex fills a value whose size is fixed.
func fromHex(into, digits []byte) error {
	if len(digits) != 2*len(into) || !isHex(digits) {
		return fmt.Errorf("%s are not %d bytes in lower case hexadecimal (%d digits)",
			document.Quote(shorten(string(digits))), len(into), 2*len(into))
	}
	_, err := hex.Decode(into, digits)
	return err
}

func isHex(digits []byte) bool { return len(bytes.Trim(digits, "0123456789abcdef")) == 0 }

func hexForm(n int) document.Form {
	return document.Form{Name: strconv.Itoa(n) + " bytes", Pattern: fmt.Sprintf("^[0-9a-f]{%d}$", 2*n), Number: true}
}

// Bytes16 is a measurement or a configuration of 16 bytes, as those below are of
// others. The zero value is that of a field which was not set when the program
// was built or started.
type Bytes16 [16]byte

// Bytes32 is one of 32 bytes.
type Bytes32 [32]byte

// Bytes48 is one of 48 bytes.
type Bytes48 [48]byte

// Bytes64 is one of 64 bytes.
type Bytes64 [64]byte

// MarshalText implements encoding.TextMarshaler.
func (b Bytes16) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b[:]), nil }

// MarshalText implements encoding.TextMarshaler.
func (b Bytes32) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b[:]), nil }

// MarshalText implements encoding.TextMarshaler.
func (b Bytes48) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b[:]), nil }

// MarshalText implements encoding.TextMarshaler.
func (b Bytes64) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes16) UnmarshalText(text []byte) error { return fromHex(b[:], text) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes32) UnmarshalText(text []byte) error { return fromHex(b[:], text) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes48) UnmarshalText(text []byte) error { return fromHex(b[:], text) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes64) UnmarshalText(text []byte) error { return fromHex(b[:], text) }

// Form implements document.Text.
func (Bytes16) Form() document.Form { return hexForm(16) }

// Form implements document.Text.
func (Bytes32) Form() document.Form { return hexForm(32) }

// Form implements document.Text.
func (Bytes48) Form() document.Form { return hexForm(48) }

// Form implements document.Text.
func (Bytes64) Form() document.Form { return hexForm(64) }

// Machine tells a machine from others: see attest.Claims.
type Machine string

// MarshalText implements encoding.TextMarshaler.
func (m Machine) MarshalText() ([]byte, error) { return []byte(m), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Machine) UnmarshalText(text []byte) error {
	const least, most = 16, 64
	if n := len(text) / 2; len(text)%2 != 0 || n < least || n > most || !isHex(text) {
		return fmt.Errorf("%s is no machine: wanted are %d to %d bytes in lower case hexadecimal, as cloister attest show prints them",
			document.Quote(shorten(string(text))), least, most)
	}
	if len(bytes.Trim(text, "0")) == 0 {
		return fmt.Errorf("is all zeros, which is a machine that hides its identity")
	}
	*m = Machine(text)
	return nil
}

// Form implements document.Text.
func (Machine) Form() document.Form {
	return document.Form{Name: "machine", Pattern: "^([0-9a-f]{2}){16,64}$", Number: true}
}

// Masked is 64 bits of which those in the mask must be as in the value. Its text
// is VALUE/MASK, or VALUE where every bit counts.
type Masked struct{ Value, Mask uint64 }

// Accepts reports whether the bits under the mask are those of the value.
func (m Masked) Accepts(bits uint64) bool { return bits&m.Mask == m.Value&m.Mask }

// String implements fmt.Stringer.
func (m Masked) String() string { return fmt.Sprintf("%#x/%#x", m.Value, m.Mask) }

// MarshalText implements encoding.TextMarshaler.
func (m Masked) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Masked) UnmarshalText(text []byte) error {
	value, mask, masked := strings.Cut(string(text), "/")
	if !masked {
		mask = "0xffffffffffffffff"
	}
	v, err := parseBits(value)
	if err != nil {
		return err
	}
	k, err := parseBits(mask)
	switch {
	case err != nil:
		return err
	case k == 0:
		return fmt.Errorf("has an empty mask, which would accept anything")
	case v&^k != 0:
		return fmt.Errorf("%s has bits in the value that are not in the mask", document.Quote(string(text)))
	}
	*m = Masked{v, k}
	return nil
}

func parseBits(text string) (uint64, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	v, err := strconv.ParseUint(digits, 16, 64)
	if !ok || err != nil || !isHex([]byte(digits)) {
		return 0, fmt.Errorf("%s are not 64 bits in hexadecimal, such as 0x5", document.Quote(shorten(text)))
	}
	return v, nil
}

// Form implements document.Text.
func (Masked) Form() document.Form {
	return document.Form{Name: "bits/mask", Pattern: "^0x[0-9a-f]{1,16}(/0x[0-9a-f]{1,16})?$", Example: "0x5/0xfffffffffffffffb", Number: true}
}

// Bits are 64 bits, written in hexadecimal.
type Bits uint64

// MarshalText implements encoding.TextMarshaler.
func (b Bits) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%#x", uint64(b)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bits) UnmarshalText(text []byte) error {
	v, err := parseBits(string(text))
	*b = Bits(v)
	return err
}

// Form implements document.Text.
func (Bits) Form() document.Form {
	return document.Form{Name: "bits", Pattern: "^0x[0-9a-f]{1,16}$", Example: "0x30000", Number: true}
}

// Duration is a length of time in Go's text form, such as 720h or 15m, in whole
// hours, minutes and seconds. It is never negative.
type Duration time.Duration

var durationForm = regexp.MustCompile(durationPattern)

const durationPattern = `^([0-9]+(h|m|s))+$|^0$`

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	const most = 10 * 365 * 24 * time.Hour
	if err != nil || v < 0 || v > most || !durationForm.Match(text) {
		return fmt.Errorf("%s is no length of time in whole seconds up to ten years, such as 720h or 15m", document.Quote(shorten(string(text))))
	}
	*d = Duration(v)
	return nil
}

// Form implements document.Text.
func (Duration) Form() document.Form {
	return document.Form{Name: "length of time", Pattern: durationPattern, Example: "720h", Number: true}
}

// Versions is a range of versions of a data set: N, N-M, or N+ for N and all
// after it.
type Versions struct{ First, Last uint64 }

// allLater is the end of a range that has none.
const allLater = ^uint64(0)

// Has reports whether a version is in the range.
func (v Versions) Has(version uint64) bool {
	return version > 0 && version >= v.First && version <= v.Last
}

// String implements fmt.Stringer.
func (v Versions) String() string {
	switch v.Last {
	case v.First:
		return strconv.FormatUint(v.First, 10)
	case allLater:
		return strconv.FormatUint(v.First, 10) + "+"
	}
	return fmt.Sprintf("%d-%d", v.First, v.Last)
}

// MarshalText implements encoding.TextMarshaler.
func (v Versions) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *Versions) UnmarshalText(text []byte) error {
	first, last, ranged := strings.Cut(string(text), "-")
	open := false
	if !ranged {
		first, open = strings.CutSuffix(first, "+")
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 63)
	b, errB := strconv.ParseUint(last, 10, 63)
	if open {
		b = allLater
	}
	read := Versions{a, b}
	if errA != nil || errB != nil || a == 0 || a > b || read.String() != string(text) {
		return fmt.Errorf("%s are no versions: write one (3), a range (3-5), or one and all later ones (3+)", document.Quote(shorten(string(text))))
	}
	*v = read
	return nil
}

// Form implements document.Text.
func (Versions) Form() document.Form {
	return document.Form{Name: "versions", Pattern: `^[1-9][0-9]*(\+|-[1-9][0-9]*)?$`, Example: "3-5", Number: true}
}

// Platform is attest.Platform in a policy.
type Platform attest.Platform

// MarshalText implements encoding.TextMarshaler.
func (p Platform) MarshalText() ([]byte, error) { return []byte(p), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Platform) UnmarshalText(text []byte) error {
	v, err := attest.ParsePlatform(string(text))
	if err != nil {
		return fmt.Errorf("%s is no platform: it is one of sgx, tdx, snp and insecure-none", document.Quote(shorten(string(text))))
	}
	*p = Platform(v)
	return nil
}

// Form implements document.Text.
func (Platform) Form() document.Form {
	return document.Form{Name: "platform", Values: []string{string(attest.SGX), string(attest.TDX), string(attest.SNP), string(attest.InsecureNone)}}
}

// Status is attest.TCBStatus in a policy. Revoked is not among them.
type Status attest.TCBStatus

var statuses = []string{
	string(attest.UpToDate), string(attest.SWHardeningNeeded), string(attest.ConfigurationNeeded),
	string(attest.ConfigurationAndSWHardeningNeeded), string(attest.OutOfDate), string(attest.OutOfDateConfigurationNeeded),
}

// MarshalText implements encoding.TextMarshaler.
func (s Status) MarshalText() ([]byte, error) { return []byte(s), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Status) UnmarshalText(text []byte) error {
	for _, known := range statuses {
		if string(text) == known {
			*s = Status(text)
			return nil
		}
	}
	return fmt.Errorf("%s is no TCB status that can be accepted: these are %s", document.Quote(shorten(string(text))), strings.Join(statuses, ", "))
}

// Form implements document.Text.
func (Status) Form() document.Form { return document.Form{Name: "TCB status", Values: statuses} }
