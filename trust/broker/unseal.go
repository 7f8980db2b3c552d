package broker

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strconv"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
)

// PathUnseal is where persons whom the policy names under unseal get the key of a
// data set, outside of any TEE.
const PathUnseal = "/v1/unseal"

const unsealDomain = "cloister.unseal.v1"

// UnsealRequest asks for the key of one version of a data set. Who asks is known
// by the client certificate of the connection.
type UnsealRequest struct {
	Owner   string `json:"owner"`
	Name    string `json:"name"`
	Version uint64 `json:"version"`
	// Key is the serialised HPKE public key that the answer is encrypted to.
	Key []byte `json:"key"`
}

func (q *UnsealRequest) want() Want {
	return Want{Kind: Key, Owner: q.Owner, Name: q.Name, Version: q.Version}
}

// UnsealAnswer is what a person gets. Client.Unseal decrypts it.
type UnsealAnswer struct {
	Request      string     `json:"request"`
	Person       string     `json:"person"` // the entry of unseal
	Encapsulated []byte     `json:"encapsulated"`
	Item         SealedItem `json:"item"`
	Receipt      Receipt    `json:"receipt"`
}

// unsealInfo binds an answer to the broker and the request.
func unsealInfo(broker string, firstPolicy Digest, q *UnsealRequest) []byte {
	return canonical([]byte(unsealDomain), []byte(broker), firstPolicy[:], q.Key)
}

// clientKey is the SHA-256 of the SubjectPublicKeyInfo in the certificate that
// the client showed, of whose key TLS has proven possession, or zeros.
func clientKey(r *http.Request) policy.Hash {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return policy.Hash{}
	}
	return sha256.Sum256(r.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
}

func (s *Server) handleUnseal(w http.ResponseWriter, r *http.Request) {
	var q UnsealRequest
	err := s.readBody(w, r, s.limits.Body, &q)
	client := clientKey(r)
	if err == nil && client.IsZero() {
		err = refuse(CodeForbidden, "who unseals shows a client certificate")
	}
	if err == nil {
		if _, itemErr := q.want().item(); itemErr != nil {
			err = refuse(CodeMalformed, "%w", itemErr)
		}
	}
	if err != nil {
		s.refused(w, r, "unseal", err)
		return
	}
	one := requestOf(r)
	entry := &audit.Entry{
		Type: "unseal", Request: one.id, Client: clientOf(r.RemoteAddr), Subject: q.want().String(),
		Details: map[string]string{"certificate": client.String(), "key": hashOf(q.Key).String()},
	}
	a, err := s.unseal(r.Context(), &q, client, entry)
	if err != nil {
		one.logged = true
		if entry.Decision != audit.Granted {
			err = s.logRefusal(r.Context(), entry, err)
		}
		s.refused(w, r, "unseal", err)
		return
	}
	s.metrics.released(1)
	s.answer(w, http.StatusOK, a)
}

// unseal decides on a request as release does.
func (s *Server) unseal(ctx context.Context, q *UnsealRequest, client policy.Hash, entry *audit.Entry) (*UnsealAnswer, error) {
	p := s.inForce.Load()
	if p == nil {
		return nil, refuse(CodePolicy, "no policy is in force: the first one waits for the approval of its owners")
	}
	kem, _, _ := suite()
	to, err := kem.NewPublicKey(q.Key)
	if err != nil {
		return nil, refuse(CodeMalformed, "key is no serialised HPKE public key of the suite MLKEM768-X25519")
	}
	var g *granted
	err = s.store.Update(ctx, func(tx *store.Tx) (err error) {
		zeroGranted(g)
		g, err = s.decideUnseal(tx, p, q, client, entry)
		return err
	})
	defer zeroGranted(g)
	if err != nil {
		entry.Decision = ""
		return nil, err
	}
	witnessed, err := s.effective(ctx, p, g, entry)
	if err != nil {
		return nil, err
	}
	a := &UnsealAnswer{Request: entry.Request, Person: g.workload}
	if a.Receipt, err = s.receipt(ctx, g.index, witnessed); err != nil {
		return nil, err
	}
	encapsulated, items, err := seal(to, unsealInfo(s.vault.Broker(), Digest(p.first), q), g.items)
	if err != nil {
		return nil, err
	}
	a.Encapsulated, a.Item = encapsulated, items[0]
	return a, nil
}

func (s *Server) decideUnseal(tx *store.Tx, p *inForce, q *UnsealRequest, client policy.Hash, entry *audit.Entry) (*granted, error) {
	if err := checkCurrent(tx, p); err != nil {
		return nil, err
	}
	item, err := q.want().item()
	if err != nil {
		return nil, err
	}
	froze, err := frozen(tx)
	if err != nil {
		return nil, err
	}
	d := p.policy.AppraiseUnseal(client, &policy.DataSet{Item: item, Version: q.Version}, froze)
	owners := []policy.Name{item.Owner()}
	if !d.Allowed || len(d.Failed()) > 0 || len(d.Checks) == 0 {
		return nil, denied(d, owners, froze, d.Checks)
	}
	g := &granted{workload: string(d.Workload), owners: owners}
	if g.items, err = s.openItems(tx, []Want{q.want()}); err != nil {
		return g, err
	}
	entry.Decision, entry.Reason = audit.Granted, "policy "+strconv.FormatUint(p.policy.Version, 10)+", unseal "+g.workload
	g.index, err = s.audit.Append(tx, entry)
	return g, err
}

// Unseal gets the key of a data set for the person of the client's certificate.
func (c *Client) Unseal(ctx context.Context, owner, name string, version uint64) (*Released, *UnsealAnswer, error) {
	kem, _, _ := suite()
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	receipts, err := c.receipts(ctx)
	if err != nil {
		return nil, nil, err
	}
	q := &UnsealRequest{Owner: owner, Name: name, Version: version, Key: key.PublicKey().Bytes()}
	var a UnsealAnswer
	if err := c.retried(ctx, func() error { return c.Do(ctx, http.MethodPost, PathUnseal, q, &a) }); err != nil {
		return nil, nil, err
	}
	if err := receipts.check(ctx, &a.Receipt, &expected{
		kind: "unseal", request: a.Request, subject: q.want().String(), details: map[string]string{"key": hashOf(q.Key).String()},
	}); err != nil {
		return nil, nil, err
	}
	bound := unsealInfo(c.options.Pin.Broker, c.options.Pin.FirstPolicy, q)
	items, err := openItems(key, a.Encapsulated, bound, []SealedItem{a.Item}, []Want{q.want()})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return &items[0], &a, nil
}
