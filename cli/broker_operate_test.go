package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloister/trust/approval"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
)

// operated is a broker of one owner as an operator runs it, by the commands.
type operated struct {
	t     *testing.T
	dir   string // of everything; the broker's state is in state
	state string
	pin   string // file
	admin string // file of the administrator's key
	owner *approval.PrivateKey
	text  string // the policy
	ready *brokerReady
	stop  func()
	args  []string
}

const testPassphrase = "correct horse battery"

// writeKey writes a new private key and returns it with the SHA-256 of its public
// key.
func writeKey(t *testing.T, path string) (ed25519.PrivateKey, broker.Digest) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return private, sha256.Sum256(spki)
}

// newOperated starts a broker whose policy names these witnesses, or none.
func newOperated(t *testing.T, witnesses string, args ...string) *operated {
	t.Helper()
	o := &operated{t: t, dir: t.TempDir(), args: args}
	o.state, o.pin, o.admin = filepath.Join(o.dir, "state"), filepath.Join(o.dir, "pin.json"), filepath.Join(o.dir, "admin.pem")
	_, admin := writeKey(t, o.admin)
	ownerFile := filepath.Join(o.dir, "owner.pem")
	writeKey(t, ownerFile)
	text, err := os.ReadFile(ownerFile)
	if err != nil {
		t.Fatal(err)
	}
	if o.owner, err = approval.ParsePrivateKey(text, nil); err != nil {
		t.Fatal(err)
	}
	if witnesses == "" {
		witnesses = "insecure-no-witness: true\n"
	}
	o.text = fmt.Sprintf(`format: cloister-policy/1
broker: clinics
version: 1
approvals: 1
%sowners:
  a: {keys: [%q]}
administrators:
  root: {client: "sha256:%s"}
platforms:
  insecure-none: {}
`, witnesses, o.owner.Public(), admin)
	file := filepath.Join(o.dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(o.text), 0o600); err != nil {
		t.Fatal(err)
	}
	o.start("--policy", file)
	return o
}

// start starts the broker and writes its pin.
func (o *operated) start(more ...string) {
	o.t.Helper()
	args := append([]string{
		"broker", "serve", "--json", "--dir", o.state, "--broker", "clinics", "--listen", "127.0.0.1:0", "--insecure-broker-host",
	}, append(o.args, more...)...)
	o.ready, o.stop = startBroker(o.t, args, testPassphrase)
	text, err := json.Marshal(o.ready)
	if err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(o.pin, text, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

func (o *operated) client() *broker.Client {
	o.t.Helper()
	c, err := broker.NewClient(broker.ClientOptions{
		Address: o.ready.Address, Pin: broker.Pin{TLSKey: o.ready.TLSKey, FirstPolicy: o.ready.FirstPolicy, Broker: "clinics"},
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(c.Close)
	return c
}

// approve has the owner approve the first policy.
func (o *operated) approve() {
	o.t.Helper()
	p, err := policy.Parse("policy", []byte(o.text))
	if err != nil {
		o.t.Fatal(err)
	}
	change, err := policy.Compare(nil, p)
	if err != nil {
		o.t.Fatal(err)
	}
	q := &broker.PolicyRequest{Policy: o.text, Signatures: []string{o.sign(approval.ForPolicy, change.Statement())}}
	var a broker.PolicyAnswer
	if err := o.client().Do(o.t.Context(), "POST", broker.PathPolicy, q, &a); err != nil || !a.Applied {
		o.t.Fatalf("%+v, %v", a, err)
	}
}

func (o *operated) sign(purpose approval.Purpose, message []byte) string {
	o.t.Helper()
	sig, err := o.owner.Sign(rand.Reader, purpose, message)
	if err != nil {
		o.t.Fatal(err)
	}
	text, err := sig.MarshalText()
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

// newKey has the owner order a key, which makes an entry in the log.
func (o *operated) newKey(name policy.Name, number uint64) error {
	o.t.Helper()
	order := broker.Order{Owner: "a", Number: number, Operation: broker.NewKey, DataSet: name, Version: 1, Use: "data"}
	q := &broker.OrderRequest{Order: order, Signatures: []string{o.sign(order.Purpose(), order.Statement("clinics", o.ready.FirstPolicy))}}
	return o.client().Do(o.t.Context(), "POST", broker.PathOrder, q, nil)
}

// command runs a command line of "cloister broker".
func (o *operated) command(args ...string) (code int, out, errs string) {
	o.t.Helper()
	return runBroker(o.t.Context(), args...)
}

func runBroker(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = newApp(strings.NewReader(""), &out, &errs).run(ctx, append([]string{"broker"}, args...))
	return code, out.String(), errs.String()
}

// must runs a command that does what it should.
func (o *operated) must(args ...string) string {
	o.t.Helper()
	code, out, errs := o.command(args...)
	if code != ExitDone {
		o.t.Fatalf("%s: exit %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}
