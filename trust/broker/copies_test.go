package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// TestChangedStore: a broker does not start from a store in which a byte was
// changed. Every byte of every file is the matter of the tests of store and vault.
func TestChangedStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(f.dir, "store", "journal-*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, place := range []int{0, len(whole) / 3, len(whole) / 2} {
			spoilt := append([]byte{}, whole...)
			spoilt[place] ^= 1
			if err := os.WriteFile(path, spoilt, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := f.openAny(); err == nil {
				f.broker.Close()
				t.Errorf("%s: byte %d was changed, and the broker started", filepath.Base(path), place)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.start(setting{}, false)
	if _, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)}); err != nil {
		t.Error(err)
	}
}

// openAny opens the broker's state, whatever is wrong with it.
func (f *fixture) openAny() error {
	o := vault.RootOptions{Path: filepath.Join(f.dir, "root"), Broker: "test", Protector: newTestProtector(f.t), Now: time.Now}
	root, err := vault.OpenRoot(f.t.Context(), o)
	if err != nil {
		return err
	}
	f.broker, err = Start(f.t.Context(), Config{
		Dir: filepath.Join(f.dir, "store"), Root: root, Quorum: Witnesses(nil, time.Now), Sources: &f.sources, Options: Options{},
	})
	return err
}

// TestOlderCopy puts an older copy of the store in the place of the newer. Who
// kept a checkpoint of the newer notices: at first the log is too short for it,
// and once it has grown again it is another log.
func TestOlderCopy(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards")
	f.approveJob(f.a, "once", 1)
	dir, copied := filepath.Join(f.dir, "store"), filepath.Join(f.dir, "copy")
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	run := func() (*Release, error) {
		return f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("once"), []Want{wards("a", 1)})
	}
	f.start(setting{}, false)
	r, err := run()
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(f.broker.logKey)
	if err != nil {
		t.Fatal(err)
	}
	kept, _, err := audit.OpenCheckpoint([]byte(r.Receipt.Checkpoint), verifier)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.broker.audit.Holds(kept); err != nil {
		t.Fatal(err)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, dir); err != nil {
		t.Fatal(err)
	}
	f.start(setting{}, false)
	consistent := func() error {
		var p ProofAnswer
		size, err := f.broker.audit.Size()
		if err != nil {
			return err
		}
		to := max(size, kept.Size)
		if err := f.client().Do(t.Context(), "GET", fmt.Sprintf("%s?from=%d&to=%d", PathConsistency, kept.Size, to), nil, &p); err != nil {
			return err
		}
		proof := tlog.TreeProof{}
		for _, h := range p.Proof {
			proof = append(proof, tlog.Hash(h))
		}
		var now CheckpointAnswer
		if err := f.client().Do(t.Context(), "GET", PathCheckpoint, nil, &now); err != nil {
			return err
		}
		c, _, err := audit.OpenCheckpoint([]byte(now.Checkpoint), verifier)
		if err != nil {
			return err
		}
		if c.Size != to {
			return fmt.Errorf("the checkpoint has %d entries, not %d", c.Size, to)
		}
		return tlog.CheckTree(proof, c.Size, c.Root, kept.Size, kept.Root)
	}
	refusedFor(t, consistent(), CodeNotFound, "no such entry")
	if err := f.broker.audit.Holds(kept); !errors.Is(err, audit.ErrForked) {
		t.Errorf("the older copy holds what was kept: %v", err)
	}
	// Without witnesses the run is repeated, which is what their absence is
	// insecure for.
	if again, err := run(); err != nil || again.Receipt.Insecure != audit.InsecureNoWitness {
		t.Errorf("%+v, %v", again, err)
	}
	for i := range uint64(8) {
		f.order(f.a, Order{Operation: NewKey, DataSet: "x", Version: i + 1, Use: vault.Data, Number: 100 + i})
	}
	f.waitWitnessed(t)
	var refused *AnswerError
	if err := consistent(); err == nil || errors.As(err, &refused) {
		t.Errorf("the other log goes on from what was kept: %v", err)
	}
	if err := f.broker.audit.Holds(kept); !errors.Is(err, audit.ErrForked) {
		t.Errorf("the other log holds what was kept: %v", err)
	}
}

// certify asks for a certificate of a name.
func (f *fixture) certify(t *testing.T, p *program, name string) (*CertificateAnswer, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	q := &CertificateRequest{Job: jobOf("one")}
	if q.CSR, err = issuer.CertificateRequest(key, []string{name}); err != nil {
		t.Fatal(err)
	}
	if q.Key, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		t.Fatal(err)
	}
	var n NonceAnswer
	if err := f.client().Do(t.Context(), "POST", PathNonce, &NonceRequest{hashOf(q.Key)}, &n); err != nil {
		t.Fatal(err)
	}
	q.Nonce = n.Nonce
	b := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}
	e, err := p.Produce(t.Context(), b.ReportData())
	if err != nil {
		t.Fatal(err)
	}
	q.Evidence = *e
	a := new(CertificateAnswer)
	return a, f.client().Do(t.Context(), "POST", PathCertificate, q, a)
}

// revoked are the serial numbers in the list of the authority.
func (f *fixture) revoked(t *testing.T) (serials []string) {
	t.Helper()
	resp, err := f.client().http.Get("https://" + f.addr + PathCRL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	der, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.RevokedCertificateEntries {
		serials = append(serials, e.SerialNumber.Text(16))
	}
	return serials
}

// TestRevokedByPolicy: a certificate goes with the program that it was issued to,
// the name and the job, and stays where a change is of something else.
func TestRevokedByPolicy(t *testing.T) {
	t.Parallel()
	other := sha256.Sum256([]byte("another trainer"))
	trainer := sha256.Sum256([]byte("trainer"))
	for name, c := range map[string]struct {
		old, next string
		revoked   bool
	}{
		"the program is another": {hex.EncodeToString(trainer[:]), hex.EncodeToString(other[:]), true},
		"the name is gone":       {"    certificates: [worker-0.cluster.test]\n", "", true},
		"the name is another":    {"worker-0.cluster.test", "worker-1.cluster.test", true},
		"a job is gone":          {jobOf("two").String(), jobOf("three").String(), true},
		"the workload is gone":   {"  trainer:\n", "  trainer-2:\n", true},
		"a key more":             {"      b/wards: [1+]\n", "      b/wards: [1+]\n      b/x: [1]\n", false},
		"a term less":            {"    terms: [no-export]\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setting{})
			a, err := f.certify(t, newProgram(t, "trainer"), "worker-0.cluster.test")
			if err != nil {
				t.Fatal(err)
			}
			text := f.policyText(2, f.parse(f.text).Hash().String())
			if !strings.Contains(text, c.old) {
				t.Fatalf("the policy has no %q", c.old)
			}
			if got := f.approve(strings.Replace(text, c.old, c.next, 1), f.a, f.b); !got.Applied {
				t.Fatalf("%+v", got)
			}
			cert, err := x509.ParseCertificate(a.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			got := f.revoked(t)
			if c.revoked && (len(got) != 1 || got[0] != cert.SerialNumber.Text(16)) || !c.revoked && len(got) != 0 {
				t.Errorf("revoked are %v", got)
			}
		})
	}
}

// TestRestoredIsLocked: a restored broker gives nothing, neither keys nor
// certificates, before its owners have confirmed what they saw last.
func TestRestoredIsLocked(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	set := func(state *vault.RestoredState) {
		err := f.broker.store.Update(context.WithoutCancel(t.Context()), func(tx *store.Tx) error {
			if state == nil {
				return tx.Delete("vault", "restored")
			}
			text, err := json.Marshal(state)
			if err != nil {
				return err
			}
			return tx.Put("vault", "restored", text)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(&vault.RestoredState{Format: 1, Owners: []string{"a", "b"}, Complete: true})
	if err := f.broker.Ready(); !errors.Is(err, vault.ErrRestored) {
		t.Errorf("ready: %v", err)
	}
	_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	f.why(t, err, "release", CodeLocked, "waiting for [a b]")
	_, err = f.certify(t, newProgram(t, "trainer"), "worker-0.cluster.test")
	f.why(t, err, "certificate", CodeLocked, "waiting for [a b]")
	_, err = f.tryOrder(f.a, f.a, Order{Operation: NewKey, DataSet: "x", Version: 1, Use: vault.Data})
	f.why(t, err, "order.new-key", CodeLocked, "waiting for [a b]")
	set(nil)
	if _, err = f.certify(t, newProgram(t, "trainer"), "worker-0.cluster.test"); err != nil {
		t.Error(err)
	}
}
