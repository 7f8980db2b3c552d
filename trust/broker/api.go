package broker

import (
	"encoding/hex"
	"fmt"
	"time"

	"cloister/trust/attest"
)

// The places of the API, version 1. openapi.yaml describes them.
const (
	PathBroker  = "/v1/broker"
	PathAttest  = "/v1/attest"
	PathNonce   = "/v1/nonce"
	PathRelease = "/v1/release"
)

// Digest is a SHA-256, or another 32 bytes such as a nonce, in hexadecimal.
type Digest [32]byte

// String implements fmt.Stringer.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero says that it is all zeros.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("%.80q are not %d bytes in hexadecimal", text, len(d))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("%.80q are not %d bytes in hexadecimal", text, len(d))
	}
	return nil
}

// Info is what a broker says of itself. None of it is proven before the broker
// was attested or its TLS key was pinned.
type Info struct {
	Broker string `json:"broker"`
	// HPKE is the serialised public key that owners wrap their keys to.
	HPKE []byte `json:"hpke_public_key"`
	// TLSKey is the SHA-256 of the SubjectPublicKeyInfo of the broker's
	// certificate.
	TLSKey Digest `json:"tls_key"`
	// Log is the verifier key of the audit log (C2SP signed-note).
	Log string `json:"log"`
	// FirstPolicy never changes; Policy is the hash of the one in force.
	FirstPolicy   Digest `json:"first_policy"`
	Policy        Digest `json:"policy"`
	PolicyVersion uint64 `json:"policy_version"`
	// Time is the broker's.
	Time time.Time `json:"time"`
	// Insecure names what is missing, such as "insecure-no-witness".
	Insecure []string `json:"insecure,omitempty"`
	// Locked says that the root key waits for its owners: see MeetLocked. Nothing
	// is known then but the id and keys that were made for this start.
	Locked bool `json:"locked,omitempty"`
}

// AttestRequest asks for evidence of the broker.
type AttestRequest struct {
	Nonce Digest `json:"nonce"`
}

// AttestAnswer is the broker's evidence. Its report data bind the nonce, the HPKE
// public key and, in the place of a job, Info.Identity.
type AttestAnswer struct {
	Info     Info            `json:"info"`
	Evidence attest.Evidence `json:"evidence"`
}

// NonceRequest asks for a nonce, which only the holder of a key can use.
type NonceRequest struct {
	// KeyHash is the SHA-256 of the public key that evidence will bind.
	KeyHash Digest `json:"key_hash"`
}

// NonceAnswer is a nonce.
type NonceAnswer struct {
	Nonce   Digest    `json:"nonce"`
	Expires time.Time `json:"expires"`
	Time    time.Time `json:"time"` // the broker's
}

// Kind is what is asked for.
type Kind string

// The kinds.
const (
	Key    Kind = "key"    // of a version of a data set
	Secret Kind = "secret" // an owner's own, such as a password
)

// Want names one thing that a program asks for.
type Want struct {
	Kind  Kind   `json:"kind"`
	Owner string `json:"owner"`
	Name  string `json:"name"`
	// Version is from 1. Zero is the newest, of a secret alone: which version
	// of a data set is read is never left open.
	Version uint64 `json:"version,omitempty"`
}

// String names it in messages.
func (w Want) String() string {
	if w.Version == 0 {
		return fmt.Sprintf("%s %s/%s", w.Kind, w.Owner, w.Name)
	}
	return fmt.Sprintf("%s %s/%s version %d", w.Kind, w.Owner, w.Name, w.Version)
}

// ReleaseRequest asks for keys.
type ReleaseRequest struct {
	Nonce    Digest          `json:"nonce"`
	Key      []byte          `json:"key"` // the serialised HPKE public key that the evidence binds
	Job      Digest          `json:"job,omitzero"`
	Evidence attest.Evidence `json:"evidence"`
	Want     []Want          `json:"want"`
}

// ReleaseAnswer is what a program gets. Release.Open decrypts it.
type ReleaseAnswer struct {
	Request  string `json:"request"` // as in the audit log
	Workload string `json:"workload"`
	// Run is the number of this run among those that count.
	Run          uint64       `json:"run"`
	Encapsulated []byte       `json:"encapsulated"` // RFC 9180 "enc"
	Items        []SealedItem `json:"items"`        // in the order asked for
	Receipt      Receipt      `json:"receipt"`
	Time         time.Time    `json:"time"` // of the decision, as in the receipt's entry
}

// Item says what a key is.
type Item struct {
	Kind    Kind   `json:"kind"`
	Owner   string `json:"owner"`
	Name    string `json:"name"`
	Version uint64 `json:"version"`
	ID      string `json:"id"`
	Use     string `json:"use"`
	// Digest and Terms are those of the register, if the version is in it.
	Digest []byte `json:"digest,omitempty"`
	Terms  []byte `json:"terms,omitempty"`
	// Newest is the newest version in the register, so that a reader of an
	// older one knows; 0 if none is registered.
	Newest uint64 `json:"newest,omitempty"`
}

// SealedItem is a key, encrypted to the program.
type SealedItem struct {
	Item
	Sealed []byte `json:"sealed"`
}

// Code is a stable name of a reason.
type Code string

// The codes, with the HTTP status of each.
const (
	CodeMalformed   Code = "malformed"              // 400
	CodeForbidden   Code = "forbidden"              // 403: not who may do this
	CodeNonce       Code = "nonce-refused"          // 403
	CodeEvidence    Code = "evidence-refused"       // 403
	CodePolicy      Code = "policy-refused"         // 403
	CodeRuns        Code = "runs-exhausted"         // 403
	CodeFrozen      Code = "frozen"                 // 403
	CodeNotFound    Code = "not-found"              // 404
	CodeMethod      Code = "method-not-allowed"     // 405
	CodeConflict    Code = "conflict"               // 409
	CodeTooLarge    Code = "too-large"              // 413
	CodeMediaType   Code = "unsupported-media-type" // 415
	CodeTooMany     Code = "too-many-requests"      // 429
	CodeInternal    Code = "internal"               // 500
	CodeBusy        Code = "busy"                   // 503
	CodeUnwitnessed Code = "not-witnessed"          // 503: no quorum of witnesses in time
	CodeClock       Code = "clock-wrong"            // 503
	CodeCollateral  Code = "collateral-unavailable" // 503
	CodeLocked      Code = "locked"                 // 503: waits for owners to confirm, recover or unlock
)

// Problem is the body of every answer that is not a success.
type Problem struct {
	Error ProblemError `json:"error"`
}

// ProblemError says why.
type ProblemError struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Request string `json:"request,omitempty"`
	// Checks are those of evidence and policy, as far as they were made.
	Checks []attest.Check `json:"checks,omitempty"`
}
