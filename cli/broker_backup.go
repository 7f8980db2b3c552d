package cli

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"cloister/durable"
	"cloister/trust/attest"
	"cloister/trust/broker"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// brokerBackupFlags are those of "cloister broker backup".
type brokerBackupFlags struct {
	peer       brokerPeer
	store      brokerStore
	recipients []string
	output     string
}

const brokerBackupLong = `Write a backup of a broker: its whole store as it is at one moment, encrypted to the
recipients, which are age public keys. A running broker (--pin) goes on working
meanwhile, and its log says who asked; of one that does not run the store is read
(--dir).

Recipients can read the audit log and the register of data sets, and no key: keys
stay wrapped under the root key. The root file is in the backup; what opens it, a
passphrase or an enclave, is not.

The backup is signed by the broker. Keep the key that is printed elsewhere than
the backup: a restore asks for it.`

func (a *app) newBrokerBackupCommand() *cobra.Command {
	f := &brokerBackupFlags{}
	cmd := &cobra.Command{
		Use:     "backup (--pin FILE | --dir DIR) --recipient AGE -o FILE",
		Short:   "Write a backup of a broker",
		Long:    brokerBackupLong + "\n\n" + brokerPeerLong,
		Example: "  cloister broker backup --pin pin.json --client-key admin.pem --recipient age1… -o broker.backup",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.brokerBackup(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	f.peer.flags(flags)
	f.store.flags(flags)
	flags.StringArrayVar(&f.recipients, "recipient", nil, "encrypt to the age public key `AGE`; once for each")
	flags.StringVarP(&f.output, "output", "o", "", "write the backup to `FILE`")
	return cmd
}

func (a *app) brokerBackup(ctx context.Context, f *brokerBackupFlags) error {
	switch {
	case (f.peer.pin == "") == (f.store.dir == ""):
		return inputError("", "one of --pin and --dir says which broker is backed up")
	case len(f.recipients) == 0 || f.output == "":
		return inputError("", "--recipient and --output are needed")
	}
	if err := vault.CheckRecipients(f.recipients); err != nil {
		return inputError("", "--recipient: %w", err)
	}
	if err := a.checkOutput(f.output, "--output"); err != nil {
		return err
	}
	out, err := a.createOutput(f.output)
	if err != nil {
		return err
	}
	defer out.abort()
	made, err := a.makeBackup(ctx, f, out)
	if err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(made)
	}
	a.console.printf("backup %s of broker %s: %s of the log, to be confirmed by %s\nkey for backups: %s\n", made.ID, made.Broker,
		counted(int(made.Checkpoint.Size), "entry", "entries"), strings.Join(made.Owners, ", "), base64.StdEncoding.EncodeToString(made.Key))
	return nil
}

func (a *app) makeBackup(ctx context.Context, f *brokerBackupFlags, out *output) (made *broker.BackupMade, err error) {
	if f.store.dir != "" {
		stopped, err := a.openStopped(ctx, &f.store, false)
		if err != nil {
			return nil, err
		}
		made, err := stopped.Backup(ctx, out, f.recipients)
		return made, errors.Join(err, stopped.Close())
	}
	client, _, err := a.dialBroker(&f.peer)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Backup(ctx, out, f.recipients)
}

// brokerRestoreFlags are those of "cloister broker restore".
type brokerRestoreFlags struct {
	store     brokerStore
	key       string
	identity  string
	newRoot   bool
	backupArg string
}

const brokerRestoreLong = `Make a broker of a backup, in a directory where there is none.

--key is the broker's key for backups, as "cloister broker backup" printed it: a
backup of anybody else is refused. --identity is the age identity of one of the
backup's recipients.

The root key is that of the backup, if it opens here: with the same passphrase,
Vault or cloud, or in the same enclave on the same machine. Else --new-root makes
a new one: then every owner has to recover its keys with its own shares, and the
broker has new keys of its own, which clients notice. A broker that its owners
unlock is restored by "cloister broker serve --unlock-by-owners --restore".

"cloister broker serve" then runs the broker, which releases nothing before every
owner whom the backup names has confirmed the last checkpoint that the owner saw.
If the witnesses saw more than the backup has, each has to be put back by its owner
(cloister broker witness reset), who thereby accepts the loss, to the checkpoint in
DIR/restored-checkpoint.`

func (a *app) newBrokerRestoreCommand() *cobra.Command {
	f := &brokerRestoreFlags{}
	cmd := &cobra.Command{
		Use:     "restore BACKUP --dir DIR --broker ID --key KEY --identity FILE",
		Short:   "Make a broker of a backup, locked until its owners confirm",
		Long:    brokerRestoreLong + "\n\n" + rootKeyLong,
		Example: "  cloister broker restore broker.backup --dir /var/lib/cloister --broker clinics --key … --identity age.txt --passphrase-fd 3 3< passphrase",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return inputError(fmt.Sprintf("%q says more", cmd.CommandPath()+" --help"), "name one backup, not %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.backupArg = args[0]
			return a.brokerRestore(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	f.store.flags(flags)
	flags.StringVar(&f.key, "key", "", "the broker's key for backups, `KEY` in base64")
	flags.StringVar(&f.identity, "identity", "", "decrypt with the age identity in `FILE`")
	flags.BoolVar(&f.newRoot, "new-root", false, "make a new root key, and have the owners recover")
	return cmd
}

// brokerRestored is what "cloister broker restore --json" prints.
type brokerRestored struct {
	broker.BackupMade
	Waiting []string `json:"waiting"` // the owners who have to confirm
	NewRoot bool     `json:"new_root"`
}

func (f *brokerRestoreFlags) check() (ed25519.PublicKey, error) {
	if f.store.dir == "" || f.store.id == "" || f.key == "" || f.identity == "" {
		return nil, inputError("", "--dir, --broker, --key and --identity are needed")
	}
	key, err := base64.StdEncoding.DecodeString(f.key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, inputError(`"cloister broker backup" prints it`, "--key: %.80q is no key for backups: %d bytes in base64", f.key, ed25519.PublicKeySize)
	}
	return key, f.store.root.check()
}

func (a *app) brokerRestore(ctx context.Context, f *brokerRestoreFlags) error {
	if f.store.root.byOwners {
		return inputError(`"cloister broker serve --unlock-by-owners --restore=BACKUP" does both at once`,
			"the store of a broker that its owners unlock can be written only where they have unlocked it, by the program that serves them")
	}
	header, root, err := a.restoreBroker(ctx, f, a.restoreRoot)
	if err != nil {
		return err
	}
	root.Zero()
	if a.json {
		key, err := f.check()
		if err != nil {
			return err
		}
		made := broker.BackupMade{ID: header.ID, Broker: header.Broker, Made: header.Made, Checkpoint: header.Checkpoint, Owners: header.Owners, Key: key}
		return a.printJSON(&brokerRestored{made, header.Owners, f.newRoot})
	}
	a.console.printf("%s\n", describeRestored(header))
	return nil
}

func describeRestored(h *vault.BackupHeader) string {
	return fmt.Sprintf("restored from the backup of %s, with %s of the log\nlocked until they confirm the last checkpoint they saw: %s",
		h.Made.Format(time.RFC3339), counted(int(h.Checkpoint.Size), "entry", "entries"), strings.Join(h.Owners, ", "))
}

// restoreBroker makes a broker of a backup, whose root key open opens or makes. It
// leaves nothing if it fails.
func (a *app) restoreBroker(ctx context.Context, f *brokerRestoreFlags, open rootOfBackup) (*vault.BackupHeader, *vault.Root, error) {
	key, err := f.check()
	if err != nil {
		return nil, nil, err
	}
	for _, name := range []string{"root", "store"} {
		if _, err := os.Lstat(filepath.Join(f.store.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, inputError("restore into another directory", "%s is there already: a broker is not overwritten", filepath.Join(f.store.dir, name))
		}
	}
	identities, err := readIdentities(f.identity)
	if err != nil {
		return nil, nil, err
	}
	// Who wrote it is known only at its end; nothing is made of it before.
	header, err := verifyBackup(f.backupArg, identities, key)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(f.store.dir, 0o700); err != nil {
		return nil, nil, err
	}
	root, err := a.restoreInto(ctx, f, identities, key, open)
	if err != nil {
		for _, name := range []string{"root", "store", restoredCheckpoint} {
			err = errors.Join(err, os.RemoveAll(filepath.Join(f.store.dir, name)))
		}
		return nil, nil, err
	}
	return header, root, nil
}

// rootOfBackup opens the root key of a backup, or makes a new one.
type rootOfBackup = func(context.Context, *brokerRestoreFlags, *vault.Backup) (*vault.Root, error)

func readIdentities(path string) ([]age.Identity, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer text.Zero()
	identities, err := age.ParseIdentities(strings.NewReader(string(text.Expose())))
	if err != nil {
		return nil, inputError("", "%s: no age identities", path)
	}
	return identities, nil
}

// openBackup opens a backup. The caller closes the file.
func openBackup(path string, identities []age.Identity) (*vault.Backup, *os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	b, err := vault.OpenBackup(bufio.NewReader(f), identities...)
	if err != nil {
		f.Close() //nolint:errcheck // only read
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, f, nil
}

func verifyBackup(path string, identities []age.Identity, key ed25519.PublicKey) (*vault.BackupHeader, error) {
	b, file, err := openBackup(path, identities)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	if err := b.Verify(key); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &b.Header, nil
}

func (a *app) restoreInto(ctx context.Context, f *brokerRestoreFlags, identities []age.Identity, key ed25519.PublicKey, open rootOfBackup) (root *vault.Root, err error) {
	b, file, err := openBackup(f.backupArg, identities)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	if root, err = open(ctx, f, b); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			root.Zero()
		}
	}()
	sealer, err := root.StoreSealer()
	if err != nil {
		return nil, err
	}
	st, err := store.Open(filepath.Join(f.store.dir, "store"), store.Options{Create: true, Sealer: sealer, Logger: a.log})
	if err != nil {
		return nil, err
	}
	err = b.Restore(ctx, st, root, key, time.Now)
	if err == nil {
		err = writeRestoredCheckpoint(f.store.dir, st)
	}
	return root, errors.Join(err, st.Close())
}

// restoredCheckpoint has the last checkpoint of a backup that was co-signed, for
// witnesses that saw more.
const restoredCheckpoint = "restored-checkpoint"

func writeRestoredCheckpoint(dir string, st *store.Store) error {
	return audit.ReadStored(st, func(s *audit.Stored) error {
		if s.Checkpoint == nil {
			return nil
		}
		return durable.WriteFile(filepath.Join(dir, restoredCheckpoint), func(w io.Writer) error {
			_, err := w.Write(s.Checkpoint)
			return err
		})
	})
}

// restoreRoot opens the root key of the backup, or makes a new one.
func (a *app) restoreRoot(ctx context.Context, f *brokerRestoreFlags, b *vault.Backup) (*vault.Root, error) {
	found, _, err := a.here(f.store.dir)
	if err != nil {
		return nil, err
	}
	inTEE := found.Platform != attest.InsecureNone
	protect, done, err := f.store.root.open(ctx, f.store.id, a.sealingKeys, inTEE)
	if err != nil {
		return nil, err
	}
	defer done() //nolint:errcheck // the root key is open, or the first error counts
	o := vault.RootOptions{Path: filepath.Join(f.store.dir, "root"), Broker: f.store.id, Protector: protect, InTEE: inTEE, Now: time.Now}
	if f.newRoot {
		return vault.CreateRoot(ctx, o)
	}
	if err := b.WriteRoot(o.Path); err != nil {
		return nil, err
	}
	root, err := vault.OpenRoot(ctx, o)
	if err != nil {
		err = &Error{Code: exitCode(err), Err: err, Hint: "if it cannot be opened here, --new-root makes a new one, and every owner recovers with own shares"}
	}
	return root, err
}
