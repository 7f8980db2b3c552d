package shares

import (
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"cloister/trust/secret"
)

const setID = "00112233445566778899aabbccddeeff"

func identities(tb testing.TB, n int) (ids []age.Identity, recipients []string) {
	tb.Helper()
	for range n {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			tb.Fatal(err)
		}
		ids = append(ids, id)
		recipients = append(recipients, id.Recipient().String())
	}
	return ids, recipients
}

func split(tb testing.TB, threshold, n int) (secret.Bytes, []*Share) {
	tb.Helper()
	ids, recipients := identities(tb, n)
	key, sealed, err := Split(Set{Purpose: Recovery, Broker: "b", Owner: "o", ID: setID, Threshold: threshold}, recipients)
	if err != nil {
		tb.Fatal(err)
	}
	var shares []*Share
	for i := range sealed {
		for j := range ids {
			s, err := Open(sealed[i], ids[j])
			if (err == nil) != (i == j) {
				tb.Fatalf("identity %d opens share %d: %v", j, i, err)
			}
			if i == j {
				shares = append(shares, s)
			}
		}
	}
	return key, shares
}

// TestEverySubset gives every subset of the shares of every threshold.
func TestEverySubset(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 5; n++ {
		for m := 1; m <= n; m++ {
			key, all := split(t, m, n)
			for mask := range 1 << n {
				var some []*Share
				for i, s := range all {
					if mask>>i&1 == 1 {
						some = append(some, s)
					}
				}
				got, err := Combine(some)
				switch {
				case len(some) >= m && (err != nil || !got.Equal(key)):
					t.Errorf("%d of %d, given %b: %v", m, n, mask, err)
				case len(some) < m && !errors.Is(err, ErrShares):
					t.Errorf("%d of %d, given only %b: %v", m, n, mask, err)
				}
			}
		}
	}
}

func TestCombineRefuses(t *testing.T) {
	t.Parallel()
	key, all := split(t, 2, 3)
	_, foreign := split(t, 2, 3)
	changed := *all[1]
	changed.Value = all[1].Value.Clone()
	changed.Value.Expose()[0] ^= 1
	outside := *all[0]
	outside.Index = 4
	relabelled := *all[1]
	relabelled.Index = 3
	lowered := *all[0]
	lowered.Set.Threshold = 1
	other := *foreign[1]
	other.Set.ID = "ffeeddccbbaa99887766554433221100"
	huge := *all[1]
	huge.Value = secret.Copy(make([]byte, 32))
	for i := range huge.Value.Expose() {
		huge.Value.Expose()[i] = 0xff
	}
	for name, given := range map[string][]*Share{
		"the same twice":         {all[0], all[0]},
		"two with one index":     {all[0], all[2], {Set: all[0].Set, Index: 1, Value: all[1].Value}},
		"of two sets":            {all[0], &other},
		"no such index":          {&outside, all[1]},
		"one of three is wrong":  {all[0], all[2], &changed},
		"one of three is moved":  {all[0], &relabelled, all[1]},
		"scalar not below order": {all[0], &huge},
		"empty":                  {},
	} {
		if got, err := Combine(given); !errors.Is(err, ErrShares) {
			t.Errorf("%s: %v, key right: %v", name, err, got.Equal(key))
		}
	}
	// Nothing tells these apart from right ones but the key that comes out.
	for name, given := range map[string][]*Share{
		"changed": {all[0], &changed}, "lowered threshold": {&lowered}, "moved": {all[0], &relabelled},
		"another set's under this one's name": {all[0], foreign[1]},
	} {
		if got, err := Combine(given); err == nil && got.Equal(key) {
			t.Errorf("%s: gives the key", name)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	t.Parallel()
	_, two := identities(t, 2)
	good := Set{Purpose: Recovery, Broker: "b", Owner: "o", ID: setID, Threshold: 1}
	if _, _, err := Split(good, two); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change     func(*Set)
		recipients []string
	}{
		"none":              {nil, nil},
		"the same twice":    {nil, []string{two[0], two[0]}},
		"no key":            {nil, []string{two[0], "age1nothing"}},
		"two in one":        {nil, []string{two[0] + "\n" + two[1]}},
		"a comment":         {nil, []string{"# " + two[0]}},
		"a secret key":      {nil, []string{"AGE-SECRET-KEY-1"}},
		"threshold 0":       {func(s *Set) { s.Threshold = 0 }, two},
		"threshold too big": {func(s *Set) { s.Threshold = 3 }, two},
		"purpose":           {func(s *Set) { s.Purpose = "else" }, two},
		"owner":             {func(s *Set) { s.Owner = "a\nb" }, two},
		"no broker":         {func(s *Set) { s.Broker = "" }, two},
		"id":                {func(s *Set) { s.ID = "1" }, two},
	} {
		set := good
		if c.change != nil {
			c.change(&set)
		}
		if _, _, err := Split(set, c.recipients); err == nil {
			t.Errorf("%s: was split", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	_, all := split(f, 2, 3)
	good := string(all[0].Encode().Expose())
	f.Add(good)
	f.Add(strings.Replace(good, "index 1", "index 01", 1))
	f.Add(strings.Replace(good, "2 of 3", "2 of 33", 1))
	f.Add(strings.TrimSuffix(good, "\n"))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(secret.Copy([]byte(text)))
		if err != nil {
			return
		}
		if again := string(s.Encode().Expose()); again != text {
			t.Fatalf("%q came back as %q", text, again)
		}
		Combine([]*Share{s}) // must not panic
	})
}
