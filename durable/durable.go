// Package durable writes files that are whole or absent: a new version is
// written beside the old one, synced and renamed over it, so that after a
// kill, a full disk or a power cut either the old file or the new one is
// there, never a part of one.
//
// A version that is being written lies in the target's directory under a
// hidden name that ends in ".cloister-tmp", and is locked (flock) by the
// process that writes it. What a killed process left there holds no lock and
// is removed by the next process that writes the same file.
package durable

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrDirectory is returned by Create for a path that is a directory.
var ErrDirectory = errors.New("is a directory")

const suffix = ".cloister-tmp"

// File is a new version of a file, not yet in its place. Its methods are safe
// for concurrent use, so that a program that must end can Abort a File that
// another goroutine writes.
type File struct {
	path string // what the caller called it
	dest string // path with symbolic links followed
	temp string // empty for a device or a pipe, which is written to directly

	mu   sync.Mutex
	f    *os.File // nil once committed or aborted
	err  error    // the first failure; it sticks
	done bool     // committed
}

// Create starts a new version of the file at path. Nothing changes at path
// before Commit. A symbolic link is followed, an existing file's permission
// bits are kept, and a file that may not be written is refused although its
// directory would allow replacing it. A device or a named pipe is not replaced
// but written to.
//
// The caller must end with Commit or Abort.
func Create(path string) (*File, error) {
	dest, err := follow(path)
	if err != nil {
		return nil, failure("create", path, err)
	}
	mode := fs.FileMode(0)
	info, err := os.Stat(dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if strings.HasSuffix(path, string(filepath.Separator)) {
			return nil, failure("create", path, ErrDirectory)
		}
	case err != nil:
		return nil, failure("create", path, err)
	case info.IsDir():
		return nil, failure("create", path, ErrDirectory)
	case !info.Mode().IsRegular():
		f, err := os.OpenFile(dest, os.O_WRONLY, 0)
		if err != nil {
			return nil, failure("create", path, err)
		}
		return &File{path: path, dest: dest, f: f}, nil
	default:
		if err := unix.Access(dest, unix.W_OK); err != nil {
			return nil, failure("create", path, err)
		}
		mode = info.Mode().Perm()
	}

	dir, base := filepath.Split(dest)
	removeStale(dir, base)
	f, err := createTemp(dir, base)
	if err != nil {
		return nil, failure("create", path, err)
	}
	if mode != 0 {
		if err := f.Chmod(mode); err != nil {
			os.Remove(f.Name()) //nolint:errcheck // the first error is the one to tell
			f.Close()           //nolint:errcheck // as above
			return nil, failure("create", path, err)
		}
	}
	return &File{path: path, dest: dest, temp: f.Name(), f: f}, nil
}

// WriteFile writes a new version of the file at path: what write writes, or,
// where it returns an error, nothing.
func WriteFile(path string, write func(io.Writer) error) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := write(f); err != nil {
		return err
	}
	return f.Commit()
}

// Name is the path that was given to Create.
func (f *File) Name() string { return f.path }

// Chmod sets the permission bits of the new version, which are otherwise those of
// the old one or, for a new file, what the umask leaves of 0666.
func (f *File) Chmod(mode fs.FileMode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(); err != nil {
		return err
	}
	if f.temp == "" {
		return nil
	}
	if err := f.f.Chmod(mode); err != nil {
		f.err = failure("change the mode of", f.path, err)
	}
	return f.err
}

// Write appends to the new version. After a failure every later call, and
// Commit, returns the same error, which is an *fs.PathError about the path
// given to Create.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(); err != nil {
		return 0, err
	}
	n, err := f.f.Write(p)
	if err != nil {
		f.err = failure("write", f.path, err)
	}
	return n, f.err
}

// Commit makes the new version durable and puts it into its place. When it
// fails the new version is removed and the old one is untouched, unless the
// error says that the directory could not be synced: then the new version is
// in its place but might not survive a power cut.
func (f *File) Commit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.usable(); err != nil {
		f.drop()
		return err
	}
	if f.temp == "" {
		err := f.f.Close()
		f.f = nil
		if err != nil {
			return failure("write", f.path, err)
		}
		f.done = true
		return nil
	}
	if err := f.f.Sync(); err != nil {
		f.err = failure("write", f.path, err)
		f.drop()
		return f.err
	}
	if err := os.Rename(f.temp, f.dest); err != nil {
		f.err = failure("replace", f.path, err)
		f.drop()
		return f.err
	}
	f.done = true
	f.f.Close() //nolint:errcheck // all is synced and in its place: nothing is left to lose
	f.f = nil
	if err := syncDir(filepath.Dir(f.dest)); err != nil {
		return failure("sync the directory of", f.path, err)
	}
	return nil
}

// Abort removes the new version. After Commit, or a second time, it does
// nothing, so that it can be deferred.
func (f *File) Abort() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
}

func (f *File) usable() error {
	switch {
	case f.err != nil:
		return f.err
	case f.f == nil:
		return failure("write", f.path, fs.ErrClosed)
	}
	return nil
}

func (f *File) drop() {
	if f.f == nil {
		return
	}
	if f.temp != "" {
		os.Remove(f.temp) //nolint:errcheck // the next Create tries again
	}
	f.f.Close() //nolint:errcheck // it is being thrown away
	f.f = nil
}

// follow returns the file that path leads to, which need not exist.
func follow(path string) (string, error) {
	if path == "" {
		return "", fs.ErrNotExist
	}
	for range 40 {
		target, err := os.Readlink(path)
		if err != nil {
			// The parent directories' links do not matter, the new version
			// lies in the same directory.
			return path, nil //nolint:nilerr // not a link, or not there
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", unix.ELOOP
}

// createTemp creates and locks a new hidden file for base in dir.
func createTemp(dir, base string) (*os.File, error) {
	for range 100 {
		var random [8]byte
		rand.Read(random[:])
		name := dir + tempName(base, hex.EncodeToString(random[:]))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if lock(f) && !sameFile(f, name) {
			// Between its creation and its locking another process took it
			// for a stale one.
			f.Close() //nolint:errcheck // nothing was written
			continue
		}
		return f, nil
	}
	return nil, fmt.Errorf("no free temporary name: %w", fs.ErrExist)
}

// tempName is the hidden name of a new version of base, at most 255 bytes
// long as file systems demand.
func tempName(base, random string) string {
	const room = 255 - 1 - 1 - 16 - len(suffix)
	if len(base) > room {
		base = base[:room]
	}
	return "." + base + "." + random + suffix
}

// lock takes the lock of f without waiting. File systems without locks exist:
// there nothing is ever taken for stale.
func lock(f *os.File) bool {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

func sameFile(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(name)
	return err == nil && os.SameFile(a, b)
}

// removeStale removes what killed processes left of base in dir. It is a
// courtesy: where it fails the leftover stays.
func removeStale(dir, base string) {
	prefix, _, _ := strings.Cut(tempName(base, "\x00"), "\x00")
	search := dir
	if search == "" {
		search = "."
	}
	entries, err := os.ReadDir(search)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := e.Name()
		random, ok := strings.CutSuffix(strings.TrimPrefix(name, prefix), suffix)
		if !ok || !strings.HasPrefix(name, prefix) || len(random) != 16 || !e.Type().IsRegular() {
			continue
		}
		f, err := os.OpenFile(dir+name, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if lock(f) && sameFile(f, dir+name) {
			os.Remove(dir + name) //nolint:errcheck // the next Create tries again
		}
		f.Close() //nolint:errcheck // nothing was written
	}
}

// syncDir makes a rename in dir durable. Some file systems cannot sync a
// directory and need not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil // writable but not readable: there is no way to sync it
		}
		return err
	}
	defer d.Close() //nolint:errcheck // only read
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EBADF) {
		return nil
	}
	return err
}

// failure says what failed in terms of the path that the caller knows, not of
// the temporary one.
func failure(op, path string, err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	var se *os.SyscallError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	case errors.As(err, &se):
		err = se.Err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
