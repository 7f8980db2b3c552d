//go:build cloudkms

// Package cloudkms opens root key protectors of clouds' key management services,
// through gocloud.dev/secrets. It is only in binaries built with the tag
// cloudkms: the drivers more than double a small program, and inside a trusted
// execution environment, for which the measured binary is meant, they are
// refused anyway.
package cloudkms

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/awskms"        // awskms://
	_ "gocloud.dev/secrets/azurekeyvault" // azurekeyvault://
	_ "gocloud.dev/secrets/gcpkms"        // gcpkms://

	"cloister/trust/broker/vault/protector"
)

// Schemes are the services that this binary knows.
var Schemes = []string{"awskms", "azurekeyvault", "gcpkms"}

// Open returns a protector for a URL of gocloud.dev/secrets, such as
// awskms://alias/cloister?region=eu-central-1, and what to call at the end. The
// service's own library finds the credentials.
func Open(ctx context.Context, address string) (*protector.CloudKMS, func() error, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, fmt.Errorf("cloud kms: %w", err)
	}
	if !slices.Contains(Schemes, u.Scheme) {
		return nil, nil, fmt.Errorf("cloud kms: service %.40q is not known: it is one of %v", u.Scheme, Schemes)
	}
	keeper, err := secrets.OpenKeeper(ctx, address)
	if err != nil {
		return nil, nil, fmt.Errorf("cloud kms: %w", err)
	}
	p, err := protector.NewCloudKMS(u.Scheme, keeper)
	if err != nil {
		keeper.Close() //nolint:errcheck // the first error is the one to tell
		return nil, nil, err
	}
	return p, keeper.Close, nil
}
