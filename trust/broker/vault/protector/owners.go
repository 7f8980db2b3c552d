package protector

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"cloister/trust/broker/vault/shares"
	"cloister/trust/secret"
)

// OwnersSeal keeps the root key for a program that no platform seals for, such
// as a TDX guest: the key is under a secret of every owner, so that all of them,
// and no fewer, unlock it after a start, each over a channel on which the owner
// appraised the program. An owner's own secret is split among that owner's
// recipients, so that no single person has to be there.
//
// That all owners are needed is on purpose: a root that k of n could open would
// let k of them open what belongs to the others.
//
// The shares are handed out once, by the program that made them, and owners keep
// them; they are not beside the root key. Anybody can encrypt something to an
// owner's recipients, so that an owner who opened what the host shows would
// unlock a root key of the host's own making.
type OwnersSeal struct {
	broker  string
	deliver func(context.Context, []Delivery) error

	mu     sync.Mutex
	owners []OwnerRecipients
	given  map[string]map[int]*shares.Share // by set and index
	sealed *ownersFile                      // as last seen
	own    map[string]secret.Bytes          // owners' secrets in sealed, by set, once they are known
}

// OwnerRecipients are an owner's recipients, age public keys, of whom Threshold
// are needed. The caller verified the owner's signature over them.
type OwnerRecipients struct {
	Owner      string
	Threshold  int
	Recipients []string
	// Keep is the id of the set in the seal there is, to go on with the owner's
	// secret and the shares that the owner has; "" makes new ones.
	Keep string `json:"-"`
}

// Delivery is what an owner gets when the root key is sealed: shares, each
// encrypted to the recipient of the same place. Sealed is empty where the owner
// has them already.
type Delivery struct {
	Set        shares.Set `json:"set"`
	Recipients []string   `json:"recipients"`
	Sealed     [][]byte   `json:"sealed"`
}

// ownersFile is what is sealed, in JSON.
type ownersFile struct {
	Format int          `json:"format"`
	Owners []ownersPart `json:"owners"` // by name
	// Wrapped is the key under HKDF of all owners' secrets in this order.
	Wrapped []byte `json:"wrapped"`
}

type ownersPart struct {
	Set shares.Set `json:"set"`
	// Check is SHA-256 of the owner's secret, which is 32 random bytes, so that a
	// wrong share is told from a missing one.
	Check []byte `json:"check"`
}

const (
	maxOwners     = 64
	maxOwnersFile = 2 << 20
)

// NewOwners returns a protector for a broker. The owners are those that Seal
// will seal for; for opening they are not needed.
//
// Seal calls deliver before it returns, and so before the root file is written:
// it keeps the shares where they survive and the host cannot change them, which
// is the store, or at first start, when there is nothing to lose yet, the memory
// until the store is there.
func NewOwners(broker string, owners []OwnerRecipients, deliver func(context.Context, []Delivery) error) (*OwnersSeal, error) {
	p := &OwnersSeal{broker: broker, deliver: deliver, given: map[string]map[int]*shares.Share{}}
	return p, p.SetOwners(owners)
}

// SetOwners changes the owners of the next Seal. Without it those whom the root key
// was opened by keep their shares.
func (p *OwnersSeal) SetOwners(owners []OwnerRecipients) error {
	if len(owners) > maxOwners {
		return fmt.Errorf("%d owners, of at most %d", len(owners), maxOwners)
	}
	sorted := slices.Clone(owners)
	slices.SortFunc(sorted, func(a, b OwnerRecipients) int { return strings.Compare(a.Owner, b.Owner) })
	for i, o := range sorted {
		if i > 0 && sorted[i-1].Owner == o.Owner {
			return fmt.Errorf("owner %.80q appears twice", o.Owner)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owners = sorted
	return nil
}

// SetDeliver says where Seal delivers shares to, for who makes the protector
// before there is a store.
func (p *OwnersSeal) SetDeliver(deliver func(context.Context, []Delivery) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deliver = deliver
}

// Sets are the sets of shares that the root key is sealed with, by owner, or
// none if nothing was sealed or opened yet.
func (p *OwnersSeal) Sets() []shares.Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sealed == nil {
		return nil
	}
	all := make([]shares.Set, len(p.sealed.Owners))
	for i, o := range p.sealed.Owners {
		all[i] = o.Set
	}
	return all
}

// Name implements Protector.
func (*OwnersSeal) Name() string { return "owners" }

// Origin implements Protector.
func (*OwnersSeal) Origin() Origin { return Owners }

// part is an owner's part of a seal that is made, with the owner's secret. Of an
// owner who keeps its shares it is that of the seal before: then the root key can
// change, or another owner leave, and whoever is killed at any moment of that
// finds it under shares that its owners have.
func (p *OwnersSeal) part(o *OwnerRecipients) (*ownersPart, *Delivery, secret.Bytes, error) {
	if o.Keep != "" && p.sealed != nil {
		for _, old := range p.sealed.Owners {
			if own := p.own[o.Keep]; old.Set.ID == o.Keep && old.Set.Owner == o.Owner && !own.Empty() {
				return &old, &Delivery{Set: old.Set, Recipients: o.Recipients}, own.Clone(), nil
			}
		}
	}
	if len(o.Recipients) == 0 {
		return nil, nil, secret.Bytes{}, fmt.Errorf("owner %s: the secret of the seal there is is not known, and no recipients of a new one are", o.Owner)
	}
	var id [16]byte
	if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
		return nil, nil, secret.Bytes{}, err
	}
	set := shares.Set{
		Purpose: shares.Unlock, Broker: p.broker, Owner: o.Owner, ID: hex.EncodeToString(id[:]),
		Threshold: o.Threshold, Shares: len(o.Recipients),
	}
	own, sealed, err := shares.Split(set, o.Recipients)
	if err != nil {
		return nil, nil, secret.Bytes{}, fmt.Errorf("owner %s: %w", o.Owner, err)
	}
	check := sha256.Sum256(own.Expose())
	return &ownersPart{Set: set, Check: check[:]}, &Delivery{Set: set, Recipients: o.Recipients, Sealed: sealed}, own, nil
}

// kept are the owners of the seal there is.
func (p *OwnersSeal) kept() (owners []OwnerRecipients) {
	if p.sealed == nil {
		return nil
	}
	for _, o := range p.sealed.Owners {
		owners = append(owners, OwnerRecipients{Owner: o.Set.Owner, Threshold: o.Set.Threshold, Keep: o.Set.ID})
	}
	return owners
}

// Seal implements Protector: every owner gets a new secret who does not keep the
// one there is.
func (p *OwnersSeal) Seal(ctx context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	owners := p.owners
	if owners == nil {
		owners = p.kept()
	}
	if len(owners) == 0 {
		return nil, errors.New("the root key is to be sealed for its owners, and there are none")
	}
	if p.deliver == nil {
		return nil, errors.New("the root key is to be sealed for its owners, and their shares can be delivered nowhere")
	}
	var deliveries []Delivery
	file := &ownersFile{Format: 1}
	secrets := secret.New(shares.KeySize * len(owners))
	defer secrets.Zero()
	known := map[string]secret.Bytes{}
	for i := range owners {
		part, delivery, own, err := p.part(&owners[i])
		if err != nil {
			return nil, err
		}
		copy(secrets.Expose()[i*shares.KeySize:], own.Expose())
		known[part.Set.ID] = own
		file.Owners = append(file.Owners, *part)
		deliveries = append(deliveries, *delivery)
	}
	kek, err := derive(secrets.Expose(), "owners")
	if err != nil {
		return nil, err
	}
	defer kek.Zero()
	if file.Wrapped, err = seal(kek, key, associated); err != nil {
		return nil, err
	}
	if err := p.deliver(ctx, deliveries); err != nil {
		return nil, fmt.Errorf("deliver the owners' shares: %w", err)
	}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	p.know(file, known)
	// What is sealed next, such as another root key, is for the same shares.
	p.owners = slices.Clone(owners)
	for i := range p.owners {
		p.owners[i].Keep = file.Owners[i].Set.ID
	}
	return text, nil
}

// know remembers a seal with its owners' secrets.
func (p *OwnersSeal) know(file *ownersFile, own map[string]secret.Bytes) {
	for _, old := range p.own {
		old.Zero()
	}
	p.sealed, p.own = file, own
}

// Give takes an owner's share, which came over an attested channel. Unseal says
// afterwards who is still missing. The caller knows which owner speaks: a share
// of another is refused.
func (p *OwnersSeal) Give(owner string, s *shares.Share) error {
	if s.Set.Purpose != shares.Unlock || s.Set.Broker != p.broker || s.Set.Owner != owner {
		return fmt.Errorf("owner %.80q gives a share for %s of owner %s of broker %s: it is not for unlocking this broker",
			owner, s.Set.Purpose, s.Set.Owner, s.Set.Broker)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sealed != nil && !slices.ContainsFunc(p.sealed.Owners, func(o ownersPart) bool { return o.Set == s.Set }) {
		return fmt.Errorf("owner %s gives a share of set %s, which is not what the root key is sealed with: give the share that was delivered last", owner, s.Set.ID)
	}
	if p.given[s.Set.ID] == nil {
		// One set at a time for each owner bounds what can be given.
		for id, set := range p.given {
			for _, old := range set {
				if old.Set.Owner == owner {
					p.forget(id)
					break
				}
			}
		}
		p.given[s.Set.ID] = map[int]*shares.Share{}
	}
	if old := p.given[s.Set.ID][s.Index]; old != nil && old != s {
		old.Value.Zero()
	}
	p.given[s.Set.ID][s.Index] = s
	return nil
}

func (f *ownersFile) check(broker string) error {
	if f.Format != 1 || len(f.Owners) == 0 || len(f.Owners) > maxOwners {
		return errors.New("no seal of owners of a known format")
	}
	for i, o := range f.Owners {
		if o.Set.Broker != broker || o.Set.Purpose != shares.Unlock || len(o.Check) != sha256.Size {
			return fmt.Errorf("owner %.80q: not a part of this broker's seal", o.Set.Owner)
		}
		if i > 0 && f.Owners[i-1].Set.Owner >= o.Set.Owner {
			return errors.New("the owners are out of order")
		}
	}
	return nil
}

// Unseal implements Protector: its error names the owners who have not come.
func (p *OwnersSeal) Unseal(_ context.Context, sealed, associated []byte) (secret.Bytes, error) {
	file, err := parseOwners(sealed)
	if err == nil {
		err = file.check(p.broker)
	}
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.know(file, nil)
	secrets := secret.New(shares.KeySize * len(file.Owners))
	defer secrets.Zero()
	known := map[string]secret.Bytes{}
	var missing []string
	for i, o := range file.Owners {
		own, lacks := p.combine(&o)
		if lacks != "" {
			missing = append(missing, lacks)
			continue
		}
		copy(secrets.Expose()[i*shares.KeySize:], own.Expose())
		known[o.Set.ID] = own
	}
	if missing != nil {
		for _, own := range known {
			own.Zero()
		}
		return secret.Bytes{}, fmt.Errorf("%w: waiting for %s", ErrWaiting, strings.Join(missing, ", "))
	}
	kek, err := derive(secrets.Expose(), "owners")
	if err != nil {
		return secret.Bytes{}, err
	}
	defer kek.Zero()
	key, err := unseal(kek, file.Wrapped, associated)
	if err != nil {
		return secret.Bytes{}, err
	}
	for id := range p.given {
		p.forget(id)
	}
	p.know(file, known)
	return key, nil
}

// combine returns an owner's secret, or says what is lacking.
func (p *OwnersSeal) combine(o *ownersPart) (own secret.Bytes, lacks string) {
	var given []*shares.Share
	for _, s := range p.given[o.Set.ID] {
		if s.Set == o.Set {
			given = append(given, s)
		}
	}
	if len(given) < o.Set.Threshold || o.Set.Threshold < 1 {
		return secret.Bytes{}, fmt.Sprintf("%s (%d of %d shares)", o.Set.Owner, len(given), o.Set.Threshold)
	}
	own, err := shares.Combine(given)
	if err == nil {
		if sum := sha256.Sum256(own.Expose()); bytes.Equal(sum[:], o.Check) {
			return own, ""
		}
	}
	// Which one is wrong cannot be told: they start again.
	p.forget(o.Set.ID)
	return secret.Bytes{}, fmt.Sprintf("%s (a share was wrong: give them again)", o.Set.Owner)
}

// forget zeroes the shares of a set.
func (p *OwnersSeal) forget(set string) {
	for _, s := range p.given[set] {
		s.Value.Zero()
	}
	delete(p.given, set)
}

func parseOwners(sealed []byte) (*ownersFile, error) {
	if len(sealed) > maxOwnersFile {
		return nil, fmt.Errorf("%d bytes, of at most %d", len(sealed), maxOwnersFile)
	}
	d := json.NewDecoder(bytes.NewReader(sealed))
	d.DisallowUnknownFields()
	var file ownersFile
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows")
	}
	return &file, nil
}
