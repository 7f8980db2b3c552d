package cli

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/crypto/ssh"

	"cloister/trust/broker"
	"cloister/trust/secret"
)

// brokerPeer are the flags that say which broker is asked, and as whom.
type brokerPeer struct {
	pin, address, clientKey string
}

const brokerPeerLong = `The broker is known by a pin, FILE: what "cloister broker owner attest" kept, or
what "cloister broker serve --json" printed when it was ready. Its id, the hash of
its TLS key and that of its first policy count: whoever answers without that key
is not asked anything. The address is the pin's unless --address gives another.

Administrators and owners show that they hold the private key whose public key
the policy names (--client-key, in PEM or as OpenSSH writes it).`

func (p *brokerPeer) flags(flags *pflag.FlagSet) {
	flags.StringVar(&p.pin, "pin", "", "ask the broker that is known by the pin in `FILE`")
	flags.StringVar(&p.address, "address", "", "ask it at `HOST:PORT`")
	flags.StringVar(&p.clientKey, "client-key", "", "show to be an administrator or an owner, by the private key in `FILE`")
}

// brokerPin is what counts in the file of a pin.
type brokerPin struct {
	Broker      string        `json:"broker"`
	Address     string        `json:"address"`
	TLSKey      broker.Digest `json:"tls_key"`
	FirstPolicy broker.Digest `json:"first_policy"`
	Log         string        `json:"log"` // the log's verifier key
}

// maxPin bounds the file of a pin.
const maxPin = 64 << 10

func (a *app) dialBroker(p *brokerPeer) (*broker.Client, *brokerPin, error) {
	if p.pin == "" {
		return nil, nil, inputError(`it is what "cloister broker serve --json" prints`, "--pin is needed: by it the broker is known")
	}
	text, err := a.readSmall(p.pin, maxPin)
	if err != nil {
		return nil, nil, err
	}
	pin := new(brokerPin)
	if err := json.Unmarshal(text, pin); err != nil {
		return nil, nil, inputError("", "%s: not a pin: %w", inputName(p.pin), err)
	}
	if p.address != "" {
		pin.Address = p.address
	}
	o := broker.ClientOptions{Address: pin.Address, Pin: broker.Pin{TLSKey: pin.TLSKey, FirstPolicy: pin.FirstPolicy, Broker: pin.Broker}}
	if p.clientKey != "" {
		cert, err := clientCertificate(p.clientKey)
		if err != nil {
			return nil, nil, err
		}
		o.Certificates = []tls.Certificate{*cert}
	}
	client, err := broker.NewClient(o)
	return client, pin, err
}

// clientCertificate makes a certificate of a private key: the broker looks at its
// key alone.
func clientCertificate(path string) (*tls.Certificate, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer text.Zero()
	parsed, err := ssh.ParseRawPrivateKey(text.Expose())
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, inputError("decrypt a copy for this purpose, or use another key", "%s: the key is encrypted", path)
	case err != nil:
		return nil, inputError("", "%s: no private key in PEM or of OpenSSH", path)
	}
	if key, ok := parsed.(*ed25519.PrivateKey); ok {
		parsed = *key
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, inputError("", "%s: its key does not sign", path)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, inputError("", "%s: no certificate of the key can be made: %w", path, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// maxKeyFile bounds the file of a private key.
const maxKeyFile = 64 << 10

// readKeyFile reads a private key, which nobody but its owner may read.
func readKeyFile(path string) (secret.Bytes, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Bytes{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return secret.Bytes{}, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return secret.Bytes{}, inputError(fmt.Sprintf("chmod 600 %s", path), "%s: others may read it (%s): a private key is its owner's alone", path, info.Mode().Perm())
	}
	text, err := secret.Read(f, maxKeyFile)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

// writeKeyFile writes a private key to a new file that its owner alone may read.
func writeKeyFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return inputError("remove it, or name another", "%s is there already: a key is not overwritten", path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}
