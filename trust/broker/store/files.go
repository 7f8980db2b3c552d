package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
)

// file is what is written to.
type file interface {
	io.Writer
	Sync() error
	Truncate(size int64) error
	Close() error
}

// fileSystem is what the store changes; reading goes to the system directly.
type fileSystem interface {
	// create makes a new file, or fails with fs.ErrExist.
	create(path string) (file, error)
	rename(from, to string) error
	remove(path string) error
	syncDir(dir string) error
}

// osFiles is the system's own.
type osFiles struct{}

func (osFiles) create(path string) (file, error) {
	// Appending, so that after a truncation the next write lands at the end.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osFiles) rename(from, to string) error { return os.Rename(from, to) }
func (osFiles) remove(path string) error     { return os.Remove(path) }

// syncDir makes the names in dir durable. Some file systems cannot sync a
// directory and need not.
func (osFiles) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only read
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EBADF) || errors.Is(err, syscall.ENOSYS) {
		return nil
	}
	return err
}

// makeDir makes the store's directory, durably with all that is above it: what
// is in a directory that a power cut takes away is lost, however often it was
// synced.
func (s *Store) makeDir() error {
	made := []string{s.dir}
	for dir := filepath.Dir(s.dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, dir)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	for _, dir := range made {
		// Who may not read the directory above cannot sync it either.
		if err := s.fs.syncDir(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("sync %s: %w", filepath.Dir(dir), err)
		}
	}
	return nil
}

const (
	journalPrefix  = "journal-"
	snapshotPrefix = "snapshot-"
	segmentPrefix  = "segment-"
	tempSuffix     = ".tmp"
)

// path is the path of a file of the store.
func (s *Store) path(prefix string, generation uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s%016d", prefix, generation))
}

var fileName = regexp.MustCompile(`^(journal-|snapshot-|segment-)([0-9]{16,20})(?:-([0-9]{6,20}))?(\.tmp)?$`)

// listing is what files a directory has.
type listing struct {
	journals  []uint64 // ascending
	snapshots []uint64 // ascending
	temps     []uint64
	segments  []segmentID
}

func (l *listing) empty() bool { return len(l.journals) == 0 && len(l.snapshots) == 0 }

// next is a generation that no file has.
func (l *listing) next() uint64 {
	next := uint64(1)
	if n := len(l.journals); n > 0 {
		next = l.journals[n-1] + 1
	}
	if n := len(l.snapshots); n > 0 {
		next = max(next, l.snapshots[n-1]+1)
	}
	return next
}

func (s *Store) list() (*listing, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &listing{}, nil
	}
	if err != nil {
		return nil, err
	}
	l := new(listing)
	for _, e := range entries {
		m := fileName.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		generation, err := strconv.ParseUint(m[2], 10, 63)
		if err != nil || generation == 0 {
			continue
		}
		switch {
		case m[1] == segmentPrefix:
			if number, err := strconv.ParseUint(m[3], 10, 63); err == nil && m[4] == "" {
				l.segments = append(l.segments, segmentID{generation, number})
			}
		case m[3] != "":
		case m[4] != "":
			l.temps = append(l.temps, generation)
		case m[1] == journalPrefix:
			l.journals = append(l.journals, generation)
		default:
			l.snapshots = append(l.snapshots, generation)
		}
	}
	slices.Sort(l.journals)
	slices.Sort(l.snapshots)
	return l, nil
}

// removeBefore removes the files that the snapshot of a generation replaces,
// the journals in their order: one that is gone tells its writer that it was
// fenced (journal.fenced). What stays is removed the next time.
func (s *Store) removeBefore(generation uint64) {
	l, err := s.list()
	if err != nil {
		s.log.Warn("old files of the store stay", "store", s.dir, "error", err)
		return
	}
	remove := func(prefix, suffix string, generations []uint64) {
		for _, g := range generations {
			if g >= generation {
				continue
			}
			err := s.fs.remove(s.path(prefix, g) + suffix)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("an old file of the store stays", "store", s.dir, "error", err)
				return
			}
		}
	}
	remove(snapshotPrefix, tempSuffix, l.temps)
	remove(snapshotPrefix, "", l.snapshots)
	remove(journalPrefix, "", l.journals)
}
