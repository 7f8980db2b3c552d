package broker

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/vault"
)

// selfSigned is a certificate of a key, which says nothing else.
func selfSigned(t *testing.T, key ed25519.PrivateKey) (tls.Certificate, Digest) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, hashOf(leaf.RawSubjectPublicKeyInfo)
}

// TestAudit reads the log as an administrator and checks it from outside.
func TestAudit(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, hash := selfSigned(t, key)
	f := newFixture(t, setting{prepare: func(f *fixture) { f.admin = hash }})
	var before CheckpointAnswer
	if err := f.client().Do(t.Context(), "GET", PathCheckpoint, nil, &before); err != nil {
		t.Fatal(err)
	}
	f.dataSet(f.a, "wards", "no-export")
	refusedFor(t, f.client().Do(t.Context(), "GET", PathEntries+"?from=0&to=10", nil, nil), CodeForbidden, "client certificate")
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := selfSigned(t, stranger)
	admin := func(c tls.Certificate) *Client {
		client, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Certificates: []tls.Certificate{c}, Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return f.watched(client)
	}
	refusedFor(t, admin(other).Do(t.Context(), "GET", PathEntries+"?from=0&to=10", nil, nil), CodeForbidden, "neither")
	var now CheckpointAnswer
	if err := f.client().Do(t.Context(), "GET", PathCheckpoint, nil, &now); err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(f.broker.logKey)
	if err != nil {
		t.Fatal(err)
	}
	old, _, err := audit.OpenCheckpoint([]byte(before.Checkpoint), verifier)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := audit.OpenCheckpoint([]byte(now.Checkpoint), verifier)
	if err != nil {
		t.Fatal(err)
	}
	var p ProofAnswer
	if err := f.client().Do(t.Context(), "GET", fmt.Sprintf("%s?from=%d&to=%d", PathConsistency, old.Size, c.Size), nil, &p); err != nil {
		t.Fatal(err)
	}
	proof := tlog.TreeProof{}
	for _, h := range p.Proof {
		proof = append(proof, tlog.Hash(h))
	}
	if err := tlog.CheckTree(proof, c.Size, c.Root, old.Size, old.Root); err != nil {
		t.Error(err)
	}
	var entries EntriesAnswer
	if err := admin(cert).Do(t.Context(), "GET", fmt.Sprintf("%s?from=0&to=%d", PathEntries, c.Size), nil, &entries); err != nil {
		t.Fatal(err)
	}
	if int64(len(entries.Lines)) != c.Size {
		t.Errorf("%d lines of %d", len(entries.Lines), c.Size)
	}
	// A watcher sees what comes.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://%s%s?from=%d", f.addr, PathWatch, c.Size), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := admin(cert).http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	f.order(f.a, Order{Operation: NewKey, DataSet: "new", Version: 1, Use: vault.Data})
	// Lines about requests are written after their answers, so some may still
	// come before the order's.
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && strings.Contains(lines.Text(), `"type":"request"`) {
	}
	if !strings.Contains(lines.Text(), "order.new-key") {
		t.Errorf("watched %q, %v", lines.Text(), lines.Err())
	}
}

func TestOperation(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	if _, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)}); err != nil {
		t.Fatal(err)
	}
	f.client().Release(t.Context(), newProgram(t, "other"), jobOf("one"), []Want{wards("a", 1)})
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": "ready",
		"/metrics": "cloister_broker_releases_total 1\n", "/metrics?": `cloister_broker_refusals_total{request="release",code="policy-refused"} 1`,
	} {
		w := httptest.NewRecorder()
		f.broker.Operation().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestCertificate has a program's key certified, and loses it by a change of
// policy.
func TestCertificate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	ask := func(p *program, name string) (*CertificateAnswer, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		q := &CertificateRequest{Job: jobOf("one")}
		if q.CSR, err = issuer.CertificateRequest(key, []string{name}); err != nil {
			t.Fatal(err)
		}
		if q.Key, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			t.Fatal(err)
		}
		var n NonceAnswer
		if err := f.client().Do(t.Context(), "POST", PathNonce, &NonceRequest{hashOf(q.Key)}, &n); err != nil {
			t.Fatal(err)
		}
		q.Nonce = n.Nonce
		b := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}
		e, err := p.Produce(t.Context(), b.ReportData())
		if err != nil {
			t.Fatal(err)
		}
		q.Evidence = *e
		a := new(CertificateAnswer)
		return a, f.client().Do(t.Context(), "POST", PathCertificate, q, a)
	}
	a, err := ask(newProgram(t, "trainer"), "worker-0.cluster.test")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := x509.ParseCertificate(a.Authority)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: "worker-0.cluster.test"}); err != nil {
		t.Error(err)
	}
	_, err = ask(newProgram(t, "trainer"), "worker-1.cluster.test")
	refusedFor(t, err, CodePolicy, "worker-1")
	_, err = ask(newProgram(t, "changed"), "worker-0.cluster.test")
	refusedFor(t, err, CodePolicy, "binary")
	// The next policy allows the name no more.
	next := strings.Replace(f.policyText(2, f.parse(f.text).Hash().String()), "    certificates: [worker-0.cluster.test]\n", "", 1)
	if a := f.approve(next, f.a, f.b); !a.Applied {
		t.Fatalf("%+v", a)
	}
	resp, err := f.client().http.Get("https://" + f.addr + PathCRL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	der, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(cert.SerialNumber) != 0 {
		t.Errorf("the list: %+v, %v", list, err)
	}
}
