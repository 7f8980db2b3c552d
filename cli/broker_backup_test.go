package cli

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"cloister/trust/broker"
)

// TestBrokerBackup backs a broker up while it runs and while it does not, and
// restores it elsewhere, where it is locked.
func TestBrokerBackup(t *testing.T) {
	t.Parallel()
	o := newOperated(t, "")
	o.approve()
	if err := o.newKey("wards", 1); err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identityFile := filepath.Join(o.dir, "age.txt")
	if err := os.WriteFile(identityFile, []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(o.dir, "stranger.pem")
	writeKey(t, stranger)
	file := filepath.Join(o.dir, "broker.backup")
	online := []string{"backup", "--json", "--pin", o.pin, "--recipient", identity.Recipient().String(), "-o", file}
	if code, _, errs := o.command(append(online, "--client-key", stranger)...); code != ExitRefused || !strings.Contains(errs, "not an administrator") {
		t.Errorf("a stranger: exit %d: %s", code, errs)
	}
	if _, err := os.Lstat(file); err == nil {
		t.Error("a backup that was refused left a file")
	}
	var made broker.BackupMade
	if err := json.Unmarshal([]byte(o.must(append(online, "--client-key", o.admin)...)), &made); err != nil {
		t.Fatal(err)
	}
	key := base64.StdEncoding.EncodeToString(made.Key)
	o.stop()
	second := filepath.Join(o.dir, "second.backup")
	o.must("backup", "--dir", o.state, "--broker", "clinics", "--passphrase-fd", passphraseFD(t, testPassphrase),
		"--recipient", identity.Recipient().String(), "-o", second)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(o.dir, "cut.backup")
	if err := os.WriteFile(cut, text[:len(text)-100], 0o600); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(o.dir, "restored")
	restore := func(file, key, dir string) []string {
		return []string{"restore", file, "--dir", dir, "--broker", "clinics", "--key", key, "--identity", identityFile, "--passphrase-fd", passphraseFD(t, testPassphrase)}
	}
	otherKey := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct {
		args   []string
		code   int
		reason string
	}{
		"another's":   {restore(file, otherKey, restored), ExitTampering, "not signed by the broker's key"},
		"cut off":     {restore(cut, key, restored), ExitInput, ""},
		"over itself": {restore(file, key, o.state), ExitInput, "is there already"},
	} {
		if code, _, errs := o.command(c.args...); code == ExitDone || name != "cut off" && code != c.code || !strings.Contains(errs, c.reason) {
			t.Errorf("%s: exit %d: %s", name, code, errs)
		}
		if _, err := os.Lstat(filepath.Join(restored, "store")); err == nil {
			t.Errorf("%s: left a store", name)
		}
	}
	o.must(restore(second, key, restored)...)
	o.state = restored
	o.start()
	if err := o.newKey("other", 2); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a restored broker is not locked: %v", err)
	}
	o.stop()
}

// TestBrokerWatch follows a broker over a restart, and ends when it is told to.
func TestBrokerWatch(t *testing.T) {
	t.Parallel()
	o := newOperated(t, "")
	o.approve()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var errs strings.Builder
	done := make(chan int, 1)
	address := strings.TrimPrefix(o.ready.Address, "127.0.0.1:")
	go func() {
		code := newApp(strings.NewReader(""), w, &errs).run(ctx, []string{
			"broker", "watch", "--json", "--pin", o.pin, "--client-key", o.admin, "--from", "0", "--type", "order", "--owner", "a",
		})
		w.Close()
		done <- code
	}()
	lines := bufio.NewScanner(r)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("watched %q, %v, exit %d: %s", lines.Text(), lines.Err(), <-done, errs.String())
		}
	}
	if err := o.newKey("one", 1); err != nil {
		t.Fatal(err)
	}
	next("a/one")
	o.stop()
	o.start("--listen", "127.0.0.1:"+address)
	if err := o.newKey("two", 2); err != nil {
		t.Fatal(err)
	}
	next("a/two")
	cancel()
	if lines.Scan() {
		t.Errorf("an entry came twice: %s", lines.Text())
	}
	if code := <-done; code != ExitDone {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	o.stop()
}
