package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"cloister/trust/broker"
)

// freePort is an address that a witness can be told to serve at before it does.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startWitness runs "witness serve" until stop is called.
func startWitness(t *testing.T, args ...string) (*witnessReady, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int, 1)
	var errs strings.Builder
	go func() {
		code := newApp(strings.NewReader(""), w, &errs).run(ctx, append([]string{"broker", "witness", "serve", "--json"}, args...))
		w.Close()
		done <- code
	}()
	ready := new(witnessReady)
	if err := json.NewDecoder(r).Decode(ready); err != nil {
		cancel()
		t.Fatalf("exit %d: %s", <-done, errs.String())
	}
	go io.Copy(io.Discard, r)
	return ready, func() {
		cancel()
		if code := <-done; code != ExitDone {
			t.Errorf("witness: exit %d: %s", code, errs.String())
		}
	}
}

// TestBrokerWitness runs a broker with three witnesses, as their owners would,
// and audits it: its checkpoints are co-signed, by two of them too, and not by
// one.
func TestBrokerWitness(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	type one struct{ dir, address string }
	var all []one
	text, serve := "witnesses:\n  quorum: 2\n  keys:\n", []string{}
	for i := range 3 {
		w := one{filepath.Join(dir, fmt.Sprint("witness-", i)), freePort(t)}
		name := fmt.Sprintf("w%d.example/witness", i)
		code, out, errs := runBroker(t.Context(), "witness", "keygen", "--dir", w.dir, "--name", name)
		if code != ExitDone {
			t.Fatalf("keygen: exit %d: %s", code, errs)
		}
		text += fmt.Sprintf("    w%d: {owner: a, key: %q}\n", i, strings.TrimSpace(out))
		serve = append(serve, "--witness", fmt.Sprintf("w%d=https://%s", i, w.address))
		all = append(all, w)
	}
	o := newOperated(t, text, serve...)
	var stops []func()
	for _, w := range all {
		_, stop := startWitness(t, "--dir", w.dir, "--log", o.ready.Log, "--listen", w.address)
		stops = append(stops, stop)
	}
	o.approve()
	if err := o.newKey("wards", 1); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(o.dir, "audit.state")
	stops[2]()
	if err := o.newKey("wounds", 2); err != nil {
		t.Fatal(err)
	}
	out := o.must("audit", "--pin", o.pin, "--client-key", o.admin, "--state", state, "--policy", filepath.Join(o.dir, "policy.yaml"))
	if !strings.Contains(out, "co-signed by 2 of 3 witnesses") {
		t.Errorf("audit:\n%s", out)
	}
	// A checkpoint without enough co-signatures is refused.
	c, err := o.client().Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(c.Checkpoint, "\n")
	alone := filepath.Join(o.dir, "alone")
	if err := os.WriteFile(alone, []byte(strings.Join(lines[:len(lines)-2], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := o.command("audit", "--pin", o.pin, "--new", alone); code != ExitRefused || !strings.Contains(errs, "1 of 3 witnesses") {
		t.Errorf("one co-signature: exit %d: %s", code, errs)
	}
	o.stop()
	stops[0]()
	stops[1]()
	testWitnessFiles(t, all[0].dir, o.ready)
}

// TestWitnessReset restores a broker from a backup that is older than what its
// witness saw: the witness refuses it until its owner accepts the loss.
func TestWitnessReset(t *testing.T) {
	t.Parallel()
	dir, address := filepath.Join(t.TempDir(), "witness"), freePort(t)
	_, out, _ := runBroker(t.Context(), "witness", "keygen", "--dir", dir, "--name", "w.example/witness")
	o := newOperated(t, fmt.Sprintf("witnesses:\n  quorum: 1\n  keys:\n    w: {owner: a, key: %q}\n", strings.TrimSpace(out)), "--witness", "w=https://"+address)
	witness := []string{"--dir", dir, "--log", o.ready.Log}
	_, stop := startWitness(t, append(witness, "--listen", address)...)
	o.approve()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	identityFile, backup := filepath.Join(o.dir, "age.txt"), filepath.Join(o.dir, "broker.backup")
	if err := os.WriteFile(identityFile, []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var made broker.BackupMade
	text := o.must("backup", "--json", "--pin", o.pin, "--client-key", o.admin, "--recipient", identity.Recipient().String(), "-o", backup)
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		t.Fatal(err)
	}
	if err := o.newKey("wards", 1); err != nil {
		t.Fatal(err)
	}
	o.stop()
	o.state = filepath.Join(o.dir, "restored")
	o.must("restore", backup, "--dir", o.state, "--broker", "clinics", "--key", base64.StdEncoding.EncodeToString(made.Key),
		"--identity", identityFile, "--passphrase-fd", passphraseFD(t, testPassphrase))
	o.start()
	size := func() int64 {
		t.Helper()
		c, err := o.client().Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c.Size
	}
	before := size()
	// An order is refused since it is locked; its entry takes no effect.
	if err := o.newKey("other", 2); err == nil {
		t.Error("a restored broker is not locked")
	}
	if size() > before {
		t.Error("the witness co-signed another history")
	}
	stop()
	reset := append([]string{"witness", "reset", "--checkpoint", filepath.Join(o.state, restoredCheckpoint)}, witness...)
	if code, _, errs := o.command(reset...); code != ExitInput || !strings.Contains(errs, "--accept-loss") {
		t.Errorf("without a word about the loss: exit %d: %s", code, errs)
	}
	if out := o.must(append(reset, "--accept-loss")...); !strings.Contains(out, "cloister-broker/clinics\n") {
		t.Errorf("reset prints %q", out)
	}
	_, stop = startWitness(t, append(witness, "--listen", address)...)
	for range 600 {
		if size() > made.Checkpoint.Size {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if now := size(); now <= made.Checkpoint.Size {
		t.Errorf("the witness does not co-sign after the reset: %d entries, as %d before", now, before)
	}
	o.stop()
	stop()
}

// testWitnessFiles starts a witness that lacks what it needs.
func testWitnessFiles(t *testing.T, dir string, ready *brokerReady) {
	t.Helper()
	refused := func(reason string, args ...string) {
		t.Helper()
		if code, _, errs := runBroker(t.Context(), append([]string{"witness"}, args...)...); code != ExitInput || !strings.Contains(errs, reason) {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	refused("is there already", "keygen", "--dir", dir, "--name", "again")
	refused("--log", "serve", "--dir", dir)
	key := filepath.Join(dir, witnessKey)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	refused("others may read it", "serve", "--dir", dir, "--log", ready.Log)
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, witnessState)); err != nil {
		t.Fatal(err)
	}
	refused("no store is there", "serve", "--dir", dir, "--log", ready.Log)
}

// TestWitnessOperation asks what an operator's tools ask.
func TestWitnessOperation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, _, errs := runBroker(t.Context(), "witness", "keygen", "--dir", dir, "--name", "w"); code != ExitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
	o := newOperated(t, "")
	defer o.stop()
	ready, stop := startWitness(t, "--dir", dir, "--log", o.ready.Log, "--listen", "127.0.0.1:0", "--operation", "127.0.0.1:0")
	defer stop()
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ok", "/metrics": "cloister_witness_answers_total"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ready.Operation+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s, %v", path, resp.StatusCode, body, err)
		}
	}
}
