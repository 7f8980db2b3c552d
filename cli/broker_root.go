package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"cloister/trust/attest"
	"cloister/trust/attest/platforms"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/broker/vault/protector/cloudkms"
	"cloister/trust/secret"
)

// rootKey are the flags that say what protects the root key.
type rootKey struct {
	passphraseFD  int
	sealToEnclave bool
	byOwners      bool
	vault         protector.TransitOptions
	vaultToken    string
	vaultTokenFD  int
	vaultCA       string
	cloudKMS      string
}

const rootKeyLong = `The root key is sealed to the enclave's measurement (--seal-to-enclave); or
unlocked by every owner after each start, where no platform seals
(--unlock-by-owners, see "cloister broker owner unlockers"); or protected by a
passphrase, which is read from a file descriptor; or by HashiCorp
Vault's transit engine (--vault-address and --vault-key, with a token from a file
or a descriptor); or by a cloud's key management service (--cloud-kms, in a
binary built with -tags cloudkms). What its host supplies opens no root key in a
trusted execution environment.`

func (k *rootKey) flags(flags *pflag.FlagSet) {
	flags.IntVar(&k.passphraseFD, "passphrase-fd", -1, "read the root key's passphrase from file descriptor `N`")
	flags.BoolVar(&k.sealToEnclave, "seal-to-enclave", false, "seal the root key to this enclave's measurement (Gramine)")
	flags.BoolVar(&k.byOwners, "unlock-by-owners", false, "have every owner unlock the root key after each start, where no platform seals (TDX)")
	flags.StringVar(&k.vault.Address, "vault-address", "", "protect the root key by HashiCorp Vault at `URL`, https://HOST:PORT")
	flags.StringVar(&k.vault.Key, "vault-key", "", "by the key `NAME` of Vault's transit engine")
	flags.StringVar(&k.vault.Mount, "vault-mount", "transit", "where the transit engine is mounted, `PATH`")
	flags.StringVar(&k.vault.Namespace, "vault-namespace", "", "the namespace, `NAME`, of Vault Enterprise or OpenBao")
	flags.StringVar(&k.vaultToken, "vault-token-file", "", "read Vault's token from `FILE` each time it is needed")
	flags.IntVar(&k.vaultTokenFD, "vault-token-fd", -1, "read Vault's token once from file descriptor `N`")
	flags.StringVar(&k.vaultCA, "vault-ca", "", "trust the certificates in `FILE` for Vault, not the system's")
	flags.StringVar(&k.cloudKMS, "cloud-kms", "", "protect the root key by the key at `URL` of a cloud: awskms://, gcpkms://, azurekeyvault://")
}

func (k *rootKey) check() error {
	ways := 0
	for _, given := range []bool{k.passphraseFD >= 0, k.sealToEnclave, k.byOwners, k.vault.Address != "", k.cloudKMS != ""} {
		if given {
			ways++
		}
	}
	vaultFlags := k.vault.Key != "" || k.vault.Namespace != "" || k.vaultToken != "" || k.vaultTokenFD >= 0 || k.vaultCA != ""
	switch {
	case ways != 1:
		return inputError("", "one of --passphrase-fd, --seal-to-enclave, --unlock-by-owners, --vault-address and --cloud-kms is needed")
	case k.vault.Address == "" && vaultFlags:
		return inputError("", "the flags --vault-… need --vault-address")
	case k.vault.Address != "" && k.vault.Key == "":
		return inputError("", "--vault-address needs --vault-key, the name of a key of the transit engine")
	case k.vault.Address != "" && (k.vaultToken == "") == (k.vaultTokenFD < 0):
		return inputError("a token is given by no argument and no variable of the environment: others can read those", "--vault-address needs one of --vault-token-file and --vault-token-fd")
	}
	return nil
}

// open returns the protector, which finds an enclave's keys in a directory, and what to call at the end. In a trusted execution
// environment it is refused before anything is asked of the host.
func (k *rootKey) open(ctx context.Context, broker, sealingKeys string, inTEE bool) (protector.Protector, func() error, error) {
	nothing := func() error { return nil }
	if inTEE && !k.sealToEnclave && !k.byOwners {
		return nil, nil, &Error{Code: ExitRefused, Err: errHostSupplied, Hint: "--seal-to-enclave and --unlock-by-owners keep the root key where the host cannot get it"}
	}
	switch {
	case k.sealToEnclave:
		p, err := protector.NewGramine(sealingKeys)
		return p, nothing, err
	case k.byOwners:
		p, err := protector.NewOwners(broker, nil, nil)
		return p, nothing, err
	case k.cloudKMS != "":
		return cloudkms.Open(ctx, k.cloudKMS)
	case k.vault.Address != "":
		p, err := k.transit()
		return p, nothing, err
	}
	passphrase, err := protector.ReadPassphrase(k.passphraseFD)
	if err != nil {
		return nil, nil, err
	}
	p, err := protector.NewPassphrase(passphrase)
	return p, nothing, err
}

var errHostSupplied = fmt.Errorf("the host supplies what opens the root key, such as a passphrase, Vault or a cloud's service: %w", protector.ErrHostSupplied)

func (k *rootKey) transit() (protector.Protector, error) {
	o := k.vault
	if k.vaultCA != "" {
		text, err := os.ReadFile(k.vaultCA)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, inputError("", "%s: no certificate in PEM", k.vaultCA)
		}
		o.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	o.Token = protector.TokenFile(k.vaultToken)
	if k.vaultToken == "" {
		token, err := protector.TokenDescriptor(k.vaultTokenFD)
		if err != nil {
			return nil, err
		}
		o.Token = token
	}
	return protector.NewTransit(o)
}

// evidenceMaker makes evidence of the program that runs: platforms.System.
type evidenceMaker interface {
	Detect() (platforms.Detected, error)
	NewProducer(attest.Platform) (attest.Producer, error)
}

func thisSystem(keys string) evidenceMaker { return platforms.ThisSystem(keys) }

// here says where the program runs, for a broker's state in dir.
func (a *app) here(dir string) (platforms.Detected, evidenceMaker, error) {
	if err := secret.NoDumps(); err != nil {
		a.log.Debug("core dumps cannot be turned off here", "error", err)
	}
	system := a.system(dir)
	found, err := system.Detect()
	return found, system, err
}
