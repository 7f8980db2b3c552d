package vault

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"filippo.io/age"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/shares"
)

// A backup is an age file, encrypted to the recipients that were named. Inside:
//
//	"cloister-backup/v1\n"
//	header    length (uint32, big-endian), JSON
//	records   for each: 'r', lengths of bucket, key and value (uint32 each),
//	          bucket, key, value; in ascending order
//	entries   for each entry of a log: 'l', lengths of the log's name and of the
//	          entry (uint32 each), name, entry; by name, the oldest first
//	end       'e', number of records and entries (uint64), Ed25519ph signature (RFC 8032)
//	          of SHA-512 over all before the signature, 64 bytes
//
// The signature is the broker's, so that a recipient, who could write an age
// file as well, cannot make a backup. Nothing follows it.
const (
	backupHeading = "cloister-backup/v1\n"
	backupContext = "cloister.vault.backup.v1" // of the signature
	maxHeader     = 8 << 20
	maxRecordPart = store.MaxValue
)

// OwnBackup names the key that signs backups in the broker's own secrets. Its
// public key is for owners to keep: restoring asks for it.
const OwnBackup = "backup"

// BackupHeader begins a backup.
type BackupHeader struct {
	ID         string     `json:"id"`
	Broker     string     `json:"broker"`
	Made       time.Time  `json:"made"`
	Checkpoint Checkpoint `json:"checkpoint"` // the last in it
	Owners     []string   `json:"owners"`
	// Root is the root file. What it needs to open stays outside of the backup:
	// sealed to a measurement, on this machine alone.
	Root json.RawMessage `json:"root"`
	// SignatureKey is the broker's public key for backups. It proves nothing by
	// itself.
	SignatureKey []byte `json:"signature_key"`
}

func (h *BackupHeader) check() error {
	switch {
	case len(h.ID) != 32 || h.Broker == "" || len(h.SignatureKey) != ed25519.PublicKeySize || len(h.Root) == 0:
		return errors.New("the header lacks a field")
	case h.Checkpoint.Size < 0 || len(h.Checkpoint.Root) != 32:
		return errors.New("the header has no checkpoint")
	}
	for _, owner := range h.Owners {
		if err := checkName("owner", owner); err != nil {
			return err
		}
	}
	return nil
}

// BackupKey returns the public key that owners keep for checking backups.
func (v *Vault) BackupKey(tx *store.Tx) (ed25519.PublicKey, error) {
	key, err := v.OwnSigner(tx, OwnBackup)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	public, _ := key.Public().(ed25519.PublicKey)
	return slices.Clone(public), nil
}

// BackupOptions say what a backup is.
type BackupOptions struct {
	// Recipients are age public keys. Each can read what the store holds, which
	// are wrapped keys, the register and the audit log, but no key.
	Recipients []string
	// Checkpoint tells the log's size and root in a transaction.
	Checkpoint func(*store.Tx) (Checkpoint, error)
}

// Backup writes a backup of the whole store as it is at one moment, while it
// goes on working. It returns the header once w has everything.
func (v *Vault) Backup(ctx context.Context, st *store.Store, w io.Writer, o BackupOptions) (*BackupHeader, error) {
	recipients, err := shares.Recipients(o.Recipients)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if o.Checkpoint == nil {
		return nil, errors.New("backup: there is no log to take the checkpoint from")
	}
	// Makes the signing key at first, which then is in the backup.
	if err := st.Update(ctx, func(tx *store.Tx) error { _, err := v.BackupKey(tx); return err }); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	var header *BackupHeader
	// Root file and store have to be of one moment; writing takes longer.
	v.rotation.Lock()
	unlock := sync.OnceFunc(v.rotation.Unlock)
	defer unlock()
	err = st.View(func(tx *store.Tx) error {
		if err := v.ready(tx); err != nil {
			return err
		}
		key, err := v.OwnSigner(tx, OwnBackup)
		if err != nil {
			return err
		}
		defer clear(key)
		if header, err = v.header(tx, o, key); err != nil {
			return err
		}
		unlock()
		return writeBackup(ctx, w, recipients, header, tx, key)
	})
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return header, nil
}

func (v *Vault) header(tx *store.Tx, o BackupOptions, key ed25519.PrivateKey) (*BackupHeader, error) {
	id, err := newID(v.options.Random)
	if err != nil {
		return nil, err
	}
	public, _ := key.Public().(ed25519.PublicKey)
	h := &BackupHeader{ID: id, Broker: v.broker, Made: v.now(), SignatureKey: public}
	if h.Checkpoint, err = o.Checkpoint(tx); err != nil {
		return nil, err
	}
	if h.Owners, err = v.active(tx); err != nil {
		return nil, err
	}
	file := v.current().file
	if file.Previous != nil {
		return nil, errors.New("the root key is being changed: try again")
	}
	if h.Root, err = json.Marshal(&file); err != nil {
		return nil, err
	}
	return h, h.check()
}

func writeBackup(ctx context.Context, w io.Writer, to []age.Recipient, h *BackupHeader, tx *store.Tx, key ed25519.PrivateKey) error {
	sealed, err := age.Encrypt(w, to...)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(sealed, 64<<10)
	digest := sha512.New()
	out := &backupWriter{w: io.MultiWriter(buffered, digest)}
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	out.string(backupHeading)
	out.length(len(text))
	out.string(string(text))
	for _, bucket := range tx.Buckets() {
		for k, value := range tx.Range(bucket, "", "") {
			out.record(bucket, k, value)
			if out.n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if out.err != nil {
				return out.err
			}
		}
	}
	for _, name := range tx.Logs() {
		for entry, err := range tx.Entries(name, 0, tx.Length(name)) {
			if err == nil {
				err = out.entry(name, entry)
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
		}
	}
	out.string("e" + string(binary.BigEndian.AppendUint64(nil, out.n)))
	signature, err := key.Sign(nil, digest.Sum(nil), &ed25519.Options{Hash: crypto.SHA512, Context: backupContext})
	if err != nil {
		return err
	}
	out.string(string(signature))
	if out.err != nil {
		return out.err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return sealed.Close()
}

// backupWriter keeps the first error.
type backupWriter struct {
	w   io.Writer
	n   uint64 // records and entries
	err error
}

func (b *backupWriter) string(s string) {
	if b.err == nil {
		_, b.err = io.WriteString(b.w, s)
	}
}

func (b *backupWriter) length(n int) {
	b.string(string(binary.BigEndian.AppendUint32(nil, uint32(n))))
}

func (b *backupWriter) record(bucket, key string, value []byte) {
	b.string("r")
	for _, n := range []int{len(bucket), len(key), len(value)} {
		b.length(n)
	}
	b.string(bucket)
	b.string(key)
	b.string(string(value))
	b.n++
}

func (b *backupWriter) entry(log string, entry []byte) error {
	b.string("l")
	b.length(len(log))
	b.length(len(entry))
	b.string(log)
	b.string(string(entry))
	b.n++
	return b.err
}

// Backup is one that is being read.
type Backup struct {
	// Header is what the backup says of itself: not to be believed before
	// Restore, or Verify, has returned without an error.
	Header BackupHeader

	in     *bufio.Reader
	digest hash.Hash
	n      uint64
	last   [2]string // the record before
	log    string    // of the entry before
	logs   bool      // entries began
}

// backupRecord is one of a backup, or an entry of a log.
type backupRecord struct {
	bucket, key string
	value       []byte
	log         bool // value is an entry of the log that bucket names
}

// OpenBackup decrypts a backup and reads its header.
func OpenBackup(r io.Reader, identities ...age.Identity) (*Backup, error) {
	plain, err := age.Decrypt(r, identities...)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	b, err := readBackup(plain)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	return b, nil
}

func readBackup(plain io.Reader) (*Backup, error) {
	b := &Backup{in: bufio.NewReaderSize(plain, 64<<10), digest: sha512.New()}
	heading, err := b.bytes(len(backupHeading))
	if err != nil || string(heading) != backupHeading {
		return nil, fmt.Errorf("it does not begin with %q", backupHeading)
	}
	n, err := b.length(maxHeader)
	if err != nil {
		return nil, err
	}
	text, err := b.bytes(n)
	if err != nil {
		return nil, err
	}
	if err := decode(text, &b.Header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return b, b.Header.check()
}

// bytes reads and hashes exactly n bytes, and allocates no more than there are.
func (b *Backup) bytes(n int) ([]byte, error) {
	var out []byte
	for len(out) < n {
		part := make([]byte, min(n-len(out), max(64<<10, len(out))))
		if _, err := io.ReadFull(b.in, part); err != nil {
			return nil, fmt.Errorf("%w: the backup is cut off: %w", ErrTampered, err)
		}
		out = append(out, part...)
	}
	b.digest.Write(out)
	return out, nil
}

func (b *Backup) length(most int) (int, error) {
	four, err := b.bytes(4)
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(four)
	if int64(n) > int64(most) {
		return 0, fmt.Errorf("%w: a part of %d bytes, of at most %d", ErrTampered, n, most)
	}
	return int(n), nil
}

// next returns the next record, or nil at the end, which it verified against
// the broker's key.
func (b *Backup) next(key ed25519.PublicKey) (*backupRecord, error) {
	kind, err := b.bytes(1)
	if err != nil {
		return nil, err
	}
	switch kind[0] {
	case 'e':
		return nil, b.end(key)
	case 'l':
		return b.entry()
	case 'r':
	default:
		return nil, fmt.Errorf("%w: record %d begins with byte %#x", ErrTampered, b.n, kind[0])
	}
	parts, err := b.parts(store.MaxKey, store.MaxKey, maxRecordPart)
	if err != nil {
		return nil, err
	}
	r := &backupRecord{bucket: string(parts[0]), key: string(parts[1]), value: parts[2]}
	if b.logs || b.n > 0 && (r.bucket < b.last[0] || r.bucket == b.last[0] && r.key <= b.last[1]) {
		return nil, fmt.Errorf("%w: record %d is out of order", ErrTampered, b.n)
	}
	b.last = [2]string{r.bucket, r.key}
	b.n++
	return r, nil
}

// entry returns the next entry of a log.
func (b *Backup) entry() (*backupRecord, error) {
	parts, err := b.parts(store.MaxKey, maxRecordPart)
	if err != nil {
		return nil, err
	}
	r := &backupRecord{bucket: string(parts[0]), value: parts[1], log: true}
	if b.logs && r.bucket < b.log {
		return nil, fmt.Errorf("%w: record %d is out of order", ErrTampered, b.n)
	}
	b.log, b.logs = r.bucket, true
	b.n++
	return r, nil
}

// parts reads the lengths of some parts, each of at most so many bytes, and then
// the parts.
func (b *Backup) parts(most ...int) (parts [][]byte, err error) {
	lengths := make([]int, len(most))
	for i := range most {
		if lengths[i], err = b.length(most[i]); err != nil {
			return nil, err
		}
	}
	parts = make([][]byte, len(most))
	for i, n := range lengths {
		if parts[i], err = b.bytes(n); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

func (b *Backup) end(key ed25519.PublicKey) error {
	count, err := b.bytes(8)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint64(count) != b.n {
		return fmt.Errorf("%w: %d records, not %d", ErrTampered, b.n, binary.BigEndian.Uint64(count))
	}
	sum := b.digest.Sum(nil)
	signature, err := b.bytes(ed25519.SignatureSize)
	if err != nil {
		return err
	}
	if err := ed25519.VerifyWithOptions(key, sum, signature, &ed25519.Options{Hash: crypto.SHA512, Context: backupContext}); err != nil {
		return fmt.Errorf("%w: it is not signed by the broker's key for backups", ErrTampered)
	}
	if _, err := b.in.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows the end", ErrTampered)
	}
	return nil
}

// CheckRecipients says whether a backup can be encrypted to these age public
// keys.
func CheckRecipients(recipients []string) error {
	_, err := shares.Recipients(recipients)
	return err
}
