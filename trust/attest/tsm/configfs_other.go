//go:build !linux

package tsm

import "github.com/google/go-configfs-tsm/configfs/configfsi"

// Kernel returns the running kernel's configfs-tsm, nil if it has none.
func Kernel() configfsi.Client { return nil }
