// Package issuer is the broker's certificate authority: it issues short-lived
// certificates to programs whose evidence the broker appraised, for TLS between
// them.
//
// The authority (RFC 5280) is made at first start: a P-256 key that the vault
// keeps, name constraints to the deployment's domains, path length zero. A
// certificate carries only names that the policy allows its workload, is for the
// key that the evidence binds, and lives for hours: renewing it means to show
// fresh evidence. A change of policy revokes what it no longer allows.
package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"time"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/secret"
)

// Options of an authority. Domains and the lifetimes count when it is made.
type Options struct {
	// Domains are what names may end in, such as "cloister.internal": the
	// authority's certificate has them as name constraints.
	Domains []string
	// Life is that of a certificate, unless a request asks for less. Zero is
	// DefaultLife.
	Life time.Duration
	// AuthorityLife is that of the authority. Zero is DefaultAuthorityLife.
	AuthorityLife time.Duration
	// CRLLife is how long a revocation list is good for. Zero is Life: longer
	// than a certificate no list has to be believed.
	CRLLife time.Duration
	// CRLURL, if any, is where the broker serves the list.
	CRLURL string
	Now    func() time.Time
	// Random makes serial numbers; nil is crypto/rand. Keys and signatures always
	// take crypto/rand.
	Random io.Reader
}

// The lifetimes.
const (
	DefaultLife          = time.Hour
	LongestLife          = 24 * time.Hour
	DefaultAuthorityLife = 5 * 365 * 24 * time.Hour
	LongestAuthorityLife = 10 * 365 * 24 * time.Hour
	// Backdate is how much earlier than now certificates begin, for peers whose
	// clocks are behind.
	Backdate = 2 * time.Minute
)

// Names in the store.
const (
	bucketAuthority = "issuer"         // authority, crl
	bucketIssued    = "issuer.issued"  // by serial
	bucketRevoked   = "issuer.revoked" // by serial
	keyAuthority    = "authority"
	keyCRL          = "crl"
	ownKey          = "issuer" // in the vault
)

const format = 1

// ErrRefused is in the chain of errors that say that a request is not fulfilled
// for what it asks.
var ErrRefused = errors.New("certificate refused")

// ErrTampered is in the chain of errors about records that are not as written.
var ErrTampered = errors.New("changed or damaged")

// authorityRecord is the authority in the store.
type authorityRecord struct {
	Format      int    `json:"format"`
	Certificate []byte `json:"certificate"` // DER
}

// Issuer is an authority whose key is open. It is safe for concurrent use.
type Issuer struct {
	options Options
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
}

func (o *Options) check() error {
	for what, d := range map[string]*struct {
		value         *time.Duration
		zero, longest time.Duration
	}{
		"certificate": {&o.Life, DefaultLife, LongestLife},
		"authority":   {&o.AuthorityLife, DefaultAuthorityLife, LongestAuthorityLife},
	} {
		if *d.value == 0 {
			*d.value = d.zero
		}
		if *d.value < time.Minute || *d.value > d.longest {
			return fmt.Errorf("issuer: a %s lives from a minute to %s, not %s", what, d.longest, *d.value)
		}
	}
	if o.CRLLife == 0 {
		o.CRLLife = o.Life
	}
	if o.CRLLife < time.Minute || o.CRLLife > o.Life {
		return fmt.Errorf("issuer: a revocation list is good from a minute to a certificate's life, %s, not %s", o.Life, o.CRLLife)
	}
	if o.Now == nil {
		return errors.New("issuer: it needs a clock")
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return nil
}

// Open opens the authority in a store, or makes it at first start.
func Open(tx *store.Tx, v *vault.Vault, o Options) (*Issuer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	value, ok := tx.Get(bucketAuthority, keyAuthority)
	if !ok {
		return create(tx, v, o)
	}
	var r authorityRecord
	if err := decode(value, &r); err != nil || r.Format != format {
		return nil, fmt.Errorf("issuer: its record: %w: %w", ErrTampered, errors.Join(err, fmt.Errorf("format %d", r.Format)))
	}
	cert, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return nil, fmt.Errorf("issuer: its certificate: %w: %w", ErrTampered, err)
	}
	text, err := v.Own(tx, ownKey)
	switch {
	case errors.Is(err, vault.ErrNotFound):
		// The root key was lost and the broker restored: a new authority, which
		// nobody trusts yet.
		return create(tx, v, o)
	case err != nil:
		return nil, fmt.Errorf("issuer: its key: %w", err)
	}
	defer text.Zero()
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), text.Expose())
	if err != nil {
		return nil, fmt.Errorf("issuer: its key: %w", ErrTampered)
	}
	if public, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(&key.PublicKey) {
		return nil, fmt.Errorf("issuer: its certificate is of another key: %w", ErrTampered)
	}
	return &Issuer{o, cert, key}, nil
}

func create(tx *store.Tx, v *vault.Vault, o Options) (*Issuer, error) {
	if len(o.Domains) == 0 {
		return nil, errors.New("issuer: it needs the domains that names may be of: none is not all")
	}
	for _, domain := range o.Domains {
		if err := checkDNS(domain); err != nil {
			return nil, fmt.Errorf("issuer: domain %w", err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial(o.Random)
	if err != nil {
		return nil, err
	}
	now := o.Now().UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Cloister broker " + v.Broker()},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(o.AuthorityLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		// Name constraints bind only the kinds of names that they mention (RFC
		// 5280, section 4.2.1.10): so every kind is.
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         o.Domains,
		PermittedURIDomains:         o.Domains,
		PermittedEmailAddresses:     o.Domains,
		ExcludedIPRanges:            []*net.IPNet{allIPv4(), allIPv6()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	raw, err := key.Bytes()
	if err != nil {
		return nil, err
	}
	text := secret.Take(raw)
	defer text.Zero()
	if err := v.SetOwn(tx, ownKey, text); err != nil {
		return nil, err
	}
	return &Issuer{o, cert, key}, put(tx, bucketAuthority, keyAuthority, &authorityRecord{Format: format, Certificate: der})
}

func allIPv4() *net.IPNet { return &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)} }
func allIPv6() *net.IPNet { return &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)} }

// Certificate is the authority's certificate, which peers trust.
func (i *Issuer) Certificate() *x509.Certificate { return i.cert }

// newSerial draws 159 bits, the most that 20 octets hold without a sign.
func newSerial(random io.Reader) (*big.Int, error) {
	var b [20]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("issuer: read random bytes: %w", err)
	}
	b[0] &= 0x7f
	b[19] |= 1 // never zero
	return new(big.Int).SetBytes(b[:]), nil
}

func serialKey(serial *big.Int) string {
	var b [20]byte
	return hex.EncodeToString(serial.FillBytes(b[:]))
}

func decode(value []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(value)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the record")
	}
	return nil
}

func put(tx *store.Tx, bucket, key string, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return tx.Put(bucket, key, value)
}

func hash(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
