package attest_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
)

// page is the reference page of evidence.
func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/reference/evidence.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vector returns the line of a name in the vector of report data.
func vector(t *testing.T, name string) []byte {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + `: +([0-9a-f]+)$`).FindStringSubmatch(page(t))
	if found == nil {
		t.Fatalf("the page has no %s", name)
	}
	return unhex(t, found[1])
}

// block returns the first block in hexadecimal after a text.
func block(t *testing.T, after string) []byte {
	t.Helper()
	_, section, found := strings.Cut(page(t), after)
	parts := strings.Split(section, "```")
	if !found || len(parts) < 3 {
		t.Fatalf("the page has no block after %q", after)
	}
	return unhex(t, parts[1])
}

func binding(t *testing.T) attest.Binding {
	t.Helper()
	return attest.Binding{
		Nonce: [32]byte(vector(t, "nonce")), Key: vector(t, "key"), Job: [32]byte(vector(t, "job")),
	}
}

// TestReportDataVector checks the vector of the reference page.
func TestReportDataVector(t *testing.T) {
	t.Parallel()
	b := binding(t)
	if got, want := b.ReportData(), attest.ReportData(vector(t, "report data")); got != want {
		t.Errorf("report data are %x, the page has %x", got, want)
	}
}

// TestReportDataBinds changes each part alone.
func TestReportDataBinds(t *testing.T) {
	t.Parallel()
	whole := binding(t)
	seen := map[attest.ReportData]string{whole.ReportData(): "the whole"}
	for name, edit := range map[string]func(*attest.Binding){
		"nonce":        func(b *attest.Binding) { b.Nonce[31] ^= 1 },
		"key":          func(b *attest.Binding) { b.Key = append([]byte{}, b.Key[1:]...) },
		"a longer key": func(b *attest.Binding) { b.Key = append(append([]byte{}, b.Key...), 0) },
		"no key":       func(b *attest.Binding) { b.Key = nil },
		"job":          func(b *attest.Binding) { b.Job[0] ^= 1 },
		"no job":       func(b *attest.Binding) { b.Job = [32]byte{} },
		"exchanged":    func(b *attest.Binding) { b.Nonce, b.Job = b.Job, b.Nonce },
	} {
		b := whole
		edit(&b)
		if other, twice := seen[b.ReportData()]; twice {
			t.Errorf("%s gives the report data of %s", name, other)
		}
		seen[b.ReportData()] = name
	}
}

func TestReportDataText(t *testing.T) {
	t.Parallel()
	b := binding(t)
	text, err := b.ReportData().MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got attest.ReportData
	if err := got.UnmarshalText(text); err != nil || !got.Equal(b.ReportData()) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "00", string(text) + "00", string(text[1:]), strings.Repeat("x", 128)} {
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q is taken for report data", bad)
		}
	}
}

// TestInsecureNoneVector checks the document of the reference page.
func TestInsecureNoneVector(t *testing.T) {
	t.Parallel()
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = 7
	}
	b := binding(t)
	d := insecure.Document{ReportData: b.ReportData()}
	for i := range d.Binary {
		d.Binary[i] = 0xcd
	}
	d.Sign(ed25519.NewKeyFromSeed(seed))
	want := block(t, "seed is 32 bytes of 7")
	if got := d.Encode(); hex.EncodeToString(got) != hex.EncodeToString(want) {
		t.Errorf("the document is %x, the page has %x", got, want)
	}
}

// TestClaimsOnThePage checks the shape of RA-TLS claims on the reference page, whose
// hash is that of nothing.
func TestClaimsOnThePage(t *testing.T) {
	t.Parallel()
	hash := sha256.Sum256(nil)
	want := "a16b7075626b65792d68617368582482015820" + hex.EncodeToString(hash[:])
	if got := hex.EncodeToString(block(t, "The claims are these 51 bytes")); got != want {
		t.Errorf("the claims are %s, want %s", got, want)
	}
}
