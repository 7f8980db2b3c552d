package store

import "golang.org/x/sys/unix"

var lockCommands = []int{unix.F_OFD_SETLK, unix.F_SETLK}
