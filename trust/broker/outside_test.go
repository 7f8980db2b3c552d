package broker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/ratls"
	"cloister/trust/attest/sgx"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/vault"
	"cloister/trust/secret"
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

// enclaveProducer makes quotes of a machine of the test authority.
type enclaveProducer struct {
	machine *attesttest.Machine
	edit    func(*attesttest.QuoteSpec)
}

func (*enclaveProducer) Platform() attest.Platform { return attest.SGX }

func (p *enclaveProducer) Produce(_ context.Context, d attest.ReportData) (*attest.Evidence, error) {
	e := p.machine.SGX(d, p.edit)
	return &attest.Evidence{Platform: attest.SGX, Quote: e.Quote}, nil
}

// collateralOf is a source with the collateral of one machine.
type collateralOf struct{ collateral *sgx.Collateral }

func (c collateralOf) Collateral(context.Context, *sgx.Request) (*sgx.Collateral, error) {
	return c.collateral, nil
}

// TestProvisioning is asked by what Gramine's client library would say.
func TestProvisioning(t *testing.T) {
	authority := attesttest.New(attesttest.Config{Seed: "broker", Now: time.Now()})
	machine := authority.Machine()
	mrenclave := sha256.Sum256([]byte("spark"))
	root := hashOf(authority.Root.Cert.RawSubjectPublicKeyInfo)
	f := newFixture(t, setting{prepare: func(f *fixture) {
		f.sources.Roots = []*x509.Certificate{authority.Root.Cert}
		f.sources.Intel = collateralOf{machine.Collateral(attest.SGX)}
		f.change = func(text string) string {
			return strings.Replace(text, "platforms:\n", "platforms:\n  sgx:\n    roots: [\"sha256:"+root.String()+"\"]\n", 1)
		}
		f.extra = "gramine-provisioning:\n  spark:\n    mrenclave: " + hex.EncodeToString(mrenclave[:]) + "\n    job: \"sha256:" + jobOf("spark").String() +
			"\"\n    max-runs: 2\n    secret: a/password\n    any-machine: true\n    xfrm: 0xe7\n"
	}})
	info, err := f.client().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	password := secret.Copy([]byte("correct horse\x00"))
	wrapped, err := vault.WrapKey(info.HPKE, "test", vault.Ref{Owner: "a", DataSet: "password", Version: 1}, vault.Opaque, password)
	if err != nil {
		t.Fatal(err)
	}
	f.order(f.a, Order{Operation: BringKey, DataSet: "password", Version: 1, Use: vault.Opaque, Wrapped: wrapped})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.broker.ServeProvisioning(ctx, l, []string{"broker.cluster.test"}) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(f.broker.issuer.Certificate())
	ask := func(measured [32]byte, request string) ([]byte, error) {
		cert, err := ratls.Make(t.Context(), &enclaveProducer{machine, func(q *attesttest.QuoteSpec) { q.SGX.MREnclave = measured }}, ratls.MakeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		d := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "broker.cluster.test", Certificates: []tls.Certificate{*cert}}}
		c, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if _, err := c.Write([]byte(request)); err != nil {
			return nil, err
		}
		return io.ReadAll(c)
	}
	for run := range 2 {
		got, err := ask(mrenclave, provisionRequest)
		want := append([]byte(provisionAnswer+"\x00\x00\x00\x0e"), "correct horse\x00"...)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("run %d: %q, %v\n%s", run, got, err, f.reasons())
		}
	}
	for name, c := range map[string]struct {
		measured [32]byte
		request  string
		reason   string
	}{
		"a third run":       {mrenclave, provisionRequest, "2 times"},
		"another enclave":   {sha256.Sum256([]byte("other")), provisionRequest, "no entry"},
		"another message":   {mrenclave, strings.Replace(provisionRequest, "V1", "V2", 1), "version 1"},
		"half of a request": {mrenclave, provisionRequest[:10], ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "half of a request" {
				return // TestSlow's matter: it would wait for the end of the time
			}
			got, err := ask(c.measured, c.request)
			if len(got) != 0 || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %q, %v", got, err)
			}
			for range 100 {
				if strings.Contains(f.reasons(), c.reason) {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("the log does not say %q:\n%s", c.reason, f.reasons())
		})
	}
}
