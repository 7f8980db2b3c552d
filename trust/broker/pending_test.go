package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"cloister/trust/approval"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
)

// submit hands in a policy with signatures for a purpose over a statement, by
// default those of a change of the policy.
func (f *fixture) submit(text string, signatures ...string) (*PolicyAnswer, error) {
	f.t.Helper()
	if signatures == nil {
		signatures = []string{}
	}
	var a PolicyAnswer
	err := f.client().Do(f.t.Context(), "POST", PathPolicy, &PolicyRequest{Policy: text, Signatures: signatures}, &a)
	return &a, err
}

func (f *fixture) statement(text string) []byte {
	f.t.Helper()
	var old *policy.Policy
	if p := f.broker.inForce.Load(); p != nil {
		old = p.policy
	}
	c, err := policy.Compare(old, f.parse(text))
	if err != nil {
		f.t.Fatal(err)
	}
	return c.Statement()
}

// TestPolicyRefused hands in changes that are not signed as they must be. Each is
// refused with its reason in answer and log, and nothing changes.
func TestPolicyRefused(t *testing.T) {
	f := newFixture(t, setting{})
	hash := f.parse(f.text).Hash().String()
	second := strings.Replace(f.policyText(2, hash), "      a/wards: [1+]\n", "      a/wards: [1+]\n      a/other: [1]\n", 1)
	a := f.a.sign(t, approval.ForPolicy, f.statement(second))
	for name, c := range map[string]struct {
		text       string
		signatures []string
		code       Code
		reason     string
	}{
		"not signed":          {second, nil, CodeForbidden, "no owner has signed the change"},
		"by a stranger":       {second, []string{newPerson(t, "a").sign(t, approval.ForPolicy, f.statement(second))}, CodeForbidden, "which is no owner's"},
		"for another purpose": {second, []string{f.a.sign(t, approval.ForJob, f.statement(second))}, CodeForbidden, "did not sign this for policy-v1@cloister"},
		"of another change":   {second, []string{f.a.sign(t, approval.ForPolicy, []byte("cloister policy change\n"))}, CodeForbidden, "did not sign this"},
		"one good, one bad":   {second, []string{a, f.b.sign(t, approval.ForPolicy, []byte("x"))}, CodeForbidden, "did not sign this"},
		"not a signature":     {second, []string{"x"}, CodeMalformed, "signature 1"},
		"the policy in force": {f.text, []string{a}, CodePolicy, "no way back"},
		"a version skipped":   {strings.Replace(second, "version: 2", "version: 3", 1), []string{a}, CodePolicy, "the next one is 2"},
		"after another":       {strings.Replace(second, hash, "sha256:"+strings.Repeat("0", 63)+"1", 1), []string{a}, CodePolicy, "its previous is"},
		"of another broker":   {strings.Replace(second, "broker: test", "broker: other", 1), []string{a}, CodePolicy, "it is for the broker other"},
		"a key twice":         {second + "owners: {}\n", []string{a}, CodeMalformed, "twice"},
		"an unknown field":    {second + "allow: all\n", []string{a}, CodeMalformed, "allow"},
		"an alias":            {strings.Replace(second, "approvals: 2", "approvals: &x 2", 1), []string{a}, CodeMalformed, "anchor"},
		"no policy":           {"", []string{a}, CodeMalformed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.submit(c.text, c.signatures...)
			f.why(t, err, "policy.proposed", c.code, c.reason)
		})
	}
	// Too few signatures are kept, and change nothing.
	if got, err := f.submit(second, a); err != nil || got.Applied || len(got.Missing) == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if info := f.broker.Info(); info.PolicyVersion != 1 {
		t.Errorf("version %d is in force", info.PolicyVersion)
	}
	if got := f.approve(second, f.b); !got.Applied {
		t.Errorf("both signed: %+v", got)
	}
	f.why(t, func() error { _, err := f.submit(f.text, a); return err }(), "policy.proposed", CodePolicy, "no way back")
}

// TestStrangersFillNothing: who is no owner can neither fill the list of
// signatures of the first policy nor that of changes that wait.
func TestStrangersFillNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{unapproved: true, limits: Limits{Burst: 1000, Rate: 1000}})
	var junk []string
	for range 64 {
		junk = append(junk, newPerson(t, "x").sign(t, approval.ForPolicy, f.statement(f.text)))
	}
	for i := 0; i < maxSignatures; i += len(junk) {
		_, err := f.submit(f.text, junk...)
		f.why(t, err, "policy.proposed", CodeForbidden, "which is no owner's")
	}
	f.approve(f.text, f.a)
	if a := f.approve(f.text, f.b); !a.Applied {
		t.Fatalf("%+v", a)
	}
	// In a policy of the stranger's own making the stranger is an owner.
	hash := f.parse(f.text).Hash().String()
	for i := range 2 * maxPending {
		x := newPerson(t, policy.Name(fmt.Sprintf("x%d", i)))
		text := strings.Replace(f.policyText(2, hash), "owners:\n", fmt.Sprintf("owners:\n  %s:\n    keys: [%q]\n", x.name, x.key.Public()), 1)
		_, err := f.tryApprove(text, x)
		f.why(t, err, "policy.proposed", CodeForbidden, "no owner has signed the change")
	}
	next := strings.Replace(f.policyText(2, hash), "      b/wards: [1+]\n", "", 1)
	f.approve(next, f.a)
	if a := f.approve(next, f.b); !a.Applied {
		t.Errorf("%+v", a)
	}
}

// TestRoomOfOwners: an owner who hands in change after change loses its own oldest
// and takes nothing from the others.
func TestRoomOfOwners(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{limits: Limits{Burst: 1000, Rate: 1000}})
	hash := f.parse(f.text).Hash().String()
	change := func(i int) string {
		return strings.Replace(f.policyText(2, hash), "    terms: [no-export]\n", fmt.Sprintf("    terms: [no-export, t%d]\n", i), 1)
	}
	theirs := strings.Replace(f.policyText(2, hash), "      b/wards: [1+]\n", "", 1)
	f.approve(theirs, f.b)
	for i := range 3 * maxPending {
		if a := f.approve(change(i), f.a); a.Applied {
			t.Fatal("one owner alone changed the policy")
		}
	}
	if a := f.approve(theirs, f.a); !a.Applied {
		t.Errorf("the other owner's change is gone: %+v", a)
	}
	if info := f.broker.Info(); info.PolicyVersion != 2 {
		t.Errorf("version %d", info.PolicyVersion)
	}
}

// TestDelay: a change that opens keys to more waits for the time that the policy
// before it set. An owner who freezes meanwhile stops it, and nobody else's.
func TestDelay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	host := &hostClock{now: now}
	f := newFixture(t, setting{host: host.Now, prepare: func(f *fixture) {
		f.change = func(text string) string {
			return strings.Replace(text, "approvals: 2\n", "approvals: 2\nwidening-delay: 48h\n", 1)
		}
	}})
	f.dataSet(f.a, "other")
	hash := f.parse(f.text).Hash().String()
	wider := strings.Replace(f.policyText(2, hash), "      b/wards: [1+]\n", "      b/wards: [1+]\n      a/other: [1]\n", 1)
	f.approve(wider, f.a)
	complete := f.approve(wider, f.b)
	if complete.Applied || len(complete.Missing) > 0 || complete.Until.Sub(now) < 47*time.Hour {
		t.Fatalf("%+v", complete)
	}
	release := func() error {
		_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{{Kind: Key, Owner: "a", Name: "other", Version: 1}})
		return err
	}
	due := func() uint64 {
		if err := f.broker.applyDue(t.Context()); err != nil {
			t.Logf("not applied: %v", err)
		}
		return f.broker.Info().PolicyVersion
	}
	host.set(now.Add(47 * time.Hour))
	if v := due(); v != 1 {
		t.Errorf("version %d took effect too early", v)
	}
	f.why(t, release(), "release", CodePolicy, "a/other")
	if a, err := f.submit(wider); err == nil && a.Applied {
		t.Error("handing it in again applied it")
	}
	if err := f.freeze(f.a, f.a, false); err != nil {
		t.Fatal(err)
	}
	host.set(now.Add(49 * time.Hour))
	if v := due(); v != 1 {
		t.Errorf("version %d took effect though a has frozen", v)
	}
	if err := f.freeze(f.a, f.a, true); err != nil {
		t.Fatal(err)
	}
	if v := due(); v != 2 {
		t.Errorf("version %d, two days after both signed", v)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// TestDelayedChangesDoNotBlock: a change that is due and does not hold keeps no
// other from taking effect.
func TestDelayedChangesDoNotBlock(t *testing.T) {
	t.Parallel()
	for range 4 { // in whichever order their hashes are
		now := time.Now()
		host := &hostClock{now: now}
		f := newFixture(t, setting{host: host.Now, prepare: func(f *fixture) {
			c := newPerson(t, "c")
			f.change = func(text string) string {
				text = strings.Replace(text, "approvals: 2\n", "approvals: 2\nwidening-delay: 1h\n", 1)
				return strings.Replace(text, "owners:\n", fmt.Sprintf("owners:\n  c:\n    keys: [%q]\n", c.key.Public()), 1)
			}
			f.third = &c
		}})
		hash := f.parse(f.text).Hash().String()
		wider := func(item string) string {
			return strings.Replace(f.policyText(2, hash), "      b/wards: [1+]\n", "      b/wards: [1+]\n      "+item+": [1]\n", 1)
		}
		ofA, ofB := wider("a/other"), wider("b/other")
		f.approve(ofA, f.a, *f.third)
		f.approve(ofB, f.b, *f.third)
		host.set(now.Add(time.Minute))
		if err := f.freeze(f.a, f.a, false); err != nil {
			t.Fatal(err)
		}
		host.set(now.Add(2 * time.Hour))
		if err := f.broker.applyDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := f.broker.inForce.Load().policy; p.Hash() != f.parse(ofB).Hash() {
			t.Errorf("version %d, %s", p.Version, p.Hash())
		}
	}
}

// TestRecoveryOrder: an owner names who gets recovery shares; who is no recipient,
// and another owner's word, are refused.
func TestRecoveryOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	order := Order{Operation: Recovery, Threshold: 1, Recipients: []string{"age1nobody"}}
	_, err := f.tryOrder(f.a, f.a, order)
	f.why(t, err, "order.recovery", CodeMalformed, "recovery shares of owner a")
	order.Recipients = []string{newRecipient(t)}
	_, err = f.tryOrder(f.a, f.b, order)
	f.why(t, err, "order.recovery", CodeForbidden, "owner a did not sign")
	order.Threshold = 2
	_, err = f.tryOrder(f.a, f.a, order)
	f.why(t, err, "order.recovery", CodeMalformed, "recovery shares of owner a")
	order.Threshold = 1
	f.order(f.a, order)
}

// TestForeignOrders: an owner orders nothing of another owner's.
func TestForeignOrders(t *testing.T) {
	f := newFixture(t, setting{})
	key := f.dataSet(f.b, "wards")
	for name, o := range map[string]Order{
		"new key":     {Operation: NewKey, DataSet: "wards", Version: 2, Use: vault.Data},
		"destroy":     {Operation: DestroyKey, DataSet: "wards", Version: 1},
		"register":    {Operation: Register, DataSet: "wards", Version: 1, KeyID: key.ID, Digest: Digest{1}},
		"approve job": {Operation: ApproveJob, Job: jobOf("x"), Runs: 1, Expires: time.Now().Add(time.Hour)},
		"revoke job":  {Operation: RevokeJob, Job: jobOf("x")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.tryOrder(f.b, f.a, o)
			f.why(t, err, "order."+string(o.Operation), CodeForbidden, "owner b did not sign")
		})
	}
	// Under its own name a destroys nothing of b's either: names are of owners.
	_, err := f.tryOrder(f.a, f.a, Order{Operation: DestroyKey, DataSet: "wards", Version: 1})
	f.why(t, err, "order.destroy-key", CodeNotFound, "")
}

func newRecipient(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}
