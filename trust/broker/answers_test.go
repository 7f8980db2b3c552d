package broker

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
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
		f.extra = "unseal:\n  carol: {client: \"sha256:" + hash.String() + "\", keys: {a/wards: [1]}}\n" + brokerPrograms("broker", "upgraded")
	}})
	var mu sync.Mutex
	answered := map[string]bool{}
	f.seen = func(pattern string, status int) {
		mu.Lock()
		defer mu.Unlock()
		answered[pattern] = answered[pattern] || status == http.StatusOK
	}
	f.askEverything(t, cert)
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
	for _, path := range []string{
		PathOpenAPI, PathBroker, PathPolicy, PathPending, PathOwners, PathDataSets + "?owner=a", PathDataSets + "?owner=a&name=wards", PathDataSets + "?owner=b&name=none",
		PathCheckpoint, PathConsistency + "?from=1&to=2", PathConsistency + "?from=2&to=2", PathInclusion + "?index=0&size=2", PathInclusion + "?index=0&size=1",
		PathEntries + "?from=0&to=3", PathWatch + "?from=0", PathAuthority, PathCRL, "/healthz", "/readyz",
	} {
		get(t, withCert, "https://"+f.addr+path)
	}
	f.askByCertificate(t, withCert)
	if _, _, err := c.Time(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := vault.RootOptions{Path: filepath.Join(t.TempDir(), "root"), Broker: "test", Protector: newTestProtector(t), Now: time.Now}
	if _, _, err := c.TakeOver(t.Context(), newProgram(t, "upgraded"), appraise, o); err != nil {
		t.Fatal(err)
	}
	err = c.Do(t.Context(), http.MethodPost, PathUnlock, &UnlockRequest{Owner: "a"}, nil)
	refusedFor(t, err, CodeNotFound, "no place of this API")
	f.askRestored(t)
}

// askByCertificate has succeed what an administrator and a person under unseal
// may ask.
func (f *fixture) askByCertificate(t *testing.T, c *Client) {
	t.Helper()
	if _, _, err := c.Unseal(t.Context(), "a", "wards", 1); err != nil {
		t.Fatal(err)
	}
	made, err := c.Backup(t.Context(), io.Discard, []string{newRecipient(t)})
	if err != nil {
		t.Fatal(err)
	}
	trailer, err := json.Marshal(made)
	if err == nil {
		err = openDocument(t).validate(trailer, "components", "schemas", "BackupMade")
	}
	if err != nil {
		t.Error(err)
	}
}

// askRestored restores the broker and has its owners confirm.
func (f *fixture) askRestored(t *testing.T) {
	t.Helper()
	identity := newIdentity(t)
	backup, key := f.backup(identity)
	seen := f.seenNow()
	f.restore(backup, key, identity, false)
	for _, p := range []person{f.a, f.b} {
		if _, err := f.confirm(p, p, seen, nil); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := f.client().RestoreState(t.Context()); err != nil || len(s.Waiting) > 0 {
		t.Errorf("after all have confirmed: %+v, %v", s, err)
	}
}

// askLocked asks every operation of a broker that waits for its owners, and
// unlocks it.
func askLocked(t *testing.T, seen func(string, int)) {
	t.Helper()
	seal := ownersSeal(t)
	pending, err := protector.NewPending()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, setting{unlock: seal, root: func(o vault.RootOptions) (*vault.Root, error) {
		o.Protector, o.InTEE = pending, true
		return vault.CreateRoot(t.Context(), o)
	}})
	f.seen = seen
	alice, bob := newIdentity(t), newIdentity(t)
	f.order(f.a, Order{Operation: Unlock, Threshold: 1, Recipients: []string{alice.Recipient().String()}})
	all := []*shares.Share{openDelivery(t, f.order(f.b, Order{Operation: Unlock, Threshold: 1, Recipients: []string{bob.Recipient().String()}}).Delivery, bob)}
	all = append(all, openDelivery(t, f.order(f.a, Order{Operation: UnlockShares}).Delivery, alice))
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	addr, unlocked := f.lockedBroker(t, ownersSeal(t))
	b, err := MeetLocked(t.Context(), ClientOptions{Address: addr, Pin: Pin{Broker: "test"}, Attempts: 1}, insecure.NewVerifier().Verify)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c := f.watched(b.client)
	served := map[string]any{"GET /healthz": nil, "GET " + PathBroker: nil, "POST " + PathAttest: &AttestRequest{jobOf("a nonce")}}
	for path, methods := range openDocument(t).at("paths") {
		for method := range methods.(map[string]any) {
			method = strings.ToUpper(method)
			ask, ok := served[method+" "+path]
			err := c.Do(t.Context(), method, path, ask, nil)
			switch {
			case ok && err != nil:
				t.Errorf("%s %s: %v", method, path, err)
			case !ok && path != "/readyz" && path != PathUnlock:
				refusedFor(t, err, CodeLocked, "waits for its owners")
			}
		}
	}
	err = c.Do(t.Context(), http.MethodGet, "/v1/none", nil, nil)
	refusedFor(t, err, CodeNotFound, "no place of this API")
	for _, share := range all {
		if _, err := b.Give(t.Context(), share); err != nil {
			t.Fatal(err)
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
