package likegramine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Enter takes from this process, for good, the system calls that Gramine does not
// have, and proves it in dir. With noLocks record locks are taken away, too.
func Enter(dir string, noLocks bool) error {
	const (
		nr     = 0  // offsets in struct seccomp_data
		args   = 16 // low words, as all machines that this runs on are little-endian
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		answer = unix.BPF_RET | unix.BPF_K
		allow  = unix.SECCOMP_RET_ALLOW
		noSys  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
		inval  = unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)
	)
	posix := uint32(allow)
	if noLocks {
		posix = noSys
	}
	filter := []unix.SockFilter{{Code: load, K: nr}}
	for _, call := range append([]uint32{unix.SYS_FLOCK, unix.SYS_LINKAT, unix.SYS_SYMLINKAT}, oldLinkCalls...) {
		filter = append(filter, unix.SockFilter{Code: equal, K: call, Jf: 1}, unix.SockFilter{Code: answer, K: noSys})
	}
	filter = append(
		filter,
		unix.SockFilter{Code: equal, K: unix.SYS_MMAP, Jf: 4},
		unix.SockFilter{Code: load, K: args + 4*8}, // the descriptor
		unix.SockFilter{Code: equal, K: 0xffffffff, Jt: 1},
		unix.SockFilter{Code: answer, K: noSys},
		unix.SockFilter{Code: answer, K: allow},
		unix.SockFilter{Code: equal, K: unix.SYS_FCNTL, Jf: 6},
		unix.SockFilter{Code: load, K: args + 1*8}, // the command
		unix.SockFilter{Code: equal, K: unix.F_OFD_SETLK, Jf: 1},
		unix.SockFilter{Code: answer, K: inval},
		unix.SockFilter{Code: equal, K: unix.F_SETLK, Jf: 1},
		unix.SockFilter{Code: answer, K: posix},
		unix.SockFilter{Code: answer, K: allow},
		unix.SockFilter{Code: answer, K: allow},
	)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return proven(dir, noLocks)
}

func proven(dir string, noLocks bool) error {
	f, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // only a probe
	defer f.Close()           //nolint:errcheck // as above
	if _, err := io.WriteString(f, "x"); err != nil {
		return err
	}
	_, mapErr := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	lockErr := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	for name, err := range map[string]error{
		"flock":   unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB),
		"link":    unix.Link(f.Name(), f.Name()+"2"),
		"symlink": unix.Symlink(f.Name(), f.Name()+"2"),
		"linkat":  unix.Linkat(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, f.Name()+"2", 0),
		"mmap":    mapErr,
	} {
		if !errors.Is(err, unix.ENOSYS) {
			return fmt.Errorf("the filter lets %s pass: %w", name, err)
		}
	}
	if noLocks != errors.Is(lockErr, unix.ENOSYS) {
		return fmt.Errorf("a record lock: %w", lockErr)
	}
	return nil
}
