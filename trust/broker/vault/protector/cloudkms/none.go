//go:build !cloudkms

// Package cloudkms opens root key protectors of clouds' key management services
// in binaries that are built with the tag cloudkms. This one is not.
package cloudkms

import (
	"context"
	"errors"

	"cloister/trust/broker/vault/protector"
)

// Schemes are the services that this binary knows.
var Schemes []string

// Open says that the binary knows none.
func Open(context.Context, string) (*protector.CloudKMS, func() error, error) {
	return nil, nil, errors.New("cloud kms: this binary was built without it: build with -tags cloudkms, or use another protector of the root key")
}
