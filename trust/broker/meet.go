package broker

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"

	"cloister/trust/attest"
)

// Meeting is what a client learned of a broker that it met for the first time.
// All of it is bound by evidence that was verified; whether the program that the
// claims describe may be the broker is the caller's to say
// (policy.AppraiseBroker).
type Meeting struct {
	Pin  Pin
	Info Info
	// Verification has the claims of the broker's evidence.
	Verification *attest.Verification
}

// Meet attests a broker whose TLS key is not known yet. What the pin of the
// options has must fit; what it leaves out is learned: the broker's evidence
// binds its TLS key, its log's key and its first policy, and the connection must
// be to the holder of that TLS key.
func Meet(ctx context.Context, o ClientOptions, verify VerifyEvidence) (*Meeting, error) {
	seen := &meetingTLS{want: o.Pin.TLSKey}
	c, err := newClient(o, &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The key counts, which the evidence binds.
		InsecureSkipVerify: true,
		VerifyConnection:   seen.verify,
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	info, v, err := c.attest(ctx, verify, func(i *Info) error {
		switch p := &o.Pin; {
		case p.Broker != "" && i.Broker != p.Broker:
			return fmt.Errorf("%w: it is %.80q, not %q", ErrWrongBroker, i.Broker, p.Broker)
		case !p.FirstPolicy.IsZero() && i.FirstPolicy != p.FirstPolicy:
			return fmt.Errorf("%w: its first policy is %s, not %s", ErrWrongBroker, i.FirstPolicy, p.FirstPolicy)
		}
		return seen.check(i.TLSKey)
	})
	if err != nil {
		return nil, err
	}
	m := &Meeting{Pin: Pin{TLSKey: info.TLSKey, FirstPolicy: info.FirstPolicy, Broker: info.Broker}, Info: *info, Verification: v}
	return m, m.Pin.check()
}

// meetingTLS notes the key of the server, which must stay the same.
type meetingTLS struct {
	mu   sync.Mutex
	want Digest // zero before the first connection, if the key is not known
}

func (m *meetingTLS) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return fmt.Errorf("%w: it shows no certificate", ErrWrongBroker)
	}
	got := Digest(sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo))
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.want.IsZero() && got != m.want {
		return fmt.Errorf("%w: its TLS key is %s, not %s", ErrWrongBroker, got, m.want)
	}
	m.want = got
	return nil
}

// check says whether the key that the evidence binds is that of the connection.
func (m *meetingTLS) check(bound Digest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.want.IsZero() || bound != m.want {
		return fmt.Errorf("%w: the connection is to the TLS key %s, and the broker says that its own is %s: somebody is in between", ErrWrongBroker, m.want, bound)
	}
	return nil
}

var errNotKnown = errors.New("the file of a known broker is not whole: attest the broker again")
