package brokertest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"cloister/trust/approval"
	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
)

// Broker is the id of the brokers.
const Broker = "test"

// Owner owns data and signs with one key.
type Owner struct {
	Name policy.Name

	key    *approval.PrivateKey
	number uint64 // of the last order
}

func newOwner(name policy.Name) *Owner {
	_, private := newKey()
	der := must(x509.MarshalPKCS8PrivateKey(private))
	return &Owner{Name: name, key: must(approval.ParsePrivateKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil))}
}

func newKey() (ed25519.PublicKey, ed25519.PrivateKey) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(0, err)
	return public, private
}

// Sign signs a message for a purpose.
func (o *Owner) Sign(purpose approval.Purpose, message []byte) string {
	return string(must(must(o.key.Sign(rand.Reader, purpose, message)).MarshalText()))
}

// World is who a broker has to do with.
type World struct {
	Setup     Setup
	Owners    []*Owner // a and b
	Admin     tls.Certificate
	Witnesses []*Witness

	admin   broker.Digest
	machine *attesttest.Machine
}

// New makes a world for a broker in a directory, with so many witnesses. With
// none the policy says insecure-no-witness.
func New(dir string, witnesses int) (*World, error) {
	w := &World{Owners: []*Owner{newOwner("a"), newOwner("b")}}
	w.Setup = Setup{Dir: dir, Now: time.Now().UTC().Truncate(time.Second), Witnesses: map[string]string{}}
	w.machine = w.Setup.machine()
	w.Admin, w.admin = selfSigned()
	for i := range witnesses {
		one, err := newWitness(fmt.Sprintf("witness-%d", i))
		if err != nil {
			return nil, err
		}
		w.Witnesses = append(w.Witnesses, one)
		w.Setup.Witnesses[one.Name] = one.URL
	}
	w.Setup.Policy = w.Policy(1, "", "")
	return w, nil
}

// Close ends the witnesses.
func (w *World) Close() {
	for _, one := range w.Witnesses {
		one.close()
	}
}

// selfSigned is a certificate of a key, which says nothing else, and the hash of
// the key.
func selfSigned() (tls.Certificate, broker.Digest) {
	_, key := newKey()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	leaf := must(x509.ParseCertificate(der))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
}

// Job is a job by its name.
func Job(name string) broker.Digest { return sha256.Sum256([]byte("job " + name)) }

// Measurement is the MRENCLAVE of the program of a name.
func Measurement(name string) [32]byte { return sha256.Sum256([]byte("program " + name)) }

// The program that gets keys, and what it is for.
const (
	Trainer = "trainer"
	DataSet = "wards"
)

// Policy is a version of the policy. The trainer gets all versions of both
// owners' wards for the job "fixed", and for every job that both approved; more
// are lines at the end.
func (w *World) Policy(version uint64, previous, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "format: cloister-policy/1\nbroker: %s\nversion: %d\n", Broker, version)
	if previous != "" {
		fmt.Fprintf(&b, "previous: %s\n", previous)
	}
	b.WriteString("approvals: 2\n")
	if len(w.Witnesses) == 0 {
		b.WriteString("insecure-no-witness: true\n")
	} else {
		fmt.Fprintf(&b, "witnesses:\n  quorum: %d\n  keys:\n", len(w.Witnesses)/2+1)
		for _, one := range w.Witnesses {
			fmt.Fprintf(&b, "    %s: {owner: a, key: %q}\n", one.Name, one.Key)
		}
	}
	fmt.Fprintf(&b, `owners:
  a: {keys: [%q]}
  b: {keys: [%q]}
platforms:
  sgx: {roots: ["sha256:%x"]}
workloads:
  trainer:
    platform: sgx
    sgx: {mrenclaves: ["%x"], xfrm: 0xe7}
    any-machine: true
    jobs: ["sha256:%s"]
    keys: {a/%s: [1+], b/%s: [1+]}
    terms: [no-export]
  approved:
    platform: sgx
    sgx: {mrenclaves: ["%x"], xfrm: 0xe7}
    any-machine: true
    owner-approved-jobs: true
    keys: {a/%s: [1+], b/%s: [1+]}
    terms: [no-export]
administrators:
  root: {client: "sha256:%s"}
%s`, w.Owners[0].key.Public(), w.Owners[1].key.Public(), sha256.Sum256(w.machine.Authority.Root.Cert.RawSubjectPublicKeyInfo),
		Measurement(Trainer), Job("fixed"), DataSet, DataSet, Measurement("approved"), DataSet, DataSet, w.admin, more)
	return b.String()
}

// Enclave is a program that shows quotes of SGX.
type Enclave struct {
	machine  *attesttest.Machine
	measured [32]byte
}

// Enclave returns the program of a name.
func (w *World) Enclave(name string) *Enclave { return &Enclave{w.machine, Measurement(name)} }

// Platform implements attest.Producer.
func (*Enclave) Platform() attest.Platform { return attest.SGX }

// Produce implements attest.Producer: a quote of version 3, without collateral.
func (e *Enclave) Produce(_ context.Context, d attest.ReportData) (*attest.Evidence, error) {
	quote := e.machine.SGXQuote(3, d, func(q *attesttest.QuoteSpec) { q.SGX.MREnclave = e.measured })
	return &attest.Evidence{Platform: attest.SGX, Quote: quote}, nil
}

// Machine is what the enclaves run on.
func (w *World) Machine() *attesttest.Machine { return w.machine }

func must[T any](v T, err error) T {
	if err != nil {
		panic("brokertest: " + err.Error())
	}
	return v
}
