package attest

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// ReportData are the 64 bytes of a program's choice that evidence vouches for.
type ReportData [64]byte

// MarshalText implements encoding.TextMarshaler.
func (d ReportData) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *ReportData) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(d[:], text[:min(len(text), 2*len(d))]); err != nil || n != len(d) || len(text) != 2*len(d) {
		return fmt.Errorf("report data %.140q are not %d bytes in hexadecimal", text, len(d))
	}
	return nil
}

// Equal compares in constant time.
func (d ReportData) Equal(other ReportData) bool {
	return subtle.ConstantTimeCompare(d[:], other[:]) == 1
}

// Binding is what report data always bind: that the evidence answers this
// verifier now, comes from the holder of this key, and runs this job.
type Binding struct {
	Nonce [32]byte // the verifier's, used once
	// Key is the public key that asks, in the form that the exchange uses: a
	// SubjectPublicKeyInfo in DER or a serialised HPKE public key.
	Key []byte
	Job [32]byte // SHA-256 of the job; zeros where none is run
}

// bindingDomain separates these hashes from all others.
const bindingDomain = "cloister.report-data.v1"

// ReportData is SHA-512 over the domain, the nonce, the key and the job, each
// preceded by its length in bytes as a 64-bit big-endian number.
func (b *Binding) ReportData() ReportData {
	h := sha512.New()
	for _, part := range [][]byte{[]byte(bindingDomain), b.Nonce[:], b.Key, b.Job[:]} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	return ReportData(h.Sum(nil))
}
