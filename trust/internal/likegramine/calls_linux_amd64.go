package likegramine

import "golang.org/x/sys/unix"

// oldLinkCalls are those that later machines no longer have.
var oldLinkCalls = []uint32{unix.SYS_LINK, unix.SYS_SYMLINK}
