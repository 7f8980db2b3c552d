package vault

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"cloister/durable"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/secret"
)

const rootSize = protector.KeySize

// RootOptions say where the root key is and what protects it.
type RootOptions struct {
	// Path of the root file. It lies beside the store and not in it, since what
	// is in it opens the store.
	Path string
	// Broker is the broker's id, bound to every key. Opening checks it.
	Broker    string
	Protector protector.Protector
	// InTEE says that the program runs in a trusted execution environment, whose
	// host must not be able to open the root: protectors that it supplies are
	// refused.
	InTEE bool
	Now   func() time.Time
	// Random makes keys; nil is crypto/rand.
	Random io.Reader
}

// rootFile is the root file. None of it is secret or trusted: what is changed in
// it does not open.
type rootFile struct {
	Format    int       `json:"format"`
	Broker    string    `json:"broker"`
	ID        string    `json:"id"`
	Created   time.Time `json:"created"`
	Protector string    `json:"protector"`
	// Sealed is the file's own key, which the protector keeps and which is in no
	// other file. It is not the root: who gets the root, as a new broker does,
	// opens no root file of the one that gave it.
	Sealed []byte `json:"sealed"`
	// Key is the root, wrapped under the file's key.
	Key []byte `json:"key"`
	// StoreKey is wrapped under the root. It outlives a root, so that changing
	// the root does not mean to write the store anew.
	StoreKey []byte `json:"store_key"`
	// Previous is the root before, while the store's keys may still be under it.
	Previous *previousRoot `json:"previous,omitempty"`
}

// previousRoot is a root that is being replaced. It only opens a store that has
// the mark of its replacement; see rotationRecord.
type previousRoot struct {
	ID      string `json:"id"`
	Mark    string `json:"mark"`
	Wrapped []byte `json:"wrapped"` // under the file's key
}

const (
	purposeRoot     = "root"
	purposeStoreKey = "store key"
	purposePrevious = "previous root"
	maxRootFile     = 4 << 20
)

// Root is an open root key.
type Root struct {
	options  RootOptions
	file     rootFile
	key      secret.Bytes
	previous secret.Bytes // empty, except after a rotation that did not end
}

var (
	// ErrNoRoot says that there is no root file yet.
	ErrNoRoot = errors.New("there is no root key yet")
	// ErrTampered is in the chain of errors that say that a file or record is not
	// as it was written.
	ErrTampered = errors.New("changed or damaged")
)

// ProtectorError says that a root key is under another protector.
type ProtectorError struct{ Have, Want string }

func (e *ProtectorError) Error() string {
	return fmt.Sprintf("it is protected by %.40q, not by %q", e.Have, e.Want)
}

// CreateRoot makes a root key at first start. It fails if the file is there.
func CreateRoot(ctx context.Context, o RootOptions) (*Root, error) {
	key, err := secret.Random(o.Random, rootSize)
	if err != nil {
		return nil, err
	}
	storeKey, err := secret.Random(o.Random, store.KeySize)
	if err != nil {
		return nil, err
	}
	defer storeKey.Zero()
	return newRoot(ctx, o, key, storeKey)
}

// newRoot seals and writes a root key, which it takes over.
func newRoot(ctx context.Context, o RootOptions, key, storeKey secret.Bytes) (*Root, error) {
	id, err := newID(o.Random)
	if err != nil {
		return nil, err
	}
	return adoptRoot(ctx, o, id, key, storeKey)
}

// adoptRoot does so for a root key that has an id.
func adoptRoot(ctx context.Context, o RootOptions, id string, key, storeKey secret.Bytes) (*Root, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(o.Path); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("root file %s is there already: a new root key would lose all that is under it", o.Path)
	}
	r := &Root{options: o, key: key, file: rootFile{Format: format, Broker: o.Broker, ID: id, Created: o.Now().UTC().Truncate(time.Second)}}
	var err error
	if r.file.StoreKey, err = wrap(key, r.storeKeyLabel(), storeKey); err == nil {
		err = r.seal(ctx, o.Protector)
	}
	if err != nil {
		r.Zero()
		return nil, err
	}
	return r, nil
}

// OpenRoot opens the root key. Its error has ErrNoRoot in its chain where there
// is none, protector.ErrWaiting where owners have to unlock it first,
// protector.ErrSealed where it does not open here, and protector.ErrHostSupplied
// where it must not be opened so.
func OpenRoot(ctx context.Context, o RootOptions) (*Root, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	text, err := readFile(o.Path, maxRootFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("root file %s: %w", o.Path, ErrNoRoot)
	}
	if err != nil {
		return nil, err
	}
	r, err := parseRoot(text)
	if err != nil {
		return nil, fmt.Errorf("root file %s: %w", o.Path, err)
	}
	r.options = o
	if err := r.open(ctx); err != nil {
		r.Zero()
		return nil, fmt.Errorf("root file %s: %w", o.Path, err)
	}
	return r, nil
}

func (o *RootOptions) check() error {
	if o.Broker == "" || len(o.Broker) > 255 {
		return errors.New("the root key needs the broker's id, of 1 to 255 bytes")
	}
	if o.Protector == nil {
		return errors.New("the root key needs a protector")
	}
	if o.Now == nil {
		return errors.New("the root key needs a clock")
	}
	return protector.Refuse(o.Protector, o.InTEE)
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, limit)
	}
	return text, nil
}

func parseRoot(text []byte) (*Root, error) {
	r := &Root{}
	if err := decode(text, &r.file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTampered, err)
	}
	if r.file.Format != format {
		return nil, fmt.Errorf("format %d is not known to this version", r.file.Format)
	}
	return r, nil
}

func (r *Root) open(ctx context.Context) error {
	o := r.options
	if r.file.Broker != o.Broker {
		return fmt.Errorf("it is of broker %.80q, not %.80q", r.file.Broker, o.Broker)
	}
	if r.file.Protector != o.Protector.Name() {
		return &ProtectorError{Have: r.file.Protector, Want: o.Protector.Name()}
	}
	own, err := o.Protector.Unseal(ctx, r.file.Sealed, r.associated(o.Protector))
	if err != nil {
		return err
	}
	defer own.Zero()
	if r.key, err = unwrap(own, r.rootLabel(), r.file.Key); err != nil {
		return err
	}
	if r.key.Len() != rootSize {
		return fmt.Errorf("%w: a root key of %d bytes", ErrTampered, r.key.Len())
	}
	if p := r.file.Previous; p != nil {
		if r.previous, err = unwrap(own, r.previousLabel(p), p.Wrapped); err != nil {
			return err
		}
	}
	return nil
}

// Broker is the broker's id.
func (r *Root) Broker() string { return r.file.Broker }

// ID tells this root key from others of the same broker.
func (r *Root) ID() string { return r.file.ID }

// StoreSealer returns what seals the broker's store, so that its files show
// nothing and can be changed only as a whole, for an older copy.
func (r *Root) StoreSealer() (store.Sealer, error) {
	key, err := unwrap(r.key, r.storeKeyLabel(), r.file.StoreKey)
	if err != nil {
		return nil, err
	}
	defer key.Zero()
	return store.NewSealer(key.Expose())
}

// Reseal puts the same root key under another protector, or under the same one
// after its owners changed.
func (r *Root) Reseal(ctx context.Context, p protector.Protector) error {
	if err := protector.Refuse(p, r.options.InTEE); err != nil {
		return err
	}
	return r.seal(ctx, p)
}

// seal writes the root file, with a new key of its own.
func (r *Root) seal(ctx context.Context, p protector.Protector) error {
	own, err := secret.Random(r.options.Random, protector.KeySize)
	if err != nil {
		return err
	}
	defer own.Zero()
	file := r.file
	if file.Sealed, err = p.Seal(ctx, own, r.associated(p)); err != nil {
		return fmt.Errorf("seal the root key: %w", err)
	}
	file.Protector = p.Name()
	if file.Key, err = wrap(own, r.rootLabel(), r.key); err != nil {
		return err
	}
	if before := r.file.Previous; before != nil {
		previous := *before
		if previous.Wrapped, err = wrap(own, r.previousLabel(before), r.previous); err != nil {
			return err
		}
		file.Previous = &previous
	}
	if err := file.write(r.options.Path); err != nil {
		return err
	}
	r.file, r.options.Protector = file, p
	return nil
}

func (f *rootFile) write(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	out, err := durable.Create(path)
	if err != nil {
		return err
	}
	defer out.Abort()
	// Whoever reads it can try passphrases.
	if err := out.Chmod(0o600); err != nil {
		return err
	}
	if _, err := out.Write(append(text, '\n')); err != nil {
		return err
	}
	return out.Commit()
}

// Zero forgets the key.
func (r *Root) Zero() {
	r.key.Zero()
	r.previous.Zero()
}

func (r *Root) associated(p protector.Protector) []byte {
	return canonical("cloister.vault.root.v1", r.file.Broker, r.file.ID, p.Name())
}

func (r *Root) storeKeyLabel() label {
	return label{broker: r.file.Broker, purpose: purposeStoreKey, id: r.file.ID}
}

func (r *Root) rootLabel() label {
	return label{broker: r.file.Broker, purpose: purposeRoot, id: r.file.ID}
}

func (r *Root) previousLabel(p *previousRoot) label {
	return label{broker: r.file.Broker, purpose: purposePrevious, id: r.file.ID + " after " + p.ID + " " + p.Mark}
}

// newID returns a random id of 32 hexadecimal digits.
func newID(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	var id [16]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return hex.EncodeToString(id[:]), nil
}

// derived returns HKDF-SHA256 of a key for one use.
func derived(key secret.Bytes, use string) (secret.Bytes, error) {
	out, err := hkdf.Expand(sha256.New, key.Expose(), "cloister.vault.v1 "+use, rootSize)
	if err != nil {
		return secret.Bytes{}, err
	}
	return secret.Take(out), nil
}
