// Package insecure has the evidence of platform insecure-none, which protects
// nothing: the machine's owner can read and change the program and make any such
// evidence. It lets everything else be tried where no hardware is, and only a
// policy that names it accepts it.
//
// Its document is described in docs/reference/evidence.md, byte by byte.
package insecure

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"cloister/trust/attest"
)

// Magic starts each document and has its version at its end.
const Magic = "cloister-none v1"

// documentSize is the length of each document in bytes.
const documentSize = signedSize + ed25519.SignatureSize

const signedSize = len(Magic) + sha256.Size + len(attest.ReportData{}) + ed25519.PublicKeySize

// signatureDomain separates the signatures of documents from all others that a
// machine's key could be made to give.
const signatureDomain = "cloister.insecure-none.v1"

// Document is what insecure-none says.
type Document struct {
	Binary     [sha256.Size]byte // SHA-256 of the program's file
	ReportData attest.ReportData
	MachineKey ed25519.PublicKey
	Signature  []byte // by MachineKey
}

// errFormat has no detail: a document has one length and one beginning.
var errFormat = errors.New("it is no insecure-none document of version 1")

// Parse reads a document and trusts nothing of it.
func Parse(b []byte) (*Document, error) {
	if len(b) != documentSize || !bytes.HasPrefix(b, []byte(Magic)) {
		if len(b) > documentSize && bytes.HasPrefix(b, []byte(Magic)) {
			return nil, fmt.Errorf("%w: it has %d bytes, not %d", errFormat, len(b), documentSize)
		}
		return nil, errFormat
	}
	d := new(Document)
	rest := b[len(Magic):]
	rest = rest[copy(d.Binary[:], rest):]
	rest = rest[copy(d.ReportData[:], rest):]
	d.MachineKey = bytes.Clone(rest[:ed25519.PublicKeySize])
	d.Signature = bytes.Clone(rest[ed25519.PublicKeySize:])
	return d, nil
}

// Encode is the inverse of Parse.
func (d *Document) Encode() []byte { return append(d.body(), d.Signature...) }

// body is what is signed of a document, without the domain.
func (d *Document) body() []byte {
	b := make([]byte, 0, documentSize)
	b = append(b, Magic...)
	b = append(b, d.Binary[:]...)
	b = append(b, d.ReportData[:]...)
	return append(b, d.MachineKey...)
}

// message is what the machine's key signs.
func (d *Document) message() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(len(signatureDomain)))
	return append(append(b, signatureDomain...), d.body()...)
}

// Sign fills in the key and its signature.
func (d *Document) Sign(key ed25519.PrivateKey) {
	d.MachineKey = key.Public().(ed25519.PublicKey)
	d.Signature = ed25519.Sign(key, d.message())
}

// Verify says whether the key that the document names signed it.
func (d *Document) Verify() bool { return ed25519.Verify(d.MachineKey, d.message(), d.Signature) }
