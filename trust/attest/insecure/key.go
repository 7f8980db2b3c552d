package insecure

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// keyFile is the name of the machine's key in its directory.
const keyFile = "insecure-machine-key.pem"

// maxKeyFile bounds what is read of it.
const maxKeyFile = 4096

// machineKey reads the machine's key in dir, or makes one where there is none.
// Of several processes that do so at once all get the same key.
func machineKey(dir string, random io.Reader) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, keyFile)
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("machine key: %w", err)
	}
	if err := makeKey(dir, path, random); err != nil {
		return nil, fmt.Errorf("machine key %s: %w", path, err)
	}
	return readKey(path)
}

func readKey(path string) (ed25519.PrivateKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("machine key: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("machine key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("machine key %s has mode %s: others may read or change it; make it 0600, or remove it to get a new one", path, info.Mode())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("machine key: %w", err)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("machine key %s is not one PEM block PRIVATE KEY; remove it to get a new one", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("machine key %s is no Ed25519 key in PKCS #8; remove it to get a new one", path)
	}
	return key, nil
}

// makeKey puts a new key at path unless there is one by then.
func makeKey(dir, path string, random io.Reader) error {
	_, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+keyFile+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone after a rename
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	// A link, unlike a renaming, leaves a key alone that another process put
	// there meanwhile. Not every file system has links.
	switch err := os.Link(f.Name(), path); {
	case err == nil, errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported):
		return os.Rename(f.Name(), path)
	default:
		return err
	}
}
