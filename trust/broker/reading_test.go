package broker

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
)

// TestAuditFindsTampering changes an entry in the store of a running broker, as
// who has its root key could, and reads the log as an administrator.
func TestAuditFindsTampering(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, hash := selfSigned(t, key)
	f := newFixture(t, setting{prepare: func(f *fixture) { f.admin = hash }})
	f.dataSet(f.a, "wards", "no-export")
	admin, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Certificates: []tls.Certificate{cert}, Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	verifier, err := note.NewVerifier(f.broker.logKey)
	if err != nil {
		t.Fatal(err)
	}
	a, err := admin.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := audit.OpenCheckpoint([]byte(a.Checkpoint), verifier)
	if err != nil {
		t.Fatal(err)
	}
	// A broker that changed an entry would send another line.
	const changed = 2
	tampered := false
	check := func() error {
		var entries bytes.Buffer
		err := admin.Entries(t.Context(), 0, c.Size, func(index int64, line string) error {
			if tampered && index == changed {
				line = strings.Replace(line, `"type":"`, `"type":"x`, 1)
			}
			fmt.Fprintln(&entries, line)
			return nil
		})
		if err != nil {
			return err
		}
		_, err = audit.Verify(audit.Exported{New: c, Entries: &entries, Proofs: &audit.Proofs{
			Consistency: func(size int64) (tlog.TreeProof, error) { return admin.Consistency(t.Context(), size, c.Size) },
			Inclusion:   func(index int64) (tlog.RecordProof, error) { return admin.Inclusion(t.Context(), index, c.Size) },
		}})
		return err
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	tampered = true
	var where *audit.ChangeError
	if err := check(); !errors.As(err, &where) || where.From != changed || where.To != changed {
		t.Errorf("got %v, want entry %d", err, changed)
	}
}
