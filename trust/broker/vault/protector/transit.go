package protector

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"cloister/trust/secret"
)

// TransitOptions say where HashiCorp Vault's transit engine is.
type TransitOptions struct {
	Address   string // https://host:port
	Namespace string // of Vault Enterprise and OpenBao, or empty
	Mount     string // empty is "transit"
	Key       string // the name of an AES-256-GCM key there
	// Token gives the token each time, so that an agent may renew it: see
	// TokenFile.
	Token func() (secret.Bytes, error)
	// TLS has the roots to trust, and a client certificate if Vault wants one.
	TLS *tls.Config
	// Wait is slept between attempts; nil is a timer. Attempts are three.
	Wait func(context.Context, time.Duration) error
}

// Transit seals by HashiCorp Vault's transit secrets engine, whose key never
// leaves Vault: POST /v1/:mount/encrypt/:key and decrypt/:key with
// associated_data (Vault's HTTP API, "Transit secrets engine"). The associated
// data are sealed in as well, for engines too old to know the parameter.
type Transit struct {
	options TransitOptions
	base    string
	client  *http.Client
}

const (
	transitTimeout  = 10 * time.Second
	transitAttempts = 3
	maxReply        = 64 << 10
)

var transitName = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$`)

// NewTransit returns a protector; it does not connect yet.
func NewTransit(o TransitOptions) (*Transit, error) {
	if o.Mount == "" {
		o.Mount = "transit"
	}
	address, err := url.Parse(o.Address)
	switch {
	case err != nil || address.Scheme != "https" || address.Host == "" || address.User != nil || address.RawQuery != "" || strings.Trim(address.Path, "/") != "":
		return nil, fmt.Errorf("vault address %q: it is https://HOST:PORT", o.Address)
	case !transitName.MatchString(o.Mount) || !transitName.MatchString(o.Key) || strings.Contains(o.Key, "/"):
		return nil, fmt.Errorf("vault transit mount %q and key %q: a name has letters, digits, dashes and underscores", o.Mount, o.Key)
	case o.Namespace != "" && !transitName.MatchString(strings.Trim(o.Namespace, "/")):
		return nil, fmt.Errorf("vault namespace %q: it has letters, digits, dashes, underscores and slashes", o.Namespace)
	case o.Token == nil:
		return nil, errors.New("vault transit: no token")
	}
	if o.Wait == nil {
		o.Wait = sleep
	}
	config := &tls.Config{}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	if config.InsecureSkipVerify {
		return nil, errors.New("vault transit: its certificate has to be verified")
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	return &Transit{o, "https://" + address.Host + "/v1/" + o.Mount, &http.Client{
		Timeout: transitTimeout,
		// No proxy of the environment, and no redirect, sees the token.
		Transport:     &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxReply, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Name implements Protector.
func (*Transit) Name() string { return "vault-transit" }

// Origin implements Protector: whoever has the token opens the key.
func (*Transit) Origin() Origin { return Host }

type transitRequest struct {
	Plaintext  string `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Associated string `json:"associated_data"`
}

// transitReply is what is used of a reply; other fields come with it.
type transitReply struct {
	Data struct {
		Plaintext  string `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
	} `json:"data"`
	Errors []string `json:"errors"`
}

// Seal implements Protector.
func (t *Transit) Seal(ctx context.Context, key secret.Bytes, associated []byte) ([]byte, error) {
	both, err := bind(key, associated)
	if err != nil {
		return nil, err
	}
	defer both.Zero()
	reply, err := t.post(ctx, "encrypt", &transitRequest{
		Plaintext:  base64.StdEncoding.EncodeToString(both.Expose()),
		Associated: base64.StdEncoding.EncodeToString(associated),
	})
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(reply.Data.Ciphertext, "vault:v") {
		return nil, fmt.Errorf("vault transit key %s: the reply has no ciphertext", t.options.Key)
	}
	return []byte(reply.Data.Ciphertext), nil
}

// Unseal implements Protector.
func (t *Transit) Unseal(ctx context.Context, sealed, associated []byte) (secret.Bytes, error) {
	if !bytes.HasPrefix(sealed, []byte("vault:v")) || len(sealed) > maxReply {
		return secret.Bytes{}, fmt.Errorf("%w: %d bytes are no ciphertext of Vault", ErrSealed, len(sealed))
	}
	reply, err := t.post(ctx, "decrypt", &transitRequest{
		Ciphertext: string(sealed),
		Associated: base64.StdEncoding.EncodeToString(associated),
	})
	if err != nil {
		return secret.Bytes{}, err
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(reply.Data.Plaintext)
	both := secret.Take(plain)
	defer both.Zero()
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("vault transit key %s: the reply's plaintext is not base64", t.options.Key)
	}
	return unbind(both, associated)
}

// transient says that another attempt may succeed.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

func (t *Transit) post(ctx context.Context, operation string, r *transitRequest) (*transitReply, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	for attempt := 1; ; attempt++ {
		reply, err := t.once(ctx, operation, body)
		if err == nil {
			return reply, nil
		}
		var again transient
		if !errors.As(err, &again) || attempt == transitAttempts || ctx.Err() != nil {
			return nil, fmt.Errorf("vault transit key %s: %s: %w", t.options.Key, operation, err)
		}
		if err := t.options.Wait(ctx, time.Duration(attempt)*500*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (t *Transit) once(ctx context.Context, operation string, body []byte) (*transitReply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base+"/"+operation+"/"+t.options.Key, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	token, err := t.options.Token()
	if err != nil {
		return nil, err
	}
	defer token.Zero()
	req.Header.Set("X-Vault-Token", string(token.Expose()))
	req.Header.Set("X-Vault-Request", "true")
	req.Header.Set("Content-Type", "application/json")
	if t.options.Namespace != "" {
		req.Header.Set("X-Vault-Namespace", t.options.Namespace)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return nil, transient{err}
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	text, err := secret.Read(resp.Body, maxReply)
	if err != nil {
		return nil, transient{fmt.Errorf("read the reply: %w", err)}
	}
	defer text.Zero()
	return parseReply(resp.StatusCode, text)
}

// parseReply tells a wrong key or changed ciphertext (400) from a token that may
// not (403), and from what passes.
func parseReply(status int, text secret.Bytes) (*transitReply, error) {
	var reply transitReply
	err := json.Unmarshal(text.Expose(), &reply)
	if status == http.StatusOK {
		if err != nil {
			return nil, errors.New("the reply is not JSON")
		}
		return &reply, nil
	}
	said := ""
	for _, e := range reply.Errors {
		said += ": " + shown(e)
	}
	err = fmt.Errorf("status %d%s", status, said)
	switch status {
	case http.StatusBadRequest:
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	case http.StatusPreconditionFailed, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil, transient{err}
	}
	return nil, err
}

// shown keeps what a server says short and on one line.
func shown(text string) string {
	quoted := fmt.Sprintf("%.200q", text)
	return quoted[1 : len(quoted)-1]
}

// TokenFile reads the token from a file at each use, as Vault's agent writes one.
func TokenFile(path string) func() (secret.Bytes, error) {
	return func() (secret.Bytes, error) {
		f, err := os.Open(path)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("vault token: %w", err)
		}
		defer f.Close() //nolint:errcheck // only read
		token, err := readLine(f)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("vault token: file %s: %w", path, err)
		}
		return token, nil
	}
}

// TokenDescriptor reads the token once, from a descriptor.
func TokenDescriptor(descriptor int) (func() (secret.Bytes, error), error) {
	token, err := ReadPassphrase(descriptor)
	if err != nil {
		return nil, fmt.Errorf("vault token: %w", err)
	}
	return func() (secret.Bytes, error) { return token.Clone(), nil }, nil
}
