package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// faults are the system's files until told to fail.
type faults struct {
	osFiles
	mu sync.Mutex
	// fail is asked before each operation; of a write that fails, half is done.
	fail func(op, path string) error
}

func (f *faults) set(fail func(op, path string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *faults) check(op, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		return nil
	}
	return f.fail(op, filepath.Base(path))
}

func (f *faults) create(path string) (file, error) {
	if err := f.check("create", path); err != nil {
		return nil, err
	}
	inner, err := f.osFiles.create(path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{inner, f, path}, nil
}

func (f *faults) rename(from, to string) error {
	if err := f.check("rename", to); err != nil {
		return err
	}
	return f.osFiles.rename(from, to)
}

func (f *faults) syncDir(dir string) error {
	if err := f.check("sync directory", dir); err != nil {
		return err
	}
	return f.osFiles.syncDir(dir)
}

// TestNewDirectoriesAreDurable: a store in a directory that a power cut takes
// away again has lost all that it acknowledged.
func TestNewDirectoriesAreDurable(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	var synced []string
	disk := new(faults)
	disk.set(func(op, path string) error {
		if op == "sync directory" {
			synced = append(synced, path)
		}
		return nil
	})
	dir := filepath.Join(top, "a", "b", "store")
	s, err := open(dir, Options{Create: true}, disk)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "a", filepath.Base(top), "store"}, synced); diff != "" {
		t.Error(diff)
	}
	disk.set(only(syscall.EIO, "sync directory"))
	if _, err := open(filepath.Join(top, "c", "store"), Options{Create: true}, disk); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
}

type faultyFile struct {
	file
	faults *faults
	path   string
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if err := f.faults.check("write", f.path); err != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, err
	}
	return f.file.Write(b)
}

func (f *faultyFile) Sync() error {
	if err := f.faults.check("sync", f.path); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.faults.check("truncate", f.path); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

// TestFullDisk fills the disk in every way, for a while. What fails is not
// there, what was there stays, and afterwards all goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(op, path string) error{
		"write":              only(syscall.ENOSPC, "write"),
		"sync":               only(syscall.EIO, "sync"),
		"write and truncate": only(syscall.ENOSPC, "write", "truncate"),
		"sync and truncate":  only(syscall.EIO, "sync", "truncate"),
		"sync and create":    only(syscall.EIO, "sync", "create"),
		"everything":         only(syscall.EIO, "write", "sync", "create", "truncate", "rename"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			disk := new(faults)
			s, err := open(dir, Options{Create: true}, disk)
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, "a", "1")
			want := map[string]string{"b/a": "1"}
			for round := range 3 {
				disk.set(fail)
				for range 3 {
					err := s.Update(t.Context(), func(tx *Tx) error { return tx.Put("b", "lost", nil) })
					if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EIO) {
						t.Errorf("got %v", err)
					}
					if diff := cmp.Diff(want, contents(t, s)); diff != "" {
						t.Error(diff)
					}
				}
				disk.set(nil)
				key := fmt.Sprint("kept", round)
				err := s.Update(t.Context(), func(tx *Tx) error {
					if _, ok := tx.Get("b", "lost"); ok {
						t.Error("a transaction sees one that failed")
					}
					return tx.Put("b", key, nil)
				})
				if err != nil {
					t.Fatal(err)
				}
				want["b/"+key] = ""
				if diff := cmp.Diff(want, contents(t, s)); diff != "" {
					t.Error(diff)
				}
			}
			if err := s.Compact(t.Context()); err != nil {
				t.Error(err)
			}
			put(t, s, "last", "")
			want["b/last"] = ""
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, contents(t, mustOpen(t, dir, Options{}))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func only(err error, ops ...string) func(op, path string) error {
	return func(op, _ string) error {
		for _, o := range ops {
			if o == op {
				return err
			}
		}
		return nil
	}
}

// TestFullDiskWhileCompacting fails the snapshot in every way: the journals
// stay, and nothing is lost.
func TestFullDiskWhileCompacting(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"create", "write", "sync", "rename"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			disk := new(faults)
			s, err := open(dir, Options{Create: true}, disk)
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, "a", "1")
			disk.set(func(o, path string) error {
				if o == op && strings.HasPrefix(path, snapshotPrefix) {
					return syscall.ENOSPC
				}
				return nil
			})
			if err := s.Compact(t.Context()); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("got %v", err)
			}
			put(t, s, "b", "2")
			disk.set(nil)
			if err := s.Compact(t.Context()); err != nil {
				t.Error(err)
			}
			put(t, s, "c", "3")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"b/a": "1", "b/b": "2", "b/c": "3"}
			if diff := cmp.Diff(want, contents(t, mustOpen(t, dir, Options{}))); diff != "" {
				t.Error(diff)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.HasSuffix(e.Name(), tempSuffix) {
					t.Errorf("%s stays", e.Name())
				}
			}
		})
	}
}

// TestConcurrentFailures has the disk fail now and then under load: what was
// acknowledged is there, what failed is not.
func TestConcurrentFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := new(faults)
	s, err := open(dir, Options{Create: true, CompactAt: 2000}, disk)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	disk.set(func(op, _ string) error {
		if n++; n%7 == 0 && op != "truncate" {
			return syscall.ENOSPC
		}
		return nil
	})
	var mu sync.Mutex
	want := map[string]string{}
	failed := 0
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 40 {
				key := fmt.Sprint(w, "-", i)
				err := s.Update(t.Context(), func(tx *Tx) error { return tx.Put("b", key, nil) })
				mu.Lock()
				if err == nil {
					want["b/"+key] = ""
				} else {
					failed++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	disk.set(nil)
	if failed == 0 || len(want) == 0 {
		t.Errorf("%d failed, %d did not", failed, len(want))
	}
	if diff := cmp.Diff(want, contents(t, s)); diff != "" {
		t.Error(diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, mustOpen(t, dir, Options{}))); diff != "" {
		t.Error(diff)
	}
}
