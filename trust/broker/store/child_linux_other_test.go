//go:build linux && !amd64

package store

// oldLinkCalls are those that later machines no longer have.
var oldLinkCalls []uint32
