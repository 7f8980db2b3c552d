package snp

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Source finds what AMD's key distribution service (KDS) publishes. Nothing that
// it returns is trusted before a Verifier verified it. It is safe for concurrent
// use.
type Source interface {
	// VCEK returns the certificate of a chip's key at a TCB version, in DER.
	VCEK(ctx context.Context, p Product, hardwareID []byte, tcb uint64) ([]byte, error)
	// CRL returns the revocation list of a product, in DER.
	CRL(ctx context.Context, p Product) ([]byte, error)
}

// ErrNoCollateral is in the chain of what a Source returns that works and does
// not have what was asked for.
var ErrNoCollateral = errors.New("no collateral")

// Sources asks one source after the other and returns the first answer; without
// any, it has nothing.
type Sources []Source

// VCEK implements Source.
func (s Sources) VCEK(ctx context.Context, p Product, hardwareID []byte, tcb uint64) ([]byte, error) {
	return s.first(func(s Source) ([]byte, error) { return s.VCEK(ctx, p, hardwareID, tcb) })
}

// CRL implements Source.
func (s Sources) CRL(ctx context.Context, p Product) ([]byte, error) {
	return s.first(func(s Source) ([]byte, error) { return s.CRL(ctx, p) })
}

func (s Sources) first(ask func(Source) ([]byte, error)) ([]byte, error) {
	var failures []error
	for _, source := range s {
		der, err := ask(source)
		if err == nil {
			return der, nil
		}
		if !errors.Is(err, ErrNoCollateral) {
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	return nil, fmt.Errorf("%w: none of %d sources has it", ErrNoCollateral, len(s))
}

// maxDocument bounds what is read of a certificate or a list.
const maxDocument = 1 << 20

// Directory is a source of files: the revocation lists Milan.crl, Genoa.crl and
// Turin.crl, and certificates vcek-HARDWAREID-TCB.crt, both names in hexadecimal.
// Files are in DER or PEM.
type Directory string

// VCEK implements Source.
func (d Directory) VCEK(_ context.Context, _ Product, hardwareID []byte, tcb uint64) ([]byte, error) {
	return d.read(fmt.Sprintf("vcek-%x-%016x.crt", hardwareID, tcb), "CERTIFICATE")
}

// CRL implements Source.
func (d Directory) CRL(_ context.Context, p Product) ([]byte, error) {
	return d.read(string(p)+".crl", "X509 CRL")
}

func (d Directory) read(name, kind string) ([]byte, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoCollateral, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := readAll(f, f.Name())
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(text); block != nil && block.Type == kind {
		return block.Bytes, nil
	}
	return text, nil
}

func readAll(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxDocument {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxDocument)
	}
	return b, nil
}

// AMD is the address of AMD's key distribution service.
const AMD = "https://kdsintf.amd.com"

// KDS is a source that asks a key distribution service over HTTPS and keeps what
// it gets until it ends, lists at most for an hour. Make
// it with NewKDS.
type KDS struct {
	base   string
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	kept map[string]kept
}

type kept struct {
	der   []byte
	until time.Time
}

// keptDocuments bounds what a KDS keeps.
const keptDocuments = 1024

// NewKDS returns a source at a base address, such as AMD. The client sets the
// timeouts; nil means one that gives up after 30 seconds.
func NewKDS(base string, client *http.Client, now func() time.Time) (*KDS, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%.100q is no address of a key distribution service, such as %s", base, AMD)
	}
	if client == nil {
		client = &http.Client{Timeout: 30 * time.Second}
	}
	if now == nil {
		now = time.Now
	}
	return &KDS{base: strings.TrimSuffix(base, "/"), client: client, now: now, kept: map[string]kept{}}, nil
}

// VCEKPath is where a key distribution service has the certificate of a chip's key
// ([VCEK], section 4.1).
func VCEKPath(p Product, hardwareID []byte, tcb uint64) string {
	query := make([]string, 0, 5)
	for _, l := range p.levels() {
		query = append(query, fmt.Sprintf("%s=%02d", l.kds, l.of(tcb)))
	}
	return fmt.Sprintf("/vcek/v1/%s/%s?%s", p, hex.EncodeToString(hardwareID), strings.Join(query, "&"))
}

// CRLPath is where it has the revocation list of a product (section 4.3).
func CRLPath(p Product) string { return fmt.Sprintf("/vcek/v1/%s/crl", p) }

// VCEK implements Source.
func (k *KDS) VCEK(ctx context.Context, p Product, hardwareID []byte, tcb uint64) ([]byte, error) {
	return k.get(ctx, VCEKPath(p, hardwareID, tcb), func(der []byte) (time.Time, error) {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return time.Time{}, err
		}
		return x.NotAfter, nil
	})
}

// CRL implements Source.
func (k *KDS) CRL(ctx context.Context, p Product) ([]byte, error) {
	return k.get(ctx, CRLPath(p), func(der []byte) (time.Time, error) {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return time.Time{}, err
		}
		until := k.now().Add(time.Hour)
		if list.NextUpdate.Before(until) {
			until = list.NextUpdate
		}
		return until, nil
	})
}

func (k *KDS) get(ctx context.Context, path string, lifetime func([]byte) (time.Time, error)) ([]byte, error) {
	k.mu.Lock()
	found, ok := k.kept[path]
	k.mu.Unlock()
	if ok && k.now().Before(found.until) {
		return found.der, nil
	}
	der, err := k.fetch(ctx, k.base+path)
	if err != nil {
		return nil, err
	}
	until, err := lifetime(der)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", k.base, path, err)
	}
	k.mu.Lock()
	if len(k.kept) >= keptDocuments {
		clear(k.kept)
	}
	k.kept[path] = kept{der, until}
	k.mu.Unlock()
	return der, nil
}

func (k *KDS) fetch(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	res, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // what is wanted of it was read
	switch {
	case res.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%w: %s answers %s", ErrNoCollateral, address, res.Status)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s answers %s", address, res.Status)
	}
	return readAll(res.Body, address)
}
