package issuer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/secret"
)

var begin = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// broker is a store, a vault and an authority whose clock the test sets.
type broker struct {
	t   testing.TB
	dir string
	now time.Time
	st  *store.Store
	v   *vault.Vault
	i   *Issuer
	o   Options
}

func newBroker(tb testing.TB, change ...func(*Options)) *broker {
	tb.Helper()
	b := &broker{t: tb, dir: tb.TempDir(), now: begin}
	b.o = Options{Domains: []string{"workers.cloister.internal", "other.example"}, Now: func() time.Time { return b.now }}
	for _, c := range change {
		c(&b.o)
	}
	b.start()
	return b
}

func (b *broker) start() {
	b.t.Helper()
	pass, err := protector.NewCloudKMS("test", plainKeeper{})
	if err != nil {
		b.t.Fatal(err)
	}
	o := vault.RootOptions{Path: filepath.Join(b.dir, "root.json"), Broker: "b1", Protector: pass, Now: b.o.Now}
	root, err := vault.OpenRoot(b.t.Context(), o)
	if errors.Is(err, vault.ErrNoRoot) {
		root, err = vault.CreateRoot(b.t.Context(), o)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	sealer, err := root.StoreSealer()
	if err != nil {
		b.t.Fatal(err)
	}
	if b.st, err = store.Open(filepath.Join(b.dir, "store"), store.Options{Create: true, Sealer: sealer}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.st.Close() })
	if b.v, err = vault.Open(b.t.Context(), b.st, root, vault.Options{Now: b.o.Now}); err != nil {
		b.t.Fatal(err)
	}
	b.do(func(tx *store.Tx) (err error) { b.i, err = Open(tx, b.v, b.o); return err })
}

// plainKeeper protects nothing; the vault's tests are elsewhere.
type plainKeeper struct{}

func (plainKeeper) Encrypt(_ context.Context, p []byte) ([]byte, error) { return bytes.Clone(p), nil }

func (plainKeeper) Decrypt(_ context.Context, c []byte) ([]byte, error) { return bytes.Clone(c), nil }

func (b *broker) do(fn func(*store.Tx) error) {
	b.t.Helper()
	if err := b.st.Update(b.t.Context(), fn); err != nil {
		b.t.Fatal(err)
	}
}

const (
	nameA = "worker-0.workers.cloister.internal"
	nameB = "worker-1.workers.cloister.internal"
)

// program is a workload's key with a request.
type program struct {
	key *ecdsa.PrivateKey
	Request
}

func newProgram(tb testing.TB, curve elliptic.Curve, names ...string) *program {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	p := &program{key: key, Request: Request{
		Allowed: []string{nameA, nameB}, Workload: "trainer", Policy: [32]byte{1}, Key: spki(tb, key.Public()),
	}}
	if p.CSR, err = CertificateRequest(key, names); err != nil {
		tb.Fatal(err)
	}
	return p
}

func spki(tb testing.TB, key crypto.PublicKey) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func (b *broker) issue(r Request) (cert *x509.Certificate, err error) {
	err = b.st.Update(b.t.Context(), func(tx *store.Tx) error { cert, err = b.i.Issue(tx, r); return err })
	return cert, err
}

func (b *broker) mustIssue(p *program) *x509.Certificate {
	b.t.Helper()
	cert, err := b.issue(p.Request)
	if err != nil {
		b.t.Fatal(err)
	}
	return cert
}

func (b *broker) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(b.i.Certificate())
	return pool
}

func (b *broker) verify(cert *x509.Certificate, name string, usage x509.ExtKeyUsage) error {
	_, err := cert.Verify(x509.VerifyOptions{Roots: b.roots(), DNSName: name, CurrentTime: b.now, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	c := b.i.Certificate()
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || key.Curve != elliptic.P256():
		t.Error("its key is not of P-256")
	case !c.IsCA || c.MaxPathLen != 0 || !c.MaxPathLenZero:
		t.Error("its path length is not zero")
	case !c.PermittedDNSDomainsCritical || len(c.PermittedDNSDomains) != 2 || len(c.ExcludedIPRanges) != 2 || len(c.PermittedURIDomains) != 2 || len(c.PermittedEmailAddresses) != 2:
		t.Error("its name constraints are not those")
	case c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign:
		t.Error("its key has other usages")
	case !c.NotAfter.Equal(begin.Add(DefaultAuthorityLife)):
		t.Error("it ends at another time")
	}
	b.st.Close()
	b.start()
	if !b.i.Certificate().Equal(c) {
		t.Error("it is another one after a start")
	}
}

// TestAuthorityRenewed gives the authority a new certificate, once half of its
// time is over and when its domains change: what was issued before and after
// verifies by either.
func TestAuthorityRenewed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*broker){
		"half is over":  func(b *broker) { b.now = begin.Add(DefaultAuthorityLife / 2) },
		"more domains":  func(b *broker) { b.o.Domains = append([]string{"more.example"}, b.o.Domains...) },
		"fewer domains": func(b *broker) { b.o.Domains = b.o.Domains[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBroker(t)
			old := b.i
			change(b)
			p := newProgram(t, elliptic.P256(), nameA)
			certs := []*x509.Certificate{b.mustIssue(p)} // by the one that still runs
			b.st.Close()
			b.start()
			if b.i.Certificate().Equal(old.Certificate()) {
				t.Fatal("it has the same certificate")
			}
			certs = append(certs, b.mustIssue(p))
			for _, authority := range []*Issuer{old, b.i} {
				b.i = authority
				for _, cert := range certs {
					if err := b.verify(cert, nameA, x509.ExtKeyUsageServerAuth); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

func TestIssue(t *testing.T) {
	t.Parallel()
	b := newBroker(t, func(o *Options) { o.CRLURL = "https://broker.cloister.internal/v1/crl" })
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		p := newProgram(t, curve, nameA, nameB)
		p.Life = 10 * time.Minute
		cert := b.mustIssue(p)
		for _, name := range []string{nameA, nameB} {
			for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				if err := b.verify(cert, name, usage); err != nil {
					t.Error(err)
				}
			}
		}
		if b.verify(cert, nameA, x509.ExtKeyUsageCodeSigning) == nil {
			t.Error("it signs code")
		}
		if !cert.NotBefore.Equal(begin.Add(-Backdate)) || !cert.NotAfter.Equal(begin.Add(10*time.Minute)) {
			t.Errorf("it is valid from %s to %s", cert.NotBefore, cert.NotAfter)
		}
		if cert.IsCA || cert.KeyUsage != x509.KeyUsageDigitalSignature || cert.Subject.String() != "" || len(cert.CRLDistributionPoints) != 1 {
			t.Errorf("it is another certificate: %+v", cert.Subject)
		}
		for _, e := range cert.Extensions {
			if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) && !e.Critical {
				t.Error("its names are not critical")
			}
		}
		if cert.SerialNumber.BitLen() > 159 || cert.SerialNumber.Sign() <= 0 {
			t.Errorf("serial number %x", cert.SerialNumber)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	other := newProgram(t, elliptic.P256(), nameA)
	custom := func(template x509.CertificateRequest) func(*program) {
		return func(p *program) {
			template.DNSNames = []string{nameA}
			der, err := x509.CreateCertificateRequest(rand.Reader, &template, p.key)
			if err != nil {
				t.Fatal(err)
			}
			p.CSR = der
		}
	}
	signedBy := func(key crypto.Signer) func(*program) {
		return func(p *program) {
			der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{nameA}}, key)
			if err != nil {
				t.Fatal(err)
			}
			p.CSR, p.Key = der, spki(t, key.Public())
		}
	}
	named := func(names ...string) func(*program) {
		return func(p *program) {
			der, err := CertificateRequest(p.key, names)
			if err != nil {
				t.Fatal(err)
			}
			p.CSR, p.Allowed = der, append(p.Allowed, names...)
		}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, maxNames+1)
	for i := range many {
		many[i] = strings.Repeat("a", i+1) + ".workers.cloister.internal"
	}
	for name, c := range map[string]struct {
		change func(*program)
		want   string
	}{
		"name that the policy does not allow": {func(p *program) { p.Allowed = []string{nameB} }, "the policy does not allow"},
		"no names allowed":                    {func(p *program) { p.Allowed = nil }, "the policy does not allow"},
		"outside of the constraint":           {named("worker-0.cloister.internal"), "outside of what the authority may certify"},
		"another domain with that end":        {named("evilworkers.cloister.internal"), "outside of what the authority may certify"},
		"wildcard":                            {named("*.workers.cloister.internal"), "no DNS name"},
		"upper case":                          {named("A.workers.cloister.internal"), "no DNS name"},
		"empty label":                         {named("a..workers.cloister.internal"), "no DNS name"},
		"end dot":                             {named(nameA + "."), "no DNS name"},
		"address as a name":                   {named("10.0.0.1"), "no DNS name"},
		"name twice":                          {named(nameA, nameA), "appears twice"},
		"no names":                            {named(), "0 names"},
		"too many names":                      {named(many...), "33 names"},
		"address":                             {custom(x509.CertificateRequest{IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}}), "only DNS names"},
		"URI":                                 {custom(x509.CertificateRequest{URIs: []*url.URL{{Scheme: "spiffe", Host: "a"}}}), "only DNS names"},
		"mail address":                        {custom(x509.CertificateRequest{EmailAddresses: []string{"a@b.c"}}), "only DNS names"},
		"subject":                             {custom(x509.CertificateRequest{Subject: pkix.Name{CommonName: "b"}}), "has a subject"},
		"wants to be an authority": {custom(x509.CertificateRequest{ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 3, 1, 1, 0xff}},
		}}), "extension 2.5.29.19"},
		"RSA":                       {signedBy(rsaKey), "ECDSA on P-256 or P-384"},
		"Ed25519":                   {signedBy(edKey), "ECDSA on P-256 or P-384"},
		"P-521":                     {signedBy(p521), "ECDSA on P-256 or P-384"},
		"another key than attested": {func(p *program) { p.Key = other.Key }, "another key than the evidence binds"},
		"another's request":         {func(p *program) { p.CSR = other.CSR }, "another key than the evidence binds"},
		"no attested key":           {func(p *program) { p.Key = nil }, "another key than the evidence binds"},
		"bad signature":             {func(p *program) { p.CSR = bytes.Clone(p.CSR); p.CSR[len(p.CSR)-1] ^= 1 }, "not signed by its key"},
		"cut":                       {func(p *program) { p.CSR = p.CSR[:len(p.CSR)-1] }, "certificate refused"},
		"padded":                    {func(p *program) { p.CSR = append(bytes.Clone(p.CSR), 0) }, "certificate refused"},
		"nothing":                   {func(p *program) { p.CSR = nil }, "certificate refused"},
		"too long":                  {func(p *program) { p.CSR = make([]byte, maxCSR+1) }, "of at most"},
		"too long a life":           {func(p *program) { p.Life = DefaultLife + 1 }, "a life of"},
		"negative life":             {func(p *program) { p.Life = -time.Hour }, "a life of"},
		"too short a life":          {func(p *program) { p.Life = time.Second }, "a life of"},
		"no workload":               {func(p *program) { p.Workload = "" }, "no workload or policy"},
		"no policy":                 {func(p *program) { p.Policy = [32]byte{} }, "no workload or policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, elliptic.P256(), nameA)
			c.change(p)
			_, err := b.issue(p.Request)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	now := b.o.Now
	for name, o := range map[string]Options{
		"no domains":         {Now: now},
		"domain":             {Now: now, Domains: []string{"*.a"}},
		"empty domain":       {Now: now, Domains: []string{""}},
		"all domains":        {Now: now, Domains: []string{"."}},
		"no clock":           {Domains: b.o.Domains},
		"long life":          {Now: now, Domains: b.o.Domains, Life: LongestLife + 1},
		"negative life":      {Now: now, Domains: b.o.Domains, Life: -1},
		"long authority":     {Now: now, Domains: b.o.Domains, AuthorityLife: LongestAuthorityLife + 1},
		"list lives longer":  {Now: now, Domains: b.o.Domains, Life: time.Hour, CRLLife: 2 * time.Hour},
		"broken randomness":  {Now: now, Domains: b.o.Domains, Random: iotest.ErrReader(io.ErrUnexpectedEOF)},
		"list lives nothing": {Now: now, Domains: b.o.Domains, CRLLife: time.Second},
	} {
		fresh := &broker{t: t, dir: t.TempDir(), now: begin, o: b.o}
		fresh.start()
		err := fresh.st.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.Delete(bucketAuthority, keyAuthority); err != nil {
				return err
			}
			_, err := Open(tx, fresh.v, o)
			return err
		})
		if err == nil {
			t.Errorf("%s: an authority is made", name)
		}
	}
}

// TestTime issues at the borders of the authority's time.
func TestTime(t *testing.T) {
	t.Parallel()
	b := newBroker(t, func(o *Options) { o.AuthorityLife = 3 * time.Hour })
	p := newProgram(t, elliptic.P256(), nameA)
	b.now = begin.Add(150 * time.Minute)
	cert := b.mustIssue(p)
	if !cert.NotAfter.Equal(begin.Add(3 * time.Hour)) {
		t.Errorf("it outlives its authority: %s", cert.NotAfter)
	}
	for _, now := range []time.Time{begin.Add(3 * time.Hour), begin.Add(time.Hour * 1000), begin.Add(-3 * time.Minute)} {
		b.now = now
		if _, err := b.issue(p.Request); err == nil || !strings.Contains(err.Error(), "the authority is valid from") {
			t.Errorf("at %s: %v", now, err)
		}
	}
	if err := b.verify(cert, nameA, x509.ExtKeyUsageClientAuth); err == nil {
		t.Error("it verifies before its time")
	}
}

// TestRecordsChanged changes what the store holds.
func TestRecordsChanged(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	other := newBroker(t)
	var foreign []byte
	other.do(func(tx *store.Tx) error {
		value, _ := tx.Get(bucketAuthority, keyAuthority)
		foreign = bytes.Clone(value)
		return nil
	})
	for name, value := range map[string][]byte{
		"another's certificate": foreign, "no JSON": []byte("x"), "unknown field": []byte(`{"format":1,"x":1}`), "unknown format": []byte(`{"format":2}`),
		"no certificate": []byte(`{"format":1,"certificate":"AAAA"}`),
	} {
		err := b.st.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.Put(bucketAuthority, keyAuthority, value); err != nil {
				return err
			}
			_, err := Open(tx, b.v, b.o)
			return err
		})
		if !errors.Is(err, ErrTampered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.do(func(tx *store.Tx) error { return b.v.SetOwn(tx, ownKey, secret.New(32)) })
	err := b.st.View(func(tx *store.Tx) error { _, err := Open(tx, b.v, b.o); return err })
	if !errors.Is(err, ErrTampered) {
		t.Errorf("another key: %v", err)
	}
}

func FuzzCSR(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	csr, err := CertificateRequest(key, []string{nameA})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(csr)
	f.Add(csr[:40])
	i := &Issuer{cert: &x509.Certificate{PermittedDNSDomains: []string{"workers.cloister.internal"}}}
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := parseCSR(der)
		if err != nil {
			return
		}
		names, err := i.names(csr, csr.DNSNames)
		if err != nil {
			return
		}
		for _, name := range names {
			if !strings.HasSuffix("."+name, ".workers.cloister.internal") {
				t.Fatalf("%q is certified", name)
			}
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	broker := newBroker(b)
	p := newProgram(b, elliptic.P256(), nameA)
	for b.Loop() {
		broker.mustIssue(p)
	}
}
