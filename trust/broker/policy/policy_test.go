package policy

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"cloister/trust/approval"
	"cloister/trust/document"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// full is a policy with every field that there is.
func full(tb testing.TB) *Policy {
	tb.Helper()
	return parse(tb, fullText(tb))
}

func fullText(tb testing.TB) string {
	tb.Helper()
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func parse(tb testing.TB, text string) *Policy {
	tb.Helper()
	p, err := Parse("policy.yaml", []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// key is a private key of a person in testdata/full.yaml.
func key(tb testing.TB, name string) *approval.PrivateKey {
	tb.Helper()
	seed := sha256.Sum256([]byte(name))
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		tb.Fatal(err)
	}
	k, err := approval.NewPrivateKey(signer)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// successor is a version after p, changed by edit.
func successor(tb testing.TB, p *Policy, edit func(*Policy)) *Policy {
	tb.Helper()
	next := clone(p)
	next.Version, next.Previous = p.Version+1, p.Hash()
	if edit != nil {
		edit(next)
	}
	return next
}

// clone is a deep copy.
func clone(p *Policy) *Policy {
	c := deepCopy(reflect.ValueOf(p))
	return c.Interface().(*Policy)
}

func deepCopy(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(deepCopy(v.Elem()))
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(v.Type()))
			for it := v.MapRange(); it.Next(); {
				out.SetMapIndex(it.Key(), deepCopy(it.Value()))
			}
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(deepCopy(v.Index(i)))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			out.Index(i).Set(deepCopy(v.Index(i)))
		}
	case reflect.Struct:
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(deepCopy(v.Field(i)))
			}
		}
	default:
		out.Set(v)
	}
	return out
}

func TestCanonicalFormIsFixed(t *testing.T) {
	t.Parallel()
	const golden = "testdata/full.canonical"
	got := full(t).Canonical()
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the canonical form has changed (-want +got):\n%s", diff)
	}
	const hash = "sha256:21af2e6d16b92672f5b24f5fdfd84974ff80e624efafda0b191a8e4ee413cdae"
	if got := full(t).Hash().String(); got != hash {
		t.Errorf("hash is %s, want %s", got, hash)
	}
}

// TestFullHasEveryField makes sure that the fixture, on which other tests stand,
// sets each field somewhere.
func TestFullHasEveryField(t *testing.T) {
	t.Parallel()
	set := make(map[string]bool)
	note := func(_ document.Path, value any) {
		v := reflect.ValueOf(value).Elem()
		for _, f := range reflect.VisibleFields(v.Type()) {
			name := v.Type().Name() + "." + f.Name
			set[name] = set[name] || !v.FieldByIndex(f.Index).IsZero()
		}
	}
	document.Walk(full(t), note)
	for name, is := range set {
		inner, program := strings.CutPrefix(name, "Program.")
		switch {
		case is, program && set["Workload."+inner]:
		case name == "Policy.InsecureNoWitness": // contradicts witnesses
		case name == "TDXMeasurement.RTMR3": // zeros, as usual
		default:
			t.Errorf("testdata/full.yaml never sets %s", name)
		}
	}
	if len(set) < 100 {
		t.Errorf("only %d fields were seen", len(set))
	}
}

// TestOrderDoesNotCount: lists are sets, and a file may say the same in another
// order or with other comments.
func TestOrderDoesNotCount(t *testing.T) {
	t.Parallel()
	text := fullText(t)
	other := strings.NewReplacer(
		"statuses: [UpToDate, SWHardeningNeeded]", "statuses: [SWHardeningNeeded, UpToDate] # as agreed",
		"hospital-a/wards: [1, 3-5]\n      hospital-b/wards: [2+]", "hospital-b/wards: [2+]\n      hospital-a/wards: [3-5, 1]",
	).Replace(text)
	if other == text {
		t.Fatal("nothing was replaced")
	}
	if a, b := parse(t, text).Hash(), parse(t, other).Hash(); a != b {
		t.Errorf("hashes %s and %s differ", a, b)
	}
}

func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown field":       {"approvals: 2\n", "approvals: 2\napproval: 1\n", `policy.yaml:7:1: has the unknown field "approval"`},
		"duplicate key":       {"approvals: 2\n", "approvals: 2\napprovals: 1\n", `policy.yaml:7:1: has "approvals" twice, first in line 6`},
		"duplicate owner":     {"  lab:\n", "  hospital-a:\n", `owners: has "hospital-a" twice`},
		"anchor":              {"approvals: 2", "approvals: &k 2", "policy.yaml:6:12: approvals: has an anchor"},
		"alias":               {"statuses: [UpToDate, SWHardeningNeeded]", "statuses: [&k UpToDate, *k]", "is an alias (*k); write the value itself"},
		"merge key":           {"approvals: 2\n", "approvals: 2\n<<: {version: 3}\n", "merge key"},
		"tag":                 {"approvals: 2", "approvals: !!int 2", "approvals: has a tag"},
		"local tag":           {"approvals: 2", "approvals: !x 2", "approvals: has a tag"},
		"non-specific tag":    {"broker: clinics", "broker: ! clinics", "broker: has a tag"},
		"two documents":       {"# A policy", "a: b\n---\n# A policy", "more than one document"},
		"directive":           {"# A policy", "%YAML 1.1\n---\n# A policy", "policy.yaml:1:1: has a YAML directive"},
		"bidirectional":       {"# A policy", "# A \u202epolicy", "policy.yaml:1:5: has the character U+202E"},
		"zero width":          {"broker: clinics", "broker: cli\u200bnics", "U+200B"},
		"control":             {"broker: clinics", "broker: cli\x07nics", "U+0007"},
		"tab":                 {"broker: clinics", "broker:\tclinics", "U+0009"},
		"not UTF-8":           {"# A policy", "# A \xffpolicy", "policy.yaml:1:5: is not UTF-8"},
		"byte order mark":     {"# A policy", "\ufeff# A policy", "U+FEFF"},
		"no value":            {"approvals: 2", "approvals:", "approvals: has no value"},
		"number in quotes":    {"approvals: 2", `approvals: "2"`, "approvals: is a text in quotes"},
		"octal":               {"approvals: 2", "approvals: 02", "approvals: is \"02\", not a number"},
		"negative":            {"approvals: 2", "approvals: -2", "approvals: is \"-2\", not a number"},
		"yes":                 {"any-machine: true", "any-machine: yes", `any-machine: is "yes", neither true nor false`},
		"list for a map":      {"  operator:\n    client", "  - client", "administrators: is a list, not a mapping"},
		"map for a list":      {"roots: [intel]", "roots: {intel: 1}", "platforms.tdx.roots: is a mapping, not a list"},
		"missing field":       {"approvals: 2\n", "", "approvals: is missing: how many owners must sign a change"},
		"twice in a list":     {"none]\n    terms", "none, none]\n    terms", `jobs: has "none" twice`},
		"format":              {"cloister-policy/1", "cloister-policy/2", `format: is "cloister-policy/2"; this program reads cloister-policy/1`},
		"name with a path":    {"broker: clinics", "broker: ../clinics", `broker: "../clinics" is no name`},
		"name in upper case":  {"broker: clinics", "broker: Clinics", "is no name"},
		"name with dots":      {"hospital-a/wards: [1, 3-5]", "hospital-a/..: [1]", "is no name"},
		"item with a path":    {"hospital-a/wards: [1, 3-5]", "hospital-a/x/y: [1]", "is no name"},
		"escaped name":        {"broker: clinics", `broker: "clin\u202eics"`, `broker: "clin\u202eics" is no name`},
		"first has previous":  {"version: 2", "version: 1", "previous: is written, but version 1 has no version before it"},
		"version 0":           {"version: 2", "version: 0", "version: is 0"},
		"no previous":         {"previous: sha256", "#", "previous: is missing"},
		"too many approvals":  {"approvals: 2", "approvals: 4", "approvals: is 4; it is at least 1 and at most the number of owners, 3"},
		"no approvals":        {"approvals: 2", "approvals: 0", "approvals: is 0"},
		"threshold":           {"threshold: 2", "threshold: 3", "owners[hospital-a].threshold: is 3"},
		"threshold 0":         {"threshold: 2", "threshold: 0", "owners[hospital-a].threshold: is 0"},
		"quorum of half":      {"quorum: 2", "quorum: 1", "witnesses.quorum: is 1; more than half of the 3"},
		"quorum of too many":  {"quorum: 2", "quorum: 4", "witnesses.quorum: is 4"},
		"witness of nobody":   {"owner: lab,", "owner: nobody,", `witnesses.keys[witness-c].owner: names "nobody", who is no owner`},
		"both":                {"witnesses:\n", "insecure-no-witness: true\nwitnesses:\n", "contradicts insecure-no-witness"},
		"witness key":         {"witness.lab.example+3", "witness.lab.example+4", "is no witness key"},
		"platform missing":    {"  insecure-none: {}\n", "", "workloads[laptop].platform: is insecure-none, which is not among the accepted platforms"},
		"empty platform":      {"insecure-none: {}", "insecure-none:", "platforms.insecure-none: is a single value, not a mapping"},
		"foreign root":        {"roots: [amd-milan, amd-genoa]", "roots: [intel]", "platforms.snp.roots[intel]: is no root of this platform"},
		"no root":             {"roots: [amd-milan, amd-genoa]", "roots: []", "platforms.snp.roots: has no root of trust"},
		"two references":      {"      mrenclaves:\n        -", "      signer: {mrsigner: " + strings.Repeat("ab", 32) + ", isv-prod-id: 0, min-isv-svn: 0}\n      mrenclaves:\n        -", "workloads[train].sgx.signer: is written besides mrenclaves"},
		"no product id":       {"        isv-prod-id: 7\n", "", "workloads[signed].sgx.signer.isv-prod-id: is missing"},
		"foreign references":  {"    platform: insecure-none\n", "    platform: sgx\n", "workloads[laptop].sgx: is missing"},
		"no machines":         {"    any-machine: true\n    owner-approved", "    owner-approved", "workloads[signed].machines: is missing: list the machines, or say any-machine: true"},
		"zero machine":        {"machines: [5", "machines: [00000000000000000000000000000000, 5", "is all zeros, which is a machine that hides its identity"},
		"mask without debug":  {"attributes: 0x5\n      xfrm", "attributes: 0x5/0xfffffffffffffffd\n      xfrm", "has a mask that lets debug enclaves pass"},
		"debug enclave":       {"attributes: 0x5\n      xfrm", "attributes: 0x7\n      xfrm", "asks for a debug enclave without insecure-debug"},
		"empty mask":          {"xfam: 0xe7/0xffffffffffffffff", "xfam: 0x0/0x0", "has an empty mask, which would accept anything"},
		"bits beyond mask":    {"xfam: 0xe7/0xffffffffffffffff", "xfam: 0xe7/0x7", "has bits in the value that are not in the mask"},
		"migration of tdx":    {"td-attributes: 0x10000000", "td-attributes: 0x30000000", "can be migrated"},
		"debug of tdx":        {"td-attributes: 0x10000000", "td-attributes: 0x10000001", "debug domain"},
		"mask of tdx":         {"td-attributes: 0x10000000", "td-attributes: 0x10000000/0xf0000000", "lets debug domains pass"},
		"migration of snp":    {"guest-policy: 0x30000", "guest-policy: 0x70000", "allows a migration agent"},
		"debug of snp":        {"guest-policy: 0x30000", "guest-policy: 0xb0000", "allows debugging"},
		"guest of sgx":        {"    platform: sgx\n    sgx:\n      signer", "    guest: {kernel: sha256:" + strings.Repeat("ab", 32) + ", command-line: x, initrd: sha256:" + strings.Repeat("ab", 32) + ", root: initrd}\n    platform: sgx\n    sgx:\n      signer", "sgx has no guests"},
		"initrd unmeasured":   {"      initrd: sha256", "      #", "guest.initrd: is missing"},
		"root unmeasured":     {"roothash=", "roothash=00", ""},
		"root not named":      {"ro roothash=99", "ro roothash=98", "does not name the root hash"},
		"kernel unmeasured":   {"rtmr1: 6", "rtmr1: " + strings.Repeat("0", 96) + " #", "has zeros in rtmr1 or rtmr2"},
		"unknown owner":       {"lab/genomes: [1+]", "nobody/genomes: [1+]", "there is no owner nobody"},
		"unknown secret":      {"secrets: [lab/token]", "secrets: [nobody/token]", "there is no owner nobody"},
		"no versions":         {"lab/genomes: [1+]", "lab/genomes: []", "has no version; an empty list grants nothing"},
		"version 0 of data":   {"lab/genomes: [1+]", "lab/genomes: [0+]", "are no versions"},
		"reversed versions":   {"lab/genomes: [1+]", "lab/genomes: [3-1]", "are no versions"},
		"jobs contradict":     {"owner-approved-jobs: true", "owner-approved-jobs: true\n    jobs: [none]", "contradicts owner-approved-jobs"},
		"wildcard":            {"worker-0.train.svc", `"*.train.svc"`, "is no DNS name"},
		"revoked":             {"statuses: [UpToDate, SWHardeningNeeded]", "statuses: [UpToDate, Revoked]", `"Revoked" is no TCB status that can be accepted`},
		"no status":           {"statuses: [UpToDate, SWHardeningNeeded]", "statuses: []", "tcb.statuses: is empty, which no machine satisfies"},
		"no age":              {"max-age: 480h", "max-age: 0s", "tcb.max-age: is 0"},
		"launcher":            {"job: sha256:a8", "job: none #", "gramine-provisioning[spark].job: is none"},
		"no runs":             {"max-runs: 1\n", "max-runs: 0\n", "max-runs: is 0"},
		"two provisions":      {"    secret: lab/token\n", "    secret: lab/token\n    key: lab/x\n    key-version: 1\n", "needs either key or secret"},
		"no provision":        {"    secret: lab/token\n", "", "needs either key or secret"},
		"no key version":      {"    key-version: 4\n", "", "key-version: goes with key"},
		"provisioned twice":   {"mrenclave: 2265daba0872fc3aef169d079365e590f0cbc8ed46c2a7984c8a642803cfd96c", "mrenclave: ba6f19274b9b168078f7898e3b29af732e9d165312f1c4a55a550d906002572d", "stands in gramine-provisioning[spark], too"},
		"provisioned besides": {"mrenclave: 2265daba0872fc3aef169d079365e590f0cbc8ed46c2a7984c8a642803cfd96c", "mrenclave: 42dc4ae9e4285c45aaae3413eaf03ab61499d61b460d5cb83e4c44b05ff02718", "stands in workloads[train], too"},
		"upper case":          {"fb0aaedf21c85091", "FB0AAEDF21C85091", "is no machine"},
		"short measurement":   {"mrsigner: 63", "mrsigner: ", "are not 32 bytes in lower case hexadecimal (64 digits)"},
		"weak key":            {"- ssh-ed25519", "- ssh-dss", "public key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(fullText(t), c.old, c.new, 1)
			if text == fullText(t) {
				t.Fatal("nothing was replaced")
			}
			_, err := Parse("policy.yaml", []byte(text))
			switch {
			case c.want == "":
				if err != nil {
					t.Errorf("refused: %v", err)
				}
			case err == nil:
				t.Error("accepted")
			case !strings.Contains(err.Error(), c.want):
				t.Errorf("error is\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

// TestKeyOfTwoOwners: a key that counted for two owners would make one person
// two of them.
func TestKeyOfTwoOwners(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(fullText(t), key(t, "c").Public().String(), key(t, "b").Public().String())
	if _, err := Parse("policy.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "each key counts once") {
		t.Errorf("error is %v", err)
	}
}

// TestWitnessUnderTwoNames: a co-signature does not cover the name, so that one
// key of two names would be a majority of three.
func TestWitnessUnderTwoNames(t *testing.T) {
	t.Parallel()
	p := full(t)
	_, rest, _ := strings.Cut(string(p.Witnesses.Keys["witness-a"].Key), "+")
	_, encoded, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	const name = "another.example"
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	for key, want := range map[string]string{
		fmt.Sprintf("%s+%x+%s", name, sum[:4], encoded):                                      "witnesses.keys[witness-b]: has the key of witness-a",
		fmt.Sprintf("%s+%x+%s\\n%s", name, sum[:4], encoded[:8], encoded[8:]):                "is no witness key",
		strings.Replace(string(p.Witnesses.Keys["witness-a"].Key), encoded, `\r`+encoded, 1): "is no witness key",
	} {
		text := strings.Replace(fullText(t), string(p.Witnesses.Keys["witness-b"].Key), `"`+key+`"`, 1)
		if _, err := Parse("policy.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", key, err)
		}
	}
}

// TestGuestMustBeMeasured: without saying what it starts from, no guest is
// accepted.
func TestGuestMustBeMeasured(t *testing.T) {
	t.Parallel()
	for _, name := range []Name{"guest-tdx", "guest-snp"} {
		p := full(t)
		p.Workloads[name].Guest = nil
		err := document.Validate("policy.yaml", p)
		if want := string(name) + "].guest: is missing"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// TestTCBOfAMD: a rule that no evidence could be compared with is refused, so
// that nobody counts on it.
func TestTCBOfAMD(t *testing.T) {
	t.Parallel()
	for _, name := range []Name{"guest-snp", "laptop"} {
		for _, edit := range []func(*TCB){
			func(r *TCB) { r.MinEvaluationNumber = 1 },
			func(r *TCB) { r.Advisories = []Advisory{"X"} },
			func(r *TCB) { r.Statuses = []Status{"OutOfDate"} },
		} {
			p := full(t)
			edit(&p.Workloads[name].TCB)
			if err := document.Validate("policy.yaml", p); err == nil || !strings.Contains(err.Error(), "].tcb: says something of statuses") {
				t.Errorf("%s: error is %v", name, err)
			}
		}
	}
}

func TestHugeFile(t *testing.T) {
	t.Parallel()
	text := fullText(t) + strings.Repeat("# padding\n", document.MaxBytes/10+1)
	if _, err := Parse("policy.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "more than the 1048576 that are read") {
		t.Errorf("error is %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fullText(f)))
	f.Add([]byte("format: cloister-policy/1\nbroker: b\nversion: 1\napprovals: 1\nowners: {}\nplatforms: {}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse("policy.yaml", text)
		if err != nil {
			return
		}
		form := p.Canonical()
		for _, c := range form {
			if c != '\n' && (c < ' ' || c > '~') {
				t.Fatalf("the canonical form has the byte %#x", c)
			}
		}
		if len(document.Diff(p, p)) != 0 {
			t.Fatal("a policy differs from itself")
		}
		if p.Version == 1 {
			if _, err := Compare(nil, p); err != nil {
				t.Fatal(err)
			}
		}
	})
}
