package broker

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloister/trust/approval"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/document"
)

// The places of owners' orders.
const (
	PathOrder    = "/v1/order"
	PathFreeze   = "/v1/freeze"
	PathOwners   = "/v1/owners"
	PathDataSets = "/v1/data-sets"
)

// ForOrder is the purpose of signatures of orders, but for those about jobs,
// which are approval.ForJob.
const ForOrder approval.Purpose = "order-v1@cloister"

// Operation is what an owner orders.
type Operation string

// The operations.
const (
	NewKey     Operation = "new-key"     // the broker makes the key of the next version
	BringKey   Operation = "bring-key"   // the owner's own key, as the next version
	DestroyKey Operation = "destroy-key" // of one version
	Register   Operation = "register"    // a version of a data set: digest and terms of use
	ApproveJob Operation = "approve-job"
	RevokeJob  Operation = "revoke-job"
	Recovery   Operation = "recovery" // names the recipients of recovery shares
	Recover    Operation = "recover"  // opens the owner's keys by recovery shares, after the root key was lost
	Unlock     Operation = "unlock"   // names the recipients of shares that unlock the broker
	// UnlockShares asks for the owner's shares of what the root key is sealed with.
	UnlockShares Operation = "unlock-shares"
)

// Order is what an owner has the broker do with what is the owner's. Each
// operation has its own fields; those of others stay empty.
type Order struct {
	Owner policy.Name `json:"owner"`
	// Number grows with each order of the owner, so that none is used twice.
	Number    uint64    `json:"number"`
	Operation Operation `json:"operation"`

	DataSet policy.Name `json:"data_set,omitempty"`
	Version uint64      `json:"version,omitempty"`
	Use     vault.Use   `json:"use,omitempty"`
	Wrapped []byte      `json:"wrapped,omitempty"` // vault.WrapKey

	KeyID  string        `json:"key_id,omitempty"`
	Digest Digest        `json:"digest,omitzero"` // SHA-256 of the sealed bytes
	Terms  []policy.Name `json:"terms,omitempty"` // the terms of use that a program must enforce

	Job     Digest    `json:"job,omitzero"`
	Runs    uint64    `json:"runs,omitempty"`
	Expires time.Time `json:"expires,omitzero"`

	Threshold  int      `json:"threshold,omitempty"`
	Recipients []string `json:"recipients,omitempty"` // age public keys
	Shares     [][]byte `json:"shares,omitempty"`     // WrapShare
}

// Purpose is what the order is signed for.
func (o *Order) Purpose() approval.Purpose {
	if o.Operation == ApproveJob || o.Operation == RevokeJob {
		return approval.ForJob
	}
	return ForOrder
}

// Statement is what is signed, in printable ASCII: the purpose, the broker and
// its first policy, and every field that the operation has.
func (o *Order) Statement(broker string, firstPolicy Digest) []byte {
	var b bytes.Buffer
	text := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, document.Quote(value))
		}
	}
	number := func(name string, value uint64) {
		if value != 0 {
			fmt.Fprintf(&b, "%s: %d\n", name, value)
		}
	}
	hash := func(name string, value Digest) {
		if !value.IsZero() {
			fmt.Fprintf(&b, "%s: sha256:%s\n", name, value)
		}
	}
	b.WriteString("cloister owner order\n")
	text("purpose", string(o.Purpose()))
	text("broker", broker)
	hash("first policy", firstPolicy)
	text("owner", string(o.Owner))
	number("number", o.Number)
	text("operation", string(o.Operation))
	text("data set", string(o.DataSet))
	number("version", o.Version)
	text("use", string(o.Use))
	if len(o.Wrapped) > 0 {
		hash("wrapped key", sha256.Sum256(o.Wrapped))
	}
	text("key id", o.KeyID)
	hash("digest", o.Digest)
	for _, t := range o.Terms {
		text("terms", string(t))
	}
	hash("job", o.Job)
	number("runs", o.Runs)
	if !o.Expires.IsZero() {
		text("expires", o.Expires.UTC().Format(time.RFC3339))
	}
	number("threshold", uint64(max(o.Threshold, 0)))
	for _, r := range o.Recipients {
		text("recipient", r)
	}
	for _, share := range o.Shares {
		hash("wrapped share", sha256.Sum256(share))
	}
	return b.Bytes()
}

// TermsHash is the hash of terms of use in the register.
func TermsHash(terms []policy.Name) Digest {
	parts := [][]byte{[]byte("cloister.terms.v1")}
	for _, t := range terms {
		parts = append(parts, []byte(t))
	}
	return sha256.Sum256(canonical(parts...))
}

// check checks that exactly the fields of the operation are set.
func (o *Order) check() error {
	set := map[string]bool{
		"data_set": o.DataSet != "", "version": o.Version != 0, "use": o.Use != "", "wrapped": len(o.Wrapped) > 0,
		"key_id": o.KeyID != "", "digest": !o.Digest.IsZero(), "terms": len(o.Terms) > 0, "job": !o.Job.IsZero(),
		"runs": o.Runs != 0, "expires": !o.Expires.IsZero(), "threshold": o.Threshold != 0, "recipients": len(o.Recipients) > 0,
		"shares": len(o.Shares) > 0,
	}
	fields, ok := map[Operation][]string{
		NewKey: {"data_set", "version", "use"}, BringKey: {"data_set", "version", "use", "wrapped"}, DestroyKey: {"data_set", "version"},
		Register: {"data_set", "version", "key_id", "digest"}, ApproveJob: {"job", "runs", "expires"}, RevokeJob: {"job"},
		Recovery: {"threshold", "recipients"}, Recover: {"shares"}, Unlock: {"threshold", "recipients"}, UnlockShares: {},
	}[o.Operation]
	optional := map[Operation]string{Register: "terms"}[o.Operation]
	if !ok {
		return refuse(CodeMalformed, "operation %.40q is not known", o.Operation)
	}
	for name, is := range set {
		if want := slices.Contains(fields, name); want != is && name != optional {
			return refuse(CodeMalformed, "an order of operation %s needs %s and nothing else", o.Operation, strings.Join(fields, ", "))
		}
	}
	if o.Number == 0 || o.Threshold < 0 {
		return refuse(CodeMalformed, "number begins with 1, and threshold is not negative")
	}
	for _, n := range []policy.Name{o.Owner, o.DataSet} {
		if err := new(policy.Name).UnmarshalText([]byte(n)); err != nil && n != "" {
			return refuse(CodeMalformed, "%v", err)
		}
	}
	return nil
}

// OrderRequest hands in an order with as many signatures as the owner needs.
type OrderRequest struct {
	Order      Order    `json:"order"`
	Signatures []string `json:"signatures"`
}

// OrderAnswer says that an order was carried out.
type OrderAnswer struct {
	Request string         `json:"request"`
	Key     *vault.KeyInfo `json:"key,omitempty"`
	// Delivery are the shares of a recovery or for unlocking.
	Delivery *protector.Delivery `json:"delivery,omitempty"`
	Receipt  Receipt             `json:"receipt"`
}
