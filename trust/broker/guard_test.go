package broker

import (
	"bufio"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// TestMalformedLogged: each of several requests that are none has its reason in
// the log, though they come from one client within a moment.
func TestMalformedLogged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{limits: Limits{Body: 1 << 10}})
	for _, c := range []struct{ path, media, body, reason string }{
		{PathNonce, "application/json", "", "it is empty"},
		{PathNonce, "application/json", `{"key_hash":"` + jobOf("a").String() + `","key_hash":""}`, "is there twice"},
		{PathNonce, "application/json", `{"Key_Hash":""}`, "is not lower-case letters"},
		{PathNonce, "application/json", strings.Repeat("[", 1000), "nested more than"},
		{PathNonce, "text/plain", "{}", "wanted is application/json"},
		{PathRelease, "application/json", strings.Repeat(" ", 2<<10), "larger than 1024 bytes"},
		{"/v1/keys", "application/json", "{}", "is no place of this API"},
		{PathBroker, "application/json", "{}", "is not a method of"},
		{PathNonce + "/../release", "application/json", "{}", "is no place of this API"},
	} {
		resp := f.post(t, c.path, c.media, strings.NewReader(c.body)) //nolint:bodyclose // post closes it
		var p Problem
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || !strings.Contains(p.Error.Message, c.reason) {
			t.Errorf("%s %q: %+v, %v, want %q", c.path, c.body, p, err, c.reason)
		}
		if !f.logged("request", audit.Refused, c.reason) {
			t.Errorf("the log does not say %q:\n%s", c.reason, f.reasons())
		}
	}
}

// TestTally: a flood writes few lines, each client's reasons are told apart up to
// a number, and nothing is kept once its time is over.
func TestTally(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var lines []*audit.Entry
	y := newTally(func() time.Time { return now }, func(e *audit.Entry) { lines = append(lines, e) })
	for i := range 1000 {
		y.add("client", "nonce", refuse(CodeMalformed, "reason %d", i))
	}
	if len(lines) != mostReasons+1 {
		t.Errorf("%d lines for one client", len(lines))
	}
	lines = nil
	for i := range 3 * mostTallied {
		y.add(fmt.Sprint("client ", i), "nonce", refuse(CodeMalformed, "a reason"))
	}
	if len(lines) > mostTallied {
		t.Errorf("%d lines for many clients", len(lines))
	}
	lines = nil
	now = now.Add(2 * time.Minute)
	y.flush(false)
	total := 0
	for _, e := range lines {
		n := 0
		if _, err := fmt.Sscan(e.Details["count"], &n); err != nil {
			t.Fatal(err)
		}
		total += n
	}
	if want := 1000 - mostReasons - 1 + 3*mostTallied - mostTallied; total < want-2 || total > want+mostReasons+2 {
		t.Errorf("%d are counted, want about %d", total, want)
	}
	if len(y.open) != 0 || len(y.reasons) != 0 {
		t.Errorf("%d and %d are kept", len(y.open), len(y.reasons))
	}
}

// TestSlowLogged: connections that do not go on stand in the log.
func TestSlowLogged(t *testing.T) {
	t.Parallel()
	short := 4 * time.Second // what prepares the broker must get through on a busy machine, too
	for name, c := range map[string]struct {
		open   func(f *fixture) (net.Conn, error)
		reason string
	}{
		"nothing at all": {func(f *fixture) (net.Conn, error) { return f.dialTCP() }, "the connection ended before a request"},
		"half a hello": {func(f *fixture) (net.Conn, error) {
			return f.send(f.dialTCP, "\x16\x03\x01\x02\x00\x01")
		}, "the connection ended before a request"},
		"half a header": {func(f *fixture) (net.Conn, error) {
			return f.send(f.dial1, "POST /v1/nonce HTTP/1.1\r\nHost:")
		}, "the connection ended before a request"},
		"half a body": {func(f *fixture) (net.Conn, error) {
			return f.send(f.dial1, "POST /v1/nonce HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
		}, "the body did not arrive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setting{limits: Limits{Header: short, Read: short, Idle: short}})
			conn, err := c.open(f)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, struct{ io.Reader }{conn}); isTimeout(err) {
				t.Errorf("the connection is still open: %v", err)
			}
			for range 2000 {
				if f.logged("request", audit.Refused, c.reason) {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
			t.Errorf("the log does not say %q:\n%s", c.reason, f.reasons())
		})
	}
}

func (f *fixture) dialTCP() (net.Conn, error) {
	return (&net.Dialer{}).DialContext(f.t.Context(), "tcp", f.addr)
}

// dial1 connects for HTTP/1.1.
func (f *fixture) dial1() (net.Conn, error) {
	return (&tls.Dialer{Config: f.pin.clientTLS(nil)}).DialContext(f.t.Context(), "tcp", f.addr)
}

func (f *fixture) send(dial func() (net.Conn, error), text string) (net.Conn, error) {
	c, err := dial()
	if err == nil {
		_, err = c.Write([]byte(text))
	}
	return c, err
}

// TestNamesArePlain asks by names that would be others if anything cleaned them.
func TestNamesArePlain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	for _, name := range []string{
		"", ".", "..", "../b", "a/wards", "wards/", "/wards", "wards/../wards", "Wards", "wards ", " wards", "wards\x00", "wards\n", "wärds",
		"wаrds", "%77ards", "wards%00", `wards"`, "wards,", "wards:1", "-wards", strings.Repeat("w", 65), "wards\u202e",
	} {
		_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{{Kind: Key, Owner: "a", Name: name, Version: 1}})
		f.why(t, err, "release", CodeMalformed, "want: ")
		_, err = f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{{Kind: Key, Owner: name, Name: "wards", Version: 1}})
		f.why(t, err, "release", CodeMalformed, "want: ")
		if name != "" {
			query := url.Values{"owner": {"a"}, "name": {name}}.Encode()
			refusedFor(t, f.client().Do(t.Context(), "GET", PathDataSets+"?"+query, nil, nil), CodeMalformed, "")
			_, err = f.tryOrder(f.a, f.a, Order{Operation: NewKey, DataSet: policy.Name(name), Version: 1, Use: vault.Data})
			refusedFor(t, err, CodeMalformed, "")
		}
	}
	for _, path := range []string{"/v1/audit/../release", "//v1/release", "/v1/release/", "/v1/%72elease", "/v1/release%00", "/V1/release", "/v1/./release", "/"} {
		resp := f.post(t, path, "application/json", strings.NewReader("{}")) //nolint:bodyclose // post closes it
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// TestDebugOfNone: a program that nothing protects counts as one that its host can
// debug, so that a policy has to say so twice.
func TestDebugOfNone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{prepare: func(f *fixture) {
		f.change = func(text string) string { return strings.Replace(text, "    insecure-debug: true\n", "", 1) }
	}})
	f.dataSet(f.a, "wards")
	_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	f.why(t, err, "release", CodePolicy, "debug: debug is true and insecure-debug is not set")
}

// TestTermsUnknown: terms that are not known are not the same as none.
func TestTermsUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards")
	release := func() error {
		_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
		return err
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	key := vault.Ref{Owner: "a", DataSet: "wards", Version: 1}.String()
	for _, c := range []struct {
		change func(tx *store.Tx) error
		code   Code
		reason string
	}{
		{func(tx *store.Tx) error { return tx.Put(bucketTerms, key, []byte("null")) }, CodePolicy, "the register does not say what terms of use"},
		{func(tx *store.Tx) error { return tx.Put(bucketTerms, key, []byte("{")) }, CodeInternal, "an error of its own"},
		{func(tx *store.Tx) error { return tx.Put(bucketTerms, key, []byte("[]")) }, "", ""},
		{func(tx *store.Tx) error { return tx.Delete(bucketTerms, key) }, CodePolicy, "the register does not say what terms of use"},
	} {
		if err := f.broker.store.Update(t.Context(), c.change); err != nil {
			t.Fatal(err)
		}
		err := release()
		if c.code != "" {
			f.why(t, err, "release", c.code, c.reason)
		} else if err != nil {
			t.Error(err)
		}
	}
}

// TestMetricsOfStrangers: what strangers ask for does not become part of the
// metrics.
func TestMetricsOfStrangers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	for _, path := range []string{"/v1/%01", "/v1/x", "/v1/\"", "/v1/nonce"} {
		f.post(t, path, "application/json", strings.NewReader("{}")) //nolint:bodyclose // post closes it
	}
	if _, err := f.client().Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	f.broker.Operation().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	known := map[string]bool{"other": true}
	for pattern := range f.broker.routes() {
		known[strings.Fields(pattern)[1]] = true
	}
	lines := bufio.NewScanner(w.Body)
	for lines.Scan() {
		_, after, ok := strings.Cut(lines.Text(), `path="`)
		if path, _, _ := strings.Cut(after, `"`); ok && !known[path] {
			t.Errorf("the metrics have %s", lines.Text())
		}
	}
}

// TestNonceTable: nonces that were used take no room for the rest of their life.
func TestNonceTable(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := Limits{NonceLife: time.Hour, Nonces: 8, NoncesPerClient: 8}
	l.fill()
	number := 0
	n := newNonces(func() time.Time { return now }, readerFunc(func(b []byte) (int, error) {
		number++
		return copy(b, fmt.Sprintf("%032d", number)), nil
	}), &l)
	// One that is never used stands before all that are.
	if _, _, err := n.issue("a", Digest{7}); err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		d, _, err := n.issue("a", Digest{7})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.take(d, Digest{7}); err != nil {
			t.Fatal(err)
		}
	}
	kept, _, err := n.issue("a", Digest{7})
	if err != nil || len(n.order) > 2*l.Nonces+1 || cap(n.order) > 100*l.Nonces {
		t.Errorf("%d nonces are remembered, %v", len(n.order), err)
	}
	if err := n.take(kept, Digest{7}); err != nil {
		t.Error(err)
	}
}

// TestRefusedConnections: a connection that is over a limit is closed without
// waiting for the disk.
func TestRefusedConnections(t *testing.T) {
	t.Parallel()
	inner, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{limits: Limits{Connections: 1, ConnectionsPerClient: 1}}
	hold := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	once := sync.OnceFunc(wg.Done)
	s.tally = newTally(time.Now, func(*audit.Entry) { once(); <-hold })
	l := s.bounded(inner)
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	dial()
	wg.Wait() // the line about it is being written, and is not done
	first.Close()
	dial()
	select {
	case c := <-accepted:
		c.Close()
	case <-time.After(20 * time.Second):
		t.Error("the next connection waits for the line about the one before")
	}
	close(hold)
}

// TestSlowWatcher: who does not read what it watches is cut off, and keeps nobody
// from the rest.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{limits: Limits{Release: 4 * time.Second, Read: 4 * time.Second, Idle: 4 * time.Second}})
	cert, _ := selfSigned(t, f.a.raw)
	config := f.pin.clientTLS([]tls.Certificate{cert})
	c, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET " + PathWatch + "?from=0 HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	f.order(f.a, Order{Operation: NewKey, DataSet: "x", Version: 1, Use: vault.Data})
	// Nothing is read for longer than a stream lasts; then it ends.
	time.Sleep(6 * time.Second)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.Copy(io.Discard, struct{ io.Reader }{c}); isTimeout(err) {
		t.Errorf("the stream is still open: %v", err)
	}
	f.order(f.a, Order{Operation: NewKey, DataSet: "x", Version: 2, Use: vault.Data})
}

// TestRecordedRelease: who records an exchange needs more than a quantum computer
// to read it: TLS and HPKE, to programs and to the broker, are hybrids with
// ML-KEM-768, and what travels is not what an older HPKE would take.
func TestRecordedRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	c := f.dialTLS()
	defer c.Close()
	if id := c.ConnectionState().CurveID; id != tls.X25519MLKEM768 {
		t.Errorf("TLS agrees on %s", id)
	}
	kem, _, _ := suite()
	if kem.ID() != hpke.MLKEM768X25519().ID() {
		t.Errorf("the KEM is %#x", kem.ID())
	}
	const encapsulated = 1088 + 32 // of ML-KEM-768 and of X25519
	key, err := kem.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	q := &ReleaseRequest{Key: key.PublicKey().Bytes(), Job: jobOf("one"), Want: []Want{wards("a", 1)}}
	var n NonceAnswer
	if err := f.client().Do(t.Context(), "POST", PathNonce, &NonceRequest{hashOf(q.Key)}, &n); err != nil {
		t.Fatal(err)
	}
	q.Nonce = n.Nonce
	b := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}
	e, err := newProgram(t, "trainer").Produce(t.Context(), b.ReportData())
	if err != nil {
		t.Fatal(err)
	}
	q.Evidence = *e
	var a ReleaseAnswer
	if err := f.client().Do(t.Context(), "POST", PathRelease, q, &a); err != nil {
		t.Fatal(err)
	}
	if len(a.Encapsulated) != encapsulated {
		t.Errorf("%d bytes are encapsulated, want %d", len(a.Encapsulated), encapsulated)
	}
	// A program that asks with a key of X25519 alone gets nothing.
	old, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	q.Key = old.PublicKey().Bytes()
	if err := f.client().Do(t.Context(), "POST", PathNonce, &NonceRequest{hashOf(q.Key)}, &n); err != nil {
		t.Fatal(err)
	}
	q.Nonce = n.Nonce
	f.why(t, f.client().Do(t.Context(), "POST", PathRelease, q, nil), "release", CodeMalformed, "MLKEM768-X25519")
	// What owners wrap their keys to is of the same kind.
	info, err := f.client().Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kem.NewPublicKey(info.HPKE); err != nil {
		t.Error(err)
	}
}
