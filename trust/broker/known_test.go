package broker

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
)

// meet attests the fixture's broker.
func (f *fixture) meet() (*Known, *Seen) {
	f.t.Helper()
	m, err := Meet(f.t.Context(), ClientOptions{Address: f.addr}, insecure.NewVerifier().Verify)
	if err != nil {
		f.t.Fatal(err)
	}
	k := m.Known(f.addr, "", time.Now())
	return k, &Seen{Format: SeenFormat, Broker: k.Broker, FirstPolicy: k.FirstPolicy}
}

// TestMeet attests a broker that is not known, and refuses one that is another.
func TestMeet(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	k, _ := f.meet()
	if *k.Pin() != f.pin || k.Platform != attest.InsecureNone || k.Log != f.broker.Info().Log {
		t.Errorf("%+v", k)
	}
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseKnown(text)
	if err != nil || *again.Pin() != f.pin {
		t.Fatalf("%+v, %v", again, err)
	}
	for name, change := range map[string]func(*Pin){
		"another broker":       func(p *Pin) { p.Broker = "another" },
		"another first policy": func(p *Pin) { p.FirstPolicy[0] ^= 1 },
		"another TLS key":      func(p *Pin) { p.TLSKey[0] ^= 1 },
	} {
		p := f.pin
		change(&p)
		if _, err := Meet(t.Context(), ClientOptions{Address: f.addr, Pin: p, Attempts: 1}, insecure.NewVerifier().Verify); !errors.Is(err, ErrWrongBroker) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Somebody in between, with a TLS key of their own, cannot use the evidence.
	seen := &meetingTLS{}
	if err := seen.check(f.pin.TLSKey); !errors.Is(err, ErrWrongBroker) {
		t.Errorf("no connection: %v", err)
	}
	seen.want[5] = 1
	if err := seen.check(f.pin.TLSKey); err == nil || !strings.Contains(err.Error(), "in between") {
		t.Errorf("another connection: %v", err)
	}
	if err := seen.verify(tls.ConnectionState{}); !errors.Is(err, ErrWrongBroker) {
		t.Errorf("no certificate: %v", err)
	}
}

func TestParseKnown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	k, _ := f.meet()
	for name, c := range map[string]struct {
		change func(*Known)
		want   string
	}{
		"format":  {func(k *Known) { k.Format = "cloister-known-broker/2" }, "format"},
		"pin":     {func(k *Known) { k.TLSKey = Digest{} }, "all three"},
		"log":     {func(k *Known) { k.Log = "x" }, "log's key"},
		"no key":  {func(k *Known) { k.HPKE = nil }, "hpke_public_key"},
		"no name": {func(k *Known) { k.Broker = "" }, "all three"},
	} {
		other := *k
		c.change(&other)
		text, err := json.Marshal(&other)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseKnown(text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "{}", "null", `{"format":"cloister-known-broker/1","format":"x"}`} {
		if _, err := ParseKnown([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
		if _, err := ParseSeen([]byte(text)); err == nil {
			t.Errorf("%q is taken for a checkpoint", text)
		}
	}
}

// TestLook: a client notices a log that does not go on from what it saw.
func TestLook(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	k, seen := f.meet()
	if _, err := f.client().Look(t.Context(), k, seen); err != nil || seen.Checkpoint == "" {
		t.Fatal(err)
	}
	early := *seen
	text, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseSeen(text); err != nil || *again != early {
		t.Fatalf("%+v, %v", again, err)
	}
	f.dataSet(f.a, "wards")
	last, err := f.client().Look(t.Context(), k, seen)
	if err != nil || last.Size <= mustLast(t, &early).Size {
		t.Fatalf("%+v, %v", last, err)
	}
	for name, c := range map[string]struct {
		change func(*audit.Checkpoint)
		want   string
	}{
		"an older copy":   {func(c *audit.Checkpoint) { c.Size += 7 }, "replaced by an older copy"},
		"another history": {func(c *audit.Checkpoint) { c.Size--; c.Root[0] ^= 1 }, "another history"},
		"other entries":   {func(c *audit.Checkpoint) { c.Root[0] ^= 1 }, "not the same"},
	} {
		other := *last
		c.change(&other)
		s := &Seen{Format: SeenFormat, Broker: k.Broker, FirstPolicy: k.FirstPolicy, Checkpoint: other.Text()}
		before := *s
		if _, err := f.client().Look(t.Context(), k, s); !errors.Is(err, audit.ErrTampered) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if *s != before {
			t.Errorf("%s: it is forgotten", name)
		}
	}
	theirs := *seen
	theirs.FirstPolicy[0] ^= 1
	if _, err := f.client().Look(t.Context(), k, &theirs); !errors.Is(err, ErrWrongBroker) {
		t.Errorf("of another broker: %v", err)
	}
	if insecure, err := CheckWitnessed(k.Log, seen.Checkpoint, f.parse(f.text)); err != nil || insecure != audit.InsecureNoWitness {
		t.Errorf("%q, %v", insecure, err)
	}
}

func mustLast(t *testing.T, s *Seen) *audit.Checkpoint {
	t.Helper()
	c, err := s.Last()
	if err != nil || c == nil {
		t.Fatal(err)
	}
	return c
}

// TestPending: what waits is told, with what it lacks.
func TestPending(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	all, err := f.client().Pending(t.Context())
	if err != nil || len(all) != 0 {
		t.Fatalf("%+v, %v", all, err)
	}
	next := strings.Replace(f.policyText(2, f.parse(f.text).Hash().String()), "      b/wards: [1+]\n", "", 1)
	f.approve(next, f.a)
	all, err = f.client().Pending(t.Context())
	if err != nil || len(all) != 1 || all[0].Text != next || len(all[0].Approved) != 1 || len(all[0].Missing) == 0 || !all[0].Until.IsZero() {
		t.Fatalf("%+v, %v", all, err)
	}
	change, err := policy.Compare(f.parse(f.text), f.parse(next))
	if err != nil || all[0].Statement != string(change.Statement()) {
		t.Errorf("it shows another statement: %v", err)
	}
}

// TestUnseal: a person of the policy gets a key, by certificate, and nobody else.
func TestUnseal(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, hash := selfSigned(t, private)
	f := newFixture(t, setting{prepare: func(f *fixture) {
		f.extra = "unseal:\n  carol: {client: \"sha256:" + hash.String() + "\", keys: {a/wards: [1]}}\n"
	}})
	f.dataSet(f.a, "wards", "no-export")
	f.dataSet(f.a, "wards", "no-export")
	f.dataSet(f.b, "wards", "no-export")
	as := func(certificates ...tls.Certificate) *Client {
		c, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Attempts: 1, Certificates: certificates})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return f.watched(c)
	}
	got, answer, err := as(certificate).Unseal(t.Context(), "a", "wards", 1)
	if err != nil || answer.Person != "carol" || got.Version != 1 {
		t.Fatalf("%+v, %v", answer, err)
	}
	r, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	if err != nil || !r.Items[0].Key.Equal(got.Key) {
		t.Errorf("another key than a program gets: %v", err)
	}
	_, _, err = as(certificate).Unseal(t.Context(), "a", "wards", 2)
	refusedFor(t, err, CodePolicy, "version 2 must be granted")
	_, _, err = as(certificate).Unseal(t.Context(), "b", "wards", 1)
	refusedFor(t, err, CodePolicy, "must be granted")
	_, _, err = as(certificate).Unseal(t.Context(), "a", "../b/wards", 1)
	refusedFor(t, err, CodeMalformed, "name")
	_, _, err = as().Unseal(t.Context(), "a", "wards", 1)
	refusedFor(t, err, CodeForbidden, "client certificate")
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	theirs, _ := selfSigned(t, stranger)
	_, _, err = as(theirs).Unseal(t.Context(), "a", "wards", 1)
	refusedFor(t, err, CodePolicy, "must be in an entry of unseal")
	if err := f.freeze(f.a, f.a, false); err != nil {
		t.Fatal(err)
	}
	_, _, err = as(certificate).Unseal(t.Context(), "a", "wards", 1)
	refusedFor(t, err, CodeFrozen, "a has frozen")
	if !f.logged("unseal", audit.Granted, "unseal carol") || !f.logged("unseal", audit.Refused, "must be in an entry") {
		t.Error("the log does not have it")
	}
}

// TestOrderOfAnotherBroker: an order is for one broker, known by its first policy.
func TestOrderOfAnotherBroker(t *testing.T) {
	t.Parallel()
	f, g := newFixture(t, setting{}), newFixture(t, setting{})
	o := Order{Owner: "a", Number: 1, Operation: NewKey, DataSet: "wards", Version: 1, Use: vault.Data}
	signed := f.a.sign(t, ForOrder, o.Statement("test", g.pin.FirstPolicy))
	_, err := f.client().Order(t.Context(), &OrderRequest{Order: o, Signatures: []string{signed}})
	refusedFor(t, err, CodeForbidden, "did not sign")
	_, err = g.client().Order(t.Context(), &OrderRequest{Order: o, Signatures: []string{f.a.sign(t, ForOrder, o.Statement("test", f.pin.FirstPolicy))}})
	refusedFor(t, err, CodeForbidden, "did not sign")
}

func FuzzKnown(f *testing.F) {
	f.Add([]byte(`{"format":"cloister-known-broker/1","broker":"b","address":"a:1","tls_key":"00","log":"x"}`))
	f.Add([]byte(`{"format":"cloister-seen-log/1","broker":"b","checkpoint":"o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := ParseKnown(text); err == nil && k.Pin().check() != nil {
			t.Errorf("%q is taken for a broker", text)
		}
		if s, err := ParseSeen(text); err == nil {
			if _, err := s.Last(); err != nil {
				t.Errorf("%q is taken for a checkpoint", text)
			}
		}
	})
}
