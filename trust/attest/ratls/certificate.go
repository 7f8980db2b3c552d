// Package ratls makes and verifies RA-TLS certificates as Gramine does: self-signed
// certificates whose key an SGX or TDX quote vouches for.
//
// Gramine's report data are its own: the hash of claims or of the key, with no
// nonce and no job (attest.Binding). What such a certificate proves is no more
// than that a program of some measurement holds the key.
//
// Sources: Gramine's manual, "Attestation and secret provisioning"; the TCG's DICE
// Attestation Architecture, "tagged evidence"; the Confidential Computing
// Consortium's Interoperable RA-TLS, which defines tag and claims. The bytes are in
// docs/reference/evidence.md.
package ratls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"cloister/trust/attest"
)

// Form is how a certificate carries its quote.
type Form string

// The forms.
const (
	// DICE is the TCG's tagged evidence, of Gramine 1.8 and later.
	DICE Form = "dice"
	// Legacy is the bare quote under an identifier of Intel's.
	Legacy Form = "legacy"
)

// The extensions. The second is malformed, the bytes of a whole identifier with
// its header inside another, and has to be written just so.
var (
	diceOID   = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}
	legacyOID = asn1.ObjectIdentifier{0, 6, 9, 42, 840, 113741, 1337, 6}
)

// Limits of what is read.
const (
	maxCertificate = 64 << 10
	maxQuote       = 32 << 10
)

// evidenceTag is the CBOR tag of evidence that is an Intel quote.
const evidenceTag = 60000

// taggedEvidence is the content of the tag.
type taggedEvidence struct {
	_      struct{} `cbor:",toarray"`
	Quote  []byte
	Claims []byte
}

// claims are what the quote of tagged evidence vouches for.
type claims struct {
	// PubkeyHash is the CBOR form of a keyHash.
	PubkeyHash []byte `cbor:"pubkey-hash"`
}

// keyHash is the hash of a SubjectPublicKeyInfo.
type keyHash struct {
	_         struct{} `cbor:",toarray"`
	Algorithm int      // of IANA's "Named Information Hash Algorithm Registry"
	Hash      []byte
}

// hashSHA256 is SHA-256 in that registry.
const hashSHA256 = 1

// strict decodes only what has one meaning; deterministic encodes it in the one
// form that is accepted.
var strict, deterministic = modes()

func modes() (cbor.DecMode, cbor.EncMode) {
	d, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MaxNestedLevels:   4,
		MaxArrayElements:  16,
		MaxMapPairs:       16,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	e, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err)
	}
	return d, e
}

// decode reads the one deterministic form of a value.
func decode(b []byte, value any) error {
	if err := strict.Unmarshal(b, value); err != nil {
		return err
	}
	again, err := deterministic.Marshal(value)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return errors.New("it is not in CBOR's deterministic encoding")
	}
	return nil
}

// Certificate is a parsed RA-TLS certificate, of which nothing is proven.
type Certificate struct {
	X509     *x509.Certificate
	Form     Form
	Evidence attest.Evidence
	// Want are the report data that the quote must have to vouch for the key.
	Want attest.ReportData
}

var errNoQuote = errors.New("the certificate carries no quote")

// Parse reads a certificate in DER.
func Parse(der []byte) (*Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("a certificate of %d bytes: at most %d are read", len(der), maxCertificate)
	}
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return fromX509(x)
}

// fromX509 finds the evidence of a certificate. Where tagged evidence is there the
// legacy form is not looked at, whatever becomes of the evidence.
func fromX509(x *x509.Certificate) (*Certificate, error) {
	c := &Certificate{X509: x}
	found, err := extension(x, diceOID)
	if err != nil {
		return nil, err
	}
	if found != nil {
		c.Form = DICE
		if err := c.parseDICE(found); err != nil {
			return nil, fmt.Errorf("tagged evidence: %w", err)
		}
		return c, c.platform()
	}
	if found, err = extension(x, legacyOID); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, errNoQuote
	}
	c.Form = Legacy
	c.Evidence.Quote = found
	hash := sha256.Sum256(x.RawSubjectPublicKeyInfo)
	copy(c.Want[:], hash[:])
	return c, c.platform()
}

// ParsePEM reads a file of one certificate.
func ParsePEM(text []byte) (*Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is no certificate in PEM")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("it has more than one PEM block: give the RA-TLS certificate alone")
	}
	return Parse(block.Bytes)
}

// extension returns the value of an extension, nil if it is not there.
func extension(x *x509.Certificate, id asn1.ObjectIdentifier) ([]byte, error) {
	for _, e := range x.Extensions {
		switch {
		case !e.Id.Equal(id):
		case e.Critical:
			return nil, fmt.Errorf("extension %s is critical, which Gramine's is not", id)
		case len(e.Value) == 0:
			return nil, fmt.Errorf("extension %s is empty", id)
		default:
			return e.Value, nil
		}
	}
	return nil, nil
}

// parseDICE reads tagged evidence whose one claim is the hash of the key.
func (c *Certificate) parseDICE(value []byte) error {
	var tag cbor.RawTag
	if err := decode(value, &tag); err != nil {
		return err
	}
	if tag.Number != evidenceTag {
		return fmt.Errorf("CBOR tag %d is not %d, that of an Intel quote", tag.Number, evidenceTag)
	}
	var evidence taggedEvidence
	if err := decode(tag.Content, &evidence); err != nil {
		return err
	}
	var said claims
	if err := decode(evidence.Claims, &said); err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	var hash keyHash
	if err := decode(said.PubkeyHash, &hash); err != nil {
		return fmt.Errorf("pubkey-hash: %w", err)
	}
	want := sha256.Sum256(c.X509.RawSubjectPublicKeyInfo)
	switch {
	case hash.Algorithm != hashSHA256:
		return fmt.Errorf("pubkey-hash: hash algorithm %d is not %d, SHA-256", hash.Algorithm, hashSHA256)
	case !bytes.Equal(hash.Hash, want[:]):
		return errors.New("pubkey-hash: it is the hash of another key than the certificate's")
	}
	c.Evidence.Quote = evidence.Quote
	sum := sha256.Sum256(evidence.Claims)
	copy(c.Want[:], sum[:])
	return nil
}

// encodeClaims writes the claims of a key.
func encodeClaims(spki []byte) ([]byte, error) {
	sum := sha256.Sum256(spki)
	hash, err := deterministic.Marshal(keyHash{Algorithm: hashSHA256, Hash: sum[:]})
	if err != nil {
		return nil, err
	}
	return deterministic.Marshal(claims{PubkeyHash: hash})
}

// encodeDICE writes tagged evidence.
func encodeDICE(quote, claims []byte) ([]byte, error) {
	content, err := deterministic.Marshal(taggedEvidence{Quote: quote, Claims: claims})
	if err != nil {
		return nil, err
	}
	return deterministic.Marshal(cbor.RawTag{Number: evidenceTag, Content: content})
}

// The TEE types of a quote's header, and where they stand there (Intel TDX DCAP
// quoting library, appendix A.3.1; zeros in version 3).
const (
	teeOffset = 4
	teeSGX    = 0
	teeTDX    = 0x81
)

// platform finds out what the quote is of.
func (c *Certificate) platform() error {
	quote := c.Evidence.Quote
	if len(quote) < teeOffset+4 || len(quote) > maxQuote {
		return fmt.Errorf("a quote of %d bytes is none", len(quote))
	}
	switch tee := binary.LittleEndian.Uint32(quote[teeOffset:]); tee {
	case teeSGX:
		c.Evidence.Platform = attest.SGX
	case teeTDX:
		c.Evidence.Platform = attest.TDX
	default:
		return fmt.Errorf("a quote of TEE type %#x is neither of SGX nor of TDX", tee)
	}
	return nil
}

// checkKey demands a key of P-384, as Gramine makes.
func (c *Certificate) checkKey() error {
	if key, ok := c.X509.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P384() {
		return errors.New("the key is not of the curve P-384")
	}
	return nil
}
