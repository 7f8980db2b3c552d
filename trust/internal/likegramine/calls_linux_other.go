//go:build linux && !amd64

package likegramine

// oldLinkCalls are those that later machines no longer have.
var oldLinkCalls []uint32
