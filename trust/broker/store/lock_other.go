//go:build !linux

package store

import "golang.org/x/sys/unix"

var lockCommands = []int{unix.F_SETLK}
