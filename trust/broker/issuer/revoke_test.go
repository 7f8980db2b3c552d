package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"cloister/trust/broker/store"
)

// TestRenew: who goes on asks again, with fresh evidence, and what was issued
// before stays good until it expires.
func TestRenew(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := newProgram(t, elliptic.P256(), nameA)
	first := b.mustIssue(p)
	b.now = begin.Add(30 * time.Minute)
	second := b.mustIssue(p)
	if second.SerialNumber.Cmp(first.SerialNumber) == 0 || !second.NotAfter.Equal(begin.Add(90*time.Minute)) {
		t.Errorf("it was not renewed: %x until %s", second.SerialNumber, second.NotAfter)
	}
	if list := b.crl(); len(list.RevokedCertificateEntries) != 0 {
		t.Errorf("revoked are %v", list.RevokedCertificateEntries)
	}
}

func (b *broker) revoke(match func(*Issued) bool) (revoked []*Issued) {
	b.t.Helper()
	b.do(func(tx *store.Tx) (err error) {
		revoked, err = b.i.Revoke(tx, ReasonPrivilegeWithdrawn, match)
		return err
	})
	return revoked
}

func (b *broker) crl() *x509.RevocationList {
	b.t.Helper()
	var der []byte
	b.do(func(tx *store.Tx) (err error) { der, err = b.i.CRL(tx); return err })
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := list.CheckSignatureFrom(b.i.Certificate()); err != nil {
		b.t.Error(err)
	}
	if b.now.Before(list.ThisUpdate) || b.now.After(list.NextUpdate) {
		b.t.Errorf("the list is good from %s to %s, now is %s", list.ThisUpdate, list.NextUpdate, b.now)
	}
	return list
}

// TestExpiredAreForgotten renews for weeks under one policy: what is kept does not
// grow for ever.
func TestExpiredAreForgotten(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	p := newProgram(t, elliptic.P256(), nameA)
	const hours = 400
	revoked := 0
	for hour := range hours {
		b.now = begin.Add(time.Duration(hour) * time.Hour)
		cert := b.mustIssue(p)
		if hour < 10 {
			revoked += len(b.revoke(func(r *Issued) bool { return r.Serial == serialKey(cert.SerialNumber) }))
		}
	}
	for range 40 { // all at one moment, so that nothing else expires
		b.mustIssue(p)
	}
	b.do(func(tx *store.Tx) error {
		if n := tx.Len(bucketIssued); n < 40+25 || n > 40+25+40 {
			t.Errorf("%d records are left of %d", n, hours+40)
		}
		if n := tx.Len(bucketRevoked); n > 5 || revoked != 10 {
			t.Errorf("%d of %d revocations are left", n, revoked)
		}
		return nil
	})
}

// TestRevoke changes the policy, and follows the list until what was revoked is
// long past.
func TestRevoke(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	kept := newProgram(t, elliptic.P256(), nameA)
	gone := newProgram(t, elliptic.P256(), nameB)
	gone.Workload = "predictor"
	keptCert, goneCert := b.mustIssue(kept), b.mustIssue(gone)
	if list := b.crl(); len(list.RevokedCertificateEntries) != 0 || list.Number.Int64() != 1 {
		t.Errorf("list %d has %d entries", list.Number, len(list.RevokedCertificateEntries))
	}
	if list := b.crl(); list.Number.Int64() != 1 {
		t.Error("the list is made anew for nothing")
	}
	if got := b.revoke(func(r *Issued) bool { return r.Workload == "predictor" }); len(got) != 1 || got[0].Names[0] != nameB {
		t.Errorf("revoked %v", got)
	}
	if got := b.revoke(func(r *Issued) bool { return r.Workload == "predictor" }); got != nil {
		t.Errorf("revoked again: %v", got)
	}
	list := b.crl()
	if n := len(list.RevokedCertificateEntries); n != 1 || list.Number.Int64() != 2 {
		t.Fatalf("list %d has %d entries", list.Number, n)
	}
	e := list.RevokedCertificateEntries[0]
	if e.SerialNumber.Cmp(goneCert.SerialNumber) != 0 || e.SerialNumber.Cmp(keptCert.SerialNumber) == 0 || e.ReasonCode != ReasonPrivilegeWithdrawn {
		t.Errorf("the list has %x for reason %d", e.SerialNumber, e.ReasonCode)
	}
	b.now = begin.Add(40 * time.Minute) // more than half of its time
	if list := b.crl(); list.Number.Int64() != 3 || len(list.RevokedCertificateEntries) != 1 {
		t.Errorf("list %d has %d entries", list.Number, len(list.RevokedCertificateEntries))
	}
	b.now = begin.Add(3 * time.Hour)
	if list := b.crl(); len(list.RevokedCertificateEntries) != 0 {
		t.Error("what expired long ago is still in the list")
	}
	b.now = begin.Add(LongestLife + 2*time.Hour)
	b.revoke(func(*Issued) bool { return true })
	b.do(func(tx *store.Tx) error {
		if n := tx.Len(bucketIssued) + tx.Len(bucketRevoked); n != 0 {
			t.Errorf("%d records are left for ever", n)
		}
		return nil
	})
	err := b.st.Update(t.Context(), func(tx *store.Tx) error {
		_, err := b.i.Revoke(tx, 7, func(*Issued) bool { return true })
		return err
	})
	if err == nil {
		t.Error("a reason that is none")
	}
}

// TestWorkersTalk connects two workers by TLS 1.3, each of which attested, and
// refuses one with a certificate of another authority.
func TestWorkersTalk(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	foreign := newBroker(t)
	worker := func(from *broker, name string) tls.Certificate {
		p := newProgram(t, elliptic.P256(), name)
		cert := from.mustIssue(p)
		return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: p.key}
	}
	server := &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{worker(b, nameA)},
		ClientCAs: b.roots(), ClientAuth: tls.RequireAndVerifyClientCert, Time: b.o.Now,
	}
	for name, c := range map[string]struct {
		cert tls.Certificate
		to   string
		ok   bool
	}{
		"worker":           {worker(b, nameB), nameA, true},
		"foreign worker":   {worker(foreign, nameB), nameA, false},
		"no certificate":   {tls.Certificate{}, nameA, false},
		"other name asked": {worker(b, nameB), nameB, false},
	} {
		one, two := net.Pipe()
		client := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: b.roots(), ServerName: c.to, Time: b.o.Now}
		if c.cert.Certificate != nil {
			client.Certificates = []tls.Certificate{c.cert}
		}
		served := make(chan error, 1)
		go func() {
			s := tls.Server(two, server)
			err := s.HandshakeContext(t.Context())
			served <- err
			two.Close()
		}()
		err := tls.Client(one, client).HandshakeContext(t.Context())
		go io.Copy(io.Discard, one)
		if serverErr := <-served; (err == nil && serverErr == nil) != c.ok {
			t.Errorf("%s: client %v, server %v", name, err, serverErr)
		}
		one.Close()
	}
}

// TestStolenAuthorityKey signs with the authority's key what the authority never
// would, and asks verifiers.
func TestStolenAuthorityKey(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(change func(*x509.Certificate)) *x509.Certificate {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(5), NotBefore: begin.Add(-time.Hour), NotAfter: begin.Add(time.Hour),
			BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		change(template)
		der, err := x509.CreateCertificate(rand.Reader, template, b.i.cert, key.Public(), b.i.key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	for name, change := range map[string]func(*x509.Certificate){
		"outside":      func(c *x509.Certificate) { c.DNSNames = []string{"bank.example"} },
		"address":      func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} },
		"IPv6 address": func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv6loopback} },
		"URI":          func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "bank.example"}} },
		"mail address": func(c *x509.Certificate) { c.EmailAddresses = []string{"a@bank.example"} },
	} {
		if b.verify(leaf(change), "", x509.ExtKeyUsageServerAuth) == nil {
			t.Errorf("%s: verifies", name)
		}
	}
	if err := b.verify(leaf(func(c *x509.Certificate) { c.DNSNames = []string{nameA} }), nameA, x509.ExtKeyUsageServerAuth); err != nil {
		t.Errorf("the test's own certificate does not verify: %v", err)
	}
	// An authority below it is one too many.
	below := leaf(func(c *x509.Certificate) { c.IsCA = true; c.DNSNames = []string{nameA} })
	template := &x509.Certificate{SerialNumber: big.NewInt(6), NotBefore: begin.Add(-time.Hour), NotAfter: begin.Add(time.Hour), DNSNames: []string{nameA}}
	der, err := x509.CreateCertificate(rand.Reader, template, below, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	between.AddCert(below)
	_, err = cert.Verify(x509.VerifyOptions{Roots: b.roots(), Intermediates: between, CurrentTime: begin, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err == nil {
		t.Error("an authority below it is believed")
	}
}
