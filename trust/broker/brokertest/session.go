package brokertest

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"cloister/trust/approval"
	"cloister/trust/broker"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
)

// Session is what owners and programs do with a broker that serves.
type Session struct {
	*World
	Ready  *Ready
	Client *broker.Client
}

// Open makes a client of a broker, and has the witnesses know its log. Owners'
// numbers go on from the broker's.
func (w *World) Open(ctx context.Context, ready *Ready) (*Session, error) {
	for _, one := range w.Witnesses {
		if err := one.Watch(ready.Log); err != nil {
			return nil, err
		}
	}
	s := &Session{World: w, Ready: ready}
	var err error
	if s.Client, err = s.NewClient(); err != nil {
		return nil, err
	}
	var all struct{ Owners []broker.OwnerState }
	if err := s.Client.Do(ctx, http.MethodGet, broker.PathOwners, nil, &all); err != nil {
		return nil, err
	}
	for _, state := range all.Owners {
		for _, o := range w.Owners {
			if o.Name == state.Owner {
				o.number = state.Number
			}
		}
	}
	return s, nil
}

// NewClient makes a client that asks once, with a certificate if one is given.
func (s *Session) NewClient(certs ...tls.Certificate) (*broker.Client, error) {
	return broker.NewClient(broker.ClientOptions{
		Address: s.Ready.Address, Pin: s.Ready.Pin, Certificates: certs, Attempts: 1, Timeout: 30 * time.Second,
	})
}

// Begin has both owners approve the first policy, and makes the first version of
// each one's data set.
func (s *Session) Begin(ctx context.Context) error {
	a, err := s.Approve(ctx, "", s.Setup.Policy)
	if err != nil {
		return err
	}
	if !a.Applied {
		return fmt.Errorf("the first policy is not applied: missing %v", a.Missing)
	}
	for _, o := range s.Owners {
		if _, err := s.AddVersion(ctx, o, DataSet, 1); err != nil {
			return err
		}
	}
	return nil
}

// Approve hands in a policy that goes on from another and that both owners
// signed.
func (s *Session) Approve(ctx context.Context, old, next string) (*broker.PolicyAnswer, error) {
	var before *policy.Policy
	if old != "" {
		p, err := policy.Parse("old", []byte(old))
		if err != nil {
			return nil, err
		}
		before = p
	}
	p, err := policy.Parse("next", []byte(next))
	if err != nil {
		return nil, err
	}
	change, err := policy.Compare(before, p)
	if err != nil {
		return nil, err
	}
	q := &broker.PolicyRequest{Policy: next}
	for _, o := range s.Owners {
		q.Signatures = append(q.Signatures, o.Sign(approval.ForPolicy, change.Statement()))
	}
	a := new(broker.PolicyAnswer)
	return a, s.Client.Do(ctx, http.MethodPost, broker.PathPolicy, q, a)
}

// Order gives an owner's order.
func (s *Session) Order(ctx context.Context, by *Owner, o broker.Order) (*broker.OrderAnswer, error) {
	by.number++
	o.Owner, o.Number = by.Name, by.number
	q := &broker.OrderRequest{Order: o, Signatures: []string{by.Sign(o.Purpose(), o.Statement(Broker, s.Ready.Pin.FirstPolicy))}}
	a := new(broker.OrderAnswer)
	return a, s.Client.Do(ctx, http.MethodPost, broker.PathOrder, q, a)
}

// AddVersion makes the key of a data set's version and registers it.
func (s *Session) AddVersion(ctx context.Context, by *Owner, name policy.Name, version uint64) (*vault.KeyInfo, error) {
	a, err := s.Order(ctx, by, broker.Order{Operation: broker.NewKey, DataSet: name, Version: version, Use: vault.Data})
	if err != nil {
		return nil, err
	}
	_, err = s.Order(ctx, by, broker.Order{
		Operation: broker.Register, DataSet: name, Version: version, KeyID: a.Key.ID,
		Digest: sha256.Sum256(fmt.Appendf(nil, "%s version %d", name, version)), Terms: []policy.Name{"no-export"},
	})
	return a.Key, err
}

// Want is a version of an owner's data set.
func Want(owner policy.Name, version uint64) broker.Want {
	return broker.Want{Kind: broker.Key, Owner: string(owner), Name: DataSet, Version: version}
}

// State asks for the versions of an owner's data set.
func (s *Session) State(ctx context.Context, of *Owner) (*broker.DataSetState, error) {
	a := new(broker.DataSetState)
	return a, s.Client.Do(ctx, http.MethodGet, fmt.Sprintf("%s?owner=%s&name=%s", broker.PathDataSets, of.Name, DataSet), nil, a)
}
