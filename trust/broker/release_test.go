package broker

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/insecure"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/vault"
	"cloister/trust/secret"
)

// refusedFor checks that an error is an answer with a code and a reason.
func refusedFor(t *testing.T, err error, code Code, reason string) {
	t.Helper()
	var answer *AnswerError
	if !errors.As(err, &answer) || answer.Code != code || !strings.Contains(answer.Message, reason) {
		t.Errorf("got %v, want code %s because of %q", err, code, reason)
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	f.dataSet(f.b, "wards")
	r, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1), wards("b", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Items) != 2 || r.Items[0].Key.Len() != 32 || r.Items[0].Key.Equal(r.Items[1].Key) || r.Workload != "trainer" || r.Run != 1 {
		t.Errorf("got %+v", r)
	}
	again, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("two"), []Want{wards("a", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if !again.Items[0].Key.Equal(r.Items[0].Key) {
		t.Error("another key the second time")
	}
	if r.Receipt.Insecure != audit.InsecureNoWitness || !strings.Contains(r.Receipt.Entry, `"granted"`) {
		t.Errorf("receipt %+v", r.Receipt)
	}
	if out := fmt.Sprintf("%v %+v", r, again); strings.Contains(out, "%!") {
		t.Errorf("a release prints as %s", out)
	}
}

// TestRefused asks for what the policy does not give. Each refusal has its
// reason in answer and log.
func TestRefused(t *testing.T) {
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	f.dataSet(f.b, "wards", "only-in-march")
	f.order(f.a, Order{Operation: NewKey, DataSet: "other", Version: 1, Use: vault.Data})
	trainer := func() *program { return newProgram(t, "trainer") }
	for name, c := range map[string]struct {
		program *program
		job     Digest
		want    Want
		code    Code
		reason  string
	}{
		"a changed program":     {newProgram(t, "trainer, changed"), jobOf("one"), wards("a", 1), CodePolicy, "binary"},
		"another job":           {trainer(), jobOf("three"), wards("a", 1), CodePolicy, "job"},
		"no job":                {trainer(), Digest{}, wards("a", 1), CodePolicy, "job"},
		"a version not granted": {newProgram(t, "approved"), jobOf("one"), wards("a", 2), CodePolicy, "version 2"},
		"not registered":        {trainer(), jobOf("one"), wards("a", 2), CodePolicy, "terms"},
		"terms not enforced":    {trainer(), jobOf("one"), wards("b", 1), CodePolicy, "only-in-march"},
		"another data set":      {trainer(), jobOf("one"), Want{Kind: Key, Owner: "a", Name: "other", Version: 1}, CodePolicy, "a/other"},
		"no such owner":         {trainer(), jobOf("one"), wards("c", 1), CodePolicy, "c"},
		"a name that is a path": {trainer(), jobOf("one"), Want{Kind: Key, Owner: "a", Name: "../b/wards", Version: 1}, CodeMalformed, "name"},
		"no version":            {trainer(), jobOf("one"), Want{Kind: Key, Owner: "a", Name: "wards"}, CodeMalformed, "version"},
		"an unknown kind":       {trainer(), jobOf("one"), Want{Kind: "root", Owner: "a", Name: "wards", Version: 1}, CodeMalformed, "kind"},
		"a key as a secret":     {trainer(), jobOf("one"), Want{Kind: Secret, Owner: "a", Name: "wards"}, CodePolicy, "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.client().Release(t.Context(), c.program, c.job, []Want{c.want})
			refusedFor(t, err, c.code, c.reason)
			if c.code == CodePolicy && !errors.Is(err, ErrRefused) {
				t.Errorf("%v is not ErrRefused", err)
			}
			if !f.logged("release", audit.Refused, c.reason) {
				t.Errorf("the log does not say why")
			}
		})
	}
}

// TestBinding shows evidence that binds something else, and nonces that are not
// good.
func TestBinding(t *testing.T) {
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	c := f.client()
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(t *testing.T, change func(q *ReleaseRequest, b *attest.Binding)) (*ReleaseRequest, error) {
		t.Helper()
		q := &ReleaseRequest{Key: key.PublicKey().Bytes(), Job: jobOf("one"), Want: []Want{wards("a", 1)}}
		var n NonceAnswer
		if err := c.Do(t.Context(), "POST", PathNonce, &NonceRequest{hashOf(q.Key)}, &n); err != nil {
			t.Fatal(err)
		}
		q.Nonce = n.Nonce
		b := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}
		change(q, &b)
		e, err := newProgram(t, "trainer").Produce(t.Context(), b.ReportData())
		if err != nil {
			t.Fatal(err)
		}
		if q.Evidence.Platform == "" {
			q.Evidence = *e
		}
		return q, c.Do(t.Context(), "POST", PathRelease, q, &ReleaseAnswer{})
	}
	var replayed *ReleaseRequest
	for name, test := range map[string]struct {
		change func(q *ReleaseRequest, b *attest.Binding)
		code   Code
		reason string
	}{
		"nonce of nobody":    {func(q *ReleaseRequest, b *attest.Binding) { q.Nonce[0]++; b.Nonce = q.Nonce }, CodeNonce, "not one of this broker's"},
		"nonce of another":   {func(q *ReleaseRequest, b *attest.Binding) { q.Key = otherKey.PublicKey().Bytes(); b.Key = q.Key }, CodeNonce, "another key"},
		"evidence, nonce":    {func(_ *ReleaseRequest, b *attest.Binding) { b.Nonce[31]++ }, CodePolicy, "report data"},
		"evidence, key":      {func(_ *ReleaseRequest, b *attest.Binding) { b.Key = otherKey.PublicKey().Bytes() }, CodePolicy, "report data"},
		"evidence, job":      {func(_ *ReleaseRequest, b *attest.Binding) { b.Job = jobOf("two") }, CodePolicy, "report data"},
		"job of the request": {func(q *ReleaseRequest, _ *attest.Binding) { q.Job = jobOf("two") }, CodePolicy, "report data"},
		"key that is none": {func(q *ReleaseRequest, b *attest.Binding) {
			q.Key = []byte("key")
			var n NonceAnswer
			if err := c.Do(t.Context(), "POST", PathNonce, &NonceRequest{hashOf(q.Key)}, &n); err != nil {
				t.Error(err)
			}
			q.Nonce = n.Nonce
			*b = attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}
		}, CodeMalformed, "HPKE"},
		"another platform": {func(q *ReleaseRequest, _ *attest.Binding) {
			q.Evidence = attest.Evidence{Platform: attest.SGX, Quote: []byte("quote")}
		}, CodeEvidence, "not accepted"},
		"a document that is none": {func(q *ReleaseRequest, _ *attest.Binding) {
			q.Evidence = attest.Evidence{Platform: attest.InsecureNone, Quote: []byte("quote")}
		}, CodeEvidence, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ask(t, test.change)
			refusedFor(t, err, test.code, test.reason)
			if !f.logged("release", audit.Refused, test.reason) {
				t.Error("the log does not say why")
			}
		})
	}
	replayed, err = ask(t, func(*ReleaseRequest, *attest.Binding) {})
	if err != nil {
		t.Fatal(err)
	}
	refusedFor(t, c.Do(t.Context(), "POST", PathRelease, replayed, nil), CodeNonce, "used before")
	// A spoilt signature.
	spoilt := newProgram(t, "trainer")
	spoilt.change = func(d *insecure.Document) { d.ReportData[0]++ }
	_, err = c.Release(t.Context(), spoilt, jobOf("one"), []Want{wards("a", 1)})
	refusedFor(t, err, CodePolicy, "report data")
}

// TestRuns lets many programs at once ask for a job that may run three times.
func TestRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards")
	f.dataSet(f.b, "wards")
	want := []Want{wards("a", 1), wards("b", 1)}
	_, err := f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("x"), want)
	refusedFor(t, err, CodePolicy, "not approved by a, b")
	expires := time.Now().Add(time.Hour)
	f.order(f.a, Order{Operation: ApproveJob, Job: jobOf("x"), Runs: 3, Expires: expires})
	_, err = f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("x"), want)
	refusedFor(t, err, CodePolicy, "not approved by b")
	f.order(f.b, Order{Operation: ApproveJob, Job: jobOf("x"), Runs: 5, Expires: expires})
	var mu sync.Mutex
	var wg sync.WaitGroup
	runs := map[uint64]bool{}
	for range 12 {
		wg.Go(func() {
			r, err := f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("x"), want)
			if err != nil {
				refusedFor(t, err, CodeRuns, "ran 3 times")
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if runs[r.Run] {
				t.Errorf("run %d twice", r.Run)
			}
			runs[r.Run] = true
		})
	}
	wg.Wait()
	if len(runs) != 3 {
		t.Errorf("%d runs, want 3", len(runs))
	}
	f.order(f.a, Order{Operation: RevokeJob, Job: jobOf("x")})
	_, err = f.client().Release(t.Context(), newProgram(t, "approved"), jobOf("x"), want)
	refusedFor(t, err, CodePolicy, "not approved by a")
}

func TestFrozen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	release := func() error {
		_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
		return err
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	refusedFor(t, f.freeze(f.a, f.b, false), CodeForbidden, "no key of a")
	if err := f.freeze(f.a, f.a, false); err != nil {
		t.Fatal(err)
	}
	refusedFor(t, release(), CodeFrozen, "a has frozen")
	_, err := f.tryOrder(f.a, f.a, Order{Operation: NewKey, DataSet: "x", Version: 1, Use: vault.Data})
	refusedFor(t, err, CodeFrozen, "")
	if err := f.freeze(f.a, f.a, true); err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

// TestBring wraps an owner's secret to an attested broker, and a program gets it.
func TestBring(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	info, v, err := f.client().Attest(t.Context(), insecure.NewVerifier().Verify)
	if err != nil {
		t.Fatal(err)
	}
	if v.Claims.Platform != attest.InsecureNone {
		t.Errorf("claims %+v", v.Claims)
	}
	password := secret.Copy([]byte("correct horse"))
	ref := vault.Ref{Owner: "a", DataSet: "password", Version: 1}
	wrapped, err := vault.WrapKey(info.HPKE, "test", ref, vault.Opaque, password)
	if err != nil {
		t.Fatal(err)
	}
	bring := Order{Operation: BringKey, DataSet: "password", Version: 1, Use: vault.Opaque, Wrapped: wrapped}
	_, err = f.tryOrder(f.a, f.b, bring)
	refusedFor(t, err, CodeForbidden, "did not sign")
	f.number["a"]--
	f.order(f.a, bring)
	bring.Number = f.number["a"]
	_, err = f.tryOrder(f.a, f.a, bring)
	refusedFor(t, err, CodeConflict, "number")
	r, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{{Kind: Secret, Owner: "a", Name: "password"}})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Items[0].Key.Equal(password) || r.Items[0].Version != 1 {
		t.Errorf("got %+v", r.Items[0].Item)
	}
	for _, e := range f.entries() {
		if line := fmt.Sprintf("%+v", e); strings.Contains(line, "correct horse") || bytes.Contains([]byte(line), wrapped) {
			t.Error("the log has the secret")
		}
	}
}

// TestPolicyChange changes the policy, with too few signatures first.
func TestPolicyChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	f.dataSet(f.b, "wards", "no-export")
	hash := f.parse(f.text).Hash().String()
	next := strings.Replace(f.policyText(2, hash), "      b/wards: [1+]\n", "", 1)
	if _, err := f.tryApprove(next, newPerson(t, "a")); err == nil {
		t.Error("a stranger's signature was taken")
	}
	if a := f.approve(next, f.a); a.Applied {
		t.Error("one owner alone changed the policy")
	}
	if a := f.approve(next, f.b); !a.Applied || a.Receipt == nil {
		t.Errorf("not applied: %+v", a)
	}
	_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("b", 1)})
	refusedFor(t, err, CodePolicy, "b/wards")
	_, err = f.tryApprove(f.text, f.a, f.b)
	refusedFor(t, err, CodePolicy, "no way back")
	// It is still so after a start.
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f.start(setting{}, false)
	_, err = f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("b", 1)})
	refusedFor(t, err, CodePolicy, "b/wards")
	if _, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)}); err != nil {
		t.Error(err)
	}
}
