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
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cloister/trust/attest/fetch"
	"cloister/trust/attest/revocation"
)

// Source finds what AMD's key distribution service (KDS) publishes. Nothing that
// it returns is trusted before a Verifier verified it. It is safe for concurrent
// use.
type Source interface {
	// VCEK returns the certificate of a chip's key at a TCB version, in DER.
	VCEK(ctx context.Context, p Product, hardwareID []byte, tcb uint64) ([]byte, error)
	// CRL returns the revocation list of a product for the chain of a kind of key, in
	// DER: AMD's certificates name one for the ASK and one for the ASVK.
	CRL(ctx context.Context, p Product, key SigningKey) ([]byte, error)
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
func (s Sources) CRL(ctx context.Context, p Product, key SigningKey) ([]byte, error) {
	return s.first(func(s Source) ([]byte, error) { return s.CRL(ctx, p, key) })
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
// Turin.crl, for reports that a VLEK signed Milan-vlek.crl and so on, and
// certificates vcek-HARDWAREID-TCB.crt, both in hexadecimal. Files are in DER or PEM.
type Directory string

// VCEK implements Source.
func (d Directory) VCEK(_ context.Context, _ Product, hardwareID []byte, tcb uint64) ([]byte, error) {
	return d.read(fmt.Sprintf("vcek-%x-%016x.crt", hardwareID, tcb), "CERTIFICATE")
}

// CRL implements Source.
func (d Directory) CRL(_ context.Context, p Product, key SigningKey) ([]byte, error) {
	name := string(p) + ".crl"
	if key == VLEK {
		name = string(p) + "-vlek.crl"
	}
	return d.read(name, "X509 CRL")
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
// it gets: certificates for a year, lists for an hour and, should the service be
// out of reach then, until they end. Make it with NewKDS.
type KDS struct {
	base   string
	client *http.Client
	now    func() time.Time

	mu     sync.Mutex
	kept   map[string]kept
	failed map[string]kept
	asking map[string]chan struct{} // closed when the answer is there
}

// kept is an answer.
type kept struct {
	der     []byte
	err     error     // in place of der
	until   time.Time // when it is asked for again
	expires time.Time // when it is of no more use
}

// keptDocuments bounds what a KDS keeps. Failures are kept apart: anyone can have
// it asked for chips that do not exist.
const keptDocuments = 1024

// How long a document is used, and after a failure how long until the service is asked
// again: AMD's answers few requests in a minute.
const (
	listLifetime        = time.Hour
	certificateLifetime = 365 * 24 * time.Hour
	askAgain            = time.Minute
	askAgainSoon        = 5 * time.Second
)

// NewKDS returns a source at a base address, such as AMD. The client sets the
// timeouts; nil means one that gives up after 30 seconds.
func NewKDS(base string, client *http.Client, now func() time.Time) (*KDS, error) {
	u, err := fetch.Address(base)
	if err != nil {
		return nil, fmt.Errorf("address of the key distribution service, such as %s: %w", AMD, err)
	}
	if client == nil {
		client = &http.Client{Timeout: 30 * time.Second}
	}
	if now == nil {
		now = time.Now
	}
	return &KDS{
		base: u.String(), client: fetch.Client(client), now: now,
		kept: map[string]kept{}, failed: map[string]kept{}, asking: map[string]chan struct{}{},
	}, nil
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

// CRLPath is where it has the revocation list of a product, as the certificates of
// its ASK and ASVK say (CRL distribution points).
func CRLPath(p Product, key SigningKey) string {
	return fmt.Sprintf("/%s/v1/%s/crl", strings.ToLower(string(key)), p)
}

// wanted is a document of the service.
type wanted struct {
	path    string
	longest time.Duration // for which it is used without asking again
	expires func(der []byte) (time.Time, error)
}

// VCEK implements Source.
func (k *KDS) VCEK(ctx context.Context, p Product, hardwareID []byte, tcb uint64) ([]byte, error) {
	return k.get(ctx, &wanted{VCEKPath(p, hardwareID, tcb), certificateLifetime, func(der []byte) (time.Time, error) {
		x, err := x509.ParseCertificate(der)
		if err != nil {
			return time.Time{}, err
		}
		return x.NotAfter, nil
	}})
}

// CRL implements Source.
func (k *KDS) CRL(ctx context.Context, p Product, key SigningKey) ([]byte, error) {
	return k.get(ctx, &wanted{CRLPath(p, key), listLifetime, func(der []byte) (time.Time, error) {
		list, err := revocation.Parse(der)
		if err != nil {
			return time.Time{}, err
		}
		return list.NextUpdate, nil
	}})
}

// get returns a document. Of several that want it at once one asks.
func (k *KDS) get(ctx context.Context, w *wanted) ([]byte, error) {
	for {
		answer, other := k.look(w.path)
		switch {
		case answer != nil:
			return answer.der, answer.err
		case other == nil:
			return k.ask(ctx, w)
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// look returns an answer that is kept, or what is closed when the one who asks has
// one. With neither it is the caller who has to ask.
func (k *KDS) look(path string) (*kept, chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, in := range []map[string]kept{k.kept, k.failed} {
		if answer, ok := in[path]; ok && k.now().Before(answer.until) {
			return &answer, nil
		}
	}
	other, busy := k.asking[path]
	if !busy {
		k.asking[path] = make(chan struct{})
	}
	return nil, other
}

// ask asks the service, and keeps its answer or failure. While it is out of reach
// the old answer does.
func (k *KDS) ask(ctx context.Context, w *wanted) ([]byte, error) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		close(k.asking[w.path])
		delete(k.asking, w.path)
	}()
	der, err := k.fetch(ctx, k.base+w.path)
	var expires time.Time
	if err == nil {
		if expires, err = w.expires(der); err != nil {
			err = fmt.Errorf("%s%s: %w", k.base, w.path, err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now, old := k.now(), k.kept[w.path]
	switch {
	case err == nil:
		until := now.Add(w.longest)
		if expires.Before(until) {
			until = expires
		}
		if !until.After(now) { // it has expired, and with grace does all the same
			until = now.Add(askAgain)
		}
		keep(k.kept, w.path, kept{der: der, until: until, expires: expires})
		return der, nil
	case ctx.Err() != nil: // who asks gave up, which says nothing about the service
		return nil, err
	case now.Before(old.expires) && !errors.Is(err, ErrNoCollateral):
		old.until = now.Add(askAgain)
		k.kept[w.path] = old
		return old.der, nil
	}
	keep(k.failed, w.path, kept{err: err, until: now.Add(askAgainSoon)})
	return nil, err
}

func keep(in map[string]kept, path string, answer kept) {
	if _, ok := in[path]; !ok && len(in) >= keptDocuments {
		clear(in)
	}
	in[path] = answer
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
