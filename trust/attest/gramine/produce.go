// Package gramine makes evidence of a program that Gramine runs in an SGX enclave,
// through the files of /dev/attestation (Gramine's manual, "Attestation and
// secret provisioning").
package gramine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"cloister/trust/attest"
)

// Directory is where Gramine has its files.
const Directory = "/dev/attestation"

// dcap is the attestation type for which Gramine makes quotes.
const dcap = "dcap"

// maxQuote bounds what is read of a quote.
const maxQuote = 64 << 10

// ErrNoGramine is in the chain of what Type returns where Gramine's files are
// not there.
var ErrNoGramine = errors.New("gramine's attestation files are not there")

// Producer makes quotes through Gramine's files.
type Producer struct {
	dir string
}

var _ attest.Producer = (*Producer)(nil)

// one lets one request at a time through: the files belong to the process.
var one sync.Mutex

// NewProducer returns a producer that uses the files in dir, usually Directory. It
// is an error if Gramine does not make quotes there.
func NewProducer(dir string) (*Producer, error) {
	kind, err := Type(dir)
	if err != nil {
		return nil, err
	}
	if kind != dcap {
		return nil, fmt.Errorf("%s is %.20q, not %s: set sgx.remote_attestation = %q in the manifest",
			filepath.Join(dir, "attestation_type"), kind, dcap, dcap)
	}
	return &Producer{dir}, nil
}

// Type returns Gramine's attestation type: dcap, or none, in which it makes no
// quotes.
func Type(dir string) (string, error) {
	f, err := os.Open(filepath.Join(dir, "attestation_type"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w: %w", ErrNoGramine, err)
	case err != nil:
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(text), "\n\x00"), nil
}

// Platform implements attest.Producer.
func (*Producer) Platform() attest.Platform { return attest.SGX }

// Produce implements attest.Producer.
func (p *Producer) Produce(ctx context.Context, reportData attest.ReportData) (*attest.Evidence, error) {
	one.Lock()
	defer one.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := p.write("user_report_data", reportData[:]); err != nil {
		return nil, fmt.Errorf("gramine: %w", err)
	}
	f, err := os.Open(filepath.Join(p.dir, "quote"))
	if err != nil {
		return nil, fmt.Errorf("gramine: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	quote, err := io.ReadAll(io.LimitReader(f, maxQuote+1))
	if err != nil {
		return nil, fmt.Errorf("gramine: no quote: %w; is the quoting enclave's service (AESM) running?", err)
	}
	if err := holds(quote, reportData); err != nil {
		return nil, fmt.Errorf("gramine: %s: %w", f.Name(), err)
	}
	return &attest.Evidence{Platform: attest.SGX, Quote: quote}, nil
}

// write writes a file that is there, in one piece: Gramine makes none.
func (p *Producer) write(name string, b []byte) error {
	f, err := os.OpenFile(filepath.Join(p.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// holds checks that a quote is one of an SGX enclave that has the report data:
// other code of the process may write them too. Offsets are those of a quote of
// version 3 (Intel SGX ECDSA Quote Library Reference, appendix A.4): a header of
// 48 bytes and a report body of 384 that ends in the report data.
func holds(quote []byte, reportData attest.ReportData) error {
	const header, body = 48, 384
	switch {
	case len(quote) > maxQuote:
		return fmt.Errorf("it has more than %d bytes", maxQuote)
	case len(quote) < header+body || binary.LittleEndian.Uint16(quote) != 3:
		return errors.New("it is no quote of version 3")
	case attest.ReportData(quote[header+body-len(reportData):][:len(reportData)]) != reportData:
		return errors.New("it has other report data than were asked for; does other code of this process write user_report_data?")
	}
	return nil
}
