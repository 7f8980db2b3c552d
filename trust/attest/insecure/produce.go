package insecure

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"sync"

	"cloister/trust/attest"
)

// Producer makes documents that name a binary, signed by the machine's key.
type Producer struct {
	key    func() (ed25519.PrivateKey, error)
	binary func() ([sha256.Size]byte, error)
}

var _ attest.Producer = (*Producer)(nil)

// NewProducer returns a producer of evidence of the running program. The
// machine's key is kept in dir, in a file that is made, with mode 0600, when the
// first evidence is.
func NewProducer(dir string) *Producer {
	return &Producer{
		key:    sync.OnceValues(func() (ed25519.PrivateKey, error) { return machineKey(dir, rand.Reader) }),
		binary: sync.OnceValues(runningBinary),
	}
}

// Platform implements attest.Producer.
func (*Producer) Platform() attest.Platform { return attest.InsecureNone }

// Produce implements attest.Producer.
func (p *Producer) Produce(_ context.Context, reportData attest.ReportData) (*attest.Evidence, error) {
	key, err := p.key()
	if err != nil {
		return nil, err
	}
	binary, err := p.binary()
	if err != nil {
		return nil, err
	}
	d := Document{Binary: binary, ReportData: reportData}
	d.Sign(key)
	return &attest.Evidence{Platform: attest.InsecureNone, Quote: d.Encode()}, nil
}

// runningBinary hashes the file of the running program: on Linux the very file
// that runs, even if another has its name by now.
func runningBinary() (sum [sha256.Size]byte, err error) {
	f, err := openRunning()
	if err != nil {
		return sum, fmt.Errorf("the running program cannot be read: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := sha256.New()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return sum, fmt.Errorf("the running program cannot be read: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func openRunning() (*os.File, error) {
	if f, err := os.Open("/proc/self/exe"); err == nil {
		return f, nil
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return os.Open(path)
}
