package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/attest"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
)

// post sends a body as it is.
func (f *fixture) post(t *testing.T, path, media string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+f.addr+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", media)
	resp, err := f.client().http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestMalformed(t *testing.T) {
	f := newFixture(t, setting{limits: Limits{Body: 64 << 10}})
	for name, c := range map[string]struct {
		path, media, body string
		status            int
		reason            string
	}{
		"empty":          {PathNonce, "application/json", "", 400, "empty"},
		"no JSON":        {PathNonce, "application/json", "nonce please", 400, "decode"},
		"cut off":        {PathNonce, "application/json", `{"key_hash":"00`, 400, ""},
		"another field":  {PathNonce, "application/json", `{"key":"00"}`, 400, "unknown field"},
		"a key twice":    {PathNonce, "application/json", `{"key_hash":"","key_hash":""}`, 400, "twice"},
		"another case":   {PathNonce, "application/json", `{"Key_Hash":""}`, 400, "lower-case"},
		"two values":     {PathNonce, "application/json", `{} {}`, 400, "follows"},
		"deep":           {PathNonce, "application/json", strings.Repeat("[", 1000), 400, "deep"},
		"a short hash":   {PathNonce, "application/json", `{"key_hash":"00"}`, 400, "32 bytes"},
		"no hash":        {PathNonce, "application/json", `{}`, 400, "key_hash"},
		"not UTF-8":      {PathNonce, "application/json", "{\"\xff\":1}", 400, "UTF-8"},
		"a form":         {PathNonce, "application/x-www-form-urlencoded", "key_hash=00", 415, "application/json"},
		"oversized":      {PathRelease, "application/json", `{"key":"` + strings.Repeat("A", 70<<10) + `"}`, 413, "larger"},
		"no such place":  {"/v1/keys", "application/json", "{}", 404, "no place"},
		"a path trick":   {"/v1/../v1/nonce%2f..", "application/json", "{}", 404, "no place"},
		"another method": {PathBroker, "application/json", "{}", 405, "GET"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := f.post(t, c.path, c.media, strings.NewReader(c.body)) //nolint:bodyclose // post closes it
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != c.status || !strings.Contains(string(text), c.reason) {
				t.Errorf("%d %s %v, want %d because of %q", resp.StatusCode, text, err, c.status, c.reason)
			}
			if resp.Header.Get("X-Request-Id") == "" || !strings.Contains(string(text), resp.Header.Get("X-Request-Id")) {
				t.Error("the answer has no request id")
			}
		})
	}
	f.broker.tally.flush(true)
	for _, reason := range []string{"larger than", "twice", "application/json"} {
		if !f.logged("request", audit.Refused, reason) && !strings.Contains(f.reasons(), "more like this") {
			t.Errorf("the log does not say %q:\n%s", reason, f.reasons())
		}
	}
}

func (f *fixture) reasons() string {
	var b strings.Builder
	for _, e := range f.entries() {
		b.WriteString(e.Type + " " + e.Subject + ": " + e.Reason + "\n")
	}
	return b.String()
}

// TestSlow opens connections and does not go on.
func TestSlow(t *testing.T) {
	t.Parallel()
	short := time.Second
	f := newFixture(t, setting{limits: Limits{Header: short, Read: short, Idle: short}})
	raw := func() net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, open := range map[string]func() net.Conn{
		"nothing at all": raw,
		"half a hello":   func() net.Conn { c := raw(); c.Write([]byte{22, 3, 1, 2, 0, 1}); return c },
		"no TLS":         func() net.Conn { c := raw(); c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); return c },
		"no request":     func() net.Conn { return f.dialTLS() },
		"half a header":  func() net.Conn { c := f.dialTLS(); c.Write([]byte("POST /v1/nonce HTTP/1.1\r\nHost:")); return c },
		"a body that does not": func() net.Conn {
			c := f.dialTLS()
			c.Write([]byte("POST /v1/nonce HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"))
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open()
			defer c.Close()
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, struct{ io.Reader }{c}); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func TestOldTLS(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	config := f.pin.clientTLS(nil)
	config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", f.addr); err == nil {
		t.Error("TLS 1.2 was spoken")
	}
}

// TestPinned refuses a broker that is not the one that is known.
func TestPinned(t *testing.T) {
	f := newFixture(t, setting{})
	for name, change := range map[string]func(*Pin){
		"TLS key":      func(p *Pin) { p.TLSKey[0]++ },
		"first policy": func(p *Pin) { p.FirstPolicy[0]++ },
		"id":           func(p *Pin) { p.Broker = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			pin := f.pin
			change(&pin)
			c, err := NewClient(ClientOptions{Address: f.addr, Pin: pin, Attempts: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Info(t.Context()); !errors.Is(err, ErrWrongBroker) || !errors.Is(err, ErrRefused) || errors.Is(err, ErrNetwork) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := NewClient(ClientOptions{Address: f.addr, Pin: Pin{Broker: "test"}}); err == nil {
		t.Error("a client without a pin")
	}
}

// TestNoBroker counts the attempts where nobody listens.
func TestNoBroker(t *testing.T) {
	t.Parallel()
	dials := 0
	c, err := NewClient(ClientOptions{
		Address: "127.0.0.1:1", Pin: Pin{Digest{1}, Digest{2}, "test"}, Attempts: 3,
		Dial: func(context.Context, string, string) (net.Conn, error) { dials++; return nil, errors.New("nobody") },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Info(t.Context()); !errors.Is(err, ErrNetwork) || dials != 3 {
		t.Errorf("%v after %d attempts", err, dials)
	}
}

func TestTooMany(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{limits: Limits{NoncesPerClient: 4, Burst: 40, Rate: 0.001}})
	var codes []Code
	for range 45 {
		var answer *AnswerError
		err := f.client().Do(t.Context(), "POST", PathNonce, &NonceRequest{Digest{1}}, nil)
		if errors.As(err, &answer) {
			codes = append(codes, answer.Code)
			if !errors.Is(err, ErrNetwork) {
				t.Errorf("%v does not say that it may be tried again", err)
			}
		}
	}
	if len(codes) != 41 || codes[0] != CodeTooMany {
		t.Errorf("%d refusals: %v", len(codes), codes)
	}
}

func TestNonces(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := Limits{NonceLife: time.Minute, NoncesPerClient: 2, Nonces: 3}
	l.fill()
	n := newNonces(func() time.Time { return now }, neverSame(), &l)
	issue := func(client string) (Digest, error) {
		d, _, err := n.issue(client, Digest{7})
		return d, err
	}
	first, err := issue("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = issue("a"); err != nil {
		t.Fatal(err)
	}
	if _, err = issue("a"); err == nil {
		t.Error("a third nonce of one client")
	}
	if _, err = issue("b"); err != nil {
		t.Fatal(err)
	}
	if _, err = issue("c"); err == nil {
		t.Error("a fourth nonce")
	}
	now = now.Add(time.Minute)
	if n.take(first, Digest{7}) == nil {
		t.Error("an expired nonce was taken")
	}
	again, err := issue("a")
	if err != nil {
		t.Fatal(err)
	}
	if len(n.open) != 1 || len(n.count) != 1 || len(n.order) != 1 {
		t.Errorf("%d, %d, %d are kept", len(n.open), len(n.count), len(n.order))
	}
	if n.take(again, Digest{8}) == nil || n.take(again, Digest{7}) == nil {
		t.Error("a nonce was taken for another key, or after that")
	}
}

// neverSame is a reader of numbers.
func neverSame() io.Reader {
	var n byte
	return readerFunc(func(b []byte) (int, error) {
		n++
		for i := range b {
			b[i] = n
		}
		return len(b), nil
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// gated is a quorum that answers when it is told to.
type gated struct {
	open chan struct{}
	mu   sync.Mutex
	shut bool
}

func (g *gated) Cosign(ctx context.Context, c *audit.Checkpoint, signed []byte, _ func(int64) (tlog.TreeProof, error)) (*audit.Witnessed, error) {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut {
		select {
		case <-g.open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &audit.Witnessed{Checkpoint: *c, Note: string(signed), Time: time.Now(), Insecure: audit.InsecureNoWitness}, nil
}

func (g *gated) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
}

// TestGracefulStop stops the broker while a release waits for its witnesses: it
// is answered. It also shows that nothing leaves before the witnesses have
// signed, and that an owner who freezes meanwhile is heard.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	g := &gated{open: make(chan struct{})}
	var out bytes.Buffer
	var mu sync.Mutex
	logger := slog.New(slog.NewTextHandler(&locked{&mu, &out}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f := newFixture(t, setting{quorum: func(note.Verifier, *policy.Policy) (audit.Quorum, error) { return g, nil }, logger: logger})
	f.dataSet(f.a, "wards", "no-export")
	g.close()
	got := make(chan error, 1)
	go func() {
		_, err := f.client().Release(context.WithoutCancel(t.Context()), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
		got <- err
	}()
	for !f.logged("release", audit.Granted, "") {
		time.Sleep(5 * time.Millisecond)
	}
	select {
	case err := <-got:
		t.Fatalf("answered before the witnesses signed: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	stopped := make(chan error, 1)
	go func() { stopped <- f.stop() }()
	time.Sleep(100 * time.Millisecond)
	close(g.open)
	if err := <-got; err != nil {
		t.Errorf("the release that ran: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := f.client().Info(t.Context()); !errors.Is(err, ErrNetwork) {
		t.Errorf("after the stop: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(out.String(), "released") {
		t.Errorf("the log says %s", out.String())
	}
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// TestUnwitnessed has no witness answer in time.
func TestUnwitnessed(t *testing.T) {
	t.Parallel()
	g := &gated{open: make(chan struct{})}
	f := newFixture(t, setting{
		quorum: func(note.Verifier, *policy.Policy) (audit.Quorum, error) { return g, nil },
		limits: Limits{Release: 2 * time.Second},
	})
	f.dataSet(f.a, "wards", "no-export")
	g.close()
	_, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
	refusedFor(t, err, CodeUnwitnessed, "not witnessed")
	if !errors.Is(err, ErrNetwork) {
		t.Errorf("%v does not say that it may be tried again", err)
	}
	close(g.open)
	if _, err := f.client().Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)}); err != nil {
		t.Error(err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"nonce":"00","key":"AA==","evidence":{"platform":"sgx","quote":"AA=="},"want":[{"kind":"key","owner":"a","name":"b","version":1}]}`))
	f.Add([]byte(`{"order":{"owner":"a","number":1,"operation":"new-key"},"signatures":["x"]}`))
	f.Add([]byte(`{"key_hash":"` + strings.Repeat("0", 64) + `"}`))
	f.Add([]byte(`{"policy":"","signatures":[]}`))
	f.Add([]byte(`[[[[]]]]`))
	server := &Server{limits: DefaultLimits()}
	f.Fuzz(func(t *testing.T, data []byte) {
		var release ReleaseRequest
		if decode(data, &release) == nil && server.checkRelease(&release) == nil {
			for _, w := range release.Want {
				if item, err := w.item(); err != nil || strings.Count(string(item), "/") != 1 {
					t.Errorf("%+v was accepted", w)
				}
			}
			b := attest.Binding{Nonce: release.Nonce, Key: release.Key, Job: release.Job}
			b.ReportData()
		}
		var order OrderRequest
		if decode(data, &order) == nil && order.Order.check() == nil {
			for _, c := range order.Order.Statement("test", Digest{1}) {
				if (c < ' ' || c > '~') && c != '\n' {
					t.Errorf("the statement has the byte %#x", c)
				}
			}
		}
		for _, into := range []any{new(NonceRequest), new(AttestRequest), new(FreezeRequest), new(PolicyRequest)} {
			decode(data, into)
		}
	})
}
