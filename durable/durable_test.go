package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloister/durable"
)

// Roles that the test binary plays when it runs itself.
const roleVariable = "DURABLE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		m.Run()
	case "limited":
		os.Exit(writeLimited(os.Args[1])) //nolint:forbidigo // the main function of this role
	case "loop":
		writeForever(os.Args[1])
	}
}

// writeLimited writes a megabyte where only a hundred kilobytes fit.
func writeLimited(path string) int {
	limit := syscall.Rlimit{Cur: 100 << 10, Max: 100 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		fmt.Println(err)
		return 3
	}
	err := durable.WriteFile(path, func(w io.Writer) error {
		for range 1 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return err
			}
		}
		return nil
	})
	fmt.Println(err)
	if errors.Is(err, syscall.EFBIG) {
		return 2
	}
	return 3
}

// writeForever replaces path again and again by a version of equal lines.
func writeForever(path string) {
	fmt.Println("started")
	for i := 0; ; i++ {
		err := durable.WriteFile(path, func(w io.Writer) error {
			for range 2000 {
				if _, err := fmt.Fprintf(w, "version %d\n", i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			panic(err)
		}
	}
}

func self(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, path)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantFile(t *testing.T, path, text string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Errorf("%s holds %q, want %q", path, got, text)
	}
}

func wantNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, names)
	}
}

func replace(path, text string) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func TestCommitReplacesAndKeepsThePermissions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "model.txt")
	write(t, path, "old")
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := durable.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "old")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Abort()
	wantFile(t, path, "new")
	wantNames(t, dir, "model.txt")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o640 {
		t.Errorf("mode is %v, want %v", info.Mode(), fs.FileMode(0o640))
	}
	if _, err := f.Write(nil); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("write after commit: %v", err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("commit after commit: %v", err)
	}
}

func TestAbortLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "model.txt")
	write(t, path, "old")
	cause := errors.New("no more")
	err := durable.WriteFile(path, func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) {
		t.Errorf("error is %v, want %v", err, cause)
	}
	wantFile(t, path, "old")
	wantNames(t, dir, "model.txt")
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, link := range map[string]string{"a": "b", "b": "a"} {
		if err := os.Symlink(link, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		path string
		want error
	}{
		"empty path":        {"", fs.ErrNotExist},
		"directory":         {dir, durable.ErrDirectory},
		"trailing slash":    {filepath.Join(dir, "new") + "/", durable.ErrDirectory},
		"missing directory": {filepath.Join(dir, "none", "model.txt"), fs.ErrNotExist},
		"loop of links":     {filepath.Join(dir, "a"), syscall.ELOOP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := durable.Create(test.path)
			var pe *fs.PathError
			if !errors.Is(err, test.want) || !errors.As(err, &pe) {
				t.Fatalf("error is %v, want a path error about %v", err, test.want)
			}
			if pe.Path != test.path {
				t.Errorf("error is about %q, want %q", pe.Path, test.path)
			}
		})
	}
}

func TestReadOnlyFileIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "model.txt")
	write(t, path, "old")
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	err := replace(path, "new")
	if os.Geteuid() == 0 {
		// Nothing is read-only to root.
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, "new")
		return
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error is %v, want permission denied", err)
	}
	wantFile(t, path, "old")
}

func TestSymbolicLinksAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join("real", "model.txt"), link); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} {
		if err := replace(link, text); err != nil {
			t.Fatal(err)
		}
		wantFile(t, filepath.Join(dir, "real", "model.txt"), text)
	}
	if target, err := os.Readlink(link); err != nil || target != filepath.Join("real", "model.txt") {
		t.Errorf("the link now leads to %q (%v)", target, err)
	}
	wantNames(t, filepath.Join(dir, "real"), "model.txt")
}

func TestDevicesAndPipesAreNotReplaced(t *testing.T) {
	t.Parallel()
	if err := replace(os.DevNull, "gone"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().IsRegular() {
		t.Fatalf("%s became %v (%v)", os.DevNull, info, err)
	}

	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte)
	go func() {
		text, _ := os.ReadFile(pipe) // an error shows as a wrong text
		got <- text
	}()
	if err := replace(pipe, "through"); err != nil {
		t.Fatal(err)
	}
	if text := <-got; string(text) != "through" {
		t.Errorf("read %q", text)
	}
}

func TestLongNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := strings.Repeat("n", 255)
	if err := replace(filepath.Join(dir, name), "text"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, name)
}

func TestStaleVersionsAreRemovedAndLiveOnesKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "model.txt")
	stale := filepath.Join(dir, ".model.txt.0123456789abcdef.cloister-tmp")
	other := filepath.Join(dir, ".model.txt.bak.0123456789abcdef.cloister-tmp")
	write(t, stale, "half")
	write(t, other, "of another file")
	live, err := durable.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stale version is still there: %v", err)
	}
	if err := replace(path, "second"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(live, "first"); err != nil {
		t.Fatal(err)
	}
	if err := live.Commit(); err != nil {
		t.Fatalf("the live version was taken for stale: %v", err)
	}
	wantFile(t, path, "first")
	wantFile(t, other, "of another file")
}

func TestFullDiskKeepsTheOldFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "model.txt")
	write(t, path, "old")
	out, err := self(t, "limited", path).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("%v: %s", err, out)
	}
	if want := "write " + path + ": file too large\n"; string(out) != want {
		t.Errorf("message is %q, want %q", out, want)
	}
	wantFile(t, path, "old")
	wantNames(t, dir, "model.txt")
}

func TestFailedWriteSticks(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() {
		r, err := os.Open(pipe)
		if err == nil {
			err = r.Close()
		}
		closed <- err
	}()
	f, err := durable.Create(pipe)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	// A process that another test is just starting may hold the pipe open for
	// a moment.
	var first error
	for i := 0; i < 1000 && first == nil; i++ {
		_, first = f.Write([]byte("x"))
		time.Sleep(time.Millisecond)
	}
	if !errors.Is(first, syscall.EPIPE) {
		t.Fatalf("error is %v, want a broken pipe", first)
	}
	if err := f.Commit(); !errors.Is(err, first) {
		t.Errorf("commit says %v, want %v", err, first)
	}
}

func TestKillsLeaveAWholeFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "model.txt")
	write(t, path, strings.Repeat("old\n", 2000))
	for i := range 8 {
		cmd := self(t, "loop", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("started\n"))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i*i*3) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait() // an error: it was killed
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := bytes.Cut(text, []byte("\n"))
		if want := bytes.Repeat(append(line, '\n'), 2000); !bytes.Equal(text, want) {
			t.Fatalf("after kill %d the file has %d bytes of mixed or missing lines", i, len(text))
		}
	}
	if err := replace(path, "last"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, "model.txt")
}
