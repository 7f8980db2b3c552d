package cli

import (
	"strconv"
	"syscall"
	"testing"
)

// openDescriptor opens a file as a bare descriptor, which no os.File of this
// process closes a second time.
func openDescriptor(t *testing.T, path string) string {
	t.Helper()
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(fd)
}
