package protector

import (
	"context"
	"fmt"

	"cloister/trust/secret"
)

// Pending keeps the root key of a broker that is new, until its owners have named
// the recipients of their shares: under a key in the memory of the process, so
// that it opens nowhere again once the process has ended. There is nothing to
// lose yet: such a broker takes no keys.
type Pending struct{ key secret.Bytes }

// NewPending returns a protector for a broker that OwnersSeal will protect.
func NewPending() (*Pending, error) {
	key, err := secret.Random(nil, KeySize)
	return &Pending{key}, err
}

// Name implements Protector.
func (*Pending) Name() string { return PendingName }

// PendingName is the name of Pending.
const PendingName = "pending-owners"

// Origin implements Protector.
func (*Pending) Origin() Origin { return Owners }

// Seal implements Protector.
func (p *Pending) Seal(_ context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	return seal(p.key, key, associated)
}

// Unseal implements Protector.
func (p *Pending) Unseal(_ context.Context, sealed, associated []byte) (secret.Bytes, error) {
	key, err := unseal(p.key, sealed, associated)
	if err != nil {
		return key, fmt.Errorf("the broker ended before its owners had named who unlocks it: %w", err)
	}
	return key, nil
}
