package cli_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestKillsLeaveTheOldBinaryOrTheNew kills task=save_binary at random moments.
func TestKillsLeaveTheOldBinaryOrTheNew(t *testing.T) {
	t.Parallel()
	kills := 10
	if os.Getenv("CLOISTER_SOAK") != "" {
		kills = 200
	}
	dir := t.TempDir()
	writeTable(t, filepath.Join(dir, "train.csv"), 20_000)
	path := filepath.Join(dir, "train.csv.bin")
	save := func(version int) *exec.Cmd {
		return command(t, dir, "train", "data=train.csv", "task=save_binary", fmt.Sprintf("max_bin=%d", 254+version))
	}
	var versions [2][]byte
	var longest time.Duration
	for i := range versions {
		start := time.Now()
		if out, err := save(i).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		longest = max(longest, time.Since(start))
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		versions[i] = data
	}
	if bytes.Equal(versions[0], versions[1]) {
		t.Fatal("both versions of the file are equal: nothing can be told apart")
	}
	random := rand.New(rand.NewPCG(uint64(kills), 9))
	for i := range kills {
		cmd := save(i % 2)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Float64() * 1.1 * float64(longest)))
		cmd.Process.Kill() // an error where it has ended
		cmd.Wait()         // an error where it was killed
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, versions[0]) && !bytes.Equal(data, versions[1]) {
			t.Fatalf("after kill %d the file has %d bytes and is neither the old one nor the new one", i+1, len(data))
		}
	}
	if out, err := save(0).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wantNoLeftovers(t, dir)
}
