package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"cloister/trust/attest"
	"cloister/trust/attest/ratls"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// The messages of Gramine's secret provisioning, each with the NUL that ends it
// (Gramine 1.9, tools/sgx/ra-tls, secret_prov.h).
const (
	provisionRequest = "SECRET_PROVISION_RA_TLS_REQUEST_V1\x00"
	provisionAnswer  = "SECRET_PROVISION_RA_TLS_RESPONSE_V1:\x00"
)

// provisionWorkload is what the issuer's records call the certificate of the
// provisioning port. No workload of a policy can have this name.
const provisionWorkload = "provisioning port"

// provisioner is the port for unmodified programs under Gramine.
type provisioner struct {
	server *Server
	names  []string

	mu   sync.Mutex
	cert *tls.Certificate
}

// ServeProvisioning serves Gramine's secret-provisioning protocol until ctx ends.
// Clients check the server's certificate against the broker's authority and one
// of the names, which must be within the authority's domains.
func (s *Server) ServeProvisioning(ctx context.Context, l net.Listener, names []string) error {
	if err := s.needIssuer(); err != nil || len(names) == 0 {
		return errors.New("the provisioning port needs names within the domains of the broker's authority")
	}
	p := &provisioner{server: s, names: names}
	// Before the first policy there is nobody to serve, and no certificate.
	if _, err := p.certificate(ctx); err != nil && s.inForce.Load() != nil {
		return fmt.Errorf("the certificate of the provisioning port: %w", err)
	}
	bounded := s.bounded(l)
	stop := context.AfterFunc(ctx, func() { l.Close() }) //nolint:errcheck // it ends Accept
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := bounded.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close() //nolint:errcheck // nobody is served any more
			}
			return nil
		case passing(err):
			// As net/http does: too many open files are no reason to end.
			s.log.WarnContext(ctx, "a connection of the provisioning port was not accepted", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		case err != nil:
			return fmt.Errorf("serve provisioning on %s: %w", l.Addr(), err)
		}
		wg.Go(func() {
			defer c.Close() //nolint:errcheck // what had to arrive was flushed
			defer func() {
				if v := recover(); v != nil {
					client := clientOf(c.RemoteAddr().String())
					s.log.ErrorContext(ctx, "a request failed", "what", "provision", "client", client, "error", fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
					s.metrics.refused("provision", CodeInternal)
					s.tally.add(client, "provision", refuse(CodeInternal, "panic"))
				}
			}()
			p.handle(context.WithoutCancel(ctx), c)
		})
	}
}

// passing says that Accept may go on after an error.
func passing(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// certificate is the server's, renewed when half of its life is over.
func (p *provisioner) certificate(ctx context.Context) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.server
	if c := p.cert; c != nil {
		if half := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 2; s.clock.Now().Before(c.Leaf.NotAfter.Add(-half)) {
			return c, nil
		}
	}
	force := s.inForce.Load()
	if force == nil {
		return nil, errors.New("no policy is in force")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := issuer.CertificateRequest(key, p.names)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	var leaf *x509.Certificate
	err = s.store.Update(ctx, func(tx *store.Tx) (err error) {
		leaf, err = s.issuer.Issue(tx, issuer.Request{CSR: csr, Key: spki, Allowed: p.names, Workload: provisionWorkload, Policy: force.hash})
		if err != nil {
			return err
		}
		_, err = s.audit.Append(tx, &audit.Entry{
			Type: "certificate", Client: "broker", Subject: provisionWorkload, Decision: audit.Granted,
			Details: map[string]string{"serial": leaf.SerialNumber.Text(16)},
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	p.cert = &tls.Certificate{Certificate: [][]byte{leaf.Raw, s.issuer.Certificate().Raw}, PrivateKey: key, Leaf: leaf}
	return p.cert, nil
}

// handle answers one connection.
func (p *provisioner) handle(ctx context.Context, raw net.Conn) {
	s := p.server
	client := clientOf(raw.RemoteAddr().String())
	leave, err := s.gate.enter(client)
	if err != nil {
		s.tally.add(client, "provision", classify(err))
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, s.limits.Release)
	defer cancel()
	raw.SetDeadline(time.Now().Add(s.limits.Read)) //nolint:errcheck // a connection that has none fails below
	der, c, err := p.shake(ctx, raw)
	if err != nil {
		s.metrics.refused("provision", CodeMalformed)
		s.tally.add(client, "provision", refuse(CodeMalformed, "%v", err))
		return
	}
	entry := &audit.Entry{Type: "provision", Client: client, Details: map[string]string{}}
	secret, err := p.decide(ctx, der, readRequest(c), entry)
	defer zero(secret)
	if err != nil {
		var logged *loggedError
		if entry.Decision != audit.Granted && !errors.As(err, &logged) {
			err = s.logRefusal(ctx, entry, err)
		}
		r := classify(err)
		s.metrics.refused("provision", r.code)
		s.log.InfoContext(ctx, "refused", "what", "provision", "client", client, "code", r.code, "reason", r.message())
		return
	}
	raw.SetDeadline(time.Now().Add(s.limits.Read)) //nolint:errcheck // as above
	key := secret[0].key.Expose()
	header := binary.BigEndian.AppendUint32([]byte(provisionAnswer), uint32(len(key)))
	_, err = c.Write(header)
	if err == nil {
		_, err = c.Write(key)
	}
	if err == nil {
		err = c.CloseWrite()
	}
	if err != nil {
		s.log.WarnContext(ctx, "what was provisioned did not arrive", "client", client, "error", err)
		return
	}
	s.metrics.released(1)
	s.log.InfoContext(ctx, "provisioned", "client", client, "workload", entry.Details["workload"])
}

// shake does the handshake.
func (p *provisioner) shake(ctx context.Context, raw net.Conn) ([]byte, *tls.Conn, error) {
	cert, err := p.certificate(ctx)
	if err != nil {
		return nil, nil, err
	}
	c := tls.Server(raw, &tls.Config{
		Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		// No authority stands for the certificate: its quote does, below.
		ClientAuth: tls.RequireAnyClientCert,
	})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("the handshake: %w", err)
	}
	return c.ConnectionState().PeerCertificates[0].Raw, c, nil
}

// readRequest reads the request, which is always the same.
func readRequest(r io.Reader) error {
	var q [len(provisionRequest)]byte
	if _, err := io.ReadFull(r, q[:]); err != nil {
		return refuse(CodeMalformed, "the request did not arrive: %w", err)
	}
	if string(q[:]) != provisionRequest {
		return refuse(CodeMalformed, "the request is not that of Gramine's secret provisioning, version 1")
	}
	return nil
}

// decide verifies the peer's certificate and decides what it gets, which is one
// key or secret. Each handshake of a program that would get it counts as a run,
// since there is no nonce that would tell one from another: also if what it asked
// is spoilt or missing, as asked says, and it gets nothing.
func (p *provisioner) decide(ctx context.Context, der []byte, asked error, entry *audit.Entry) ([]opened, error) {
	s := p.server
	force := s.inForce.Load()
	if force == nil {
		return nil, refuse(CodePolicy, "no policy is in force")
	}
	entry.Details["policy"] = force.hash.String()
	verify, cancel := context.WithTimeout(ctx, s.limits.Verify)
	defer cancel()
	v, err := ratls.NewVerifier(s.clock.Now, force.verifiers.List()...).Verify(verify, der)
	switch {
	case errors.Is(err, attest.ErrRefused):
		return nil, err
	case err != nil:
		return nil, refuse(CodeCollateral, "the evidence cannot be verified now: %w", err)
	}
	entry.Details["machine"] = v.Claims.Machine.String()
	var items []opened
	g := &granted{}
	err = s.store.Update(ctx, func(tx *store.Tx) (err error) {
		zero(items)
		if items, err = s.provision(tx, force, v, asked == nil, entry); err != nil {
			return err
		}
		if asked != nil {
			entry.Decision = audit.Refused
			entry.Reason = classify(asked).message() + "; the handshake counts as a run"
			entry.Details["code"] = string(CodeMalformed)
		}
		g.index, err = s.audit.Append(tx, entry)
		return err
	})
	switch {
	case err != nil:
		entry.Decision = ""
		return items, err
	case asked != nil:
		return nil, &loggedError{asked}
	}
	g.items, g.owners = items, []policy.Name{policy.Name(items[0].Owner)}
	_, err = s.effective(ctx, force, g, entry)
	return items, err
}

// loggedError is a refusal whose line is in the log.
type loggedError struct{ error }

// Unwrap returns the refusal.
func (e *loggedError) Unwrap() error { return e.error }

// provision decides, counts the run and opens what is asked for, if it is.
func (s *Server) provision(tx *store.Tx, p *inForce, v *attest.Verification, asked bool, entry *audit.Entry) ([]opened, error) {
	if err := checkCurrent(tx, p); err != nil {
		return nil, err
	}
	if err := s.seenCollateral(tx, &v.Claims); err != nil {
		return nil, err
	}
	name, one := p.policy.ProvisioningOf(&v.Claims)
	ask := &policy.Handshake{}
	var err error
	if ask.Frozen, err = frozen(tx); err != nil {
		return nil, err
	}
	runs := "provision/" + string(name)
	var want Want
	if one != nil {
		entry.Details["workload"], entry.Details["job"] = string(name), one.Job.String()
		// A changed entry of the same name begins to count anew only if it is for
		// another enclave.
		runs += fmt.Sprintf("/%x", one.MREnclave)
		if want, err = s.provisioned(tx, one, ask); err != nil {
			return nil, err
		}
		entry.Subject = want.String()
		var r runRecord
		if value, ok := tx.Get(bucketRuns, runs); ok {
			if err := json.Unmarshal(value, &r); err != nil {
				return nil, fmt.Errorf("runs of %s in the store: %w", runs, err)
			}
		}
		ask.Runs = r.Runs
	}
	now := s.clock.Now()
	d := p.policy.AppraiseProvisioning(&v.Claims, ask, now)
	if !d.Allowed || len(d.Failed()) > 0 || len(d.Checks) == 0 || one == nil {
		return nil, denied(d, []policy.Name{policy.Name(want.Owner)}, ask.Frozen, append(v.Checks, d.Checks...))
	}
	run, err := s.countRun(tx, runs, "", true, one.MaxRuns, now)
	if err != nil {
		return nil, err
	}
	if !asked {
		entry.Details["run"] = strconv.FormatUint(run, 10)
		return nil, nil
	}
	entry.Decision, entry.Reason = audit.Granted, "gramine-provisioning "+string(name)
	entry.Details["run"] = strconv.FormatUint(run, 10)
	return s.openItems(tx, []Want{want})
}

// provisioned is what an entry gives.
func (s *Server) provisioned(tx *store.Tx, one *policy.Provision, ask *policy.Handshake) (Want, error) {
	item, kind := one.Key, Key
	if one.Secret != "" {
		item, kind = one.Secret, Secret
	}
	var name policy.Name
	if err := name.UnmarshalText([]byte(string(item)[len(item.Owner())+1:])); err != nil {
		return Want{}, err
	}
	want := Want{Kind: kind, Owner: string(item.Owner()), Name: string(name), Version: one.KeyVersion}
	if kind == Secret {
		return want, nil
	}
	ref := vault.Ref{Owner: want.Owner, DataSet: want.Name, Version: want.Version}
	terms, err := s.termsOf(tx, ref)
	if err != nil {
		return want, err
	}
	ask.DataSet = &policy.DataSet{Item: item, Version: one.KeyVersion, Terms: terms}
	return want, nil
}
