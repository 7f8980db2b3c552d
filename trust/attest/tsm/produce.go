// Package tsm makes evidence of TDX and SEV-SNP guests through the Linux kernel's
// configfs-tsm (Documentation/ABI/testing/configfs-tsm).
package tsm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-configfs-tsm/configfs/configfsi"
	"github.com/google/go-configfs-tsm/report"

	"cloister/trust/attest"
	"cloister/trust/attest/sgx"
	"cloister/trust/attest/snp"
)

// The kernel's names of the providers of reports.
const (
	providerTDX = "tdx_guest"
	providerSNP = "sev_guest"
)

// ErrNoTSM is in the chain of what Detect returns where the kernel has no
// configfs-tsm.
var ErrNoTSM = errors.New("the kernel offers no configfs-tsm reports")

// Producer makes quotes of TDX and extended reports of SNP.
type Producer struct {
	client   configfsi.Client
	platform attest.Platform
}

var _ attest.Producer = (*Producer)(nil)

// NewProducer returns a producer for the platform that the kernel says this is.
func NewProducer(client configfsi.Client) (*Producer, error) {
	platform, err := Detect(client)
	if err != nil {
		return nil, err
	}
	return &Producer{client, platform}, nil
}

// Detect asks the kernel what platform this is. Client is where configfs is, nil
// for none. A kernel without a provider (ENXIO) has no reports.
func Detect(client configfsi.Client) (platform attest.Platform, err error) {
	if client == nil {
		return "", ErrNoTSM
	}
	entry, err := client.MkdirTemp(path.Join(configfsi.TsmPrefix, "report"), "cloister")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENXIO) {
		return "", fmt.Errorf("%w: %w", ErrNoTSM, err)
	}
	if err != nil {
		return "", fmt.Errorf("configfs-tsm: %w", err)
	}
	r, err := report.UnsafeWrap(client, entry)
	if err != nil {
		return "", fmt.Errorf("configfs-tsm: %w", err)
	}
	defer func() {
		if destroyed := r.Destroy(); err == nil && destroyed != nil {
			platform, err = "", destroyed
		}
	}()
	// Some kernels name the provider only once there is something to report.
	if err := r.WriteOption("inblob", make([]byte, len(attest.ReportData{}))); err != nil {
		return "", err
	}
	name, err := r.ReadOption("provider")
	if err != nil {
		return "", err
	}
	return platformOf(string(name))
}

func platformOf(provider string) (attest.Platform, error) {
	switch strings.TrimSpace(provider) {
	case providerTDX:
		return attest.TDX, nil
	case providerSNP:
		return attest.SNP, nil
	}
	return "", fmt.Errorf("configfs-tsm has provider %.40q: only %s and %s are known", provider, providerTDX, providerSNP)
}

// Platform implements attest.Producer.
func (p *Producer) Platform() attest.Platform { return p.platform }

// attempts is how often a report is asked for that another process disturbs.
const attempts = 5

// Produce implements attest.Producer. Of SNP the evidence is the report and the
// host's certificate table after it.
func (p *Producer) Produce(ctx context.Context, reportData attest.ReportData) (*attest.Evidence, error) {
	for try := 1; ; try++ {
		res, err := p.get(reportData)
		if err == nil {
			return p.evidence(res, reportData)
		}
		if report.GetGenerationErr(err) == nil || try == attempts {
			return nil, fmt.Errorf("configfs-tsm: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(try) * 20 * time.Millisecond):
		}
	}
}

func (p *Producer) get(reportData attest.ReportData) (_ *report.Response, err error) {
	r, err := report.Create(p.client, &report.Request{InBlob: reportData[:], GetAuxBlob: p.platform == attest.SNP})
	if err != nil {
		return nil, err
	}
	defer func() {
		if destroyed := r.Destroy(); err == nil {
			err = destroyed
		}
	}()
	return r.Get()
}

// evidence makes evidence of what the kernel answered. It is compared with what was
// asked for: a report of other data would be good for nothing, or for another.
func (p *Producer) evidence(res *report.Response, reportData attest.ReportData) (*attest.Evidence, error) {
	platform, err := platformOf(res.Provider)
	switch {
	case err != nil:
		return nil, err
	case platform != p.platform:
		return nil, fmt.Errorf("configfs-tsm: the provider is %q now, it was of %s", res.Provider, p.platform)
	case len(res.OutBlob) == 0:
		return nil, errors.New("configfs-tsm: the report is empty")
	}
	quote, claims := slices.Concat(res.OutBlob, res.AuxBlob), claimsOfReport
	if p.platform == attest.TDX {
		// The kernel's buffer can be longer than the quote.
		size, err := sgx.QuoteSize(res.OutBlob)
		if err != nil {
			return nil, fmt.Errorf("configfs-tsm: %w", err)
		}
		quote, claims = res.OutBlob[:size], claimsOfQuote
	}
	got, err := claims(quote)
	if err != nil {
		return nil, fmt.Errorf("configfs-tsm: %w", err)
	}
	if got.Platform != p.platform || got.ReportData != reportData {
		return nil, fmt.Errorf("configfs-tsm: the report is of %s, asked for was %s, or has other report data than were asked for", got.Platform, p.platform)
	}
	return &attest.Evidence{Platform: p.platform, Quote: quote}, nil
}

func claimsOfQuote(quote []byte) (attest.Claims, error) {
	q, err := sgx.ParseQuote(quote)
	if err != nil {
		return attest.Claims{}, err
	}
	return q.Claims(), nil
}

func claimsOfReport(quote []byte) (attest.Claims, error) {
	r, err := snp.Parse(quote)
	if err != nil {
		return attest.Claims{}, err
	}
	return r.Claims(), nil
}
