//go:build !linux

package secret

import "errors"

func lockedRegion(int) ([]byte, error) { return nil, errors.ErrUnsupported }

// NoDumps is not known here.
func NoDumps() error { return errors.ErrUnsupported }
