package vault

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"filippo.io/age"

	"cloister/trust/broker/store"
	"cloister/trust/broker/vault/shares"
	"cloister/trust/secret"
)

// party is an owner with people who hold recovery shares.
type party struct {
	name       string
	identities []age.Identity
	recipients []string
}

func newParty(tb testing.TB, name string, n int) *party {
	tb.Helper()
	ids, recipients := testIdentities(tb, n)
	return &party{name, ids, recipients}
}

func (p *party) recovery(b *place, threshold int) *RecoveryRecord {
	b.t.Helper()
	var r *RecoveryRecord
	b.do(func(tx *store.Tx) (err error) {
		r, err = b.v.SetRecovery(tx, p.name, Recovery{Threshold: threshold, Recipients: p.recipients})
		return err
	})
	return r
}

// open returns the shares that the party can open, of whatever lies there.
func (p *party) open(sealed [][]byte) []*shares.Share {
	var all []*shares.Share
	for _, s := range sealed {
		if share, err := shares.Open(s, p.identities...); err == nil {
			all = append(all, share)
		}
	}
	return all
}

func TestRecover(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	b.addOwner("a", "b")
	key, info := b.newKey("a", "rows")
	a, other := newParty(t, "a", 3), newParty(t, "b", 3)
	r, rb := a.recovery(b, 2), other.recovery(b, 2)
	mine, theirs := a.open(r.Sealed), other.open(rb.Sealed)
	if len(mine) != 3 || len(a.open(rb.Sealed)) != 0 {
		t.Fatalf("owner a opens %d own shares and %d of b", len(mine), len(a.open(rb.Sealed)))
	}
	recoverBy := func(owner string, given ...*shares.Share) error {
		return b.try(func(tx *store.Tx) error { return b.v.Recover(tx, owner, given) })
	}
	// As after the root key was lost.
	b.do(func(tx *store.Tx) error {
		record, err := b.v.owner(tx, "a")
		if err != nil {
			return err
		}
		record.Wrapped, record.Root = nil, ""
		return put(tx, bucketOwners, "a", record)
	})
	if err := b.keyError(info.Ref); !errors.Is(err, ErrUnrecovered) {
		t.Fatalf("a lost sub-root: %v", err)
	}
	wrong := *mine[1]
	wrong.Value = mine[0].Value
	for name, given := range map[string][]*shares.Share{
		"none": nil, "one": mine[:1], "one twice": {mine[0], mine[0]}, "another owner's": theirs, "mixed": {mine[0], theirs[1]}, "wrong": {mine[0], &wrong},
	} {
		if err := recoverBy("a", given...); err == nil {
			t.Errorf("%s: recovers", name)
		}
	}
	if err := recoverBy("c", mine...); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown owner: %v", err)
	}
	if err := recoverBy("a", mine[2], mine[0]); err != nil {
		t.Fatal(err)
	}
	if !b.key(info.Ref).Equal(key) {
		t.Error("another key")
	}
	// Once more is harmless, and new shares close the old ones.
	if err := recoverBy("a", mine...); err != nil {
		t.Error(err)
	}
	a.recovery(b, 3)
	if err := recoverBy("a", mine...); err == nil {
		t.Error("old shares still recover")
	}
	b.do(func(tx *store.Tx) error { _, err := b.v.SetRecovery(tx, "a", Recovery{}); return err })
	if err := recoverBy("a", mine...); !errors.Is(err, ErrNotFound) {
		t.Errorf("without recipients: %v", err)
	}
	for name, r := range map[string]Recovery{
		"threshold without recipients": {Threshold: 1}, "recipients without threshold": {Recipients: a.recipients}, "too many": {4, a.recipients},
	} {
		if b.try(func(tx *store.Tx) error { _, err := b.v.SetRecovery(tx, "a", r); return err }) == nil {
			t.Errorf("%s: is set", name)
		}
	}
}

// TestOtherOwnersTogetherRecoverNothing gives three owners all that they could
// have without the fourth: the store with its key, a backup that is encrypted to
// them, the root file, all their identities and shares, all recovered sub-roots
// of theirs, and all but one of the fourth's own shares. They try every key they
// have on every wrapped thing they see, under every name. The root key is out of
// their reach, and nothing else opens what is the fourth's.
func TestOtherOwnersTogetherRecoverNothing(t *testing.T) {
	t.Parallel()
	b := start(t, t.TempDir(), newFixed(t))
	victim := newParty(t, "x", 3)
	b.addOwner("x")
	key, info := b.newKey("x", "rows")
	victims := victim.recovery(b, 2)
	var others []*party
	for _, name := range []string{"a", "b", "c"} {
		b.addOwner(name)
		b.newKey(name, "rows")
		p := newParty(t, name, 2)
		p.recovery(b, 1)
		others = append(others, p)
	}
	var backup bytes.Buffer
	makeBackup(t, b, &backup, others[0].recipients)
	opened, err := age.Decrypt(&backup, others[0].identities...)
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(opened); err != nil {
		t.Fatal(err)
	}
	rootFile, err := os.ReadFile(b.options().Path)
	if err != nil {
		t.Fatal(err)
	}
	var victimSubRoot secret.Bytes
	b.do(func(tx *store.Tx) (err error) { victimSubRoot, err = b.v.subRoot(tx, "x"); return err })
	// All bytes that they see, wherever those come from.
	seen := b.dump()
	seen["backup"], seen["root file"] = plain.Bytes(), rootFile
	for name, content := range seen {
		for what, s := range map[string]secret.Bytes{"data key": key, "sub-root": victimSubRoot, "root": b.root.key} {
			if bytes.Contains(content, s.Expose()) {
				t.Errorf("the %s lies in %s", what, name)
			}
		}
	}
	keys, sealed := attackersKeys(t, b, others, seen)
	// One of the victim's shares is in their hands too; it is not enough.
	stolen := victim.open(victims.Sealed[:1])
	if len(stolen) != 1 {
		t.Fatal("no share was stolen")
	}
	given := append([]*shares.Share{}, stolen...)
	for _, p := range others {
		given = append(given, p.open(sealed)...)
	}
	for i, s := range given {
		forged := *s
		forged.Set, forged.Index = victims.Set, i%3+1
		for _, set := range [][]*shares.Share{{stolen[0], &forged}, {&forged}, given} {
			if k, err := shares.Combine(set); err == nil {
				keys = append(keys, k)
			}
		}
		lowered := *s
		lowered.Set.Threshold = 1
		if k, err := shares.Combine([]*shares.Share{&lowered}); err == nil {
			keys = append(keys, k)
		}
	}
	var record ownerRecord
	if err := json.Unmarshal(seen[bucketOwners+"\x00x"], &record); err != nil {
		t.Fatal(err)
	}
	var data keyRecord
	if err := json.Unmarshal(seen[bucketKeys+"\x00"+info.Ref.String()], &data); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, k := range keys {
		for _, wrapped := range [][]byte{record.Wrapped, record.Recovery.Wrapped, data.Wrapped} {
			for _, l := range []label{
				b.v.subRootLabel("x", record.ID), b.v.recoveryLabel("x", record.ID, record.Recovery.Set.ID), b.v.keyLabel(info.Ref, &data),
			} {
				tried++
				if _, err := unwrap(k, l, wrapped); err == nil {
					t.Errorf("a key of the others opens %s of the victim", l.purpose)
				}
			}
		}
	}
	for _, p := range others {
		if got := p.open(victims.Sealed); len(got) != 0 {
			t.Errorf("owner %s opens a share of the victim", p.name)
		}
	}
	if len(keys) < 20 || tried < 180 {
		t.Errorf("only %d keys were tried, %d times: the test tries too little", len(keys), tried)
	}
}

// attackersKeys returns every key that the others can come by, and every sealed
// share in the store.
func attackersKeys(t *testing.T, b *place, others []*party, seen map[string][]byte) (keys []secret.Bytes, sealed [][]byte) {
	t.Helper()
	for _, name := range []string{"a", "b", "c", "x"} {
		var record ownerRecord
		if err := json.Unmarshal(seen[bucketOwners+"\x00"+name], &record); err != nil {
			t.Fatal(err)
		}
		sealed = append(sealed, record.Recovery.Sealed...)
	}
	for _, p := range others {
		var record ownerRecord
		if err := json.Unmarshal(seen[bucketOwners+"\x00"+p.name], &record); err != nil {
			t.Fatal(err)
		}
		mine := p.open(sealed)
		split, err := shares.Combine(mine)
		if err != nil {
			t.Fatal(err)
		}
		subRoot, err := b.v.openRecovery(p.name, &record, mine)
		if err != nil {
			t.Fatal(err)
		}
		b.do(func(tx *store.Tx) error {
			key, _, err := b.v.Key(tx, Ref{p.name, "rows", 1})
			keys = append(keys, key)
			return err
		})
		for _, s := range mine {
			keys = append(keys, s.Value)
		}
		keys = append(keys, split, subRoot)
	}
	sealer, err := b.root.StoreSealer()
	if err != nil || sealer == nil {
		t.Fatal(err)
	}
	storeKey, err := unwrap(b.root.key, b.root.storeKeyLabel(), b.root.file.StoreKey)
	if err != nil {
		t.Fatal(err)
	}
	return append(keys, storeKey, secret.New(rootSize)), sealed
}
