package issuer

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"cloister/trust/broker/store"
)

// Reasons of RFC 5280, section 5.3.1, that a broker has.
const (
	ReasonKeyCompromise      = 1
	ReasonSuperseded         = 4
	ReasonPrivilegeWithdrawn = 9 // the policy does not allow it any more
)

type revokedRecord struct {
	Format  int       `json:"format"`
	Time    time.Time `json:"time"`
	Reason  int       `json:"reason"`
	Expires time.Time `json:"expires"` // of the certificate
}

// crlRecord is the last list that was made.
type crlRecord struct {
	Format int       `json:"format"`
	Number int64     `json:"number"`
	Next   time.Time `json:"next"`
	List   []byte    `json:"list"`
	// Stale is set when something was revoked since.
	Stale bool `json:"stale,omitempty"`
}

// Revoke revokes the certificates that are valid and of which revoke says so,
// and returns them: those that a new policy does not allow. It also forgets
// certificates that expired long enough ago.
func (i *Issuer) Revoke(tx *store.Tx, reason int, revoke func(*Issued) bool) ([]*Issued, error) {
	if reason != ReasonKeyCompromise && reason != ReasonSuperseded && reason != ReasonPrivilegeWithdrawn {
		return nil, fmt.Errorf("issuer: reason %d of a revocation is not known", reason)
	}
	now := i.options.Now().UTC().Truncate(time.Second)
	var revoked []*Issued
	var expired []string
	for serial := range tx.Range(bucketIssued, "", "") {
		r, err := issued(tx, serial)
		if err != nil {
			return nil, err
		}
		switch _, already := tx.Get(bucketRevoked, serial); {
		case r.past(now):
			expired = append(expired, serial)
		case now.After(r.Expires) || already || !revoke(r):
		default:
			revoked = append(revoked, r)
		}
	}
	for _, r := range revoked {
		if err := put(tx, bucketRevoked, r.Serial, &revokedRecord{Format: format, Time: now, Reason: reason, Expires: r.Expires}); err != nil {
			return nil, err
		}
	}
	if err := remove(tx, expired); err != nil {
		return nil, err
	}
	if len(revoked) > 0 {
		return revoked, i.stale(tx)
	}
	return nil, nil
}

// past says that a certificate expired so long ago that no list has it any more.
func (r *Issued) past(now time.Time) bool { return now.After(r.Expires.Add(LongestLife)) }

func remove(tx *store.Tx, serials []string) error {
	for _, serial := range serials {
		for _, bucket := range []string{bucketIssued, bucketRevoked} {
			if err := tx.Delete(bucket, serial); err != nil {
				return err
			}
		}
	}
	return nil
}

// looked is how many records are looked at for each certificate that is issued.
const looked = 4

// forget removes records of certificates that are long past, of a few that come
// after a serial number. As these are random, so are the records: with several
// looked at for each that is added, no more than a fraction of all are past,
// however rarely a policy changes, and no certificate pays for all.
func (i *Issuer) forget(tx *store.Tx, serial string, now time.Time) error {
	var past []string
	n := 0
	for _, from := range []string{serial, ""} { // and from the beginning, after the end
		for key := range tx.Range(bucketIssued, from, "") {
			if n++; n > looked {
				break
			}
			r, err := issued(tx, key)
			if err != nil {
				return err
			}
			if r.past(now) {
				past = append(past, key)
			}
		}
	}
	return remove(tx, past)
}

func (i *Issuer) stale(tx *store.Tx) error {
	last, err := lastCRL(tx)
	if err != nil || last == nil {
		return err
	}
	last.Stale = true
	return put(tx, bucketAuthority, keyCRL, last)
}

func lastCRL(tx *store.Tx) (*crlRecord, error) {
	value, ok := tx.Get(bucketAuthority, keyCRL)
	if !ok {
		return nil, nil //nolint:nilnil // none is an answer
	}
	var r crlRecord
	if err := decode(value, &r); err != nil || r.Format != format || r.Number < 1 {
		return nil, fmt.Errorf("issuer: record of the revocation list: %w", ErrTampered)
	}
	return &r, nil
}

// CRL returns the certificate revocation list in DER (RFC 5280, section 5), a new
// one where something was revoked since the last or half of its time is over.
// The transaction is of Update.
func (i *Issuer) CRL(tx *store.Tx) ([]byte, error) {
	now := i.options.Now().UTC().Truncate(time.Second)
	last, err := lastCRL(tx)
	if err != nil {
		return nil, err
	}
	if i.fresh(last, now) {
		return last.List, nil
	}
	record := crlRecord{Format: format, Number: 1, Next: now.Add(i.options.CRLLife)}
	if last != nil {
		record.Number = last.Number + 1
	}
	list := &x509.RevocationList{Number: big.NewInt(record.Number), ThisUpdate: now, NextUpdate: record.Next}
	for key, value := range tx.Range(bucketRevoked, "", "") {
		var r revokedRecord
		serial, ok := new(big.Int).SetString(key, 16)
		if err := decode(value, &r); err != nil || r.Format != format || !ok {
			return nil, fmt.Errorf("issuer: record of revoked certificate %.60q: %w", key, ErrTampered)
		}
		// RFC 5280, section 3.3: an expired certificate stays for one list more.
		if now.After(r.Expires.Add(i.options.CRLLife)) {
			continue
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: r.Time, ReasonCode: r.Reason})
	}
	if record.List, err = x509.CreateRevocationList(rand.Reader, list, i.cert, i.key); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return record.List, put(tx, bucketAuthority, keyCRL, &record)
}

func (i *Issuer) fresh(last *crlRecord, now time.Time) bool {
	if last == nil || last.Stale || now.After(last.Next.Add(-i.options.CRLLife/2)) {
		return false
	}
	list, err := x509.ParseRevocationList(last.List)
	return err == nil && list.CheckSignatureFrom(i.cert) == nil && !now.Before(list.ThisUpdate)
}
