package sgx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/revocation"
)

// recheck is how long a Directory believes that its files are the same.
const recheck = 10 * time.Second

// Directory is a source of collateral in files; docs/reference/collateral.md
// describes them. Make it with NewDirectory.
type Directory struct {
	path string
	now  func() time.Time

	mu   sync.Mutex
	read map[directoryKey]directoryEntry
}

type directoryKey struct {
	tee   attest.Platform
	fmspc [6]byte
	ca    CA
}

type directoryEntry struct {
	when       time.Time
	collateral *Collateral
}

// NewDirectory returns a source of the files in a directory. A nil now means
// time.Now.
func NewDirectory(path string, now func() time.Time) *Directory {
	if now == nil {
		now = time.Now
	}
	return &Directory{path: path, now: now, read: map[directoryKey]directoryEntry{}}
}

// The files of a directory.

func fileTCBInfo(tee attest.Platform, fmspc [6]byte) string {
	return filepath.Join(string(tee), fmt.Sprintf("tcb-%x.json", fmspc))
}

func fileQEIdentity(tee attest.Platform) string {
	return filepath.Join(string(tee), "qe-identity.json")
}

// fileChain is beside a document.
func fileChain(document string) string {
	return document[:len(document)-len(filepath.Ext(document))] + ".pem"
}

const fileRootCRL = "root.crl"

func filePCKCRL(ca CA) string { return "pck-" + string(ca) + ".crl" }

// Collateral implements Source. A file that is missing, other than a revocation
// list, means that there is no collateral.
func (d *Directory) Collateral(ctx context.Context, r *Request) (*Collateral, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := r.valid(); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key, now := directoryKey{r.TEE, r.FMSPC, r.CA}, d.now()
	entry, ok := d.read[key]
	if age := now.Sub(entry.when); ok && age >= 0 && age < recheck {
		return entry.collateral, nil
	}
	c, err := d.load(r)
	if err != nil {
		return nil, err
	}
	if ok && c.equal(entry.collateral) {
		c = entry.collateral
	}
	if !ok && len(d.read) >= cachedCollateral {
		clear(d.read)
	}
	d.read[key] = directoryEntry{now, c}
	return c, nil
}

func (r *Request) valid() error {
	if r.TEE != attest.SGX && r.TEE != attest.TDX {
		return fmt.Errorf("collateral of platform %q: it is of sgx or tdx", r.TEE)
	}
	if r.CA != PlatformCA && r.CA != ProcessorCA {
		return fmt.Errorf("collateral of PCK CA %q: it is platform or processor", r.CA)
	}
	return nil
}

func (d *Directory) load(r *Request) (*Collateral, error) {
	c := new(Collateral)
	tcb, qe := fileTCBInfo(r.TEE, r.FMSPC), fileQEIdentity(r.TEE)
	for _, f := range []struct {
		name string
		into *[]byte
		crl  bool
	}{
		{tcb, &c.TCBInfo, false},
		{fileChain(tcb), &c.TCBInfoChain, false},
		{qe, &c.QEIdentity, false},
		{fileChain(qe), &c.QEIdentityChain, false},
		{fileRootCRL, &c.RootCRL, true},
		{filePCKCRL(r.CA), &c.PCKCRL, true},
	} {
		limit := maxDocument
		if f.crl {
			limit = revocation.MaxSize
		}
		b, err := readLimited(filepath.Join(d.path, f.name), limit)
		switch {
		case err == nil && f.crl:
			*f.into = b
		case err == nil:
			*f.into = bytes.TrimRight(b, "\r\n") // what editors and shells add; nothing signed ends so
		case errors.Is(err, fs.ErrNotExist) && f.crl: // the verifier asks for it
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%w in directory %s for %s: %s is missing", ErrNoCollateral, d.path, r, f.name)
		default:
			return nil, fmt.Errorf("collateral: %w", err)
		}
	}
	return c, nil
}

func readLimited(path string, limit int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return b, err
}

func (c *Collateral) equal(other *Collateral) bool {
	return bytes.Equal(c.TCBInfo, other.TCBInfo) && bytes.Equal(c.TCBInfoChain, other.TCBInfoChain) &&
		bytes.Equal(c.QEIdentity, other.QEIdentity) && bytes.Equal(c.QEIdentityChain, other.QEIdentityChain) &&
		bytes.Equal(c.RootCRL, other.RootCRL) && bytes.Equal(c.PCKCRL, other.PCKCRL)
}
