package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloister/trust/broker/policy"
)

// TestBrokerAudit checks the log of a running broker, of its export and of its
// store.
func TestBrokerAudit(t *testing.T) {
	t.Parallel()
	o := newOperated(t, "")
	o.approve()
	state, export := filepath.Join(o.dir, "audit.state"), filepath.Join(o.dir, "export")
	first := o.must("audit", "--pin", o.pin, "--client-key", o.admin, "--state", state)
	for _, want := range []string{"insecure-no-witness", "every entry is the one that was signed", "\n  policy: 1\n"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in:\n%s", want, first)
		}
	}
	for i := range 5 {
		if err := o.newKey(policy.Name(fmt.Sprintf("set-%d", i)), uint64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	// Without a key there are proofs alone.
	if out := o.must("audit", "--pin", o.pin, "--state", state); !strings.Contains(out, "it goes on from") || !strings.Contains(out, "were not read") {
		t.Errorf("without a client key:\n%s", out)
	}
	var r struct {
		Size    int64
		LogKey  string `json:"log_key"`
		Entries []struct {
			Index   int64
			Type    string
			Subject string
		}
	}
	out := o.must("audit", "--json", "--pin", o.pin, "--client-key", o.admin, "--state", state, "--write", export, "--type", "order", "--owner", "a")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Entries) != 5 || r.Entries[4].Type != "order.new-key" || !strings.Contains(r.Entries[4].Subject, "a/set-4") {
		t.Errorf("entries: %+v", r.Entries)
	}
	if out := o.must("audit", "--pin", o.pin, "--client-key", o.admin, "--type", "order", "--decision", "refused"); strings.Contains(out, "set-") {
		t.Errorf("entries that were granted are shown as refused:\n%s", out)
	}
	for name, c := range map[string]struct {
		args   []string
		code   int
		reason string
	}{
		"no source":      {[]string{"audit"}, ExitInput, "--pin"},
		"a stranger":     {[]string{"audit", "--pin", o.pin, "--client-key", filepath.Join(o.dir, "owner2.pem")}, ExitRefused, "neither"},
		"another broker": {[]string{"audit", "--pin", filepath.Join(o.dir, "other.json")}, ExitRefused, "pinned"},
		"no log key":     {[]string{"audit", "--export", export}, ExitInput, "--log-key"},
		"no policy":      {[]string{"audit", "--export", export, "--log-key", r.LogKey}, ExitInput, "--policy"},
	} {
		writeKey(t, filepath.Join(o.dir, "owner2.pem"))
		text, err := os.ReadFile(o.pin)
		if err != nil {
			t.Fatal(err)
		}
		other := strings.Replace(string(text), o.ready.TLSKey.String(), strings.Repeat("ab", 32), 1)
		if err := os.WriteFile(filepath.Join(o.dir, "other.json"), []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := o.command(c.args...); code != c.code || !strings.Contains(errs, c.reason) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
	}
	policyFile := filepath.Join(o.dir, "policy.yaml")
	o.must("audit", "--export", export, "--log-key", r.LogKey, "--policy", policyFile)
	testBetweenCheckpoints(t, o, export, r.LogKey)
	testExportTampering(t, o, export, r.LogKey, state)
	o.stop()
	out = o.must("audit", "--dir", o.state, "--broker", "clinics", "--passphrase-fd", passphraseFD(t, testPassphrase), "--state", state)
	if !strings.Contains(out, "every entry is the one that was signed") || !strings.Contains(out, "it goes on from") {
		t.Errorf("of the store:\n%s", out)
	}
}

// testBetweenCheckpoints checks from one kept checkpoint to another.
func testBetweenCheckpoints(t *testing.T, o *operated, export, logKey string) {
	t.Helper()
	older, newer := filepath.Join(export, exportCheckpoint), filepath.Join(o.dir, "newer")
	if err := o.newKey("between", 6); err != nil {
		t.Fatal(err)
	}
	c, err := o.client().Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(newer, []byte(c.Checkpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]string{nil, {"--client-key", o.admin}} {
		if out := o.must(append([]string{"audit", "--pin", o.pin, "--old", older, "--new", newer}, key...)...); !strings.Contains(out, "it goes on from") {
			t.Errorf("from one to the other:\n%s", out)
		}
		o.must(append([]string{"audit", "--pin", o.pin, "--new", older}, key...)...)
		code, _, errs := o.command(append([]string{"audit", "--pin", o.pin, "--old", newer, "--new", older}, key...)...)
		if code != ExitTampering {
			t.Errorf("from the newer to the older: exit %d: %s", code, errs)
		}
	}
	policyFile := filepath.Join(o.dir, "policy.yaml")
	code, _, errs := o.command("audit", "--export", export, "--log-key", logKey, "--policy", policyFile, "--new", newer)
	if code != ExitTampering || !strings.Contains(errs, "an older copy") {
		t.Errorf("an export that ends before the checkpoint: exit %d: %s", code, errs)
	}
	longer := filepath.Join(o.dir, "longer")
	o.must("audit", "--pin", o.pin, "--client-key", o.admin, "--write", longer)
	o.must("audit", "--export", longer, "--log-key", logKey, "--policy", policyFile, "--new", older)
}

// testExportTampering changes an export in each way, and wants the entry named.
func testExportTampering(t *testing.T, o *operated, export, logKey, state string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(export, exportEntries))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	lines[len(lines)-1] += "\n"
	last := len(lines) - 1
	for name, c := range map[string]struct {
		change func([]string) []string
		reason string
	}{
		"changed": {func(l []string) []string { l[3] = strings.Replace(l[3], `"type":"`, `"type":"x`, 1); return l }, "entry 3: "},
		"cut":     {func(l []string) []string { return slices.Delete(l, 2, 3) }, "entry 2: "},
		"moved":   {func(l []string) []string { l[2], l[4] = l[4], l[2]; return l }, "entry 2: entry 4 stands in its place"},
		"put in":  {func(l []string) []string { return slices.Insert(l, 3, l[0]) }, "entry 3: "},
		"the end": {func(l []string) []string { return l[:last] }, fmt.Sprintf("entry %d: missing at the end", last)},
		"more":    {func(l []string) []string { return append(l, l[0]) }, fmt.Sprintf("entry %d: it follows the last that was signed", last+1)},
	} {
		dir := filepath.Join(o.dir, "changed "+name)
		if err := os.CopyFS(dir, os.DirFS(export)); err != nil {
			t.Fatal(err)
		}
		changed := strings.Join(c.change(slices.Clone(lines)), "")
		if changed == string(text) {
			t.Fatalf("%s: nothing changed", name)
		}
		if err := os.WriteFile(filepath.Join(dir, exportEntries), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"audit", "--export", dir, "--log-key", logKey, "--policy", filepath.Join(o.dir, "policy.yaml")}
		if code, _, errs := o.command(args...); code != ExitTampering || !strings.Contains(errs, c.reason) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
		if name == "the end" || name == "more" {
			continue
		}
		// By the hashes that were kept, too.
		if err := os.Remove(filepath.Join(dir, exportHashes)); err != nil {
			t.Fatal(err)
		}
		entry, _, _ := strings.Cut(c.reason, ":")
		if code, _, errs := o.command(append(args, "--state", state)...); code != ExitTampering || !strings.Contains(errs, entry+":") {
			t.Errorf("%s, by the state: exit %d: %s", name, code, errs)
		}
	}
}
