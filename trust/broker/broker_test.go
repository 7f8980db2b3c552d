package broker

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cloister/trust/approval"
	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/secret"
)

// testProtector keeps a root key under a key of the test.
type testProtector struct{ aead cipher.AEAD }

func newTestProtector(tb testing.TB) *testProtector {
	tb.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		tb.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		tb.Fatal(err)
	}
	return &testProtector{aead}
}

func (*testProtector) Name() string             { return "test" }
func (*testProtector) Origin() protector.Origin { return protector.Platform }

func (p *testProtector) Seal(_ context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	return p.aead.Seal(nil, nil, key.Expose(), associated), nil
}

func (p *testProtector) Unseal(_ context.Context, sealed, associated []byte) (secret.Bytes, error) {
	plain, err := p.aead.Open(nil, nil, sealed, associated)
	if err != nil {
		return secret.Bytes{}, err
	}
	return secret.Take(plain), nil
}

// person is an owner with a key.
type person struct {
	name policy.Name
	key  *approval.PrivateKey
	raw  ed25519.PrivateKey
}

func newPerson(tb testing.TB, name policy.Name) person {
	tb.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := approval.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return person{name, key, private}
}

func (p person) sign(tb testing.TB, purpose approval.Purpose, message []byte) string {
	tb.Helper()
	sig, err := p.key.Sign(rand.Reader, purpose, message)
	if err != nil {
		tb.Fatal(err)
	}
	text, err := sig.MarshalText()
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// program makes evidence of insecure-none for a program that the test names.
type program struct {
	binary Digest
	key    ed25519.PrivateKey
	// change spoils evidence before it is signed.
	change func(*insecure.Document)
}

func newProgram(tb testing.TB, name string) *program {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return &program{binary: sha256.Sum256([]byte(name)), key: key}
}

func (*program) Platform() attest.Platform { return attest.InsecureNone }

func (p *program) Produce(_ context.Context, d attest.ReportData) (*attest.Evidence, error) {
	doc := insecure.Document{Binary: p.binary, ReportData: d}
	if p.change != nil {
		p.change(&doc)
	}
	doc.Sign(p.key)
	return &attest.Evidence{Platform: attest.InsecureNone, Quote: doc.Encode()}, nil
}

// fixture is a broker that serves, with two owners.
type fixture struct {
	t      testing.TB
	dir    string
	broker *Broker
	pin    Pin
	addr   string
	a, b   person
	third  *person // if there is one
	admin  Digest  // the key of an administrator's certificate
	extra  string  // lines of the policy
	// change edits the text of the policy.
	change  func(string) string
	sources Sources
	text    string // the policy in force
	number  map[policy.Name]uint64
	stop    func() error
	// seen is told of every exchange of clients that are made later.
	seen func(pattern string, status int)
}

// jobOf is a job by name.
func jobOf(name string) Digest { return sha256.Sum256([]byte("job " + name)) }

const policyText = `format: cloister-policy/1
broker: test
version: %d
%sapprovals: 2
insecure-no-witness: true
owners:
  a:
    keys: [%q]
  b:
    keys: [%q]
administrators:
  root: {client: "sha256:%s"}
platforms:
  insecure-none: {}
workloads:
  trainer:
    platform: insecure-none
    insecure-none:
      binaries: ["sha256:%s"]
    insecure-debug: true
    any-machine: true
    jobs: ["sha256:%s", "sha256:%s"]
    certificates: [worker-0.cluster.test]
    keys:
      a/wards: [1+]
      b/wards: [1+]
    secrets: [a/password]
    terms: [no-export]
  approved:
    platform: insecure-none
    insecure-none:
      binaries: ["sha256:%s"]
    insecure-debug: true
    any-machine: true
    owner-approved-jobs: true
    keys:
      a/wards: [1]
      b/wards: [1]
`

func (f *fixture) policyText(version int, previous string) string {
	if previous != "" {
		previous = "previous: " + previous + "\n"
	}
	hash := func(name string) string { d := sha256.Sum256([]byte(name)); return hex.EncodeToString(d[:]) }
	text := fmt.Sprintf(policyText, version, previous, f.a.key.Public(), f.b.key.Public(),
		f.admin, hash("trainer"), jobOf("one"), jobOf("two"), hash("approved")) + f.extra
	if f.change != nil {
		text = f.change(text)
	}
	return text
}

type setting struct {
	limits    Limits
	host      func() time.Time
	heartbeat time.Duration
	quorum    MakeQuorum
	logger    *slog.Logger
	// unapproved leaves the first policy to be approved by the test.
	unapproved bool
	noDomains  bool
	// root opens or makes the root key, unless nil, for who unlocks it.
	root   func(vault.RootOptions) (*vault.Root, error)
	unlock *protector.OwnersSeal
	// prepare changes the fixture before the broker starts.
	prepare func(*fixture)
}

// newFixture starts a broker whose first policy both owners approved.
func newFixture(tb testing.TB, set setting) *fixture {
	tb.Helper()
	f := &fixture{t: tb, dir: tb.TempDir(), a: newPerson(tb, "a"), b: newPerson(tb, "b"), number: map[policy.Name]uint64{}}
	f.admin[0] = 1
	f.sources = Sources{Now: time.Now} // the broker goes by its own clock
	if set.prepare != nil {
		set.prepare(f)
	}
	f.text = f.policyText(1, "")
	f.start(set, true)
	f.pin = Pin{TLSKey: f.broker.TLSKey(), FirstPolicy: Digest(f.parse(f.text).Hash()), Broker: "test"}
	if set.unapproved {
		return f
	}
	if a := f.approve(f.text, f.a); a.Applied || len(a.Missing) == 0 {
		tb.Fatalf("one owner alone started the broker: %+v", a)
	}
	if f.broker.Ready() == nil {
		tb.Fatal("ready without an approved policy")
	}
	rest := []person{f.b}
	if f.third != nil {
		rest = append(rest, *f.third)
	}
	if a := f.approve(f.text, rest...); !a.Applied {
		tb.Fatalf("all owners signed, and it is not applied: %+v", a)
	}
	if err := f.broker.Ready(); err != nil {
		tb.Fatal(err)
	}
	return f
}

func (f *fixture) parse(text string) *policy.Policy {
	f.t.Helper()
	p, err := policy.Parse("test", []byte(text))
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) start(set setting, create bool) {
	f.t.Helper()
	ctx := f.t.Context()
	if err := f.open(set, create); err != nil {
		f.t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.addr = l.Addr().String()
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- f.broker.Serve(serving, l) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		return errorsJoin(err, f.broker.Close())
	})
	f.t.Cleanup(func() {
		if err := f.stop(); err != nil {
			f.t.Errorf("stop: %v", err)
		}
	})
}

// open opens the broker's state, or makes it.
func (f *fixture) open(set setting, create bool) error {
	f.t.Helper()
	ctx := f.t.Context()
	o := vault.RootOptions{Path: filepath.Join(f.dir, "root"), Broker: "test", Protector: newTestProtector(f.t), Now: time.Now}
	open := vault.OpenRoot
	if create {
		open = vault.CreateRoot
	}
	root, err := func() (*vault.Root, error) {
		if set.root != nil {
			return set.root(o)
		}
		return open(ctx, o)
	}()
	if err != nil {
		f.t.Fatal(err)
	}
	if set.quorum == nil {
		now := time.Now
		if set.host != nil {
			now = set.host
		}
		set.quorum = Witnesses(nil, now)
	}
	domains := []string{"cluster.test"}
	if set.noDomains {
		domains = nil
	}
	f.broker, err = Start(ctx, Config{
		Dir: filepath.Join(f.dir, "store"), Create: create, Root: root, Quorum: set.quorum, Domains: domains,
		Host: set.host, Heartbeat: set.heartbeat, Sources: &f.sources,
		Options: Options{
			FirstPolicy: []byte(f.text), Producer: newProgram(f.t, "broker"), Limits: set.limits, Logger: set.logger,
			Unlock: set.unlock,
		},
	})
	return err
}

func errorsJoin(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

func (f *fixture) client() *Client {
	f.t.Helper()
	c, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Attempts: 1, Timeout: 30 * time.Second})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return f.watched(c)
}

// approve hands in a policy that some owners signed.
func (f *fixture) approve(text string, by ...person) *PolicyAnswer {
	f.t.Helper()
	a, err := f.tryApprove(text, by...)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) tryApprove(text string, by ...person) (*PolicyAnswer, error) {
	f.t.Helper()
	next := f.parse(text)
	var old *policy.Policy
	if p := f.broker.inForce.Load(); p != nil {
		old = p.policy
	}
	q := &PolicyRequest{Policy: text, Signatures: []string{}}
	if change, err := policy.Compare(old, next); err == nil {
		for _, p := range by {
			q.Signatures = append(q.Signatures, p.sign(f.t, approval.ForPolicy, change.Statement()))
		}
	}
	var a PolicyAnswer
	err := f.client().Do(f.t.Context(), "POST", PathPolicy, q, &a)
	return &a, err
}

// order gives an order of an owner.
func (f *fixture) order(p person, o Order) *OrderAnswer {
	f.t.Helper()
	a, err := f.tryOrder(p, p, o)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) tryOrder(p, signer person, o Order) (*OrderAnswer, error) {
	f.t.Helper()
	o.Owner = p.name
	if o.Number == 0 {
		f.number[p.name]++
		o.Number = f.number[p.name]
	}
	q := &OrderRequest{Order: o, Signatures: []string{signer.sign(f.t, o.Purpose(), o.Statement("test", f.pin.FirstPolicy))}}
	var a OrderAnswer
	err := f.client().Do(f.t.Context(), "POST", PathOrder, q, &a)
	return &a, err
}

func (f *fixture) freeze(p, signer person, thaw bool) error {
	f.t.Helper()
	f.number[p.name]++
	order := policy.Freeze{Broker: "test", First: policy.Hash(f.pin.FirstPolicy), Owner: p.name, Number: f.number[p.name], Thaw: thaw}
	purpose := approval.ForFreeze
	if thaw {
		purpose = approval.ForUnfreeze
	}
	q := &FreezeRequest{Owner: p.name, Number: order.Number, Thaw: thaw, Signatures: []string{signer.sign(f.t, purpose, order.Statement())}}
	return f.client().Do(f.t.Context(), "POST", PathFreeze, q, nil)
}

// dataSet makes the key of an owner's next version and registers it.
func (f *fixture) dataSet(p person, name policy.Name, terms ...policy.Name) *vault.KeyInfo {
	f.t.Helper()
	var state DataSetState
	if err := f.client().Do(f.t.Context(), "GET", fmt.Sprintf("%s?owner=%s&name=%s", PathDataSets, p.name, name), nil, &state); err != nil {
		f.t.Fatal(err)
	}
	a := f.order(p, Order{Operation: NewKey, DataSet: name, Version: state.Next, Use: vault.Data})
	f.order(p, Order{Operation: Register, DataSet: name, Version: state.Next, KeyID: a.Key.ID, Digest: sha256.Sum256([]byte(name)), Terms: terms})
	return a.Key
}

// entries returns the log's entries.
func (f *fixture) entries() []*audit.Entry {
	f.t.Helper()
	var all []*audit.Entry
	err := f.broker.audit.Entries(f.t.Context(), 0, -1, func(_ int64, line []byte) error {
		e, err := audit.ParseEntry(line)
		all = append(all, e)
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// logged says whether the log has an entry of a type with a reason.
func (f *fixture) logged(kind string, decision audit.Decision, reason string) bool {
	for _, e := range f.entries() {
		if e.Type == kind && e.Decision == decision && strings.Contains(e.Reason, reason) {
			return true
		}
	}
	return false
}

func wards(owner string, version uint64) Want {
	return Want{Kind: Key, Owner: owner, Name: "wards", Version: version}
}

// dialTLS connects without knowing anything.
func (f *fixture) dialTLS() *tls.Conn {
	f.t.Helper()
	c, err := (&tls.Dialer{Config: f.pin.clientTLS(nil)}).DialContext(f.t.Context(), "tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	return c.(*tls.Conn)
}

// hostClock is a host's clock, which can be set.
type hostClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *hostClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *hostClock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// waitWitnessed waits until all that is in the log is co-signed.
func (f *fixture) waitWitnessed(t *testing.T) {
	t.Helper()
	size, err := f.broker.audit.Size()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.broker.audit.Wait(t.Context(), size-1); err != nil {
		t.Fatal(err)
	}
}
