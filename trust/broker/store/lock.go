package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lock is a record lock on the file "lock" in the store's directory. It is a
// courtesy to who starts a second broker by mistake; see the package on what
// safety rests on.
type lock struct {
	f *os.File
	// exclusive says that no other process on this machine can have it.
	exclusive bool
}

// takeLock takes the lock, or returns ErrInUse. Where the system has no such
// locks there is none, and no error.
func takeLock(dir string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	// Locks of the open file (OFD) also hold between two openers of one process;
	// Gramine has only those of the process (POSIX).
	exclusive := false
	for _, cmd := range lockCommands {
		err = unix.FcntlFlock(f.Fd(), cmd, &whole)
		exclusive = err == nil && cmd != unix.F_SETLK
		if err == nil || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			break
		}
	}
	switch {
	case err == nil:
		// Who has it, for the message of another.
		if f.Truncate(0) == nil {
			fmt.Fprintf(f, "%d\n", os.Getpid())
		}
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		defer f.Close() //nolint:errcheck // only read
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		if pid := strings.TrimSpace(string(holder)); pid != "" {
			return nil, fmt.Errorf("process %s: %w", pid, ErrInUse)
		}
		return nil, ErrInUse
	}
	return &lock{f, exclusive}, nil
}

// release gives the lock back. The file stays: to remove it would let two
// processes lock two files of one name.
func (l *lock) release() {
	if l != nil {
		l.f.Close() //nolint:errcheck // only the lock was of use
	}
}
