package protector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"

	"cloister/trust/secret"
)

// MinPassphrase is the least length of a passphrase in bytes.
const MinPassphrase = 12

const maxPassphrase = 4096

// Passphrase seals with age's scrypt recipient. Whoever knows the passphrase and
// has the root file has the root key.
type Passphrase struct {
	passphrase secret.Bytes
	work       int // log2 of scrypt's N
}

// ageWork is what age itself chooses, about a second.
const ageWork = 18

// NewPassphrase takes over the passphrase.
func NewPassphrase(passphrase secret.Bytes) (*Passphrase, error) {
	if passphrase.Len() < MinPassphrase {
		return nil, fmt.Errorf("a passphrase of %d bytes: it has at least %d", passphrase.Len(), MinPassphrase)
	}
	return &Passphrase{passphrase, ageWork}, nil
}

// ReadPassphrase reads a passphrase, without the newline that may end it, from a
// descriptor that the program was started with: arguments and environment can be
// read by other processes.
func ReadPassphrase(descriptor int) (secret.Bytes, error) {
	f := os.NewFile(uintptr(descriptor), "passphrase")
	if f == nil || descriptor < 0 {
		return secret.Bytes{}, fmt.Errorf("passphrase: %d is no open file descriptor", descriptor)
	}
	defer f.Close() //nolint:errcheck // only read
	line, err := readLine(f)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("passphrase of descriptor %d: %w", descriptor, err)
	}
	return line, nil
}

// readLine reads the one line that r has.
func readLine(r io.Reader) (secret.Bytes, error) {
	text, err := secret.Read(r, maxPassphrase)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer text.Zero()
	line := bytes.TrimSuffix(bytes.TrimSuffix(text.Expose(), []byte("\n")), []byte("\r"))
	if len(line) == 0 || bytes.ContainsAny(line, "\r\n\x00") {
		return secret.Bytes{}, errors.New("it is one line that is not empty")
	}
	return secret.Copy(line), nil
}

// Name implements Protector.
func (*Passphrase) Name() string { return "passphrase" }

// Origin implements Protector.
func (*Passphrase) Origin() Origin { return Host }

// Seal implements Protector.
func (p *Passphrase) Seal(_ context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	both, err := bind(key, associated)
	if err != nil {
		return nil, err
	}
	defer both.Zero()
	// age wants a string, which stays in memory until it is collected.
	to, err := age.NewScryptRecipient(string(p.passphrase.Expose()))
	if err != nil {
		return nil, err
	}
	to.SetWorkFactor(p.work)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(both.Expose()); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Unseal implements Protector.
func (p *Passphrase) Unseal(_ context.Context, sealed, associated []byte) (secret.Bytes, error) {
	identity, err := age.NewScryptIdentity(string(p.passphrase.Expose()))
	if err != nil {
		return secret.Bytes{}, err
	}
	// A changed file must not make us work for hours, nor take more memory than
	// sealing did, which is 1024 times 2 to the power of the work factor.
	identity.SetMaxWorkFactor(p.work)
	r, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err != nil {
		var wrong *age.NoIdentityMatchError
		if errors.As(err, &wrong) {
			return secret.Bytes{}, fmt.Errorf("%w: the passphrase is wrong", ErrSealed)
		}
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	both, err := secret.Read(r, KeySize+32)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	defer both.Zero()
	return unbind(both, associated)
}
