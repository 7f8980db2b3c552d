package protector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"cloister/trust/broker/vault/shares"
	"cloister/trust/secret"
)

var associated = []byte("broker and root")

func rootKey(tb testing.TB) secret.Bytes {
	tb.Helper()
	key, err := secret.Random(nil, KeySize)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// platformKeys is a directory as Gramine shows one.
func platformKeys(t *testing.T, key []byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string][]byte{gramineMREnclave: key, "_sgx_mrsigner": bytes.Repeat([]byte{7}, 16), "other": []byte("x")} {
		if content == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func gramine(t *testing.T, key []byte) *Gramine {
	t.Helper()
	p, err := NewGramine(platformKeys(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func passphrase(t *testing.T, text string) *Passphrase {
	t.Helper()
	p, err := NewPassphrase(secret.Copy([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	p.work = 10
	return p
}

func kms(t *testing.T) *CloudKMS {
	t.Helper()
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	keeper := localsecrets.NewKeeper(key)
	t.Cleanup(func() { keeper.Close() })
	var _ Keeper = (*secrets.Keeper)(nil)
	p, err := NewCloudKMS("localsecrets", keeper)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProtectors seals and opens with each, and tries others' keys, other
// associated data, and every byte changed.
func TestProtectors(t *testing.T) {
	t.Parallel()
	seal := bytes.Repeat([]byte{1}, 16)
	for name, c := range map[string]struct {
		p, again, other Protector
		origin          Origin
		every           int // byte is changed
	}{
		"gramine":    {gramine(t, seal), gramine(t, seal), gramine(t, bytes.Repeat([]byte{2}, 16)), Platform, 1},
		"passphrase": {passphrase(t, "correct horse battery"), passphrase(t, "correct horse battery"), passphrase(t, "correct horse batterY"), Host, 7},
		"kms":        {kms(t), nil, kms(t), Host, 1},
		"transit":    {newTransitServer(t).protector(t), nil, newTransitServer(t).protector(t), Host, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := rootKey(t)
			sealed, err := c.p.Seal(t.Context(), key, associated)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(sealed, key.Expose()) {
				t.Error("the key is in the clear")
			}
			if c.p.Origin() != c.origin || c.p.Name() != c.other.Name() {
				t.Errorf("origin %d, names %s and %s", c.p.Origin(), c.p.Name(), c.other.Name())
			}
			if c.again == nil {
				c.again = c.p
			}
			if got, err := c.again.Unseal(t.Context(), sealed, associated); err != nil || !got.Equal(key) {
				t.Errorf("it does not come back: %v", err)
			}
			if _, err := c.other.Unseal(t.Context(), sealed, associated); err == nil {
				t.Error("another opens it")
			}
			if _, err := c.p.Unseal(t.Context(), sealed, []byte("another root")); err == nil {
				t.Error("it opens as another root")
			}
			for i := 0; i < len(sealed); i += c.every {
				changed := bytes.Clone(sealed)
				changed[i] ^= 1
				if _, err := c.p.Unseal(t.Context(), changed, associated); err == nil {
					t.Errorf("byte %d changed: it opens", i)
				}
			}
			for _, cut := range [][]byte{nil, {}, sealed[:len(sealed)-1], sealed[:1], append(bytes.Clone(sealed), 'x')} {
				if _, err := c.p.Unseal(t.Context(), cut, associated); err == nil {
					t.Errorf("%d of %d bytes: it opens", len(cut), len(sealed))
				}
			}
			for _, n := range []int{0, 16, 33} {
				if _, err := c.p.Seal(t.Context(), secret.New(n), associated); err == nil {
					t.Errorf("%d bytes are sealed as a root key", n)
				}
			}
			if err := Refuse(c.p, true); (err == nil) != (c.origin == Platform) || err != nil && !errors.Is(err, ErrHostSupplied) {
				t.Errorf("in a TEE: %v", err)
			}
			if err := Refuse(c.p, false); err != nil {
				t.Errorf("outside of a TEE: %v", err)
			}
		})
	}
}

func TestGramineRefuses(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{
		"none, though the signer's is there": nil, "empty": {}, "short": bytes.Repeat([]byte{1}, 15), "long": bytes.Repeat([]byte{1}, 17), "zeros": make([]byte, 16),
	} {
		if _, err := NewGramine(platformKeys(t, key)); err == nil {
			t.Errorf("%s: is used", name)
		}
	}
	if _, err := NewGramine(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no platform: %v", err)
	}
}

func TestPassphraseDescriptor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"line":       {"correct horse battery\n", "correct horse battery"},
		"no newline": {"correct horse battery", "correct horse battery"},
		"dos":        {"correct horse battery\r\n", "correct horse battery"},
		"spaces":     {" a b \n", " a b "},
		"two lines":  {"correct horse\nbattery\n", ""},
		"empty":      {"", ""},
		"only line":  {"\n", ""},
		"too long":   {strings.Repeat("x", 5000), ""},
		"zero byte":  {"correct\x00horse", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			go func() { w.WriteString(c.in); w.Close() }()
			got, err := readLine(r)
			if (err == nil) != (c.want != "") || err == nil && string(got.Expose()) != c.want {
				t.Errorf("%q, %v", got.Expose(), err)
			}
		})
	}
	if _, err := NewPassphrase(secret.Copy([]byte("short"))); err == nil {
		t.Error("a short passphrase is taken")
	}
	if _, err := ReadPassphrase(-1); err == nil {
		t.Error("a negative descriptor is read")
	}
}

// TestPassphraseWork refuses a file that asks for hours of work.
func TestPassphraseWork(t *testing.T) {
	t.Parallel()
	p := passphrase(t, "correct horse battery")
	sealed, err := p.Seal(t.Context(), rootKey(t), associated)
	if err != nil {
		t.Fatal(err)
	}
	hard := bytes.Replace(sealed, []byte(" 10\n"), []byte(" 30\n"), 1)
	if bytes.Equal(hard, sealed) {
		t.Fatal("nothing was changed")
	}
	if _, err := p.Unseal(t.Context(), hard, associated); !errors.Is(err, ErrSealed) {
		t.Errorf("a work factor of 30: %v", err)
	}
	// Nor for more than sealing took, even under the right passphrase: each step
	// doubles the memory, too.
	p.work++
	if sealed, err = p.Seal(t.Context(), rootKey(t), associated); err != nil {
		t.Fatal(err)
	}
	p.work--
	if _, err := p.Unseal(t.Context(), sealed, associated); !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "work factor too large") {
		t.Errorf("a work factor of one more: %v", err)
	}
}

type owner struct {
	name       string
	identities []age.Identity
	recipients []string
}

func newOwner(t *testing.T, name string, n int) *owner {
	t.Helper()
	o := &owner{name: name}
	for range n {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		o.identities = append(o.identities, id)
		o.recipients = append(o.recipients, id.Recipient().String())
	}
	return o
}

func (o *owner) of(threshold int) OwnerRecipients {
	return OwnerRecipients{Owner: o.name, Threshold: threshold, Recipients: o.recipients}
}

// TestOwners seals for three owners and opens with all of them; every set that
// lacks one of them opens nothing.
func TestOwners(t *testing.T) {
	t.Parallel()
	owners := []*owner{newOwner(t, "c", 1), newOwner(t, "a", 3), newOwner(t, "b", 2)}
	thresholds := map[string]int{"a": 2, "b": 2, "c": 1}
	delivered := map[string][]*shares.Share{}
	deliver := func(_ context.Context, all []Delivery) error {
		clear(delivered)
		for _, d := range all {
			for _, o := range owners {
				for _, sealed := range d.Sealed {
					if s, err := shares.Open(sealed, o.identities...); err == nil {
						if s.Set.Owner != o.name {
							return fmt.Errorf("%s opens a share of %s", o.name, s.Set.Owner)
						}
						delivered[o.name] = append(delivered[o.name], s)
					}
				}
			}
		}
		return nil
	}
	var parts []OwnerRecipients
	for _, o := range owners {
		parts = append(parts, o.of(thresholds[o.name]))
	}
	p, err := NewOwners("b1", parts, deliver)
	if err != nil {
		t.Fatal(err)
	}
	key := rootKey(t)
	sealed, err := p.Seal(t.Context(), key, associated)
	if err != nil {
		t.Fatal(err)
	}
	old := map[string][]*shares.Share{}
	for name, all := range delivered {
		old[name] = all
	}
	if len(old["a"]) != 3 || len(old["b"]) != 2 || len(old["c"]) != 1 {
		t.Fatalf("delivered %v", old)
	}
	for mask := range 1 << 6 {
		fresh, err := NewOwners("b1", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		given := map[string]int{}
		for i, s := range []*shares.Share{old["a"][0], old["a"][1], old["a"][2], old["b"][0], old["b"][1], old["c"][0]} {
			if mask>>i&1 == 1 {
				copied := *s
				copied.Value = s.Value.Clone()
				if err := fresh.Give(s.Set.Owner, &copied); err != nil {
					t.Fatal(err)
				}
				given[s.Set.Owner]++
			}
		}
		enough := given["a"] >= 2 && given["b"] >= 2 && given["c"] >= 1
		got, err := fresh.Unseal(t.Context(), sealed, associated)
		switch {
		case enough && (err != nil || !got.Equal(key)):
			t.Errorf("%v: %v", given, err)
		case !enough && !errors.Is(err, ErrWaiting):
			t.Errorf("%v: %v", given, err)
		}
	}
	ownersRefuse(t, sealed, old)
	// Owners change: the old shares do not open what is sealed now.
	if err := p.SetOwners(parts[1:]); err != nil {
		t.Fatal(err)
	}
	again, err := p.Seal(t.Context(), key, associated)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := NewOwners("b1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(old["a"], old["b"]...) {
		if err := fresh.Give(s.Set.Owner, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := fresh.Unseal(t.Context(), again, associated); !errors.Is(err, ErrWaiting) {
		t.Errorf("old shares: %v", err)
	}
	for _, name := range []string{"a", "b"} {
		for _, s := range delivered[name] {
			if err := fresh.Give(name, s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := fresh.Unseal(t.Context(), again, associated); err != nil || !got.Equal(key) {
		t.Errorf("new shares: %v", err)
	}
}

func ownersRefuse(t *testing.T, sealed []byte, old map[string][]*shares.Share) {
	t.Helper()
	p, err := NewOwners("b1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Unseal(t.Context(), sealed, associated); !errors.Is(err, ErrWaiting) || !strings.Contains(err.Error(), "a (0 of 2 shares), b (0 of 2 shares), c (0 of 1 shares)") {
		t.Errorf("the error does not say who is missing: %v", err)
	}
	mine := old["a"][0]
	foreign := *mine
	foreign.Set.ID = strings.Repeat("0", 32)
	recovery := *mine
	recovery.Set.Purpose = shares.Recovery
	broker := *mine
	broker.Set.Broker = "b2"
	for name, c := range map[string]struct {
		owner string
		s     *shares.Share
	}{
		"another owner gives it": {"b", mine}, "another set": {"a", &foreign}, "a recovery share": {"a", &recovery}, "another broker's": {"a", &broker},
	} {
		if err := p.Give(c.owner, c.s); err == nil {
			t.Errorf("%s: is taken", name)
		}
	}
	wrong := *old["a"][1]
	wrong.Value = old["a"][0].Value.Clone()
	for _, s := range []*shares.Share{mine, &wrong} {
		if err := p.Give("a", s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Unseal(t.Context(), sealed, associated); !errors.Is(err, ErrWaiting) || !strings.Contains(err.Error(), "a (a share was wrong: give them again)") {
		t.Errorf("a wrong share: %v", err)
	}
	for i := range 20 { // somewhere in the file, and at its end
		changed := bytes.Clone(sealed)
		changed[len(sealed)*i/20] ^= 1
		if _, err := p.Unseal(t.Context(), changed, associated); err == nil {
			t.Errorf("byte %d changed: it opens", len(sealed)*i/20)
		}
	}
}

func TestOwnersSealRefuses(t *testing.T) {
	t.Parallel()
	a := newOwner(t, "a", 1)
	deliver := func(context.Context, []Delivery) error { return nil }
	for name, c := range map[string]struct {
		owners  []OwnerRecipients
		deliver func(context.Context, []Delivery) error
	}{
		"nobody":       {nil, deliver},
		"undelivered":  {[]OwnerRecipients{a.of(1)}, nil},
		"disk is full": {[]OwnerRecipients{a.of(1)}, func(context.Context, []Delivery) error { return errors.New("no space") }},
		"threshold":    {[]OwnerRecipients{a.of(2)}, deliver},
		"no recipient": {[]OwnerRecipients{{Owner: "a", Threshold: 1}}, deliver},
	} {
		p, err := NewOwners("b1", c.owners, c.deliver)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Seal(t.Context(), rootKey(t), associated); err == nil {
			t.Errorf("%s: is sealed", name)
		}
	}
	if _, err := NewOwners("b1", []OwnerRecipients{a.of(1), a.of(1)}, deliver); err == nil {
		t.Error("an owner twice")
	}
}

func FuzzOwnersFile(f *testing.F) {
	f.Add([]byte(`{"format":1,"owners":[{"set":{"purpose":"unlock","broker":"b1","owner":"a","id":"00112233445566778899aabbccddeeff","threshold":1,"shares":1},"check":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}],"wrapped":"AAAA"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		p, err := NewOwners("b1", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Unseal(t.Context(), sealed, associated); err == nil {
			t.Fatal("a forged seal opens")
		}
	})
}
