package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cloister/trust/internal/likegramine"
)

// The environment of a child: what it does, in which directory.
const (
	childMode = "CLOISTER_STORE_TEST_CHILD"
	childDir  = "CLOISTER_STORE_TEST_DIR"
)

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		m.Run()
		return
	}
	if err := runChild(mode, os.Getenv(childDir)); err != nil {
		panic(err)
	}
}

func child(t *testing.T, mode, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childMode+"="+mode, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func runChild(mode, dir string) error {
	sealer, err := NewSealer(make([]byte, KeySize))
	if err != nil {
		return err
	}
	if strings.Contains(mode, "gramine") {
		if err := likegramine.Enter(dir, strings.Contains(mode, "nolocks")); err != nil {
			return err
		}
	}
	opts := Options{Create: true, Sealer: sealer, CompactAt: 20_000, SegmentAt: 3_000}
	if strings.HasPrefix(mode, "load") {
		return load(dir, opts)
	}
	return tour(dir, opts)
}

// tour does once all that a store does.
func tour(dir string, opts Options) error {
	for i := range 3 {
		s, err := Open(dir, opts)
		if err != nil {
			return err
		}
		err = s.Update(context.Background(), func(tx *Tx) error {
			if n := tx.Len("b"); n != i {
				return fmt.Errorf("%d keys, want %d", n, i)
			}
			for range 100 {
				if _, err := tx.Append("l", make([]byte, 50)); err != nil {
					return err
				}
			}
			return tx.Put("b", fmt.Sprint(i), nil)
		})
		if err == nil {
			err = s.Compact(context.Background())
		}
		if err == nil {
			err = s.Check(context.Background())
		}
		if err := errors.Join(err, s.Close()); err != nil {
			return err
		}
	}
	return nil
}

// load writes keys from several goroutines and says of each that it was
// acknowledged, until it is killed.
func load(dir string, opts Options) error {
	s, err := Open(dir, opts)
	if err != nil {
		return err
	}
	fmt.Println("open")
	for w := range 4 {
		go func() {
			bucket := fmt.Sprint("w", w)
			for {
				var key string
				err := s.Update(context.Background(), func(tx *Tx) error {
					key = fmt.Sprintf("%08d", tx.Len(bucket))
					if _, err := tx.Append(bucket, []byte(strings.Repeat(key, 20))); err != nil {
						return err
					}
					return tx.Put(bucket, key, []byte(strings.Repeat(key, 20)))
				})
				if err != nil {
					panic(err)
				}
				fmt.Printf("%s %s\n", bucket, key)
			}
		}()
	}
	select {}
}

// TestKilled kills a process under load at random moments: nothing that it
// acknowledged is lost, no transaction is there by half, and it starts again by
// itself. Every second one runs as under Gramine.
func TestKilled(t *testing.T) {
	t.Parallel()
	rounds := 10
	if os.Getenv("CLOISTER_SOAK") != "" {
		rounds = 500
	}
	dir := t.TempDir()
	last := map[string]string{} // the last key of each bucket that was acknowledged
	for round := range rounds {
		mode := "load"
		if round%2 == 1 {
			mode = "load gramine nolocks"
		}
		cmd := child(t, mode, dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// From before the store is open until far into the load.
		timer := time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, func() { cmd.Process.Kill() })
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if bucket, key, ok := strings.Cut(lines.Text(), " "); ok {
				last[bucket] = key
			}
		}
		timer.Stop()
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: the child ended by itself: %v", round, err)
		}
		checkKilled(t, dir, last)
	}
	if len(last) == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

// checkKilled checks what a killed process left.
func checkKilled(t *testing.T, dir string, last map[string]string) {
	t.Helper()
	s, err := Open(dir, Options{Create: true, Sealer: testKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(func(tx *Tx) error {
		for bucket, key := range last {
			if _, ok := tx.Get(bucket, key); !ok {
				t.Errorf("%s %s was acknowledged and is not there", bucket, key)
			}
		}
		for _, bucket := range tx.Buckets() {
			i := 0
			for key, value := range tx.Range(bucket, "", "") {
				if key != fmt.Sprintf("%08d", i) || string(value) != strings.Repeat(key, 20) {
					t.Errorf("%s %s is key %d with value %q", bucket, key, i, value)
				}
				i++
			}
			if n := tx.Length(bucket); n != int64(i) {
				t.Errorf("%s: %d entries beside %d keys", bucket, n, i)
			}
			j := 0
			for entry, err := range tx.Entries(bucket, 0, tx.Length(bucket)) {
				if err != nil || string(entry) != strings.Repeat(fmt.Sprintf("%08d", j), 20) {
					t.Errorf("%s: entry %d is %q: %v", bucket, j, entry, err)
					break
				}
				j++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLikeGramine runs a store where flock, links and file mappings return
// ENOSYS, with the locks that Gramine has, and with none.
func TestLikeGramine(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"tour gramine", "tour gramine nolocks"} {
		out, err := child(t, mode, t.TempDir()).Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", mode, err, out)
		}
	}
}
