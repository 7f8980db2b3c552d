package ratls_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/ratls"
	"cloister/trust/attest/sgx"
)

// enclave is a machine that makes quotes.
type enclave struct {
	*attesttest.Authority
	machine  *attesttest.Machine
	platform attest.Platform
}

func newEnclave() *enclave {
	a := attesttest.New(attesttest.Config{})
	return &enclave{a, a.Machine(), attest.SGX}
}

func (e *enclave) Platform() attest.Platform { return e.platform }

func (e *enclave) Produce(_ context.Context, d attest.ReportData) (*attest.Evidence, error) {
	quote := e.machine.SGXQuote(3, d)
	if e.platform == attest.TDX {
		quote = e.machine.TDXQuote(4, d)
	}
	return &attest.Evidence{Platform: e.platform, Quote: quote}, nil
}

// collateral is the source of the machine's collateral, which no certificate
// carries.
type collateral map[attest.Platform]*sgx.Collateral

func (c collateral) Collateral(_ context.Context, r *sgx.Request) (*sgx.Collateral, error) {
	return c[r.TEE], nil
}

func (e *enclave) verifier() *ratls.Verifier {
	o := sgx.Options{Now: e.Clock, Roots: e.Roots(), Collateral: collateral{
		attest.SGX: e.machine.Collateral(attest.SGX), attest.TDX: e.machine.Collateral(attest.TDX),
	}}
	return ratls.NewVerifier(e.Clock, sgx.NewVerifier(o), sgx.NewTDXVerifier(o))
}

func (e *enclave) make(tb testing.TB, forms ...ratls.Form) *tls.Certificate {
	tb.Helper()
	c, err := ratls.Make(context.Background(), e, ratls.MakeOptions{Forms: forms, Now: e.Clock})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestForms(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		forms []ratls.Form
		want  ratls.Form
	}{
		"by default": {nil, ratls.DICE},
		"dice":       {[]ratls.Form{ratls.DICE}, ratls.DICE},
		"legacy":     {[]ratls.Form{ratls.Legacy}, ratls.Legacy},
		"both":       {[]ratls.Form{ratls.Legacy, ratls.DICE}, ratls.DICE},
	} {
		for _, platform := range []attest.Platform{attest.SGX, attest.TDX} {
			e := newEnclave()
			e.platform = platform
			der := e.make(t, test.forms...).Certificate[0]
			c, err := ratls.Parse(der)
			if err != nil || c.Form != test.want || c.Evidence.Platform != platform {
				t.Errorf("%s, %s: %v", name, platform, err)
				continue
			}
			got, err := e.verifier().Verify(context.Background(), der)
			if err != nil || len(got.Failed()) > 0 || got.Claims.Platform != platform {
				t.Errorf("%s, %s: %v", name, platform, err)
			}
		}
	}
}

// TestGramineBytes compares what is made with the bytes that Gramine 1.9 writes.
func TestGramineBytes(t *testing.T) {
	t.Parallel()
	e := newEnclave()
	leaf := e.make(t, ratls.DICE, ratls.Legacy).Leaf
	spki := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	claims := "a16b7075626b65792d686173685824" + "82015820" + hex.EncodeToString(spki[:])
	if n := len(claims) / 2; n != 51 {
		t.Fatalf("the claims have %d bytes", n)
	}
	values := map[string][]byte{}
	for _, x := range leaf.Extensions {
		values[x.Id.String()] = x.Value
	}
	dice := values["2.23.133.5.4.9"]
	if !bytes.HasPrefix(dice, []byte("\xd9\xea\x60\x82\x59")) || !strings.HasSuffix(hex.EncodeToString(dice), "5833"+claims) {
		t.Errorf("tagged evidence is %x … %x", dice[:8], dice[len(dice)-60:])
	}
	raw, err := hex.DecodeString(claims)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		quote []byte
		hash  [32]byte
	}{
		"dice":   {dice[7 : len(dice)-53], sha256.Sum256(raw)},
		"legacy": {values["0.6.9.42.840.113741.1337.6"], spki},
	} {
		q, err := sgx.ParseQuote(test.quote)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := append(test.hash[:], make([]byte, 32)...); !bytes.Equal(q.SGX.ReportData[:], want) {
			t.Errorf("%s: report data are %x, want %x", name, q.SGX.ReportData, want)
		}
	}
	if !bytes.Contains(leaf.Raw, []byte("\x06\x0b\x06\x09\x2a\x86\x48\x86\xf8\x4d\x8a\x39\x06")) {
		t.Error("the legacy identifier has other bytes")
	}
}

// template is a certificate of one's own, for what Make does not make.
type template struct {
	key        *ecdsa.PrivateKey
	extensions []pkix.Extension
	x          x509.Certificate
	signer     *ecdsa.PrivateKey // nil: key
}

func (e *enclave) forge(t *testing.T, edit func(*template)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &template{key: key, x: x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "RATLS"},
		NotBefore: e.Now.Add(-time.Hour), NotAfter: e.Now.Add(time.Hour),
	}}
	edit(f)
	if f.signer == nil {
		f.signer = f.key
	}
	f.x.ExtraExtensions = f.extensions
	der, err := x509.CreateCertificate(rand.Reader, &f.x, &f.x, f.key.Public(), f.signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

var (
	diceOID   = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}
	legacyOID = asn1.ObjectIdentifier{0, 6, 9, 42, 840, 113741, 1337, 6}
)

func spki(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return der
}

// legacy is the extension of a key's legacy form.
func (e *enclave) legacy(key *ecdsa.PrivateKey) pkix.Extension {
	var d attest.ReportData
	hash := sha256.Sum256(spki(key))
	copy(d[:], hash[:])
	return pkix.Extension{Id: legacyOID, Value: e.machine.SGXQuote(3, d)}
}

// Parts of CBOR, written by hand.
func head(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major<<5 | byte(n)}
	case n < 256:
		return []byte{major<<5 | 24, byte(n)}
	}
	return []byte{major<<5 | 25, byte(n >> 8), byte(n)}
}

func bstr(b []byte) []byte { return append(head(2, len(b)), b...) }
func tstr(s string) []byte { return append(head(3, len(s)), s...) }

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func claimsOf(key *ecdsa.PrivateKey) []byte {
	hash := sha256.Sum256(spki(key))
	return cat(head(5, 1), tstr("pubkey-hash"), bstr(cat([]byte{0x82, 0x01}, bstr(hash[:]))))
}

// dice is the extension of tagged evidence with claims that the quote vouches for.
func (e *enclave) dice(claims []byte, write func(quote, claims []byte) []byte) pkix.Extension {
	var d attest.ReportData
	hash := sha256.Sum256(claims)
	copy(d[:], hash[:])
	return pkix.Extension{Id: diceOID, Value: write(e.machine.SGXQuote(3, d), claims)}
}

func tagged(quote, claims []byte) []byte {
	return cat([]byte{0xd9, 0xea, 0x60, 0x82}, bstr(quote), bstr(claims))
}

func TestRefused(t *testing.T) {
	t.Parallel()
	e := newEnclave()
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	evidence := func(claims func(*template) []byte, write func(quote, claims []byte) []byte) func(*template) {
		return func(f *template) { f.extensions = []pkix.Extension{e.dice(claims(f), write)} }
	}
	own := func(f *template) []byte { return claimsOf(f.key) }
	sha := func(f *template) []byte { h := sha256.Sum256(spki(f.key)); return h[:] }
	tests := map[string]struct {
		edit func(*template)
		why  string
	}{
		"no quote":             {func(*template) {}, "no quote"},
		"an empty legacy form": {func(f *template) { f.extensions = []pkix.Extension{{Id: legacyOID}} }, "empty"},
		"a critical extension of unknown meaning": {func(f *template) {
			f.extensions = []pkix.Extension{e.legacy(f.key), {Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}, "1.2.3.4"},
		"signed with SHA-1": {func(f *template) {
			f.extensions = []pkix.Extension{e.legacy(f.key)}
			f.x.SignatureAlgorithm = x509.ECDSAWithSHA1
		}, "ECDSA-SHA1"},
		"a critical extension": {func(f *template) {
			x := e.legacy(f.key)
			x.Critical = true
			f.extensions = []pkix.Extension{x}
		}, "critical"},
		"legacy, another key": {func(f *template) { f.extensions = []pkix.Extension{e.legacy(other)} }, "another key"},
		"legacy, no quote":    {func(f *template) { f.extensions = []pkix.Extension{{Id: legacyOID, Value: make([]byte, 500)}} }, "quote"},
		"legacy, another TEE": {func(f *template) {
			x := e.legacy(f.key)
			x.Value[4] = 7
			f.extensions = []pkix.Extension{x}
		}, "neither of SGX nor of TDX"},
		"dice, another key": {evidence(func(*template) []byte { return claimsOf(other) }, tagged), "another key"},
		"dice, quote of other claims": {func(f *template) {
			f.extensions = []pkix.Extension{e.dice(claimsOf(other), func(quote, _ []byte) []byte { return tagged(quote, claimsOf(f.key)) })}
		}, "another key"},
		"a bad dice form beside a good legacy one": {func(f *template) {
			f.extensions = []pkix.Extension{{Id: diceOID, Value: []byte{0xf6}}, e.legacy(f.key)}
		}, "tagged evidence"},
		"dice of another key beside a good legacy form": {func(f *template) {
			f.extensions = []pkix.Extension{e.legacy(f.key), e.dice(claimsOf(other), tagged)}
		}, "another key"},
		"an empty dice form beside a good legacy one": {func(f *template) {
			f.extensions = []pkix.Extension{{Id: diceOID, Value: []byte{}}, e.legacy(f.key)}
		}, "empty"},
		"another tag": {evidence(own, func(q, c []byte) []byte { return cat([]byte{0xd9, 0xea, 0x61, 0x82}, bstr(q), bstr(c)) }), "CBOR tag"},
		"no tag":      {evidence(own, func(q, c []byte) []byte { return cat([]byte{0x82}, bstr(q), bstr(c)) }), "tagged evidence"},
		"three parts": {evidence(own, func(q, c []byte) []byte {
			return cat([]byte{0xd9, 0xea, 0x60, 0x83}, bstr(q), bstr(c), bstr(nil))
		}), "tagged evidence"},
		"bytes after it": {evidence(own, func(q, c []byte) []byte { return append(tagged(q, c), 0) }), "tagged evidence"},
		"a long tag":     {evidence(own, func(q, c []byte) []byte { return cat([]byte{0xda, 0, 0, 0xea, 0x60, 0x82}, bstr(q), bstr(c)) }), "deterministic"},
		"a long length": {evidence(own, func(q, c []byte) []byte {
			return cat([]byte{0xd9, 0xea, 0x60, 0x82}, bstr(q), []byte{0x59, 0}, head(0, len(c))[1:], c)
		}), "deterministic"},
		"no fixed length": {evidence(own, func(q, c []byte) []byte { return cat([]byte{0xd9, 0xea, 0x60, 0x9f}, bstr(q), bstr(c), []byte{0xff}) }), "indefinite"},
		"text for the quote": {evidence(own, func(q, c []byte) []byte {
			return cat([]byte{0xd9, 0xea, 0x60, 0x82}, head(3, len(q)), q, bstr(c))
		}), "tagged evidence"},
		"no claims": {evidence(func(*template) []byte { return []byte{0xa0} }, tagged), "claims"},
		"another claim besides": {evidence(func(f *template) []byte {
			return cat(head(5, 2), tstr("pubkey-hash"), bstr(cat([]byte{0x82, 0x01}, bstr(sha(f)))), tstr("nonce"), bstr([]byte{1}))
		}, tagged), "claims"},
		"a claim twice": {evidence(func(f *template) []byte {
			hash := bstr(cat([]byte{0x82, 0x01}, bstr(sha(f))))
			return cat(head(5, 2), tstr("pubkey-hash"), hash, tstr("pubkey-hash"), hash)
		}, tagged), "claims"},
		"a claim in capitals": {evidence(func(f *template) []byte {
			return cat(head(5, 1), tstr("PUBKEY-HASH"), bstr(cat([]byte{0x82, 0x01}, bstr(sha(f)))))
		}, tagged), "claims"},
		"another hash": {evidence(func(f *template) []byte {
			return cat(head(5, 1), tstr("pubkey-hash"), bstr(cat([]byte{0x82, 0x07}, bstr(sha(f)))))
		}, tagged), "algorithm"},
		"a short hash": {evidence(func(f *template) []byte {
			return cat(head(5, 1), tstr("pubkey-hash"), bstr(cat([]byte{0x82, 0x01}, bstr(sha(f)[:16]))))
		}, tagged), "another key"},
		"expired": {func(f *template) {
			f.extensions = []pkix.Extension{e.legacy(f.key)}
			f.x.NotAfter = e.Now.Add(-time.Minute)
		}, "expired"},
		"not yet valid": {func(f *template) {
			f.extensions = []pkix.Extension{e.legacy(f.key)}
			f.x.NotBefore = e.Now.Add(time.Minute)
		}, "not valid before"},
		"a key of P-256": {func(f *template) {
			f.key = p256
			f.extensions = []pkix.Extension{e.legacy(p256)}
		}, "P-384"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := e.verifier().Verify(context.Background(), e.forge(t, test.edit))
			if !errors.Is(err, attest.ErrRefused) || !strings.Contains(err.Error(), test.why) {
				t.Errorf("refused for another reason, or not at all: %v", err)
			}
			if got == nil || len(got.Failed()) == 0 {
				t.Error("no check failed")
			}
		})
	}
	good := e.forge(t, evidence(own, tagged))
	if _, err := e.verifier().Verify(context.Background(), good); err != nil {
		t.Errorf("what the tests change is refused as it is: %v", err)
	}
	if _, err := ratls.NewVerifier(e.Clock).Verify(context.Background(), good); !errors.Is(err, attest.ErrRefused) {
		t.Errorf("without a verifier of quotes: %v", err)
	}
}

// TestEveryByte changes each byte of a certificate in turn.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	e := newEnclave()
	v := e.verifier()
	der := e.make(t).Certificate[0]
	for i := 0; i < len(der); i += everyByte {
		changed := bytes.Clone(der)
		changed[i] ^= 1
		if _, err := v.Verify(context.Background(), changed); !errors.Is(err, attest.ErrRefused) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	e := newEnclave()
	for name, forms := range map[string][]ratls.Form{"twice": {ratls.DICE, ratls.DICE}, "unknown": {"x"}} {
		if _, err := ratls.Make(context.Background(), e, ratls.MakeOptions{Forms: forms}); err == nil {
			t.Errorf("%s: there is a certificate", name)
		}
	}
	e.platform = attest.InsecureNone
	if _, err := ratls.Make(context.Background(), e, ratls.MakeOptions{}); err == nil {
		t.Error("a certificate has evidence of insecure-none")
	}
}

func TestParsePEM(t *testing.T) {
	t.Parallel()
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newEnclave().make(t).Certificate[0]})
	if _, err := ratls.ParsePEM(block); err != nil {
		t.Error(err)
	}
	for name, text := range map[string][]byte{
		"nothing":     nil,
		"two":         append(bytes.Clone(block), block...),
		"another":     pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}}),
		"a large one": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: make([]byte, 1<<17)}),
	} {
		if _, err := ratls.ParsePEM(text); err == nil {
			t.Errorf("%s is taken for a certificate", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, forms := range [][]ratls.Form{{ratls.DICE}, {ratls.Legacy}} {
		f.Add(newEnclave().make(f, forms...).Certificate[0])
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := ratls.Parse(der)
		if err != nil {
			return
		}
		if !bytes.Contains(der, c.Evidence.Quote) || c.Evidence.Platform != attest.SGX && c.Evidence.Platform != attest.TDX {
			t.Error("the quote is from elsewhere")
		}
	})
}

// FuzzTaggedEvidence fuzzes the CBOR alone, with a quote that is none and any
// bytes for a key.
func FuzzTaggedEvidence(f *testing.F) {
	public := []byte("a public key")
	hash := sha256.Sum256(public)
	claims := cat(head(5, 1), tstr("pubkey-hash"), bstr(cat([]byte{0x82, 0x01}, bstr(hash[:]))))
	good := tagged(make([]byte, 30), claims)
	f.Add(good)
	f.Add(tagged(make([]byte, 30), []byte{0xa0}))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := ratls.FromX509(&x509.Certificate{
			RawSubjectPublicKeyInfo: public,
			Extensions:              []pkix.Extension{{Id: diceOID, Value: value}},
		})
		if err != nil {
			if bytes.Equal(value, good) {
				t.Error(err)
			}
			return
		}
		// There is one encoding of each quote.
		if !bytes.Equal(value, tagged(c.Evidence.Quote, claims)) {
			t.Errorf("another encoding is accepted: %x", value)
		}
	})
}
