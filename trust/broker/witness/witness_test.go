package witness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
)

const origin = "broker.example/log"

var start = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

func at(offset time.Duration) func() time.Time {
	return func() time.Time { return start.Add(offset) }
}

func logKeys(tb testing.TB) (note.Signer, note.Verifier) {
	tb.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		tb.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		tb.Fatal(err)
	}
	return signer, verifier
}

func newSigner(tb testing.TB, name string, now func() time.Time) *Signer {
	tb.Helper()
	skey, vkey, err := GenerateKey(rand.Reader, name)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := NewSigner(skey, now)
	if err != nil {
		tb.Fatal(err)
	}
	if s.String() != vkey {
		tb.Fatalf("got %s, want %s", s.String(), vkey)
	}
	return s
}

func openStore(tb testing.TB, dir string) *store.Store {
	tb.Helper()
	st, err := store.Open(dir, store.Options{Create: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { st.Close() })
	return st
}

// serve starts a witness over TLS and returns how it is asked.
func serve(tb testing.TB, signer *Signer, logKey note.Verifier) (*Witness, Peer) {
	tb.Helper()
	w, err := New(openStore(tb, tb.TempDir()), signer, []note.Verifier{logKey}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return w, listen(tb, signer, w)
}

func listen(tb testing.TB, signer *Signer, h http.Handler) Peer {
	tb.Helper()
	config, err := signer.ServerTLS()
	if err != nil {
		tb.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.TLS = config
	srv.StartTLS()
	tb.Cleanup(srv.Close)
	return Peer{Key: &signer.Verifier, URL: srv.URL}
}

func newQuorum(tb testing.TB, logKey note.Verifier, timeout time.Duration, peers ...Peer) *Quorum {
	tb.Helper()
	q, err := NewQuorum(logKey, peers, 0, timeout)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(q.Close)
	return q
}

// startLog runs an audit log on a store.
func startLog(tb testing.TB, st *store.Store, signer note.Signer, verifier note.Verifier, q audit.Quorum) *audit.Log {
	tb.Helper()
	l, err := audit.Open(st, audit.Options{Signer: signer, Verifier: verifier, Quorum: q, Now: at(0)})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { l.Run(ctx) })
	tb.Cleanup(func() { cancel(); wg.Wait() })
	return l
}

// release appends an entry and waits until it may take effect.
func release(ctx context.Context, st *store.Store, l *audit.Log, subject string) (*audit.Witnessed, error) {
	var index int64
	err := st.Update(ctx, func(tx *store.Tx) (err error) {
		index, err = l.Append(tx, &audit.Entry{Type: "release", Subject: subject, Decision: audit.Granted})
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.Wait(ctx, index)
}

func TestQuorum(t *testing.T) {
	t.Parallel()
	signer, verifier := logKeys(t)
	var peers []Peer
	for i := range 3 {
		_, p := serve(t, newSigner(t, fmt.Sprint("w", i), at(time.Duration(i)*time.Minute)), verifier)
		peers = append(peers, p)
	}
	// The third is out of reach.
	peers[2].URL = "https://127.0.0.1:1"
	st := openStore(t, t.TempDir())
	l := startLog(t, st, signer, verifier, newQuorum(t, verifier, 0, peers...))
	for i := range 20 {
		w, err := release(t.Context(), st, l, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		if w.Size < int64(i+1) || len(w.Witnesses) != 2 || w.Insecure != "" {
			t.Errorf("got %+v", w)
		}
		if low, high := w.Medians(); !low.Equal(start) || !high.Equal(start.Add(time.Minute)) || !w.Time.Equal(low) {
			t.Errorf("the medians are %s and %s", low, high)
		}
		set := Set{Log: verifier, Witnesses: []*Verifier{peers[0].Key, peers[1].Key, peers[2].Key}}
		if _, err := set.Verify([]byte(w.Note)); err != nil {
			t.Error(err)
		}
		err = l.Entries(t.Context(), int64(i), int64(i+1), func(index int64, line []byte) error {
			p, err := l.Prove(index)
			if err != nil {
				return err
			}
			if _, err := set.VerifyProof(p, line[1:]); !errors.Is(err, audit.ErrTampered) {
				t.Errorf("another entry: got %v", err)
			}
			_, err = set.VerifyProof(p, line)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		// Of five, two are not enough.
		for i := range 2 {
			set.Witnesses = append(set.Witnesses, &newSigner(t, fmt.Sprint("other", i), at(0)).Verifier)
		}
		if _, err := set.Verify([]byte(w.Note)); !errors.Is(err, ErrNoQuorum) {
			t.Errorf("got %v", err)
		}
	}
}

// TestNoQuorum has one of three answer: nothing takes effect.
func TestNoQuorum(t *testing.T) {
	t.Parallel()
	signer, verifier := logKeys(t)
	_, first := serve(t, newSigner(t, "w0", at(0)), verifier)
	absent := Peer{Key: &newSigner(t, "w1", at(0)).Verifier, URL: "https://127.0.0.1:1"}
	// A server with another key than the policy's is nobody.
	_, impostor := serve(t, newSigner(t, "w2", at(0)), verifier)
	impostor.Key = &newSigner(t, "w2", at(0)).Verifier
	st := openStore(t, t.TempDir())
	l := startLog(t, st, signer, verifier, newQuorum(t, verifier, 0, first, absent, impostor))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	w, err := release(ctx, st, l, "key")
	if !errors.Is(err, ErrNoQuorum) || errors.Is(err, audit.ErrTampered) {
		t.Errorf("got %v, %v", w, err)
	}
	for _, part := range []string{"witness w1", "witness w2: ", "does not hold the key"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

// TestTwoBrokersFromOneCopy copies the store of a broker and runs both: a
// one-run job is released once, whoever is first, and the other is told why.
func TestTwoBrokersFromOneCopy(t *testing.T) {
	t.Parallel()
	signer, verifier := logKeys(t)
	var peers []Peer
	var witnesses []*Witness
	for i := range 3 {
		w, p := serve(t, newSigner(t, fmt.Sprint("w", i), at(0)), verifier)
		witnesses, peers = append(witnesses, w), append(peers, p)
	}
	first := t.TempDir()
	st := openStore(t, first)
	l := startLog(t, st, signer, verifier, newQuorum(t, verifier, 0, peers...))
	if _, err := release(t.Context(), st, l, "before"); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(second, os.DirFS(first)); err != nil {
		t.Fatal(err)
	}
	st2 := openStore(t, second)
	l2 := startLog(t, st2, signer, verifier, newQuorum(t, verifier, 0, peers...))

	// Both at once.
	var wg sync.WaitGroup
	var mu sync.Mutex
	released, forked := 0, 0
	for i, broker := range []struct {
		st *store.Store
		l  *audit.Log
	}{{st, l}, {st2, l2}} {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			// What each writes differs, if only in its request id.
			w, err := release(ctx, broker.st, broker.l, fmt.Sprint("the one run, asked of ", i))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && w.Size >= 2:
				released++
			case errors.Is(err, audit.ErrForked), errors.Is(err, ErrNoQuorum):
				forked++
			default:
				t.Errorf("got %v, %v", w, err)
			}
		})
	}
	wg.Wait()
	if released > 1 || released+forked != 2 {
		t.Errorf("%d released, %d refused", released, forked)
	}
	// With three witnesses one of the two has a majority.
	if released != 1 {
		t.Errorf("%d released", released)
	}
	// The third witness may not have been waited for.
	reached := 0
	for _, w := range witnesses {
		c, _, err := w.Latest(origin)
		if err != nil || c.Size > 2 {
			t.Errorf("the latest is %v, %v", c, err)
		} else if c.Size == 2 {
			reached++
		}
	}
	if reached < 2 {
		t.Errorf("%d witnesses have the second entry", reached)
	}
}

// TestOlderCopy has a broker go on from a copy that is behind what the
// witnesses saw.
func TestOlderCopy(t *testing.T) {
	t.Parallel()
	signer, verifier := logKeys(t)
	_, p := serve(t, newSigner(t, "w", at(0)), verifier)
	first := t.TempDir()
	st := openStore(t, first)
	l := startLog(t, st, signer, verifier, newQuorum(t, verifier, 0, p))
	if _, err := release(t.Context(), st, l, "before"); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(second, os.DirFS(first)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := release(t.Context(), st, l, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	st2 := openStore(t, second)
	l2 := startLog(t, st2, signer, verifier, newQuorum(t, verifier, 0, p))
	if w, err := release(t.Context(), st2, l2, "again"); !errors.Is(err, audit.ErrForked) {
		t.Errorf("got %v, %v", w, err)
	}
	// It is told so however often it tries, also when its tree has grown as
	// large.
	for range 4 {
		if w, err := release(t.Context(), st2, l2, "again"); !errors.Is(err, audit.ErrForked) {
			t.Errorf("got %v, %v", w, err)
		}
	}
}

func TestInsecureNoWitness(t *testing.T) {
	t.Parallel()
	signer, verifier := logKeys(t)
	st := openStore(t, t.TempDir())
	l := startLog(t, st, signer, verifier, None{Now: at(time.Hour)})
	w, err := release(t.Context(), st, l, "key")
	if err != nil || w.Insecure != "insecure-no-witness" || len(w.Witnesses) != 0 || !w.Time.Equal(start.Add(time.Hour)) {
		t.Errorf("got %+v, %v", w, err)
	}
}

func TestSetRefused(t *testing.T) {
	t.Parallel()
	_, verifier := logKeys(t)
	s := newSigner(t, "w", at(0))
	renamed := &Verifier{name: "other", hash: keyHash("other", s.key), key: s.key}
	two := []*Verifier{&s.Verifier, &newSigner(t, "v", at(0)).Verifier}
	for name, set := range map[string]Set{
		"nobody":                  {Log: verifier},
		"one twice":               {Log: verifier, Witnesses: []*Verifier{&s.Verifier, &s.Verifier}},
		"one under another name":  {Log: verifier, Witnesses: []*Verifier{&s.Verifier, renamed}},
		"two keys under one name": {Log: verifier, Witnesses: []*Verifier{&s.Verifier, &newSigner(t, "w", at(0)).Verifier}},
		"half is enough":          {Log: verifier, Witnesses: two, Quorum: 1},
		"more than there are":     {Log: verifier, Witnesses: two, Quorum: 3},
		"fewer than none":         {Log: verifier, Witnesses: two, Quorum: -1},
	} {
		if err := set.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewQuorum(verifier, []Peer{{Key: &s.Verifier, URL: "http://127.0.0.1:1"}}, 0, 0); err == nil {
		t.Error("a witness without TLS is accepted")
	}
}

// TestProtocol goes through the answers of C2SP tlog-witness.
func TestProtocol(t *testing.T) {
	t.Parallel()
	signer, verifier := logKeys(t)
	stranger, _ := logKeys(t)
	w, err := New(openStore(t, t.TempDir()), newSigner(t, "w", at(0)), []note.Verifier{verifier}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Two histories, which part at entry 5.
	tree, fork := newTree(8, 8), newTree(8, 5)
	signed := func(tr *memTree, size int64, by note.Signer) []byte {
		b, err := (&audit.Checkpoint{Origin: by.Name(), Size: size, Root: tr.root(size)}).Sign(by)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	body := func(old int64, proof tlog.TreeProof, checkpoint []byte) string {
		return string((&request{oldSize: old, proof: proof, signed: checkpoint}).bytes())
	}
	other, _, err := note.GenerateKey(rand.Reader, "other.example/log")
	if err != nil {
		t.Fatal(err)
	}
	otherLog, err := note.NewSigner(other)
	if err != nil {
		t.Fatal(err)
	}
	wrongRoot := func(size int64) []byte {
		b, err := (&audit.Checkpoint{Origin: origin, Size: size, Root: tlog.Hash{1}}).Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	changed := []byte(strings.Replace(string(signed(tree, 3, signer)), "\n3\n", "\n4\n", 1))
	// In order, since each may move the witness.
	for _, step := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"empty", "", 400, ""},
		{"no checkpoint", "old 0\n\n", 400, ""},
		{"size with zeros", "old 00\n\n" + string(signed(tree, 3, signer)), 400, ""},
		{"unknown log", body(0, nil, signed(tree, 3, otherLog)), 404, ""},
		{"stranger's key", body(0, nil, signed(tree, 3, stranger)), 403, ""},
		{"changed after signing", body(0, nil, changed), 403, ""},
		{"empty tree of another root", body(0, nil, wrongRoot(0)), 409, "0\n"},
		{"proof from nothing", body(0, tlog.TreeProof{{}}, signed(tree, 3, signer)), 422, ""},
		{"old size too great", body(4, nil, signed(tree, 3, signer)), 400, ""},
		{"not the latest", body(2, tree.prove(2, 3), signed(tree, 3, signer)), 409, "0\n"},
		{"first", body(0, nil, signed(tree, 3, signer)), 200, "— w "},
		{"again", body(3, nil, signed(tree, 3, signer)), 200, "— w "},
		{"again from nothing", body(0, nil, signed(tree, 3, signer)), 409, "3\n"},
		{"another root", body(3, nil, wrongRoot(3)), 409, "3\n"},
		{"next", body(3, tree.prove(3, 6), signed(tree, 6, signer)), 200, "— w "},
		{"smaller", body(3, tree.prove(3, 5), signed(tree, 5, signer)), 409, "6\n"},
		{"proof cut", body(6, tree.prove(6, 8)[1:], signed(tree, 8, signer)), 422, ""},
		{"fork", body(6, fork.prove(6, 8), signed(fork, 8, signer)), 422, ""},
		{"last", body(6, tree.prove(6, 8), signed(tree, 8, signer)), 200, "— w "},
	} {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(step.body)))
		if rec.Code != step.status || !strings.HasPrefix(rec.Body.String(), step.answer) {
			t.Errorf("%s: got %d %q, want %d %q", step.name, rec.Code, rec.Body, step.status, step.answer)
		}
		if rec.Code == 409 && rec.Header().Get("Content-Type") != "text/x.tlog.size" {
			t.Errorf("%s: content type %q", step.name, rec.Header().Get("Content-Type"))
		}
	}
	for name, test := range map[string]struct {
		method, path string
		body         io.Reader
		status       int
	}{
		"GET":       {http.MethodGet, "/add-checkpoint", nil, 405},
		"elsewhere": {http.MethodPost, "/", nil, 404},
		"too long":  {http.MethodPost, "/add-checkpoint", strings.NewReader(strings.Repeat("x", maxRequest+1)), 413},
		"health":    {http.MethodGet, "/healthz", nil, 200},
	} {
		rec := httptest.NewRecorder()
		w.ServeHTTP(rec, httptest.NewRequest(test.method, test.path, test.body))
		if rec.Code != test.status {
			t.Errorf("%s: got %d", name, rec.Code)
		}
	}
}

// TestCosignature shows that a co-signature is a note signature which covers its
// time and its text, and what is no key.
func TestCosignature(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "w.example/1", at(0))
	text := "example.com/log\n3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	signed, err := note.Sign(&note.Note{Text: text}, s)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(s.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := signedAt(n.Sigs[0].Base64); err != nil || !got.Equal(start) {
		t.Errorf("signed at %v, %v", got, err)
	}
	sig, err := s.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sig {
		sig[i] ^= 1
		if v.Verify([]byte(text), sig) {
			t.Errorf("byte %d of a co-signature is not covered", i)
		}
		sig[i] ^= 1
	}
	if !v.Verify([]byte(text), sig) || v.Verify([]byte(text+"\n"), sig) || v.Verify([]byte(text), sig[1:]) {
		t.Error("a co-signature is not that of its text")
	}
	for name, vkey := range map[string]string{
		"empty": "", "no hash": "w+AAAA", "another name": "x" + s.String(), "log's type": strings.Replace(s.String(), "+B", "+A", 1),
		"no key": "w+00000000+", "no base64": "w+00000000+!", "space": "w w+00000000+AA==",
		"line end": s.String()[:30] + "\n" + s.String()[30:],
	} {
		if _, err := NewVerifier(vkey); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestClockBefore1970 signs nothing.
func TestClockBefore1970(t *testing.T) {
	t.Parallel()
	s := newSigner(t, "w", func() time.Time { return time.Unix(0, 0) })
	if _, err := s.Sign(nil); err == nil {
		t.Error("it signed")
	}
}

// TestPrivateKeyStaysOut reads damaged keys, whose errors may not show them.
func TestPrivateKeyStaysOut(t *testing.T) {
	t.Parallel()
	skey, _, err := GenerateKey(rand.Reader, "w")
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.SplitN(skey, "+", 5)[4]
	for _, bad := range []string{skey[1:], skey + "A", skey[:len(skey)-4], strings.Replace(skey, "+w+", "+x+", 1), secret} {
		_, err := NewSigner(bad, at(0))
		if err == nil || strings.Contains(err.Error(), secret[:16]) {
			t.Errorf("got %v", err)
		}
	}
}

// memTree is a tree of entries, whose content changes from one on.
type memTree struct{ hashes []tlog.Hash }

func newTree(n, fork int64) *memTree {
	m := new(memTree)
	for i := range n {
		h, err := tlog.StoredHashes(i, fmt.Append(nil, i, i >= fork), m)
		if err != nil {
			panic(err)
		}
		m.hashes = append(m.hashes, h...)
	}
	return m
}

func (m *memTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		out[i] = m.hashes[index]
	}
	return out, nil
}

func (m *memTree) root(size int64) tlog.Hash {
	h, err := tlog.TreeHash(size, m)
	if err != nil {
		panic(err)
	}
	return h
}

func (m *memTree) prove(oldSize, size int64) tlog.TreeProof {
	p, err := tlog.ProveTree(size, oldSize, m)
	if err != nil {
		panic(err)
	}
	return p
}

// TestConflictOfAnotherWitness: a witness of another make tells a broker whose
// tree is as large as the one that it co-signed, and another one, by 409 alone
// (C2SP tlog-witness).
func TestConflictOfAnotherWitness(t *testing.T) {
	t.Parallel()
	signer, verifier := logKeys(t)
	for name, body := range map[string]string{"a size": "1\n", "words": "another root\n", "nothing": ""} {
		s := newSigner(t, "w", at(0))
		asked := 0
		p := listen(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			asked++
			w.Header().Set("Content-Type", contentSize)
			w.WriteHeader(http.StatusConflict)
			if asked == 1 && !strings.HasPrefix(string(text), "old 1\n") {
				io.WriteString(w, "1\n")
				return
			}
			io.WriteString(w, body)
		}))
		st := openStore(t, t.TempDir())
		l := startLog(t, st, signer, verifier, newQuorum(t, verifier, 0, p))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if w, err := release(ctx, st, l, "again"); !errors.Is(err, audit.ErrForked) {
			t.Errorf("%s: got %v, %v", name, w, err)
		}
		cancel()
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("old 3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\r\n\nlog\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n")
	f.Add("old 0\n\nlog\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— log AAAA\n")
	f.Add("old 3\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nlog\n5\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n")
	f.Fuzz(func(t *testing.T, body string) {
		r, err := parseRequest([]byte(body))
		if err != nil {
			return
		}
		if got := string(r.bytes()); got != body {
			t.Errorf("%q is written as %q", body, got)
		}
	})
}

func FuzzVerifierKey(f *testing.F) {
	f.Add("w+00000000+BAAA")
	f.Fuzz(func(t *testing.T, vkey string) {
		v, err := NewVerifier(vkey)
		if err == nil && v.Name() == "" {
			t.Error("a key without a name")
		}
	})
}

// TestRestart copies the witness's store after each answer, as a kill would
// leave it: what was signed is known.
func TestRestart(t *testing.T) {
	t.Parallel()
	signer, verifier := logKeys(t)
	dir := t.TempDir()
	st := openStore(t, dir)
	w, err := New(st, newSigner(t, "w", at(0)), []note.Verifier{verifier}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tree := newTree(8, 8)
	add := func(w *Witness, old, size int64) error {
		signed, err := (&audit.Checkpoint{Origin: origin, Size: size, Root: tree.root(size)}).Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		r := &request{oldSize: old, signed: signed}
		if old > 0 {
			r.proof = tree.prove(old, size)
		}
		_, err = w.add(t.Context(), r.bytes())
		return err
	}
	for size := int64(1); size <= 8; size++ {
		if err := add(w, size-1, size); err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		again, err := New(openStore(t, copied), newSigner(t, "w", at(0)), []note.Verifier{verifier}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c, _, err := again.Latest(origin); err != nil || c.Size != size || c.Root != tree.root(size) {
			t.Errorf("after %d entries the latest is %v, %v", size, c, err)
		}
		var a *answer
		if err := add(again, 0, 1); size > 1 && (!errors.As(err, &a) || a.size != size) {
			t.Errorf("after %d entries a smaller tree: %v", size, err)
		}
	}
	// What cannot be kept is not signed.
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if err := add(w, 8, 8); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkRelease is entries per second that three witnesses co-signed, by the
// number of requests at a time. All share this machine's processors and disk.
func BenchmarkRelease(b *testing.B) {
	for _, clients := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			signer, verifier := logKeys(b)
			var peers []Peer
			for i := range 3 {
				_, p := serve(b, newSigner(b, fmt.Sprint("w", i), at(0)), verifier)
				peers = append(peers, p)
			}
			st := openStore(b, b.TempDir())
			l := startLog(b, st, signer, verifier, newQuorum(b, verifier, 0, peers...))
			b.SetParallelism(clients)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := release(context.Background(), st, l, "patients/2026-11/version-3"); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}
