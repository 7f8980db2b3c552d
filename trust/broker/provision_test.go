package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/ratls"
	"cloister/trust/attest/sgx"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
	"cloister/trust/secret"
)

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

// spark is the enclave that the policy of these tests provisions.
var spark = sha256.Sum256([]byte("spark"))

// port is a broker with a provisioning port, and an enclave of Gramine.
type port struct {
	*fixture
	machine *attesttest.Machine
	address string
	roots   *x509.CertPool
}

// newPort starts one that gives a password, twice.
func newPort(t *testing.T, set setting) *port {
	t.Helper()
	authority := attesttest.New(attesttest.Config{Seed: "broker", Now: time.Now()})
	p := &port{machine: authority.Machine(), roots: x509.NewCertPool()}
	root := hashOf(authority.Root.Cert.RawSubjectPublicKeyInfo)
	set.prepare = func(f *fixture) {
		f.sources.Roots = []*x509.Certificate{authority.Root.Cert}
		f.sources.Intel = collateralOf{p.machine.Collateral(attest.SGX)}
		f.change = func(text string) string {
			return strings.Replace(text, "platforms:\n", "platforms:\n  sgx:\n    roots: [\"sha256:"+root.String()+"\"]\n", 1)
		}
		f.extra = "gramine-provisioning:\n  spark:\n    mrenclave: " + hex.EncodeToString(spark[:]) + "\n    job: \"sha256:" + jobOf("spark").String() +
			"\"\n    max-runs: 2\n    secret: a/password\n    any-machine: true\n    xfrm: 0xe7\n"
	}
	p.fixture = newFixture(t, set)
	info, err := p.client().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	password := secret.Copy([]byte("correct horse\x00"))
	wrapped, err := vault.WrapKey(info.HPKE, "test", vault.Ref{Owner: "a", DataSet: "password", Version: 1}, vault.Opaque, password)
	if err != nil {
		t.Fatal(err)
	}
	p.order(p.a, Order{Operation: BringKey, DataSet: "password", Version: 1, Use: vault.Opaque, Wrapped: wrapped})
	p.serve(t, func(l net.Listener) net.Listener { return l })
	p.roots.AddCert(p.broker.issuer.Certificate())
	return p
}

func (p *port) serve(t *testing.T, wrap func(net.Listener) net.Listener) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.broker.ServeProvisioning(ctx, wrap(l), []string{"broker.cluster.test"}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// shake connects as an enclave that is measured so.
func (p *port) shake(t *testing.T, measured [32]byte) (*tls.Conn, error) {
	t.Helper()
	cert, err := ratls.Make(t.Context(), &enclaveProducer{p.machine, func(q *attesttest.QuoteSpec) { q.SGX.MREnclave = measured }}, ratls.MakeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := &tls.Dialer{Config: &tls.Config{RootCAs: p.roots, ServerName: "broker.cluster.test", Certificates: []tls.Certificate{*cert}}}
	c, err := d.DialContext(t.Context(), "tcp", p.address)
	if err != nil {
		return nil, err
	}
	return c.(*tls.Conn), nil
}

// ask does what Gramine's client library would do, with a request.
func (p *port) ask(t *testing.T, measured [32]byte, request string) ([]byte, error) {
	t.Helper()
	c, err := p.shake(t, measured)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write([]byte(request)); err != nil {
		return nil, err
	}
	if len(request) < len(provisionRequest) {
		if err := c.CloseWrite(); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(c)
}

// got fails if the password did not arrive.
func (p *port) got(t *testing.T, answer []byte, err error) {
	t.Helper()
	want := append([]byte(provisionAnswer+"\x00\x00\x00\x0e"), "correct horse\x00"...)
	if err != nil || !bytes.Equal(answer, want) {
		t.Fatalf("%q, %v\n%s", answer, err, p.reasons())
	}
}

// refused fails if anything arrived, or if the log does not say why nothing did.
func (p *port) refused(t *testing.T, answer []byte, err error, kind, reason string) {
	t.Helper()
	if len(answer) != 0 || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %q, %v", answer, err)
	}
	for range 2000 {
		if p.logged(kind, audit.Refused, reason) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("the log does not say %s %q:\n%s", kind, reason, p.reasons())
}

// TestProvisioning is asked by what Gramine's client library would say.
func TestProvisioning(t *testing.T) {
	t.Parallel()
	p := newPort(t, setting{})
	other, err := p.ask(t, sha256.Sum256([]byte("other")), provisionRequest)
	p.refused(t, other, err, "provision", "no entry")
	for range 2 {
		answer, err := p.ask(t, spark, provisionRequest)
		p.got(t, answer, err)
	}
	third, err := p.ask(t, spark, provisionRequest)
	p.refused(t, third, err, "provision", "the entry was used 2 times; it may be 2 times")
	_, err = (&tls.Dialer{Config: &tls.Config{RootCAs: p.roots, ServerName: "broker.cluster.test"}}).DialContext(t.Context(), "tcp", p.address)
	p.refused(t, nil, err, "request", "the handshake")
}

// TestHandshakeIsARun: Gramine's protocol has no nonce, so every handshake of an
// enclave that would get something counts, also if it asks nothing that is known.
func TestHandshakeIsARun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ request, reason string }{
		"no request":        {"", "the request did not arrive"},
		"half of a request": {provisionRequest[:10], "the request did not arrive"},
		"another version":   {strings.Replace(provisionRequest, "V1", "V2", 1), "is not that of Gramine's secret provisioning, version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPort(t, setting{})
			answer, err := p.ask(t, spark, c.request)
			p.refused(t, answer, err, "provision", c.reason)
			p.refused(t, answer, err, "provision", "the handshake counts as a run")
			answer, err = p.ask(t, spark, provisionRequest)
			p.got(t, answer, err)
			answer, err = p.ask(t, spark, provisionRequest)
			p.refused(t, answer, err, "provision", "the entry was used 2 times; it may be 2 times")
		})
	}
}

// TestProvisioningWithheld: an owner who freezes while witnesses are waited for
// keeps the secret.
func TestProvisioningWithheld(t *testing.T) {
	t.Parallel()
	g := &gated{open: make(chan struct{})}
	p := newPort(t, setting{quorum: func(note.Verifier, *policy.Policy) (audit.Quorum, error) { return g, nil }})
	p.waitWitnessed(t)
	g.close()
	type answer struct {
		text []byte
		err  error
	}
	got, done := make(chan answer, 1), make(chan error, 1)
	go func() {
		text, err := p.ask(t, spark, provisionRequest)
		got <- answer{text, err}
	}()
	p.waitLogged(t, "provision", 0)
	go func() { done <- p.freeze(p.a, p.a, false) }()
	p.waitLogged(t, "freeze", 0)
	close(g.open)
	a := <-got
	p.refused(t, a.text, a.err, "provision.withheld", "a has frozen all releases meanwhile")
	if err := <-done; err != nil {
		t.Error(err)
	}
	text, err := p.ask(t, spark, provisionRequest)
	p.refused(t, text, err, "provision", "a has frozen all releases")
}

// shortListener has no descriptors left the first times.
type shortListener struct {
	net.Listener
	left int
}

type shortageError struct{ error }

func (shortageError) Temporary() bool { return true }
func (shortageError) Timeout() bool   { return false }

func (l *shortListener) Accept() (net.Conn, error) {
	if l.left > 0 {
		l.left--
		return nil, &net.OpError{Op: "accept", Err: shortageError{errors.New("too many open files")}}
	}
	return l.Listener.Accept()
}

// TestProvisioningGoesOn: that a connection cannot be accepted for once does not
// end the port.
func TestProvisioningGoesOn(t *testing.T) {
	t.Parallel()
	p := newPort(t, setting{})
	p.serve(t, func(l net.Listener) net.Listener { return &shortListener{l, 2} })
	answer, err := p.ask(t, spark, provisionRequest)
	p.got(t, answer, err)
}

// panicking is a source of collateral with a bug.
type panicking struct{}

func (panicking) Collateral(context.Context, *sgx.Request) (*sgx.Collateral, error) {
	panic("a bug, at 0xc0ffee")
}

// TestPanic: a bug in what verifies evidence ends one request and not the broker,
// and stands in the log. The answer does not tell what it was.
func TestPanic(t *testing.T) {
	t.Parallel()
	p := newPort(t, setting{})
	p.sources.Intel = panicking{}
	force := *p.broker.inForce.Load()
	var err error
	if force.verifiers, err = (&Sources{Now: time.Now, Intel: panicking{}, Roots: p.sources.Roots}).Verifiers(force.policy); err != nil {
		t.Fatal(err)
	}
	p.broker.inForce.Store(&force)
	answer, err := p.ask(t, spark, provisionRequest)
	p.refused(t, answer, err, "request", "an error of its own")
	_, err = p.client().Release(t.Context(), &enclaveProducer{p.machine, func(*attesttest.QuoteSpec) {}}, jobOf("one"), []Want{wards("a", 1)})
	refusedFor(t, err, CodeInternal, "an error of its own")
	if strings.Contains(err.Error(), "0xc0ffee") || strings.Contains(p.reasons(), "0xc0ffee") {
		t.Errorf("the panic is told: %v", err)
	}
	if _, err := p.client().Info(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNoDomains: without domains there is no authority: no certificates, and no
// provisioning port.
func TestNoDomains(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{noDomains: true})
	refusedFor(t, f.client().Do(t.Context(), "GET", PathAuthority, nil, nil), CodeNotFound, "issues no certificates")
	refusedFor(t, f.client().Do(t.Context(), "GET", PathCRL, nil, nil), CodeNotFound, "issues no certificates")
	refusedFor(t, f.client().Do(t.Context(), "POST", PathCertificate, &CertificateRequest{}, nil), CodeNotFound, "issues no certificates")
	if err := f.broker.ServeProvisioning(t.Context(), nil, []string{"broker.cluster.test"}); err == nil {
		t.Error("a provisioning port without an authority")
	}
}
