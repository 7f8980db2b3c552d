package protector

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cloister/trust/secret"
)

// Keeper encrypts by a key that a cloud's key management service keeps. It is
// what *secrets.Keeper of gocloud.dev/secrets is; package cloudkms opens one.
type Keeper interface {
	Encrypt(ctx context.Context, plaintext []byte) ([]byte, error)
	Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error)
}

// CloudKMS seals by a key management service. These services do not all take
// associated data, so that they are sealed in.
type CloudKMS struct {
	name   string
	keeper Keeper
}

const maxKMS = 64 << 10

// NewCloudKMS uses a keeper; scheme names its service, such as awskms, and is
// written beside what it sealed.
func NewCloudKMS(scheme string, keeper Keeper) (*CloudKMS, error) {
	if keeper == nil {
		return nil, errors.New("cloud kms: no keeper")
	}
	if scheme == "" || len(scheme) > 32 || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return nil, fmt.Errorf("cloud kms: service %.40q is not a name", scheme)
	}
	return &CloudKMS{"cloud-kms " + scheme, keeper}, nil
}

// Name implements Protector.
func (k *CloudKMS) Name() string { return k.name }

// Origin implements Protector: whoever has the credentials opens the key.
func (*CloudKMS) Origin() Origin { return Host }

// Seal implements Protector.
func (k *CloudKMS) Seal(ctx context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	both, err := bind(key, associated)
	if err != nil {
		return nil, err
	}
	defer both.Zero()
	sealed, err := k.keeper.Encrypt(ctx, both.Expose())
	if err != nil {
		return nil, fmt.Errorf("%s: encrypt: %w", k.name, err)
	}
	if len(sealed) == 0 || len(sealed) > maxKMS {
		return nil, fmt.Errorf("%s: encrypt: a ciphertext of %d bytes", k.name, len(sealed))
	}
	return sealed, nil
}

// Unseal implements Protector.
func (k *CloudKMS) Unseal(ctx context.Context, sealed, associated []byte) (secret.Bytes, error) {
	if len(sealed) == 0 || len(sealed) > maxKMS {
		return secret.Bytes{}, fmt.Errorf("%w: a ciphertext of %d bytes", ErrSealed, len(sealed))
	}
	plain, err := k.keeper.Decrypt(ctx, sealed)
	if err != nil {
		// The service does not always tell a wrong key from one that is away.
		return secret.Bytes{}, fmt.Errorf("%s: decrypt: %w", k.name, err)
	}
	both := secret.Take(plain)
	defer both.Zero()
	return unbind(both, associated)
}
