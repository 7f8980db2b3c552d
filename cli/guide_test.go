package cli_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
)

// TestBrokerGuide runs the commands of the guide in their order, as a reader does.
func TestBrokerGuide(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/guide/broker.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	address := brokerAddress()
	host, port, _ := strings.Cut(address, ":")
	// A slow machine takes longer to open the root key than a reader waits.
	fmt.Fprintf(&script, `set -eu -o pipefail
serves() {
    until (exec 9<>/dev/tcp/%s/%s) 2>/dev/null; do kill -0 $! && sleep 0.1; done
}
`, host, port)
	background := regexp.MustCompile(`(?m) &$`)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) < 20 {
		t.Fatalf("the guide has %d blocks of commands", len(blocks))
	}
	for i, b := range blocks {
		fmt.Fprintf(&script, "echo '# block %d' >&2\n%s", i+1, background.ReplaceAllString(strings.ReplaceAll(b[1], "127.0.0.1:7443", address), " &\nserves"))
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+filepath.Join(dir, "config"))
	// The brokers in the background end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"it is in force", "all owners have confirmed", "the keys of hospital-a are recovered", "the broker is unlocked and starts"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the guide does not get to %q:\n%s", want, out.String())
		}
	}
	for owner, file := range map[string]string{"hospital-a": "released/hospital-a.wards.1", "hospital-b": "released/hospital-b.wards.1"} {
		key, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || len(key) != 32 {
			t.Errorf("key of %s: %d bytes, %v", owner, len(key), err)
		}
	}
}

// ageKeygen does what the guide needs of age's program of that name: "-o FILE"
// makes an identity, "-y FILE" prints its public key.
func ageKeygen() {
	create, show := flag.String("o", "", ""), flag.String("y", "", "")
	flag.Parse()
	err := func() error {
		if *create != "" {
			i, err := age.GenerateX25519Identity()
			if err != nil {
				return err
			}
			return os.WriteFile(*create, fmt.Appendf(nil, "# public key: %s\n%s\n", i.Recipient(), i), 0o600)
		}
		text, err := os.Open(*show)
		if err != nil {
			return err
		}
		defer text.Close()
		all, err := age.ParseIdentities(text)
		if err != nil {
			return err
		}
		i, ok := all[0].(*age.X25519Identity)
		if !ok {
			return fmt.Errorf("%s: another kind of identity", *show)
		}
		fmt.Println(i.Recipient())
		return nil
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "age-keygen:", err)
		os.Exit(1) //nolint:forbidigo // a main function
	}
}
