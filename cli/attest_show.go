package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
)

const attestShowLong = `Show what evidence says of itself. Nothing of it is verified: signatures,
certificates and dates are not looked at, and no network is used. "-" is
standard input.`

const attestShowExample = `  cloister attest show evidence.json
  cloister attest show client.pem
  cloister attest show --json quote.bin | jq -r .claims.sgx.mrenclave`

// shownEvidence is what "cloister attest show --json" prints.
type shownEvidence struct {
	Form     string          `json:"form"`
	Verified bool            `json:"verified"` // false, always
	Claims   attest.Claims   `json:"claims"`
	Evidence attest.Evidence `json:"evidence"`
}

func (a *app) newAttestShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show FILE",
		Short:   "Show what evidence says, unverified",
		Long:    attestShowLong,
		Example: attestShowExample,
		Args:    oneEvidence,
		RunE:    func(_ *cobra.Command, args []string) error { return a.attestShow(args[0]) },
	}
}

func (a *app) attestShow(path string) error {
	r, err := a.readEvidence(path)
	if err != nil {
		return err
	}
	claims, err := platforms.Claims(r.Evidence)
	if err != nil {
		return fmt.Errorf("%s: %w", inputName(path), err)
	}
	if a.json {
		return a.printJSON(shownEvidence{Form: formOf(r), Claims: claims, Evidence: *r.Evidence})
	}
	var t rows
	t.add("form", "%s", formOf(r))
	t.addClaims(claims)
	if n := len(r.Evidence.Endorsements); n > 0 {
		t.add("endorsements", "%d bytes", n)
	}
	t.add("verified", `no: "cloister attest verify" finds out whether this is true`)
	return a.print(t.String())
}

// rows are lines of a name and a value.
type rows struct{ lines [][2]string }

func (t *rows) add(name, format string, args ...any) {
	t.lines = append(t.lines, [2]string{name, printable(fmt.Sprintf(format, args...))})
}

// addHex adds binary data that is there.
func (t *rows) addHex(name string, h attest.Hex) {
	if len(h) > 0 {
		t.add(name, "%s", h)
	}
}

// addDate adds a date that is known.
func (t *rows) addDate(name string, d time.Time) {
	if !d.IsZero() {
		t.add(name, "%s", d.UTC().Format(time.RFC3339))
	}
}

// String aligns the values.
func (t *rows) String() string {
	width := 0
	for _, l := range t.lines {
		width = max(width, len(l[0]))
	}
	var b strings.Builder
	for _, l := range t.lines {
		fmt.Fprintf(&b, "%-*s  %s\n", width, l[0], l[1])
	}
	return b.String()
}

// addClaims adds what evidence says.
func (t *rows) addClaims(c attest.Claims) {
	t.add("platform", "%s", c.Platform)
	switch {
	case c.SGX != nil:
		t.addSGX(c.SGX)
	case c.TDX != nil:
		t.addTDX(c.TDX)
	case c.SNP != nil:
		t.addSNP(c.SNP)
	case c.InsecureNone != nil:
		t.add("protection", "none: the machine's owner can read everything and forge this evidence")
		t.addHex("binary", c.InsecureNone.Binary)
		t.addHex("machine key", c.InsecureNone.MachineKey)
	}
	debug := "no"
	if c.Debug {
		debug = "yes: the machine's owner can read the program's memory"
	}
	t.add("debug", "%s", debug)
	t.addHex("machine", c.Machine)
	t.add("report data", "%x", c.ReportData)
}

func (t *rows) addSGX(c *attest.SGXClaims) {
	t.addHex("mrenclave", c.MREnclave)
	t.addHex("mrsigner", c.MRSigner)
	t.add("product id", "%d", c.ISVProdID)
	t.add("svn", "%d", c.ISVSVN)
	t.add("attributes", "%#016x", c.Attributes)
	t.add("xfrm", "%#x", c.XFRM)
	t.add("misc select", "%#x", c.MiscSelect)
	t.addSet("config id", c.ConfigID)
	t.add("config svn", "%d", c.ConfigSVN)
	t.addSet("extended product id", c.ISVExtProdID)
	t.addSet("family id", c.ISVFamilyID)
	t.addHex("cpu svn", c.CPUSVN)
	t.addHex("fmspc", c.FMSPC)
}

func (t *rows) addTDX(c *attest.TDXClaims) {
	t.addHex("mrtd", c.MRTD)
	for i, r := range c.RTMR {
		t.addHex(fmt.Sprintf("rtmr %d", i), r)
	}
	t.addHex("mrseam", c.MRSEAM)
	t.addSet("mrsignerseam", c.MRSignerSEAM)
	t.addSet("mrconfigid", c.MRConfigID)
	t.addSet("mrowner", c.MROwner)
	t.addSet("mrownerconfig", c.MROwnerConfig)
	t.addSet("mrservicetd", c.MRServiceTD)
	t.add("td attributes", "%#016x", c.TDAttributes)
	t.add("xfam", "%#x", c.XFAM)
	t.addHex("tee tcb svn", c.TEETCBSVN)
	t.addHex("fmspc", c.FMSPC)
}

func (t *rows) addSNP(c *attest.SNPClaims) {
	if c.Product != "" {
		t.add("product", "%s", c.Product)
	}
	t.addHex("measurement", c.Measurement)
	t.addSet("host data", c.HostData)
	t.addSet("id key digest", c.IDKeyDigest)
	t.addSet("author key digest", c.AuthorKeyDigest)
	t.addSet("family id", c.FamilyID)
	t.addSet("image id", c.ImageID)
	t.add("guest svn", "%d", c.GuestSVN)
	t.add("guest policy", "%#x", c.GuestPolicy)
	t.add("vmpl", "%d", c.VMPL)
	t.add("platform info", "%#x", c.PlatformInfo)
	t.add("signed by", "%s", c.SigningKey)
	if c.CloudProvider != "" {
		t.add("cloud provider", "%s", c.CloudProvider)
	}
	t.add("migration agent", "%s", map[bool]string{true: "yes", false: "no"}[c.MigrationAgent])
	t.add("reported tcb", "%016x", c.ReportedTCB)
	t.add("committed tcb", "%016x", c.CommittedTCB)
	t.add("current tcb", "%016x", c.CurrentTCB)
	t.add("launch tcb", "%016x", c.LaunchTCB)
}

// addSet adds binary data that are not all zeros, which mean "none" in the fields
// where it is used.
func (t *rows) addSet(name string, h attest.Hex) {
	for _, b := range h {
		if b != 0 {
			t.addHex(name, h)
			return
		}
	}
}
