package broker

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/broker/vault/shares"
)

// TestOpenAPIAnswers gets an answer of every operation from a broker that serves,
// and compares requests and answers with openapi.yaml, as every test does that
// uses the fixture's clients.
func TestOpenAPIAnswers(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, hash := selfSigned(t, key)
	f := newFixture(t, setting{prepare: func(f *fixture) {
		f.admin = hash
		f.extra = brokerPrograms("broker", "upgraded") + "unseal:\n  carol: {client: \"sha256:" + hash.String() + "\", keys: {a/wards: [1]}}\n"
	}})
	var mu sync.Mutex
	answered := map[string]bool{}
	f.seen = func(pattern string, status int) {
		mu.Lock()
		defer mu.Unlock()
		answered[pattern] = answered[pattern] || status == http.StatusOK
	}
	f.askEverything(t, cert)
	f.askRestored(t)
	askLocked(t, f.seen)
	mu.Lock()
	defer mu.Unlock()
	for path, methods := range openDocument(t).at("paths") {
		for method := range methods.(map[string]any) {
			if pattern := strings.ToUpper(method) + " " + path; !answered[pattern] {
				t.Errorf("%s is in openapi.yaml, and its answer was not compared with it: ask it in askEverything of answers_test.go", pattern)
			}
		}
	}
}

// askEverything has every operation succeed once.
func (f *fixture) askEverything(t *testing.T, admin tls.Certificate) {
	t.Helper()
	f.dataSet(f.a, "wards", "no-export")
	f.order(f.b, Order{Operation: ApproveJob, Job: jobOf("x"), Runs: 1, Expires: time.Now().Add(time.Hour)})
	for _, thaw := range []bool{false, true} {
		if err := f.freeze(f.a, f.a, thaw); err != nil {
			t.Fatal(err)
		}
	}
	next := strings.Replace(f.policyText(2, f.parse(f.text).Hash().String()), "      b/wards: [1+]\n", "", 1)
	if a := f.approve(next, f.a, f.b); !a.Applied {
		t.Fatalf("%+v", a)
	}
	c := f.client()
	if _, err := c.Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)}); err != nil {
		t.Fatal(err)
	}
	var nonce [32]byte
	nonce[0] = 1
	if err := c.Do(t.Context(), http.MethodPost, PathAttest, &AttestRequest{nonce}, nil); err != nil {
		t.Fatal(err)
	}
	f.askCertificate(t, c)
	withCert, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Certificates: []tls.Certificate{admin}, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(withCert.Close)
	withCert = f.watched(withCert)
	if _, _, err := withCert.Unseal(t.Context(), "a", "wards", 1); err != nil {
		t.Error(err)
	}
	if _, _, err := withCert.Time(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := withCert.Backup(t.Context(), io.Discard, []string{newIdentity(t).Recipient().String()}); err != nil {
		t.Error(err)
	}
	o := vault.RootOptions{Path: filepath.Join(t.TempDir(), "root"), Broker: "test", Protector: newTestProtector(t), Now: time.Now}
	root, _, err := c.TakeOver(t.Context(), newProgram(t, "upgraded"), appraise, o)
	if err != nil {
		t.Fatal(err)
	}
	root.Zero()
	for _, path := range []string{
		PathOpenAPI, PathBroker, PathPolicy, PathPending, PathOwners, PathDataSets + "?owner=a", PathDataSets + "?owner=a&name=wards", PathDataSets + "?owner=b&name=none",
		PathCheckpoint, PathConsistency + "?from=1&to=2", PathConsistency + "?from=2&to=2", PathInclusion + "?index=0&size=2", PathInclusion + "?index=0&size=1",
		PathEntries + "?from=0&to=3", PathWatch + "?from=0", PathAuthority, PathCRL, "/healthz", "/readyz",
	} {
		get(t, withCert, "https://"+f.addr+path)
	}
}

// askRestored has the owners confirm a restored broker.
func (f *fixture) askRestored(t *testing.T) {
	t.Helper()
	to := newIdentity(t)
	seen := f.seenNow()
	backup, key := f.backup(to)
	f.restore(backup, key, to, false)
	for _, p := range []person{f.a, f.b} {
		if _, err := f.confirm(p, p, seen, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// askLocked has the owners unlock a broker.
func askLocked(t *testing.T, seen func(pattern string, status int)) {
	t.Helper()
	pending, err := protector.NewPending()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, setting{unlock: ownersSeal(t), root: func(o vault.RootOptions) (*vault.Root, error) {
		o.Protector, o.InTEE = pending, true
		return vault.CreateRoot(t.Context(), o)
	}})
	f.seen = seen
	alice, bob := newIdentity(t), newIdentity(t)
	f.order(f.a, Order{Operation: Unlock, Threshold: 1, Recipients: []string{alice.Recipient().String()}})
	forB := openDelivery(t, f.order(f.b, Order{Operation: Unlock, Threshold: 1, Recipients: []string{bob.Recipient().String()}}).Delivery, bob)
	forA := openDelivery(t, f.order(f.a, Order{Operation: UnlockShares}).Delivery, alice)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	addr, unlocked := f.lockedBroker(t, ownersSeal(t))
	b, err := MeetLocked(t.Context(), ClientOptions{Address: addr, Pin: Pin{Broker: "test"}, Attempts: 1}, insecure.NewVerifier().Verify)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	f.watched(b.client)
	var nonce [32]byte
	nonce[0] = 1
	if err := b.client.Do(t.Context(), http.MethodPost, PathAttest, &AttestRequest{nonce}, nil); err != nil {
		t.Error(err)
	}
	get(t, b.client, "https://"+addr+PathBroker)
	get(t, b.client, "https://"+addr+"/healthz")
	for _, share := range []*shares.Share{forA, forB} {
		if _, err := b.Give(t.Context(), share); err != nil {
			t.Error(err)
		}
	}
	root, err := unlocked()
	if err != nil {
		t.Fatal(err)
	}
	root.Zero()
}

// get asks, and reads the beginning of the answer.
func get(t *testing.T, c *Client, url string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.ReadAtLeast(resp.Body, make([]byte, 64<<10), 1); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: status %d, %d bytes, %v", url, resp.StatusCode, n, err)
	}
}

func (f *fixture) askCertificate(t *testing.T, c *Client) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	q := &CertificateRequest{Job: jobOf("one")}
	if q.CSR, err = issuer.CertificateRequest(key, []string{"worker-0.cluster.test"}); err != nil {
		t.Fatal(err)
	}
	if q.Key, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		t.Fatal(err)
	}
	var n NonceAnswer
	if err := c.Do(t.Context(), http.MethodPost, PathNonce, &NonceRequest{hashOf(q.Key)}, &n); err != nil {
		t.Fatal(err)
	}
	q.Nonce = n.Nonce
	b := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}
	e, err := newProgram(t, "trainer").Produce(t.Context(), b.ReportData())
	if err != nil {
		t.Fatal(err)
	}
	q.Evidence = *e
	if err := c.Do(t.Context(), http.MethodPost, PathCertificate, q, &CertificateAnswer{}); err != nil {
		t.Fatal(fmt.Errorf("certificate: %w", err))
	}
}
