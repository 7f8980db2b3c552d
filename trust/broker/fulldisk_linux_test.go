package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fillDisk makes the next write of the store's journal fail for want of room: its
// descriptor becomes one of /dev/full. The store then begins another journal.
func (f *fixture) fillDisk(t *testing.T) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		path, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
		if err != nil || !strings.HasPrefix(path, filepath.Join(f.dir, "store", "journal-")) {
			continue
		}
		var n int
		if _, err := fmt.Sscan(fd.Name(), &n); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(full.Fd()), n, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("the store has no journal open")
}

// TestDiskFull has the disk fill up in the middle of a release: nothing leaves and
// nothing is counted, the answer does not say what the host is short of, and the
// broker goes on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards")
	f.approveJob(f.a, "once", 1)
	f.waitWitnessed(t)
	f.fillDisk(t)
	_, err := f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("once"), []Want{wards("a", 1)})
	f.why(t, err, "release", CodeInternal, "an error of its own")
	for _, e := range f.entries() {
		if run, ok := e.Details["run"]; ok {
			t.Errorf("entry %s: %s has run %s, which was not counted", e.Type, e.Reason, run)
		}
	}
	r, err := f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("once"), []Want{wards("a", 1)})
	if err != nil || r.Run != 1 {
		t.Errorf("after it: %+v, %v", r, err)
	}
}
