package broker

import (
	"context"
	"crypto/hpke"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
)

// KnownFormat is the format of Known in JSON.
const KnownFormat = "cloister-known-broker/1"

// Known is what a client keeps of a broker that it attested: the pin, and the
// keys that the broker's evidence binds. It holds no secret, but who can change
// it sends a client to another broker.
type Known struct {
	Format      string `json:"format"`
	Broker      string `json:"broker"`
	Address     string `json:"address"` // where to look, never whom to trust
	TLSKey      Digest `json:"tls_key"`
	FirstPolicy Digest `json:"first_policy"`
	// HPKE is the key that owners wrap their keys to, Log that of the audit log.
	HPKE []byte `json:"hpke_public_key"`
	Log  string `json:"log"`
	// Platform and Program are what the evidence was of: the entry of the
	// policy's broker-programs, "" outside a TEE.
	Platform attest.Platform `json:"platform"`
	Program  string          `json:"program,omitempty"`
	Attested time.Time       `json:"attested"`
	// Insecure names what is missing, such as "insecure-broker-host".
	Insecure []string `json:"insecure,omitempty"`
}

// Known is what to keep of the broker that was met.
func (m *Meeting) Known(address, program string, at time.Time) *Known {
	return &Known{
		Format: KnownFormat, Broker: m.Pin.Broker, Address: address, TLSKey: m.Pin.TLSKey, FirstPolicy: m.Pin.FirstPolicy,
		HPKE: m.Info.HPKE, Log: m.Info.Log, Platform: m.Verification.Claims.Platform, Program: program,
		Attested: at.UTC().Truncate(time.Second),
	}
}

// ParseKnown reads what was kept of a broker.
func ParseKnown(text []byte) (*Known, error) {
	k := new(Known)
	if err := decode(text, k); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotKnown, err)
	}
	if k.Format != KnownFormat {
		return nil, fmt.Errorf("the file of a known broker has the format %.60q, not %q", k.Format, KnownFormat)
	}
	if err := k.Pin().check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotKnown, err)
	}
	if _, err := note.NewVerifier(k.Log); err != nil {
		return nil, fmt.Errorf("%w: the log's key: %w", errNotKnown, err)
	}
	if _, err := k.wrapTo(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotKnown, err)
	}
	return k, nil
}

// Pin is what the broker is known by.
func (k *Known) Pin() *Pin {
	return &Pin{TLSKey: k.TLSKey, FirstPolicy: k.FirstPolicy, Broker: k.Broker}
}

func (k *Known) wrapTo() (hpke.PublicKey, error) {
	kem, _, _ := suite()
	to, err := kem.NewPublicKey(k.HPKE)
	if err != nil {
		return nil, fmt.Errorf("hpke_public_key is no serialised public key of the suite MLKEM768-X25519")
	}
	return to, nil
}

// SeenFormat is the format of Seen in JSON.
const SeenFormat = "cloister-seen-log/1"

// Seen is the newest checkpoint of a broker's log that a client has seen. The
// client keeps it and compares at every contact, so that a store which was
// replaced by an older copy, or a second history, is noticed.
type Seen struct {
	Format      string `json:"format"`
	Broker      string `json:"broker"`
	FirstPolicy Digest `json:"first_policy"`
	// Checkpoint is a note that the log signed; "" before the first.
	Checkpoint string `json:"checkpoint"`
}

// ParseSeen reads what was kept.
func ParseSeen(text []byte) (*Seen, error) {
	s := new(Seen)
	if err := decode(text, s); err != nil {
		return nil, fmt.Errorf("the last checkpoint that was seen: %w", err)
	}
	if s.Format != SeenFormat {
		return nil, fmt.Errorf("the last checkpoint that was seen: the format is %.60q, not %q", s.Format, SeenFormat)
	}
	_, err := s.Last()
	return s, err
}

// Last is the checkpoint, or nil before the first.
func (s *Seen) Last() (*audit.Checkpoint, error) {
	if s.Checkpoint == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return audit.ParseCheckpoint(s.Checkpoint)
}

// Look asks for the newest checkpoint of the log and proves that it goes on from
// the one that was seen last (RFC 6962, section 2.1.2), which it then replaces.
// The error has audit.ErrTampered in its chain if it does not. Whether enough
// witnesses co-signed, witness.Set says.
func (c *Client) Look(ctx context.Context, k *Known, s *Seen) (*audit.Checkpoint, error) {
	if s.Broker != k.Broker || s.FirstPolicy != k.FirstPolicy {
		return nil, fmt.Errorf("the last checkpoint that was seen is of broker %.80q with the first policy %s: %w", s.Broker, s.FirstPolicy, ErrWrongBroker)
	}
	key, err := note.NewVerifier(k.Log)
	if err != nil {
		return nil, fmt.Errorf("%w: the log's key: %w", errNotKnown, err)
	}
	last, err := s.Last()
	if err != nil {
		return nil, err
	}
	a, err := c.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	newest, _, err := audit.OpenCheckpoint([]byte(a.Checkpoint), key)
	if err != nil {
		return nil, err
	}
	if err := c.follows(ctx, last, newest); err != nil {
		return nil, err
	}
	s.Checkpoint = a.Checkpoint
	return newest, nil
}

func (c *Client) follows(ctx context.Context, last, newest *audit.Checkpoint) error {
	switch {
	case last == nil || last.Size == 0:
		return nil
	case newest.Size < last.Size:
		return fmt.Errorf("the broker's log has %d entries and had %d: its store was replaced by an older copy: %w", newest.Size, last.Size, audit.ErrTampered)
	case newest.Size == last.Size:
		if newest.Root != last.Root {
			return fmt.Errorf("the broker's log has %d entries, as before, and not the same: %w", newest.Size, audit.ErrTampered)
		}
		return nil
	}
	proof, err := c.Consistency(ctx, last.Size, newest.Size)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(proof, newest.Size, newest.Root, last.Size, last.Root); err != nil {
		return fmt.Errorf("the broker's log does not go on from the %d entries that were seen: it is another history: %w: %w", last.Size, audit.ErrTampered, err)
	}
	return nil
}
